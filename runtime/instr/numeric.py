"""Rows: constants, integer and float operators, conversions (spec 5.4.7). All of them have fixed types.

Codes run on without gaps within a group, so a group is its first code and its names in order.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..features import Feature
from ..types import F32, F64, I32, I64, ValType
from .model import Immediate, Instr


def _consts() -> Iterator[Instr]:
    kinds = (Immediate.I32, I32), (Immediate.I64, I64), (Immediate.F32, F32), (Immediate.F64, F64)
    for code, (immediate, type_) in enumerate(kinds, 0x41):
        yield Instr(code, f"{type_}.const", immediate, (), (type_,))


def _group(
    first: int, type_: ValType, arity: int, names: str, result: ValType, feature: Feature = Feature.MVP
) -> Iterator[Instr]:
    """Operators of one type: `names` in order of their codes, all with `arity` operands."""
    for code, name in enumerate(names.split(), first):
        yield Instr(code, f"{type_}.{name}", Immediate.NONE, (type_,) * arity, (result,), feature)


def _conversions(first: int, names: str, feature: Feature = Feature.MVP) -> Iterator[Instr]:
    """Conversions: the name begins with the type of the result and ends with that of the operand."""
    types = {t.name: t for t in (I32, I64, F32, F64)}
    for code, name in enumerate(names.split(), first):
        operand = next(part for part in reversed(name.split("_")) if part in types)
        yield Instr(code, name, Immediate.NONE, (types[operand],), (types[name[:3]],), feature)


_INT_COMPARE = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u"
_INT_BINARY = "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr"
_FLOAT_COMPARE = "eq ne lt gt le ge"
_FLOAT_UNARY = "abs neg ceil floor trunc nearest sqrt"
_FLOAT_BINARY = "add sub mul div min max copysign"

ROWS: tuple[Instr, ...] = (
    *_consts(),
    *_group(0x45, I32, 1, "eqz", I32),
    *_group(0x46, I32, 2, _INT_COMPARE, I32),
    *_group(0x50, I64, 1, "eqz", I32),
    *_group(0x51, I64, 2, _INT_COMPARE, I32),
    *_group(0x5B, F32, 2, _FLOAT_COMPARE, I32),
    *_group(0x61, F64, 2, _FLOAT_COMPARE, I32),
    *_group(0x67, I32, 1, "clz ctz popcnt", I32),
    *_group(0x6A, I32, 2, _INT_BINARY, I32),
    *_group(0x79, I64, 1, "clz ctz popcnt", I64),
    *_group(0x7C, I64, 2, _INT_BINARY, I64),
    *_group(0x8B, F32, 1, _FLOAT_UNARY, F32),
    *_group(0x92, F32, 2, _FLOAT_BINARY, F32),
    *_group(0x99, F64, 1, _FLOAT_UNARY, F64),
    *_group(0xA0, F64, 2, _FLOAT_BINARY, F64),
    *_conversions(
        0xA7,
        "i32.wrap_i64 i32.trunc_f32_s i32.trunc_f32_u i32.trunc_f64_s i32.trunc_f64_u "
        "i64.extend_i32_s i64.extend_i32_u i64.trunc_f32_s i64.trunc_f32_u i64.trunc_f64_s i64.trunc_f64_u "
        "f32.convert_i32_s f32.convert_i32_u f32.convert_i64_s f32.convert_i64_u f32.demote_f64 "
        "f64.convert_i32_s f64.convert_i32_u f64.convert_i64_s f64.convert_i64_u f64.promote_f32 "
        "i32.reinterpret_f32 i64.reinterpret_f64 f32.reinterpret_i32 f64.reinterpret_i64",
    ),
    *_group(0xC0, I32, 1, "extend8_s extend16_s", I32, Feature.SIGN_EXTENSION),
    *_group(0xC2, I64, 1, "extend8_s extend16_s extend32_s", I64, Feature.SIGN_EXTENSION),
    *_conversions(
        0xFC << 16,
        "i32.trunc_sat_f32_s i32.trunc_sat_f32_u i32.trunc_sat_f64_s i32.trunc_sat_f64_u "
        "i64.trunc_sat_f32_s i64.trunc_sat_f32_u i64.trunc_sat_f64_s i64.trunc_sat_f64_u",
        Feature.SATURATING_FLOAT,
    ),
)
