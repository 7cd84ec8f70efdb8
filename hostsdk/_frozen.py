"""Pointers, function references and vectors as plain data, so that what keeps plain data (`ctx.once`) keeps them too.

Their type goes with them as its text, `Ptr[FuncRef[[u32], i32]]`, and is read back from the words that it is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._access import Access
from ._annotations import Hint, Place, word_of
from ._codecs import FuncWord, Plain, PtrWord
from ._engine import FUNCREF, V128, Array, Func, FuncHandle, I31Int, Struct, WasmException
from ._errors import ConversionError
from ._messages import Text
from ._types import (
    AnyRef,
    ArrayRef,
    EqRef,
    ExnRef,
    ExternRef,
    FuncRef,
    I31Ref,
    Ptr,
    StructRef,
    TypedFuncRef,
    f32,
    f64,
    i8,
    i16,
    i32,
    i64,
    u8,
    u16,
    u32,
    u64,
)

if TYPE_CHECKING:
    import ast

_NAMES: dict[str, Hint] = {
    "i8": i8, "u8": u8, "i16": i16, "u16": u16, "i32": i32, "u32": u32, "i64": i64, "u64": u64, "f32": f32, "f64": f64,
    "V128": V128, "bool": bool, "tuple": tuple, "Ptr": Ptr, "FuncRef": FuncRef, "TypedFuncRef": TypedFuncRef,
    "AnyRef": AnyRef, "ArrayRef": ArrayRef, "EqRef": EqRef, "ExnRef": ExnRef, "ExternRef": ExternRef, "I31Ref": I31Ref,
    "StructRef": StructRef, "Array": Array, "Func": Func, "I31Int": I31Int, "Struct": Struct,
    "WasmException": WasmException,
}  # fmt: skip


def freeze(value: object) -> Plain:
    """`value` as a tuple that `thaw` understands. A Ptr, FuncRef, V128 or function becomes plain data, anything else
    stays inside as it is. Raises ConversionError for a pointer to a record: keep its address."""
    match value:
        case Ptr():
            _read(value.text, value)
            return ("ptr", value.text, value.addr)
        case TypedFuncRef():
            return ("typed", value.callee.text, value.inst)
        case FuncHandle():
            return ("ref", value.inst)
        case FuncRef():
            return ("func", value.callee.text, value.index, value.name)
        case V128():
            return ("v128", value.raw)
        case _:
            return ("value", value)


def thaw(frozen: Plain, access: Access) -> object:
    """What `freeze` was given. Raises ConversionError for what `freeze` never made."""
    match frozen:
        case ("ptr", str(text), int(addr)):
            word = _read(text, frozen, access.wide)
            if isinstance(word, PtrWord):
                return word.lift(addr, access)
        case ("func", str(text), (int() | None) as index, (str() | None) as name):
            word = _read(text, frozen, access.wide)
            if isinstance(word, FuncWord):
                return FuncRef[Any, Any](index, name, word.callee)
        case ("typed", str(text), inst):
            word = _read(text, frozen, access.wide)
            if isinstance(word, FuncWord):
                return TypedFuncRef[Any, Any](None, None, word.callee, inst)
        case ("ref", inst):
            return access.reference(FUNCREF, inst)
        case ("v128", bytes(raw)):
            return V128(raw)
        case ("value", value):
            return value
    raise ConversionError(Text.FROZEN(value=repr(frozen)))


def _read(text: str, value: object, wide: bool = False) -> object:
    import ast

    try:
        return word_of(_hint(ast.parse(text, mode="eval").body), Place("type", wide=wide))
    except (SyntaxError, ValueError, KeyError, TypeError, RecursionError, MemoryError):
        raise ConversionError(Text.FROZEN(value=repr(value))) from None


def _hint(node: ast.expr) -> Hint:
    import ast

    match node:
        case ast.Name(id):
            return _NAMES[id]
        case ast.Constant(None):
            return None
        case ast.List(parts):
            return [_hint(part) for part in parts]
        case ast.Tuple(parts):
            return tuple(_hint(part) for part in parts)
        case ast.Subscript(kind, argument):
            return _hint(kind)[_hint(argument)]
        case _:
            raise ValueError(ast.dump(node))
