"""Time, as executions see it: replaceable, so that what depends on time is proved on a fake clock.

Two things are asked of a clock besides the hour. A wait with a deadline asks for how many real seconds it may sleep
(`timeout_for`); a clock whose time isn't real answers "no limit" and wakes the sleeper by an alarm. A running guest
polls one word and never looks at the clock, so its timeout is an alarm that sets the word (`call_at`).
"""

from __future__ import annotations

import heapq
import itertools
import math
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

#: Cancelled alarms are swept out when they are more than this, and more than the live ones.
SLACK = 64


class Alarm:
    """A call that a clock will make. `cancel` takes it back; harmless afterwards, and from any thread."""

    __slots__ = ("_cancel", "deadline", "fn")

    def __init__(self, deadline: float, fn: Callable[[], None], cancel: Callable[[Alarm], None]) -> None:
        self.deadline = deadline
        #: None once the call has begun or was cancelled: what it holds on to is let go at once.
        self.fn: Callable[[], None] | None = fn
        self._cancel = cancel

    def cancel(self) -> None:
        """Make no call. One that another thread has begun already isn't waited for."""
        self._cancel(self)


class Clock(Protocol):
    """What the engine asks of a clock. Seconds, everywhere."""

    def monotonic(self) -> float:
        """A time that never steps back; deadlines are on this scale."""

    def wall(self) -> float:
        """The time since the epoch, as people set it."""

    def timeout_for(self, deadline: float) -> float | None:
        """For how many real seconds to sleep until `deadline`: 0.0 if it has passed, None if real time won't tell
        (then the sleeper is to be woken by `call_at`)."""

    def call_at(self, deadline: float, fn: Callable[[], None]) -> Alarm:
        """Call `fn`, in whatever thread, once `deadline` (monotonic, in seconds) has passed. `fn` must be quick and
        must not raise."""


class Agenda:
    """Alarms by deadline, equal ones in the order in which they came. Its owner does the locking."""

    __slots__ = ("_cancelled", "_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Alarm]] = []
        self._serial = itertools.count()
        self._cancelled = 0

    def __len__(self) -> int:
        return len(self._heap) - self._cancelled

    @property
    def size(self) -> int:
        """Entries that take up memory, cancelled ones included."""
        return len(self._heap)

    def add(self, alarm: Alarm) -> None:
        if math.isnan(alarm.deadline):
            raise ValueError("a deadline can't be NaN")
        heapq.heappush(self._heap, (alarm.deadline, next(self._serial), alarm))

    def cancel(self, alarm: Alarm) -> None:
        """The entry stays until its time comes or the cancelled ones outweigh the rest: O(log n) on average."""
        if alarm.fn is None:
            return
        alarm.fn = None
        self._cancelled += 1
        if self._cancelled > SLACK and self._cancelled > len(self._heap) // 2:
            self._heap = [entry for entry in self._heap if entry[2].fn is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0

    def earliest(self) -> float | None:
        """The deadline that comes next."""
        while self._heap and self._heap[0][2].fn is None:
            heapq.heappop(self._heap)
            self._cancelled -= 1
        return self._heap[0][0] if self._heap else None

    def take_due(self, now: float) -> Callable[[], None] | None:
        """Remove the earliest alarm whose time has come, and give its call."""
        deadline = self.earliest()
        if deadline is None or deadline > now:
            return None
        alarm = heapq.heappop(self._heap)[2]
        fn, alarm.fn = alarm.fn, None
        return fn


class AlarmThread:
    """Makes the calls of an agenda in one daemon thread, which is there only while something is on the agenda.

    It sleeps until the earliest deadline and doesn't wake before, except once for one that has been cancelled since.
    """

    def __init__(self) -> None:
        #: Times the thread has woken from its sleep.
        self.wakeups = 0
        self._agenda = Agenda()
        self._thread: threading.Thread | None = None
        #: What the thread sleeps for; infinity while it is awake and will look anyway.
        self._until = math.inf
        # Re-entrant (Condition's own choice): a signal handler may set an alarm while this thread is setting one.
        self._condition = threading.Condition()

    @property
    def running(self) -> bool:
        return self._thread is not None

    def __len__(self) -> int:
        return len(self._agenda)

    def call_at(self, deadline: float, fn: Callable[[], None]) -> Alarm:
        alarm = Alarm(deadline, fn, self._cancel)
        with self._condition:
            self._agenda.add(alarm)
            if self._thread is None:
                self._start()
            elif deadline < self._until:
                self._condition.notify()
        return alarm

    def _cancel(self, alarm: Alarm) -> None:
        # The thread isn't told: a timeout that was not needed costs no wake-up now, and one at most later.
        with self._condition:
            self._agenda.cancel(alarm)

    def _start(self) -> None:
        self._until = math.inf
        thread = threading.Thread(target=self._run, name="hostsdk-alarms", daemon=True)
        thread.start()
        self._thread = thread

    def _run(self) -> None:
        while True:
            fn = self._next()
            if fn is None:
                return
            try:
                fn()
            except Exception:  # one caller's bug must not stop the clock of all the others
                threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))
            del fn  # not kept alive through the next sleep

    def _next(self) -> Callable[[], None] | None:
        """Sleep until a call is due; None when nothing is left, and then the thread is no more."""
        with self._condition:
            while True:
                deadline = self._agenda.earliest()
                if deadline is None:
                    self._thread = None
                    return None
                now = time.monotonic()
                if deadline <= now:
                    return self._agenda.take_due(now)
                self._until = deadline
                self._condition.wait(min(deadline - now, threading.TIMEOUT_MAX))
                self._until = math.inf
                self.wakeups += 1

    def after_fork(self) -> None:
        """In a forked child the thread is gone and the lock may be held by nobody; the alarms still hold."""
        self._condition = threading.Condition()
        self._thread = None
        if self._agenda.earliest() is not None:
            self._start()


