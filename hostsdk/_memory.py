"""`ctx.memory`: the guest's memory by checked copies. Nothing keeps an address of the host's: growth harms nothing."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import get_args

from ._access import NARROW, WIDE, Access, check
from ._annotations import Place, cell_of, origin_of, refusal
from ._codecs import cstring
from ._engine import Trap, TrapCode, lean
from ._messages import Text
from ._types import Ptr, T


@lean.frozen
class GuestMemory:
    """The memory that the guest exports as `memory`. Nothing here suspends; what lies outside traps, before any
    effect. In a replay, reads give what they gave the first time and writes are not done again."""

    _access: Access

    def __len__(self) -> int:
        """The size in bytes, now."""
        return self._access.size()

    def read(self, addr: int, size: int) -> bytes:
        """A copy of `size` bytes. Raises Trap."""
        return self._access.read(addr, size)

    def write(self, addr: int, data: bytes | bytearray | memoryview) -> None:
        """Copy `data` in. Raises Trap."""
        self._access.write(addr, bytes(data))

    def view(self, addr: int, size: int) -> AbstractContextManager[memoryview]:
        """`with ctx.memory.view(addr, size) as view:` gives the bytes themselves, not a copy, for as long as the block
        lasts. Meanwhile the memory can't grow, and whatever may suspend is a StateError. What is read or written
        through a view is not journaled: in a restartable function, only where doing it again does no harm. Raises
        Trap."""
        return self._access.view(addr, size)

    def cstring(self, addr: int, limit: int = 1 << WIDE) -> str:
        """The text from `addr` up to a zero byte. Raises Trap where none comes within `limit` bytes or the memory, and
        InvalidText where it isn't UTF-8."""
        return cstring(self._access, addr, limit, "cstring")

    def pointer(self, kind: type[Ptr[T]], addr: int) -> Ptr[T]:
        """A typed pointer: `ctx.memory.pointer(Ptr[u32], addr).load()`. Raises SignatureError for a type without a
        layout. The address is checked when the pointer is used."""
        place = Place("pointer", wide=self._access.wide)
        if origin_of(kind) is not Ptr:
            raise refusal(kind, place, Text.POINTED)
        return Ptr(addr, cell_of(get_args(kind)[0], place), self._access, WIDE if place.wide else NARROW)

    def rows(self, base: Ptr[T] | int, n: int, size: int) -> Rows:
        """`n` rows of `size` bytes each, one behind the other, as C's qsort has them. Raises Trap where they don't lie
        inside, or where there are rows without bytes."""
        addr = base if isinstance(base, int) else base.addr
        check(self._access, addr, n * size if n >= 0 and size >= 0 else -1, 1, "rows")
        if n and not size:
            raise Trap(TrapCode.HOST, Text.EMPTY_ROWS(count=n))
        return Rows(addr, n, size, self._access)


@lean.frozen
class Rows:
    """An array whose elements' size is known at run time only."""

    base: int
    count: int
    size: int
    _access: Access = lean.field(eq=False, repr=False)

    def __len__(self) -> int:
        """How many rows."""
        return self.count

    def addr(self, i: int) -> int:
        """The address of a row. Raises IndexError."""
        if not 0 <= i < self.count:
            raise IndexError(Text.NO_ROW(index=i, count=self.count))
        return self.base + i * self.size

    def permute(self, order: Sequence[int]) -> None:
        """Put row `order[k]` at place k, for all k, in one write. Raises ValueError, and writes nothing, where `order`
        is not a permutation."""
        if len(order) != self.count or not _is_permutation(order):
            raise ValueError(Text.PERMUTATION(count=self.count))
        old = memoryview(self._access.read(self.base, self.count * self.size))
        size = self.size
        self._access.write(self.base, b"".join([old[i * size : i * size + size] for i in order]))


def _is_permutation(order: Sequence[int]) -> bool:
    seen = bytearray(len(order))
    for i in order:
        if not 0 <= i < len(seen) or seen[i]:
            return False
        seen[i] = 1
    return True
