"""Cells made of others: enums, fixed arrays, pointers that may be null, unions by tag, and lists of buffers.

What a guest lays down is hostile: a number that is no member, a tag that names nothing, is a trap before the function
runs, and sizes are checked before anything is copied.
"""

from __future__ import annotations

import enum
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any

from ._access import Access, Where, check
from ._codecs import ADDRESS, Param, Plain, Settled, Worded, address_type
from ._engine import OutSpan, ParamShape, Span, Trap, TrapCode, Value, lean
from ._errors import ConversionError
from ._layout import Cell, Word, pointer_size, up
from ._messages import Text
from ._numbers import Number
from ._types import OutBuffer


@lean.frozen
class EnumWord:
    """A number that stands for a member of an int enum, or for flags."""

    cls: type[enum.IntEnum] | type[enum.IntFlag]
    number: Number

    @property
    def text(self) -> str:
        """As an author writes it."""
        return f"Annotated[{self.cls.__name__}, {self.number.text}]"

    @property
    def size(self) -> int:
        """The number's."""
        return self.number.size

    @property
    def align(self) -> int:
        """The number's."""
        return self.number.align

    @property
    def shape(self) -> ParamShape:
        """For the engine."""
        return self.number.shape

    def lift(self, value: Value, access: Access) -> object:
        """The member. Traps where the number is none."""
        return self._member(self.number.lift(value, access))

    def lower(self, value: object, what: str) -> Value:
        """The member's number."""
        return self.number.lower(value, what)

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """The member whose number lies at `at`. Traps where it is none."""
        return self._member(self.number.unpack(data, at, access))

    def pack(self, value: object, what: str) -> bytes:
        """The bytes of the member's number."""
        return self.number.pack(value, what)

    def _member(self, number: Settled) -> object:
        try:
            return self.cls(number)
        except ValueError:
            raise Trap(TrapCode.HOST, Text.NO_MEMBER(value=number, cls=self.cls.__name__)) from None


@lean.frozen
class ArrayCell:
    """A fixed number of cells, one behind the other: a tuple in Python, bytes for an array of u8."""

    item: Cell
    count: int
    as_bytes: bool = False

    @property
    def text(self) -> str:
        """As an author writes it."""
        inner = "bytes" if self.as_bytes else f"tuple[{self.item.text}, ...]"
        return f"Annotated[{inner}, Count({self.count})]"

    @property
    def size(self) -> int:
        """All of them."""
        return self.item.size * self.count

    @property
    def align(self) -> int:
        """One item's."""
        return self.item.align

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """The items."""
        if self.as_bytes:
            return bytes(data[at : at + self.count])
        return tuple([self.item.unpack(data, at + i * self.item.size, access) for i in range(self.count)])

    def pack(self, value: object, what: str) -> bytes:
        """The bytes of all items, of which there must be as many as declared."""
        if not isinstance(value, (bytes, bytearray, Sequence)) or len(value) != self.count:
            raise ConversionError(Text.COUNT(what=what, want=self.count, value=reprlib.repr(value)))
        if self.as_bytes and isinstance(value, (bytes, bytearray)):
            return bytes(value)
        return b"".join([self.item.pack(part, f"{what}[{i}]") for i, part in enumerate(value)])


@lean.frozen
class OptionalWord:
    """A pointer or function reference that may be null: 0 is None."""

    word: Word
    wide: bool = False

    @property
    def text(self) -> str:
        """As an author writes it."""
        return f"{self.word.text} | None"

    @property
    def size(self) -> int:
        """The pointer's."""
        return self.word.size

    @property
    def align(self) -> int:
        """The pointer's."""
        return self.word.align

    @property
    def shape(self) -> ParamShape:
        """For the engine: a plain address, since it may lie nowhere."""
        return ADDRESS[self.wide].shape

    def lift(self, value: Value, access: Access) -> object:
        """The pointer, or None."""
        return None if value == 0 else self.word.lift(value, access)

    def lower(self, value: object, what: str) -> Value:
        """The address, 0 for None."""
        return 0 if value is None else self.word.lower(value, what)

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """The pointer that lies at `at`, or None."""
        return self.lift(ADDRESS[self.wide].unpack(data, at, access), access)

    def pack(self, value: object, what: str) -> bytes:
        """The address, as bytes."""
        return ADDRESS[self.wide].pack(self.lower(value, what), what)


