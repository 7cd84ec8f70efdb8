"""What may take long though nothing tells when it is ready: reading from a disk, writing to it for good.

Such work is done by a thread of its own while the guest waits by event, so that neither its own interrupts nor those of
other guests on the same thread are held up. Only what may be done twice or for nothing goes this way.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Hashable

from hostsdk import Notifier, lean

#: Bytes that are fetched at a time.
_CHUNK = 1 << 20
#: Outcomes that nobody has asked for yet, of which the oldest are forgotten: whoever wanted them was dropped.
_KEPT = 16


@lean.frozen
class Outcome:
    """Work that has been done, and what it raised."""

    error: OSError | None = None


class Beside:
    """Work for one file."""

    def __init__(self) -> None:
        #: Tells of every end.
        self.done = Notifier()
        self._lock = threading.Lock()
        self._jobs: dict[Hashable, Outcome | None] = {}

    def ask(self, key: Hashable, work: Callable[[], object]) -> Outcome | None:
        """What came of the work with this key, once; None while it is being done, which begins with the first
        question. Never blocks."""
        with self._lock:
            if key in self._jobs:
                outcome = self._jobs[key]
                if outcome is not None:
                    del self._jobs[key]
                return outcome
            for old in [known for known, outcome in self._jobs.items() if outcome is not None][:-_KEPT]:
                del self._jobs[old]
            self._jobs[key] = None
        # A daemon: a process that is to end doesn't wait for a disk that doesn't answer.
        threading.Thread(target=self._do, args=(key, work), name="hostsdk file", daemon=True).start()
        return None

    def _do(self, key: Hashable, work: Callable[[], object]) -> None:
        outcome = Outcome()
        try:
            work()
        except OSError as error:
            outcome = Outcome(error)
        with self._lock:
            self._jobs[key] = outcome
        self.done.notify()


def fetch(fd: int, offset: int, size: int) -> None:
    """Have the system read a part of a file, so that it is in memory then."""
    while size > 0:
        got = len(os.pread(fd, min(size, _CHUNK), offset))
        if not got:
            return
        offset += got
        size -= got
