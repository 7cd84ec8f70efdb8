"""Who carries out the waits of a scheduler's tasks: the scheduler, but for those that can't leave the stack."""

from __future__ import annotations

from .._engine import Clock, FakeClock, ThreadDriver, WaitSet, Waker


class Deadlock(Exception):
    """Every task waits, and nothing will ever end a wait: time is virtual, and no deadline or descriptor is waited
    for."""


class GreenDriver:
    """Waits leave the stack: the scheduler has the thread meanwhile. A plain call nested in a host function can't; the
    thread sleeps for it."""

    in_place = False

    def __init__(self, clock: Clock, virtual: bool) -> None:
        self._clock = clock
        self._virtual = virtual
        self._thread = ThreadDriver(clock)

    def wait(self, waits: WaitSet, waker: Waker, word: list[int]) -> None:
        """For nested plain calls. On a virtual clock, time passes for them up to the next event."""
        clock = self._clock
        if not self._virtual or not isinstance(clock, FakeClock):
            self._thread.wait(waits, waker, word)
            return
        alarm = None if waits.deadline is None else clock.call_at(waits.deadline, waker.wake)
        try:
            while not (word[0] or waits.signalled or late(clock, waits.deadline)):
                if not clock.step():
                    self._thread.wait(waits, waker, word)
                    return
        finally:
            if alarm is not None:
                alarm.cancel()


def late(clock: Clock, deadline: float | None) -> bool:
    """Whether a deadline has passed; without one, never."""
    return deadline is not None and clock.monotonic() >= deadline


__all__ = ["Deadlock", "GreenDriver", "late"]
