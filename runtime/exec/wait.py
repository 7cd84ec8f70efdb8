"""Waiting for events, and nothing else: no slices, no periodic wake-ups.

A wait has sources (descriptors, notifiers, futures, a deadline) and the word by which an execution is asked to look
at its requests. Every source but the descriptors follows one rule: it *first* changes its own state and *then* wakes
whoever waits; a waiter *first* lets itself be woken and *then* looks at the state. So one of the two always sees the
other, and a wake-up by itself means nothing: it may be spurious or late, and only the states decide.
"""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard

from .. import lean
from .clock import SYSTEM_CLOCK, Clock

if TYPE_CHECKING:
    from concurrent.futures import Future
    from selectors import BaseSelector

    from .place import Place

#: A descriptor's number, or an object that has one.
Fd: TypeAlias = "int | HasFileno"
#: The longest sleep that is asked of a selector, in seconds: poll(2) counts milliseconds in 31 bits.
LONGEST = 2_000_000.0


class HasFileno(Protocol):
    def fileno(self) -> int: ...


class Waker:
    """The way to a wait in progress, if there is one. A waiter's own for as long as it lives.

    It remembers nothing: see this file's rule. `wake` takes no lock, since signal handlers use it.
    """

    __slots__ = ("__weakref__", "_ring")

    def __init__(self) -> None:
        self._ring: Callable[[], None] | None = None

    def wake(self) -> None:
        """Make the wait in progress look at its sources. From any thread or signal handler; never blocks."""
        ring = self._ring
        if ring is not None:
            ring()

    def arm(self, ring: Callable[[], None]) -> None:
        """A wait begins, to be woken by `ring`, which is as careful as `wake`. Look at the sources *after* this."""
        self._ring = ring

    def disarm(self) -> None:
        """The wait is over. A `wake` that has begun may still ring."""
        self._ring = None


class Notifier:
    """Tells waiters from any thread that it is worth another try.

    It wakes every wait in progress, and no notification is lost to a waiter that has tried before it and sleeps
    after it: what a waiter remembers is the generation *before its attempt*, and a wait in which it has changed
    doesn't sleep. It is not a flag: who begins an attempt later isn't concerned.
    """

    __slots__ = ("__weakref__", "_generations", "_waiters", "generation")

    def __init__(self) -> None:
        self._generations = itertools.count(1)
        self._waiters: dict[int, Waker] = {}
        #: Changes with each `notify`, to a value that it never had before.
        self.generation = 0

    def notify(self) -> None:
        """Wake whoever waits. From any thread or signal handler; never blocks, takes no lock."""
        # Two threads may store their numbers in either order. Both differ from all earlier ones, which is enough.
        self.generation = next(self._generations)
        for waker in list(self._waiters.values()):
            waker.wake()

    def subscribe(self, waker: Waker) -> None:
        """For drivers: `notify` wakes `waker` from now on."""
        self._waiters[id(waker)] = waker

    def unsubscribe(self, waker: Waker) -> None:
        """For drivers: no more. Harmless when repeated."""
        self._waiters.pop(id(waker), None)

    @property
    def waiters(self) -> int:
        """How many waits are in progress."""
        return len(self._waiters)

    def __repr__(self) -> str:
        return "<Notifier>"


#: What wakes a wait from elsewhere.
Wake: TypeAlias = "Notifier | Future[Any]"

# A future's callbacks can't be taken back, so a wait that is restarted a thousand times would leave a thousand. Each
# future has one notifier instead.
_completions: weakref.WeakKeyDictionary[Future[Any], Notifier] = weakref.WeakKeyDictionary()


def _is_future(source: object) -> TypeGuard[Future[Any]]:
    """Whether it is a future of `concurrent.futures`: whoever has one has imported that, and others need not wait for
    it."""
    futures = sys.modules.get("concurrent.futures")
    return futures is not None and isinstance(source, futures.Future)


def _completion(future: Future[Any]) -> Notifier:
    mine = Notifier()
    notifier = _completions.setdefault(future, mine)
    if notifier is mine:
        future.add_done_callback(lambda _: mine.notify())
    return notifier


