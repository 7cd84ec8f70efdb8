"""What a function body becomes: blocks of handlers, and sites where a frame is left or a request looked for.

A block is a list `[handlers, term, site, place]`. The handlers run one after the other on the frame's registers; then
`term(registers)` gives the next block. A block with a `site` has that dealt with first, by the loop. `place` says
which code the block belongs to and at which byte each handler's instruction lies. Blocks are lists because they refer
to one another in circles; once prepared they never change, and all instances of a module share them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from .. import lean
from ..declarations import Code
from ..types import FuncType
from ..validate.layout import Layout
from ..validate.liveness import Layouts
from .registry import Operand

Registers: TypeAlias = "list[Any]"
Block: TypeAlias = "list[Any]"

# Kinds of sites: plain ints, since the loop compares one for each call and back-edge.
LOOP = 0  # a loop's header, reached by a branch: look for requests
RETURN = 1  # the frame is done
CALL = 2  # a function of the same module
INVOKE = 3  # an imported function
INDIRECT = 4  # through a table
THROW = 5
THROW_REF = 6
WAIT = 7  # an atomic wait: a function of the engine's own
REF = 8  # through a function reference
# From here on: in place of the frame at hand.
TAIL = 9  # return_call
TAIL_INDIRECT = 10  # return_call_indirect
TAIL_REF = 11  # return_call_ref
MACHINE = 12  # a function's entry, where another tier runs the function
ONWARDS = 13  # a loop's header, reached by a branch, where another tier goes on


@lean.frozen(eq=False)
class Clause:
    """Where an exception goes: `tag` is the index of its tag, None for any; its values go to registers from `dest` on,
    with `ref` the exception itself behind them."""

    tag: int | None
    ref: bool
    dest: int
    target: Block


@lean.frozen(eq=False)
class Guard:
    """A `try_table`, and the one around it."""

    clauses: tuple[Clause, ...]
    outer: Guard | None


@lean.define(eq=False)
class Site:
    """A place where the loop takes over.

    `slots` are registers: the results of a RETURN, the arguments of a call or throw. `op` is the place of a check
    point's instruction in the body, and `below` says where the operands are that a record there holds. `dest` is where
    a call's results go, `next` the block behind it.
    """

    kind: int
    pc: int
    code: Prepared
    slots: tuple[int, ...] = ()
    op: int = -1
    below: tuple[Operand, ...] = ()
    #: Function index of a call, tag index of a throw; (table, type) of an indirect call, whose table index is in
    #: register `at`.
    index: int = 0
    at: int = 0
    type: FuncType | None = None
    dest: int = 0
    next: Block | None = None
    #: Gives the argument registers' values at once; None for fewer than two.
    take: Callable[[Registers], tuple[Any, ...]] | None = None
    #: The innermost `try_table` that the site is in.
    guard: Guard | None = None
    #: The callee's code, once a call has found it.
    target: Prepared | None = None

    @property
    def layout(self) -> Layout:
        """The layout of a check point's record. Not kept here: most are never asked for, and all together may take
        up the square of the body's size."""
        return self.code.layouts[self.op]


@lean.define(eq=False)
class Prepared:
    """A function, ready to run in any instance of its module."""

    code: Code
    #: Registers behind the parameters at entry: declared locals as zero, then room for operands.
    tail: tuple[Any, ...]
    size: int
    layouts: Layouts
    entry: Block = lean.field(factory=list)
    #: Check points by byte offset, for going on from a record.
    points: dict[int, Site] = lean.field(factory=dict)
    #: The blocks that branches back come to, by the loop's byte offset.
    loops: dict[int, Block] = lean.field(factory=dict)
    #: The first block, where another tier has taken the entry, with its check point.
    first: Block | None = None
