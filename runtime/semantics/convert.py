"""Conversions (spec 4.3.4): between the widths, between integers and floats, and reinterpretation of bits."""

from __future__ import annotations

from ..errors import Trap, TrapCode
from ..values import (
    M32,
    M64,
    NAN64,
    f32_from_bits,
    f32_to_bits,
    f64_from_bits,
    f64_to_bits,
    round_f32,
    signed32,
    signed64,
)

_SIGNED32 = (-(1 << 31), (1 << 31) - 1)
_SIGNED64 = (-(1 << 63), (1 << 63) - 1)
_UNSIGNED32 = (0, M32)
_UNSIGNED64 = (0, M64)


def _truncate(value: float, bounds: tuple[int, int]) -> int:
    """`trunc`: rounds towards zero; traps for a NaN and for what lies outside the bounds."""
    if value != value:
        raise Trap(TrapCode.INVALID_CONVERSION)
    low, high = bounds
    # Exact: Python compares an int and a float by value, infinities included. Anything above -1 rounds to 0.
    if not low - 1 < value < high + 1:
        raise Trap(TrapCode.INTEGER_OVERFLOW)
    return int(value)


def _saturate(value: float, bounds: tuple[int, int]) -> int:
    """`trunc_sat`: like `trunc`, but a NaN is 0 and the bounds stand for what lies outside them."""
    if value != value:
        return 0
    low, high = bounds
    if value <= low:
        return low
    if value >= high:
        return high
    return int(value)


def _nearest_f32(value: int) -> float:
    """The f32 nearest to an integer of at most 64 bits, rounded once.

    A double holds 53 bits exactly. Of a longer integer the last bits are folded into one that says whether any was
    set ("sticky"): far below an f32's last place, it only ever decides what is a tie.
    """
    if abs(value) >> 53:
        value = (value >> 11 | (value & 0x7FF != 0)) << 11
    return round_f32(float(value))


def i32_wrap_i64(a: int) -> int:
    return a & M32


def i64_extend_i32_s(a: int) -> int:
    return signed32(a) & M64


def i64_extend_i32_u(a: int) -> int:
    return a


def i32_trunc_f32_s(a: float) -> int:
    return _truncate(a, _SIGNED32) & M32


def i32_trunc_f32_u(a: float) -> int:
    return _truncate(a, _UNSIGNED32)


def i32_trunc_f64_s(a: float) -> int:
    return _truncate(a, _SIGNED32) & M32


def i32_trunc_f64_u(a: float) -> int:
    return _truncate(a, _UNSIGNED32)


def i64_trunc_f32_s(a: float) -> int:
    return _truncate(a, _SIGNED64) & M64


def i64_trunc_f32_u(a: float) -> int:
    return _truncate(a, _UNSIGNED64)


def i64_trunc_f64_s(a: float) -> int:
    return _truncate(a, _SIGNED64) & M64


def i64_trunc_f64_u(a: float) -> int:
    return _truncate(a, _UNSIGNED64)


def i32_trunc_sat_f32_s(a: float) -> int:
    return _saturate(a, _SIGNED32) & M32


def i32_trunc_sat_f32_u(a: float) -> int:
    return _saturate(a, _UNSIGNED32)


def i32_trunc_sat_f64_s(a: float) -> int:
    return _saturate(a, _SIGNED32) & M32


def i32_trunc_sat_f64_u(a: float) -> int:
    return _saturate(a, _UNSIGNED32)


def i64_trunc_sat_f32_s(a: float) -> int:
    return _saturate(a, _SIGNED64) & M64


def i64_trunc_sat_f32_u(a: float) -> int:
    return _saturate(a, _UNSIGNED64)


def i64_trunc_sat_f64_s(a: float) -> int:
    return _saturate(a, _SIGNED64) & M64


def i64_trunc_sat_f64_u(a: float) -> int:
    return _saturate(a, _UNSIGNED64)


def f32_convert_i32_s(a: int) -> float:
    return _nearest_f32(signed32(a))


def f32_convert_i32_u(a: int) -> float:
    return _nearest_f32(a)


def f32_convert_i64_s(a: int) -> float:
    return _nearest_f32(signed64(a))


def f32_convert_i64_u(a: int) -> float:
    return _nearest_f32(a)


def f64_convert_i32_s(a: int) -> float:
    return float(signed32(a))


def f64_convert_i32_u(a: int) -> float:
    return float(a)


def f64_convert_i64_s(a: int) -> float:
    return float(signed64(a))


def f64_convert_i64_u(a: int) -> float:
    return float(a)


def f32_demote_f64(a: float) -> float:
    return round_f32(a)


def f64_promote_f32(a: float) -> float:
    return a if a == a else NAN64


def i32_reinterpret_f32(a: float) -> int:
    return f32_to_bits(a)


def i64_reinterpret_f64(a: float) -> int:
    return f64_to_bits(a)


def f32_reinterpret_i32(a: int) -> float:
    return f32_from_bits(a)


def f64_reinterpret_i64(a: int) -> float:
    return f64_from_bits(a)
