"""Handlers of structs, arrays, i31 and casts (spec 4.4.3, 4.4.5).

What the immediates of these name, types and fields, is looked up when a body is prepared (`STEPS`), so a maker here
gets the types themselves. A null reference shows by Python's own error, which costs nothing where there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

from ..errors import Trap, TrapCode
from ..instances import objects
from ..instances.objects import Array
from ..instr.index import BY_NAME
from ..instr.model import Instr
from ..types import ARRAY, I8, I16, I31, STRUCT, ArrayType, FieldType, HeapType, StructType, ValType
from ..values import I31Int
from . import inline
from .control import branch_target
from .registry import Const, Handler, Operand, handles
from .translator import Translator, fresh

_Step = Callable[[Translator, Any], None]

#: By row name: how an instruction is prepared that needs its types looked up.
STEPS: dict[str, _Step] = {}

_NULL = "except AttributeError: raise null(kind) from None"
_BEYOND = "except IndexError: raise beyond() from None"
#: How a packed value is read, signed.
_SIGNED = {
    I8: "x = {}\nr[d] = x if x < 0x80 else x + 0xFFFFFF00",
    I16: "x = {}\nr[d] = x if x < 0x8000 else x + 0xFFFF0000",
}
_MASKS = {I8: " & 0xFF", I16: " & 0xFFFF"}


def _beyond() -> Trap:
    return Trap(TrapCode.OUT_OF_BOUNDS_ARRAY)


def _failed() -> Trap:
    return Trap(TrapCode.CAST_FAILURE)


def _guarded(body: str, *nets: str) -> str:
    """`body` in a `try`, and what catches."""
    return "\n".join(["try:", *[f"    {line}" for line in body.splitlines()], *nets])


def _heap(type_: ValType) -> HeapType:
    if type_.heap is None:
        raise TypeError(f"{type_} is no reference")
    return type_.heap


# References --------------------------------------------------------------------------------------------------------


def _made(dest: int, operands: Sequence[Operand], body: str, **known: object) -> Handler:
    """A handler of this body, in which {0}, {1} … stand for the operands; it knows the things in `known` by name."""
    placed, bound = inline.place(operands)
    names = ", ".join(["d", *known, inline.cells(operands)])
    made: Handler = inline.factory(names, body.format(*placed))(dest, *known.values(), *bound)
    return made


@handles("ref.as_non_null")
def _as_non_null(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    return _made(dest, operands, "x = {0}\nif x is None: raise null()\nr[d] = x", null=objects.null)


@handles("ref.eq")
def _eq(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    same = "x is y or (type(x) is I31Int and type(y) is I31Int and x == y)"
    return _made(dest, operands, "x = {0}\ny = {1}\nr[d] = 1 if " + same + " else 0", I31Int=I31Int)


@handles("ref.i31")
def _i31(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    return _made(dest, operands, "r[d] = I31Int((({0} & 0x7FFFFFFF) ^ 0x40000000) - 0x40000000)", I31Int=I31Int)


@handles("i31.get_s", "i31.get_u")
def _i31_get(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    mask = "0xFFFFFFFF" if row.name == "i31.get_s" else "0x7FFFFFFF"
    body = "x = {0}\nif x is None: raise null(kind)\nr[d] = x & " + mask
    return _made(dest, operands, body, null=objects.null, kind=I31)


@handles("any.convert_extern", "extern.convert_any")
def _convert(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    """References are the same objects inside and outside."""
    return _made(dest, operands, "r[d] = {0}")


@handles("ref.test", "ref.test_null")
def _test(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    condition = "x is None or test(x)" if row.name == "ref.test_null" else "x is not None and test(x)"
    test = objects.tester(_heap(cast("ValType", immediate)))
    return _made(dest, operands, "x = {0}\nr[d] = 1 if " + condition + " else 0", test=test)


@handles("ref.cast", "ref.cast_null")
def _cast(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    fails = "x is not None and not test(x)" if row.name == "ref.cast_null" else "x is None or not test(x)"
    test = objects.tester(_heap(cast("ValType", immediate)))
    body = "x = {0}\nif " + fails + ": raise failed()\nr[d] = x"
    return _made(dest, operands, body, test=test, failed=_failed)


# Structs -----------------------------------------------------------------------------------------------------------


@handles("struct.new")
def _struct_new(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    struct = cast("StructType", immediate)
    if len(operands) > inline.MOST:
        return _large_struct(struct, dest, operands)
    texts, bound = inline.place(operands)
    fields = [f"{text}{_MASKS.get(field.storage, '')}" for text, field in zip(texts, struct.fields, strict=True)]
    body = f"r[d] = new(r[0].objects, type, [{', '.join(fields)}])"
    names = ", ".join(filter(None, ("d, new, type", inline.cells(operands))))
    made: Handler = inline.factory(names, body)(dest, objects.new_struct, struct.of, *bound)
    return made


def _large_struct(struct: StructType, dest: int, operands: Sequence[Operand]) -> Handler:
    type_ = struct.of
    places = [0 if isinstance(operand, Const) else operand for operand in operands]
    known = [(place, operand.value) for place, operand in enumerate(operands) if isinstance(operand, Const)]
    masks = {I8: 0xFF, I16: 0xFFFF}
    packed = [(place, masks[field.storage]) for place, field in enumerate(struct.fields) if field.packed]

    def handler(r: list[Any]) -> None:
        fields = [r[place] for place in places]
        for place, value in known:
            fields[place] = value
        for place, mask in packed:
            fields[place] &= mask
        r[dest] = objects.new_struct(r[0].objects, type_, fields)

    return handler


@handles("struct.new_default")
def _struct_new_default(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    struct = cast("StructType", immediate)
    fields = [objects.initial(field) for field in struct.fields]
    made: Handler = inline.factory("d, new, type, fields", "r[d] = new(r[0].objects, type, fields.copy())")(
        dest, objects.new_struct, struct.of, fields
    )
    return made


@handles("struct.get", "struct.get_s", "struct.get_u")
def _struct_get(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    place, field = cast("tuple[int, FieldType]", immediate)
    (a,), bound = inline.place(operands)
    how = _SIGNED[field.storage] if row.name == "struct.get_s" else "r[d] = {}"
    body = _guarded(how.format(f"{a}.fields[k]"), _NULL)
    made: Handler = inline.factory("d, k, null, kind, a", body)(dest, place, objects.null, STRUCT, *bound)
    return made


@handles("struct.set")
def _struct_set(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    place, field = cast("tuple[int, FieldType]", immediate)
    (a, b), bound = inline.place(operands)
    body = _guarded(f"{a}.fields[k] = {b}{_MASKS.get(field.storage, '')}", _NULL)
    made: Handler = inline.factory("k, null, kind, a, b", body)(place, objects.null, STRUCT, *bound)
    return made


# Arrays ------------------------------------------------------------------------------------------------------------


@handles("array.new", "array.new_default")
def _array_new(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    array = cast("ArrayType", immediate)
    if row.name == "array.new_default":
        operands = (Const(objects.initial(array.field)), *operands)
    (a, b), bound = inline.place(operands)
    body = f"r[d] = new(r[0].objects, type, {a}, {b})"
    made: Handler = inline.factory("d, new, type, a, b", body)(dest, objects.new_array, array, *bound)
    return made


@handles("array.new_fixed")
def _array_new_fixed(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    array, _ = cast("tuple[ArrayType, int]", immediate)
    given = tuple(operands)

    def handler(r: list[Any]) -> None:
        values = [r[operand] if isinstance(operand, int) else operand.value for operand in given]
        r[dest] = objects.array_of(r[0].objects, array, values)

    return handler


@handles("array.new_data", "array.new_elem")
def _array_new_segment(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    array, segment = cast("tuple[ArrayType, int]", immediate)
    (a, b), bound = inline.place(operands)
    data = row.name == "array.new_data"
    source = "datas[s].data" if data else "elems[s].items"
    new: Callable[..., Array] = objects.array_from_bytes if data else objects.array_from_items
    body = f"i = r[0]\nr[d] = new(i.objects, type, i.{source}, {a}, {b})"
    made: Handler = inline.factory("d, new, type, s, a, b", body)(dest, new, array, segment, *bound)
    return made


@handles("array.get", "array.get_s", "array.get_u")
def _array_get(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    storage = cast("ArrayType", immediate).field.storage
    (a, b), bound = inline.place(operands)
    kind = objects.storage(storage)
    how = _SIGNED[storage] if row.name == "array.get_s" else "r[d] = load({})" if kind.converts else "r[d] = {}"
    body = _guarded(how.format(f"{a}.data[{b}]"), _NULL, _BEYOND)
    made: Handler = inline.factory("d, load, null, kind, beyond, a, b", body)(
        dest, kind.load, objects.null, ARRAY, _beyond, *bound
    )
    return made


@handles("array.set")
def _array_set(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    storage = cast("ArrayType", immediate).field.storage
    (a, b, c), bound = inline.place(operands)
    kind = objects.storage(storage)
    value = f"store({c})" if kind.converts else f"{c}{_MASKS.get(storage, '')}"
    body = _guarded(f"{a}.data[{b}] = {value}", _NULL, _BEYOND)
    made: Handler = inline.factory("store, null, kind, beyond, a, b, c", body)(
        kind.store, objects.null, ARRAY, _beyond, *bound
    )
    return made


@handles("array.len")
def _array_len(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    (a,), bound = inline.place(operands)
    body = _guarded(f"r[d] = len({a}.data)", _NULL)
    made: Handler = inline.factory("d, null, kind, a", body)(dest, objects.null, ARRAY, *bound)
    return made


@handles("array.fill")
def _array_fill(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    kind = objects.storage(cast("ArrayType", immediate).field.storage)
    texts, bound = inline.place(operands)
    names = f"fill, how, {inline.cells(operands)}"
    made: Handler = inline.factory(names, f"fill(how, {', '.join(texts)})")(objects.fill, kind, *bound)
    return made


@handles("array.copy")
def _array_copy(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    texts, bound = inline.place(operands)
    names = f"copy, {inline.cells(operands)}"
    made: Handler = inline.factory(names, f"copy({', '.join(texts)})")(objects.copy, *bound)
    return made


@handles("array.init_data")
def _array_init_data(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    array, segment = cast("tuple[ArrayType, int]", immediate)
    (to, start, at, count), bound = inline.place(operands)
    names = f"init, how, s, {inline.cells(operands)}"
    body = f"init(how, {to}, {start}, r[0].datas[s].data, {at}, {count})"
    how = objects.storage(array.field.storage)
    made: Handler = inline.factory(names, body)(objects.init_from_bytes, how, segment, *bound)
    return made


@handles("array.init_elem")
def _array_init_elem(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    _, segment = cast("tuple[ArrayType, int]", immediate)
    (to, start, at, count), bound = inline.place(operands)
    names = f"init, s, {inline.cells(operands)}"
    body = f"init({to}, {start}, r[0].elems[s].items, {at}, {count})"
    made: Handler = inline.factory(names, body)(objects.init_from_items, segment, *bound)
    return made


# Preparing ---------------------------------------------------------------------------------------------------------


def _struct(t: Translator, index: int) -> StructType:
    return cast("StructType", t.module.decls.types[index])


def _array(t: Translator, index: int) -> ArrayType:
    return cast("ArrayType", t.module.decls.types[index])


def _step(name: str, takes: int, gives: int, resolve: Callable[[Translator, Any], object]) -> None:
    row = BY_NAME[name]
    STEPS[name] = lambda t, immediate: t.compute(row, resolve(t, immediate), takes, gives)


def _new(t: Translator, index: int) -> None:
    struct = _struct(t, index)
    t.compute(BY_NAME["struct.new"], struct, len(struct.fields), 1)


def _new_fixed(t: Translator, immediate: tuple[int, int]) -> None:
    index, count = immediate
    t.compute(BY_NAME["array.new_fixed"], (_array(t, index), count), count, 1)


def _field(t: Translator, immediate: tuple[int, int]) -> tuple[int, FieldType]:
    index, place = immediate
    return place, _struct(t, index).fields[place]


def _with_segment(t: Translator, immediate: tuple[int, int]) -> tuple[ArrayType, int]:
    return _array(t, immediate[0]), immediate[1]


STEPS["struct.new"] = _new
STEPS["array.new_fixed"] = _new_fixed
_step("struct.new_default", 0, 1, _struct)
for _name in ("struct.get", "struct.get_s", "struct.get_u"):
    _step(_name, 1, 1, _field)
_step("struct.set", 2, 0, _field)
_step("array.new", 2, 1, _array)
_step("array.new_default", 1, 1, _array)
for _name in ("array.get", "array.get_s", "array.get_u"):
    _step(_name, 2, 1, _array)
_step("array.set", 3, 0, _array)
_step("array.fill", 4, 0, _array)
for _name in ("array.new_data", "array.new_elem"):
    _step(_name, 2, 1, _with_segment)
for _name in ("array.init_data", "array.init_elem"):
    _step(_name, 4, 0, _with_segment)


# Branches ----------------------------------------------------------------------------------------------------------


def _tested(t: Translator) -> int:
    """The register of the reference that a branch looks at; it stays on the stack."""
    if isinstance(t.stack[-1], Const):
        t.settle(len(t.stack) - 1)
    return cast("int", t.stack[-1])


def _br_on_null(t: Translator, depth: int) -> None:
    register = _tested(t)
    t.stack.pop()
    taken, fall = branch_target(t, depth), fresh()
    t.finish(lambda r: taken if r[register] is None else fall)
    t.begin(fall)
    t.stack.append(register)


def _br_on_non_null(t: Translator, depth: int) -> None:
    register = _tested(t)
    taken, fall = branch_target(t, depth), fresh()
    t.finish(lambda r: fall if r[register] is None else taken)
    t.begin(fall)
    t.stack.pop()


def _br_on_cast(t: Translator, immediate: tuple[int, ValType, ValType]) -> None:
    _branch_on(t, immediate, fails=False)


def _br_on_cast_fail(t: Translator, immediate: tuple[int, ValType, ValType]) -> None:
    _branch_on(t, immediate, fails=True)


def _branch_on(t: Translator, immediate: tuple[int, ValType, ValType], fails: bool) -> None:
    depth, _, tried = immediate
    register = _tested(t)
    taken, fall = branch_target(t, depth), fresh()
    test, nullable = objects.tester(_heap(tried)), tried.nullable
    fits, else_ = (fall, taken) if fails else (taken, fall)
    for_null = fits if nullable else else_

    def term(r: list[Any]) -> Any:
        value = r[register]
        return for_null if value is None else fits if test(value) else else_

    t.finish(term)
    t.begin(fall)


STEPS |= {
    "br_on_null": _br_on_null,
    "br_on_non_null": _br_on_non_null,
    "br_on_cast": _br_on_cast,
    "br_on_cast_fail": _br_on_cast_fail,
}
