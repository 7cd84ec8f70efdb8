"""Memory instances (spec 4.2.8): bytes with bounds, growth and copying. Traps come from here, never from an index."""

from __future__ import annotations

import attrs

from ..errors import Trap, TrapCode
from ..limits import MAX_PAGES, PAGE
from ..types import MemoryType
from .budget import Budget
from .group import Group


@attrs.define(eq=False)
class MemInst:
    """A linear memory. `data` is the same bytearray for the memory's whole life; growth extends it in place.

    `pins` counts views handed out (`hostsdk`'s `ctx.memory.view`); a pinned memory can't grow, which the view's owner
    is told before it can happen. `group` is that of the instances that have the memory: None while none has.
    """

    data: bytearray
    max: int | None
    budget: Budget
    pins: int = 0
    group: Group | None = None

    @classmethod
    def allocate(cls, type_: MemoryType, budget: Budget) -> MemInst:
        """A memory of its minimum size, charged to `budget`. Raises LimitError where that is too much."""
        budget.require(type_.min * PAGE, "linear memory")
        return cls(bytearray(type_.min * PAGE), type_.max, budget)

    @property
    def pages(self) -> int:
        """Current size in pages."""
        return len(self.data) // PAGE

    @property
    def type(self) -> MemoryType:
        """The type with the current size as minimum (spec 3.3.10, external typing of instances)."""
        return MemoryType(self.pages, self.max)

    def grow(self, delta: int) -> int:
        """Grow by `delta` pages. The old size in pages, or -1 where it can't be (spec 4.6.9, memory.grow)."""
        old = self.pages
        ceiling = MAX_PAGES if self.max is None else min(self.max, MAX_PAGES)
        if old + delta > ceiling:
            return -1
        if delta == 0:
            return old
        if self.pins or not self.budget.take(delta * PAGE):
            return -1
        try:
            self.data.extend(bytes(delta * PAGE))
        except (MemoryError, BufferError):
            self.budget.give(delta * PAGE)
            return -1
        return old

    def check(self, addr: int, size: int) -> None:
        """Trap unless `addr` up to `addr + size` lies inside."""
        if addr < 0 or size < 0 or addr + size > len(self.data):
            raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY)

    def read(self, addr: int, size: int) -> bytes:
        """A copy of `size` bytes. Traps out of bounds."""
        self.check(addr, size)
        return bytes(self.data[addr : addr + size])

    def write(self, addr: int, data: bytes | bytearray | memoryview) -> None:
        """Copy `data` in. Traps out of bounds, before anything is written."""
        self.check(addr, len(data))
        self.data[addr : addr + len(data)] = data

    def fill(self, addr: int, value: int, size: int) -> None:
        """memory.fill."""
        self.check(addr, size)
        self.data[addr : addr + size] = bytes((value & 0xFF,)) * size

    def copy(self, to: int, source: MemInst, start: int, size: int) -> None:
        """memory.copy; the ranges may overlap."""
        source.check(start, size)
        self.check(to, size)
        self.data[to : to + size] = source.data[start : start + size]
