"""One entry of a host function: what `ctx` records meanwhile, and how.

Outside of an attempt or a `once`, whatever a restartable function does through `ctx` is journaled as it happens, and
answered from the journal in a replay. Inside one it goes straight through: that step is atomic.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self, TypeVar

from ._engine import Entry, ExecContext, Record, StateError, Unwind, lean, make_dropped, make_unwind
from ._messages import Text

T = TypeVar("T")


@lean.frozen(eq=False)
class Manner:
    """What holds for every call of a function."""

    where: str
    restartable: bool = False
    catch_traps: bool = False
    #: Callbacks always run on the run loop.
    scheduled: bool = False


class Call:
    """The call that a context serves at the moment. One that has journaled nothing has no record."""

    __slots__ = ("border", "direct", "dropped", "limit", "manner", "pins", "record")

    def __init__(
        self, manner: Manner, limit: int = 0, record: Record | None = None, border: ExecContext | None = None
    ) -> None:
        self.manner = manner
        #: Entries that a journal may have.
        self.limit = limit
        self.record = record
        #: The execution; None for a plain function, which never leaves the stack.
        self.border = border
        #: Attempts and `once` in progress, one inside the other.
        self.direct = 0
        #: Views of the guest's memory that are open.
        self.pins = 0
        #: The call has been dropped and cleans up: nothing is journaled any more, and whatever suspends is refused.
        self.dropped = False

    def recorded(self) -> Record:
        """The record, begun now if there was nothing to record before."""
        if self.record is None:
            self.record = Record(self.limit)
        return self.record

    @property
    def journal(self) -> Record | None:
        """Where the step at hand is to be journaled; None inside an atomic one, in a plain function, and in the
        cleanup of a dropped call."""
        if self.direct or self.dropped or not self.manner.restartable:
            return None
        self.stay()
        return self.record or self.recorded()

    def stay(self) -> None:
        """Raises Unwind again while the function leaves the stack: what its `finally` blocks ask for then is not the
        end of the call, which will be entered again, but a part of the leaving, and must leave no trace."""
        if self.border is not None and self.border.unwinding:
            raise make_unwind()

    def atomic(self) -> Self:
        """A step in which nothing is journaled: a context manager."""
        return self

    def __enter__(self) -> None:
        self.direct += 1

    def __exit__(self, *exc: object) -> None:
        self.direct -= 1

    def step(self, kind: str, label: str, perform: Callable[[], T]) -> T:
        """One journaled step that never suspends: performed now, or answered from the journal.

        An exception is journaled, too, and raised again in a replay.
        """
        journal = self.journal
        if journal is None:
            return perform()
        entry = journal.next(kind, label)
        if entry is not None:
            return answer(entry)
        journal.require_room()
        try:
            with self.atomic():
                value = perform()
        except Unwind:
            raise
        except BaseException as error:
            journal.fail(journal.append(kind, label, None), error)
            raise
        journal.append(kind, label, value)
        return value

    def must_journal(self, what: str) -> Record:
        """The record, for an operation that suspends. Raises StateError where that can't be."""
        if self.dropped:
            raise make_dropped()
        where = self.manner.where
        if self.direct:
            raise StateError(f"{where}: {what} inside an attempt or a once: that step is atomic and can't suspend")
        if self.pins:
            raise StateError(Text.PINNED(where=where, what=what))
        if not self.manner.restartable:
            raise StateError(f"{where}: {what} in a plain function; register it with @restartable")
        self.stay()
        return self.record or self.recorded()


def answer(entry: Entry) -> T:  # type: ignore[type-var]  # a journal holds what the step gave
    """What a journaled step gave or raised."""
    if entry.error is not None:
        raise entry.error
    return entry.value  # type: ignore[return-value]  # as above
