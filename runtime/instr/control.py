"""Rows: blocks, branches, calls, and the parametric and variable instructions (spec 5.4.1, 5.4.2, 5.4.4).

Nearly none has a fixed type: what they take depends on their labels, on the function they call, or on the operands.
"""

from __future__ import annotations

from ..features import Feature
from .model import Immediate, Instr

#: Names of the rows that open a block, which an `end` closes.
OPENING = ("block", "loop", "if", "try_table")

ROWS: tuple[Instr, ...] = (
    Instr(0x00, "unreachable"),
    Instr(0x01, "nop", params=(), results=()),
    Instr(0x02, "block", Immediate.BLOCK_TYPE),
    Instr(0x03, "loop", Immediate.BLOCK_TYPE),
    Instr(0x04, "if", Immediate.BLOCK_TYPE),
    Instr(0x05, "else"),
    Instr(0x08, "throw", Immediate.TAG, feature=Feature.EXCEPTIONS),
    Instr(0x0A, "throw_ref", feature=Feature.EXCEPTIONS),
    Instr(0x0B, "end"),
    Instr(0x0C, "br", Immediate.LABEL),
    Instr(0x0D, "br_if", Immediate.LABEL),
    Instr(0x0E, "br_table", Immediate.LABELS),
    Instr(0x0F, "return"),
    Instr(0x10, "call", Immediate.FUNC),
    Instr(0x11, "call_indirect", Immediate.CALL_INDIRECT),
    Instr(0x12, "return_call", Immediate.FUNC, feature=Feature.TAIL_CALL),
    Instr(0x13, "return_call_indirect", Immediate.CALL_INDIRECT, feature=Feature.TAIL_CALL),
    Instr(0x14, "call_ref", Immediate.TYPE, feature=Feature.FUNCTION_REFERENCES),
    Instr(0x15, "return_call_ref", Immediate.TYPE, feature=Feature.FUNCTION_REFERENCES),
    Instr(0xD5, "br_on_null", Immediate.LABEL, feature=Feature.FUNCTION_REFERENCES),
    Instr(0xD6, "br_on_non_null", Immediate.LABEL, feature=Feature.FUNCTION_REFERENCES),
    Instr(0x1A, "drop"),
    Instr(0x1B, "select"),
    # Both selects are written `select` in the text format; names must differ here.
    Instr(0x1C, "select_t", Immediate.VAL_TYPES, feature=Feature.REFERENCE_TYPES),
    Instr(0x1F, "try_table", Immediate.TRY_TABLE, feature=Feature.EXCEPTIONS),
    Instr(0x20, "local.get", Immediate.LOCAL),
    Instr(0x21, "local.set", Immediate.LOCAL),
    Instr(0x22, "local.tee", Immediate.LOCAL),
    Instr(0x23, "global.get", Immediate.GLOBAL),
    Instr(0x24, "global.set", Immediate.GLOBAL),
)
