"""Structs and arrays (spec 4.2.13): objects that live as long as somebody refers to them.

Python's own collector frees them, circles too; `Objects` only counts what an instance has made, against the limit of
its memories. What a field or an element holds is in its stored form: packed integers cut to their width, an f32 in an
array as its bits.
"""

from __future__ import annotations

import gc
import sys
from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final
from weakref import WeakMethod

from .. import lean
from ..errors import Trap, TrapCode
from ..types import (
    ANY,
    ARRAY,
    EQ,
    EXN,
    EXTERN,
    F32,
    F64,
    FUNC,
    I8,
    I16,
    I31,
    I32,
    I64,
    STRUCT,
    V128,
    ArrayType,
    DefType,
    FieldType,
    FuncType,
    Heap,
    HeapType,
    StructType,
    ValType,
    func_matches,
)
from ..values import I31Int, Value, default, f32_from_bits, f32_to_bits, i31, to_python, to_wasm
from .budget import Budget
from .exception import ExnInst, WasmException
from .func import FuncHandle, FuncInst, HostFunc, WasmFunc

#: Bytes that an object takes by itself, and each field of a struct with what it usually refers to.
_OBJECT, _FIELD = 160, 40
#: Bytes taken from the budget at once.
_CHUNK = 1 << 20


class Objects:
    """What an instance has made, by its size. `room` is what is left of the bytes taken from the budget.

    Nothing is noted when an object dies: once the budget is used up, the objects that are left are counted. An object
    that doesn't leave a sixteenth of the limit free then is refused, so that the cost of counting is spread.
    """

    __slots__ = ("__weakref__", "budget", "charged", "room", "shown", "skip", "vain")

    def __init__(self, budget: Budget, shown: Callable[[FuncInst], object] = FuncHandle) -> None:
        self.budget = budget
        #: What Python code outside of the engine gets of a function that a field refers to.
        self.shown = shown
        self.room = 0
        self.charged = 0
        #: How often others have asked in vain, and how many of their next requests go unheard.
        self.vain = self.skip = 0
        budget.reclaim = WeakMethod(self.reclaim)

    def take(self, size: int) -> None:
        """Account for a new object. Traps where it exceeds the limit."""
        self.room -= size
        if self.room < 0:
            self._more(size)

    def _more(self, size: int) -> None:
        self.room += size
        spare = self.budget.limit // 16
        amount = max(min(_CHUNK, spare), size)
        if not self.budget.take(amount):
            self.count()
            if self.budget.used + amount + spare > self.budget.limit or not self.budget.take(amount):
                raise Trap(TrapCode.LIMIT, f"{TrapCode.LIMIT.value}: {size} bytes for a struct or array")
        self.charged += amount
        self.room += amount - size

    def reclaim(self) -> None:
        """Somebody else needs what objects took that are gone. A guest may ask that for ever, so that requests in vain
        become rarer."""
        if self.skip:
            self.skip -= 1
        elif self.charged:
            before = self.charged
            self.count()
            self.vain = self.vain + 1 if before - self.charged < self.budget.limit // 16 else 0
            self.skip = min(1 << self.vain >> 3, 1 << 12)

    def count(self) -> None:
        """Give back to the budget what objects took that are gone."""
        gc.collect()
        found = gc.get_objects()
        left = sum([size_of(o) for o in found if (type(o) is Struct or type(o) is Array) and o.owner is self])
        self.budget.give(self.charged - left)
        self.charged = left
        self.room = 0


class Struct:
    """A struct. An object of the guest's: Python code may hold it, compare it by identity, hand it back, and use `get`,
    `set` and `len`; all else belongs to the engine. A host function whose call has a record may find other values in it
    when it is entered again: what it went by is kept by `ctx.once`."""

    __slots__ = ("__weakref__", "fields", "owner", "type")

    def __init__(self, type_: DefType, fields: list[Any], owner: Objects) -> None:
        self.type = type_
        #: The fields in stored form.
        self.fields = fields
        self.owner = owner

    def __len__(self) -> int:
        return len(self.fields)

    def get(self, index: int) -> object:
        """A field as Python has it, a packed one signed, a function as something to call. Raises IndexError."""
        return _shown(self._field(index), self.fields[index], self.owner)

    def set(self, index: int, value: object) -> None:
        """Set a mutable field to a Python number or a reference. Raises IndexError, TypeError or OverflowError."""
        self.fields[index] = _given(self._field(index), value)

    def _field(self, index: int) -> FieldType:
        if not 0 <= index < len(self.fields):
            raise IndexError(f"{self!r} has no field {index}")
        comp = self.type.comp
        if not isinstance(comp, StructType):
            raise TypeError(f"{self!r} is no struct")
        return comp.fields[index]

    def __repr__(self) -> str:
        return f"<wasm {self.type.text} at {id(self):#x}>"

    def __reduce__(self) -> str:
        raise TypeError("a guest's struct can't be pickled; save the execution")


