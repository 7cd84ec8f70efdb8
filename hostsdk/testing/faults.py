"""What happens at a check point that is hit, and the injector that hits it."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

import attrs

from .._engine import Injector


class Kind(enum.Enum):
    """A kind of fault."""

    #: Everything leaves the stack, and is resumed.
    RESTART = "restart"
    #: The same by an `Interrupt` that is set at the check point.
    INTERRUPT = "interrupt"
    #: From here to the next hit, callbacks go by the run loop instead of nesting, or the other way round.
    CALLBACKS = "callbacks"
    #: Saved, and loaded into an instance of its own.
    SAVE = "save"
    #: Saved, and loaded in another process.
    MOVE = "move"
    #: Dropped: the run ends here.
    DROP = "drop"
    #: An exception is thrown in.
    THROW = "throw"

    @property
    def ends(self) -> bool:
        """Whether the call doesn't come to its usual end."""
        return self in (Kind.DROP, Kind.THROW)

    @property
    def saves(self) -> bool:
        """Whether the execution is saved."""
        return self in (Kind.SAVE, Kind.MOVE)


class Thrown(Exception):
    """What `Kind.THROW` throws."""


@attrs.define(eq=False)
class Faults:
    """The injector of one run. It counts check points itself, so that a run which is loaded again, be it in another
    process, goes on counting."""

    schedule: Injector
    #: What the first hit is, the second, and so on; the last holds for all that follow.
    kinds: Sequence[Kind]
    #: Check points so far.
    count: int = 0
    hits: int = 0
    #: Nothing is counted before the call itself begins.
    armed: bool = False
    #: Does what a hit without a suspension of its own does.
    act: Callable[[Kind], None] | None = None
    #: The kind of the hit that has not been dealt with yet.
    current: Kind | None = None

    def fires(self, check: int) -> bool:
        """Whether to suspend here. `check`, which counts for one context only, is not used."""
        if not self.armed:
            return False
        self.count += 1
        if not self.schedule.fires(self.count):
            return False
        kind = self.kinds[min(self.hits, len(self.kinds) - 1)]
        self.hits += 1
        if kind in (Kind.INTERRUPT, Kind.CALLBACKS):
            self.current = kind if kind is Kind.INTERRUPT else None
            if self.act is not None:
                self.act(kind)
            return False
        self.current = kind
        return True

    def taken(self) -> Kind | None:
        """The kind of the hit that led to the suspension at hand, once."""
        kind, self.current = self.current, None
        return kind
