"""Records of frames: every type of value in every mixture, packed and unpacked bit by bit."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import EXTERNREF, F32, F64, FUNCREF, I32, I64, ValType
from runtime.exec.frames import NULL, PASSED, pack, unpack
from runtime.types import V128
from runtime.validate.layout import Layout
from runtime.values import f32_from_bits, f32_to_bits, f64_from_bits, f64_to_bits
from tests.support.edges import EDGES, from_bits

TYPES = (I32, I64, F32, F64, V128, FUNCREF, EXTERNREF)


def values_of(type_: ValType) -> st.SearchStrategy[Any]:
    """Canonical values of a type, the awkward ones among them."""
    if type_ is V128:
        return st.binary(min_size=16, max_size=16)
    if type_.is_ref:
        return st.sampled_from((None, "a", "b", 0, 0.0, False, b""))
    bits = 32 if type_ in (I32, F32) else 64
    anything = st.integers(0, (1 << bits) - 1) | st.sampled_from(EDGES[type_])
    return anything.map(lambda number: from_bits(type_, number))


SLOTS = st.lists(st.sampled_from(TYPES), max_size=12).flatmap(
    lambda types: st.tuples(st.just(tuple(types)), st.tuples(*(values_of(t) for t in types)))
)


def exact(type_: ValType, value: Any) -> object:
    """What tells two values apart where `==` doesn't."""
    if type_ is F32:
        return f32_to_bits(value)
    return f64_to_bits(value) if type_ is F64 else (type(value), value)


@given(slots=SLOTS, pc=st.integers(0, (1 << 32) - 1))
def test_records_keep_every_bit(slots: tuple[tuple[ValType, ...], tuple[Any, ...]], pc: int) -> None:
    """NaN payloads, signed zeros, vectors and references come back as they were, and the record has the size that its
    layout says."""
    types, values = slots
    layout = Layout("loop", pc, 0, (), types)
    raw, handles = pack(layout, values)
    assert len(raw) == 8 + sum(t.slot for t in types)
    assert struct.unpack_from("<II", raw) == (pc, PASSED)
    back = unpack(raw, types, handles)
    assert [exact(t, v) for t, v in zip(types, back, strict=True)] == [
        exact(t, v) for t, v in zip(types, values, strict=True)
    ]
    if layout.struct is not None:  # the short way to the same
        quick = layout.struct.unpack(raw)[2:]
        assert [exact(t, v) for t, v in zip(types, quick, strict=True)] == [
            exact(t, v) for t, v in zip(types, back, strict=True)
        ]


def test_the_form_of_a_record() -> None:
    """Head, then 8 bytes a slot, 16 for a vector, little end first; a reference is an index into the handles."""
    types = (I32, F32, F64, FUNCREF, EXTERNREF, V128, I64)
    values = (0xFFFF_FFFF, f32_from_bits(0x7FA0_0001), f64_from_bits(1), None, "x", bytes(range(16)), 1 << 63)
    raw, handles = pack(Layout("call", 258, 3, (0, 2), types), values)
    numbers = struct.pack("<IIQQQQQ", 258, 1, 0xFFFF_FFFF, 0x7FA0_0001, 1, NULL, 0)
    assert raw == numbers + bytes(range(16)) + struct.pack("<Q", 1 << 63)
    assert handles == ("x",)


def test_operands_come_behind_the_live_locals() -> None:
    """A layout tells how many of its slots are operands."""
    assert Layout("call", 5, 1, (0, 4), (I32, I64, F32)).operands == 1


@pytest.mark.parametrize("raw", [b"", b"\0" * 7, b"\0" * 12])
def test_a_record_cut_short_is_not_read(raw: bytes) -> None:
    """Bytes that hold less than the slots are an error, never a value."""
    with pytest.raises(struct.error):
        unpack(raw, (I64,), ())
