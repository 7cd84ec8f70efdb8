"""A cursor over a part of a module's bytes, for everything but the inner loop of `code`.

Every error carries its byte offset from the module's start, as positions are never relative. What belongs to a
feature that is off, or not there yet, is an UnsupportedError that names it; all else that does not fit is malformed.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import lean
from ..errors import InvalidError, MalformedError, UnsupportedError
from ..features import Feature
from ..instr.index import absent_type
from ..types import EXTERN, FUNC, FUNCREF, HEAPS, I8, I16, VALTYPES, DefType, HeapType, ValType
from .leb128 import signed, unsigned

_EXCEPTIONS = frozenset((0x69, 0x74))
_TYPE_FEATURES = {code: Feature.EXCEPTIONS if code in _EXCEPTIONS else Feature.GC for code in HEAPS}
_TYPE_FEATURES |= {0x7B: Feature.SIMD, 0x70: Feature.REFERENCE_TYPES, 0x6F: Feature.REFERENCE_TYPES}
#: First bytes of reference types that go on with a heap type: those that may be null, and those that may not.
_REF_NULL, _REF = 0x63, 0x64
_PACKED = {t.code: t for t in (I8, I16)}


@lean.define
class Reader:
    """Reads `data` from `pos`, never beyond `end`. A method that raises leaves `pos` anywhere."""

    data: bytes
    pos: int
    end: int
    features: Feature
    #: Defined types that may be referred to: all of the module's, or those up to the group that is being read.
    types: Sequence[DefType] = ()

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
        return Reader(self.data, self.skip(size), self.pos, self.features, self.types)

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
            if byte in (_REF_NULL, _REF):
                return self._reference(byte, offset)
            raise self._no_type(byte, "malformed value type", offset)
        feature = _TYPE_FEATURES.get(byte)
        if feature is not None:
            self.require(feature, f"value type {type_}", offset)
        return type_

    def valtypes(self) -> tuple[ValType, ...]:
        return tuple([self.valtype() for _ in range(self.count())])

    def storagetype(self) -> ValType:
        """The type of a field, which may be packed."""
        packed = _PACKED.get(self.data[self.pos]) if self.pos < self.end else None
        if packed is None:
            return self.valtype()
        self.pos += 1
        return packed

    def reftype(self) -> ValType:
        """The type of a table's or an element segment's entries."""
        offset = self.pos
        byte = self.byte()
        if byte in (_REF_NULL, _REF):
            return self._reference(byte, offset)
        type_ = VALTYPES.get(byte)
        if type_ is None:
            raise self._no_type(byte, "malformed reference type", offset)
        if not type_.is_ref:
            raise MalformedError("malformed reference type", offset)
        if type_ is not FUNCREF:
            self.require(_TYPE_FEATURES[byte], f"reference type {type_}", offset)
        return type_

    def _reference(self, byte: int, offset: int) -> ValType:
        """The reference type that `byte`, just read, begins."""
        self.require(Feature.FUNCTION_REFERENCES, f"type {byte:#04x}", offset)
        return self._heap().ref(byte == _REF_NULL)

    def heaptype(self) -> ValType:
        """A heap type, as the nullable reference to it."""
        return self._heap().ref()

    def _heap(self) -> HeapType:
        offset = self.pos
        number = self.signed(33)
        if number >= 0:
            self.require(Feature.FUNCTION_REFERENCES, "reference to a defined type", offset)
            return self.deftype(number, offset)
        heap = HEAPS.get(number + 0x80)
        if heap is None:
            raise self._no_type(number + 0x80, "malformed heap type", offset)
        if heap is not FUNC and heap is not EXTERN:
            self.require(_TYPE_FEATURES[heap.code], f"heap type {heap.name}", offset)
        return heap

    def deftype(self, index: int, offset: int) -> DefType:
        """A type of the module's, by its index; of those that come before, or in the same group."""
        if index >= len(self.types):
            raise InvalidError(f"unknown type {index}", offset=offset)
        return self.types[index]

    def _no_type(self, byte: int, message: str, offset: int) -> MalformedError | UnsupportedError:
        feature = absent_type(byte)
        if feature is None:
            return MalformedError(message, offset)
        return UnsupportedError(feature, f"type {byte:#04x}", offset=offset)
