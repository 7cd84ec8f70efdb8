"""Modules byte by byte, for what no assembler would write."""

from __future__ import annotations

MAGIC = b"\0asm\x01\0\0\0"
#: Ids of the sections.
CUSTOM, TYPE, IMPORT, FUNC, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEM, CODE, DATA, DATA_COUNT = range(13)
#: One type, `[] -> []`.
ONE_TYPE = b"\x60\0\0"


def leb(number: int, *, pad: int = 0) -> bytes:
    """`number` as unsigned LEB128, stretched to `pad` bytes where that is more than it needs."""
    out = bytearray()
    while number > 0x7F or len(out) + 1 < pad:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number))


def sleb(number: int, *, pad: int = 0) -> bytes:
    """`number` as signed LEB128, stretched likewise."""
    out = bytearray()
    while not -0x40 <= number < 0x40 or len(out) + 1 < pad:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*out, number & 0x7F))


def vec(*items: bytes) -> bytes:
    """A vector: how many, and each."""
    return leb(len(items)) + b"".join(items)


def sized(contents: bytes) -> bytes:
    """`contents` behind its size."""
    return leb(len(contents)) + contents


def section(id_: int, *items: bytes) -> bytes:
    """A section that holds a vector."""
    return bytes([id_]) + sized(vec(*items))


def custom(name: str, contents: bytes) -> bytes:
    """A custom section."""
    return b"\0" + sized(sized(name.encode()) + contents)


def module(*sections: bytes) -> bytes:
    """A module of these sections."""
    return MAGIC + b"".join(sections)


def one_body(body: bytes, *, locals_: bytes = b"\0", count_data: bool = False) -> bytes:
    """A module with one function, `[] -> []`, whose instructions are `body`, the closing `end` included."""
    count = [bytes([DATA_COUNT]) + sized(b"\0")] if count_data else []
    return module(section(TYPE, ONE_TYPE), section(FUNC, b"\0"), *count, section(CODE, sized(locals_ + body)))
