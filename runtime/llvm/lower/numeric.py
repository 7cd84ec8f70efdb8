"""Lowerings: constants, and operators on integers and floats (spec 4.3.2, 4.3.3)."""

from __future__ import annotations

from typing import Any

from ...errors import TrapCode
from ...values import f32_to_bits, f64_to_bits
from ..builder import real
from ..emitter import Emitter
from .registry import Lowering, lowers, register


@lowers("i32.const")
def _i32(e: Emitter, value: Any) -> None:
    e.push("i32", str(value))


@lowers("i64.const")
def _i64(e: Emitter, value: Any) -> None:
    e.push("i64", str(value))


@lowers("f32.const")
def _f32(e: Emitter, value: Any) -> None:
    e.push("float", real("float", f32_to_bits(value)))


@lowers("f64.const")
def _f64(e: Emitter, value: Any) -> None:
    e.push("double", real("double", f64_to_bits(value)))


def _binary(text: str, tag: str) -> Lowering:
    """`text` is over `{a}` and `{b}`; operands are not looked at for a NaN's bits."""

    def lower(e: Emitter, immediate: Any) -> None:
        b, a = e.pop_loose(), e.pop_loose()
        e.push(tag, e.value(text.format(a=a, b=b)))

    return lower


def _unary(text: str, tag: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        e.push(tag, e.value(text.format(a=e.pop_loose())))

    return lower


def _bitwise(text: str, tag: str, operands: int) -> Lowering:
    """Operators that keep a NaN's bits, so that its operands must be settled."""

    def lower(e: Emitter, immediate: Any) -> None:
        b = e.pop() if operands == 2 else ""
        e.push(tag, e.value(text.format(a=e.pop(), b=b)))

    return lower


def _shift(type_: str, mask: int, name: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        b, a = e.pop(), e.pop()
        amount = str(int(b) & mask) if b[0] != "%" else e.value(f"and {type_} {b}, {mask}")
        e.push(type_, e.value(f"{name} {type_} {a}, {amount}"))

    return lower


def _rotate(type_: str, name: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        b, a = e.pop(), e.pop()
        e.push(type_, e.value(f"call {type_} @llvm.{name}.{type_}({type_} {a}, {type_} {a}, {type_} {b})"))

    return lower


def _divide(type_: str, bits: int, name: str) -> Lowering:
    least = -(1 << bits - 1)

    def lower(e: Emitter, immediate: Any) -> None:
        b, a = e.pop(), e.pop()
        if b[0] != "%" and int(b) not in (0, -1, (1 << bits) - 1):
            # What can't trap has no check: the code generator alone doesn't see that.
            e.push(type_, e.value(f"{name} {type_} {a}, {b}"))
            return
        e.trap_if(e.value(f"icmp eq {type_} {b}, 0"), TrapCode.INTEGER_DIVIDE_BY_ZERO)
        if name == "sdiv":
            low = e.value(f"icmp eq {type_} {a}, {least}")
            minus = e.value(f"icmp eq {type_} {b}, -1")
            e.trap_if(e.value(f"and i1 {low}, {minus}"), TrapCode.INTEGER_OVERFLOW)
        elif name == "srem":
            # The remainder of a division by -1 is 0, as that of one by 1; the processor would trap on the least.
            minus = e.value(f"icmp eq {type_} {b}, -1")
            b = e.value(f"select i1 {minus}, {type_} 1, {type_} {b}")
        e.push(type_, e.value(f"{name} {type_} {a}, {b}"))

    return lower


_ORDERS = {"lt": "lt", "gt": "gt", "le": "le", "ge": "ge"}


def _integers(prefix: str, bits: int) -> None:
    t = f"i{bits}"
    for name in ("add", "sub", "mul", "and", "or", "xor"):
        register(f"{prefix}.{name}", _binary(f"{name} {t} {{a}}, {{b}}", t))
    for name, op in (("shl", "shl"), ("shr_s", "ashr"), ("shr_u", "lshr")):
        register(f"{prefix}.{name}", _shift(t, bits - 1, op))
    register(f"{prefix}.rotl", _rotate(t, "fshl"))
    register(f"{prefix}.rotr", _rotate(t, "fshr"))
    for name, op in (("div_s", "sdiv"), ("div_u", "udiv"), ("rem_s", "srem"), ("rem_u", "urem")):
        register(f"{prefix}.{name}", _divide(t, bits, op))
    register(f"{prefix}.eqz", _unary(f"icmp eq {t} {{a}}, 0", "i1"))
    register(f"{prefix}.eq", _binary(f"icmp eq {t} {{a}}, {{b}}", "i1"))
    register(f"{prefix}.ne", _binary(f"icmp ne {t} {{a}}, {{b}}", "i1"))
    for name in _ORDERS:
        register(f"{prefix}.{name}_s", _binary(f"icmp s{name} {t} {{a}}, {{b}}", "i1"))
        register(f"{prefix}.{name}_u", _binary(f"icmp u{name} {t} {{a}}, {{b}}", "i1"))
    register(f"{prefix}.clz", _unary(f"call {t} @llvm.ctlz.{t}({t} {{a}}, i1 false)", t))
    register(f"{prefix}.ctz", _unary(f"call {t} @llvm.cttz.{t}({t} {{a}}, i1 false)", t))
    register(f"{prefix}.popcnt", _unary(f"call {t} @llvm.ctpop.{t}({t} {{a}})", t))


def _floats(prefix: str, t: str) -> None:
    loose = t + "?"
    for name in ("add", "sub", "mul", "div"):
        register(f"{prefix}.{name}", _binary(f"f{name} {t} {{a}}, {{b}}", loose))
    for name, op in (("min", "minimum"), ("max", "maximum")):
        register(f"{prefix}.{name}", _binary(f"call {t} @llvm.{op}.{prefix}({t} {{a}}, {t} {{b}})", loose))
    for name, op in (
        ("ceil", "ceil"), ("floor", "floor"), ("trunc", "trunc"), ("nearest", "roundeven"), ("sqrt", "sqrt"),
    ):  # fmt: skip
        register(f"{prefix}.{name}", _unary(f"call {t} @llvm.{op}.{prefix}({t} {{a}})", loose))
    register(f"{prefix}.abs", _bitwise(f"call {t} @llvm.fabs.{prefix}({t} {{a}})", t, 1))
    register(f"{prefix}.neg", _bitwise(f"fneg {t} {{a}}", t, 1))
    register(f"{prefix}.copysign", _bitwise(f"call {t} @llvm.copysign.{prefix}({t} {{a}}, {t} {{b}})", t, 2))
    register(f"{prefix}.eq", _binary(f"fcmp oeq {t} {{a}}, {{b}}", "i1"))
    register(f"{prefix}.ne", _binary(f"fcmp une {t} {{a}}, {{b}}", "i1"))
    for name in _ORDERS:
        register(f"{prefix}.{name}", _binary(f"fcmp o{name} {t} {{a}}, {{b}}", "i1"))


_integers("i32", 32)
_integers("i64", 64)
_floats("f32", "float")
_floats("f64", "double")
