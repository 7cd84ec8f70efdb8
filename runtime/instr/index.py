"""The table: all rows joined, looked up by code and by name; and what other proposals' codes are called.

The second half is the one place that knows encodings which this engine does not have yet. A module that uses one is
not malformed: it needs a feature, and the error names it. Codes that no proposal defines are in neither half.
"""

from __future__ import annotations

from collections.abc import Iterable

from . import atomic, control, gc, legacy, memory, numeric, simd, table
from .model import Instr

#: Bytes that open a two-part opcode; the second part is a LEB128 number.
PREFIXES = frozenset((0xFB, 0xFC, 0xFD, 0xFE))


def join(*groups: Iterable[Instr]) -> tuple[dict[int, Instr], dict[str, Instr]]:
    """The rows of `groups` by code and by name. Raises ValueError for a code or a name that occurs twice."""
    by_code: dict[int, Instr] = {}
    by_name: dict[str, Instr] = {}
    for group in groups:
        for row in group:
            if row.code in by_code or row.name in by_name:
                raise ValueError(f"instruction {row.name} ({row.code:#x}) is in the table twice")
            by_code[row.code] = row
            by_name[row.name] = row
    return by_code, by_name


BY_CODE, BY_NAME = join(
    control.ROWS, table.ROWS, memory.ROWS, numeric.ROWS, simd.ROWS, gc.ROWS, atomic.ROWS
)  # fmt: skip

#: What the decoder knows: besides the table the rows that are rewritten before anybody else sees them.
DECODED = BY_CODE | {row.code: row for row in legacy.ROWS}

_STACK_SWITCHING = "stack-switching"
_SHARED_EVERYTHING = "shared-everything-threads"

#: First code, last code, feature.
_ABSENT_OPCODES: tuple[tuple[int, int, str], ...] = (
    (0xE0, 0xE6, _STACK_SWITCHING),
    (0xFC_0012, 0xFC_0012, "memory-control"),
    (0xFC_0013, 0xFC_0016, "wide-arithmetic"),
)

#: Codes of value and heap types, as their byte.
_ABSENT_TYPES: dict[int, str] = {
    0x75: _STACK_SWITCHING,
    0x68: _STACK_SWITCHING,
    0x65: _SHARED_EVERYTHING,
}

#: First bytes of type definitions other than function types.
_ABSENT_FORMS: dict[int, str] = {
    0x5D: _STACK_SWITCHING,
    0x65: _SHARED_EVERYTHING,
}


def absent_opcode(code: int) -> str | None:
    """The feature that a code without a row belongs to; None if no proposal defines it."""
    return next((feature for low, high, feature in _ABSENT_OPCODES if low <= code <= high), None)


def absent_type(byte: int) -> str | None:
    """The feature that a value or heap type belongs to; None if no proposal defines it."""
    return _ABSENT_TYPES.get(byte)


def absent_form(byte: int) -> str | None:
    """The feature that a type definition belongs to; None if no proposal defines it."""
    return _ABSENT_FORMS.get(byte)
