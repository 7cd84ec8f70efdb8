"""Handlers of tables and references (spec 4.4.2, 4.4.6). Tables check their bounds themselves, and trap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ..instr.model import Instr
from . import inline
from .registry import Const, Handler, Operand, handles
from .variable import move


@handles("ref.null")
def _null(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    return move(dest, Const(None))


@handles("ref.func")
def _func(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    made: Handler = inline.factory("d, k", "r[d] = r[0].funcs[k]")(dest, immediate)
    return made


@handles("table.get")
def _get(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    texts, bound = inline.place(operands)
    made: Handler = inline.factory("d, t, a", f"r[d] = r[0].tables[t].get({texts[0]})")(dest, immediate, *bound)
    return made


@handles("table.set", "table.fill")
def _set(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    texts, bound = inline.place(operands)
    method = row.name.removeprefix("table.")
    body = f"r[0].tables[t].{method}({', '.join(texts)})"
    made: Handler = inline.factory(f"t, {inline.cells(operands)}", body)(immediate, *bound)
    return made


@handles("table.size")
def _size(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    made: Handler = inline.factory("d, t", "r[d] = len(r[0].tables[t].elems)")(dest, immediate)
    return made


@handles("table.grow")
def _grow(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    """The value comes first on the stack, then the number of entries."""
    (value, delta), bound = inline.place(operands)
    body = f"r[d] = r[0].tables[t].grown({delta}, {value})"
    made: Handler = inline.factory("d, t, a, b", body)(dest, immediate, *bound)
    return made


@handles("table.copy")
def _copy(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    to, source = cast("tuple[int, int]", immediate)
    (a, b, c), bound = inline.place(operands)
    body = f"i = r[0]\ni.tables[t].copy({a}, i.tables[s], {b}, {c})"
    made: Handler = inline.factory("t, s, a, b, c", body)(to, source, *bound)
    return made


@handles("table.init")
def _init(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    table, segment = cast("tuple[int, int]", immediate)
    (a, b, c), bound = inline.place(operands)
    body = f"i = r[0]\ni.tables[t].init({a}, i.elems[s].items, {b}, {c})"
    made: Handler = inline.factory("t, s, a, b, c", body)(table, segment, *bound)
    return made


@handles("elem.drop")
def _elem_drop(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    made: Handler = inline.factory("s", "r[0].elems[s].drop()")(immediate)
    return made
