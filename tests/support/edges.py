"""Values at which numeric instructions go wrong, by type and as bits; canonical values from bits and back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import cast

from runtime.types import F32, F64, I32, I64, ValType
from runtime.values import Value, f32_from_bits, f32_to_bits, f64_from_bits, f64_to_bits


def _ints(bits: int) -> tuple[int, ...]:
    top = 1 << bits
    near = (0, 1, 2, 3, 7, 31, 32, 33, 63, 64, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x1234_5678)
    halves = (top >> 1, (top >> 1) - 1, (top >> 1) + 1, top - 1, top - 2, top - 3)
    # Numbers of 25 and 54 bits and more: a float must round them, some of them from a tie.
    long = [(1 << k) + d for k in (24, 25, 31, 53, 54, 63) for d in (-1, 0, 1, 3) if k < bits]
    ties = [0x8000_0080, 0xFFFF_FF80, 0xFFFF_FF7F] if bits == 32 else [0x8000_0080_0000_0000, 0xFFFF_FF80_0000_0001]
    ties += [] if bits == 32 else [0x8000_0000_0000_0400, 0x0020_0000_2000_0001, 0xFFFF_FFFF_FFFF_FC00]
    return tuple(sorted({*near, *halves, *long, *ties}))


_NUMBERS = (
    *(0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.5, 3.0, 3.5, 1e-30, 1e30, 1.1, float("inf")),
    *(2.0**k + d for k in (23, 31, 32, 52, 53, 63, 64) for d in (-1.0, -0.5, 0.0, 0.5, 1.0)),
    *(struct.unpack("<f", struct.pack("<I", bits))[0] for bits in (0x4EFF_FFFF, 0x4F7F_FFFF, 0x5EFF_FFFF, 0x5F7F_FFFF)),
)
_F32_BITS = (1, 0x7F_FFFF, 0x80_0000, 0x7F7F_FFFF, 0x7F80_0001, 0x7FA0_0000, 0x7FC0_0000, 0x7FC0_0001, 0x7FFF_FFFF)
_F64_BITS = (
    *(1, 0xF_FFFF_FFFF_FFFF, 0x10_0000_0000_0000, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF0_0000_0000_0001, 0x7FF4_0000_0000_0000),
    *(0x7FF8_0000_0000_0000, 0x7FF8_0000_0000_0001, 0x7FFF_FFFF_FFFF_FFFF),
    # Around the limits of f32: halfway beyond the greatest, the least normal, and ties of the last place.
    *(
        0x47EF_FFFF_EFFF_FFFF,
        0x47EF_FFFF_F000_0000,
        0x3810_0000_0000_0000,
        0x380F_FFFF_F000_0000,
        0x36A0_0000_0000_0000,
    ),
    *(
        0x3690_0000_0000_0000,
        0x3690_0000_0000_0001,
        0x3FF0_0000_1000_0000,
        0x3FF0_0000_3000_0000,
        0x3FF0_0000_1000_0001,
    ),
)


def _floats(to_bits: Callable[[float], int], extra: tuple[int, ...], sign: int) -> tuple[int, ...]:
    positive = {*(to_bits(x) for x in _NUMBERS), *extra}
    return tuple(sorted(positive | {bits | sign for bits in positive}))


#: Bits of values worth trying, by type.
EDGES: dict[ValType, tuple[int, ...]] = {
    I32: _ints(32),
    I64: _ints(64),
    F32: _floats(f32_to_bits, _F32_BITS, 1 << 31),
    F64: _floats(f64_to_bits, _F64_BITS, 1 << 63),
}
#: A dozen of them, for crosswise use.
FEW: dict[ValType, tuple[int, ...]] = {
    I32: (0, 1, 5, 31, 32, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFF, 0x1234_5678),
    I64: (0, 1, 5, 63, 64, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 1, 0x1234_5678_9ABC_DEF0),
    F32: tuple(
        b | s
        for b in (0, 1, 0x3FC0_0000, 0x4EFF_FFFF, 0x7F7F_FFFF, 0x7F80_0000, 0x7FC0_0000, 0x7F80_0001)
        for s in (0, 1 << 31)
    ),
    F64: tuple(
        b << 32 | s
        for b in (0, 0x3FF8_0000, 0x41DF_FFFF, 0x47F0_0000, 0x7FEF_FFFF, 0x7FF0_0000, 0x7FF8_0000, 0x7FF4_0000)
        for s in (0, 1 << 63)
    ),
}


def from_bits(type_: ValType, bits: int) -> Value:
    """The canonical value of these bits."""
    if type_ is F32:
        return f32_from_bits(bits)
    return f64_from_bits(bits) if type_ is F64 else bits


def to_bits(type_: ValType, value: Value) -> int:
    """The bits of a canonical value. AssertionError where it isn't canonical."""
    if type_ in (F32, F64):
        assert type(value) is float
        bits = f32_to_bits(value) if type_ is F32 else f64_to_bits(value)
        # An f32 whose double has more digits than an f32 holds was not rounded.
        assert f64_to_bits(cast("float", from_bits(type_, bits))) == f64_to_bits(value)
        return bits
    assert type(value) is int
    assert 0 <= value < 1 << (32 if type_ is I32 else 64)
    return value