#: The alarms of the process.
ALARMS = AlarmThread()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=ALARMS.after_fork)


class SystemClock:
    """The machine's clocks. Its alarms share one thread in the process."""

    __slots__ = ()

    def monotonic(self) -> float:
        return time.monotonic()

    def wall(self) -> float:
        return time.time()

    def timeout_for(self, deadline: float) -> float | None:
        return max(0.0, deadline - time.monotonic())

    def call_at(self, deadline: float, fn: Callable[[], None]) -> Alarm:
        return ALARMS.call_at(deadline, fn)


SYSTEM_CLOCK = SystemClock()


class FakeClock:
    """A clock that stands still until it is told to go on; then alarms are called, in order, by whoever advances it.

    Waits on it sleep without limit and are woken by their alarms, so no real time takes part.
    """

    def __init__(self, monotonic: float = 1000.0, wall: float = 1_700_000_000.0) -> None:
        self._now = monotonic
        self._ahead = wall - monotonic
        self._agenda = Agenda()
        self._condition = threading.Condition()

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now + self._ahead

    def timeout_for(self, deadline: float) -> float | None:
        return 0.0 if deadline <= self._now else None

    def call_at(self, deadline: float, fn: Callable[[], None]) -> Alarm:
        """Like any clock's (`deadline` on its monotonic scale, in seconds); one that has passed already is called at
        once, in this thread."""
        alarm = Alarm(deadline, fn, self._cancel)
        with self._condition:
            self._agenda.add(alarm)
            self._condition.notify_all()
        self._call_due()
        return alarm

    @property
    def alarms(self) -> int:
        """How many alarms are set."""
        with self._condition:
            return len(self._agenda)

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass, stopping at each alarm on the way to call it. Raises ValueError for going back."""
        if not seconds >= 0:
            raise ValueError(f"time can't go back by {-seconds} s")
        target = self._now + seconds
        while True:
            with self._condition:
                deadline = self._agenda.earliest()
                if deadline is None or deadline > target:
                    self._now = target
                    return
                self._now = max(self._now, deadline)
            self._call_due()

    def step(self) -> bool:
        """Let time pass up to the next alarm, and call it; False, and nothing passes, where none is set."""
        with self._condition:
            deadline = self._agenda.earliest()
            if deadline is None:
                return False
            self._now = max(self._now, deadline)
        self._call_due()
        return True

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock so many seconds forward or, with a negative number, back; monotonic time isn't touched."""
        self._ahead += seconds

    def wait_for_alarms(self, count: int = 1, patience: float = 60.0) -> None:
        """Block the calling thread until `count` alarms are set: whoever is to sleep on this clock is about to.

        `patience` is in real seconds and only turns a hang into a TimeoutError.
        """
        with self._condition:
            if not self._condition.wait_for(lambda: len(self._agenda) >= count, patience):
                raise TimeoutError(f"{len(self._agenda)} of {count} alarms were set in {patience} s")

    def _cancel(self, alarm: Alarm) -> None:
        with self._condition:
            self._agenda.cancel(alarm)

    def _call_due(self) -> None:
        while True:
            with self._condition:
                fn = self._agenda.take_due(self._now)
            if fn is None:
                return
            fn()  # outside the lock: it may set or cancel alarms in other threads
