"""Float lanes of a v128 (spec 4.3.6): what the scalar operators in `float` and `convert` do, lane by lane.

Lanes come out of the bytes as Python floats. Whether that disturbs a NaN doesn't matter where the operator is
arithmetic, as its NaN is always the canonical one. What isn't arithmetic (`abs`, `neg`, `pmin`, `pmax`) moves bits.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from ..values import NAN64, round_f32
from . import convert
from . import float as scalar
from .lanes import Operator

_Unary: TypeAlias = Callable[[bytes], bytes]
_Binary: TypeAlias = Callable[[bytes, bytes], bytes]

_F32, _F64 = struct.Struct("<4f"), struct.Struct("<2d")
_U32, _U64 = struct.Struct("<4I"), struct.Struct("<2Q")
_S32, _S64 = struct.Struct("<4i"), struct.Struct("<2q")
_LOW_F32, _LOW_S32, _LOW_U32 = struct.Struct("<2f"), struct.Struct("<2i"), struct.Struct("<2I")
_int = int.from_bytes


def _f32x4(lanes: Iterable[float]) -> bytes:
    """Lanes rounded to f32, any NaN the canonical one."""
    a, b, c, d = lanes
    try:
        return _F32.pack(a if a == a else NAN64, b if b == b else NAN64, c if c == c else NAN64, d if d == d else NAN64)
    except OverflowError:
        return _F32.pack(round_f32(a), round_f32(b), round_f32(c), round_f32(d))


def _f64x2(lanes: Iterable[float]) -> bytes:
    """Lanes, any NaN the canonical one."""
    a, b = lanes
    return _F64.pack(a if a == a else NAN64, b if b == b else NAN64)


def _unary(function: Callable[[float], float], unpack: Callable[[bytes], Any], pack: Callable[..., bytes]) -> _Unary:
    return lambda a: pack(map(function, unpack(a)))


def _binary(
    function: Callable[[float, float], float], unpack: Callable[[bytes], Any], pack: Callable[..., bytes]
) -> _Binary:
    return lambda a, b: pack(map(function, unpack(a), unpack(b)))


def _quotients(
    function: Callable[[float, float], float], unpack: Callable[[bytes], Any], pack: Callable[..., bytes]
) -> _Binary:
    """Division: Python's own refuses zero."""
    divide = operator.truediv

    def div(a: bytes, b: bytes) -> bytes:
        try:
            return pack(map(divide, unpack(a), unpack(b)))
        except ZeroDivisionError:
            return pack(map(function, unpack(a), unpack(b)))

    return div


def _roots(function: Callable[[float], float], unpack: Callable[[bytes], Any], pack: Callable[..., bytes]) -> _Unary:
    """Roots: Python's own refuses what is negative."""
    root = math.sqrt

    def sqrt(a: bytes) -> bytes:
        try:
            return pack(map(root, unpack(a)))
        except ValueError:
            return pack(map(function, unpack(a)))

    return sqrt


def _comparison(
    function: Callable[[float, float], bool], unpack: Callable[[bytes], Any], pack: Callable[..., bytes]
) -> _Binary:
    """All bits of a lane set, which is -1, where the comparison holds."""
    negative = operator.neg
    return lambda a, b: pack(*map(negative, map(function, unpack(a), unpack(b))))


def _extremes(
    lane: dict[str, Callable[[float, float], float]], unpack: Callable[[bytes], Any], pack: Callable[..., bytes]
) -> Iterator[tuple[str, _Binary]]:
    """`min` and `max`. Left to the scalar operators: equal lanes, which may be zeros of either sign, and NaNs."""
    least, greatest = lane["min"], lane["max"]

    def min_(a: bytes, b: bytes) -> bytes:
        pairs = zip(unpack(a), unpack(b), strict=True)
        return pack([x if x < y else y if y < x else least(x, y) for x, y in pairs])

    def max_(a: bytes, b: bytes) -> bytes:
        pairs = zip(unpack(a), unpack(b), strict=True)
        return pack([x if x > y else y if y > x else greatest(x, y) for x, y in pairs])

    # In the deterministic profile the relaxed ones are no different (spec 4.3.5).
    yield from (("min", min_), ("max", max_), ("relaxed_min", min_), ("relaxed_max", max_))


def _choices(unpack: Callable[[bytes], Any], bits: struct.Struct) -> Iterator[tuple[str, _Binary]]:
    """`pmin` and `pmax`: the second lane, bit by bit, where it is less or greater; else the first."""
    raw, pack = bits.unpack, bits.pack

    def pmin(a: bytes, b: bytes) -> bytes:
        lanes = zip(unpack(a), unpack(b), raw(a), raw(b), strict=True)
        return pack(*[q if y < x else p for x, y, p, q in lanes])

    def pmax(a: bytes, b: bytes) -> bytes:
        lanes = zip(unpack(a), unpack(b), raw(a), raw(b), strict=True)
        return pack(*[q if y > x else p for x, y, p, q in lanes])

    yield from (("pmin", pmin), ("pmax", pmax))


