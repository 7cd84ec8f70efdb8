"""Waits that cost no time: the fake clock goes on to the next thing that happens, and nobody sleeps.

With it a run is deterministic: the same check points in the same order, whatever the machine does meanwhile.
"""

from __future__ import annotations

import select

from .._engine import FakeClock, ThreadDriver, WaitSet, Waker


class Stuck(Exception):
    """A wait that nothing will ever end: no deadline, no alarm, no descriptor. A notification has been lost, or the
    scenario doesn't give the event that its guest waits for."""


class SteppingDriver:
    """Carries out a wait by letting `clock` pass to the next alarm or deadline, again and again.

    Descriptors that are ready are seen at once. Where the clock has nothing more to bring, a wait for descriptors is
    a real one; so is every other with `threads`, for events that come from other threads.
    """

    def __init__(self, clock: FakeClock, *, in_place: bool = True, threads: bool = False) -> None:
        self.clock = clock
        self.in_place = in_place
        self.threads = threads
        #: Waits carried out.
        self.waits = 0
        self._real = ThreadDriver(clock)

    def wait(self, waits: WaitSet, waker: Waker, word: list[int]) -> None:
        """Until a source is ready, the deadline has passed, or a request has come. Raises Stuck."""
        self.waits += 1
        alarm = None if waits.deadline is None else self.clock.call_at(waits.deadline, waker.wake)
        try:
            while not (word[0] or waits.signalled or self._late(waits) or _ready(waits)):
                if self.clock.step():
                    continue
                if waits.readable or waits.writable or self.threads:
                    self._real.wait(waits, waker, word)
                    return
                raise Stuck(f"nothing will ever end this wait: {waits.explain()}")
        finally:
            if alarm is not None:
                alarm.cancel()

    def _late(self, waits: WaitSet) -> bool:
        return waits.deadline is not None and self.clock.monotonic() >= waits.deadline


def _ready(waits: WaitSet) -> bool:
    """Whether a descriptor is ready now, or closed."""
    if not (waits.readable or waits.writable):
        return False
    numbers = [d.number for d in (*waits.readable, *waits.writable)]
    if any(number < 0 for number in numbers):
        return True
    poll = select.poll()
    for number in numbers:
        poll.register(number, 0)
    for descriptor in waits.readable:
        poll.register(descriptor.number, select.POLLIN)
    writers = select.poll()
    for descriptor in waits.writable:
        writers.register(descriptor.number, select.POLLOUT)
    return bool(poll.poll(0)) or bool(writers.poll(0))
