"""A cursor over a part of a module's bytes, for everything but the inner loop of `code`.

Every error carries its byte offset from the module's start, as positions are never relative. What belongs to a
feature that is off, or not there yet, is an UnsupportedError that names it; all else that does not fit is malformed.
"""

from __future__ import annotations

import attrs

from ..errors import MalformedError, UnsupportedError
from ..features import Feature
from ..instr.index import absent_type
from ..types import EXNREF, EXTERNREF, FUNCREF, VALTYPES, ValType
from .leb128 import signed, unsigned

_REF_TYPES = {t.code: t for t in (FUNCREF, EXTERNREF, EXNREF)}
_TYPE_FEATURES = {
    0x7B: Feature.SIMD,
    0x70: Feature.REFERENCE_TYPES,
    0x6F: Feature.REFERENCE_TYPES,
    0x69: Feature.EXCEPTIONS,
}


@attrs.define
class Reader:
    """Reads `data` from `pos`, never beyond `end`. A method that raises leaves `pos` anywhere."""

    data: bytes
    pos: int
    end: int
    features: Feature

    def byte(self) -> int:
        if self.pos >= self.end:
            raise MalformedError("unexpected end", self.pos)
        self.pos += 1
        return self.data[self.pos - 1]

    def u32(self) -> int:
        value, self.pos = unsigned(self.data, self.pos, self.end, 32)
        return value

    def u64(self) -> int:
        value, self.pos = unsigned(self.data, self.pos, self.end, 64)
        return value

    def signed(self, bits: int) -> int:
        value, self.pos = signed(self.data, self.pos, self.end, bits)
        return value

    def bits(self, size: int) -> int:
        """The number in the next `size` bytes, little end first."""
        return int.from_bytes(self.data[self.skip(size) : self.pos], "little")

    def skip(self, size: int) -> int:
        """Passes over `size` bytes and returns where they began."""
        start = self.pos
        if size > self.end - start:
            raise MalformedError("length out of bounds", start)
        self.pos = start + size
        return start

    def part(self) -> Reader:
        """A reader for the bytes whose number stands next; this one goes on behind them."""
        size = self.u32()
        return Reader(self.data, self.skip(size), self.pos, self.features)

    def finish(self, message: str) -> None:
        """Raises unless all has been read."""
        if self.pos != self.end:
            raise MalformedError(message, self.pos)

    def count(self) -> int:
        """The length of a vector. No element takes less than a byte, so that a length can be refused before anything
        is made of that size."""
        start = self.pos
        count = self.u32()
        if count > self.end - self.pos:
            raise MalformedError("unexpected end: more elements announced than there are bytes", start)
        return count

    def name(self) -> str:
        size = self.u32()
        start = self.skip(size)
        try:
            return self.data[start : self.pos].decode("utf-8")
        except UnicodeDecodeError as error:
            raise MalformedError("malformed UTF-8 encoding", start + error.start) from None

    def require(self, feature: Feature, what: str, offset: int) -> None:
        """Raises UnsupportedError if `feature` is off."""
        if feature not in self.features:
            raise UnsupportedError(feature.text, what, offset=offset)

    def valtype(self) -> ValType:
        offset = self.pos
        byte = self.byte()
        type_ = VALTYPES.get(byte)
        if type_ is None:
            raise self._no_type(byte, "malformed value type", offset)
        feature = _TYPE_FEATURES.get(byte)
        if feature is not None:
            self.require(feature, f"value type {type_}", offset)
        return type_

    def valtypes(self) -> tuple[ValType, ...]:
        return tuple([self.valtype() for _ in range(self.count())])

    def reftype(self) -> ValType:
        """The type of a table's or an element segment's entries."""
        offset = self.pos
        byte = self.byte()
        type_ = _REF_TYPES.get(byte)
        if type_ is None:
            if byte in VALTYPES:
                raise MalformedError("malformed reference type", offset)
            raise self._no_type(byte, "malformed reference type", offset)
        if type_ is not FUNCREF:
            self.require(_TYPE_FEATURES[byte], f"reference type {type_}", offset)
        return type_

    def heaptype(self) -> ValType:
        """A heap type, as the nullable reference to it."""
        offset = self.pos
        number = self.signed(33)
        if number >= 0:
            raise UnsupportedError(Feature.FUNCTION_REFERENCES.text, "reference to a defined type", offset=offset)
        type_ = _REF_TYPES.get(number + 0x80)
        if type_ is None:
            raise self._no_type(number + 0x80, "malformed heap type", offset)
        return type_

    def _no_type(self, byte: int, message: str, offset: int) -> MalformedError | UnsupportedError:
        feature = absent_type(byte)
        if feature is None:
            return MalformedError(message, offset)
        return UnsupportedError(feature, f"type {byte:#04x}", offset=offset)
