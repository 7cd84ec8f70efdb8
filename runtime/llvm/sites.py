"""What an object file says of each place in its code: the line (DWARF 4) and how a caller's registers are found there
(the call frame information of System V). As much of both as LLVM writes for our functions on x86-64.

Nothing of it is read before there is a trap at a guard page; see `faults`.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from typing import Final

from .. import lean
from .loader import LoadError, Part, Tables

#: Registers by their numbers here, as far as a function has to preserve them, in the handler's order; the stack
#: pointer; where it returns to.
PRESERVED: Final = (3, 6, 12, 13, 14, 15)
STACK: Final = 7
_RETURN: Final = 16


@lean.frozen
class Frame:
    """How to leave a function: the caller's stack pointer is a register and an offset; from it, the places where the
    caller's registers lie, and where it is returned to."""

    base: int
    offset: int
    saved: dict[int, int]


class Sites:
    """The tables of one piece of code, read. Raises LoadError for what is not of our making."""

    def __init__(self, tables: Tables) -> None:
        try:
            rows = sorted(rows_of(tables.lines))
            self._places = [place for place, _ in rows]
            self._lines = [line for _, line in rows]
            self._frames = sorted(_frames(tables.frames))
        except (struct.error, IndexError) as error:
            raise LoadError(f"tables that are not ours: {error}") from None

    def line(self, place: int) -> int:
        """The line at an offset into the code; 0 for none."""
        at = bisect_right(self._places, place) - 1
        return self._lines[at] if at >= 0 else 0

    def frame(self, place: int) -> Frame:
        """How to leave the function at an offset into the code. Raises LoadError."""
        at = bisect_right(self._frames, (place, 1 << 62)) - 1
        if at < 0 or not self._frames[at][0] <= place < self._frames[at][1]:
            raise LoadError(f"no frame is described at {place}")
        start, _, program, initial = self._frames[at]
        return _frame(initial, program, place - start)


# Lines ----------------------------------------------------------------------------------------------------------------


def rows_of(part: Part) -> list[tuple[int, int]]:
    """Offsets into the code with the lines that begin there."""
    data = part.data
    rows: list[tuple[int, int]] = []
    at = 0
    while at + 4 <= len(data):
        size, version, header = struct.unpack_from("<IHI", data, at)
        if version != 4 or data[at + 10] != 1 or data[at + 14] == 0:
            raise LoadError("lines in another form")
        base, span, first = struct.unpack_from("<bBB", data, at + 13)
        _run_lines(part, at + 10 + header, at + 4 + size, (base, span, first, data[at + 15 : at + 15 + first]), rows)
        at += 4 + size
    return rows


def _run_lines(part: Part, at: int, end: int, form: tuple[int, int, int, bytes], rows: list[tuple[int, int]]) -> None:
    data = part.data
    base, span, first, operands = form
    place, line = 0, 1
    while at < end:
        op = data[at]
        at += 1
        if op >= first:
            place += (op - first) // span
            line += base + (op - first) % span
            rows.append((place, line))
        elif op == 0:  # extended
            size, at = _unsigned(data, at)
            if data[at] == 1:
                place, line = 0, 1
            elif data[at] == 2:
                place = part.places[at + 1] if at + 1 in part.places else struct.unpack_from("<Q", data, at + 1)[0]
            at += size
        elif op == 1:
            rows.append((place, line))
        elif op == 2:
            value, at = _unsigned(data, at)
            place += value
        elif op == 3:
            value, at = _signed(data, at)
            line += value
        elif op == 8:
            place += (255 - first) // span
        elif op == 9:
            place += struct.unpack_from("<H", data, at)[0]
            at += 2
        else:
            for _ in range(operands[op]):
                _, at = _unsigned(data, at)


def _unsigned(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def _signed(data: bytes, at: int) -> tuple[int, int]:
    value, end = _unsigned(data, at)
    bits = 7 * (end - at)
    return (value - (1 << bits) if value >> bits - 1 else value), end


# Frames ---------------------------------------------------------------------------------------------------------------


def _frames(part: Part) -> list[tuple[int, int, bytes, tuple[int, bytes]]]:
    """Of each function where it begins and ends, its program, and the factor and program that come before."""
    data = part.data
    found = []
    commons: dict[int, tuple[int, bytes]] = {}
    at = 0
    while at + 4 <= len(data):
        size, common = struct.unpack_from("<Ii", data, at)
        if not size:
            break
        end = at + 4 + size
        if common == 0:
            commons[at] = _common(data[at + 8 : end])
        else:
            start = part.places[at + 8]
            length = struct.unpack_from("<I", data, at + 12)[0]
            extra, begin = _unsigned(data, at + 16)
            found.append((start, start + length, data[begin + extra : end], commons[at + 4 - common]))
        at = end
    return found


def _common(data: bytes) -> tuple[int, bytes]:
    if data[:4] != b"\x01zR\x00":
        raise LoadError("frames in another form")
    code, at = _unsigned(data, 4)
    factor, at = _signed(data, at)
    register, at = _unsigned(data, at)
    extra, at = _unsigned(data, at)
    if code != 1 or register != _RETURN or data[at : at + extra] != b"\x1b":
        raise LoadError("frames in another form")
    return factor, data[at + extra :]


def _frame(initial: tuple[int, bytes], program: bytes, until: int) -> Frame:
    factor, before = initial
    state = _run_frame(before, 0, factor, (STACK, 8, {}))
    base, offset, saved = _run_frame(program, until, factor, state)
    return Frame(base, offset, saved)


def _run_frame(
    data: bytes, until: int, factor: int, state: tuple[int, int, dict[int, int]]
) -> tuple[int, int, dict[int, int]]:
    """What holds at `until` bytes into the function."""
    base, offset, saved = state
    initial, kept = dict(saved), []
    place = at = 0
    while at < len(data):
        op, low = data[at] & 0xC0, data[at] & 0x3F
        at += 1
        if op == 0x40 or (not op and low in (2, 3, 4)):
            step = low
            if not op:
                size = 1 << low - 2
                step = int.from_bytes(data[at : at + size], "little")
                at += size
            place += step
            if place > until:
                break
        elif op == 0x80:
            value, at = _unsigned(data, at)
            saved[low] = value * factor
        elif op == 0xC0:
            saved.pop(low, None)
            if low in initial:
                saved[low] = initial[low]
        elif low == 0x0A:
            kept.append((base, offset, dict(saved)))
        elif low == 0x0B:
            base, offset, saved = kept.pop()
        elif low == 0x0C:
            base, at = _unsigned(data, at)
            offset, at = _unsigned(data, at)
        elif low == 0x0D:
            base, at = _unsigned(data, at)
        elif low in (0x0E, 0x2E):
            value, at = _unsigned(data, at)
            offset = value if low == 0x0E else offset
        elif low:
            raise LoadError(f"frames with operation {low}")
    return base, offset, saved
