"""What a row of the instruction table holds (spec 5.4 and 3.4).

A row says everything that decoder, validator, interpreter and lowering share: the code, the name in the text format,
the immediates, and the types where they are fixed. Rows without fixed types are marked by `params is None`; the
validator has a rule of the same name for each of those.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from .. import lean
from ..features import Feature
from ..types import ValType


class Immediate(enum.Enum):
    """Kinds of immediates, and the form that the decoder gives each.

    A row has at most one kind; kinds with several fields decode to a tuple in the order of the spec's *text* form,
    tables and memories first: `table.init x y` is (table, elem), `memory.copy x y` (destination, source).
    """

    NONE = enum.auto()  # None
    BLOCK_TYPE = enum.auto()  # None (empty), a ValType, or a type index (int); a FuncType where a body was rewritten
    LABEL = enum.auto()  # int
    LABELS = enum.auto()  # (tuple of labels, default label)
    FUNC = enum.auto()  # int
    CALL_INDIRECT = enum.auto()  # (table index, type index)
    LOCAL = enum.auto()  # int
    GLOBAL = enum.auto()  # int
    TABLE = enum.auto()  # int
    TABLE_TABLE = enum.auto()  # (destination, source)
    TABLE_ELEM = enum.auto()  # (table index, segment index)
    ELEM = enum.auto()  # int
    MEMARG = enum.auto()  # (align exponent below 64, offset below 2^64, memory index)
    MEMORY = enum.auto()  # int
    MEMORY_MEMORY = enum.auto()  # (destination, source)
    MEMORY_DATA = enum.auto()  # (memory index, segment index)
    DATA = enum.auto()  # int
    MEMARG_LANE = enum.auto()  # (align exponent, offset, memory index, lane)
    FENCE = enum.auto()  # None: a byte that must be zero
    LANE = enum.auto()  # int below 256
    LANES = enum.auto()  # 16 bytes, one a lane
    V128 = enum.auto()  # 16 bytes
    I32 = enum.auto()  # canonical int
    I64 = enum.auto()  # canonical int
    F32 = enum.auto()  # canonical float
    F64 = enum.auto()  # float
    REF_TYPE = enum.auto()  # a heap type, as the ValType of nullable references to it
    TYPE = enum.auto()  # int
    TYPE_FIELD = enum.auto()  # (type index, field index)
    TYPE_COUNT = enum.auto()  # (type index, number of operands)
    TYPE_DATA = enum.auto()  # (type index, segment index)
    TYPE_ELEM = enum.auto()  # (type index, segment index)
    TYPE_TYPE = enum.auto()  # (destination type, source type)
    CAST = enum.auto()  # (label, ValType that is given, ValType that is tried)
    VAL_TYPES = enum.auto()  # tuple of ValType
    TAG = enum.auto()  # int
    TRY_TABLE = enum.auto()  # (block type, tuple of Catch)


@lean.frozen(eq=False, repr=False)
class Instr:
    """One row. `code` is the opcode byte, or prefix << 16 | sub-opcode. `width` is the number of bytes that a load or
    store touches, `value` the type it puts on the stack or takes from it, `lanes` the number that a lane index is
    below. Rows are compared by identity."""

    code: int
    name: str
    immediate: Immediate = Immediate.NONE
    params: tuple[ValType, ...] | None = None
    results: tuple[ValType, ...] | None = None
    feature: Feature = Feature.MVP
    width: int = 0
    value: ValType | None = None
    lanes: int = 0

    @property
    def ident(self) -> str:
        """The name as a Python identifier: `i32_add`."""
        return self.name.replace(".", "_")

    def __repr__(self) -> str:
        return self.name


@lean.frozen
class Catch:
    """A clause of a `try_table`: where an exception of the tag `tag` (None: of any) goes, counted from outside of the
    block; with `ref`, the exception itself goes behind its values."""

    tag: int | None
    ref: bool
    label: int


#: A decoded instruction: byte offset in the module, row, immediate in the form that its kind names.
Op: TypeAlias = "tuple[int, Instr, object]"
