"""Evaluating constant expressions (spec 4.4.14). They can't loop or call, so no execution is needed; where structs and
arrays get too many, that is a trap."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import cast

from ..declarations import Expr
from ..features import Feature
from ..instances.instance import Instance
from ..instances.objects import array_of, initial, new_array, new_struct
from ..types import I8, I16, ArrayType, StructType
from ..values import M32, M64, I31Int, Value

_OPERATORS: dict[str, Callable[[int, int], int]] = {"add": operator.add, "sub": operator.sub, "mul": operator.mul}


def evaluate(expr: Expr, instance: Instance) -> Value:
    """The value of a valid constant expression; the functions and globals that it names must be there already."""
    if len(expr) == 1 and expr[0][1].name == "ref.func":  # as tables have them, by the thousand
        return instance.funcs[cast("int", expr[0][2])]
    stack: list[Value] = []
    for _, row, immediate in expr:
        if row.name == "global.get":
            stack.append(instance.globals[cast("int", immediate)].value)
        elif row.name == "ref.func":
            stack.append(instance.funcs[cast("int", immediate)])
        elif row.name == "ref.null":
            stack.append(None)
        elif row.feature is Feature.GC:
            _build(row.name, immediate, instance, stack)
        elif row.params:
            right, left = cast("int", stack.pop()), cast("int", stack.pop())
            type_, _, name = row.name.partition(".")
            stack.append(_OPERATORS[name](left, right) & (M32 if type_ == "i32" else M64))
        else:
            stack.append(immediate)
    return stack.pop()


def _build(name: str, immediate: object, instance: Instance, stack: list[Value]) -> None:
    """Structs, arrays and i31, as their instructions make them."""
    if name == "ref.i31":
        low = cast("int", stack.pop()) & 0x7FFF_FFFF
        stack.append(I31Int((low ^ 0x4000_0000) - 0x4000_0000))
        return
    if "convert" in name:
        return  # the same object inside and outside
    index, count = cast("tuple[int, int]", immediate) if isinstance(immediate, tuple) else (cast("int", immediate), 0)
    type_ = instance.module.decls.types[index]
    if isinstance(type_, StructType):
        default = name == "struct.new_default"
        fields = [initial(field) for field in type_.fields] if default else _take(stack, len(type_.fields))
        masked = [v & _MASKS.get(f.storage, M64) if isinstance(v, int) and f.packed else v
                  for v, f in zip(fields, type_.fields, strict=True)]  # fmt: skip
        stack.append(new_struct(instance.objects, type_.of, masked))
        return
    array = cast("ArrayType", type_)
    if name == "array.new_fixed":
        stack.append(array_of(instance.objects, array, _take(stack, count)))
        return
    size = cast("int", stack.pop())
    value = initial(array.field) if name == "array.new_default" else stack.pop()
    stack.append(new_array(instance.objects, array, value, size))


def _take(stack: list[Value], count: int) -> list[Value]:
    taken = stack[len(stack) - count :]
    del stack[len(stack) - count :]
    return taken


_MASKS = {I8: 0xFF, I16: 0xFFFF}
