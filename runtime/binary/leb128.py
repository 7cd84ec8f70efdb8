"""The integer encodings (spec 5.2.2): LEB128, unsigned and signed.

Each function reads at `pos`, not beyond `end`, and returns the number and the position behind it. Encodings may be
longer than needed, up to the length that the width demands; bits beyond the width must agree with the number.
"""

from __future__ import annotations

from ..errors import MalformedError


def unsigned(data: bytes, pos: int, end: int, bits: int) -> tuple[int, int]:
    """An unsigned number below 2^bits."""
    value = shift = 0
    start = pos
    while True:
        if pos >= end:
            raise MalformedError("unexpected end", pos)
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
        if shift >= bits:
            raise MalformedError("integer representation too long", start)
    if value >> bits:
        raise MalformedError("integer too large", start)
    return value, pos


def signed(data: bytes, pos: int, end: int, bits: int) -> tuple[int, int]:
    """A number from -2^(bits-1) up to, not including, 2^(bits-1)."""
    value = shift = 0
    start = pos
    while True:
        if pos >= end:
            raise MalformedError("unexpected end", pos)
        byte = data[pos]
        pos += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
        if shift >= bits:
            raise MalformedError("integer representation too long", start)
    if byte & 0x40:
        value -= 1 << shift
    # What has a wrong bit among the unused ones comes out beyond the range.
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise MalformedError("integer too large", start)
    return value, pos
