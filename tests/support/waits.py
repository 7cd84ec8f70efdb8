"""Threads that wait, and a selector that tells when they sleep: how waits are tested without any sleeping."""

from __future__ import annotations

import selectors
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

import attrs

from runtime.exec.wait import Waker

T = TypeVar("T")

#: Real seconds after which something that should have happened counts as a hang. No test proves anything by it.
PATIENCE = 60.0


def in_thread(fn: Callable[[], T]) -> Future[T]:
    """Run `fn` in a thread of its own; the future gives what came of it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(fn())
        except BaseException as error:  # handed to whoever asks for the result
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future


@attrs.define(eq=False)
class Inbox:
    """The least that an interrupt can be attached to and a driver can wait for."""

    word: list[int] = attrs.field(factory=lambda: [0])
    waker: Waker = attrs.field(factory=Waker)
    woken: int = 0

    def wake(self) -> None:
        self.word[0] = 1
        self.woken += 1
        self.waker.wake()


class Sleeps:
    """What the threads of a driver ask of their selectors: `ThreadDriver(clock, sleeps.selector)`."""

    def __init__(self, fruitless: int = 0) -> None:
        #: Every timeout that a selector was given.
        self.timeouts: list[float | None] = []
        #: How many of the next sleeps end at once, as if their time had passed.
        self.fruitless = fruitless
        self._begun = threading.Semaphore(0)

    def selector(self) -> selectors.BaseSelector:
        return _Told(self)

    def begin(self, timeout: float | None) -> bool:
        self.timeouts.append(timeout)
        self._begun.release()
        self.fruitless -= 1
        return self.fruitless < 0

    def await_sleepers(self, count: int = 1) -> None:
        """Block until `count` more sleeps have begun."""
        for _ in range(count):
            if not self._begun.acquire(timeout=PATIENCE):
                raise TimeoutError("nobody went to sleep")


class _Told(selectors.PollSelector):
    def __init__(self, sleeps: Sleeps) -> None:
        super().__init__()
        self._sleeps = sleeps

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(timeout) if self._sleeps.begin(timeout) else []