def _signs(bits: int) -> Iterator[tuple[str, _Unary]]:
    high = sum(1 << at + bits - 1 for at in range(0, 128, bits))
    low = (1 << 128) - 1 - high
    yield "abs", lambda a: (_int(a, "little") & low).to_bytes(16, "little")
    yield "neg", lambda a: (_int(a, "little") ^ high).to_bytes(16, "little")


def _family(bits: int) -> Iterator[tuple[str, Operator]]:
    """The operators of one shape, by what their names have behind the dot."""
    unpack, pack, unsigned = (_F32.unpack, _f32x4, _U32) if bits == 32 else (_F64.unpack, _f64x2, _U64)
    lane = {name[4:]: function for name, function in vars(scalar).items() if name.startswith(f"f{bits}_")}
    yield from _signs(bits)
    for name in ("ceil", "floor", "trunc", "nearest"):
        yield name, _unary(lane[name], unpack, pack)
    yield "sqrt", _roots(lane["sqrt"], unpack, pack)
    for name in ("add", "sub", "mul"):
        yield name, _binary(getattr(operator, name), unpack, pack)
    yield "div", _quotients(lane["div"], unpack, pack)
    yield from _extremes(lane, unpack, pack)
    yield from _choices(unpack, unsigned)
    for name in ("eq", "ne", "lt", "gt", "le", "ge"):
        yield name, _comparison(getattr(operator, name), unpack, (_S32 if bits == 32 else _S64).pack)


# The product is rounded before the sum: that is the deterministic profile's choice (spec 4.3.5).


def f32x4_relaxed_madd(a: bytes, b: bytes, c: bytes) -> bytes:
    products = map(round_f32, map(operator.mul, _F32.unpack(a), _F32.unpack(b)))
    return _f32x4(map(operator.add, products, _F32.unpack(c)))


def f32x4_relaxed_nmadd(a: bytes, b: bytes, c: bytes) -> bytes:
    products = map(round_f32, map(operator.mul, _F32.unpack(a), _F32.unpack(b)))
    return _f32x4(map(operator.sub, _F32.unpack(c), products))


def f64x2_relaxed_madd(a: bytes, b: bytes, c: bytes) -> bytes:
    products = map(operator.mul, _F64.unpack(a), _F64.unpack(b))
    return _f64x2(map(operator.add, products, _F64.unpack(c)))


def f64x2_relaxed_nmadd(a: bytes, b: bytes, c: bytes) -> bytes:
    products = map(operator.mul, _F64.unpack(a), _F64.unpack(b))
    return _f64x2(map(operator.sub, _F64.unpack(c), products))


# Conversions


def f32x4_demote_f64x2_zero(a: bytes) -> bytes:
    return _f32x4((*_F64.unpack(a), 0.0, 0.0))


def f64x2_promote_low_f32x4(a: bytes) -> bytes:
    return _f64x2(_LOW_F32.unpack(a[:8]))


def _truncations(sign: str) -> Iterator[tuple[str, _Unary]]:
    from_f32 = convert.i32_trunc_sat_f32_s if sign == "s" else convert.i32_trunc_sat_f32_u
    from_f64 = convert.i32_trunc_sat_f64_s if sign == "s" else convert.i32_trunc_sat_f64_u
    pack, f32, f64 = _U32.pack, _F32.unpack, _F64.unpack
    for kind in ("trunc_sat", "relaxed_trunc"):
        yield f"i32x4.{kind}_f32x4_{sign}", lambda a: pack(*map(from_f32, f32(a)))
        yield f"i32x4.{kind}_f64x2_{sign}_zero", lambda a: pack(*map(from_f64, f64(a)), 0, 0)


OPERATORS: dict[str, Operator] = {
    **{f"f32x4.{name}": function for name, function in _family(32)},
    **{f"f64x2.{name}": function for name, function in _family(64)},
    "f32x4.relaxed_madd": f32x4_relaxed_madd,
    "f32x4.relaxed_nmadd": f32x4_relaxed_nmadd,
    "f64x2.relaxed_madd": f64x2_relaxed_madd,
    "f64x2.relaxed_nmadd": f64x2_relaxed_nmadd,
    "f32x4.demote_f64x2_zero": f32x4_demote_f64x2_zero,
    "f64x2.promote_low_f32x4": f64x2_promote_low_f32x4,
    **dict(_truncations("s")),
    **dict(_truncations("u")),
    # An int of 32 bits is exact as a double, so that the f32 is rounded once.
    "f32x4.convert_i32x4_s": lambda a: _F32.pack(*_S32.unpack(a)),
    "f32x4.convert_i32x4_u": lambda a: _F32.pack(*_U32.unpack(a)),
    "f64x2.convert_low_i32x4_s": lambda a: _F64.pack(*_LOW_S32.unpack(a[:8])),
    "f64x2.convert_low_i32x4_u": lambda a: _F64.pack(*_LOW_U32.unpack(a[:8])),
}
