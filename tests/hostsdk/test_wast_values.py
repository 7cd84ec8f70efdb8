"""Values of spec scripts: reading arguments, and comparing results bit by bit."""

from __future__ import annotations

import pytest

from hostsdk.cli.wast_values import FuncRef, HostRef, Json, Null, Number, ScriptError, Val, argument, fits, show

CANONICAL: Json = {"type": "f32", "value": "nan:canonical"}
ARITHMETIC: Json = {"type": "f64", "value": "nan:arithmetic"}
LANES: Json = {"type": "v128", "lane_type": "f32", "value": ["nan:canonical", "0", "1", "2147483648"]}


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ({"type": "i32", "value": "-1"}, Number("i32", 0xFFFF_FFFF)),
        ({"type": "i64", "value": "18446744073709551615"}, Number("i64", (1 << 64) - 1)),
        ({"type": "f32", "value": "2147483648"}, Number("f32", 0x8000_0000)),
        ({"type": "externref", "value": "7"}, HostRef(7)),
        ({"type": "externref", "value": "null"}, Null()),
        ({"type": "funcref", "value": "null"}, Null()),
        ({"type": "v128", "lane_type": "i64", "value": ["-1", "2"]}, Number("v128", 2 << 64 | (1 << 64) - 1)),
    ],
)
def test_arguments_are_bit_patterns(entry: Json, value: Val) -> None:
    """Numbers are decimal, signed or not, and stand for their bits; lanes count from the lowest."""
    assert argument(entry) == value


@pytest.mark.parametrize(
    ("entry", "value", "expected"),
    [
        ({"type": "i32", "value": "-1"}, Number("i32", 0xFFFF_FFFF), True),
        ({"type": "i32", "value": "1"}, Number("i64", 1), False),
        ({"type": "f32", "value": "0"}, Number("f32", 0x8000_0000), False),
        (CANONICAL, Number("f32", 0x7FC0_0000), True),
        (CANONICAL, Number("f32", 0xFFC0_0000), True),
        (CANONICAL, Number("f32", 0x7FC0_0001), False),
        (CANONICAL, Number("f32", 0x7F80_0000), False),
        (ARITHMETIC, Number("f64", 0xFFF8_0000_0000_0001), True),
        (ARITHMETIC, Number("f64", 0x7FF4_0000_0000_0000), False),
        ({"type": "externref", "value": "1"}, HostRef(1), True),
        ({"type": "externref", "value": "1"}, HostRef(2), False),
        ({"type": "externref"}, HostRef(2), True),
        ({"type": "externref"}, Null(), False),
        ({"type": "externref", "value": "null"}, Null(), True),
        ({"type": "refnull"}, Null(), True),
        ({"type": "refnull"}, FuncRef(), False),
        ({"type": "funcref"}, FuncRef(), True),
        ({"type": "funcref"}, Null(), False),
        (LANES, Number("v128", 0x8000_0000_0000_0001_0000_0000_7FC0_0000), True),
        (LANES, Number("v128", 0x8000_0000_0000_0001_0000_0000_7F80_0001), False),
        ({"type": "either", "values": [{"type": "i32", "value": "1"}, CANONICAL]}, Number("i32", 1), True),
        ({"type": "either", "values": [{"type": "i32", "value": "1"}, CANONICAL]}, Number("i32", 2), False),
    ],
)
def test_results_are_compared_by_their_bits(entry: Json, value: Val, expected: bool) -> None:
    """The sign of a zero and a NaN's payload count; patterns stand for the NaNs of spec 2.2.3, and no others."""
    assert fits(entry, value) is expected
    assert show(entry)


@pytest.mark.parametrize("entry", [{"type": "i8x16"}, {"type": "i32"}, {"type": "i32", "value": 1}, {}])
def test_what_is_not_known_is_an_error(entry: Json) -> None:
    """A value that the runner can't read never counts as equal."""
    with pytest.raises(ScriptError):
        argument(entry)
    with pytest.raises(ScriptError):
        fits(entry, Number("i32", 0))
