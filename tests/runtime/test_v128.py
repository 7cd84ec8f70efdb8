"""A v128 as Python has it, and its way across the border."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest

from runtime import V128, V128_TYPE, Global, GlobalInst, to_python, to_wasm
from tests.support.guests import Guest

COUNTING = V128(bytes(range(16)))
VIEWS = {
    "i8x16": "16b", "u8x16": "16B", "i16x8": "8h", "u16x8": "8H", "i32x4": "4i", "u32x4": "4I", "i64x2": "2q",
    "u64x2": "2Q", "f32x4": "4f", "f64x2": "2d",
}  # fmt: skip


@pytest.mark.parametrize("shape", VIEWS)
def test_views_read_the_lanes(shape: Any) -> None:
    """Lane 0 is in the first bytes, each lane little end first; a vector made of its own lanes is the same."""
    for raw in (bytes(range(16)), bytes(range(0xE0, 0xF0)), b"\x00\x00\xc0\x3f\x00\x00\x80\xff" * 2):
        vector = V128(raw)
        lanes = getattr(vector, shape)
        assert lanes == struct.unpack("<" + VIEWS[shape], raw)
        assert not any(map(math.isnan, lanes))
        assert V128.from_lanes(shape, lanes) == vector


def test_integers_are_given_signed_or_unsigned() -> None:
    """As with i32 and i64, either way the bits are meant; the shape's letter says how a view reads them."""
    assert V128.from_lanes("i16x8", [-1, 0xFFFF] * 4) == V128.from_lanes("u16x8", [0xFFFF, -1] * 4)
    assert V128.from_lanes("u64x2", [-1, 0]).i64x2 == (-1, 0)
    assert int(V128.from_int(-1)) == (1 << 128) - 1
    assert V128.from_int(1 << 127).u64x2 == (0, 1 << 63)
    assert int(COUNTING) == int.from_bytes(range(16), "little")
    assert bytes(COUNTING) == COUNTING.raw == bytes(range(16))


def test_floats_are_rounded_as_an_f32_is() -> None:
    """To the nearest, and to infinity beyond the greatest; an int will do."""
    assert V128.from_lanes("f32x4", [0.1, 1e39, -1e39, 2]).f32x4 == (
        *struct.unpack("<f", struct.pack("<f", 0.1)), math.inf, -math.inf, 2.0,
    )  # fmt: skip
    assert V128.from_lanes("f32x4", [math.inf, -0.0, 0, 0]).u32x4 == (0x7F80_0000, 0x8000_0000, 0, 0)
    assert V128.from_lanes("f64x2", [math.nan, 1]).u64x2 == (0x7FF8_0000_0000_0000, 0x3FF0_0000_0000_0000)


def test_equality_is_of_bits() -> None:
    """NaNs are equal to themselves and to no other payload; a zero's sign counts."""
    quiet, signalling = (V128.from_lanes("u32x4", [nan] * 4) for nan in (0x7FC0_0000, 0x7F80_0001))
    assert quiet == V128(quiet.raw)
    assert quiet != signalling
    assert V128.from_lanes("f64x2", [0.0, 0.0]) != V128.from_lanes("f64x2", [-0.0, 0.0])
    assert len({quiet, V128(quiet.raw), signalling}) == 2
    assert repr(COUNTING) == "V128(u32x4 0x03020100 0x07060504 0x0b0a0908 0x0f0e0d0c)"


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: V128(b"123"), ValueError, "16 bytes, not 3"),
        (lambda: V128(5), TypeError, "made of bytes, not int"),  # type: ignore[arg-type]  # on purpose
        (lambda: V128(bytearray(16)), TypeError, "made of bytes, not bytearray"),  # type: ignore[arg-type]  # on purpose
        (lambda: V128.from_lanes("i5x7", []), ValueError, "'i5x7' is no shape"),  # type: ignore[arg-type]  # on purpose
        (lambda: V128.from_lanes("i8x16", [1]), ValueError, "i8x16 has 16 lanes, not 1"),
        (lambda: V128.from_lanes("i64x2", [1.0, 1]), TypeError, "a lane of i64x2 is an int, not float"),
        (
            lambda: V128.from_lanes("u32x4", [1, 1, 1, 1 << 32]),
            OverflowError,
            "4294967296 does not fit a lane",
        ),
        (lambda: V128.from_lanes("i8x16", [-129] * 16), OverflowError, "-129 does not fit a lane of i8x16"),
        (lambda: V128.from_lanes("f64x2", ["1", 1]), TypeError, "a lane of f64x2 is a float, not str"),  # type: ignore[list-item]  # on purpose
        (lambda: V128.from_int(1 << 128), OverflowError, "does not fit"),
    ],
)
def test_what_is_no_vector_is_refused(make: Any, error: type[Exception], message: str) -> None:
    """The error says what was wanted."""
    with pytest.raises(error, match=message):
        make()


def test_conversion_at_the_border() -> None:
    """A V128 and nothing else goes in as a v128 and comes out, every bit as it was."""
    vector = V128.from_lanes("u32x4", [0x7F80_0001, 0xFFC0_0000, 0xFFFF_FFFF, 0])
    assert to_python(V128_TYPE, to_wasm(V128_TYPE, vector)) == vector
    for other in (5, bytes(16), None, (1, 2), 1.0):
        with pytest.raises(TypeError, match="v128 takes a V128"):
            to_wasm(V128_TYPE, other)


def test_parameters_results_and_globals() -> None:
    """BEHAVIOURS 25: vectors among other values, as arguments, as results and in globals."""
    guest = Guest("""
        (global $g (export "g") (mut v128) (v128.const i32x4 1 2 3 4))
        (func (export "mix") (param i32 v128 f32 v128) (result v128 i64 v128)
          (local $fresh v128)
          (i8x16.add (local.get 1) (local.get $fresh))
          (i64.extend_i32_s (local.get 0))
          (v128.xor (local.get 3) (f32x4.splat (local.get 2))))
        (func (export "next") (result v128) (global.set $g (i32x4.add (global.get $g) (i32x4.splat (i32.const 1))))
          (global.get $g))""")
    one = V128.from_lanes("f32x4", [1.5] * 4)
    assert guest.call("mix", -3, COUNTING, 1.5, one) == (COUNTING, -3, V128(bytes(16)))
    assert guest.get("g").i32x4 == (1, 2, 3, 4)
    assert guest.call("next").i32x4 == (2, 3, 4, 5)
    inst = guest.instance.exports["g"]
    assert isinstance(inst, GlobalInst)
    Global(inst, guest.store).set(one)
    assert guest.get("g") == one
    with pytest.raises(TypeError, match="v128 takes a V128"):
        guest.call("mix", 0, 0, 0.0, 0)
