"""Vectors in machine code: their shapes, and operands in and out of one.

A vector is two i64; operators see it in the shape that they want. Arithmetic on floats gives the canonical NaN at
once: lanes are taken for bits too often for it to wait.
"""

from __future__ import annotations

from typing import Any

from ...values import NAN32, NAN64, f32_to_bits, f64_to_bits
from ..abi import VECTOR
from ..builder import real as constant
from ..emitter import Emitter
from .registry import Lowering

#: IR type and LLVM's suffix for intrinsics, by shape.
SHAPES = {
    "i8x16": ("<16 x i8>", "v16i8"),
    "i16x8": ("<8 x i16>", "v8i16"),
    "i32x4": ("<4 x i32>", "v4i32"),
    "i64x2": (VECTOR, "v2i64"),
    "f32x4": ("<4 x float>", "v4f32"),
    "f64x2": ("<2 x double>", "v2f64"),
}
BITS = {"i8x16": 8, "i16x8": 16, "i32x4": 32, "i64x2": 64, "f32x4": 32, "f64x2": 64}
#: The shape with lanes of twice the bits.
WIDER = {"i8x16": "i16x8", "i16x8": "i32x4", "i32x4": "i64x2"}
NAN = {
    "f32x4": f"<{', '.join(['float ' + constant('float', f32_to_bits(NAN32))] * 4)}>",
    "f64x2": f"<{', '.join(['double ' + constant('double', f64_to_bits(NAN64))] * 2)}>",
}


def lanes_of(shape: str) -> int:
    return 128 // BITS[shape]


def lane_type(shape: str) -> str:
    return {"f32x4": "float", "f64x2": "double"}.get(shape, f"i{BITS[shape]}")


def each(shape: str, value: int, lanes: int | None = None) -> str:
    """A constant with this number in every lane."""
    return f"<{', '.join([f'{lane_type(shape)} {value}'] * (lanes or lanes_of(shape)))}>"


def mask(indexes: Any) -> str:
    numbers = list(indexes)
    return f"<{len(numbers)} x i32> <{', '.join([f'i32 {n}' for n in numbers])}>"


def cast(e: Emitter, text: str, have: str, want: str) -> str:
    return text if have == want else e.value(f"bitcast {have} {text} to {want}")


def pop(e: Emitter, shape: str) -> str:
    """The topmost operand in this shape."""
    return cast(e, e.pop(), VECTOR, SHAPES[shape][0])


def push(e: Emitter, shape: str, text: str) -> None:
    e.push(VECTOR, cast(e, text, SHAPES[shape][0], VECTOR))


def push_float(e: Emitter, shape: str, text: str) -> None:
    """What arithmetic gave, any NaN the canonical one."""
    type_, lanes = SHAPES[shape][0], lanes_of(shape)
    nan = e.value(f"fcmp uno {type_} {text}, {text}")
    push(e, shape, e.value(f"select <{lanes} x i1> {nan}, {type_} {NAN[shape]}, {type_} {text}"))


def shuffle(e: Emitter, type_: str, a: str, b: str, indexes: Any) -> str:
    return e.value(f"shufflevector {type_} {a}, {type_} {b}, {mask(indexes)}")


def compare(shape: str, text: str) -> Lowering:
    """All bits of a lane are set where the comparison holds."""
    type_, lanes = SHAPES[shape][0], lanes_of(shape)
    whole = f"i{BITS[shape]}x{lanes}"

    def lower(e: Emitter, immediate: Any) -> None:
        b, a = pop(e, shape), pop(e, shape)
        found = e.value(f"{text} {type_} {a}, {b}")
        push(e, whole, e.value(f"sext <{lanes} x i1> {found} to {SHAPES[whole][0]}"))

    return lower


CALL = "call {{t}} @llvm.{}.{{v}}({{t}} {{a}}, {{t}} {{b}})"
ORDERS = ("lt", "gt", "le", "ge")
