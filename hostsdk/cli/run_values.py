"""Values of `--invoke`: arguments as a person types them, results as a person reads them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Final

from hostsdk import V128, FuncType
from runtime import f32_from_python

_INT: Final = re.compile(r"[+-]?(0x[0-9a-fA-F][0-9a-fA-F_]*|[0-9][0-9_]*)")
_BITS: Final = {"i32": 32, "i64": 64, "v128": 128}


class ArgumentError(Exception):
    """The arguments don't fit the function; the message says why."""


def parse(name: str, type_: FuncType, args: Sequence[str]) -> tuple[int | float | V128, ...]:
    """The arguments of `name` as Python has them. Raises ArgumentError."""
    kinds = [str(param) for param in type_.params]
    if len(args) != len(kinds):
        raise ArgumentError(f"{name} takes {len(kinds)} arguments ({', '.join(kinds)}), not {len(args)}")
    return tuple([_number(name, *pair) for pair in zip(kinds, args, strict=True)])


def _number(name: str, kind: str, text: str) -> int | float | V128:
    if kind in _BITS:
        value = int(text.replace("_", ""), 0 if "x" in text else 10) if _INT.fullmatch(text) else None
        if value is None:
            raise ArgumentError(f"{name}: {text!r} is no integer, as {kind} needs")
        if not -(1 << _BITS[kind] - 1) <= value < 1 << _BITS[kind]:
            raise ArgumentError(f"{name}: {text} does not fit {kind}")
        return V128.from_int(value) if kind == "v128" else value
    if kind in ("f32", "f64"):
        try:
            return float.fromhex(text) if "0x" in text.lower() else float(text)
        except (ValueError, OverflowError):
            raise ArgumentError(f"{name}: {text!r} is no number, as {kind} needs") from None
    raise ArgumentError(f"{name} has a parameter of type {kind}, which can't be typed in")


def show(kind: str, value: object) -> str:
    """One result: integers signed, floats with as many digits as tell them from their neighbours, a vector as one
    number, a reference by its type."""
    if kind == "f32" and isinstance(value, float) and math.isfinite(value):
        return _shortest32(value)
    if isinstance(value, V128):
        return f"{int(value):#034x}"
    if value is None:
        return "null"
    return repr(value) if isinstance(value, (int, float)) else kind


def _shortest32(value: float) -> str:
    for digits in range(1, 9):
        text = f"{value:.{digits}g}"
        if f32_from_python(float(text)) == value:
            return repr(float(text))
    return repr(float(f"{value:.9g}"))
