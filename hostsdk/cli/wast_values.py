"""Values of spec scripts in JSON: arguments, and what results are compared with.

Numbers are compared as bit patterns, so that a NaN's payload and the sign of a zero count. Two patterns stand for sets
of NaNs (spec 2.2.3): canonical ones, whose fraction is its topmost bit alone, and arithmetic ones, which have that bit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from runtime import lean

#: A JSON object of the script.
Json: TypeAlias = Mapping[str, object]


class ScriptError(Exception):
    """The script holds something that this runner does not know."""


@lean.frozen
class Number:
    """A number or vector by its bits."""

    type: str
    bits: int

    def __str__(self) -> str:
        return f"{self.type} {self.bits:#x}"


@lean.frozen
class HostRef:
    """What an external reference refers to here: an object of ours, known by its number in the script."""

    number: int

    def __str__(self) -> str:
        return f"ref.extern {self.number}"


@lean.frozen
class FuncRef:
    """Some function: scripts never say which."""

    def __str__(self) -> str:
        return "ref.func"


@lean.frozen
class Null:
    """The null reference, of whatever type."""

    def __str__(self) -> str:
        return "ref.null"


@lean.frozen
class Object:
    """Something that the guest has made itself: a `struct`, an `array` or an `i31`. Scripts never say which one."""

    kind: str

    def __str__(self) -> str:
        return f"ref.{self.kind}"


Val: TypeAlias = Number | HostRef | FuncRef | Object | Null

#: What an expected result of each type may be, where it says no more.
_OBJECTS = {
    "i31ref": ("i31",),
    "structref": ("struct",),
    "arrayref": ("array",),
    "eqref": ("i31", "struct", "array"),
    "anyref": ("i31", "struct", "array"),
    "externref": ("i31", "struct", "array"),
}

#: Width in bits; for floats also the bits of the exponent, and the topmost bit of the fraction.
_WIDTH = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "f32": 32, "f64": 64}
_EXPONENT = {"f32": 0x7F80_0000, "f64": 0x7FF0_0000_0000_0000}
_QUIET = {"f32": 0x0040_0000, "f64": 0x0008_0000_0000_0000}
#: Names by which an expected result asks for a null reference.
_NULLS = ("refnull", "nullref", "nullfuncref", "nullexternref", "nullexnref")


def text_of(entry: Json, key: str) -> str:
    """The string at `key`. Raises ScriptError where there is none."""
    value = entry.get(key)
    if not isinstance(value, str):
        raise ScriptError(f"'{key}' is {value!r}, not a string")
    return value


def list_of(entry: Json, key: str) -> list[Json]:
    """The list of objects at `key`; absent means empty. Raises ScriptError for anything else."""
    value = entry.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ScriptError(f"'{key}' is {value!r}, not a list of objects")
    return value


def argument(entry: Json) -> Val:
    """The value that an argument stands for."""
    type_ = text_of(entry, "type")
    if type_ in ("externref", "anyref"):
        text = text_of(entry, "value")
        return Null() if text == "null" else HostRef(int(text))
    if type_ == "funcref" and entry.get("value") == "null":
        return Null()
    if type_ == "v128":
        bits, width = 0, _WIDTH[text_of(entry, "lane_type")]
        for place, lane in enumerate(_lanes(entry)):
            bits |= _bits(lane, width) << place * width
        return Number(type_, bits)
    if type_ in _WIDTH:
        return Number(type_, _bits(text_of(entry, "value"), _WIDTH[type_]))
    raise ScriptError(f"an argument of type {type_}")


def fits(entry: Json, value: Val) -> bool:
    """Whether the result `value` is what `entry` expects."""
    type_ = text_of(entry, "type")
    if type_ == "either":
        return any(fits(each, value) for each in list_of(entry, "values"))
    if type_ in _WIDTH:
        pattern = text_of(entry, "value")
        return isinstance(value, Number) and value.type == type_ and _fits_bits(type_, pattern, value.bits)
    if type_ == "v128":
        return isinstance(value, Number) and value.type == type_ and _fits_lanes(entry, value.bits)
    if type_ in _NULLS or entry.get("value") == "null":
        return isinstance(value, Null)
    if type_ == "funcref":
        return isinstance(value, FuncRef)
    if type_ in _OBJECTS and isinstance(value, Object):
        return "value" not in entry and value.kind in _OBJECTS[type_]
    if type_ in _OBJECTS:
        return isinstance(value, HostRef) and ("value" not in entry or value == argument(entry))
    raise ScriptError(f"a result of type {type_}")


def show(entry: Json) -> str:
    """An expected value, for a message."""
    if entry.get("type") == "either":
        return " or ".join(show(each) for each in list_of(entry, "values"))
    value = entry.get("value", "")
    if entry.get("type") in _WIDTH and not str(value).startswith("nan"):
        return str(argument(entry))
    return f"{entry.get('type')} {' '.join(map(str, value)) if isinstance(value, list) else value}".strip()


def _lanes(entry: Json) -> list[str]:
    lanes = entry.get("value")
    if not isinstance(lanes, list) or not all(isinstance(lane, str) for lane in lanes):
        raise ScriptError(f"the lanes {lanes!r}")
    return lanes


def _bits(text: str, width: int) -> int:
    """Scripts write integers signed or unsigned; either way the bits are meant."""
    return int(text) & (1 << width) - 1


def _fits_bits(type_: str, pattern: str, bits: int) -> bool:
    if pattern == "nan:canonical":
        return bits & ~(1 << _WIDTH[type_] - 1) == _EXPONENT[type_] | _QUIET[type_]
    if pattern == "nan:arithmetic":
        wanted = _EXPONENT[type_] | _QUIET[type_]
        return bits & wanted == wanted
    return bits == _bits(pattern, _WIDTH[type_])


def _fits_lanes(entry: Json, bits: int) -> bool:
    type_ = text_of(entry, "lane_type")
    width = _WIDTH[type_]
    return all(
        _fits_bits(type_, pattern, bits >> place * width & (1 << width) - 1)
        for place, pattern in enumerate(_lanes(entry))
    )
