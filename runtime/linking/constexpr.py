"""Evaluating constant expressions (spec 4.4.14). They can't trap, loop or call, so no execution is needed."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import cast

from ..declarations import Expr
from ..instances.instance import Instance
from ..values import M32, M64, Value

_OPERATORS: dict[str, Callable[[int, int], int]] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


def evaluate(expr: Expr, instance: Instance) -> Value:
    """The value of a valid constant expression; the functions and globals that it names must be there already."""
    stack: list[Value] = []
    for _, row, immediate in expr:
        if row.name == "global.get":
            stack.append(instance.globals[cast("int", immediate)].value)
        elif row.name == "ref.func":
            stack.append(instance.funcs[cast("int", immediate)])
        elif row.name == "ref.null":
            stack.append(None)
        elif row.params:
            right, left = cast("int", stack.pop()), cast("int", stack.pop())
            type_, _, name = row.name.partition(".")
            stack.append(_OPERATORS[name](left, right) & (M32 if type_ == "i32" else M64))
        else:
            stack.append(immediate)
    return stack.pop()
