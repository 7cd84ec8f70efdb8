"""Types of WebAssembly (spec 2.3): value, function, table, memory and global types, and how imports match them.

Value types are interned objects compared by identity, which the validator does for every operand. Typed references
will be further `ValType`s, interned by their heap type.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from .limits import MAX_PAGES, MAX_PAGES_64, PAGE


@attrs.frozen(eq=False, repr=False)
class ValType:
    """A value type. `code` is its byte in the binary format; `slot` the bytes it takes in a frame record."""

    name: str
    code: int
    is_ref: bool = False
    slot: int = 8

    def __repr__(self) -> str:
        return self.name


I32 = ValType("i32", 0x7F)
I64 = ValType("i64", 0x7E)
F32 = ValType("f32", 0x7D)
F64 = ValType("f64", 0x7C)
V128 = ValType("v128", 0x7B, slot=16)
FUNCREF = ValType("funcref", 0x70, is_ref=True)
EXTERNREF = ValType("externref", 0x6F, is_ref=True)
EXNREF = ValType("exnref", 0x69, is_ref=True)

VALTYPES: dict[int, ValType] = {t.code: t for t in (I32, I64, F32, F64, V128, FUNCREF, EXTERNREF, EXNREF)}


@attrs.frozen(repr=False)
class FuncType:
    """Parameter and result types of a function."""

    params: tuple[ValType, ...] = ()
    results: tuple[ValType, ...] = ()

    def __repr__(self) -> str:
        return f"({' '.join(t.name for t in self.params)}) -> ({' '.join(t.name for t in self.results)})"


@attrs.frozen
class TableType:
    """Element type and size limits, in entries. `max` is None where there is none; `address` is the type of indexes,
    i32 or i64."""

    elem: ValType
    min: int
    max: int | None = None
    address: ValType = I32


@attrs.frozen
class MemoryType:
    """Size limits, in pages of `page` bytes: 64 KiB, or one. `address` is the type of addresses, i32 or i64."""

    min: int
    max: int | None = None
    address: ValType = I32
    page: int = PAGE

    @property
    def most(self) -> int:
        """The most pages that any memory with such addresses and pages can have."""
        if self.page == 1:
            return (1 << (32 if self.address is I32 else 64)) - 1
        return MAX_PAGES if self.address is I32 else MAX_PAGES_64


@attrs.frozen
class GlobalType:
    """Type and mutability of a global."""

    content: ValType
    mutable: bool = False


@attrs.frozen
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
            return f"function {type_!r}"
        case TableType(elem, low, high, address):
            return f"{_wide(address)}table of {elem} with limits {_range(low, high)}"
        case MemoryType(low, high, address, page):
            pages = "pages" if page == PAGE else f"pages of {page} bytes"
            return f"{_wide(address)}memory with limits {_range(low, high)} {pages}"
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
            return have == want
        case TableType(), TableType():
            same = have.elem is want.elem and have.address is want.address
            return same and limits_match(have.min, have.max, want.min, want.max)
        case MemoryType(), MemoryType():
            same = have.address is want.address and have.page == want.page
            return same and limits_match(have.min, have.max, want.min, want.max)
        case (GlobalType(), GlobalType()) | (TagType(), TagType()):
            return have == want
        case _:
            return False


__all__ = [
    "EXNREF",
    "EXTERNREF",
    "F32",
    "F64",
    "FUNCREF",
    "I32",
    "I64",
    "MAX_PAGES",
    "V128",
    "VALTYPES",
    "ExternType",
    "FuncType",
    "GlobalType",
    "MemoryType",
    "TableType",
    "TagType",
    "ValType",
    "describe",
    "limits_match",
    "matches",
]
