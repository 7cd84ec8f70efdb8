"""Types of WebAssembly (spec 2.3): value, function, struct, array, table, memory and global types; when one matches
another (3.3), and how imports match them.

Value types are interned objects compared by identity, which the validator does for every operand. A reference type is
interned by its heap type and by whether it may be null. Heap types are interned, too: the abstract ones are the
constants below, the defined ones (`DefType`) come from `typedefs`, which makes one object of all that are the same.
"""

from __future__ import annotations

from typing import TypeAlias

from . import lean
from .limits import MAX_PAGES, MAX_PAGES_64, PAGE


@lean.define(eq=False, repr=False)
class Heap:
    """An abstract heap type: what a reference refers to. `above` are the abstract types that it is a subtype of,
    itself among them; `code` its byte in the binary format."""

    name: str
    code: int
    above: frozenset[Heap] = frozenset()
    _refs: dict[bool, ValType] = lean.field(factory=dict, init=False)

    def __post_init__(self) -> None:
        self.above = self.above | {self}

    @property
    def text(self) -> str:
        """As the text format writes it."""
        return self.name

    def ref(self, nullable: bool = True) -> ValType:
        """The type of references to this: always the same object."""
        found = self._refs.get(nullable)
        return found or self._refs.setdefault(nullable, ValType("", self.code, True, heap=self, nullable=nullable))


@lean.define(eq=False, repr=False)
class DefType:
    """A defined type: one member of a recursion group, the group's place in it known. `typedefs` makes it, and gives
    the same object for the same type, whatever module it is from (the spec's iso-recursive equivalence, 3.3.2).

    `line` are the types that it descends from by its declared supertypes, eldest first, itself last.
    """

    comp: CompType
    final: bool
    line: tuple[DefType, ...]
    #: Of all members, this one among them, in order; and its own place.
    group: tuple[DefType, ...] = ()
    place: int = 0
    _refs: dict[bool, ValType] = lean.field(factory=dict, init=False)
    __weakref__: object = lean.field(init=False)

    @property
    def kind(self) -> Heap:
        """The abstract heap type just above all types of its shape: func, struct or array."""
        return _KINDS[type(self.comp)]

    @property
    def text(self) -> str:
        """Its shape, for people; references within are named by their kind alone."""
        return f"({self.kind.name} {self.comp!r})"

    @property
    def supertype(self) -> DefType | None:
        """The supertype that it declares."""
        return self.line[-2] if len(self.line) > 1 else None

    def ref(self, nullable: bool = True) -> ValType:
        """The type of references to this: always the same object."""
        found = self._refs.get(nullable)
        return found or self._refs.setdefault(nullable, ValType("", 0, True, heap=self, nullable=nullable))

    def extends(self, other: DefType) -> bool:
        """Whether it is `other`, or descends from it."""
        depth = len(other.line) - 1
        return self is other or (depth < len(self.line) and self.line[depth] is other)


HeapType: TypeAlias = "Heap | DefType"


@lean.frozen(eq=False, repr=False)
class ValType:
    """A value type. `code` is its byte in the binary format, that of its heap type for a reference; `slot` the bytes
    it takes in a frame record. A reference has a heap type, and may be null or not."""

    _name: str
    code: int
    is_ref: bool = False
    slot: int = 8
    heap: HeapType | None = None
    nullable: bool = False

    @property
    def name(self) -> str:
        """As the text format writes it, but that defined types are written out."""
        heap = self.heap
        if heap is None:
            return self._name
        if self.nullable and isinstance(heap, Heap) and heap in _SHORT:
            return _SHORT[heap]
        return f"(ref {'null ' if self.nullable else ''}{heap.text})"

    @property
    def brief(self) -> str:
        """The same, a defined type named by its kind alone."""
        if isinstance(self.heap, DefType):
            return f"(ref {'null ' if self.nullable else ''}{self.heap.kind.name})"
        return self.name

    @property
    def kind(self) -> Heap | None:
        """Of a reference, the abstract heap type that its own one is, or lies just below of."""
        return self.heap.kind if isinstance(self.heap, DefType) else self.heap

    @property
    def defaultable(self) -> bool:
        """Whether there is a value to begin with: all but references that can't be null."""
        return self.nullable or not self.is_ref

    def __repr__(self) -> str:
        return self.name


I32 = ValType("i32", 0x7F)
I64 = ValType("i64", 0x7E)
F32 = ValType("f32", 0x7D)
F64 = ValType("f64", 0x7C)
V128 = ValType("v128", 0x7B, slot=16)
#: Packed storage types of fields; no values have them.
I8 = ValType("i8", 0x78)
I16 = ValType("i16", 0x77)

