"""What a function body becomes: blocks of handlers, and sites where a frame is left or a request looked for.

A block is a list `[handlers, term, site, place]`. The handlers run one after the other on the frame's registers; then
`term(registers)` gives the next block. A block with a `site` has that dealt with first, by the loop. `place` says
which code the block belongs to and at which byte each handler's instruction lies. Blocks are lists because they refer
to one another in circles; once prepared they never change, and all instances of a module share them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

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
TAIL = 5  # return_call
TAIL_INDIRECT = 6  # return_call_indirect


@attrs.define(eq=False)
class Site:
    """A place where the loop takes over.

    `slots` are registers: the results of a RETURN, the arguments of a call. `op` is the place of a check point's
    instruction in the body, and `below` says where the operands are that a record there holds. `dest` is where a
    call's results go, `next` the block behind it.
    """

    kind: int
    pc: int
    code: Prepared
    slots: tuple[int, ...] = ()
    op: int = -1
    below: tuple[Operand, ...] = ()
    #: Function index of a call; (table, type) of an indirect one, whose table index is in register `at`.
    index: int = 0
    at: int = 0
    type: FuncType | None = None
    dest: int = 0
    next: Block | None = None
    #: Gives the argument registers' values at once; None for fewer than two.
    take: Callable[[Registers], tuple[Any, ...]] | None = None
    #: The callee's code, once a call has found it.
    target: Prepared | None = None

    @property
    def layout(self) -> Layout:
        """The layout of a check point's record. Not kept here: most are never asked for, and all together may take
        up the square of the body's size."""
        return self.code.layouts[self.op]


@attrs.define(eq=False)
class Prepared:
    """A function, ready to run in any instance of its module."""

    code: Code
    #: Registers behind the parameters at entry: declared locals as zero, then room for operands.
    tail: tuple[Any, ...]
    size: int
    layouts: Layouts
    entry: Block = attrs.field(factory=list)
    #: Check points by byte offset, for going on from a record.
    points: dict[int, Site] = attrs.field(factory=dict)
