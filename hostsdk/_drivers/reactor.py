"""The one place where a thread waits for all descriptors that anybody on it waits for."""

from __future__ import annotations

import os
import select
import selectors
from collections.abc import Iterator
from typing import Generic, TypeAlias, TypeVar

from .._engine import LONGEST, WaitSet, open_bell

W = TypeVar("W")
#: What a selector found.
Found: TypeAlias = list[tuple[selectors.SelectorKey, int]]
#: Those whose sleeps are rounded up to milliseconds, but which select(2) can wait for; and how high its numbers go.
_COARSE = tuple(getattr(selectors, name) for name in ("EpollSelector",) if hasattr(selectors, name))
_FD_SETSIZE = 1024
#: Those whose interest is kept by the kernel.
_LIVE = tuple(getattr(selectors, name) for name in ("EpollSelector", "KqueueSelector") if hasattr(selectors, name))


def events_of(waits: WaitSet) -> dict[int, int] | None:
    """What to watch each descriptor for; None where one is closed, or none at all: the attempt is to see it."""
    events: dict[int, int] = {}
    for descriptors, event in ((waits.readable, selectors.EVENT_READ), (waits.writable, selectors.EVENT_WRITE)):
        for descriptor in descriptors:
            events[descriptor.number] = events.get(descriptor.number, 0) | event
    return None if any(not 0 <= number < 1 << 31 for number in events) else events


class Reactor(Generic[W]):
    """A selector and a bell. Waiters stay registered while they wait, so that a look costs what is ready, not what is
    waited for; several may wait for one descriptor. Used by one thread; `ring` is for the others."""

    def __init__(self) -> None:
        #: Times that the thread has come back from its sleep.
        self.wakeups = 0
        self._selector = selectors.DefaultSelector()
        self._bell = open_bell()
        self._selector.register(self._bell.fileno(), selectors.EVENT_READ)
        self._fine = isinstance(self._selector, _COARSE) and self._selector.fileno() < _FD_SETSIZE
        self._pid = os.getpid()
        self._watched: dict[int, dict[W, int]] = {}

    def __len__(self) -> int:
        return len(self._watched)

    def ring(self) -> None:
        """Have `look` come back. From any thread or signal handler; never blocks."""
        self._bell.ring()

    def add(self, waiter: W, waits: WaitSet) -> bool:
        """Watch the descriptors of `waits` for `waiter`. False, and nothing is watched, where an attempt would tell at
        once: one is closed, or a file that is always ready."""
        events = events_of(waits)
        if events is None or self._bell.fileno() in events:
            return False
        done: list[int] = []
        for number, mask in events.items():
            there = self._watched.setdefault(number, {})
            there[waiter] = mask
            done.append(number)
            try:
                self._watch(number)
            except (OSError, ValueError):
                self._forget(waiter, done)
                return False
        return True

    def remove(self, waiter: W, waits: WaitSet) -> None:
        """No more. Harmless where nothing is watched for it."""
        self._forget(waiter, [d.number for d in (*waits.readable, *waits.writable)])

    @property
    def live(self) -> bool:
        """Whether a sleep in progress sees what another thread adds."""
        return isinstance(self._selector, _LIVE)

    def look(self, timeout: float | None) -> Iterator[W]:
        """Wait `timeout` seconds at most (None: without end) for a descriptor or the bell; whose wait may be over."""
        return self.whose(self.sleep(timeout))

    def sleep(self, timeout: float | None) -> Found:
        """The first half of `look`, which waits: what the selector found."""
        asleep = timeout is None or timeout > 0
        if asleep:
            self._bell.listen()
        try:
            if asleep and timeout is not None and self._fine:
                # epoll counts in milliseconds, and is a descriptor itself: select counts in microseconds.
                select.select((self._selector,), (), (), min(timeout, LONGEST))
                timeout = 0
            return self._selector.select(None if timeout is None else min(timeout, LONGEST))
        finally:
            if asleep:
                self.wakeups += 1
                self._bell.rest()

    def whose(self, found: Found) -> Iterator[W]:
        """The second half: whose wait may be over."""
        for key, mask in found:
            for waiter, wanted in list(self._watched.get(key.fd, {}).items()):
                # An error or a hang-up is reported as whatever was asked for.
                if mask & wanted:
                    yield waiter

    def close(self) -> None:
        """Let the descriptors go."""
        self._watched.clear()
        self._selector.close()

    def _watch(self, number: int) -> None:
        """Register, anew if need be: a number that was closed and given out again is unknown to the kernel, though it
        is known here, and a mere change of the mask wouldn't tell."""
        mask = 0
        for wanted in self._watched[number].values():
            mask |= wanted
        if len(self._watched[number]) > 1:
            self._unwatch(number)
        try:
            self._selector.register(number, mask)
        except KeyError:
            self._unwatch(number)
            self._selector.register(number, mask)

    def _unwatch(self, number: int) -> None:
        try:
            self._selector.unregister(number)
        except (KeyError, OSError, ValueError):
            pass

    def _forget(self, waiter: W, numbers: list[int]) -> None:
        for number in numbers:
            there = self._watched.get(number)
            if there is None or there.pop(waiter, None) is None:
                continue
            if there:
                try:
                    self._watch(number)
                except (OSError, ValueError):
                    pass  # closed meanwhile: whoever did that wakes the others
            else:
                del self._watched[number]
                self._unwatch(number)
