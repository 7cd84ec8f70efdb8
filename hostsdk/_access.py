"""What a host function reaches of its guest: memory, and functions by table index or name.

Everything that the SDK's objects (pointers, buffers, `ctx.memory`) do to a guest goes through an `Access`. A context
records what passes: in a replay it answers reads from the journal and skips writes.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Protocol, TypeAlias

from ._engine import FuncType, Trap, TrapCode, ValType, Value
from ._messages import Text

#: Bits of addresses and lengths: of a guest's with 32-bit addresses, and of one's with 64.
NARROW, WIDE = 32, 64

#: Where something happens, for messages: `kv.get: parameter 'key'`.
Where: TypeAlias = str


class Access(Protocol):
    """The guest as seen from one call. Nothing here suspends."""

    def read(self, addr: int, size: int) -> bytes:
        """A copy of `size` bytes. Traps (OUT_OF_BOUNDS_MEMORY) outside of the memory, before anything is copied."""

    def write(self, addr: int, data: bytes) -> None:
        """Copy `data` in. Traps (OUT_OF_BOUNDS_MEMORY) outside of the memory, before anything is written."""

    def size(self) -> int:
        """The memory's size in bytes."""

    def view(self, addr: int, size: int) -> AbstractContextManager[memoryview]:
        """The bytes themselves, pinned while the block lasts. Traps (OUT_OF_BOUNDS_MEMORY) outside of the memory."""

    @property
    def wide(self) -> bool:
        """Whether the memory has 64-bit addresses."""

    def reference(self, type_: ValType, value: Value) -> object:
        """What Python has of a reference, functions and exceptions included."""

    def function(self, index: int, type_: FuncType) -> object:
        """The function at a table index. Traps with one of NO_TABLE, UNDEFINED_ELEMENT (past the table's end),
        UNINITIALIZED_ELEMENT (null) and INDIRECT_CALL_TYPE."""


def check(access: Access, addr: int, size: int, align: int, where: Where) -> None:
    """Trap unless `size` bytes at `addr` lie inside the memory, and `addr` is a multiple of `align`."""
    limit = access.size()
    if not 0 <= addr <= limit or not 0 <= size <= limit - addr:
        raise Trap(
            TrapCode.OUT_OF_BOUNDS_MEMORY, Text.OUT_OF_BOUNDS(where=where, addr=addr, size=size, limit=limit)
        )
    if addr & align - 1:
        raise unaligned(addr, align, where)


def unaligned(addr: int, align: int, where: Where) -> Trap:
    """The trap for an address that is not a multiple of `align`, a power of two."""
    return Trap(TrapCode.UNALIGNED, Text.UNALIGNED(where=where, addr=addr, align=align))
