"""Where a thread sleeps. Imported when one does for the first time."""

from __future__ import annotations

import os
import selectors
from collections.abc import Callable
from typing import TYPE_CHECKING

from .bell import open_bell

if TYPE_CHECKING:
    from .wait import WaitSet

# poll(2): no descriptor of its own; regular files and /dev/null, which epoll refuses, and closed descriptors count as
# ready; the interest is handed over with each call, so that nothing is left behind in the kernel.
new_selector: Callable[[], selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)


class Place:
    """A thread's selector and its bell. One wait at a time."""

    __slots__ = ("bell", "pid", "selector")

    def __init__(self, selector: selectors.BaseSelector, signals: bool) -> None:
        self.bell = open_bell(signals)
        self.pid = os.getpid()
        self.selector = selector
        selector.register(self.bell.fileno(), selectors.EVENT_READ)

    def register(self, waits: WaitSet) -> list[int] | None:
        """Have the descriptors watched, and give their numbers; None if one is ready without looking."""
        events: dict[int, int] = {}
        for descriptors, event in ((waits.readable, selectors.EVENT_READ), (waits.writable, selectors.EVENT_WRITE)):
            for descriptor in descriptors:
                events[descriptor.number] = events.get(descriptor.number, 0) | event
        # Closed before the wait, or no descriptor at all: the attempt is to see it. The same holds for a number that
        # was closed and has become that of our bell.
        if any(not 0 <= number < 1 << 31 or number == self.bell.fileno() for number in events):
            return None
        for number, mask in events.items():
            self.selector.register(number, mask)
        return list(events)

    def unregister(self, numbers: list[int]) -> None:
        for number in numbers:
            self.selector.unregister(number)

    def sleep(self, timeout: float | None) -> bool:
        """Whether a descriptor is ready; False if the bell was rung or `timeout` has passed."""
        try:
            found = self.selector.select(timeout)
        except OSError:
            return True  # where there is no poll(2), select(2) refuses closed descriptors, all at once
        bell = self.bell.fileno()
        rung = any(key.fd == bell for key, _ in found)
        if rung:
            self.bell.quiet()
        return len(found) > rung
