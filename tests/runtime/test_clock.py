"""Clocks: alarms in order on a fake clock, and one thread without a periodic wake-up for the real one."""

from __future__ import annotations

import gc
import math
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pytest

from runtime.exec.clock import SLACK, SYSTEM_CLOCK, Agenda, Alarm, AlarmThread, FakeClock
from tests.support.waits import PATIENCE

FAR = 1e9


def test_advance_calls_what_is_due_in_order_and_at_its_time() -> None:
    """Alarms are called by deadline, equal ones as they came, with the clock at their deadline."""
    clock, calls = FakeClock(monotonic=10.0), list[tuple[str, float]]()
    for name, deadline in (("c", 13.0), ("a", 11.0), ("b1", 12.0), ("b2", 12.0), ("late", 20.0)):
        clock.call_at(deadline, lambda name=name: calls.append((name, clock.monotonic())))  # type: ignore[misc]
    clock.advance(5.0)
    assert calls == [("a", 11.0), ("b1", 12.0), ("b2", 12.0), ("c", 13.0)]
    assert (clock.monotonic(), clock.alarms) == (15.0, 1)


def test_an_alarm_may_set_another_on_the_way() -> None:
    """What an alarm sets within the time that passes is called in the same advance."""
    clock, calls = FakeClock(monotonic=0.0), list[float]()

    def again() -> None:
        calls.append(clock.monotonic())
        clock.call_at(clock.monotonic() + 2.0, again)

    clock.call_at(1.0, again)
    clock.advance(6.0)
    assert calls == [1.0, 3.0, 5.0]


def test_a_deadline_in_the_past_is_called_at_once() -> None:
    """No alarm is lost to a clock that advanced between reading the time and setting it."""
    clock, calls = FakeClock(), list[int]()
    clock.call_at(clock.monotonic(), lambda: calls.append(1))
    assert calls == [1]


def test_a_cancelled_alarm_is_not_called_and_lets_go() -> None:
    """After `cancel` nothing is called, nothing is held on to, and cancelling again is harmless."""

    class Held:
        def call(self) -> None:
            raise AssertionError

    clock, held = FakeClock(), Held()
    gone = weakref.ref(held)
    alarm = clock.call_at(clock.monotonic() + 1, held.call)
    alarm.cancel()
    alarm.cancel()
    del held
    gc.collect()
    assert gone() is None
    clock.advance(2)
    assert clock.alarms == 0


def test_cancelling_what_was_called_is_harmless() -> None:
    """An alarm that has been called can be cancelled without upsetting the count."""
    clock = FakeClock()
    alarm = clock.call_at(clock.monotonic(), lambda: None)
    alarm.cancel()
    assert clock.alarms == 0


def test_the_wall_clock_may_step_without_moving_time() -> None:
    """Behaviour 37: a stepped wall clock touches neither monotonic time nor alarms."""
    clock, calls = FakeClock(monotonic=0.0, wall=5000.0), list[int]()
    clock.call_at(1.0, lambda: calls.append(1))
    clock.step_wall(3600.0)
    assert (clock.monotonic(), clock.wall(), calls) == (0.0, 8600.0, [])
    clock.step_wall(-7200.0)
    clock.advance(1.0)
    assert (clock.wall(), calls) == (1401.0, [1])


def test_a_fake_clock_allows_no_real_sleep() -> None:
    """`timeout_for` is "not at all" or "until woken", never a number of real seconds."""
    clock = FakeClock(monotonic=5.0)
    assert clock.timeout_for(5.0) == 0.0
    assert clock.timeout_for(5.1) is None


@pytest.mark.parametrize("seconds", [-1.0, math.nan])
def test_time_does_not_go_back(seconds: float) -> None:
    """A negative advance is an error and changes nothing."""
    clock = FakeClock(monotonic=5.0)
    with pytest.raises(ValueError, match="go back"):
        clock.advance(seconds)
    assert clock.monotonic() == 5.0


def test_a_hang_is_reported() -> None:
    """Waiting for an alarm that nobody sets ends in an error that counts."""
    with pytest.raises(TimeoutError, match="0 of 2 alarms"):
        FakeClock().wait_for_alarms(2, patience=0)


def test_cancelled_alarms_do_not_pile_up() -> None:
    """A hundred thousand timeouts that were not needed leave room and order as they were."""
    agenda, called = Agenda(), list[float]()
    for deadline in (3.0, 1.0, 2.0):
        agenda.add(Alarm(deadline, lambda deadline=deadline: called.append(deadline), agenda.cancel))  # type: ignore[misc]
    for i in range(100_000):
        alarm = Alarm(FAR + i, lambda: None, agenda.cancel)
        agenda.add(alarm)
        alarm.cancel()
        assert agenda.size <= 2 * SLACK + 8
    assert len(agenda) == 3
    while fn := agenda.take_due(10.0):
        fn()
    assert called == [1.0, 2.0, 3.0]


