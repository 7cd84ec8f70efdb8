"""Readers of object files, ELF and Mach-O of 64 bits, for tests of what is emitted: as much as a loader has to know."""

from __future__ import annotations

import struct

import attrs


@attrs.frozen
class Relocation:
    """A place that has to be filled in: in which section, of which kind, and for which symbol ("" for a section's)."""

    section: str
    kind: int
    symbol: str


@attrs.frozen
class Object:
    """What there is in an object file."""

    #: The processor: `e_machine`, or a Mach-O `cputype`.
    machine: int
    #: Sizes of sections by name, "__TEXT,__text" in Mach-O.
    sections: dict[str, int]
    #: Global symbols: those that are in it, and the sections that they lie in; and those that are not.
    defined: dict[str, str]
    undefined: set[str]
    relocations: list[Relocation]


def _name(data: bytes, at: int) -> str:
    return data[at : data.index(0, at)].decode()


def elf(data: bytes) -> Object:
    """Read an ELF object file (little-endian)."""
    assert data[:6] == b"\x7fELF\x02\x01", "not an ELF file of 64 bits"
    kind, machine = struct.unpack_from("<HH", data, 16)
    assert kind == 1, "not relocatable"
    table, (size, count, names) = struct.unpack_from("<Q", data, 0x28)[0], struct.unpack_from("<HHH", data, 0x3A)
    assert size == 64
    headers = [struct.unpack_from("<IIQQQQIIQQ", data, table + 64 * i) for i in range(count)]
    titles = [_name(data, headers[names][4] + each[0]) for each in headers]
    symbols: list[tuple[str, int, int]] = []
    for _, kind, _, _, at, length, link, _, _, _ in headers:
        if kind == 2:
            for place in range(at, at + length, 24):
                name, info, _, home = struct.unpack_from("<IBBH", data, place)
                symbols.append((_name(data, headers[link][4] + name), info, home))
    relocations = []
    for _, kind, _, _, at, length, _, info, _, _ in headers:
        assert kind != 9, "relocations without addends"
        if kind == 4:
            for place in range(at, at + length, 24):
                number = struct.unpack_from("<Q", data, place + 8)[0]
                relocations.append(Relocation(titles[info], number & 0xFFFF_FFFF, symbols[number >> 32][0]))
    visible = [(name, home) for name, info, home in symbols if info >> 4 and name]
    return Object(
        machine,
        {title: each[5] for title, each in zip(titles, headers, strict=True)},
        {name: titles[home] for name, home in visible if 0 < home < count},
        {name for name, home in visible if home == 0},
        relocations,
    )


_SEGMENT, _SYMTAB = 0x19, 2


def macho(data: bytes) -> Object:
    """Read a Mach-O object file (little-endian)."""
    magic, machine, _, kind, commands, length, _, _ = struct.unpack_from("<8I", data)
    assert (magic, kind) == (0xFEEDFACF, 1), "not a relocatable Mach-O file of 64 bits"
    at, sections, symbols = 32, [], []
    for _ in range(commands):
        command, size = struct.unpack_from("<II", data, at)
        if command == _SEGMENT:
            count = struct.unpack_from("<I", data, at + 64)[0]
            sections += [struct.unpack_from("<16s16sQQ8I", data, at + 72 + 80 * i) for i in range(count)]
        elif command == _SYMTAB:
            table, count, strings, _ = struct.unpack_from("<4I", data, at + 8)
            for place in range(table, table + 16 * count, 16):
                name, type_, home = struct.unpack_from("<IBB", data, place)
                symbols.append((_name(data, strings + name), type_, home))
        at += size
    assert at == 32 + length
    titles = [",".join([part.rstrip(b"\0").decode() for part in (each[1], each[0])]) for each in sections]
    relocations = []
    for title, each in zip(titles, sections, strict=True):
        for place in range(each[6], each[6] + 8 * each[7], 8):
            word = struct.unpack_from("<I", data, place + 4)[0]
            symbol = symbols[word & 0xFF_FFFF][0] if word >> 27 & 1 else ""
            relocations.append(Relocation(title, word >> 28, symbol))
    visible = [(name, type_ & 0xE, home) for name, type_, home in symbols if type_ & 1]
    return Object(
        machine,
        {title: each[3] for title, each in zip(titles, sections, strict=True)},
        {name: titles[home - 1] for name, type_, home in visible if type_ == 0xE},
        {name for name, type_, _ in visible if type_ == 0},
        relocations,
    )