@lean.frozen
class TaggedCell:
    """A number and, behind it, one of several records: a C struct of a tag and a union."""

    number: Number
    cases: Mapping[int, Cell] = lean.field(eq=False)
    classes: Mapping[type, int] = lean.field(eq=False)
    text: str

    @property
    def align(self) -> int:
        """The widest part's."""
        return max(self.number.align, *[cell.align for cell in self.cases.values()])

    @property
    def offset(self) -> int:
        """Where the union begins."""
        return up(self.number.size, max(cell.align for cell in self.cases.values()))

    @property
    def size(self) -> int:
        """Tag and largest case."""
        return up(self.offset + max(cell.size for cell in self.cases.values()), self.align)

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """The record that the tag names. Traps where it names none."""
        tag: Settled = self.number.unpack(data, at, access)
        if tag not in self.cases:
            raise Trap(TrapCode.HOST, Text.NO_MEMBER(value=tag, cls=self.text))
        return self.cases[tag].unpack(data, at + self.offset, access)

    def pack(self, value: object, what: str) -> bytes:
        """Tag, padding and the record, by its class."""
        tag = self.classes.get(type(value))
        if tag is None:
            raise ConversionError(
                Text.KIND(what=what, type=self.text, want="one of its classes", value=reprlib.repr(value))
            )
        out = bytearray(self.size)
        head, body = self.number.pack(tag, what), self.cases[tag].pack(value, what)
        out[: len(head)] = head
        out[self.offset : self.offset + len(body)] = body
        return bytes(out)


# ---- parameters -----------------------------------------------------------------------------------------------------


@lean.frozen
class WordParam(Worded):
    """A word that has to be looked at: plain data is its canonical value."""

    word: Word

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """The value, which must mean something. Traps where it doesn't."""
        self.word.lift(raw[at], access)
        return raw[at]

    def show(self, plain: Plain) -> str:
        """The value."""
        return repr(plain)


@lean.frozen
class OptionalParam:
    """An address that may be 0, and then nothing is looked at."""

    param: Param
    wide: bool = False

    @property
    def text(self) -> str:
        """As an author writes it."""
        return f"{self.param.text} | None"

    @property
    def shape(self) -> ParamShape:
        """For the engine: a plain address, since it may lie nowhere."""
        return ADDRESS[self.wide].shape

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """None for 0, else what the parameter is otherwise."""
        return None if raw[at] == 0 else self.param.decode(raw, at, access)

    def bind(self, plain: Plain, access: Access) -> object:
        """The same."""
        return None if plain is None else self.param.bind(plain, access)

    def show(self, plain: Plain) -> str:
        """None, or the argument."""
        return "None" if plain is None else self.param.show(plain)


@lean.frozen
class BuffersParam:
    """A list of buffers as C's readv and writev take it: the address of (address, length) pairs, and their number."""

    out: bool
    where: Where
    wide: bool = False

    @property
    def text(self) -> str:
        """As an author writes it."""
        return "OutBuffers" if self.out else "ByteList"

    @property
    def shape(self) -> ParamShape:
        """For the engine: two values."""
        address = address_type(self.wide)
        return OutSpan(address) if self.out else Span(address=address)

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """Copies, or the checked rooms. Traps where the list or one of its buffers lies outside, and where all
        together are more than the memory: the guest has named the same bytes again and again."""
        addr: Settled = raw[at]
        count: Settled = raw[at + 1]
        # C's struct iovec: an address and a length, one behind the other.
        number, part = ADDRESS[self.wide], pointer_size(self.wide)
        check(access, addr, count * 2 * part, part, self.where)
        table = access.read(addr, count * 2 * part)
        pairs: list[tuple[Any, Any]] = []
        total, limit = 0, access.size()
        for place in range(0, len(table), 2 * part):
            start: Settled = number.unpack(table, place, access)
            size: Settled = number.unpack(table, place + part, access)
            check(access, start, size, 1, self.where)
            total += size
            if total > limit:
                raise Trap(TrapCode.LIMIT, Text.TOO_MUCH(where=self.where, size=total, limit=limit))
            pairs.append((start, size))
        return tuple(pairs) if self.out else tuple([access.read(*pair) for pair in pairs])

    def bind(self, plain: Plain, access: Access) -> object:
        """A list of bytes, or of `OutBuffer`s."""
        settled: Settled = plain
        return [OutBuffer(addr, size, access) for addr, size in settled] if self.out else list(settled)

    def show(self, plain: Plain) -> str:
        """How many."""
        settled: Settled = plain
        return f"<{len(settled)} buffers>"
