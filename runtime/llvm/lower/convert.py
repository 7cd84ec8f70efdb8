"""Lowerings: conversions with their traps (spec 4.3.4)."""

from __future__ import annotations

import struct
from typing import Any

from ...errors import TrapCode
from ..builder import real
from ..emitter import Emitter
from .registry import Lowering, lowers, register

_PLAIN = {
    "i32.wrap_i64": ("trunc i64 {a} to i32", "i32"),
    "i64.extend_i32_s": ("sext i32 {a} to i64", "i64"),
    "i64.extend_i32_u": ("zext i32 {a} to i64", "i64"),
    "f32.convert_i32_s": ("sitofp i32 {a} to float", "float"),
    "f32.convert_i32_u": ("uitofp i32 {a} to float", "float"),
    "f32.convert_i64_s": ("sitofp i64 {a} to float", "float"),
    "f32.convert_i64_u": ("uitofp i64 {a} to float", "float"),
    "f64.convert_i32_s": ("sitofp i32 {a} to double", "double"),
    "f64.convert_i32_u": ("uitofp i32 {a} to double", "double"),
    "f64.convert_i64_s": ("sitofp i64 {a} to double", "double"),
    "f64.convert_i64_u": ("uitofp i64 {a} to double", "double"),
    "i32.reinterpret_f32": ("bitcast float {a} to i32", "i32"),
    "i64.reinterpret_f64": ("bitcast double {a} to i64", "i64"),
    "f32.reinterpret_i32": ("bitcast i32 {a} to float", "float"),
    "f64.reinterpret_i64": ("bitcast i64 {a} to double", "double"),
}


def _plain(text: str, tag: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        e.push(tag, e.value(text.format(a=e.pop())))

    return lower


@lowers("f32.demote_f64")
def _demote(e: Emitter, immediate: Any) -> None:
    e.push("float?", e.value(f"fptrunc double {e.pop_loose()} to float"))


@lowers("f64.promote_f32")
def _promote(e: Emitter, immediate: Any) -> None:
    e.push("double?", e.value(f"fpext float {e.pop_loose()} to double"))


def _extend(type_: str, width: int) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        narrow = e.value(f"trunc {type_} {e.pop()} to i{width}")
        e.push(type_, e.value(f"sext i{width} {narrow} to {type_}"))

    return lower


def _constant(source: str, value: float) -> str:
    if source == "float":
        return real("float", struct.unpack("<I", struct.pack("<f", value))[0])
    return real("double", struct.unpack("<Q", struct.pack("<d", value))[0])


def _bounds(source: str, bits: int, signed: bool) -> tuple[str, str, str]:
    """The comparison with the lower bound, that bound, and the first value above. Each is exact in its type."""
    if not signed:
        return "ogt", _constant(source, -1.0), _constant(source, 2.0**bits)
    digits = 24 if source == "float" else 53
    if digits >= bits:
        return "ogt", _constant(source, -(2.0 ** (bits - 1)) - 1.0), _constant(source, 2.0 ** (bits - 1))
    return "oge", _constant(source, -(2.0 ** (bits - 1))), _constant(source, 2.0 ** (bits - 1))


def _truncate(source: str, bits: int, signed: bool) -> Lowering:
    compare, low, high = _bounds(source, bits, signed)
    op = "fptosi" if signed else "fptoui"

    def lower(e: Emitter, immediate: Any) -> None:
        a = e.pop_loose()
        e.trap_if(e.value(f"fcmp uno {source} {a}, {a}"), TrapCode.INVALID_CONVERSION)
        above = e.value(f"fcmp {compare} {source} {a}, {low}")
        below = e.value(f"fcmp olt {source} {a}, {high}")
        inside = e.value(f"and i1 {above}, {below}")
        e.trap_if(e.value(f"xor i1 {inside}, true"), TrapCode.INTEGER_OVERFLOW)
        e.push(f"i{bits}", e.value(f"{op} {source} {a} to i{bits}"))

    return lower


def _saturate(short: str, source: str, bits: int, signed: bool) -> Lowering:
    op = "fptosi" if signed else "fptoui"

    def lower(e: Emitter, immediate: Any) -> None:
        e.push(f"i{bits}", e.value(f"call i{bits} @llvm.{op}.sat.i{bits}.{short}({source} {e.pop_loose()})"))

    return lower


for _name, (_text, _tag) in _PLAIN.items():
    register(_name, _plain(_text, _tag))
for _type, _widths in (("i32", (8, 16)), ("i64", (8, 16, 32))):
    for _width in _widths:
        register(f"{_type}.extend{_width}_s", _extend(_type, _width))
for _bits in (32, 64):
    for _short, _source in (("f32", "float"), ("f64", "double")):
        for _sign in "su":
            register(f"i{_bits}.trunc_{_short}_{_sign}", _truncate(_source, _bits, _sign == "s"))
            register(f"i{_bits}.trunc_sat_{_short}_{_sign}", _saturate(_short, _source, _bits, _sign == "s"))
