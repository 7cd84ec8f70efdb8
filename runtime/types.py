"""Types of WebAssembly (spec 2.3): value, function, table, memory and global types, and how imports match them.

Value types are interned objects compared by identity, which the validator does for every operand. Typed references
will be further `ValType`s, interned by their heap type.
"""

from __future__ import annotations

from typing import TypeAlias

import attrs

from .limits import MAX_PAGES


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

VALTYPES: dict[int, ValType] = {t.code: t for t in (I32, I64, F32, F64, V128, FUNCREF, EXTERNREF)}


@attrs.frozen(repr=False)
class FuncType:
    """Parameter and result types of a function."""

    params: tuple[ValType, ...] = ()
    results: tuple[ValType, ...] = ()

    def __repr__(self) -> str:
        return f"({' '.join(t.name for t in self.params)}) -> ({' '.join(t.name for t in self.results)})"


@attrs.frozen
class TableType:
    """Element type and size limits, in entries. `max` is None where there is none."""

    elem: ValType
    min: int
    max: int | None = None


@attrs.frozen
class MemoryType:
    """Size limits, in pages of 64 KiB."""

    min: int
    max: int | None = None


@attrs.frozen
class GlobalType:
    """Type and mutability of a global."""

    content: ValType
    mutable: bool = False


ExternType: TypeAlias = FuncType | TableType | MemoryType | GlobalType


def describe(type_: ExternType) -> str:
    """`type_` in words, for messages."""
    match type_:
        case FuncType():
            return f"function {type_!r}"
        case TableType(elem, low, high):
            return f"table of {elem} with limits {_range(low, high)}"
        case MemoryType(low, high):
            return f"memory with limits {_range(low, high)} pages"
        case GlobalType(content, mutable):
            return f"{'mutable' if mutable else 'immutable'} global {content}"


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
            return have.elem is want.elem and limits_match(have.min, have.max, want.min, want.max)
        case MemoryType(), MemoryType():
            return limits_match(have.min, have.max, want.min, want.max)
        case GlobalType(), GlobalType():
            return have == want
        case _:
            return False


__all__ = [
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
    "ValType",
    "describe",
    "limits_match",
    "matches",
]
