"""Operations that may suspend: performed by the engine's side when a generator yields them, or at once by `ctx`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from ._types import Op

if TYPE_CHECKING:
    from ._context import Context

T_co = TypeVar("T_co", covariant=True)


class Operation(Op[T_co]):
    """An operation and how it is carried out. `perform` may raise Unwind; performed again, with the same record, it
    goes on where it was."""

    def perform(self, ctx: Context[Any]) -> T_co:
        """Carry it out, or answer it from the journal. May suspend."""
        raise TypeError(f"{type(self).__name__} can't be performed")

    def now(self, ctx: Context[Any]) -> T_co:
        """Carry it out from a restartable `def`."""
        self._started = True
        return self.perform(ctx)