class Array:
    """An array. As with `Struct`, Python code may use `get`, `set` and `len`."""

    __slots__ = ("__weakref__", "data", "owner", "type")

    def __init__(self, type_: DefType, data: Any, owner: Objects) -> None:
        self.type = type_
        #: The elements in stored form, in the container that their `Storage` says.
        self.data = data
        self.owner = owner

    def __len__(self) -> int:
        return len(self.data)

    def get(self, index: int) -> object:
        """An element as Python has it, a packed one signed, a function as something to call. Raises IndexError."""
        field = self._element(index)
        return _shown(field, storage(field.storage).load(self.data[index]), self.owner)

    def set(self, index: int, value: object) -> None:
        """Set a mutable element to a Python number or a reference. Raises IndexError, TypeError or OverflowError."""
        field = self._element(index)
        self.data[index] = storage(field.storage).store(_given(field, value))

    def _element(self, index: int) -> FieldType:
        if not 0 <= index < len(self.data):
            raise IndexError(f"{self!r} has no element {index}")
        comp = self.type.comp
        if not isinstance(comp, ArrayType):
            raise TypeError(f"{self!r} is no array")
        return comp.field

    def __repr__(self) -> str:
        return f"<wasm {self.type.text} of {len(self.data)} at {id(self):#x}>"

    def __reduce__(self) -> str:
        raise TypeError("a guest's array can't be pickled; save the execution")


#: Classes of what a guest's references refer to, but for objects of the host's.
REFERENCES: Final = (Struct, Array, I31Int, WasmFunc, HostFunc, ExnInst)


def _shown(field: FieldType, value: Value, owner: Objects) -> object:
    if field.packed and isinstance(value, int):
        top = 0x80 if field.storage is I8 else 0x8000
        return (value ^ top) - top
    if isinstance(value, (WasmFunc, HostFunc)):
        return owner.shown(value)
    if isinstance(value, ExnInst):
        return WasmException.of(value)
    return to_python(field.storage, value)


def _given(field: FieldType, value: object) -> Value:
    """What `set` was given, in stored form but for an f32's."""
    if not field.mutable:
        raise TypeError("the field is immutable")
    if field.storage.is_ref:
        found = taken(value, field.storage)
        if not is_a(found, field.storage):
            raise TypeError(f"a {type(value).__name__} is no {field.storage}")
        return found
    number = to_wasm(field.value, value)
    return number & _MASKS[field.storage] if isinstance(number, int) and field.packed else number


_MASKS: Final = {I8: 0xFF, I16: 0xFFFF}


def taken(value: object, type_: ValType) -> Value:
    """What the engine has of a reference that Python code gives for `type_`; whether it fits is not looked at. Raises
    OverflowError for an int that is no i31."""
    kind = type_.kind
    if isinstance(value, FuncHandle) and kind is FUNC:
        return value.inst
    if isinstance(value, WasmException) and kind is EXN:
        return value.exn
    if isinstance(value, int) and (type(value) is I31Int or kind is I31):
        return i31(value)
    return value


# Storage of arrays -------------------------------------------------------------------------------------------------


@lean.frozen(eq=False)
class Storage:
    """How arrays keep their elements: `make` gives the container of some stored elements, of which `size` is the
    number of bytes that each is accounted for; `width` their number in a data segment, 0 for references."""

    make: Callable[[Sequence[Any]], Any]
    size: int
    width: int
    store: Callable[[Any], Any] = lambda value: value
    load: Callable[[Any], Any] = lambda value: value
    #: Whether the stored form of a value is of another Python type.
    converts: bool = False

    def filled(self, value: Value, count: int) -> Any:
        """`count` times the same."""
        return self.make([self.store(value)]) * count

    def from_bytes(self, data: bytes) -> Any:
        """The elements in a part of a data segment."""
        made = self.make(())
        if isinstance(made, list):
            return [data[i : i + self.width] for i in range(0, len(data), self.width)]
        if isinstance(made, bytearray):
            return bytearray(data)
        made.frombytes(data)
        if sys.byteorder == "big":
            made.byteswap()
        return made


def _of(code: str) -> Callable[[Sequence[Any]], Any]:
    return lambda items: array(code, items)


_STORAGE: Final[dict[ValType, Storage]] = {
    I8: Storage(bytearray, 1, 1, lambda value: value & 0xFF),
    I16: Storage(_of("H"), 2, 2, lambda value: value & 0xFFFF),
    I32: Storage(_of("I"), 4, 4),
    I64: Storage(_of("Q"), 8, 8),
    F32: Storage(_of("I"), 4, 4, f32_to_bits, f32_from_bits, True),
    F64: Storage(_of("d"), 8, 8),
    V128: Storage(list, 64, 16),
}
_REFS: Final = Storage(list, _FIELD, 0)


def storage(type_: ValType) -> Storage:
    """How arrays of this storage type keep their elements."""
    return _STORAGE.get(type_, _REFS)


def size_of(value: Struct | Array) -> int:
    """Bytes that an object is accounted for."""
    if isinstance(value, Struct):
        return _OBJECT + _FIELD * len(value.fields)
    comp = value.type.comp
    return _OBJECT + (storage(comp.field.storage).size if isinstance(comp, ArrayType) else _FIELD) * len(value.data)


