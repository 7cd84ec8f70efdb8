"""Waits: every source wakes, none is lost, and nothing wakes without one. Time is fake, sleeps are counted."""

from __future__ import annotations

import asyncio
import io
import math
import os
import selectors
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from runtime.exec.clock import FakeClock
from runtime.exec.interrupt import Interrupt
from runtime.exec.wait import LONGEST, Fd, Notifier, ThreadDriver, WaitSet, Waker, backoff
from tests.support.waits import PATIENCE, Inbox, Sleeps, in_thread


def wait(driver: ThreadDriver, waits: WaitSet, inbox: Inbox | None = None) -> None:
    inbox = inbox or Inbox()
    driver.wait(waits, inbox.waker, inbox.word)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    ends = socket.socketpair()
    with ends[0], ends[1]:
        yield ends


# Descriptors


def test_a_descriptor_that_is_ready_ends_the_wait(pair: tuple[socket.socket, socket.socket]) -> None:
    """Readable, writable, and both at once for one socket; one of several is enough."""
    ours, theirs = pair
    driver = ThreadDriver()
    theirs.send(b"x")
    wait(driver, WaitSet.of(readable=ours))
    wait(driver, WaitSet.of(writable=ours.fileno()))
    wait(driver, WaitSet.of(readable=[theirs, ours]))
    wait(driver, WaitSet.of(readable=[theirs], writable=[theirs]))
    assert driver.wakeups == 4


def test_data_ends_a_sleep_at_once(pipe: tuple[int, int]) -> None:
    """Behaviour 46: a wait asleep on a pipe is ended by the data, with one wake-up and no interval."""
    sleeps = Sleeps()
    driver = ThreadDriver(FakeClock(), sleeps.selector)
    waiting = in_thread(lambda: wait(driver, WaitSet.of(readable=pipe[0])))
    sleeps.await_sleepers()
    os.write(pipe[1], b"x")
    waiting.result(PATIENCE)
    assert sleeps.timeouts == [None]
    assert driver.wakeups == 1


def test_a_closed_writer_ends_the_sleep(pipe: tuple[int, int]) -> None:
    """Behaviour 41: end of file is something to be read."""
    driver = ThreadDriver()
    os.close(pipe[1])
    wait(driver, WaitSet.of(readable=pipe[0]))


def test_files_are_always_ready() -> None:
    """Regular files and /dev/null, which epoll refuses, count as ready for reading and writing."""
    driver = ThreadDriver()
    with tempfile.TemporaryFile() as file, open(os.devnull, "r+b") as null:
        wait(driver, WaitSet.of(readable=file, writable=file))
        wait(driver, WaitSet.of(readable=null, writable=null))


@contextmanager
def closed_number() -> Iterator[Fd]:
    ends = os.pipe()
    waits = ends[0]
    os.close(ends[0])
    os.close(ends[1])
    yield waits


@contextmanager
def closed_socket() -> Iterator[Fd]:
    with socket.socket() as closed:
        pass
    yield closed


@contextmanager
def closed_file() -> Iterator[Fd]:
    with open(os.devnull) as closed:
        pass
    yield closed


@contextmanager
def impossible_number() -> Iterator[Fd]:
    yield 1 << 40


@pytest.mark.parametrize("bad", [closed_number, closed_socket, closed_file, impossible_number])
@pytest.mark.parametrize("selector", [selectors.PollSelector, selectors.SelectSelector])
def test_a_closed_descriptor_counts_as_ready(
    bad: Callable[[], AbstractContextManager[Fd]], selector: type[selectors.BaseSelector], pipe: tuple[int, int]
) -> None:
    """The attempt is to see the EBADF: a wait for a closed descriptor ends, also among others, with poll and select."""
    driver = ThreadDriver(selector=selector)
    wait(driver, WaitSet.of(writable=pipe[1]))  # the driver has its own descriptor before the number becomes free
    with bad() as source:
        wait(driver, WaitSet.of(readable=[pipe[0], source]))
        wait(driver, WaitSet.of(writable=source))
    os.write(pipe[1], b"x")
    wait(driver, WaitSet.of(readable=pipe[0]))


def test_the_bell_is_nobodys_descriptor() -> None:
    """A stale number that has become the driver's own descriptor ends the wait instead of confusing it."""
    driver = ThreadDriver()
    with tempfile.TemporaryFile() as file:
        wait(driver, WaitSet.of(readable=file))
    wait(driver, WaitSet.of(readable=bell_of(driver)))


@pytest.mark.parametrize("source", ["5", object(), io.BytesIO(), 1.5])
def test_what_has_no_descriptor_is_refused(source: Any) -> None:
    """A TypeError names what can't be waited for, before anything happens."""
    with pytest.raises(TypeError, match="no descriptor"):
        WaitSet.of(readable=source)


