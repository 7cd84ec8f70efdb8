"""Function bodies (spec 5.4): instructions, immediates, nesting, and offsets."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.binary.code import bodies
from runtime.binary.sections import decode
from runtime.errors import MalformedError, UnsupportedError
from runtime.features import AVAILABLE, Feature
from runtime.limits import MAX_NESTING
from runtime.types import EXTERNREF, F32, I64
from runtime.values import f32_to_bits, f64_to_bits

from ..support.raw import leb, one_body, sleb


def _ops(body: bytes) -> list[tuple[int, str, object]]:
    """The instructions of `body`, offsets counted from its first byte."""
    data = one_body(body, count_data=True)
    ((code, ops),) = bodies(data, decode(data, AVAILABLE), AVAILABLE)
    return [(pc - code.start, row.name, immediate) for pc, row, immediate in ops]


def _one(instruction: bytes) -> object:
    """The immediate of the only instruction before `end`."""
    first, last = _ops(instruction + b"\x0b")
    assert last == (len(instruction), "end", None)
    return first[2]


def _fails(body: bytes, message: str, offset: int) -> None:
    data = one_body(body)
    start = len(data) - len(body)
    with pytest.raises(MalformedError, match=message) as caught:
        decode(data, AVAILABLE)
    assert caught.value.offset - start == offset


def test_offsets_count_from_the_start_of_the_module() -> None:
    """Each instruction carries the place of its opcode; the last is the function's own `end`."""
    body = b"\x02\x40" + b"\x20\x81\0" + b"\x1a" + b"\x0b" + b"\xfc\x0a\0\0" + b"\x0b"
    assert _ops(body) == [
        (0, "block", None),
        (2, "local.get", 1),
        (5, "drop", None),
        (6, "end", None),
        (7, "memory.copy", (0, 0)),
        (11, "end", None),
    ]


@given(st.integers(-(1 << 31), (1 << 31) - 1), st.integers(0, 5))
def test_i32_constants_are_canonical(value: int, pad: int) -> None:
    """An i32 is unsigned in Python, in every length of the encoding."""
    assert _one(b"\x41" + sleb(value, pad=pad)) == value & 0xFFFF_FFFF


@given(st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 10))
def test_i64_constants_are_canonical(value: int, pad: int) -> None:
    """An i64 is unsigned in Python, in every length of the encoding."""
    assert _one(b"\x42" + sleb(value, pad=pad)) == value & 0xFFFF_FFFF_FFFF_FFFF


@given(st.integers(0, 0xFFFF_FFFF))
def test_f32_constants_keep_their_bits(bits: int) -> None:
    """Signalling NaNs and payloads included."""
    value = _one(b"\x43" + bits.to_bytes(4, "little"))
    assert isinstance(value, float)
    assert f32_to_bits(value) == bits
    assert math.isnan(value) == (bits & 0x7FFF_FFFF > 0x7F80_0000)


@given(st.integers(0, (1 << 64) - 1))
def test_f64_constants_keep_their_bits(bits: int) -> None:
    """Signalling NaNs and payloads included."""
    value = _one(b"\x44" + bits.to_bytes(8, "little"))
    assert isinstance(value, float)
    assert f64_to_bits(value) == bits


@given(st.integers(0, 0xFFFF_FFFF), st.integers(0, 5))
def test_indexes_may_be_padded(index: int, pad: int) -> None:
    """Linkers pad indexes to five bytes so that they can be filled in later."""
    assert _one(b"\x10" + leb(index, pad=pad)) == index


@given(st.integers(0, 63), st.integers(0, (1 << 64) - 1), st.none() | st.integers(0, 0xFFFF_FFFF), st.booleans())
def test_memory_operands_in_every_form(align: int, offset: int, memory: int | None, pad: bool) -> None:
    """Alignment exponent, offset up to 64 bits, and with bit 6 a memory index between them (spec 5.4.6)."""
    flags = leb(align | (0 if memory is None else 0x40), pad=5 if pad else 0)
    index = b"" if memory is None else leb(memory)
    assert _one(b"\x28" + flags + index + leb(offset)) == (align, offset, memory or 0)


@pytest.mark.parametrize("flags", [0x80, 0x100, 0xC0, 0xFFFF_FFFF])
def test_memory_flags_beyond_bit_6_are_malformed(flags: int) -> None:
    """No bit beyond the memory index is defined."""
    _fails(b"\x28" + leb(flags) + b"\0\x0b", "malformed memop flags", 1)


