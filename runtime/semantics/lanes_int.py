"""Integer lanes of a v128 (spec 4.3.6).

Most operators compute all lanes at once, as one int of 128 bits. `high` is the top bit of every lane and `low` all
the others: with the top bits out of the way, a sum's carry or a difference's borrow stays in its lane, and what
belongs into the top bit is put there afterwards by an exclusive or. A comparison gives top bits, `_spread` fills the
lanes that they stand for.
"""

from __future__ import annotations

import operator
import struct
from collections.abc import Callable, Iterator
from itertools import starmap
from typing import TypeAlias

from .lanes import Operator

_Unary: TypeAlias = Callable[[bytes], bytes]
_Binary: TypeAlias = Callable[[bytes, bytes], bytes]
_Shift: TypeAlias = Callable[[bytes, int], bytes]
#: Of two vectors as ints, the top bits of the lanes in which the first is less.
_Less: TypeAlias = Callable[[int, int], int]

_int = int.from_bytes
_SHAPES = {8: "i8x16", 16: "i16x8", 32: "i32x4", 64: "i64x2"}
_FORMATS = {8: "b", 16: "h", 32: "i", 64: "q"}
#: Digits by the top bit of a byte.
_DIGITS = b"0" * 128 + b"1" * 128
_POPCNT = bytes(map(int.bit_count, range(256)))


def _each(bits: int, lane: int) -> int:
    """The vector, as an int, that has this in every lane of so many bits."""
    return int(sum(lane << at for at in range(0, 128, bits)))


def _high(bits: int) -> int:
    return _each(bits, 1 << bits - 1)


def _low(bits: int) -> int:
    return _each(bits, (1 << bits - 1) - 1)


def _layout(bits: int, *, unsigned: bool = False, part: int = 1) -> struct.Struct:
    """Lanes of a vector, or of one `part`-th of it."""
    code = _FORMATS[bits].upper() if unsigned else _FORMATS[bits]
    return struct.Struct(f"<{128 // bits // part}{code}")


# Sums


def _sums(bits: int) -> Iterator[tuple[str, Operator]]:
    high, low, shift = _high(bits), _low(bits), bits - 1

    def add(a: bytes, b: bytes) -> bytes:
        x, y = _int(a, "little"), _int(b, "little")
        return ((x & low) + (y & low) ^ (x ^ y) & high).to_bytes(16, "little")

    def sub(a: bytes, b: bytes) -> bytes:
        x, y = _int(a, "little"), _int(b, "little")
        return ((x | high) - (y & low) ^ (x ^ y ^ high) & high).to_bytes(16, "little")

    def neg(a: bytes) -> bytes:
        x = _int(a, "little")
        return (high - (x & low) ^ x & high ^ high).to_bytes(16, "little")

    def abs_(a: bytes) -> bytes:
        x = _int(a, "little")
        signs = x & high
        ones = signs >> shift
        # The complement of a negative lane is not negative: adding 1 can't leave the lane.
        return ((x ^ (signs << 1) - ones) + ones).to_bytes(16, "little")

    yield from (("add", add), ("sub", sub), ("neg", neg), ("abs", abs_))


def _saturated_sums(bits: int) -> Iterator[tuple[str, _Binary]]:
    high, low, shift = _high(bits), _low(bits), bits - 1

    def add_sat_u(a: bytes, b: bytes) -> bytes:
        x, y = _int(a, "little"), _int(b, "little")
        total = (x & low) + (y & low) ^ (x ^ y) & high
        carry = (x & y | (x | y) & (total ^ high)) & high
        return (total | (carry << 1) - (carry >> shift)).to_bytes(16, "little")

    def sub_sat_u(a: bytes, b: bytes) -> bytes:
        x, y = _int(a, "little"), _int(b, "little")
        differ, rest = x ^ y, (x | high) - (y & low)
        enough = (y & differ ^ (differ | rest)) & high
        return ((rest ^ (differ ^ high) & high) & (enough << 1) - (enough >> shift)).to_bytes(16, "little")

    def add_sat_s(a: bytes, b: bytes) -> bytes:
        x, y = _int(a, "little"), _int(b, "little")
        differ = x ^ y
        total = (x & low) + (y & low) ^ differ & high
        over = (differ ^ high) & (x ^ total) & high
        return _limited(x, total, over)

    def sub_sat_s(a: bytes, b: bytes) -> bytes:
        x, y = _int(a, "little"), _int(b, "little")
        differ = x ^ y
        total = (x | high) - (y & low) ^ (differ ^ high) & high
        over = differ & (x ^ total) & high
        return _limited(x, total, over)

    def _limited(x: int, total: int, over: int) -> bytes:
        """The greatest or least number, by the sign of `x`, in the lanes that are over."""
        limit = low + ((x & high) >> shift)
        return (((total ^ limit) & (over << 1) - (over >> shift)) ^ total).to_bytes(16, "little")

    yield from (("add_sat_u", add_sat_u), ("sub_sat_u", sub_sat_u))
    yield from (("add_sat_s", add_sat_s), ("sub_sat_s", sub_sat_s))


