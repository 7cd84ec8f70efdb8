"""What checking a function finds out on the way, for whoever executes it.

Keys are indexes into the decoded body (the list of `Op`), not byte offsets. Only reachable code is described:
instructions behind an unconditional branch up to the next `end` or `else` never run and may lack types.
"""

from __future__ import annotations

from typing import Literal

from .. import lean
from ..types import ValType


@lean.define
class Block:
    """A structured instruction, or the function's body itself (`kind` "func", `start` -1).

    A branch to a loop goes to `start` and carries `params`; a branch to any other kind goes behind `end` and carries
    `results`. `height` is the number of operands beneath the parameters at its entry.
    """

    kind: Literal["func", "block", "loop", "if", "try"]
    start: int
    params: tuple[ValType, ...]
    results: tuple[ValType, ...]
    height: int
    end: int = -1
    else_: int = -1
    #: The innermost `try_table` around, by its `start`; -1 for none.
    guard: int = -1


@lean.define
class SideTable:
    """A by-product of checking a function body."""

    #: The body itself.
    func: Block
    #: Structured instructions by index of their opening instruction; dead ones are left out.
    blocks: dict[int, Block] = lean.field(factory=dict)
    #: Operand types at each check point: at a `loop` all operands with its parameters; at a call (`call`,
    #: `call_indirect`) those beneath its arguments. Tail calls leave nothing behind and are not listed.
    operands: dict[int, tuple[ValType, ...]] = lean.field(factory=dict)
    #: The innermost `try_table` around each check point and each `throw` that has one, by that one's `start`.
    guards: dict[int, int] = lean.field(factory=dict)
    #: One byte for each instruction: 1 where it can't be reached.
    dead: bytearray = lean.field(factory=bytearray)
    #: Types of parameters and declared locals, in order.
    locals: tuple[ValType, ...] = ()
    #: The most operands that are ever on the stack.
    max_height: int = 0