# Notifiers and futures


def test_a_notification_before_the_sleep_is_not_lost() -> None:
    """What is notified between the attempt and the wait ends the wait before it sleeps."""
    driver, notifier = ThreadDriver(), Notifier()
    waits = WaitSet.of(wake=notifier)
    assert not waits.signalled
    notifier.notify()
    wait(driver, waits)
    assert driver.wakeups == 0


def test_a_notification_before_the_attempt_is_known() -> None:
    """A wait set made fresh before the next attempt isn't ended by what was notified before."""
    notifier = Notifier()
    waits = WaitSet.of(wake=notifier, label="pop")
    notifier.notify()
    assert waits.signalled
    again = waits.fresh()
    assert not again.signalled
    assert again.label == "pop"
    assert WaitSet().fresh() == WaitSet()


class Reached(Waker):
    """Does something at the moment at which a wait has armed its waker."""

    def __init__(self, reached: Callable[[], None]) -> None:
        super().__init__()
        self._reached = reached

    def arm(self, ring: Callable[[], None]) -> None:
        super().arm(ring)
        self._reached()


def test_what_comes_while_the_waker_is_armed_is_not_lost() -> None:
    """Between arming and looking, a word that is set, or a notification, is seen by looking."""
    driver, notifier = ThreadDriver(), Notifier()
    wait(driver, WaitSet.of(wake=notifier), Inbox(waker=Reached(notifier.notify)))
    inbox = Inbox()
    inbox.waker = Reached(inbox.wake)
    wait(driver, WaitSet.of(wake=notifier), inbox)
    assert driver.wakeups == 0
    with selectors.PollSelector() as selector:
        selector.register(bell_of(driver), selectors.EVENT_READ)
        assert selector.select(0) == []  # and no stale ring is left for the next wait


def test_a_wake_up_with_nothing_behind_it_ends_no_wait() -> None:
    """Only the states of the sources count: a spurious or late ring costs one look."""
    clock, sleeps, inbox = FakeClock(), Sleeps(), Inbox()
    driver = ThreadDriver(clock, sleeps.selector)
    waiting = in_thread(lambda: wait(driver, WaitSet.of(deadline=clock.monotonic() + 1), inbox))
    sleeps.await_sleepers()
    inbox.waker.wake()
    sleeps.await_sleepers()
    assert (driver.wakeups, waiting.done()) == (1, False)
    clock.advance(1)
    waiting.result(PATIENCE)


def test_a_notifier_wakes_all_who_wait() -> None:
    """Behaviour 15: ten waiters are woken by one notification, each once."""
    sleeps = Sleeps()
    driver, notifier = ThreadDriver(FakeClock(), sleeps.selector), Notifier()
    waiting = [in_thread(lambda: wait(driver, WaitSet.of(wake=notifier))) for _ in range(10)]
    sleeps.await_sleepers(10)
    assert notifier.waiters == 10
    notifier.notify()
    for each in waiting:
        each.result(PATIENCE)
    assert driver.wakeups == 10
    assert notifier.waiters == 0


def test_a_future_wakes() -> None:
    """A future that is done ends the wait without a sleep, one that gets done ends the sleep, cancelled ones too."""
    sleeps = Sleeps()
    driver = ThreadDriver(FakeClock(), sleeps.selector)
    finishes: list[Callable[[Future[int]], object]] = [lambda future: future.set_result(1), Future.cancel]
    for finish in finishes:
        future: Future[int] = Future()
        other: Future[int] = Future()
        waiting = in_thread(lambda future=future, other=other: wait(driver, WaitSet.of(wake=[other, future])))  # type: ignore[misc]
        sleeps.await_sleepers()
        finish(future)
        waiting.result(PATIENCE)
        before = driver.wakeups
        wait(driver, WaitSet.of(wake=future))
        assert driver.wakeups == before


def test_a_future_waited_for_again_and_again_keeps_one_callback() -> None:
    """A wait that is restarted a thousand times leaves nothing behind in the future."""
    driver, future = ThreadDriver(), Future[int]()

    waits, word = WaitSet.of(wake=future), [0]
    for _ in range(1000):
        word[0] = 0
        driver.wait(waits, Reached(lambda: word.__setitem__(0, 1)), word)
    assert len(future._done_callbacks) == 1  # type: ignore[attr-defined]


def test_what_cannot_wake_is_refused() -> None:
    """An asyncio future belongs to its loop and an event to nobody: TypeError, before anything happens."""
    loop = asyncio.new_event_loop()
    try:
        for source in (loop.create_future(), threading.Event()):
            with pytest.raises(TypeError, match="neither a Notifier nor"):
                WaitSet.of(wake=source)  # type: ignore[arg-type]
    finally:
        loop.close()


