"""The integer encodings (spec 5.2.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.binary.leb128 import signed, unsigned
from runtime.errors import MalformedError

from ..support.raw import leb, sleb

_WIDTHS = (1, 7, 32, 33, 64)


@given(st.data())
def test_unsigned_numbers_come_back_however_padded(data: st.DataObject) -> None:
    """Every length from the shortest to ceil(N/7) bytes is the same number (spec 5.2.2)."""
    bits = data.draw(st.sampled_from(_WIDTHS))
    number = data.draw(st.integers(0, (1 << bits) - 1))
    coded = leb(number, pad=data.draw(st.integers(0, -(-bits // 7))))
    assert unsigned(b"\xff" + coded + b"\xff", 1, 1 + len(coded), bits) == (number, 1 + len(coded))


@given(st.data())
def test_signed_numbers_come_back_however_padded(data: st.DataObject) -> None:
    """The same for signed numbers, whose padding repeats the sign (spec 5.2.2)."""
    bits = data.draw(st.sampled_from(_WIDTHS))
    number = data.draw(st.integers(-(1 << bits - 1), (1 << bits - 1) - 1))
    coded = sleb(number, pad=data.draw(st.integers(0, -(-bits // 7))))
    assert signed(coded, 0, len(coded), bits) == (number, len(coded))


@given(st.sampled_from(_WIDTHS), st.integers(0, 1 << 80))
def test_unsigned_numbers_beyond_the_width_are_malformed(bits: int, more: int) -> None:
    """Bits beyond the width must be zero; the error is at the number's first byte."""
    coded = b"\0" + leb((1 << bits) + more)
    with pytest.raises(MalformedError, match=r"integer (too large|representation too long) \(at byte 1\)"):
        unsigned(coded, 1, len(coded), bits)


@given(st.sampled_from(_WIDTHS), st.integers(0, 1 << 80), st.booleans())
def test_signed_numbers_beyond_the_width_are_malformed(bits: int, more: int, negative: bool) -> None:
    """Bits beyond the width must repeat the sign."""
    number = -(1 << bits - 1) - 1 - more if negative else (1 << bits - 1) + more
    coded = sleb(number)
    with pytest.raises(MalformedError, match=r"integer (too large|representation too long) \(at byte 0\)"):
        signed(coded, 0, len(coded), bits)


@pytest.mark.parametrize("bits", _WIDTHS)
def test_one_byte_too_many_is_malformed(bits: int) -> None:
    """A number may be padded up to the longest that its width can need, not beyond (spec 5.2.2)."""
    too_long = -(-bits // 7) + 1
    with pytest.raises(MalformedError, match="integer representation too long"):
        unsigned(leb(1, pad=too_long), 0, too_long, bits)
    with pytest.raises(MalformedError, match="integer representation too long"):
        signed(sleb(-1, pad=too_long), 0, too_long, bits)


@given(st.integers(0, (1 << 64) - 1))
def test_a_number_that_is_cut_short_is_malformed(number: int) -> None:
    """Nothing is read beyond the end, wherever in the number it lies, though the bytes go on."""
    coded = leb(number)
    for end in range(len(coded)):
        with pytest.raises(MalformedError, match=rf"unexpected end \(at byte {end}\)"):
            unsigned(coded, 0, end, 64)
        with pytest.raises(MalformedError, match="unexpected end"):
            signed(coded, 0, end, 64)
