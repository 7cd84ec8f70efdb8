"""The short way into host functions that take numbers alone: one generated function does conversion, call and check.

Three generic steps (decode, bind, encode) cost as much as the function itself. What is generated does the same for the
usual case and leaves everything else (a result out of range, of another type, a tail call) to the generic step.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import CodeType
from typing import Any, TypeAlias

from ._codecs import NumberParam
from ._engine import F32, F64, I32, I64, FuncType, Scalar, f32_from_python, f32_to_python
from ._numbers import Number
from ._signature import Signature

#: (context, canonical arguments) -> canonical results.
Adapted: TypeAlias = Callable[[Any, "tuple[Any, ...]"], Any]
#: The generic last step: (what the function returned, its canonical arguments, context) -> results.
Finish: TypeAlias = Callable[[object, "tuple[Any, ...]", Any], Any]


def adapt(
    fn: Callable[..., Any], signature: Signature, finish: Finish, *, context: bool, recorded: bool
) -> Adapted | None:
    """The short way into `fn`; None where the signature has more than numbers. `context`: whether it takes one;
    `recorded`: whether a call may have a record, which `finish` must see."""
    numbers = [param.number for param in signature.params if isinstance(param, NumberParam)]
    if len(numbers) != len(signature.params) or signature.shape.stored:
        return None
    names = [f"a{i}" for i in range(len(numbers))]
    unpack = f"    {', '.join(names)}{',' if len(names) == 1 else ''} = args\n" if names else ""
    only = " and ctx._call.record is None" if recorded else ""
    passed = [*(["ctx"] if context else []), *map(_argument, names, numbers)]
    lines = (
        f"def adapted(ctx, args):\n{unpack}    v = fn({', '.join(passed)})\n{_result(signature.shape.results, only)}"
    )
    lines += "    return finish(v, args, ctx)\n"
    scope: dict[str, Any] = {
        "fn": fn, "finish": finish, "f32_to_python": f32_to_python, "f32_from_python": f32_from_python,
    }  # fmt: skip
    # The text is made of the shapes of numbers alone; nothing that an author or a guest named goes into it.
    exec(_compiled(lines), scope)
    adapted: Adapted = scope["adapted"]
    return adapted


@functools.lru_cache(maxsize=512)
def _compiled(lines: str) -> CodeType:
    """Instances of the same module, and functions of the same shape, share the code."""
    return compile(lines, "<hostsdk adaptor>", "exec")


def _argument(name: str, number: Number) -> str:
    """A canonical value as the function sees it."""
    shape = number.shape
    if shape.type is F64:
        return name
    if shape.type is F32:
        return f"{name} if {name} == {name} else f32_to_python({name})"
    if shape.bits == 1:
        return f"{name} != 0"
    value = name if shape.bits >= 32 else f"({name} & {(1 << shape.bits) - 1})"
    return f"({value} ^ {1 << shape.bits - 1}) - {1 << shape.bits - 1}" if shape.signed else value


def _result(results: Sequence[object], only: str) -> str:
    """The usual result, checked and made canonical."""
    if not results:
        return f"    if v is None{only}: return ()\n"
    shape = results[0]
    if len(results) > 1 or not isinstance(shape, Scalar) or shape.bits in (1, 128):
        return ""
    if shape.type is F64:
        return f"    if type(v) is float{only}: return (v,)\n"
    if shape.type is F32:
        return f"    if type(v) is float{only}: return (f32_from_python(v),)\n"
    low, high = (-(1 << shape.bits - 1), (1 << shape.bits - 1) - 1) if shape.signed else (0, (1 << shape.bits) - 1)
    mask = (1 << (64 if shape.type is I64 else 32)) - 1
    return f"    if type(v) is int and {low} <= v <= {high}{only}: return (v & {mask},)\n"


#: Python arguments -> canonical ones, or None where the short way doesn't serve.
Lower: TypeAlias = Callable[["tuple[Any, ...]"], "tuple[Any, ...] | None"]
#: Canonical results -> what Python has of them.
Lift: TypeAlias = Callable[["tuple[Any, ...]"], Any]


@functools.lru_cache(maxsize=512)
def lowering(type_: FuncType) -> Lower:
    """The short way for an export's arguments: ints in range and floats, of exactly these classes."""
    names = [f"a{i}" for i in range(len(type_.params))]
    tests = [f"len(args) == {len(names)}"]
    values = []
    for name, param in zip(names, type_.params, strict=True):
        index = names.index(name)
        if param in (I32, I64):
            bits = 32 if param is I32 else 64
            tests.append(f"type({name} := args[{index}]) is int and {-(1 << bits - 1)} <= {name} < {1 << bits}")
            values.append(f"{name} & {(1 << bits) - 1}")
        elif param is F64:
            tests.append(f"type({name} := args[{index}]) is float")
            values.append(name)
        else:
            return lambda args: None
    made = ", ".join(values) + ("," if len(values) == 1 else "")
    lower: Lower = eval(f"lambda args: ({made}) if {' and '.join(tests)} else None")
    return lower


@functools.lru_cache(maxsize=512)
def lifting(type_: FuncType) -> Lift | None:
    """The short way for one integer or f64, or nothing; None where results are others."""
    match type_.results:
        case ():
            return lambda values: None
        case (t,) if t is I32 or t is I64:
            top = 1 << (31 if t is I32 else 63)
            return lambda values: (values[0] ^ top) - top
        case (t,) if t is F64:
            return lambda values: values[0]
    return None
