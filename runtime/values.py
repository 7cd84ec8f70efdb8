"""The canonical form of a WebAssembly value in Python, and conversion at the border.

i32 and i64 are unsigned ints. f64 is a float with its exact bits. f32 is the float of the same value; an f32 NaN is a
quiet f64 NaN whose low 23 bits are the f32's fraction, so that no move or sign operation of the host disturbs it
(turning it into a double the plain way would quieten a signalling one). A null reference is None, a function
reference the function instance, an external reference any other object; what the guest has made itself are
`instances.objects`, and `I31Int`. A v128 is 16 bytes, lane 0 first.
"""

from __future__ import annotations

import math
import struct
from typing import TypeAlias

from . import v128
from .types import F32, F64, I32, I64, V128, ValType

#: A canonical value. References may be any object, so nothing narrower is true.
Value: TypeAlias = object

M32 = 0xFFFF_FFFF
M64 = 0xFFFF_FFFF_FFFF_FFFF
_F32 = struct.Struct("<f")
_F64 = struct.Struct("<d")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_QUIET_NAN64 = 0x7FF8_0000_0000_0000
_FRACTION32 = 0x7F_FFFF
_CANONICAL32 = 0x40_0000
_ZERO128 = bytes(16)


def f64_from_bits(bits: int) -> float:
    """The f64 with these 64 bits."""
    value: float = _F64.unpack(_U64.pack(bits))[0]
    return value


def f64_to_bits(value: float) -> int:
    """The 64 bits of an f64."""
    bits: int = _U64.unpack(_F64.pack(value))[0]
    return bits


def f32_from_bits(bits: int) -> float:
    """The canonical form of the f32 with these 32 bits."""
    if bits & 0x7F80_0000 == 0x7F80_0000 and bits & _FRACTION32:
        return f64_from_bits((bits >> 31) << 63 | _QUIET_NAN64 | bits & _FRACTION32)
    value: float = _F32.unpack(_U32.pack(bits))[0]
    return value


def f32_to_bits(value: float) -> int:
    """The 32 bits of an f32 in canonical form."""
    if value != value:
        bits = f64_to_bits(value)
        return (bits >> 63) << 31 | 0x7F80_0000 | (bits & _FRACTION32 or _CANONICAL32)
    out: int = _U32.unpack(_F32.pack(value))[0]
    return out


#: The canonical NaN of each type: what arithmetic gives here, always (the spec's deterministic profile).
NAN64 = f64_from_bits(_QUIET_NAN64)
NAN32 = f32_from_bits(0x7FC0_0000)


def round_f32(value: float) -> float:
    """The f32 nearest to an f64, ties to even; any NaN becomes the canonical one."""
    if value != value:
        return NAN32
    try:
        rounded: float = _F32.unpack(_F32.pack(value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)
    return rounded


def f32_from_python(value: float) -> float:
    """An f32 from any Python float: rounded, and a NaN keeps sign and the upper bits of its payload."""
    if value != value:
        bits = f64_to_bits(value)
        fraction = bits >> 29 & _FRACTION32 or bits & _FRACTION32 or _CANONICAL32
        return f32_from_bits((bits >> 63) << 31 | 0x7F80_0000 | fraction | _CANONICAL32)
    return round_f32(value)


def f32_to_python(value: float) -> float:
    """A Python float from an f32: a NaN's payload moves to the upper bits, as a conversion in hardware does."""
    if value != value:
        bits = f32_to_bits(value)
        return f64_from_bits((bits >> 31) << 63 | _QUIET_NAN64 | (bits & _FRACTION32) << 29)
    return value


def signed32(value: int) -> int:
    """The signed reading of an i32."""
    return value - 0x1_0000_0000 if value & 0x8000_0000 else value


def signed64(value: int) -> int:
    """The signed reading of an i64."""
    return value - 0x1_0000_0000_0000_0000 if value & 0x8000_0000_0000_0000 else value


def default(type_: ValType) -> Value:
    """The value that a fresh local of the type has (spec 4.2.1)."""
    if type_ is I32 or type_ is I64:
        return 0
    if type_ is V128:
        return _ZERO128
    if type_ is F32 or type_ is F64:
        return 0.0
    return None


class I31Int(int):
    """What an `i31ref` refers to: an int of 31 bits, signed. Two are the same reference if they are equal."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"I31Int({int(self)})"


def i31(value: int) -> I31Int:
    """An int as what an `i31ref` refers to. Raises OverflowError where it takes more than 31 bits."""
    if not -(1 << 30) <= value < 1 << 30:
        raise OverflowError(f"{value} does not fit i31")
    return I31Int(value)


def to_wasm(type_: ValType, value: object) -> Value:
    """A Python number or vector as a canonical value. Integers may be given signed or unsigned. References are not
    handled here: they need a store.

    Raises TypeError for a wrong Python type and OverflowError for an integer that does not fit.
    """
    if type_ is I32 or type_ is I64:
        if not isinstance(value, int):
            raise TypeError(f"{type_} takes an int, not {type(value).__name__}")
        bits = 32 if type_ is I32 else 64
        if not -(1 << bits - 1) <= value < 1 << bits:
            raise OverflowError(f"{value} does not fit {type_}")
        return int(value) & (M32 if type_ is I32 else M64)
    if type_ is F32 or type_ is F64:
        if not isinstance(value, (int, float)):
            raise TypeError(f"{type_} takes a float, not {type(value).__name__}")
        return f32_from_python(float(value)) if type_ is F32 else float(value)
    if type_ is V128:
        if not isinstance(value, v128.V128):
            raise TypeError(f"v128 takes a V128, not {type(value).__name__}")
        return value.raw
    raise TypeError(f"no conversion from Python to {type_}")


def to_python(type_: ValType, value: Value) -> object:
    """A canonical number or vector as Python has it: integers signed."""
    if type_ is I32 and isinstance(value, int):
        return signed32(value)
    if type_ is I64 and isinstance(value, int):
        return signed64(value)
    if type_ is F32 and isinstance(value, float):
        return f32_to_python(value)
    if type_ is V128 and isinstance(value, bytes):
        return v128.V128(value)
    return value