# Making ------------------------------------------------------------------------------------------------------------


def new_struct(owner: Objects, type_: DefType, fields: list[Any]) -> Struct:
    """A struct of fields in stored form. Traps where it exceeds the limit."""
    owner.take(_OBJECT + _FIELD * len(fields))
    return Struct(type_, fields, owner)


def new_array(owner: Objects, type_: ArrayType, value: Value, count: int) -> Array:
    """An array of `count` times the same. Traps where it exceeds the limit."""
    kind = storage(type_.field.storage)
    owner.take(_OBJECT + kind.size * count)
    return Array(type_.of, kind.filled(value, count), owner)


def array_of(owner: Objects, type_: ArrayType, values: Sequence[Value]) -> Array:
    """An array of these values. Traps where it exceeds the limit."""
    kind = storage(type_.field.storage)
    owner.take(_OBJECT + kind.size * len(values))
    return Array(type_.of, kind.make([kind.store(value) for value in values]), owner)


def array_from_bytes(owner: Objects, type_: ArrayType, data: bytes, start: int, count: int) -> Array:
    """array.new_data, from a segment's bytes."""
    kind = storage(type_.field.storage)
    if start + count * kind.width > len(data):
        raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY)
    owner.take(_OBJECT + kind.size * count)
    return Array(type_.of, kind.from_bytes(data[start : start + count * kind.width]), owner)


def array_from_items(owner: Objects, type_: ArrayType, items: Sequence[Value], start: int, count: int) -> Array:
    """array.new_elem, from a segment's items."""
    if start + count > len(items):
        raise Trap(TrapCode.OUT_OF_BOUNDS_TABLE)
    owner.take(_OBJECT + _FIELD * count)
    return Array(type_.of, list(items[start : start + count]), owner)


# Ranges of arrays --------------------------------------------------------------------------------------------------


def _range(value: Array | None, start: int, count: int) -> Array:
    if value is None:
        raise null(ARRAY)
    if start + count > len(value.data):
        raise Trap(TrapCode.OUT_OF_BOUNDS_ARRAY)
    return value


def fill(kind: Storage, to: Array | None, start: int, value: Value, count: int) -> None:
    """array.fill."""
    _range(to, start, count).data[start : start + count] = kind.filled(value, count)


def copy(to: Array | None, start: int, source: Array | None, at: int, count: int) -> None:
    """array.copy; the ranges may overlap."""
    target = _range(to, start, 0 if source is None else count)
    given = _range(source, at, count)
    target.data[start : start + count] = given.data[at : at + count]


def init_from_bytes(kind: Storage, to: Array | None, start: int, data: bytes, at: int, count: int) -> None:
    """array.init_data."""
    target = _range(to, start, count)
    if at + count * kind.width > len(data):
        raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY)
    target.data[start : start + count] = kind.from_bytes(data[at : at + count * kind.width])


def init_from_items(to: Array | None, start: int, items: Sequence[Value], at: int, count: int) -> None:
    """array.init_elem."""
    target = _range(to, start, count)
    if at + count > len(items):
        raise Trap(TrapCode.OUT_OF_BOUNDS_TABLE)
    target.data[start : start + count] = items[at : at + count]


# Types of references -----------------------------------------------------------------------------------------------

_NULLS: Final = {STRUCT: "null structure reference", ARRAY: "null array reference", I31: "null i31 reference"}
_NULLS[FUNC] = "null function reference"


def null(kind: Heap | None = None) -> Trap:
    """The trap of an access through null."""
    return Trap(TrapCode.NULL_REFERENCE, _NULLS.get(kind) if kind is not None else None)


def _never(value: object) -> bool:
    return False


_ABSTRACT: Final[dict[Heap, Callable[[object], bool]]] = {
    ANY: lambda value: True,
    EXTERN: lambda value: True,
    FUNC: lambda value: isinstance(value, (WasmFunc, HostFunc)),
    EXN: lambda value: isinstance(value, ExnInst),
    EQ: lambda value: type(value) in (I31Int, Struct, Array),
    I31: lambda value: type(value) is I31Int,
    STRUCT: lambda value: type(value) is Struct,
    ARRAY: lambda value: type(value) is Array,
}


def tester(heap: HeapType) -> Callable[[object], bool]:
    """What tells whether a reference that is not null refers to a value of this heap type."""
    if isinstance(heap, Heap):
        return _ABSTRACT.get(heap, _never)
    comp = heap.comp
    if isinstance(comp, FuncType):
        wanted: FuncType = comp
        return lambda value: isinstance(value, (WasmFunc, HostFunc)) and func_matches(value.type, wanted)
    kind = Struct if isinstance(comp, StructType) else Array
    return lambda value: type(value) is kind and (value.type is heap or value.type.extends(heap))


def is_a(value: object, type_: ValType) -> bool:
    """Whether a reference is one of a reference type."""
    if type_.heap is None:
        return False
    return type_.nullable if value is None else tester(type_.heap)(value)


def initial(field: FieldType) -> Value:
    """What a field holds that is not given, in stored form but for an f32's."""
    return 0 if field.packed else default(field.storage)
