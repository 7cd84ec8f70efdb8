"""Turns: how long an execution may have the thread, by time or, for an order that never changes, by count."""

from __future__ import annotations

import math
import random
import threading

from .._engine import Alarm, Clock, Requests, lean

#: Check points that pass for a second where time is virtual.
PER_SECOND = 10_000
#: Sleeps in seconds for whose end the clock's thread is kept.
_SOON = 60.0


class TimedTurns:
    """Ends turns that take longer than `length` seconds, for one thread.

    One alarm serves any number of turns: while turns are short it comes once in `length`, sees that the turn at hand is
    a new one, and looks again when that one would be over. Where nobody has a turn it isn't set again, so a thread that
    sleeps is left alone. Setting it makes the clock's thread wake, or begin, just as the guest wants to run: so it is
    set for the turn that comes after a sleep before that sleep, where it is known when that ends.
    """

    def __init__(self, clock: Clock, length: float) -> None:
        if not length > 0:
            raise ValueError(f"a turn takes some time, not {length} s")
        self.length = length
        #: When the turn at hand began, in monotonic seconds.
        self.since = 0.0
        self._clock = clock
        self._running: Requests | None = None
        self._alarm: Alarm | None = None
        self._lock = threading.Lock()
        #: When the next turn begins, where nobody has one and that is known.
        self._next = -math.inf

    def expect(self, at: float) -> None:
        """Nobody will have a turn before `at`."""
        if 0.0 < (self._clock.timeout_for(at) or 0.0) < _SOON:
            self._next = at
            self._set(at + self.length)

    def begin(self, requests: Requests) -> None:
        """The execution with these requests has the thread now. What it was asked before stands."""
        self.since = self._clock.monotonic()
        self._running = requests
        if self._too_late(self.since + self.length):
            self._set(self.since + self.length)

    def end(self) -> float:
        """Nobody has. The seconds that the turn took."""
        self._running = None
        return self._clock.monotonic() - self.since

    def close(self) -> None:
        """Take the alarm back."""
        self._running = None
        with self._lock:
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None

    def _set(self, at: float) -> None:
        """Have the alarm come at `at`, or a turn's length after that at the latest: it may be set for a sleep that has
        ended before its time."""
        with self._lock:
            before = self._alarm
            if self._too_late(at):
                self._alarm = self._clock.call_at(at, self._look)
                if before is not None:
                    before.cancel()

    def _too_late(self, at: float) -> bool:
        # One that has come may be noted here all the same: on a busy machine it comes before `_set` has noted it.
        alarm = self._alarm
        return alarm is None or alarm.fn is None or alarm.deadline > at + self.length

    def _look(self) -> None:
        # In the clock's thread. First the alarm is gone, then we look who runs; `begin` does it the other way round.
        self._alarm = None
        running = self._running
        now = self._clock.monotonic()
        if running is None:
            if self._next > now:
                self._set(self._next + self.length)
            return
        over = self.since + self.length
        if now >= over:
            running.preempt()
            over = now + self.length
        self._set(over)


@lean.define(eq=False)
class CountedTurns:
    """Turns of some check points each, drawn from a generator: the same ones for the same seed, on every machine and
    tier. The injector of the executions that have them."""

    rng: random.Random
    #: Check points that a turn has on average.
    length: int
    _drawn: int = 0
    _left: int = 0

    def begin(self) -> None:
        """A turn begins."""
        self._drawn = self._left = self.rng.randint(1, 2 * self.length - 1)

    @property
    def seconds(self) -> float:
        """The virtual time that the turn at hand has taken so far."""
        return (self._drawn - self._left) / PER_SECOND

    def fires(self, check: int) -> bool:
        """Whether the turn is over at this check point."""
        self._left -= 1
        return self._left <= 0