def test_a_deadline_that_is_no_number_is_refused() -> None:
    """NaN would have no place in any order."""
    with pytest.raises(ValueError, match="NaN"):
        FakeClock().call_at(math.nan, lambda: None)


def test_the_real_clock_measures_and_calls() -> None:
    """The machine's clock gives what is left of a deadline and makes its calls in another thread."""
    called, threads = threading.Event(), list[threading.Thread]()

    def call() -> None:
        threads.append(threading.current_thread())
        called.set()

    assert SYSTEM_CLOCK.timeout_for(time.monotonic() - 1) == 0.0
    left = SYSTEM_CLOCK.timeout_for(SYSTEM_CLOCK.monotonic() + FAR)
    assert left is not None
    assert left > FAR / 2
    assert SYSTEM_CLOCK.wall() > FAR
    SYSTEM_CLOCK.call_at(SYSTEM_CLOCK.monotonic(), call)
    assert called.wait(PATIENCE)
    assert threads != [threading.current_thread()]


def fire(alarms: AlarmThread) -> threading.Thread:
    """Let one alarm go off now, and give the thread in which it did."""
    fired, threads = threading.Event(), list[threading.Thread]()

    def call() -> None:
        threads.append(threading.current_thread())
        fired.set()

    alarms.call_at(time.monotonic(), call)
    assert fired.wait(PATIENCE)
    return threads[0]


def test_the_thread_is_there_only_while_something_is_due() -> None:
    """No thread before the first alarm and none after the last; a later alarm gets a new one."""
    alarms = AlarmThread()
    assert not alarms.running
    first = fire(alarms)
    first.join(PATIENCE)
    assert not alarms.running
    second = fire(alarms)
    second.join(PATIENCE)
    assert first is not second
    assert not alarms.running


@pytest.mark.parametrize("far", [FAR, 2.0**63 / 1e9, 2.0**80, math.inf])
def test_an_earlier_alarm_overtakes(far: float) -> None:
    """A thread asleep until a far deadline, however far, is told of a nearer one; then it ends."""
    alarms = AlarmThread()
    later = alarms.call_at(time.monotonic() + far, lambda: None)
    thread = fire(alarms)
    assert alarms.running
    later.cancel()
    assert fire(alarms) is thread
    thread.join(PATIENCE)
    assert not alarms.running


class Telling(threading.Condition):
    """Says when the thread goes to sleep, and counts how often it is told to wake up."""

    def __init__(self) -> None:
        super().__init__()
        self.asleep = threading.Semaphore(0)
        self.notified = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.asleep.release()  # the lock is held until the sleep has begun
        return super().wait(timeout)

    def notify(self, n: int = 1) -> None:
        self.notified += 1
        super().notify(n)


def test_timeouts_that_are_not_needed_wake_nobody() -> None:
    """Behaviour 15: setting and cancelling alarms costs no wake-up of the thread while it sleeps for an earlier one."""
    alarms, condition = AlarmThread(), Telling()
    alarms._condition = condition
    later = alarms.call_at(time.monotonic() + FAR, lambda: None)
    assert condition.asleep.acquire(timeout=PATIENCE)
    for i in range(1000):
        alarms.call_at(time.monotonic() + FAR + i, lambda: None).cancel()
    assert (condition.notified, alarms.wakeups, len(alarms)) == (0, 0, 1)
    later.cancel()
    fire(alarms).join(PATIENCE)
    assert (condition.notified, alarms.wakeups) == (1, 1)


def test_one_failing_call_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in an alarm is reported like any thread's, and the clock goes on."""
    seen = list[object]()
    monkeypatch.setattr(threading, "excepthook", lambda args: seen.append(args.exc_type))

    def fail() -> None:
        raise LookupError

    alarms = AlarmThread()
    keep = alarms.call_at(time.monotonic() + FAR, lambda: None)
    alarms.call_at(time.monotonic() - 1, fail)
    thread = fire(alarms)
    assert seen == [LookupError]
    keep.cancel()
    fire(alarms)
    thread.join(PATIENCE)


ROOT = Path(__file__).parents[2]
FORK = """
import os, threading, time
from runtime.exec.clock import ALARMS, SYSTEM_CLOCK
pending = threading.Event()
SYSTEM_CLOCK.call_at(time.monotonic() + 1e9, lambda: None)
SYSTEM_CLOCK.call_at(time.monotonic() + 0.05, pending.set)
child = os.fork()
if child == 0:
    fresh = threading.Event()
    SYSTEM_CLOCK.call_at(time.monotonic(), fresh.set)
    ok = pending.wait(60) and fresh.wait(60) and ALARMS.running
    os._exit(0 if ok else 1)
raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_alarms_hold_in_a_forked_child() -> None:
    """The child of a fork has no alarm thread; its alarms, old and new, go off all the same."""
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], cwd=ROOT, check=False).returncode == 0
