"""Table instances (spec 4.2.7): the same as memories, for references."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .. import lean
from ..errors import Trap, TrapCode
from ..limits import MAX_TABLE
from ..types import I32, TableType, ValType
from ..values import M32, M64, Value
from .budget import Budget
from .group import Group


class Watcher(Protocol):
    """Who has to know when a table changes."""

    def changed(self, first: int, count: int) -> None:
        """The entries from `first` on, `count` of them, or as many of them as there are now."""


@lean.define(eq=False)
class TableInst:
    """A table. `elems` is the same list for the table's whole life; `group` that of the instances that have it."""

    elems: list[Value]
    elem: ValType
    max: int | None
    budget: Budget
    group: Group | None = None
    #: Told of entries that have changed: machine code has a picture of its own.
    watch: Watcher | None = None
    #: The type of indexes.
    address: ValType = I32

    @classmethod
    def allocate(cls, type_: TableType, init: Value, budget: Budget) -> TableInst:
        """A table of its minimum size, every entry `init`. Raises LimitError where that is too much."""
        budget.require(type_.min, "table")
        return cls([init] * type_.min, type_.elem, type_.max, budget, address=type_.address)

    @property
    def type(self) -> TableType:
        """The type with the current size as minimum."""
        return TableType(self.elem, len(self.elems), self.max, self.address)

    def grow(self, delta: int, init: Value) -> int:
        """Grow by `delta` entries of `init`. The old size, or -1 where it can't be."""
        old = len(self.elems)
        ceiling = MAX_TABLE if self.max is None else min(self.max, MAX_TABLE)
        if old + delta > ceiling or not self.budget.take(delta):
            return -1
        self.elems.extend([init] * delta)
        if self.watch is not None:
            self.watch.changed(old, delta)
        return old

    def grown(self, delta: int, init: Value) -> int:
        """The same as the instruction gives it: an unsigned number of the address type."""
        return self.grow(delta, init) & (M32 if self.address is I32 else M64)

    def check(self, index: int, size: int) -> None:
        """Trap unless entries `index` up to `index + size` exist."""
        if index < 0 or size < 0 or index + size > len(self.elems):
            raise Trap(TrapCode.OUT_OF_BOUNDS_TABLE)

    def get(self, index: int) -> Value:
        """table.get."""
        self.check(index, 1)
        return self.elems[index]

    def set(self, index: int, value: Value) -> None:
        """table.set."""
        self.check(index, 1)
        self.elems[index] = value
        if self.watch is not None:
            self.watch.changed(index, 1)

    def fill(self, index: int, value: Value, size: int) -> None:
        """table.fill."""
        self.check(index, size)
        self.elems[index : index + size] = [value] * size
        if self.watch is not None:
            self.watch.changed(index, size)

    def init(self, to: int, items: Sequence[Value], start: int, size: int) -> None:
        """table.init, from a segment's items."""
        if start < 0 or start + size > len(items):
            raise Trap(TrapCode.OUT_OF_BOUNDS_TABLE)
        self.check(to, size)
        self.elems[to : to + size] = items[start : start + size]
        if self.watch is not None:
            self.watch.changed(to, size)

    def copy(self, to: int, source: TableInst, start: int, size: int) -> None:
        """table.copy; the ranges may overlap."""
        source.check(start, size)
        self.check(to, size)
        self.elems[to : to + size] = source.elems[start : start + size]
        if self.watch is not None:
            self.watch.changed(to, size)
