"""Checking one function body (spec 3.4, appendix "Validation Algorithm").

The loop knows no instruction by heart. A row with fixed types is popped and pushed as the row says, any other goes to
the rule of its name. On top of that lie shortcuts for the shapes that make up nearly all code: each looks at the top
of the stack, and where that isn't plainly right leaves everything to the instruction's rule, which copes with dead
code and names the error. A shortcut can therefore be removed without changing any answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import repeat, takewhile
from typing import Any, Literal, overload

from .. import lean
from ..declarations import Code, Declarations
from ..errors import UnsupportedError
from ..features import Feature
from ..instr.atomic import OPERATIONS
from ..instr.index import BY_NAME
from ..instr.model import Immediate, Instr, Op
from ..types import I32, ValType
from ..values import M32, M64
from . import atomic as _atomic
from . import references as _references
from .env import Env
from .rules import RULES, Rule, check_lanes
from .sidetable import Block, SideTable
from .stack import BARRIER, Checker, Meter

#: The files whose import registers rules besides `rules`.
REGISTERED = (_atomic, _references)

# Shapes that have a shortcut, the commonest first.
_GET, _CONST, _BINARY, _LOAD, _SET, _TEE, _STORE, _UNARY, _OTHER = range(9)


@lean.frozen(eq=False)
class _Plan:
    """How to check one row: the careful rule, and what the shortcut of its shape needs."""

    rule: Rule
    shape: int = _OTHER
    first: ValType = BARRIER
    second: ValType = BARRIER
    result: ValType = BARRIER
    #: The largest alignment exponent.
    align: int = 0


def _fixed(row: Instr) -> _Plan:
    """The plan of a row with fixed types."""
    params, results = row.params or (), row.results or ()

    def rule(c: Checker, _: object) -> None:
        c.apply(params, results)

    def lane_rule(c: Checker, lanes: int | bytes) -> None:
        check_lanes(c, lanes)
        c.apply(params, results)

    if row.lanes:
        return _Plan(lane_rule)
    match params, results:
        case (), (result,):
            return _Plan(rule, _CONST, result=result)
        case (first,), (result,):
            return _Plan(rule, _UNARY, first, result=result)
        case (first, second), (result,):
            return _Plan(rule, _BINARY, first, second, result)
    return _Plan(rule)


_VARIABLES = {"local.get": _GET, "local.set": _SET, "local.tee": _TEE}


def _plan(row: Instr) -> _Plan:
    if row.params is not None:
        return _fixed(row)
    rule = RULES[row.name]
    if row.immediate is Immediate.MEMARG and row.value is not None and row.name not in OPERATIONS:
        align = row.width.bit_length() - 1
        if ".load" in row.name:
            return _Plan(rule, _LOAD, I32, result=row.value, align=align)
        return _Plan(rule, _STORE, I32, row.value, align=align)
    return _Plan(rule, _VARIABLES.get(row.name, _OTHER))


class _Plans(dict[Instr, _Plan | None]):
    """Plans of rows, each made when a body has the first of it; None where its feature is not on. Raises KeyError for a
    row that has neither fixed types nor a rule."""

    def __init__(self, features: Feature) -> None:
        super().__init__()
        self._features = features

    def __missing__(self, row: Instr) -> _Plan | None:
        plan = self[row] = _plan(row) if row.feature in self._features else None
        return plan


@cache
def _plans(features: Feature) -> _Plans:
    return _Plans(features)


@overload
def check_function(
    decls: Declarations,
    code: Code,
    ops: Sequence[Op],
    *,
    env: Env | None = None,
    collect: Literal[False] = False,
    meter: Meter | None = None,
) -> None: ...


@overload
def check_function(
    decls: Declarations, code: Code, ops: Sequence[Op], *, env: Env | None = None, collect: Literal[True]
) -> SideTable: ...


def check_function(
    decls: Declarations,
    code: Code,
    ops: Sequence[Op],
    *,
    env: Env | None = None,
    collect: bool = False,
    meter: Meter | None = None,
) -> SideTable | None:
    """Check a body, decoded into `ops`; with `collect`, describe it on the way.

    `env` saves gathering the module's index spaces again: `module.check_module` gives it. `meter` is shared by the
    bodies of a module; without one the body is measured alone. Raises InvalidError with the byte offset and the
    function's index, and LimitError.
    """
    env = Env.of(decls) if env is None else env
    type_ = env.funcs[code.index]
    locals_ = list(type_.params)
    for count, local in code.locals:
        env.require_types((local,), offset=code.start, func=code.index)
        locals_.extend(repeat(local, count))
    if not collect:
        _run(Checker(env, code.index, type_, locals_, ops, None, meter), ops)
        return None
    side = SideTable(Block("func", -1, (), type_.results, 0), dead=bytearray(len(ops)), locals=tuple(locals_))
    c = Checker(env, code.index, type_, locals_, ops, side, meter)
    _run(c, _watch(c, side))
    return side


def _watch(c: Checker, side: SideTable) -> Iterator[Op]:
    """The body, noting around each instruction whether it is dead and how high the stack was."""
    for index, op in enumerate(c.ops):
        frame = c.frames[-1]
        ends = op[1] is _END or op[1] is _ELSE
        side.dead[index] = frame.dead_entry if ends else frame.dead
        yield op
        side.max_height = max(side.max_height, c.height)


_END, _ELSE = BY_NAME["end"], BY_NAME["else"]


def _run(c: Checker, ops: Sequence[Op] | Iterator[Op]) -> None:
    """The loop. `ops` are the checker's, perhaps watched."""
    plans = _plans(c.env.features)
    plan_of = plans.__getitem__
    stack, locals_ = c.stack, c.locals
    # Shortcuts are for locals that have a value in any case.
    count = min(c.unset) if c.unset else len(locals_)
    address, memories, reach = _first_memories(c.env)
    push, pop = stack.append, stack.pop
    row: Instr
    immediate: Any  # its form belongs to the row
    for index, (_, row, immediate) in enumerate(ops):
        plan = plan_of(row)
        if plan is None:
            c.index = index
            raise _unsupported(c, row)
        shape = plan.shape
        if shape == _GET:
            if immediate < count:
                push(locals_[immediate])
                continue
        elif shape == _CONST:
            push(plan.result)
            continue
        elif shape == _BINARY:
            if stack[-1] is plan.second and stack[-2] is plan.first:
                pop()
                stack[-1] = plan.result
                continue
        elif shape == _LOAD:
            align, offset, memory = immediate
            if stack[-1] is address and align <= plan.align and memory < memories and offset <= reach:
                stack[-1] = plan.result
                continue
        elif shape == _SET:
            if immediate < count and stack[-1] is locals_[immediate]:
                pop()
                continue
        elif shape == _TEE:
            if immediate < count and stack[-1] is locals_[immediate]:
                continue
        elif shape == _UNARY:
            if stack[-1] is plan.first:
                stack[-1] = plan.result
                continue
        elif shape == _STORE:
            align, offset, memory = immediate
            if (
                stack[-1] is plan.second
                and stack[-2] is address
                and align <= plan.align
                and memory < memories
                and offset <= reach
            ):
                del stack[-2:]
                continue
        c.index = index
        c.row = row
        plan.rule(c, immediate)


def _first_memories(env: Env) -> tuple[ValType, int, int]:
    """What the shortcuts know of memories: how many of the first ones have the same address type, which, and the
    largest offset there."""
    address = env.memories[0].address if env.memories else I32
    first = sum(1 for _ in takewhile(lambda memory: memory.address is address, env.memories))
    return address, first, M32 if address is I32 else M64


def _unsupported(c: Checker, row: Instr) -> UnsupportedError:
    missing = next(f for f in row.feature if f not in c.env.features)
    return UnsupportedError(missing.text, f"instruction {row}", offset=c.ops[c.index][0], func=c.func)
