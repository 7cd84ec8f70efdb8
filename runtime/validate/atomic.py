"""Validation rules of atomic accesses (threads proposal): the alignment that is named must be the access's width."""

from __future__ import annotations

from ..instr.atomic import OPERATIONS, ROWS
from ..types import I32, I64, ValType
from .rules import reachable, rule
from .stack import Checker

_WIDTHS = {row.name: (row.width.bit_length() - 1, row.value or I32) for row in ROWS}


@rule(*OPERATIONS)
def _access(c: Checker, memarg: tuple[int, int, int]) -> None:
    align, offset, memory = memarg
    address = reachable(c, memory, offset)
    exponent, value = _WIDTHS[c.row.name]
    if align != exponent:
        raise c.error("atomic alignment must be equal to natural alignment")
    _types(c, OPERATIONS[c.row.name], address, value)


def _types(c: Checker, operation: str, address: ValType, value: ValType) -> None:
    match operation:
        case "load":
            c.apply((address,), (value,))
        case "store":
            c.apply((address, value), ())
        case "cmpxchg":
            c.apply((address, value, value), (value,))
        case "notify":
            c.apply((address, I32), (I32,))
        case "wait":
            c.apply((address, value, I64), ())
            # A check point like a call: whoever waits may leave the stack, and comes back with a result.
            c.charge(c.height + 1)
            if c.side is not None and not c.frames[-1].dead:
                c.side.operands[c.index] = c.operands()
            c.push(I32)
        case _:
            c.apply((address, value), (value,))
