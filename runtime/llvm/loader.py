"""Object files into memory: a reader of just as much ELF as LLVM writes for our IR (x86-64).

Pages of code are written once and made executable then; they are never writable and executable at the same time.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from .. import lean

_ALLOCATED: Final = 2
_SYMBOLS, _RELOCATIONS, _NO_BITS = 2, 4, 8
_PC32, _PLT32 = 2, 4
#: Loops and functions begin on a line of the cache, or their speed depends on chance.
_ALIGN: Final = 64
_RELOCATION: Final = struct.Struct("<QQq")
_DISTANCE: Final = struct.Struct("<i")
#: Bytes of a stub, which is either `jmp *table+8*index(%rdi)`, rdi being the block, or `movabs $code, %r11; jmp *%r11`.
_STUB: Final = 16
#: How far a call goes.
_REACH: Final = 1 << 31


class LoadError(Exception):
    """An object file that is not what our IR leads to; a damaged one, say."""


class _Section(NamedTuple):
    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int
    align: int
    entry: int


@lean.frozen(eq=False)
class Code:
    """Machine code in memory, for as long as this object lives."""

    start: int
    size: int
    #: Addresses of what it defines.
    symbols: Mapping[str, int]
    _pages: mmap.mmap


@lean.frozen
class Calls:
    """How functions of the module are called: the addresses of those whose code won't be replaced, where in the block
    the addresses of all functions' code begin, and how many there are."""

    codes: Mapping[int, int]
    table: int
    count: int


@lean.frozen(eq=False)
class Linked:
    """An object before it has its place. All numbers are offsets into `image`."""

    image: bytearray
    symbols: Mapping[str, int]
    #: By the index of a function that is called: the stub that goes to it, and the displacements of the calls.
    stubs: dict[int, int] = lean.field(factory=dict)
    calls: dict[int, list[int]] = lean.field(factory=dict)


class Part(NamedTuple):
    """A section, and what belongs in certain places of it: offsets into the code."""

    data: bytes
    places: Mapping[int, int]


class Tables(NamedTuple):
    """Where in the code which line begins, and how to leave a function from each place in it; see `sites`."""

    lines: Part
    frames: Part


