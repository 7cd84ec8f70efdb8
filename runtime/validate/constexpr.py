"""Constant expressions (spec 3.4.12): what may stand in a global, a table or a segment."""

from __future__ import annotations

from ..declarations import Expr
from ..errors import InvalidError
from ..features import Feature
from ..instr.model import Immediate, Op
from ..types import FuncType, ValType, type_matches
from . import references as _references
from .env import Env
from .rules import RULES
from .stack import Checker

_CONSTS = frozenset((Immediate.I32, Immediate.I64, Immediate.F32, Immediate.F64, Immediate.V128))
_EXTENDED = frozenset(f"{type_}.{operator}" for type_ in ("i32", "i64") for operator in ("add", "sub", "mul"))

_OBJECTS = frozenset(
    (
        *("struct.new", "struct.new_default", "array.new", "array.new_default", "array.new_fixed", "ref.i31"),
        *("any.convert_extern", "extern.convert_any"),
    )
)
#: The file whose import registers the rules of these.
REGISTERED = (_references,)


def check_expr(env: Env, expr: Expr, want: ValType, visible: int, offset: int) -> None:
    """Check that `expr` is constant and gives one value of the type `want`.

    It may read the first `visible` globals; `offset` is the place to name where the expression is empty. Raises
    InvalidError.
    """
    stack: list[ValType] = []
    for op in expr:
        offset = op[0]
        _step(env, op, stack, visible)
    if len(stack) != 1 or not type_matches(stack[0], want):
        found = " ".join(t.name for t in stack) or "nothing"
        raise InvalidError(f"type mismatch: constant expression gives {found}, expected {want}", offset=offset)


def _step(env: Env, op: Op, stack: list[ValType], visible: int) -> None:
    offset, row, immediate = op
    if row.feature not in env.features:
        env.require(row.feature, f"instruction {row}", offset=offset)
    if row.name == "global.get" and isinstance(immediate, int):
        stack.append(_global(env, immediate, visible, offset))
    elif row.name == "ref.func" and isinstance(immediate, int):
        if immediate >= len(env.funcs):
            raise InvalidError(f"unknown function {immediate}", offset=offset)
        stack.append(env.func_ref(immediate))
    elif row.name == "ref.null" and isinstance(immediate, ValType):
        stack.append(immediate)
    elif row.immediate in _CONSTS:
        stack.extend(row.results or ())
    elif row.name in _EXTENDED:
        env.require(Feature.EXTENDED_CONST, f"{row} in a constant expression", offset=offset)
        _operator(op, stack)
    elif row.name in _OBJECTS:
        _by_rule(env, op, stack)
    else:
        raise InvalidError(f"constant expression required: {row} is not constant", offset=offset)


def _global(env: Env, index: int, visible: int, offset: int) -> ValType:
    if index >= len(env.globals):
        raise InvalidError(f"unknown global {index}", offset=offset)
    if index >= visible:
        raise InvalidError(f"unknown global {index}: it has no value yet", offset=offset)
    if env.globals[index].mutable:
        raise InvalidError(f"constant expression required: global {index} is mutable", offset=offset)
    return env.globals[index].content


def _operator(op: Op, stack: list[ValType]) -> None:
    offset, row, _ = op
    params = row.params or ()
    if tuple(stack[-len(params) :]) != params:
        raise InvalidError(f"type mismatch: {row} in a constant expression", offset=offset)
    del stack[-len(params) :]
    stack.extend(row.results or ())


def _by_rule(env: Env, op: Op, stack: list[ValType]) -> None:
    """What makes structs, arrays and i31: as in a body."""
    offset, row, immediate = op
    c = Checker(env, -1, FuncType(), (), (op,), None)
    c.stack += stack
    try:
        if row.params is not None:
            c.apply(row.params, row.results or ())
        else:
            RULES[row.name](c, immediate)
    except InvalidError as error:
        raise InvalidError(f"{error.message} in a constant expression", offset=offset) from None
    stack[:] = c.stack[1:]
