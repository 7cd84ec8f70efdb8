"""Validation rules of typed references, structs, arrays and casts (spec 3.4.2, 3.4.3, 3.4.10 and 3.4.11).

Registered beside those of `rules`, in the same way.
"""

from __future__ import annotations

from ..limits import MAX_FIELDS
from ..types import (
    ANY,
    ARRAYREF,
    EXTERN,
    FUNCREF,
    I32,
    ArrayType,
    DefType,
    FieldType,
    FuncType,
    StructType,
    ValType,
    heap_matches,
    non_null,
    type_matches,
)
from .rules import call_type, data_segment, entry, rule, tail_call_type
from .stack import BOTTOM_REF, Checker


def _def(c: Checker, index: int) -> DefType:
    return entry(c, c.env.defs, index, "type")


# Function references


def _callee(c: Checker, index: int) -> FuncType:
    """The type that a call through a reference names, the reference popped."""
    type_ = c.functype(index)
    c.pop_type(_def(c, index).ref())
    return type_


@rule("call_ref")
def _call_ref(c: Checker, index: int) -> None:
    call_type(c, _callee(c, index))


@rule("return_call_ref")
def _return_call_ref(c: Checker, index: int) -> None:
    tail_call_type(c, _callee(c, index))


@rule("ref.as_non_null")
def _as_non_null(c: Checker, _: None) -> None:
    c.push(non_null(c.pop_ref()))


@rule("br_on_null")
def _br_on_null(c: Checker, depth: int) -> None:
    types = c.label(depth).label
    type_ = c.pop_ref()
    c.apply(types, types)
    c.push(non_null(type_))


@rule("br_on_non_null")
def _br_on_non_null(c: Checker, depth: int) -> None:
    types = c.label(depth).label
    if not types or not types[-1].is_ref:
        raise c.error("type mismatch: the label of br_on_non_null takes no reference")
    type_ = c.pop_ref()
    if not type_matches(non_null(type_), types[-1]):
        raise c.mismatch(types[-1].name, type_)
    c.apply(types[:-1], types[:-1])


# Casts


def _top(type_: ValType) -> ValType:
    """The nullable reference to the uppermost heap type above `type_`'s."""
    heap = type_.heap
    kind = heap.kind if isinstance(heap, DefType) else heap
    for top in (FUNCREF, EXTERN.ref(), ANY.ref()):
        if kind is not None and top.heap is not None and heap_matches(kind, top.heap):
            return top
    return type_


def _cast(c: Checker, to: ValType, *results: ValType) -> None:
    type_ = c.pop_ref()
    if type_ is not BOTTOM_REF and not type_matches(type_, _top(to)):
        raise c.mismatch(_top(to).name, type_)
    c.push(*results)


@rule("ref.test", "ref.test_null")
def _ref_test(c: Checker, to: ValType) -> None:
    _cast(c, to, I32)


@rule("ref.cast")
def _ref_cast(c: Checker, to: ValType) -> None:
    _cast(c, to, non_null(to))


@rule("ref.cast_null")
def _ref_cast_null(c: Checker, to: ValType) -> None:
    _cast(c, to, to)


def _difference(given: ValType, tried: ValType) -> ValType:
    """What is left of one type if a cast to the other fails: null goes where null may go (spec 3.4.11)."""
    return non_null(given) if tried.nullable else given


def _branch_on_cast(c: Checker, cast: tuple[int, ValType, ValType], taken: ValType, fall: ValType) -> None:
    depth, given, tried = cast
    if not type_matches(tried, given):
        raise c.error(f"type mismatch: {c.row} from {given} to {tried}")
    types = c.label(depth).label
    if not types or not type_matches(taken, types[-1]):
        raise c.error(f"type mismatch: {c.row} brings {taken} to a label that takes something else")
    c.pop_type(given)
    c.apply(types[:-1], types[:-1])
    c.push(fall)


@rule("br_on_cast")
def _br_on_cast(c: Checker, cast: tuple[int, ValType, ValType]) -> None:
    _branch_on_cast(c, cast, cast[2], _difference(cast[1], cast[2]))


@rule("br_on_cast_fail")
def _br_on_cast_fail(c: Checker, cast: tuple[int, ValType, ValType]) -> None:
    _branch_on_cast(c, cast, _difference(cast[1], cast[2]), cast[2])


@rule("any.convert_extern")
def _internalise(c: Checker, _: None) -> None:
    c.push(ANY.ref(c.pop_type(EXTERN.ref()).nullable))


@rule("extern.convert_any")
def _externalise(c: Checker, _: None) -> None:
    c.push(EXTERN.ref(c.pop_type(ANY.ref()).nullable))


# Structs


def _struct(c: Checker, index: int) -> StructType:
    comp = _def(c, index).comp
    if not isinstance(comp, StructType):
        raise c.error(f"type mismatch: type {index} is no struct type")
    return comp


def _field(c: Checker, immediate: tuple[int, int], packed: bool) -> FieldType:
    index, field = immediate
    found = entry(c, _struct(c, index).fields, field, "field")
    if found.packed != packed:
        raise c.error(f"type mismatch: field {field} is {'' if found.packed else 'not '}packed")
    return found


@rule("struct.new")
def _struct_new(c: Checker, index: int) -> None:
    struct = _struct(c, index)
    c.apply(struct.values, (struct.of.ref(False),))