# Interrupts


def test_an_interrupt_ends_the_sleep() -> None:
    """An execution blocked in a wait is woken by the setting of its interrupt, and by no other's."""
    sleeps = Sleeps()
    driver = ThreadDriver(FakeClock(), sleeps.selector)
    mine, other, interrupt = Inbox(), Inbox(), Interrupt()
    attachment = interrupt.attach(mine)
    waiting = in_thread(lambda: wait(driver, WaitSet(), mine))
    sleeping = in_thread(lambda: wait(driver, WaitSet(), other))
    sleeps.await_sleepers(2)
    interrupt.set()
    waiting.result(PATIENCE)
    assert attachment.poll()
    assert not sleeping.done()
    assert driver.wakeups == 1
    other.wake()
    sleeping.result(PATIENCE)


def test_a_word_that_is_set_lets_nobody_sleep() -> None:
    """A request that stands when the wait begins ends it before it costs a descriptor."""
    made = list[int]()

    def selector() -> selectors.BaseSelector:
        made.append(1)
        return selectors.PollSelector()

    driver = ThreadDriver(selector=selector)
    wait(driver, WaitSet(), Inbox(word=[1]))
    wait(driver, WaitSet.of(deadline=0.0))
    assert made == []
    assert driver.wakeups == 0


def test_an_interrupt_after_the_wait_harms_nobody() -> None:
    """Behaviour 7: a waker whose wait is over rings nothing, and the thread's next wait sleeps as it should."""
    sleeps = Sleeps()
    clock = FakeClock()
    driver, ended = ThreadDriver(clock, sleeps.selector), Inbox()

    def both() -> None:
        wait(driver, WaitSet.of(deadline=clock.monotonic() + 1), ended)
        ended.wake()
        wait(driver, WaitSet.of(deadline=clock.monotonic() + 1))

    waiting = in_thread(both)
    for _ in range(2):
        clock.wait_for_alarms()
        sleeps.await_sleepers()
        clock.advance(1)
    waiting.result(PATIENCE)
    assert driver.wakeups == 2


# Time


def test_idle_waits_cost_nothing() -> None:
    """Behaviour 15: a day passes over twenty idle waits, with and without deadline, and nobody wakes."""
    sleeps, clock = Sleeps(), FakeClock()
    driver, inboxes = ThreadDriver(clock, sleeps.selector), [Inbox() for _ in range(20)]
    deadlines = [None if i % 2 else clock.monotonic() + 1e6 for i in range(20)]
    waiting = [
        in_thread(lambda i=i: wait(driver, WaitSet.of(deadline=deadlines[i]), inboxes[i]))  # type: ignore[misc]
        for i in range(20)
    ]
    sleeps.await_sleepers(20)
    clock.advance(86_400)
    assert driver.wakeups == 0
    assert sleeps.timeouts == [None] * 20
    for inbox in inboxes:
        inbox.wake()
    for each in waiting:
        each.result(PATIENCE)
    assert driver.wakeups == 20
    assert clock.alarms == 0


def test_interruptions_do_not_prolong_a_wait() -> None:
    """Behaviour 36: interrupted and resumed 20 times over 200 ms, a wait of 300 ms takes 300 ms."""
    clock, sleeps = FakeClock(monotonic=0.0), Sleeps()
    driver, waits = ThreadDriver(clock, sleeps.selector), WaitSet.of(deadline=0.3)
    for _ in range(20):
        inbox = Inbox()
        waiting = in_thread(lambda inbox=inbox: wait(driver, waits, inbox))  # type: ignore[misc]
        sleeps.await_sleepers()
        clock.advance(0.01)
        inbox.wake()
        waiting.result(PATIENCE)
    last = in_thread(lambda: wait(driver, waits))
    sleeps.await_sleepers()
    clock.advance(0.0999)
    assert (driver.wakeups, last.done()) == (20, False)
    clock.advance(0.0002)
    last.result(PATIENCE)
    assert driver.wakeups == 21


def test_a_deadline_ends_the_wait_neither_early_nor_late() -> None:
    """The sleeper is woken by the advance that reaches its deadline, and not by one short of it."""
    clock, sleeps = FakeClock(monotonic=0.0), Sleeps()
    driver = ThreadDriver(clock, sleeps.selector)
    waiting = in_thread(lambda: wait(driver, WaitSet.of(deadline=0.3)))
    sleeps.await_sleepers()
    clock.advance(0.299)
    assert (driver.wakeups, waiting.done()) == (0, False)
    clock.step_wall(3600)  # behaviour 37: the wall clock doesn't matter
    assert (driver.wakeups, waiting.done()) == (0, False)
    clock.advance(0.002)
    waiting.result(PATIENCE)
    assert driver.wakeups == 1