def _average(bits: int) -> _Binary:
    low = _low(bits)

    def avgr_u(a: bytes, b: bytes) -> bytes:
        x, y = _int(a, "little"), _int(b, "little")
        return ((x | y) - ((x ^ y) >> 1 & low)).to_bytes(16, "little")

    return avgr_u


# Comparisons


def _less(bits: int, signed: bool) -> _Less:
    high, low = _high(bits), _low(bits)

    def less_u(x: int, y: int) -> int:
        differ = x ^ y
        return (y & differ ^ (differ | (x | high) - (y & low)) ^ high) & high

    def less_s(x: int, y: int) -> int:
        differ = x ^ y
        return (x & differ ^ (differ | (x | high) - (y & low)) ^ high) & high

    return less_s if signed else less_u


def _orders(bits: int, signed: bool) -> Iterator[tuple[str, _Binary]]:
    high, shift, less = _high(bits), bits - 1, _less(bits, signed)

    def lt(a: bytes, b: bytes) -> bytes:
        found = less(_int(a, "little"), _int(b, "little"))
        return ((found << 1) - (found >> shift)).to_bytes(16, "little")

    def gt(a: bytes, b: bytes) -> bytes:
        found = less(_int(b, "little"), _int(a, "little"))
        return ((found << 1) - (found >> shift)).to_bytes(16, "little")

    def le(a: bytes, b: bytes) -> bytes:
        found = less(_int(b, "little"), _int(a, "little")) ^ high
        return ((found << 1) - (found >> shift)).to_bytes(16, "little")

    def ge(a: bytes, b: bytes) -> bytes:
        found = less(_int(a, "little"), _int(b, "little")) ^ high
        return ((found << 1) - (found >> shift)).to_bytes(16, "little")

    sign = "s" if signed else "u"
    yield from ((f"{name}_{sign}", function) for name, function in (("lt", lt), ("gt", gt), ("le", le), ("ge", ge)))


def _extremes(bits: int, signed: bool) -> Iterator[tuple[str, _Binary]]:
    shift, less = bits - 1, _less(bits, signed)

    def least(a: bytes, b: bytes) -> bytes:
        x, y = _int(a, "little"), _int(b, "little")
        found = less(x, y)
        return ((x ^ y) & (found << 1) - (found >> shift) ^ y).to_bytes(16, "little")

    def greatest(a: bytes, b: bytes) -> bytes:
        x, y = _int(a, "little"), _int(b, "little")
        found = less(x, y)
        return ((x ^ y) & (found << 1) - (found >> shift) ^ x).to_bytes(16, "little")

    sign = "s" if signed else "u"
    yield from ((f"min_{sign}", least), (f"max_{sign}", greatest))


def _equalities(bits: int) -> Iterator[tuple[str, Operator]]:
    high, low, shift = _high(bits), _low(bits), bits - 1

    def ne(a: bytes, b: bytes) -> bytes:
        differ = _int(a, "little") ^ _int(b, "little")
        found = ((differ & low) + low | differ) & high
        return ((found << 1) - (found >> shift)).to_bytes(16, "little")

    def eq(a: bytes, b: bytes) -> bytes:
        differ = _int(a, "little") ^ _int(b, "little")
        found = ((differ & low) + low | differ) & high ^ high
        return ((found << 1) - (found >> shift)).to_bytes(16, "little")

    def all_true(a: bytes) -> int:
        x = _int(a, "little")
        return int(((x & low) + low | x) & high == high)

    yield from (("eq", eq), ("ne", ne), ("all_true", all_true))


def _bitmask(bits: int) -> Callable[[bytes], int]:
    """The top bit of each lane, lane 0 last, read as a number."""
    step = -bits // 8
    return lambda a: int(a[::step].translate(_DIGITS), 2)


# Shifts


def _shifts(bits: int) -> Iterator[tuple[str, _Shift]]:
    mask, high = (1 << bits) - 1, _high(bits)
    left = [_each(bits, mask << k & mask) for k in range(bits)]
    right = [_each(bits, mask >> k) for k in range(bits)]

    def shl(a: bytes, count: int) -> bytes:
        count %= bits
        return (_int(a, "little") << count & left[count]).to_bytes(16, "little")

    def shr_u(a: bytes, count: int) -> bytes:
        count %= bits
        return (_int(a, "little") >> count & right[count]).to_bytes(16, "little")

    def shr_s(a: bytes, count: int) -> bytes:
        count %= bits
        if not count:
            return a
        x = _int(a, "little")
        signs = x & high
        return (x >> count & right[count] | (signs << 1) - (signs >> count - 1)).to_bytes(16, "little")

    yield from (("shl", shl), ("shr_u", shr_u), ("shr_s", shr_s))


# Products, and lanes of another width


def _product(bits: int) -> _Binary:
    lanes, mask = _layout(bits, unsigned=True), (1 << bits) - 1
    unpack, pack, mul = lanes.unpack, lanes.pack, operator.mul
    return lambda a, b: pack(*[product & mask for product in map(mul, unpack(a), unpack(b))])


