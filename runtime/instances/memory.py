"""Memory instances (spec 4.2.8): bytes with bounds, growth and copying. Traps come from here, never from an index."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from .. import lean
from ..errors import Trap, TrapCode
from ..limits import PAGE
from ..types import I32, MemoryType, ValType
from ..values import M32, M64
from .atomic import Machine
from .budget import Budget
from .group import Group
from .region import Region, reserve

#: Finds a place for a memory: for so many bytes now, and so many at most; None where there is none.
Reserve: TypeAlias = "Callable[[int, int], Region | None]"
#: Says of a new memory's type who finds a place for it from its beginning on; None where it is to have none yet.
Places: TypeAlias = "Callable[[MemoryType], Reserve | None]"
#: Bytes up to which a memory is made when somebody first looks. One for which there may be no room is made at once, so
#: that it is known.
_LATER: Final = 1 << 24
_NONE: Final = bytearray()
_making: Final = threading.RLock()


@lean.define(eq=False)
class MemInst:
    """A linear memory. `data` has its present size and is looked up anew behind whatever may have grown it.

    `pins` counts views handed out (`hostsdk`'s `ctx.memory.view`); a pinned memory can't grow, which the view's owner
    is told before it can happen. `group` is that of the instances that have the memory: None while none has.
    """

    #: Once the memory has settled it is a view, which does all that a bytearray does but change its size. Not there as
    #: long as nobody has looked, where `untouched` says how many bytes it will be.
    data: bytearray
    max: int | None
    budget: Budget
    pins: int = 0
    group: Group | None = None
    #: The addresses that machine code knows the memory by; None while it is a bytearray.
    region: Region | None = None
    #: The type of addresses, and the bytes of a page.
    address: ValType = I32
    page: int = PAGE
    #: Atomic accesses by the processor, as soon as machine code may be using the memory.
    machine: Machine | None = None
    untouched: int = 0

    @classmethod
    def allocate(cls, type_: MemoryType, budget: Budget, reserve: Reserve | None = None) -> MemInst:
        """A memory of its minimum size, charged to `budget`. Raises LimitError where that is too much. With `reserve`
        it settles at once, if that can be."""
        size = type_.min * type_.page
        budget.require(size, "linear memory")
        made = cls(_NONE, type_.max, budget, address=type_.address, page=type_.page)
        if reserve is not None and made._settle(size, reserve) is not None:
            return made
        if size <= _LATER:
            made.untouched = size
            del made.data
            made.__class__ = Untouched
        else:
            made.data = bytearray(size)
        return made

    @property
    def pages(self) -> int:
        """Current size in pages."""
        return self.size // self.page

    @property
    def size(self) -> int:
        """Current size in bytes."""
        return self.untouched or len(self.data)

    @property
    def type(self) -> MemoryType:
        """The type with the current size as minimum (spec 3.3.10, external typing of instances)."""
        return MemoryType(self.pages, self.max, self.address, self.page, self.shared)

    @property
    def shared(self) -> bool:
        """Whether several threads may use it at once; see `shared`."""
        return False

    @property
    def pinned(self) -> bool:
        """Whether a view of it keeps it from growing."""
        return self.pins > 0

    def pin(self) -> None:
        """A view of it is handed out."""
        self.pins += 1

    def unpin(self) -> None:
        """A view of it is given back."""
        self.pins -= 1

    def place(self, address: int) -> int:
        """Where in the process an address lies; only for a memory that has settled."""
        return address if self.region is None else self.region.base + address

    @property
    def ceiling(self) -> int:
        """The most pages that it can have."""
        most = MemoryType(0, None, self.address, self.page).most
        return most if self.max is None else min(self.max, most)

    def grow(self, delta: int) -> int:
        """Grow by `delta` pages. The old size in pages, or -1 where it can't be (spec 4.6.9, memory.grow)."""
        old = self.pages
        amount = delta * self.page
        if old + delta > self.ceiling:
            return -1
        if delta == 0:
            return old
        if self.pinned or not self.budget.take(amount):
            return -1
        if not self._extend(amount):
            self.budget.give(amount)
            return -1
        return old

    def grown(self, delta: int) -> int:
        """The same as the instruction gives it: an unsigned number of the address type."""
        return self.grow(delta) & (M32 if self.address is I32 else M64)

    def _extend(self, amount: int) -> bool:
        if self.region is not None:
            if not self.region.extend(len(self.data) + amount):
                return False
            self.data = cast("bytearray", self.region.data)
            return True
        try:
            self.data.extend(bytes(amount))
        except (MemoryError, BufferError):
            return False
        return True

    def settle(self, reserve: Reserve = reserve) -> Region | None:
        """Give the memory addresses that never change; None where that can't be. Nobody may hold a view of it.
        `reserve` finds them for so many bytes now, and so many at most."""
        if self.region is None and not self.pins:
            data = None if self.untouched else self.data
            if self._settle(self.size, reserve) is not None and data is not None:
                self.data[:] = data
        return self.region

    def _settle(self, size: int, reserve: Reserve) -> Region | None:
        """Have `size` bytes of zeros at addresses that never change."""
        room = self.budget.limit - self.budget.used + size
        region = reserve(size, min(self.ceiling * self.page, max(room, size)))
        if region is not None:
            self.region = region
            self._touched(cast("bytearray", region.data))
        return region

    def _touched(self, data: bytearray) -> None:
        """There is data, from now on or already."""
        self.data = data
        self.untouched = 0

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


class Untouched(MemInst):
    """A memory whose data nobody has looked at. Whoever does makes a plain one of it, in place: a class that is asked
    for what isn't there is slow to look at, and data is looked at all the time."""

    __slots__ = ()

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> object:
            if name != "data":
                raise AttributeError(name)
            made = bytearray(self.untouched)
            with _making:  # a signal handler may come by here, too, and find the lock its own
                if isinstance(self, Untouched):
                    self._touched(made)
            return self.data

    def _touched(self, data: bytearray) -> None:
        super()._touched(data)
        self.__class__ = MemInst  # type: ignore[assignment]  # their objects look alike