@lean.frozen
class Descriptor:
    """A descriptor as it was when the wait began: the number, -1 if closed, and the object that it came from."""

    number: int
    source: Fd = lean.field(repr=False)

    @classmethod
    def of(cls, source: Fd) -> Descriptor:
        """`source`, asked for its number now. TypeError if it has none."""
        if isinstance(source, int):
            return cls(source, source)
        if getattr(source, "closed", False):
            return cls(-1, source)
        try:
            return cls(source.fileno(), source)
        except (AttributeError, OSError) as error:
            raise TypeError(f"can't wait for {source!r}: it has no descriptor") from error

    def __str__(self) -> str:
        name = "closed descriptor" if self.number < 0 else f"descriptor {self.number}"
        return name if isinstance(self.source, int) else f"{name} of {self.source!r}"


@lean.frozen
class Watch:
    """A notifier or future, and what was known of it before the attempt."""

    source: Wake
    seen: int

    @classmethod
    def of(cls, source: Wake) -> Watch:
        if isinstance(source, Notifier):
            return cls(source, source.generation)
        if _is_future(source):
            return cls(source, 0)
        raise TypeError(f"can't be woken by {source!r}: neither a Notifier nor a concurrent.futures.Future")

    @property
    def signalled(self) -> bool:
        source = self.source
        return source.generation != self.seen if isinstance(source, Notifier) else source.done()

    @property
    def notifier(self) -> Notifier:
        return self.source if isinstance(self.source, Notifier) else _completion(self.source)


@lean.frozen
class WaitSet:
    """What a wait waits for: whichever comes first.

    With notifiers among the sources it must be made, or made `fresh`, *before* the attempt that it is for.
    """

    readable: tuple[Descriptor, ...] = ()
    writable: tuple[Descriptor, ...] = ()
    wakes: tuple[Watch, ...] = ()
    #: On the monotonic scale of the driver's clock, in seconds; None for no deadline.
    deadline: float | None = None
    #: What the wait is for, in the words of whoever asked.
    label: str = ""

    @classmethod
    def of(
        cls,
        *,
        readable: Fd | Iterable[Fd] | None = None,
        writable: Fd | Iterable[Fd] | None = None,
        wake: Wake | Iterable[Wake] | None = None,
        deadline: float | None = None,
        label: str = "",
    ) -> WaitSet:
        """One source of a kind, or several. TypeError for what can't be waited for; ValueError for a NaN deadline."""
        if deadline is not None and math.isnan(deadline):
            raise ValueError("a deadline can't be NaN")
        return cls(
            tuple(Descriptor.of(source) for source in _several(readable, "fileno")),
            tuple(Descriptor.of(source) for source in _several(writable, "fileno")),
            tuple(Watch.of(source) for source in _several(wake, "add_done_callback")),
            None if deadline == math.inf else deadline,
            label,
        )

    def fresh(self) -> WaitSet:
        """The same for the next attempt: what its notifiers have told so far is known."""
        if not self.wakes:
            return self
        return lean.evolve(self, wakes=tuple(Watch.of(watch.source) for watch in self.wakes))

    @property
    def empty(self) -> bool:
        """Nothing but, perhaps, a deadline: whether an attempt would succeed, nobody will tell."""
        return not (self.readable or self.writable or self.wakes)

    @property
    def signalled(self) -> bool:
        """Whether a notifier or future has spoken. Never blocks."""
        return any(watch.signalled for watch in self.wakes)

    def subscribe(self, waker: Waker) -> None:
        """For drivers: notifiers and futures wake `waker`. Look at `signalled` after this."""
        for watch in self.wakes:
            watch.notifier.subscribe(waker)

    def unsubscribe(self, waker: Waker) -> None:
        """For drivers: undo `subscribe`."""
        for watch in self.wakes:
            watch.notifier.unsubscribe(waker)

    def explain(self, now: float | None = None) -> str:
        """In words; with `now`, on the scale of the deadline, the time left too."""
        parts = [f"{descriptor} to be readable" for descriptor in self.readable]
        parts += [f"{descriptor} to be writable" for descriptor in self.writable]
        parts += [repr(watch.source) for watch in self.wakes]
        if self.deadline is not None:
            parts.append("a deadline" if now is None else f"a deadline in {max(0.0, self.deadline - now):.3f} s")
        text = ", ".join(parts) or "nothing but an interrupt"
        return f"{self.label}: waits for {text}" if self.label else f"waits for {text}"