@rule("struct.new_default")
def _struct_new_default(c: Checker, index: int) -> None:
    struct = _struct(c, index)
    if not all(field.defaultable for field in struct.fields):
        raise c.error(f"type mismatch: struct {index} has a field without a default value")
    c.push(struct.of.ref(False))


@rule("struct.get")
def _struct_get(c: Checker, immediate: tuple[int, int]) -> None:
    field = _field(c, immediate, packed=False)
    c.apply((_def(c, immediate[0]).ref(),), (field.value,))


@rule("struct.get_s", "struct.get_u")
def _struct_get_packed(c: Checker, immediate: tuple[int, int]) -> None:
    _field(c, immediate, packed=True)
    c.apply((_def(c, immediate[0]).ref(),), (I32,))


@rule("struct.set")
def _struct_set(c: Checker, immediate: tuple[int, int]) -> None:
    index, place = immediate
    field = entry(c, _struct(c, index).fields, place, "field")
    if not field.mutable:
        raise c.error(f"immutable field {place}")
    c.apply((_def(c, index).ref(), field.value), ())


# Arrays


def _array(c: Checker, index: int) -> ArrayType:
    comp = _def(c, index).comp
    if not isinstance(comp, ArrayType):
        raise c.error(f"type mismatch: type {index} is no array type")
    return comp


def _mutable(c: Checker, index: int) -> ArrayType:
    array = _array(c, index)
    if not array.field.mutable:
        raise c.error(f"immutable array {index}")
    return array


def _bytes(c: Checker, array: ArrayType) -> None:
    if array.field.storage.is_ref:
        raise c.error("type mismatch: an array of references takes no bytes")


def _items(c: Checker, array: ArrayType, segment: int) -> None:
    source = entry(c, c.env.elems, segment, "elem segment")
    if not type_matches(source, array.field.storage):
        raise c.error(f"type mismatch: a segment of {source} for an array of {array.field.storage}")


@rule("array.new")
def _array_new(c: Checker, index: int) -> None:
    array = _array(c, index)
    c.apply((array.field.value, I32), (array.of.ref(False),))


@rule("array.new_default")
def _array_new_default(c: Checker, index: int) -> None:
    array = _array(c, index)
    if not array.field.defaultable:
        raise c.error(f"type mismatch: the elements of array {index} have no default value")
    c.apply((I32,), (array.of.ref(False),))


@rule("array.new_fixed")
def _array_new_fixed(c: Checker, immediate: tuple[int, int]) -> None:
    index, count = immediate
    array = _array(c, index)
    if count > MAX_FIELDS:
        raise c.error(f"array.new_fixed takes at most {MAX_FIELDS} operands")
    c.apply((array.field.value,) * count, (array.of.ref(False),))


@rule("array.new_data")
def _array_new_data(c: Checker, immediate: tuple[int, int]) -> None:
    array = _array(c, immediate[0])
    _bytes(c, array)
    data_segment(c, immediate[1])
    c.apply((I32, I32), (array.of.ref(False),))


@rule("array.new_elem")
def _array_new_elem(c: Checker, immediate: tuple[int, int]) -> None:
    array = _array(c, immediate[0])
    _items(c, array, immediate[1])
    c.apply((I32, I32), (array.of.ref(False),))


@rule("array.get")
def _array_get(c: Checker, index: int) -> None:
    array = _array(c, index)
    if array.field.packed:
        raise c.error(f"type mismatch: array {index} is packed")
    c.apply((array.of.ref(), I32), (array.field.value,))


@rule("array.get_s", "array.get_u")
def _array_get_packed(c: Checker, index: int) -> None:
    array = _array(c, index)
    if not array.field.packed:
        raise c.error(f"type mismatch: array {index} is not packed")
    c.apply((array.of.ref(), I32), (I32,))


@rule("array.set")
def _array_set(c: Checker, index: int) -> None:
    array = _mutable(c, index)
    c.apply((array.of.ref(), I32, array.field.value), ())


@rule("array.len")
def _array_len(c: Checker, _: None) -> None:
    c.apply((ARRAYREF,), (I32,))


@rule("array.fill")
def _array_fill(c: Checker, index: int) -> None:
    array = _mutable(c, index)
    c.apply((array.of.ref(), I32, array.field.value, I32), ())


@rule("array.copy")
def _array_copy(c: Checker, immediate: tuple[int, int]) -> None:
    to, source = _mutable(c, immediate[0]), _array(c, immediate[1])
    have, want = source.field.storage, to.field.storage
    if not type_matches(have, want):
        raise c.error(f"type mismatch: array.copy from {have} to {want}")
    c.apply((to.of.ref(), I32, source.of.ref(), I32, I32), ())


@rule("array.init_data")
def _array_init_data(c: Checker, immediate: tuple[int, int]) -> None:
    array = _mutable(c, immediate[0])
    _bytes(c, array)
    data_segment(c, immediate[1])
    c.apply((array.of.ref(), I32, I32, I32), ())


@rule("array.init_elem")
def _array_init_elem(c: Checker, immediate: tuple[int, int]) -> None:
    array = _mutable(c, immediate[0])
    _items(c, array, immediate[1])
    c.apply((array.of.ref(), I32, I32, I32), ())
