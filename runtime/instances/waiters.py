"""Who waits at which address of a shared memory, in the order of arrival (threads proposal, "Wait and notify").

A waiter is in the list from its comparison until it is notified, has come too late, or is given up: being suspended,
parked or interrupted meanwhile changes nothing. So a notification counts it, and tells it, wherever it is.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from .. import lean


@lean.define(eq=False)
class Waiter:
    """One that waits. `tell` is called once, with the list locked, when it is notified: it must not block."""

    address: int
    tell: Callable[[], None]
    notified: bool = False


class Waiters:
    """The waiters of one memory, by address. From any thread; nothing here waits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queues: dict[int, list[Waiter]] = {}

    def join(self, waiter: Waiter, still: Callable[[], bool]) -> bool:
        """Be the last in the line, if `still` holds; whether it did. No notification comes in between."""
        with self._lock:
            if not still():
                return False
            self._queues.setdefault(waiter.address, []).append(waiter)
            return True

    def leave(self, waiter: Waiter) -> bool:
        """Wait no more; whether the waiter had not been notified by then."""
        with self._lock:
            if waiter.notified:
                return False
            queue = self._queues.get(waiter.address, [])
            if waiter in queue:
                queue.remove(waiter)
                if not queue:
                    del self._queues[waiter.address]
            return True

    def notify(self, address: int, count: int) -> int:
        """Tell the first `count` waiters of an address; how many there were."""
        with self._lock:
            queue = self._queues.get(address, [])
            told, rest = queue[:count], queue[count:]
            if rest:
                self._queues[address] = rest
            else:
                self._queues.pop(address, None)
            for waiter in told:
                waiter.notified = True
                waiter.tell()
            return len(told)

    def in_order(self) -> list[Waiter]:
        """All who wait, those of each address in the order of their arrival."""
        with self._lock:
            return [waiter for queue in self._queues.values() for waiter in queue]

    def __len__(self) -> int:
        with self._lock:
            return sum(map(len, self._queues.values()))
