"""Structs and arrays as saved data. They may refer to one another in circles, so they are made empty first."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import SnapshotError, Trap
from ..instances.budget import Budget
from ..instances.objects import Array, Objects, Struct, size_of, storage
from ..types import I8, I16, V128, ArrayType, FieldType, StructType, ValType
from ..values import Value
from .check import field, same_length
from .form import corrupt
from .types import TypeReader, TypeWriter

#: Owner of what has none yet.
_NOBODY = Objects(Budget(0))


def describe(value: Struct | Array, types: TypeWriter, save: Callable[[ValType, Value], object]) -> object:
    """An object as data. `save` turns what a field holds into data."""
    comp = value.type.comp
    if isinstance(value, Struct) and isinstance(comp, StructType):
        content: object = [save(f.value, v) for f, v in zip(comp.fields, value.fields, strict=True)]
    else:
        content = _elements(value.data, save, value.type.comp)  # type: ignore[union-attr]  # an array has them
    return {"type": types.defined(value.type), "content": content}


def _elements(data: Any, save: Callable[[ValType, Value], object], comp: object) -> object:
    if isinstance(data, bytearray):
        return bytes(data)
    if isinstance(data, array):
        little = data
        if sys.byteorder == "big":
            little = data[:]
            little.byteswap()
        return little.tobytes()
    type_ = comp.field.storage if isinstance(comp, ArrayType) else V128
    return b"".join(data) if type_ is V128 else [save(type_, value) for value in data]


def empty(data: Any, types: TypeReader) -> Struct | Array:
    """An object of the right type, with nothing in it yet."""
    type_ = types.defined(field(data, "type", list))
    if isinstance(type_.comp, StructType):
        return Struct(type_, [], _NOBODY)
    if isinstance(type_.comp, ArrayType):
        return Array(type_, [], _NOBODY)
    raise corrupt("an object of a function type")


def fill(made: Struct | Array, data: Any, owner: Objects, load: Callable[[ValType, Any], Value]) -> None:
    """Give an object what it holds, and have its owner account for it. Raises SnapshotError."""
    comp = made.type.comp
    made.owner = owner
    if isinstance(made, Struct) and isinstance(comp, StructType):
        given = same_length(field(data, "content", list), len(comp.fields), "fields")
        made.fields[:] = [_packed(f, load(f.value, v)) for f, v in zip(comp.fields, given, strict=True)]
    elif isinstance(made, Array) and isinstance(comp, ArrayType):
        made.data = _loaded(comp.field, field(data, "content", list, bytes), load)
    try:
        made.owner.take(size_of(made))
    except Trap:
        raise SnapshotError("the snapshot's structs and arrays exceed the limit") from None


def _packed(field_: FieldType, value: Value) -> Value:
    if field_.packed and (type(value) is not int or value > {I8: 0xFF, I16: 0xFFFF}[field_.storage]):
        raise corrupt(f"{value!r} in a packed field")
    return value


def _loaded(field_: FieldType, content: Any, load: Callable[[ValType, Any], Value]) -> Any:
    kind = storage(field_.storage)
    if not kind.width:
        items: Sequence[Any] = content if type(content) is list else ()
        if type(content) is not list:
            raise corrupt("an array of references without any")
        return [load(field_.storage, item) for item in items]
    if type(content) is not bytes or len(content) % kind.width:
        raise corrupt("an array with a part of an element")
    return kind.from_bytes(content)
