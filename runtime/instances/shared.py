"""Shared memories: several threads at once use them (threads proposal, 4.2.8).

One that may grow in place, in a range reserved for its maximum, needs no more than a lock. One that has to be moved
(`prealloc_shared_memory=False`, or a system without ranges) is moved while nobody runs: `world` stops all who might,
and whoever of the host comes along meanwhile waits for the lock.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, cast

from .. import lean
from ..types import MemoryType
from .budget import Budget
from .memory import MemInst
from .region import Region, reserve
from .waiters import Waiters

if TYPE_CHECKING:
    from .instance import Instance


class World(Protocol):
    """All executions that use a memory; see `exec.cluster`."""

    def stopped(self) -> AbstractContextManager[None]:
        """Nobody runs while the block does. Waits until it is so."""


@lean.define(eq=False)
class SharedMemInst(MemInst):
    """A linear memory that threads share. `movable` says whether growing may change its place."""

    movable: bool = False
    world: World | None = None
    waiters: Waiters = lean.field(factory=Waiters)
    #: The instances that have it.
    users: weakref.WeakSet[Instance] = lean.field(factory=weakref.WeakSet)
    _lock: threading.RLock = lean.field(factory=threading.RLock, init=False)

    @classmethod
    def make(cls, type_: MemoryType, budget: Budget, world: World, prealloc: bool) -> SharedMemInst:
        """A memory of its minimum size, charged to `budget`. Raises LimitError where that is too much."""
        size = type_.min * type_.page
        budget.require(size, "linear memory")
        most = min(type_.most, type_.most if type_.max is None else type_.max) * type_.page
        room = max(size, budget.limit - budget.used + size)
        region = reserve(size, min(most, room) if prealloc else size)
        self = cls(
            bytearray(0 if region else size), type_.max, budget, address=type_.address, page=type_.page, world=world
        )
        if region is not None:
            self.region, self.data = region, cast("bytearray", region.data)
        self.movable = region is None or not prealloc
        return self

    @property
    def shared(self) -> bool:
        return True

    @property
    def pinned(self) -> bool:
        return self.movable and self.pins > 0

    def settle(self, reserve: Callable[[int, int], Region | None] = reserve) -> Region | None:
        """The addresses of the memory, if it has some: it has had them from the beginning."""
        return self.region

    def grow(self, delta: int) -> int:
        """Grow by `delta` pages. The old size in pages, or -1 where it can't be. Of threads that come at once, each
        gets the size that the one before has left."""
        if not self.movable:
            with self._lock:
                return super().grow(delta)
        if delta == 0 or self.world is None:
            with self._lock:
                return super().grow(delta)
        with self.world.stopped(), self._lock:
            return super().grow(delta)

    def _extend(self, amount: int) -> bool:
        old = self.region
        if not self.movable or old is None:
            return super()._extend(amount)
        size = len(self.data) + amount
        moved = reserve(size, size)
        if moved is None:
            return False
        moved.data[: len(self.data)] = self.data
        # The cell stays: it is what machine code knows the memory by.
        old.move(moved)
        self.data = cast("bytearray", old.data)
        return True

    def read(self, addr: int, size: int) -> bytes:
        """A copy of `size` bytes. Traps out of bounds."""
        if not self.movable:
            return super().read(addr, size)
        with self._lock:
            return super().read(addr, size)

    def write(self, addr: int, data: bytes | bytearray | memoryview) -> None:
        """Copy `data` in. Traps out of bounds, before anything is written."""
        if not self.movable:
            super().write(addr, data)
            return
        with self._lock:
            super().write(addr, data)

    def pin(self) -> None:
        """A view of it is handed out."""
        with self._lock:
            self.pins += 1

    def unpin(self) -> None:
        """A view of it is given back."""
        with self._lock:
            self.pins -= 1
