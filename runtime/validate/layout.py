"""The layout of a frame record at each check point: it depends on the WebAssembly code alone, never on a tier.

A record is `u32 pc`, `u32 flags`, then 8 bytes a slot (16 for v128): the live locals in ascending order, then the
operands. `pc` is the byte offset, in the module, of the check point: a `loop`, a call, or, for the function's entry,
the byte before the body's first instruction. At a call the operands are those beneath its arguments, and the live
locals those needed behind it: the callee has the arguments. Dead locals are not recorded and come back as zero.
"""

from __future__ import annotations

from struct import Struct
from typing import Literal

from .. import lean
from ..types import F64, I32, I64, V128, ValType

_CODES = {I32: "Q", I64: "Q", F64: "d", V128: "16s"}


@lean.frozen
class Layout:
    """One check point of one function. `index` is the instruction's place in the decoded body, -1 for the entry."""

    kind: Literal["entry", "loop", "call"]
    pc: int
    index: int
    #: Indexes of the live locals, ascending.
    live: tuple[int, ...]
    #: Types of the slots: live locals, then operands.
    types: tuple[ValType, ...]
    #: The whole record at once, where every slot is its canonical value as it is; None where one needs a closer look.
    struct: Struct | None = lean.field(init=False, repr=False, eq=False)

    def __post_init__(self) -> None:
        codes = [_CODES.get(type_) for type_ in self.types]
        whole = None if None in codes else Struct("<II" + "".join(filter(None, codes)))
        object.__setattr__(self, "struct", whole)

    @property
    def operands(self) -> int:
        """How many of the slots are operands."""
        return len(self.types) - len(self.live)
