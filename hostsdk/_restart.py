"""One entry of a host function: what `ctx` records meanwhile, and how.

Outside of an attempt or a `once`, whatever a restartable function does through `ctx` is journaled as it happens, and
answered from the journal in a replay. Inside one it goes straight through: that step is atomic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import attrs

from ._engine import Entry, Record, StateError, Trap

T = TypeVar("T")


@attrs.frozen(eq=False)
class Manner:
    """What holds for every call of a function."""

    where: str
    restartable: bool = False
    catch_traps: bool = False
    #: Callbacks always run on the run loop.
    scheduled: bool = False


class Call:
    """The call that a context serves at the moment. One that has journaled nothing has no record."""

    __slots__ = ("direct", "limit", "manner", "record", "trapped")

    def __init__(self, manner: Manner, limit: int = 0, record: Record | None = None) -> None:
        self.manner = manner
        #: Entries that a journal may have.
        self.limit = limit
        self.record = record
        #: Attempts and `once` in progress, one inside the other.
        self.direct = 0
        #: A callee's trap that the function was not allowed to keep to itself.
        self.trapped: Trap | None = None

    def recorded(self) -> Record:
        """The record, begun now if there was nothing to record before."""
        if self.record is None:
            self.record = Record(self.limit)
        return self.record

    @property
    def journal(self) -> Record | None:
        """Where the step at hand is to be journaled; None inside an atomic one and in a plain function."""
        if self.direct or not self.manner.restartable:
            return None
        return self.record or self.recorded()

    @contextmanager
    def atomic(self) -> Iterator[None]:
        """A step in which nothing is journaled."""
        self.direct += 1
        try:
            yield
        finally:
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
        try:
            with self.atomic():
                value = perform()
        except Exception as error:
            journal.fail(journal.append(kind, label, None), error)
            raise
        journal.append(kind, label, value)
        return value

    def must_journal(self, what: str) -> Record:
        """The record, for an operation that suspends. Raises StateError where that can't be."""
        where = self.manner.where
        if self.direct:
            raise StateError(f"{where}: {what} inside an attempt or a once: that step is atomic and can't suspend")
        if not self.manner.restartable:
            raise StateError(f"{where}: {what} in a plain function; register it with @restartable")
        return self.record or self.recorded()


def answer(entry: Entry) -> T:  # type: ignore[type-var]  # a journal holds what the step gave
    """What a journaled step gave or raised."""
    if entry.error is not None:
        raise entry.error
    return entry.value  # type: ignore[return-value]  # as above