ANY = Heap("any", 0x6E)
EQ = Heap("eq", 0x6D, ANY.above)
I31 = Heap("i31", 0x6C, EQ.above)
STRUCT = Heap("struct", 0x6B, EQ.above)
ARRAY = Heap("array", 0x6A, EQ.above)
NONE = Heap("none", 0x71, I31.above | STRUCT.above | ARRAY.above)
FUNC = Heap("func", 0x70)
NOFUNC = Heap("nofunc", 0x73, FUNC.above)
EXTERN = Heap("extern", 0x6F)
NOEXTERN = Heap("noextern", 0x72, EXTERN.above)
EXN = Heap("exn", 0x69)
NOEXN = Heap("noexn", 0x74, EXN.above)
#: What a reference that unreachable code made up refers to: a subtype of all.
BOTTOM_HEAP = Heap("bot", 0)

#: Abstract heap types by their byte.
HEAPS: dict[int, Heap] = {
    heap.code: heap for heap in (ANY, EQ, I31, STRUCT, ARRAY, NONE, FUNC, NOFUNC, EXTERN, NOEXTERN, EXN, NOEXN)
}
_SHORT = {heap: f"{heap.name}ref" for heap in HEAPS.values()} | {
    NONE: "nullref",
    NOFUNC: "nullfuncref",
    NOEXTERN: "nullexternref",
    NOEXN: "nullexnref",
}

FUNCREF = FUNC.ref()
EXTERNREF = EXTERN.ref()
ANYREF = ANY.ref()
EQREF = EQ.ref()
I31REF = I31.ref()
STRUCTREF = STRUCT.ref()
ARRAYREF = ARRAY.ref()
EXNREF = EXN.ref()

#: Value types that take one byte in the binary format.
VALTYPES: dict[int, ValType] = {t.code: t for t in (I32, I64, F32, F64, V128, *(h.ref() for h in HEAPS.values()))}


@lean.frozen(repr=False)
class FuncType:
    """Parameter and result types of a function. Two are equal if they are the same type.

    `of` is the defined type, unless that is the plain one of such a function: final, without a supertype, in a group
    of its own, not about itself.
    """

    params: tuple[ValType, ...] = ()
    results: tuple[ValType, ...] = ()
    of: DefType | None = lean.field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"({' '.join(t.brief for t in self.params)}) -> ({' '.join(t.brief for t in self.results)})"


@lean.frozen
class FieldType:
    """Type of a struct's field or of an array's elements. `storage` may be packed: i8 or i16."""

    storage: ValType
    mutable: bool = False

    @property
    def packed(self) -> bool:
        return self.storage is I8 or self.storage is I16

    @property
    def value(self) -> ValType:
        """The type of the values that go in and come out."""
        return I32 if self.packed else self.storage

    @property
    def defaultable(self) -> bool:
        return self.storage.defaultable

    @property
    def text(self) -> str:
        return f"(mut {self.storage.brief})" if self.mutable else self.storage.brief


@lean.frozen(eq=False, repr=False)
class StructType:
    """The fields of a struct. Compared by identity."""

    fields: tuple[FieldType, ...]
    of: DefType
    #: Types of the fields' values.
    values: tuple[ValType, ...] = lean.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple([field.value for field in self.fields]))

    def __repr__(self) -> str:
        shown = [field.text for field in self.fields[:8]]
        return f"({' '.join(shown)}{' ...' if len(self.fields) > 8 else ''})"


@lean.frozen(eq=False, repr=False)
class ArrayType:
    """The elements of an array. Compared by identity."""

    field: FieldType
    of: DefType

    def __repr__(self) -> str:
        return f"({self.field.text})"


CompType: TypeAlias = FuncType | StructType | ArrayType
_KINDS: dict[type, Heap] = {FuncType: FUNC, StructType: STRUCT, ArrayType: ARRAY}


def heap_matches(have: HeapType, want: HeapType) -> bool:
    """Whether one heap type is a subtype of the other (spec 3.3.3)."""
    if have is want or have is BOTTOM_HEAP:
        return True
    if isinstance(want, DefType):
        if isinstance(have, DefType):
            return have.extends(want)
        return have is (NOFUNC if want.kind is FUNC else NONE)
    return want in (have.kind if isinstance(have, DefType) else have).above


def type_matches(have: ValType, want: ValType) -> bool:
    """Whether one value type is a subtype of the other (spec 3.3.4)."""
    if have is want:
        return True
    if have.heap is None or want.heap is None or have.nullable > want.nullable:
        return False
    return heap_matches(have.heap, want.heap)


def types_match(have: tuple[ValType, ...], want: tuple[ValType, ...]) -> bool:
    """Whether each of some types is a subtype of its partner."""
    return have == want or (len(have) == len(want) and all(map(type_matches, have, want)))


