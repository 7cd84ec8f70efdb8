"""Waits in the main thread: signals are handled at once, also at the last moment, and nobody else's go astray."""

from __future__ import annotations

import ctypes
import operator
import os
import select
import selectors
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from runtime.exec.bell import Bell, EventBell, PairBell, open_bell
from runtime.exec.clock import FakeClock
from runtime.exec.interrupt import Interrupt
from runtime.exec.wait import Notifier, ThreadDriver, WaitSet
from tests.support.waits import PATIENCE, Inbox, Sleeps, in_thread

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or threading.current_thread() is not threading.main_thread(),
    reason="signals are a matter of POSIX and of the main thread",
)


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], None]], None]]:
    """Installs what SIGUSR1 does, for the length of a test."""
    before = signal.getsignal(signal.SIGUSR1)

    def install(fn: Callable[[], None]) -> None:
        signal.signal(signal.SIGUSR1, lambda number, frame: fn())

    yield install
    signal.signal(signal.SIGUSR1, before)


def strike() -> None:
    """Send SIGUSR1 to the main thread."""
    main = threading.main_thread().ident
    assert main is not None
    signal.pthread_kill(main, signal.SIGUSR1)


def test_a_signal_does_not_end_a_wait(on_signal: Callable[[Callable[[], None]], None]) -> None:
    """Behaviour 49: the handler runs while the wait lasts, and the wait goes on."""
    sleeps, handled, notifier, inbox = Sleeps(), threading.Event(), Notifier(), Inbox()
    driver = ThreadDriver(FakeClock(), sleeps.selector, signals=True)
    on_signal(handled.set)
    order = list[str]()

    def outside() -> None:
        sleeps.await_sleepers()
        strike()
        assert handled.wait(PATIENCE)
        order.append("handled")
        notifier.notify()

    helper = in_thread(outside)
    driver.wait(WaitSet.of(wake=notifier), inbox.waker, inbox.word)
    order.append("woken")
    helper.result(PATIENCE)
    assert order == ["handled", "woken"]


def test_an_interrupt_from_a_handler_ends_the_wait(on_signal: Callable[[Callable[[], None]], None]) -> None:
    """Ctrl-C, also while blocked: what a signal handler sets ends the wait that it interrupted."""
    sleeps, inbox, interrupt = Sleeps(), Inbox(), Interrupt()
    driver = ThreadDriver(FakeClock(), sleeps.selector, signals=True)
    attachment = interrupt.attach(inbox)
    on_signal(interrupt.set)

    def outside() -> None:
        sleeps.await_sleepers()
        strike()

    helper = in_thread(outside)
    driver.wait(WaitSet(), inbox.waker, inbox.word)
    helper.result(PATIENCE)
    assert attachment.poll()


class LastMoment(selectors.PollSelector):
    """Raises a signal after the last bytecode before the system call: `map` runs both from C."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        strike_in_c = partial(ctypes.CDLL(None)["raise"], int(signal.SIGUSR1))
        poll = partial(self._selector.poll, PATIENCE * 1000)  # type: ignore[attr-defined]
        events = list(map(operator.call, (strike_in_c, poll)))[1]
        self.polled = bool(events)
        return super().select(0)


def test_a_signal_at_the_last_moment_is_not_slept_through(on_signal: Callable[[Callable[[], None]], None]) -> None:
    """A signal that comes between the last bytecode and the system call ends the sleep all the same."""
    selector, inbox, interrupt = LastMoment(), Inbox(), Interrupt()
    interrupt.attach(inbox)
    on_signal(interrupt.set)
    ThreadDriver(FakeClock(), lambda: selector, signals=True).wait(WaitSet(), inbox.waker, inbox.word)
    assert selector.polled
    assert interrupt.is_set


def test_a_handler_may_raise(on_signal: Callable[[Callable[[], None]], None]) -> None:
    """An exception of a handler leaves the wait, and leaves the driver as it was."""

    class Stop(BaseException):
        pass

    def stop() -> None:
        raise Stop

    sleeps, notifier, inbox = Sleeps(), Notifier(), Inbox()
    clock = FakeClock()
    driver = ThreadDriver(clock, sleeps.selector, signals=True)
    on_signal(stop)

    def outside() -> None:
        sleeps.await_sleepers()
        strike()

    helper = in_thread(outside)
    with pytest.raises(Stop):
        driver.wait(WaitSet.of(wake=notifier, deadline=clock.monotonic() + 1), inbox.waker, inbox.word)
    helper.result(PATIENCE)
    assert (notifier.waiters, clock.alarms) == (0, 0)
    assert signal.set_wakeup_fd(-1) == -1
    with open(os.devnull) as null:
        driver.wait(WaitSet.of(readable=null), inbox.waker, inbox.word)


def test_a_handler_may_wait(on_signal: Callable[[Callable[[], None]], None]) -> None:
    """A handler that waits in the midst of a wait has its own place, and takes nothing from the outer one."""
    sleeps, outer, inner = Sleeps(), Notifier(), Notifier()
    driver, inbox, ended = ThreadDriver(FakeClock(), sleeps.selector, signals=True), Inbox(), list[str]()
    with open(os.devnull) as null:
        driver.wait(WaitSet.of(readable=null), inbox.waker, inbox.word)
    sleeps.await_sleepers()

    def handle() -> None:
        other = Inbox()
        driver.wait(WaitSet.of(wake=inner), other.waker, other.word)
        ended.append("inner")

    on_signal(handle)

    def outside() -> None:
        sleeps.await_sleepers()
        strike()
        sleeps.await_sleepers()
        outer.notify()  # while the inner one sleeps
        inner.notify()

    helper = in_thread(outside)
    driver.wait(WaitSet.of(wake=outer), inbox.waker, inbox.word)
    ended.append("outer")
    helper.result(PATIENCE)
    assert ended == ["inner", "outer"]


def test_who_listened_for_signals_before_still_hears_them(on_signal: Callable[[Callable[[], None]], None]) -> None:
    """An event loop's own wake-up descriptor is put back, and gets the signals that came during the wait."""
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        near.settimeout(PATIENCE)
        before = signal.set_wakeup_fd(far.fileno())
        try:
            test_an_interrupt_from_a_handler_ends_the_wait(on_signal)
            assert signal.set_wakeup_fd(far.fileno()) == far.fileno()
        finally:
            signal.set_wakeup_fd(before)
        assert near.recv(16) == bytes([signal.SIGUSR1])


