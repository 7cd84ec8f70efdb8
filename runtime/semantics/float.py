"""Float operations (spec 4.3.3): f32 and f64, on canonical values.

The host's own arithmetic on doubles gives f64. It also gives f32 once the result is rounded again: a double has more
than twice an f32's digits, so for one of + - * / and sqrt the two roundings are as good as one.

A NaN that arithmetic makes is always the canonical one with a positive sign, whatever its operands were: the spec
allows more, and the narrowest choice is the one that is the same on every machine. `abs`, `neg` and `copysign` are no
arithmetic: they change the sign bit and leave the payload.
"""

from __future__ import annotations

import math

from ..values import NAN32, NAN64, round_f32

#: From here on every f64 is an integer (and every f32 long before).
_INTEGRAL = 2.0**52


def _divide(a: float, b: float) -> float:
    """IEEE division, which Python refuses for a zero divisor."""
    if b:
        return a / b
    if not a or a != a:
        return NAN64
    return math.copysign(math.inf, math.copysign(1.0, a) * math.copysign(1.0, b))


def _root(a: float) -> float:
    return NAN64 if a < 0 else math.sqrt(a)


def _least(a: float, b: float) -> float:
    """`fmin`: NaN if either is; -0 is less than +0."""
    if a != a or b != b:
        return NAN64
    if a == b:
        return a if math.copysign(1.0, a) < 0 else b
    return min(a, b)


def _greatest(a: float, b: float) -> float:
    """`fmax`: NaN if either is; +0 is greater than -0."""
    if a != a or b != b:
        return NAN64
    if a == b:
        return b if math.copysign(1.0, a) < 0 else a
    return max(a, b)


def _ceil(a: float) -> float:
    return math.copysign(math.ceil(a), a) if abs(a) < _INTEGRAL else a


def _floor(a: float) -> float:
    return math.copysign(math.floor(a), a) if abs(a) < _INTEGRAL else a


def _trunc(a: float) -> float:
    return math.copysign(math.trunc(a), a) if abs(a) < _INTEGRAL else a


def _nearest(a: float) -> float:
    """To the nearest integer, ties to the even one. A zero keeps the sign of what was rounded."""
    return math.copysign(round(a), a) if abs(a) < _INTEGRAL else a


def _f64(value: float) -> float:
    """An arithmetic result: any NaN becomes the canonical one."""
    return value if value == value else NAN64


# --- f32 ---


def f32_abs(a: float) -> float:
    return math.fabs(a)


def f32_neg(a: float) -> float:
    return -a


def f32_copysign(a: float, b: float) -> float:
    return math.copysign(a, b)


def f32_ceil(a: float) -> float:
    return NAN32 if a != a else _ceil(a)


def f32_floor(a: float) -> float:
    return NAN32 if a != a else _floor(a)


def f32_trunc(a: float) -> float:
    return NAN32 if a != a else _trunc(a)


def f32_nearest(a: float) -> float:
    return NAN32 if a != a else _nearest(a)


def f32_sqrt(a: float) -> float:
    return round_f32(_root(a))


def f32_add(a: float, b: float) -> float:
    return round_f32(a + b)


def f32_sub(a: float, b: float) -> float:
    return round_f32(a - b)


def f32_mul(a: float, b: float) -> float:
    return round_f32(a * b)


def f32_div(a: float, b: float) -> float:
    return round_f32(_divide(a, b))


def f32_min(a: float, b: float) -> float:
    return round_f32(_least(a, b))


def f32_max(a: float, b: float) -> float:
    return round_f32(_greatest(a, b))


def f32_eq(a: float, b: float) -> int:
    return int(a == b)


def f32_ne(a: float, b: float) -> int:
    return int(a != b)


def f32_lt(a: float, b: float) -> int:
    return int(a < b)


def f32_gt(a: float, b: float) -> int:
    return int(a > b)


def f32_le(a: float, b: float) -> int:
    return int(a <= b)


def f32_ge(a: float, b: float) -> int:
    return int(a >= b)


# --- f64 ---


def f64_abs(a: float) -> float:
    return math.fabs(a)


def f64_neg(a: float) -> float:
    return -a


def f64_copysign(a: float, b: float) -> float:
    return math.copysign(a, b)


def f64_ceil(a: float) -> float:
    return NAN64 if a != a else _ceil(a)


def f64_floor(a: float) -> float:
    return NAN64 if a != a else _floor(a)


def f64_trunc(a: float) -> float:
    return NAN64 if a != a else _trunc(a)


def f64_nearest(a: float) -> float:
    return NAN64 if a != a else _nearest(a)


def f64_sqrt(a: float) -> float:
    return _f64(_root(a))


def f64_add(a: float, b: float) -> float:
    return _f64(a + b)


def f64_sub(a: float, b: float) -> float:
    return _f64(a - b)


def f64_mul(a: float, b: float) -> float:
    return _f64(a * b)


def f64_div(a: float, b: float) -> float:
    return _f64(_divide(a, b))


def f64_min(a: float, b: float) -> float:
    return _f64(_least(a, b))


def f64_max(a: float, b: float) -> float:
    return _f64(_greatest(a, b))


def f64_eq(a: float, b: float) -> int:
    return int(a == b)


def f64_ne(a: float, b: float) -> int:
    return int(a != b)


def f64_lt(a: float, b: float) -> int:
    return int(a < b)


def f64_gt(a: float, b: float) -> int:
    return int(a > b)


def f64_le(a: float, b: float) -> int:
    return int(a <= b)


def f64_ge(a: float, b: float) -> int:
    return int(a >= b)
