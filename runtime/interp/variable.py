"""Handlers that move values: locals, globals, select (spec 4.4.3, 4.4.4)."""

from __future__ import annotations

from collections.abc import Sequence

from ..instr.model import Instr
from . import inline
from .registry import Handler, Operand, handles

_MOVE = inline.Text("{a}")
_SELECT = inline.Text("{a} if {c} else {b}")


def move(dest: int, operand: Operand) -> Handler:
    """Copy an operand into register `dest`: `local.get`, `local.set` and `local.tee` once operands are resolved."""
    return inline.handler(_MOVE, dest, [operand])


@handles("global.get")
def _global_get(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    made: Handler = inline.factory("d, k", "r[d] = r[0].globals[k].value")(dest, immediate)
    return made


@handles("global.set")
def _global_set(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    texts, bound = inline.place(operands)
    made: Handler = inline.factory("k, a", f"r[0].globals[k].value = {texts[0]}")(immediate, *bound)
    return made


@handles("select", "select_t")
def _select(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    return inline.handler(_SELECT, dest, operands)
