"""Numbers at the border: between a canonical WebAssembly value, bytes in memory and what Python has.

A number's annotation fixes its width and sign: `u8` is passed as an i32 and lies in one byte.
"""

from __future__ import annotations

import operator
import reprlib
import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from ._access import Access
from ._engine import (
    F32,
    F64,
    I32,
    I64,
    M32,
    M64,
    V128,
    V128_TYPE,
    Scalar,
    Value,
    f32_from_bits,
    f32_from_python,
    f32_to_bits,
    f32_to_python,
    lean,
)
from ._errors import ConversionError
from ._messages import Text

#: A canonical value whose type the signature has settled: nothing is asked a second time.
Settled: TypeAlias = Any


@lean.frozen
class Number:
    """A number of one type. `low` and `high` bound the integers. `convert` makes Python's number of a canonical
    value; it is None where the two are the same."""

    text: str
    shape: Scalar
    low: int
    high: int
    convert: Callable[[Settled], Settled] | None = lean.field(eq=False, repr=False)
    _struct: struct.Struct = lean.field(eq=False, repr=False)

    @property
    def size(self) -> int:
        """Bytes in memory."""
        return self._struct.size

    @property
    def align(self) -> int:
        """Alignment in memory: the natural one, as C compilers have it."""
        return self._struct.size

    def lift(self, value: Value, access: Access) -> object:
        """The Python number of a canonical value."""
        return value if self.convert is None else self.convert(value)

    def lower(self, value: object, what: str) -> Value:
        """The canonical value of a Python number. Raises ConversionError, naming `what`, where it doesn't fit."""
        if self.shape.type is F32:
            return f32_from_python(self._float(value, what))
        if self.shape.type is F64:
            return self._float(value, what)
        return self._int(value, what) & (M64 if self.shape.type is I64 else M32)

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """The number whose bytes lie at `at`."""
        raw: Settled = self._struct.unpack_from(data, at)[0]
        if self.shape.type is F32:
            return f32_to_python(f32_from_bits(raw))
        return raw != 0 if self.shape.bits == 1 else raw

    def pack(self, value: object, what: str) -> bytes:
        """The bytes of a number. Raises ConversionError where it doesn't fit."""
        if self.shape.type is F32:
            return self._struct.pack(f32_to_bits(f32_from_python(self._float(value, what))))
        return self._struct.pack(self._float(value, what) if self.shape.type is F64 else self._int(value, what))

    def _int(self, value: object, what: str) -> int:
        if type(value) is not int or self.shape.bits == 1:
            value = self._whole(value, what)
        if self.low <= value <= self.high:
            return value
        raise ConversionError(
            Text.RANGE(what=what, type=self.text, value=reprlib.repr(value), low=self.low, high=self.high)
        )

    def _whole(self, value: object, what: str) -> int:
        if self.shape.bits == 1 and not isinstance(value, bool):
            raise ConversionError(Text.KIND(what=what, type="bool", want="True or False", value=reprlib.repr(value)))
        try:
            return operator.index(value)  # type: ignore[arg-type]  # asks; anything with __index__ will do
        except TypeError:
            raise self._kind(value, what, "an int") from None

    def _float(self, value: object, what: str) -> float:
        if type(value) is float:
            return value
        if isinstance(value, (str, bytes, bytearray)):
            raise self._kind(value, what, "a float")
        try:
            return float(value)  # type: ignore[arg-type]  # asks; anything with __float__ will do
        except (TypeError, ValueError, OverflowError):
            raise self._kind(value, what, "a float") from None

    def _kind(self, value: object, what: str, want: str) -> ConversionError:
        return ConversionError(Text.KIND(what=what, type=self.text, want=want, value=reprlib.repr(value)))


@lean.frozen
class Vector(Number):
    """A v128: 16 bytes as a canonical value and in memory, `V128` in Python."""

    def lift(self, value: Settled, access: Access) -> object:
        """The vector of a canonical value."""
        return V128(value)

    def lower(self, value: object, what: str) -> Value:
        """The 16 bytes. Raises ConversionError for anything but a vector."""
        return self.pack(value, what)

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """The vector whose bytes lie at `at`."""
        return V128(bytes(data[at : at + 16]))

    def pack(self, value: object, what: str) -> bytes:
        """The bytes. Raises ConversionError for anything but a vector."""
        if not isinstance(value, V128):
            raise self._kind(value, what, "a V128")
        return value.raw


def _sign(bits: int) -> Callable[[Settled], Settled]:
    mask, top = (1 << bits) - 1, 1 << bits - 1
    if bits >= 32:
        return lambda value: (value ^ top) - top
    return lambda value: ((value & mask) ^ top) - top


def _integer(text: str, bits: int, format_: str) -> Number:
    signed = format_.islower()
    mask = (1 << bits) - 1
    convert = _sign(bits) if signed else None if bits >= 32 else lambda value: value & mask
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, mask)
    shape = Scalar(I64 if bits == 64 else I32, bits, signed)
    return Number(text, shape, low, high, convert, struct.Struct(f"<{format_}"))


_BOOL = Number("bool", Scalar(I32, 1, False), 0, 1, lambda value: value != 0, struct.Struct("<B"))
# An f32 goes through its bits: unpacking it as a float would quieten a signalling NaN.
_F32 = Number("f32", Scalar(F32, 32), 0, 0, f32_to_python, struct.Struct("<I"))
_F64 = Number("f64", Scalar(F64, 64), 0, 0, None, struct.Struct("<d"))

#: The numbers by the names that authors write.
NUMBERS: dict[str, Number] = {
    number.text: number
    for number in (
        _integer("i8", 8, "b"), _integer("u8", 8, "B"), _integer("i16", 16, "h"), _integer("u16", 16, "H"),
        _integer("i32", 32, "i"), _integer("u32", 32, "I"), _integer("i64", 64, "q"), _integer("u64", 64, "Q"),
        _F32, _F64, _BOOL,
    )
}

#: The vector, which is no number but is passed as one value, too.
VECTOR = Vector("V128", Scalar(V128_TYPE, 128, False), 0, 0, V128, struct.Struct("<16s"))

#: The numbers by their shape, which is what an annotation carries.
BY_SHAPE: dict[Scalar, Number] = {number.shape: number for number in NUMBERS.values()}
