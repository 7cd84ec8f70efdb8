"""What an instance may still allocate: one number for all its memories, one for all its tables."""

from __future__ import annotations

import attrs

from ..errors import LimitError


@attrs.define(eq=False)
class Budget:
    """Counts down from a limit. Unit is the owner's: bytes for memories, entries for tables."""

    limit: int
    used: int = 0

    def take(self, amount: int) -> bool:
        """Charge `amount`; False, and nothing charged, where it would exceed the limit."""
        if self.used + amount > self.limit:
            return False
        self.used += amount
        return True

    def give(self, amount: int) -> None:
        """Return what was taken."""
        self.used -= amount

    def require(self, amount: int, what: str) -> None:
        """Like `take`, but a refusal is a LimitError naming `what`."""
        if not self.take(amount):
            raise LimitError(f"{what}: {amount} more on top of {self.used} exceeds the limit of {self.limit}")