@pytest.mark.parametrize("deadline", [2.0**63 / 1e9, 2.0**200, math.inf])
def test_a_deadline_beyond_all_bounds(deadline: float) -> None:
    """Behaviour 38: 2^63-1 ns and more is waited for without overflow and without spinning, and is interruptible."""
    sleeps = Sleeps(fruitless=3)
    driver, inbox = ThreadDriver(selector=sleeps.selector), Inbox()
    waiting = in_thread(lambda: wait(driver, WaitSet.of(deadline=deadline), inbox))
    sleeps.await_sleepers(4)  # three sleeps of the longest kind have passed
    inbox.wake()
    waiting.result(PATIENCE)
    assert sleeps.timeouts == [None if deadline == math.inf else LONGEST] * 4


def test_the_real_clock_ends_a_wait() -> None:
    """With the machine's clock the selector's own timeout does it, in one sleep: no thread, no slices."""
    sleeps = Sleeps()
    driver = ThreadDriver(selector=sleeps.selector)
    deadline = driver.clock.monotonic() + 0.005
    wait(driver, WaitSet.of(deadline=deadline))
    assert driver.clock.monotonic() >= deadline
    assert all(timeout is not None and 0 < timeout <= 0.005 for timeout in sleeps.timeouts)


def test_a_deadline_that_is_no_number_is_refused() -> None:
    """NaN is neither reached nor not reached."""
    with pytest.raises(ValueError, match="NaN"):
        WaitSet.of(deadline=math.nan)


def test_a_bare_predicate_is_tried_ever_more_rarely() -> None:
    """1 ms, doubled, 50 ms at most, however long it lasts."""
    assert [backoff(n) for n in range(8)] == [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.05, 0.05]
    assert backoff(10**9) == 0.05
    assert WaitSet.of(deadline=1.0).empty
    assert not WaitSet.of(wake=Notifier()).empty


# Descriptors of the driver's own


def bell_of(driver: ThreadDriver) -> int:
    """The number of the calling thread's wake-up descriptor."""
    place = driver._local.place
    assert place is not None
    return place.bell.fileno()


def is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def test_one_descriptor_a_thread_and_none_after_it() -> None:
    """The wake-up descriptor is made once, isn't inherited, and goes with its thread or when the driver is closed."""
    driver, notifier = ThreadDriver(), Notifier()
    with open(os.devnull) as null:

        def twice() -> tuple[int, int]:
            wait(driver, WaitSet.of(readable=null, wake=notifier))
            first = bell_of(driver)
            wait(driver, WaitSet.of(readable=null))
            assert not os.get_inheritable(first)
            return first, bell_of(driver)

        here = twice()
        assert here[0] == here[1]
        thread = threading.Thread(target=lambda: numbers.append(twice()))
        numbers = list[tuple[int, int]]()
        thread.start()
        thread.join(PATIENCE)
        assert numbers[0][0] == numbers[0][1] != here[0]
        assert not is_open(numbers[0][0])
        assert is_open(here[0])
        driver.close()
        assert not is_open(here[0])
        wait(driver, WaitSet.of(readable=null))


def test_a_late_ringer_rings_no_stranger() -> None:
    """A thread that has begun to wake a wait keeps the descriptor open: its number can't become somebody's file."""
    driver = ThreadDriver()

    class Kept(Waker):
        def arm(self, ring: Callable[[], None]) -> None:
            super().arm(ring)
            rings.append(ring)

    rings = list[Callable[[], None]]()
    with open(os.devnull) as null:
        driver.wait(WaitSet.of(readable=null), Kept(), [0])
    number = bell_of(driver)
    driver.close()
    assert is_open(number)
    for _ in range(10_000):  # more than any buffer holds
        rings[0]()
    rings.clear()
    assert not is_open(number)


# In words


def test_a_wait_explains_itself(pipe: tuple[int, int]) -> None:
    """`explain` names what is waited for, where it came from, and the time left."""
    file = os.fdopen(os.dup(pipe[0]), "rb")
    with file:
        number = file.fileno()
        waits = WaitSet.of(readable=[pipe[0], file], writable=pipe[1], deadline=12.5, label="recv")
        text = waits.explain(now=10.0)
    assert text == (
        f"recv: waits for descriptor {pipe[0]} to be readable, descriptor {number} of {file!r} to be readable, "
        f"descriptor {pipe[1]} to be writable, a deadline in 2.500 s"
    )
    assert WaitSet.of(deadline=1.0).explain() == "waits for a deadline"
    assert WaitSet().explain() == "waits for nothing but an interrupt"
    assert WaitSet.of(readable=file).explain().startswith("waits for closed descriptor of")
    assert "Notifier" in WaitSet.of(wake=Notifier()).explain()