def test_bells_ring_once_and_stay_rung() -> None:
    """Both kinds of bell: rung any number of times, even when full, quieted once."""
    bells: list[Bell] = [PairBell(), EventBell()] if hasattr(os, "eventfd") else [PairBell()]
    for bell in bells:
        selector = selectors.PollSelector()
        selector.register(bell.fileno(), selectors.EVENT_READ)
        assert selector.select(0) == []
        if isinstance(bell, EventBell):
            os.eventfd_write(bell.fileno(), 2**64 - 2)
        for _ in range(10_000):
            bell.ring()
        assert len(selector.select(0)) == 1
        bell.quiet()
        bell.quiet()
        assert selector.select(0) == []
        bell.listen()
        bell.rest()


def test_a_pair_where_no_signal_comes() -> None:
    """The socket pair serves any thread, and where signals can't be heard it does without them."""

    def serve() -> bool:
        bell = PairBell()
        bell.listen()
        bell.ring()
        bell.rest()
        return True

    def refuse(*_: object, **__: object) -> int:
        raise ValueError("set_wakeup_fd only works in main thread of the main interpreter")

    assert in_thread(serve).result(PATIENCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signal, "set_wakeup_fd", refuse)
        assert serve()


def has_room(end: socket.socket) -> bool:
    return bool(select.select([], [end], [], 0)[1])


def test_a_listener_that_is_full_takes_no_harm(on_signal: Callable[[Callable[[], None]], None]) -> None:
    """Where the one who listened before can't take a signal any more, it is dropped, as Python itself would."""
    near, far = socket.socketpair()
    with near, far:
        far.setblocking(False)
        while has_room(far):
            far.send(bytes(65_536))
        before = signal.set_wakeup_fd(far.fileno(), warn_on_full_buffer=False)
        try:
            test_an_interrupt_from_a_handler_ends_the_wait(on_signal)
        finally:
            signal.set_wakeup_fd(before)


def test_a_thread_without_signals_needs_one_descriptor() -> None:
    """Where there is an eventfd, only the main thread pays for a pair, and only where signals are asked for."""
    kind = EventBell if hasattr(os, "eventfd") else PairBell
    assert isinstance(open_bell(signals=True), PairBell)
    assert isinstance(open_bell(), kind)
    assert isinstance(in_thread(lambda: open_bell(signals=True)).result(PATIENCE), kind)


ROOT = Path(__file__).parents[2]
FORK = """
import os
from runtime.exec.wait import ThreadDriver, Waker, WaitSet
driver, ends = ThreadDriver(signals=True), os.pipe()
os.write(ends[1], b"x")
def bell():
    driver.wait(WaitSet.of(readable=ends[0]), Waker(), [0])
    return os.fstat(driver._local.place.bell.fileno()).st_ino
mine = bell()
child = os.fork()
if child == 0:
    os._exit(0 if bell() != mine else 1)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
raise SystemExit(status if bell() == mine else 2)
"""


def test_a_forked_child_has_its_own_bell() -> None:
    """Parent and child don't ring each other."""
    assert subprocess.run([sys.executable, "-c", FORK], cwd=ROOT, check=False).returncode == 0