def _several(given: Any, single: str) -> tuple[Any, ...]:
    """One or many as many. What has the attribute `single` is one, even if it can be iterated like an open file."""
    if given is None:
        return ()
    return (given,) if hasattr(given, single) or not isinstance(given, Iterable) else tuple(given)


def backoff(attempt: int) -> float:
    """Seconds until a bare predicate, of which no source tells anything, is tried again after failure number
    `attempt`, from 0: 1 ms, doubled each time, 50 ms at most."""
    return min(0.001 * float(1 << min(max(attempt, 0), 6)), 0.05)


class Driver(Protocol):
    """Who carries out a wait."""

    @property
    def in_place(self) -> bool:
        """Whether `wait` may block the calling thread in the middle of an execution. If not, the execution suspends
        with its wait set, and `wait` is for whoever resumes it."""

    def wait(self, waits: WaitSet, waker: Waker, word: list[int]) -> None:
        """Block until a source of `waits` may be ready, its deadline has passed or `word[0]` isn't 0.

        Whoever sets the word then calls `waker.wake()`. It may return early; the caller tries, checks, and waits
        again.
        """


class _Local(threading.local):
    place: Place | None = None


class ThreadDriver:
    """Waits in place: the calling OS thread sleeps. May be shared by any number of threads.

    A thread that waits for the first time gets one descriptor to be woken by (a pair in the main thread where signals
    are to ring it), which goes with the thread. A descriptor that another thread closes *during* the wait isn't
    noticed: POSIX leaves it open what poll(2) does then, so whoever closes it has to wake the waiter by a notifier.
    """

    in_place = True

    def __init__(
        self,
        clock: Clock = SYSTEM_CLOCK,
        selector: Callable[[], BaseSelector] | None = None,
        *,
        signals: bool = False,
    ) -> None:
        self.clock = clock
        #: Whether waits of the main thread take the process's wake-up descriptor, so that no signal is ever missed.
        self.signals = signals
        #: Times that a thread has come back from its sleep, all threads together.
        self.wakeups = 0
        self._selector = selector
        self._local = _Local()
        self._counting = threading.RLock()  # re-entrant: a signal handler may wait, too

    def wait(self, waits: WaitSet, waker: Waker, word: list[int]) -> None:
        """Block as `Driver.wait` says. Signals are handled and don't end the wait, unless a handler raises."""
        if self._over(waits, word):
            return
        local = self._local
        # Taken out while in use: a signal handler that waits in the midst of this wait gets a place of its own.
        place, local.place = local.place, None
        if place is None or place.pid != os.getpid():  # a forked child would share the bell with its parent
            from .place import Place, new_selector  # most programs never wait

            place = Place((self._selector or new_selector)(), self.signals)
        try:
            numbers = place.register(waits)
            if numbers is not None:
                try:
                    self._wait_at(place, waits, waker, word)
                finally:
                    place.unregister(numbers)
        finally:
            local.place = place

    def close(self) -> None:
        """Let the descriptors go that threads keep for their next wait, which will make new ones."""
        self._local = _Local()

    def _wait_at(self, place: Place, waits: WaitSet, waker: Waker, word: list[int]) -> None:
        alarm = None
        try:
            place.bell.listen()
            waker.arm(place.bell.ring)
            waits.subscribe(waker)
            if waits.deadline is not None and self.clock.timeout_for(waits.deadline) is None:
                alarm = self.clock.call_at(waits.deadline, waker.wake)
            while not self._over(waits, word):
                ready = place.sleep(self._timeout(waits.deadline))
                with self._counting:
                    self.wakeups += 1
                if ready:
                    return
        finally:
            if alarm is not None:
                alarm.cancel()
            waits.unsubscribe(waker)
            waker.disarm()
            place.bell.rest()

    def _over(self, waits: WaitSet, word: list[int]) -> bool:
        return bool(word[0]) or waits.signalled or self._timeout(waits.deadline) == 0.0

    def _timeout(self, deadline: float | None) -> float | None:
        timeout = None if deadline is None else self.clock.timeout_for(deadline)
        return None if timeout is None else min(timeout, LONGEST)
