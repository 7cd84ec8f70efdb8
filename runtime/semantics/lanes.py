"""v128 as bits, and lanes that only move (spec 4.3.6): logic, shuffles, splats, taking lanes out and putting them in.

A v128 is 16 bytes, lane 0 first and each lane little end first. Bytes beat an int of 128 bits as its form: loads,
stores, moves of lanes and floats work on them directly, and where many lanes are computed at once as one large int
the way there and back costs less than they save.

`OPERATORS` has the function of each row, by the row's name; immediates come behind the operands.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from ..values import M32, f32_from_bits, f32_to_bits

#: What a row computes.
Operator = Callable[..., object]
ZERO = bytes(16)
FULL = (1 << 128) - 1
#: Behind the bytes that `bytes.translate` looks lanes up in, so that any index finds one.
PAD_ONE = bytes(240)
PAD_TWO = bytes(224)

_int = int.from_bytes


def v128_not(a: bytes) -> bytes:
    return (_int(a, "little") ^ FULL).to_bytes(16, "little")


def v128_and(a: bytes, b: bytes) -> bytes:
    return (_int(a, "little") & _int(b, "little")).to_bytes(16, "little")


def v128_andnot(a: bytes, b: bytes) -> bytes:
    return (_int(a, "little") & (_int(b, "little") ^ FULL)).to_bytes(16, "little")


def v128_or(a: bytes, b: bytes) -> bytes:
    return (_int(a, "little") | _int(b, "little")).to_bytes(16, "little")


def v128_xor(a: bytes, b: bytes) -> bytes:
    return (_int(a, "little") ^ _int(b, "little")).to_bytes(16, "little")


def v128_bitselect(a: bytes, b: bytes, mask: bytes) -> bytes:
    """The bits of `a` where `mask` is 1, of `b` where it is 0."""
    y = _int(b, "little")
    return ((_int(a, "little") ^ y) & _int(mask, "little") ^ y).to_bytes(16, "little")


def v128_any_true(a: bytes) -> int:
    return int(a != ZERO)


def i8x16_shuffle(a: bytes, b: bytes, lanes: bytes) -> bytes:
    """The lanes of both with these numbers."""
    return lanes.translate(a + b + PAD_TWO)


def i8x16_swizzle(a: bytes, lanes: bytes) -> bytes:
    """The lanes of `a` with these numbers; 0 where there is none."""
    return lanes.translate(a + PAD_ONE)


def _splat(width: int) -> Callable[[int], bytes]:
    mask, lanes = (1 << 8 * width) - 1, 16 // width
    return lambda value: (value & mask).to_bytes(width, "little") * lanes


def f32x4_splat(value: float) -> bytes:
    return f32_to_bits(value).to_bytes(4, "little") * 4


def f64x2_splat(value: float) -> bytes:
    return struct.pack("<d", value) * 2


def _extract(format_: str, mask: int) -> Callable[[bytes, int], int]:
    """The lane of this format, its bits beyond `mask` cut off."""
    layout = struct.Struct("<" + format_)
    unpack, width = layout.unpack_from, layout.size
    return lambda a, lane: unpack(a, lane * width)[0] & mask


def f32x4_extract_lane(a: bytes, lane: int) -> float:
    return f32_from_bits(_int(a[4 * lane : 4 * lane + 4], "little"))


def f64x2_extract_lane(a: bytes, lane: int) -> float:
    value: float = struct.unpack_from("<d", a, 8 * lane)[0]
    return value


def _replace(width: int) -> Callable[[bytes, int, int], bytes]:
    mask = (1 << 8 * width) - 1

    def replace_lane(a: bytes, value: int, lane: int) -> bytes:
        at = lane * width
        return a[:at] + (value & mask).to_bytes(width, "little") + a[at + width :]

    return replace_lane


def f32x4_replace_lane(a: bytes, value: float, lane: int) -> bytes:
    return a[: 4 * lane] + f32_to_bits(value).to_bytes(4, "little") + a[4 * lane + 4 :]


def f64x2_replace_lane(a: bytes, value: float, lane: int) -> bytes:
    return a[: 8 * lane] + struct.pack("<d", value) + a[8 * lane + 8 :]


def _moves() -> Iterator[tuple[str, Operator]]:
    """The integer shapes' splats, and their lanes in and out."""
    for shape, width in (("i8x16", 1), ("i16x8", 2), ("i32x4", 4), ("i64x2", 8)):
        yield f"{shape}.splat", _splat(width)
        yield f"{shape}.replace_lane", _replace(width)
    for shape, format_ in (("i8x16", "b"), ("i16x8", "h")):
        yield f"{shape}.extract_lane_s", _extract(format_, M32)
        yield f"{shape}.extract_lane_u", _extract(format_.upper(), M32)
    yield "i32x4.extract_lane", _extract("I", M32)
    yield "i64x2.extract_lane", _extract("Q", -1)


OPERATORS: dict[str, Operator] = {
    "v128.not": v128_not,
    "v128.and": v128_and,
    "v128.andnot": v128_andnot,
    "v128.or": v128_or,
    "v128.xor": v128_xor,
    "v128.bitselect": v128_bitselect,
    "v128.any_true": v128_any_true,
    "i8x16.shuffle": i8x16_shuffle,
    "i8x16.swizzle": i8x16_swizzle,
    "f32x4.splat": f32x4_splat,
    "f64x2.splat": f64x2_splat,
    "f32x4.extract_lane": f32x4_extract_lane,
    "f64x2.extract_lane": f64x2_extract_lane,
    "f32x4.replace_lane": f32x4_replace_lane,
    "f64x2.replace_lane": f64x2_replace_lane,
    **dict(_moves()),
    # The relaxed ones, with the choice that the deterministic profile prescribes (spec 4.3.5).
    "i8x16.relaxed_swizzle": i8x16_swizzle,
    **{f"{shape}.relaxed_laneselect": v128_bitselect for shape in ("i8x16", "i16x8", "i32x4", "i64x2")},
}
