"""Handlers by the name of their row: registration, which refuses doubles, and look-up.

A handler is a closure over a frame's registers, a list: `r[0]` is the instance, then come the locals and the operand
slots. Code is shared by all instances of a module, so a handler reaches memories, tables and globals through `r[0]`
and never binds one. Operands are resolved beforehand: an int is a register, a `Const` is a value known already.

The files that register are `numeric`, `memory`, `table` and `variable`, which whoever looks up imports, and those in
`LATER`, which are imported here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, TypeAlias

from .. import lean
from ..features import Feature
from ..instr.model import Instr


@lean.frozen
class Const:
    """An operand whose value is known when the body is prepared."""

    value: object


Operand: TypeAlias = int | Const
#: Does one instruction on a frame's registers.
Handler: TypeAlias = Callable[[list[Any]], None]
#: Ends a block: gives what to go on with.
Term: TypeAlias = Callable[[list[Any]], Any]
#: Row, immediate in the form that its kind names, destination register, operands in stack order.
Maker: TypeAlias = Callable[[Instr, object, int, Sequence[Operand]], Handler]
#: Given what to go on with if the condition holds and if not.
Branch: TypeAlias = Callable[[Any, Any], Term]
Fuser: TypeAlias = Callable[[Sequence[Operand]], Branch]

_makers: dict[str, Maker] = {}
_fusers: dict[str, Fuser] = {}
#: The files of handlers that few programs use, by the proposal; imported when the first of them is looked up.
LATER = {Feature.SIMD: ".simd", Feature.RELAXED_SIMD: ".simd", Feature.THREADS: ".atomic"}


def register(name: str, maker: Maker) -> None:
    """Let `maker` make the handlers of the row called `name`. ValueError if it has a maker already."""
    if name in _makers:
        raise ValueError(f"{name} has a handler already")
    _makers[name] = maker


def register_condition(name: str, fuser: Fuser) -> None:
    """Let `fuser` join the row called `name` with a branch on its result. ValueError if it has a fuser already."""
    if name in _fusers:
        raise ValueError(f"{name} has a condition already")
    _fusers[name] = fuser


def handles(*names: str) -> Callable[[Maker], Maker]:
    """Decorator: the maker of the rows of these names."""

    def record(maker: Maker) -> Maker:
        for name in names:
            register(name, maker)
        return maker

    return record


def known(row: Instr) -> bool:
    """Whether a row has a handler. Those of a proposal that few programs use are imported to know."""
    if row.name not in _makers and row.feature in LATER:
        import_module(LATER[row.feature], __package__)
    return row.name in _makers


def make(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    """The handler that sets register `dest` to the row's result. `dest` is not used by a row without one."""
    if row.name not in _makers:
        known(row)
    return _makers[row.name](row, immediate, dest, operands)


def condition(row: Instr, operands: Sequence[Operand]) -> Branch | None:
    """Row and branch in one: a function of what to go on with if the result is not 0, and if it is 0. None where the
    row can't be joined with a branch."""
    fuser = _fusers.get(row.name) if known(row) else None
    return None if fuser is None else fuser(operands)