def place(code: bytes, symbols: Mapping[str, int]) -> Code:
    """Make ready bytes executable. `symbols` are offsets."""
    pages = mmap.mmap(-1, max(len(code), 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    pages[: len(code)] = code
    _make_executable(start, len(code))
    return Code(start, len(code), {name: start + offset for name, offset in symbols.items()}, pages)


def _make_executable(start: int, size: int) -> None:
    rounded = -(-max(size, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    how = mmap.PROT_READ | mmap.PROT_EXEC
    if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(start), ctypes.c_size_t(rounded), how):
        raise LoadError(f"the system refuses executable memory (error {ctypes.get_errno()})")


def load(data: bytes, calls: Calls | None = None) -> Code:
    """The code of an object file. Raises LoadError."""
    return load_all([data], calls)[0]


def load_all(objects: Sequence[bytes], calls: Calls | None = None) -> list[Code]:
    """The code of object files, side by side: calls between them go straight. Raises LoadError."""
    try:
        linked = [link(data, calls) for data in objects]
    except (struct.error, IndexError, ValueError, OverflowError, MemoryError) as error:
        raise LoadError(f"not an object file of ours: {error}") from None
    starts, size = [], 0
    for each in linked:
        size += -size % _ALIGN
        starts.append(size)
        size += len(each.image)
    pages = mmap.mmap(-1, max(size, 1), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    base = ctypes.addressof(ctypes.c_char.from_buffer(pages))
    found = []
    for start, each in zip(starts, linked, strict=True):
        symbols = {name: base + start + offset for name, offset in each.symbols.items()}
        found.append(Code(base + start, len(each.image), symbols, pages))
    if calls is not None:
        codes = dict(calls.codes)
        for code in found:
            codes.update({int(name[1:]): at for name, at in code.symbols.items() if name[:1] == "f"})
        for code, each in zip(found, linked, strict=True):
            _connect(each, code.start, codes)
    for start, each in zip(starts, linked, strict=True):
        pages[start : start + len(each.image)] = each.image
    _make_executable(base, size)
    return found


def _connect(linked: Linked, start: int, codes: Mapping[int, int]) -> None:
    """Have calls of functions whose code is known go there."""
    for index, stub in linked.stubs.items():
        target = codes.get(index)
        if target is None:
            continue
        # Those that it is too far from go by the stub, which knows the way.
        linked.image[stub : stub + _STUB] = b"\x49\xbb" + struct.pack("<Q", target) + b"\x41\xff\xe3" + bytes(3)
        for offset in linked.calls[index]:
            distance = target - (start + offset + 4)
            if -_REACH <= distance < _REACH:
                _DISTANCE.pack_into(linked.image, offset, distance)


def link(data: bytes, calls: Calls | None = None) -> Linked:
    """What lies where: the bytes of all sections that are needed to run, with their relocations done, and the offsets
    of the symbols. All relocations are within the object, so the result may be put anywhere. What is called and is not
    in the object gets a stub there, which looks into the block."""
    sections, names = _sections(data)
    image = bytearray()
    places: dict[int, int] = {}
    for i, (section, name) in enumerate(zip(sections, names, strict=True)):
        if section.flags & _ALLOCATED and section.size and name != ".eh_frame":
            image += bytes(-len(image) % max(section.align, _ALIGN))
            places[i] = len(image)
            content = data[section.offset : section.offset + section.size]
            image += bytes(section.size) if section.kind == _NO_BITS else content
    symbols, values = _symbols(data, sections, places)
    linked = Linked(image, symbols)
    wanted = {} if calls is None else _wanted(data, sections)
    for index in dict.fromkeys(wanted.values()):
        image += bytes(-len(image) % _STUB)
        linked.stubs[index] = len(image)
        if calls is not None:
            if index >= calls.count:
                raise LoadError(f"a call of function {index}")
            image += b"\xff\xa7" + struct.pack("<i", calls.table + 8 * index) + bytes(_STUB - 6)
    for section in sections:
        if section.kind == _RELOCATIONS and section.info in places:
            _relocate(data, section, places[section.info], values, linked, wanted)
    return linked


def _sections(data: bytes) -> tuple[list[_Section], list[str]]:
    """The sections and their names."""
    if data[:5] != b"\x7fELF\x02":
        raise LoadError("not an ELF file of 64 bits")
    table, count = struct.unpack_from("<Q", data, 0x28)[0], struct.unpack_from("<H", data, 0x3C)[0]
    sections = [_Section(*struct.unpack_from("<IIQQQQIIQQ", data, table + 64 * i)) for i in range(count)]
    names = sections[struct.unpack_from("<H", data, 0x3E)[0]].offset
    return sections, [_string(data, names + section.name) for section in sections]


def tables(data: bytes) -> Tables | None:
    """What an object file tells about its code's lines and frames; None where it has notes of neither."""
    try:
        sections, names = _sections(data)
        found = {name: section for section, name in zip(sections, names, strict=True)}
        if ".debug_line" not in found or ".eh_frame" not in found:
            return None
        first = next(name for section, name in zip(sections, names, strict=True) if section.flags & _ALLOCATED)
        if first != ".text":
            raise LoadError("its code doesn't come first")
        parts = []
        for name in (".debug_line", ".eh_frame"):
            section, fixes = found[name], found[".rela" + name]
            places = {}
            for at in range(fixes.offset, fixes.offset + fixes.size, 24):
                offset, _, addend = struct.unpack_from("<QQq", data, at)
                places[offset] = addend
            parts.append(Part(data[section.offset : section.offset + section.size], places))
    except (struct.error, IndexError, ValueError, KeyError, StopIteration) as error:
        raise LoadError(f"not an object file of ours: {error}") from None
    return Tables(*parts)


def _symbols(data: bytes, sections: list[_Section], places: dict[int, int]) -> tuple[dict[str, int], list[int | None]]:
    """Offsets of the global symbols by name, and of all by number (None for what is not in the object)."""
    defined: dict[str, int] = {}
    values: list[int | None] = []
    for section in sections:
        if section.kind != _SYMBOLS:
            continue
        strings = sections[section.link].offset
        for at in range(section.offset, section.offset + section.size, 24):
            name, info, _, home, value, _ = struct.unpack_from("<IBBHQQ", data, at)
            inside = places.get(home)
            values.append(None if inside is None else inside + value)
            if inside is not None and info >> 4:
                defined[_string(data, strings + name)] = inside + value
    return defined, values


def _wanted(data: bytes, sections: list[_Section]) -> dict[int, int]:
    """The functions that are called and are not in the object, by the number of their symbol."""
    found: dict[int, int] = {}
    for section in sections:
        if section.kind != _SYMBOLS:
            continue
        strings = sections[section.link].offset
        for number, at in enumerate(range(section.offset, section.offset + section.size, 24)):
            name, _, _, home, _, _ = struct.unpack_from("<IBBHQQ", data, at)
            if not home and number:
                called = _string(data, strings + name)
                if called[:1] == "c" and called[1:].isdecimal():
                    found[number] = int(called[1:])
    return found


def _relocate(
    data: bytes, section: _Section, base: int, values: list[int | None], linked: Linked, wanted: Mapping[int, int]
) -> None:
    image, put = linked.image, _DISTANCE.pack_into
    for offset, info, addend in _RELOCATION.iter_unpack(data[section.offset : section.offset + section.size]):
        symbol, kind, place = info >> 32, info & 0xFFFF_FFFF, base + offset
        value = values[symbol]
        if value is None and kind == _PLT32 and addend == -4 and symbol in wanted:
            index = wanted[symbol]
            value = linked.stubs[index]
            linked.calls.setdefault(index, []).append(place)
        if value is None or kind not in (_PC32, _PLT32):
            raise LoadError(f"relocation of kind {kind} against symbol {symbol}")
        put(image, place, value + addend - place)


def _string(data: bytes, at: int) -> str:
    return data[at : data.index(0, at)].decode()
