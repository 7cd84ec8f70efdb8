"""Rows: vectors of 128 bits (spec 5.4.8), the relaxed ones included. All but loads and stores have fixed types.

Codes run on without gaps within a group, so a group is its shape, its first code and its names in order.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..features import Feature
from ..types import F32, F64, I32, I64, V128, ValType
from .model import Immediate, Instr

_PREFIX = 0xFD << 16
#: How many lanes a shape has, and what one is outside of a vector.
_SHAPES: dict[str, tuple[int, ValType]] = {
    "i8x16": (16, I32),
    "i16x8": (8, I32),
    "i32x4": (4, I32),
    "i64x2": (2, I64),
    "f32x4": (4, F32),
    "f64x2": (2, F64),
}
_UNARY = (V128,)
_BINARY = (V128, V128)
_TERNARY = (V128, V128, V128)
_SHIFT = (V128, I32)

_INT_COMPARE = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"
_FLOAT_COMPARE = "eq ne lt gt le ge"
_SHIFTS = "shl shr_s shr_u"
_FLOAT_BINARY = "add sub mul div min max pmin pmax"


def _group(
    params: tuple[ValType, ...],
    shape: str,
    first: int,
    names: str,
    result: ValType = V128,
    feature: Feature = Feature.SIMD,
) -> Iterator[Instr]:
    """Operators without immediates: `names` in order of their codes."""
    for sub, name in enumerate(names.split(), first):
        yield Instr(_PREFIX | sub, f"{shape}.{name}", Immediate.NONE, params, (result,), feature)


def _tests(shape: str, first: int, names: str = "all_true bitmask") -> Iterator[Instr]:
    return _group(_UNARY, shape, first, names, I32)


def _relaxed(params: tuple[ValType, ...], shape: str, first: int, names: str) -> Iterator[Instr]:
    return _group(params, shape, first, names, V128, Feature.RELAXED_SIMD)


def _wide(shape: str, first: int, name: str, source: str, params: tuple[ValType, ...]) -> Iterator[Instr]:
    """What makes a vector of wider lanes of half of a vector: low and high half, signed and unsigned."""
    halves = f"{name}_low_{source}_s {name}_high_{source}_s {name}_low_{source}_u {name}_high_{source}_u"
    return _group(params, shape, first, halves)


def _splats() -> Iterator[Instr]:
    for sub, (shape, (_, type_)) in enumerate(_SHAPES.items(), 15):
        yield Instr(_PREFIX | sub, f"{shape}.splat", Immediate.NONE, (type_,), (V128,), Feature.SIMD)


def _lane(sub: int, name: str) -> Instr:
    """Takes a lane out, or puts one in."""
    shape, _, operator = name.partition(".")
    lanes, type_ = _SHAPES[shape]
    params, result = ((V128,), type_) if operator.startswith("extract") else ((V128, type_), V128)
    return Instr(_PREFIX | sub, name, Immediate.LANE, params, (result,), Feature.SIMD, lanes=lanes)


def _lanes() -> Iterator[Instr]:
    sub = 21
    for shape in _SHAPES:
        narrow = shape in ("i8x16", "i16x8")
        for operator in (*(("extract_lane_s", "extract_lane_u") if narrow else ("extract_lane",)), "replace_lane"):
            yield _lane(sub, f"{shape}.{operator}")
            sub += 1


def _access(sub: int, name: str, width: int) -> Instr:
    return Instr(
        _PREFIX | sub, f"v128.{name}", Immediate.MEMARG, feature=Feature.SIMD, width=width, value=V128
    )  # fmt: skip


def _lane_accesses(first: int, name: str) -> Iterator[Instr]:
    for sub, width in enumerate((1, 2, 4, 8), first):
        row = f"v128.{name}{8 * width}_lane"
        yield Instr(
            _PREFIX | sub, row, Immediate.MEMARG_LANE, feature=Feature.SIMD, width=width, value=V128, lanes=16 // width
        )


ROWS: tuple[Instr, ...] = (
    _access(0, "load", 16),
    *(_access(1 + i, f"load{name}", 8) for i, name in enumerate("8x8_s 8x8_u 16x4_s 16x4_u 32x2_s 32x2_u".split())),
    *(_access(7 + i, f"load{8 << i}_splat", 1 << i) for i in range(4)),
    _access(11, "store", 16),
    Instr(_PREFIX | 12, "v128.const", Immediate.V128, (), (V128,), Feature.SIMD),
    Instr(_PREFIX | 13, "i8x16.shuffle", Immediate.LANES, _BINARY, (V128,), Feature.SIMD, lanes=32),
    *_group(_BINARY, "i8x16", 14, "swizzle"),
    *_splats(),
    *_lanes(),
    *_group(_BINARY, "i8x16", 35, _INT_COMPARE),
    *_group(_BINARY, "i16x8", 45, _INT_COMPARE),
    *_group(_BINARY, "i32x4", 55, _INT_COMPARE),
    *_group(_BINARY, "f32x4", 65, _FLOAT_COMPARE),
    *_group(_BINARY, "f64x2", 71, _FLOAT_COMPARE),
    *_group(_UNARY, "v128", 77, "not"),
    *_group(_BINARY, "v128", 78, "and andnot or xor"),
    *_group(_TERNARY, "v128", 82, "bitselect"),
    *_tests("v128", 83, "any_true"),
    *_lane_accesses(84, "load"),
    *_lane_accesses(88, "store"),
    _access(92, "load32_zero", 4),
    _access(93, "load64_zero", 8),
    *_group(_UNARY, "f32x4", 94, "demote_f64x2_zero"),
    *_group(_UNARY, "f64x2", 95, "promote_low_f32x4"),
    *_group(_UNARY, "i8x16", 96, "abs neg popcnt"),
    *_tests("i8x16", 99),
    *_group(_BINARY, "i8x16", 101, "narrow_i16x8_s narrow_i16x8_u"),
    *_group(_UNARY, "f32x4", 103, "ceil floor trunc nearest"),
    *_group(_SHIFT, "i8x16", 107, _SHIFTS),
    *_group(_BINARY, "i8x16", 110, "add add_sat_s add_sat_u sub sub_sat_s sub_sat_u"),
    *_group(_UNARY, "f64x2", 116, "ceil floor"),
    *_group(_BINARY, "i8x16", 118, "min_s min_u max_s max_u"),
    *_group(_UNARY, "f64x2", 122, "trunc"),
    *_group(_BINARY, "i8x16", 123, "avgr_u"),
    *_group(_UNARY, "i16x8", 124, "extadd_pairwise_i8x16_s extadd_pairwise_i8x16_u"),
    *_group(_UNARY, "i32x4", 126, "extadd_pairwise_i16x8_s extadd_pairwise_i16x8_u"),
    *_group(_UNARY, "i16x8", 128, "abs neg"),
    *_group(_BINARY, "i16x8", 130, "q15mulr_sat_s"),
    *_tests("i16x8", 131),
    *_group(_BINARY, "i16x8", 133, "narrow_i32x4_s narrow_i32x4_u"),
    *_wide("i16x8", 135, "extend", "i8x16", _UNARY),
    *_group(_SHIFT, "i16x8", 139, _SHIFTS),
    *_group(_BINARY, "i16x8", 142, "add add_sat_s add_sat_u sub sub_sat_s sub_sat_u"),
    *_group(_UNARY, "f64x2", 148, "nearest"),
    *_group(_BINARY, "i16x8", 149, "mul min_s min_u max_s max_u"),
    *_group(_BINARY, "i16x8", 155, "avgr_u"),
    *_wide("i16x8", 156, "extmul", "i8x16", _BINARY),
    *_group(_UNARY, "i32x4", 160, "abs neg"),
    *_tests("i32x4", 163),
    *_wide("i32x4", 167, "extend", "i16x8", _UNARY),
    *_group(_SHIFT, "i32x4", 171, _SHIFTS),
    *_group(_BINARY, "i32x4", 174, "add"),
    *_group(_BINARY, "i32x4", 177, "sub"),
    *_group(_BINARY, "i32x4", 181, "mul min_s min_u max_s max_u dot_i16x8_s"),
    *_wide("i32x4", 188, "extmul", "i16x8", _BINARY),
    *_group(_UNARY, "i64x2", 192, "abs neg"),
    *_tests("i64x2", 195),
    *_wide("i64x2", 199, "extend", "i32x4", _UNARY),
    *_group(_SHIFT, "i64x2", 203, _SHIFTS),
    *_group(_BINARY, "i64x2", 206, "add"),
    *_group(_BINARY, "i64x2", 209, "sub"),
    *_group(_BINARY, "i64x2", 213, "mul eq ne lt_s gt_s le_s ge_s"),
    *_wide("i64x2", 220, "extmul", "i32x4", _BINARY),
    *_group(_UNARY, "f32x4", 224, "abs neg"),
    *_group(_UNARY, "f32x4", 227, "sqrt"),
    *_group(_BINARY, "f32x4", 228, _FLOAT_BINARY),
    *_group(_UNARY, "f64x2", 236, "abs neg"),
    *_group(_UNARY, "f64x2", 239, "sqrt"),
    *_group(_BINARY, "f64x2", 240, _FLOAT_BINARY),
    *_group(_UNARY, "i32x4", 248, "trunc_sat_f32x4_s trunc_sat_f32x4_u"),
    *_group(_UNARY, "f32x4", 250, "convert_i32x4_s convert_i32x4_u"),
    *_group(_UNARY, "i32x4", 252, "trunc_sat_f64x2_s_zero trunc_sat_f64x2_u_zero"),
    *_group(_UNARY, "f64x2", 254, "convert_low_i32x4_s convert_low_i32x4_u"),
    *_relaxed(_BINARY, "i8x16", 256, "relaxed_swizzle"),
    *_relaxed(_UNARY, "i32x4", 257, "relaxed_trunc_f32x4_s relaxed_trunc_f32x4_u"),
    *_relaxed(_UNARY, "i32x4", 259, "relaxed_trunc_f64x2_s_zero relaxed_trunc_f64x2_u_zero"),
    *_relaxed(_TERNARY, "f32x4", 261, "relaxed_madd relaxed_nmadd"),
    *_relaxed(_TERNARY, "f64x2", 263, "relaxed_madd relaxed_nmadd"),
    *_relaxed(_TERNARY, "i8x16", 265, "relaxed_laneselect"),
    *_relaxed(_TERNARY, "i16x8", 266, "relaxed_laneselect"),
    *_relaxed(_TERNARY, "i32x4", 267, "relaxed_laneselect"),
    *_relaxed(_TERNARY, "i64x2", 268, "relaxed_laneselect"),
    *_relaxed(_BINARY, "f32x4", 269, "relaxed_min relaxed_max"),
    *_relaxed(_BINARY, "f64x2", 271, "relaxed_min relaxed_max"),
    *_relaxed(_BINARY, "i16x8", 273, "relaxed_q15mulr_s relaxed_dot_i8x16_i7x16_s"),
    *_relaxed(_TERNARY, "i32x4", 275, "relaxed_dot_i8x16_i7x16_add_s"),
)
