"""What a module declares (spec 2.5), as the decoder finds it and the validator judges it.

Indexes are as in the bytes, unchecked until validation. Function bodies stay in the module's bytes: a `Code` says
where one lies, and `binary.code.decode_body` reads it when somebody needs it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import TypeAlias

from . import lean
from .errors import InvalidError
from .instr.model import Op
from .typedefs import defined
from .types import CompType, DefType, FuncType, GlobalType, MemoryType, TableType, ValType


class ExternKind(enum.IntEnum):
    """Kinds of imports and exports, with their byte in the binary format."""

    FUNC = 0
    TABLE = 1
    MEMORY = 2
    GLOBAL = 3
    TAG = 4

    @property
    def text(self) -> str:
        return self.name.lower()


#: A constant expression, the closing `end` left out.
Expr: TypeAlias = "Sequence[Op]"


@lean.frozen
class Import:
    """`desc` is a type index for a function or a tag."""

    module: str
    name: str
    kind: ExternKind
    desc: int | TableType | MemoryType | GlobalType
    offset: int = 0


@lean.frozen
class Export:
    name: str
    kind: ExternKind
    index: int
    offset: int = 0


@lean.frozen
class Code:
    """A function of the module's own. `locals` are (count, type) pairs as declared, without the parameters; the
    expression lies in the module's bytes from `start` up to `end` (behind its closing `end` instruction)."""

    index: int
    type_index: int
    locals: tuple[tuple[int, ValType], ...]
    start: int
    end: int


@lean.frozen
class Table:
    type: TableType
    init: Expr | None = None
    offset: int = 0


@lean.frozen
class Memory:
    type: MemoryType
    offset: int = 0


@lean.frozen
class Global:
    type: GlobalType
    init: Expr
    offset: int = 0


@lean.frozen
class Tag:
    """A tag of the module's own: the index of its type."""

    type_index: int
    offset: int = 0


class Mode(enum.Enum):
    """How a segment is used."""

    ACTIVE = "active"
    PASSIVE = "passive"
    DECLARATIVE = "declarative"


@lean.frozen
class Elem:
    """An element segment. `target` and `at` (the offset expression) belong to the active mode."""

    type: ValType
    init: Sequence[Expr]
    mode: Mode
    target: int = 0
    at: Expr | None = None
    offset: int = 0


@lean.frozen
class Data:
    """A data segment; its bytes lie in the module from `start` to `end`."""

    start: int
    end: int
    mode: Mode
    target: int = 0
    at: Expr | None = None
    offset: int = 0


@lean.frozen
class Names:
    """The name section (appendix "Name Section"), as far as it could be read; never a cause of failure."""

    module: str | None = None
    funcs: dict[int, str] = lean.field(factory=dict)
    locals: dict[int, dict[int, str]] = lean.field(factory=dict)
    globals: dict[int, str] = lean.field(factory=dict)
    tags: dict[int, str] = lean.field(factory=dict)


@lean.frozen
class Declarations:
    """A decoded module. Imports come first in each index space."""

    types: tuple[CompType, ...] = ()
    imports: tuple[Import, ...] = ()
    codes: tuple[Code, ...] = ()
    tables: tuple[Table, ...] = ()
    memories: tuple[Memory, ...] = ()
    globals: tuple[Global, ...] = ()
    tags: tuple[Tag, ...] = ()
    exports: tuple[Export, ...] = ()
    start: int | None = None
    elems: tuple[Elem, ...] = ()
    data_count: int | None = None
    datas: tuple[Data, ...] = ()
    customs: tuple[tuple[str, int, int], ...] = ()
    names: Names = Names()
    #: The same types as `types`, as members of their recursion groups.
    defs: tuple[DefType, ...] = lean.field(
        factory=lean.of_self(lambda self: tuple(map(defined, self.types))), repr=False
    )

    def functype(self, index: int) -> FuncType:
        """The function type of this index. Raises InvalidError where there is none."""
        type_ = self.types[index] if index < len(self.types) else None
        if not isinstance(type_, FuncType):
            raise InvalidError(f"unknown type {index}" if type_ is None else f"type {index} is no function type")
        return type_

    def imported(self, kind: ExternKind) -> int:
        """How many entries of an index space are imported."""
        return sum(1 for i in self.imports if i.kind is kind)
