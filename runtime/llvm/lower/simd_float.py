"""Lowerings: float lanes of vectors (spec 4.3.6). What each computes, `semantics.lanes_float` says."""

from __future__ import annotations

from typing import Any

from ..emitter import Emitter
from .lanes import BITS, CALL, ORDERS, SHAPES, compare, each, lanes_of, pop, push, push_float, shuffle
from .registry import Lowering, lowers, register

# Float lanes ----------------------------------------------------------------------------------------------------------


def _arithmetic(shape: str, text: str, operands: int) -> Lowering:
    type_, suffix = SHAPES[shape]

    def lower(e: Emitter, immediate: Any) -> None:
        b = pop(e, shape) if operands == 2 else ""
        push_float(e, shape, e.value(text.format(t=type_, v=suffix, a=pop(e, shape), b=b)))

    return lower


def _choose(shape: str, order: str) -> Lowering:
    """`pmin` and `pmax`: the second operand where it is less or greater, bit by bit."""
    type_, lanes = SHAPES[shape][0], lanes_of(shape)

    def lower(e: Emitter, immediate: Any) -> None:
        b, a = pop(e, shape), pop(e, shape)
        found = e.value(f"fcmp {order} {type_} {b}, {a}")
        push(e, shape, e.value(f"select <{lanes} x i1> {found}, {type_} {b}, {type_} {a}"))

    return lower


def _sign_bit(shape: str, name: str) -> Lowering:
    """`abs` and `neg` change one bit of a lane, a NaN's too."""
    whole = f"i{BITS[shape]}x{lanes_of(shape)}"
    top = 1 << BITS[shape] - 1
    op, mask = ("and", top - 1) if name == "abs" else ("xor", top)

    def lower(e: Emitter, immediate: Any) -> None:
        push(e, whole, e.value(f"{op} {SHAPES[whole][0]} {pop(e, whole)}, {each(whole, mask)}"))

    return lower


def _multiply_add(shape: str, op: str) -> Lowering:
    """The product is rounded before the sum, as everywhere here."""
    type_ = SHAPES[shape][0]

    def lower(e: Emitter, immediate: Any) -> None:
        c, b, a = (pop(e, shape) for _ in range(3))
        product = e.value(f"fmul {type_} {a}, {b}")
        push_float(e, shape, e.value(f"{op} {type_} {c}, {product}"))

    return lower


for _shape in ("f32x4", "f64x2"):
    for _name in ("add", "sub", "mul", "div"):
        register(f"{_shape}.{_name}", _arithmetic(_shape, f"f{_name} {{t}} {{a}}, {{b}}", 2))
    for _name, _op in (("min", "minimum"), ("max", "maximum")):
        register(f"{_shape}.{_name}", _arithmetic(_shape, CALL.format(_op), 2))
        register(f"{_shape}.relaxed_{_name}", _arithmetic(_shape, CALL.format(_op), 2))
    for _name, _op in (
        ("ceil", "ceil"), ("floor", "floor"), ("trunc", "trunc"), ("nearest", "roundeven"), ("sqrt", "sqrt"),
    ):  # fmt: skip
        register(f"{_shape}.{_name}", _arithmetic(_shape, f"call {{t}} @llvm.{_op}.{{v}}({{t}} {{a}})", 1))
    register(f"{_shape}.abs", _sign_bit(_shape, "abs"))
    register(f"{_shape}.neg", _sign_bit(_shape, "neg"))
    register(f"{_shape}.pmin", _choose(_shape, "olt"))
    register(f"{_shape}.pmax", _choose(_shape, "ogt"))
    register(f"{_shape}.eq", compare(_shape, "fcmp oeq"))
    register(f"{_shape}.ne", compare(_shape, "fcmp une"))
    for _name in ORDERS:
        register(f"{_shape}.{_name}", compare(_shape, f"fcmp o{_name}"))
    register(f"{_shape}.relaxed_madd", _multiply_add(_shape, "fadd"))
    register(f"{_shape}.relaxed_nmadd", _multiply_add(_shape, "fsub"))


# Conversions ----------------------------------------------------------------------------------------------------------


@lowers("f32x4.demote_f64x2_zero")
def _demote(e: Emitter, immediate: Any) -> None:
    half = e.value(f"fptrunc <2 x double> {pop(e, 'f64x2')} to <2 x float>")
    push_float(e, "f32x4", shuffle(e, "<2 x float>", half, "zeroinitializer", range(4)))


@lowers("f64x2.promote_low_f32x4")
def _promote(e: Emitter, immediate: Any) -> None:
    low = shuffle(e, "<4 x float>", pop(e, "f32x4"), "poison", range(2))
    push_float(e, "f64x2", e.value(f"fpext <2 x float> {low} to <2 x double>"))


def _truncate_f32(sign: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        a = pop(e, "f32x4")
        push(e, "i32x4", e.value(f"call <4 x i32> @llvm.fpto{sign}i.sat.v4i32.v4f32(<4 x float> {a})"))

    return lower


def _truncate_f64(sign: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        a = pop(e, "f64x2")
        half = e.value(f"call <2 x i32> @llvm.fpto{sign}i.sat.v2i32.v2f64(<2 x double> {a})")
        push(e, "i32x4", shuffle(e, "<2 x i32>", half, "zeroinitializer", range(4)))

    return lower


def _convert(op: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        push(e, "f32x4", e.value(f"{op} <4 x i32> {pop(e, 'i32x4')} to <4 x float>"))

    return lower


def _convert_low(op: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        low = shuffle(e, "<4 x i32>", pop(e, "i32x4"), "poison", range(2))
        push(e, "f64x2", e.value(f"{op} <2 x i32> {low} to <2 x double>"))

    return lower


for _sign in "su":
    for _kind in ("trunc_sat", "relaxed_trunc"):
        register(f"i32x4.{_kind}_f32x4_{_sign}", _truncate_f32(_sign))
        register(f"i32x4.{_kind}_f64x2_{_sign}_zero", _truncate_f64(_sign))
    register(f"f32x4.convert_i32x4_{_sign}", _convert(f"{_sign}itofp"))
    register(f"f64x2.convert_low_i32x4_{_sign}", _convert_low(f"{_sign}itofp"))