def i16x8_q15mulr_sat_s(a: bytes, b: bytes) -> bytes:
    """Products of numbers in [-1, 1) that have 15 bits behind the point, rounded. Only that of -1 and -1, 1, does not
    fit."""
    products = map(operator.mul, _S16.unpack(a), _S16.unpack(b))
    return _S16.pack(*[p + 0x4000 >> 15 if p != 0x4000_0000 else 0x7FFF for p in products])


def i32x4_dot_i16x8_s(a: bytes, b: bytes) -> bytes:
    """Sums of two neighbouring products. Only one does not fit, that of four times the least number."""
    p = list(map(operator.mul, _S16.unpack(a), _S16.unpack(b)))
    return _U32.pack(*[total & 0xFFFF_FFFF for total in map(operator.add, p[::2], p[1::2])])


def i16x8_relaxed_dot_i8x16_i7x16_s(a: bytes, b: bytes) -> bytes:
    """The same one size smaller, and the sum that does not fit is the greatest number."""
    p = list(map(operator.mul, _S8.unpack(a), _S8.unpack(b)))
    return _S16.pack(*[total if total != 0x8000 else 0x7FFF for total in map(operator.add, p[::2], p[1::2])])


def i32x4_relaxed_dot_i8x16_i7x16_add_s(a: bytes, b: bytes, c: bytes) -> bytes:
    p = _S16.unpack(i16x8_relaxed_dot_i8x16_i7x16_s(a, b))
    return _U32.pack(*[x + y + z & 0xFFFF_FFFF for x, y, z in zip(p[::2], p[1::2], _U32.unpack(c), strict=True)])


def _widening(bits: int, unsigned: bool) -> Iterator[tuple[str, Operator]]:
    """From lanes of half of the bits: one half of them extended or multiplied, or neighbours summed."""
    half = _layout(bits // 2, unsigned=unsigned, part=2).unpack
    whole = _layout(bits // 2, unsigned=unsigned).unpack
    pack = _layout(bits, unsigned=unsigned).pack
    mul, add = operator.mul, operator.add

    def extadd_pairwise(a: bytes) -> bytes:
        lanes = whole(a)
        return pack(*map(add, lanes[::2], lanes[1::2]))

    source, sign = _SHAPES[bits // 2], "u" if unsigned else "s"
    yield f"extend_low_{source}_{sign}", lambda a: pack(*half(a[:8]))
    yield f"extend_high_{source}_{sign}", lambda a: pack(*half(a[8:]))
    yield f"extmul_low_{source}_{sign}", lambda a, b: pack(*map(mul, half(a[:8]), half(b[:8])))
    yield f"extmul_high_{source}_{sign}", lambda a, b: pack(*map(mul, half(a[8:]), half(b[8:])))
    if bits < 64:
        yield f"extadd_pairwise_{source}_{sign}", extadd_pairwise


def _narrowing(bits: int, unsigned: bool) -> tuple[str, _Binary]:
    """From two vectors of signed lanes of twice the bits, each brought into range."""
    unpack, pack = _layout(2 * bits).unpack, _layout(bits, unsigned=unsigned).pack
    low, high = (0, (1 << bits) - 1) if unsigned else (-(1 << bits - 1), (1 << bits - 1) - 1)

    def narrow(a: bytes, b: bytes) -> bytes:
        return pack(*[low if x < low else high if x > high else x for x in unpack(a) + unpack(b)])

    return f"narrow_{_SHAPES[2 * bits]}_{'u' if unsigned else 's'}", narrow


_S8, _S16, _U32 = _layout(8), _layout(16), _layout(32, unsigned=True)


def _family(bits: int) -> Iterator[tuple[str, Operator]]:
    """The operators of one shape, by what their names have behind the dot."""
    yield from _sums(bits)
    yield from _equalities(bits)
    yield from _orders(bits, True)
    yield from _shifts(bits)
    yield "bitmask", _bitmask(bits)
    if bits < 64:
        yield from _orders(bits, False)
        yield from _extremes(bits, True)
        yield from _extremes(bits, False)
    if bits < 32:
        yield from _saturated_sums(bits)
        yield "avgr_u", _average(bits)
        yield from starmap(_narrowing, ((bits, False), (bits, True)))
    if bits > 8:
        yield "mul", _product(bits)
        yield from _widening(bits, False)
        yield from _widening(bits, True)


OPERATORS: dict[str, Operator] = {
    **{f"{shape}.{name}": function for bits, shape in _SHAPES.items() for name, function in _family(bits)},
    "i8x16.popcnt": lambda a: a.translate(_POPCNT),
    "i16x8.q15mulr_sat_s": i16x8_q15mulr_sat_s,
    "i32x4.dot_i16x8_s": i32x4_dot_i16x8_s,
    # The relaxed ones, with the choice that the deterministic profile prescribes (spec 4.3.5).
    "i16x8.relaxed_q15mulr_s": i16x8_q15mulr_sat_s,
    "i16x8.relaxed_dot_i8x16_i7x16_s": i16x8_relaxed_dot_i8x16_i7x16_s,
    "i32x4.relaxed_dot_i8x16_i7x16_add_s": i32x4_relaxed_dot_i8x16_i7x16_add_s,
}
