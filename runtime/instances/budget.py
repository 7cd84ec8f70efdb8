"""What an instance may still allocate: one number for all its memories, one for all its tables. Both count towards
what all instances together may use, where the embedder has set such a limit."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakMethod

from .. import lean
from ..errors import LimitError
from ..limits import Limits, Total


@lean.define(eq=False)
class Budget:
    """Counts down from a limit. Unit is the owner's: bytes for memories, entries for tables."""

    limit: int
    used: int = 0
    total: Total | None = None
    #: What gives back what nobody uses any more, where somebody looks for that only now and then.
    reclaim: WeakMethod[Callable[[], None]] | None = None

    @classmethod
    def of_memories(cls, limits: Limits) -> Budget:
        """For the linear memories of one instance."""
        totals = limits.totals
        return cls(limits.memory) if totals is None else Share(limits.memory, total=totals.memory)

    @classmethod
    def of_tables(cls, limits: Limits) -> Budget:
        """For the tables of one instance."""
        totals = limits.totals
        return cls(limits.table) if totals is None else Share(limits.table, total=totals.table)

    def take(self, amount: int) -> bool:
        """Charge `amount`; False, and nothing charged, where it would exceed a limit."""
        return self._take(amount) or (self._reclaim() and self._take(amount))

    def _reclaim(self) -> bool:
        hook = None if self.reclaim is None else self.reclaim()
        if hook is not None:
            hook()
        return hook is not None

    def _take(self, amount: int) -> bool:
        if self.used + amount > self.limit or (self.total is not None and not self.total.take(amount)):
            return False
        self.used += amount
        return True

    def give(self, amount: int) -> None:
        """Return what was taken."""
        self.used -= amount
        if self.total is not None:
            self.total.give(amount)

    def require(self, amount: int, what: str) -> None:
        """Like `take`, but a refusal is a LimitError naming `what`."""
        if self.take(amount):
            return
        if self.total is None or self.used + amount > self.limit:
            raise LimitError(f"{what}: {amount} more on top of {self.used} exceeds the limit of {self.limit}")
        total = self.total
        raise LimitError(
            f"{what}: {amount} more on top of {total.used} exceeds the limit of {total.limit} of all instances together"
        )


class Share(Budget):
    """One that counts towards what all instances together may use."""

    __slots__ = ()

    def __del__(self) -> None:
        # Every memory and table that was charged here holds this: they are all gone.
        if self.total is not None and self.used:
            self.total.give(self.used)
