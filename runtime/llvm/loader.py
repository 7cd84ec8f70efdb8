"""Object files into memory: a reader of just as much ELF as LLVM writes for our IR (x86-64).

Pages of code are written once and made executable then; they are never writable and executable at the same time.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

from .. import lean

_ALLOCATED: Final = 2
_SYMBOLS, _RELOCATIONS, _NO_BITS = 2, 4, 8
_PC32, _PLT32 = 2, 4
#: Loops and functions begin on a line of the cache, or their speed depends on chance.
_ALIGN: Final = 64


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


def load(data: bytes) -> Code:
    """The code of an object file. Raises LoadError."""
    try:
        image, symbols = link(data)
    except (struct.error, IndexError, ValueError, OverflowError, MemoryError) as error:
        raise LoadError(f"not an object file of ours: {error}") from None
    return place(image, symbols)


def link(data: bytes) -> tuple[bytes, dict[str, int]]:
    """What lies where: the bytes of all sections that are needed to run, with their relocations done, and the offsets
    of the symbols. All relocations are within the object, so the result may be put anywhere."""
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
    for section in sections:
        if section.kind == _RELOCATIONS and section.info in places:
            _relocate(data, section, places[section.info], values, image)
    return bytes(image), symbols


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


def _relocate(data: bytes, section: _Section, base: int, values: list[int | None], image: bytearray) -> None:
    for at in range(section.offset, section.offset + section.size, 24):
        offset, info, addend = struct.unpack_from("<QQq", data, at)
        value = values[info >> 32]
        kind = info & 0xFFFF_FFFF
        if value is None or kind not in (_PC32, _PLT32):
            raise LoadError(f"relocation of kind {kind} against symbol {info >> 32}")
        struct.pack_into("<i", image, base + offset, value + addend - (base + offset))


def _string(data: bytes, at: int) -> str:
    return data[at : data.index(0, at)].decode()