def func_matches(have: FuncType, want: FuncType) -> bool:
    """Whether a function of one type may be where the other is asked for: it is that type, or descends from it."""
    # What `==` says, faster: instances are made of this.
    if have.params == want.params and have.results == want.results and have.of is want.of:
        return True
    return have.of is not None and want.of is not None and have.of.extends(want.of)


def non_null(type_: ValType) -> ValType:
    """The same reference type without null."""
    return type_ if type_.heap is None else type_.heap.ref(False)


@lean.frozen
class TableType:
    """Element type and size limits, in entries. `max` is None where there is none; `address` is the type of indexes,
    i32 or i64."""

    elem: ValType
    min: int
    max: int | None = None
    address: ValType = I32


@lean.frozen
class MemoryType:
    """Size limits, in pages of `page` bytes: 64 KiB, or one. `address` is the type of addresses, i32 or i64; a
    `shared` memory may be used by several threads at once."""

    min: int
    max: int | None = None
    address: ValType = I32
    page: int = PAGE
    shared: bool = False

    @property
    def most(self) -> int:
        """The most pages that any memory with such addresses and pages can have."""
        if self.page == 1:
            return (1 << (32 if self.address is I32 else 64)) - 1
        return MAX_PAGES if self.address is I32 else MAX_PAGES_64


@lean.frozen
class GlobalType:
    """Type and mutability of a global."""

    content: ValType
    mutable: bool = False


@lean.frozen
class TagType:
    """The type of a tag: that of a function which takes what its exceptions carry, and gives nothing."""

    type: FuncType

    @property
    def params(self) -> tuple[ValType, ...]:
        """What an exception carries."""
        return self.type.params


ExternType: TypeAlias = FuncType | TableType | MemoryType | GlobalType | TagType


def describe(type_: ExternType) -> str:
    """`type_` in words, for messages."""
    match type_:
        case FuncType():
            return f"function {type_!r}{'' if type_.of is None else ' (declared open, or in a group)'}"
        case TableType(elem, low, high, address):
            return f"{_wide(address)}table of {elem} with limits {_range(low, high)}"
        case MemoryType(low, high, address, page, shared):
            pages = "pages" if page == PAGE else f"pages of {page} bytes"
            return f"{'shared ' if shared else ''}{_wide(address)}memory with limits {_range(low, high)} {pages}"
        case GlobalType(content, mutable):
            return f"{'mutable' if mutable else 'immutable'} global {content}"
        case TagType(type_):
            return f"tag ({' '.join(t.name for t in type_.params)})"


def _wide(address: ValType) -> str:
    return "" if address is I32 else "64-bit "


def _range(low: int, high: int | None) -> str:
    return f"{low}.." + ("" if high is None else str(high))


def limits_match(low: int, high: int | None, want_low: int, want_high: int | None) -> bool:
    """Spec 3.3.10 (import matching of limits): at least as large at the bottom, at most at the top."""
    if low < want_low:
        return False
    return want_high is None or (high is not None and high <= want_high)


def matches(have: ExternType, want: ExternType) -> bool:
    """Whether an extern of type `have` may be given for an import of type `want` (spec 3.3.10).

    For tables and memories, `have.min` is the current size.
    """
    match have, want:
        case FuncType(), FuncType():
            return func_matches(have, want)
        case TableType(), TableType():
            same = have.elem is want.elem and have.address is want.address
            return same and limits_match(have.min, have.max, want.min, want.max)
        case MemoryType(), MemoryType():
            same = have.address is want.address and have.page == want.page and have.shared == want.shared
            return same and limits_match(have.min, have.max, want.min, want.max)
        case TagType(), TagType():
            return have == want
        case GlobalType(), GlobalType():
            if have.mutable or want.mutable:
                return have == want
            return type_matches(have.content, want.content)
        case _:
            return False


__all__ = [
    "ANY",
    "ANYREF",
    "ARRAY",
    "ARRAYREF",
    "BOTTOM_HEAP",
    "EQ",
    "EQREF",
    "EXN",
    "EXNREF",
    "EXTERN",
    "EXTERNREF",
    "F32",
    "F64",
    "FUNC",
    "FUNCREF",
    "HEAPS",
    "I8",
    "I16",
    "I31",
    "I31REF",
    "I32",
    "I64",
    "MAX_PAGES",
    "NOEXN",
    "NOEXTERN",
    "NOFUNC",
    "NONE",
    "STRUCT",
    "STRUCTREF",
    "V128",
    "VALTYPES",
    "ArrayType",
    "CompType",
    "DefType",
    "ExternType",
    "FieldType",
    "FuncType",
    "GlobalType",
    "Heap",
    "HeapType",
    "MemoryType",
    "StructType",
    "TableType",
    "TagType",
    "ValType",
    "describe",
    "func_matches",
    "heap_matches",
    "limits_match",
    "matches",
    "non_null",
    "type_matches",
    "types_match",
]