def test_block_types_in_every_form() -> None:
    """Nothing, a value type, or an index of a type, which is a signed number of 33 bits (spec 5.4.1)."""
    blocks = _ops(b"\x02\x7e\x03\x6f\x02\x40\x02\x05" + b"\x0b" * 5)[:4]
    assert [immediate for _, _, immediate in blocks] == [I64, EXTERNREF, None, 5]
    assert _ops(b"\x02" + sleb(0xFFFF_FFFF) + b"\x0b\x0b")[0][2] == 0xFFFF_FFFF
    _fails(b"\x02\xff\x7f\x0b\x0b", "malformed block type", 1)
    _fails(b"\x02\x41\x0b\x0b", "malformed value type", 1)
    _fails(b"\x02" + sleb(1 << 32) + b"\x0b\x0b", "integer too large", 1)


def test_select_has_two_forms() -> None:
    """With types and without are two rows."""
    assert _ops(b"\x1b\x1c\x01\x7d\x0b")[:2] == [(0, "select", None), (1, "select_t", (F32,))]


@pytest.mark.parametrize(
    ("body", "message", "offset"),
    [
        (b"", "unexpected end", 0),
        (b"\x01", "unexpected end: END opcode expected", 1),
        (b"\x02\x40\x0b", "unexpected end: END opcode expected", 3),
        (b"\x0b\x01", "END opcode expected: bytes follow", 1),
        (b"\x05\x0b", "else without if", 0),
        (b"\x02\x40\x05\x0b\x0b", "else without if", 2),
        (b"\x04\x40\x05\x05\x0b\x0b", "else without if", 3),
        (b"\xff\x0b", "illegal opcode ff", 0),
        (b"\xf3\0\x0b", "illegal opcode f3", 0),
        (b"\xfc\x7f\x0b", "illegal opcode fc 7f", 0),
        (b"\xfc\x80\x80\x04\x0b", "illegal opcode fc 65536", 0),
        (b"\xfd\x9a\x01\x0b", "illegal opcode fd 9a", 0),
        (b"\xfd\x94\x02\x0b", "illegal opcode fd 114", 0),
        (b"\xfd\x80\x80\x80\x80\x80\x00\x0b", "integer representation too long", 1),
        (b"\xfc\x08\0\0\x0b", "data count section required", 0),
        (b"\xfc\x09\0\x0b", "data count section required", 0),
        (b"\xd0\x7f\x0b", "malformed heap type", 1),
    ],
)
def test_what_is_no_body_is_malformed(body: bytes, message: str, offset: int) -> None:
    """One case for each way to go wrong between the instructions; the offset is where it shows."""
    _fails(body, message, offset)


def test_an_immediate_must_not_reach_beyond_its_body() -> None:
    """Bytes of the next function never complete an instruction of this one."""
    vectors = (b"\xfd", b"\xfd\x80", b"\xfd\x0c" + bytes(15), b"\xfd\x0d" + bytes(15), b"\xfd\x15", b"\xfd\x54\0\0")
    for cut in (
        *(b"\x41", b"\x20", b"\x28", b"\x28\0", b"\x02", b"\x0e", b"\x43\0\0\0", b"\x10\x80", b"\xfc", b"\xd0"),
        *vectors,
    ):
        with pytest.raises(MalformedError, match=r"unexpected end|length out of bounds"):
            decode(one_body(cut) + b"\x0b\x01\x00" + b"\0" * 20, AVAILABLE)


def test_nesting_is_limited() -> None:
    """Deep nesting needs no recursion, and has an end."""
    deep = MAX_NESTING
    assert len(_ops(b"\x03\x40" * deep + b"\x0b" * (deep + 1))) == 2 * deep + 1
    _fails(b"\x03\x40" * (deep + 1) + b"\x0b" * (deep + 2), "nested too deeply", 2 * deep)


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        (b"\x06\x40\x0b", "legacy-exceptions"),
        (b"\x06\x40\x18\0", "legacy-exceptions"),
        (b"\x14\0", "function-references"),
        (b"\xd4", "function-references"),
        (b"\xd3", "gc"),
        (b"\xfb\x1c", "gc"),
        (b"\xfc\x13", "wide-arithmetic"),
        (b"\xd0\x6e", "gc"),
        (b"\xd0\x05", "function-references"),
        (b"\x02\x64\x70\x0b", "function-references"),
        (b"\x1c\x01\x63\x70", "function-references"),
    ],
)
def test_instructions_of_absent_proposals_are_unsupported(body: bytes, feature: str) -> None:
    """The error names the feature and the place."""
    data = one_body(body + b"\x0b")
    with pytest.raises(UnsupportedError) as caught:
        decode(data, AVAILABLE & ~(Feature.FUNCTION_REFERENCES | Feature.GC | Feature.LEGACY_EXCEPTIONS))
    assert caught.value.feature == feature
    offset = caught.value.offset
    assert offset is not None
    assert 0 <= offset - (len(data) - len(body) - 1) < 3
