"""What lies in guest memory: size, alignment and bytes of numbers, pointers and records.

The layout is C's for wasm32, or for wasm64, whose pointers take 8 bytes: a field lies at the next multiple of its
alignment, a record's size is a multiple of its own, bytes are little-endian. Padding is written as zeros and ignored
when read.
"""

from __future__ import annotations

from typing import Protocol

from ._access import Access
from ._engine import ParamShape, Value, lean


def pointer_size(wide: bool) -> int:
    """Bytes of an address: for a guest with 64-bit ones, or any other."""
    return 8 if wide else 4


class Cell(Protocol):
    """Something that lies in memory. `text` is how an author writes its type."""

    @property
    def text(self) -> str: ...
    @property
    def size(self) -> int: ...
    @property
    def align(self) -> int: ...

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """What the bytes at `at` mean. `data` is long enough."""

    def pack(self, value: object, what: str) -> bytes:
        """The `size` bytes of `value`. Raises ConversionError, naming `what`, where it doesn't fit."""


class Word(Cell, Protocol):
    """A cell that can also be passed, as one WebAssembly value."""

    @property
    def shape(self) -> ParamShape: ...

    def lift(self, value: Value, access: Access) -> object:
        """What Python has of a canonical value."""

    def lower(self, value: object, what: str) -> Value:
        """The canonical value. Raises ConversionError, naming `what`, where it doesn't fit."""


@lean.frozen
class Field:
    """A field of a record: its attribute, the argument of the class that sets it, and where it lies."""

    name: str
    argument: str
    offset: int
    cell: Cell


@lean.frozen
class Record:
    """A C struct, as an attrs class has it."""

    cls: type
    fields: tuple[Field, ...]
    size: int
    align: int

    @property
    def text(self) -> str:
        """The class's name."""
        return self.cls.__name__

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """An object of the class, made by calling it."""
        values = {f.argument: f.cell.unpack(data, at + f.offset, access) for f in self.fields}
        return self.cls(**values)

    def pack(self, value: object, what: str) -> bytes:
        """The bytes of an object of the class (or of anything with its attributes)."""
        out = bytearray(self.size)
        for field in self.fields:
            part = field.cell.pack(getattr(value, field.name), f"{what}: {self.text}.{field.name}")
            out[field.offset : field.offset + len(part)] = part
        return bytes(out)


@lean.define(eq=False, repr=False)
class Forward:
    """A record that is being laid out, for the pointers to it among its own fields (a list's `next`)."""

    cls: type
    record: Record | None = None

    @property
    def text(self) -> str:
        """The class's name."""
        return self.cls.__name__

    @property
    def size(self) -> int:
        """The record's."""
        return self._known.size

    @property
    def align(self) -> int:
        """The record's."""
        return self._known.align

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """As the record does."""
        return self._known.unpack(data, at, access)

    def pack(self, value: object, what: str) -> bytes:
        """As the record does."""
        return self._known.pack(value, what)

    @property
    def _known(self) -> Record:
        if self.record is None:
            raise LookupError(f"{self.text} is not laid out yet")
        return self.record


def record(cls: type, cells: list[tuple[str, str, Cell]]) -> Record:
    """Lay out (attribute, argument, cell) triples in order."""
    fields, end, widest = [], 0, 1
    for name, argument, cell in cells:
        offset = up(end, cell.align)
        fields.append(Field(name, argument, offset, cell))
        end = offset + cell.size
        widest = max(widest, cell.align)
    return Record(cls, tuple(fields), up(end, widest), widest)


def up(offset: int, align: int) -> int:
    """The next multiple of `align`, a power of two."""
    return offset + align - 1 & -align
