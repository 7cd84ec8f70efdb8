"""Interrupts and exits, of what computes and of what waits: set by other threads, reported at check points."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from runtime import (
    Every,
    Exited,
    FakeClock,
    HostFrame,
    Interrupt,
    Interrupted,
    NestedSuspension,
    Notifier,
    Outcome,
    Returned,
    Status,
    Suspended,
    ThreadDriver,
    TimedOut,
    Unfinished,
    Waiting,
    WaitSet,
    control,
    handle_restart,
    handle_restart_once,
    run_through,
)
from runtime.exec.wait import Waker
from tests.support.guests import Guest
from tests.support.hosts import Call, Host, Results, host, imports
from tests.support.waits import PATIENCE, Sleeps, in_thread

#: Calls `started`, then computes until byte 0 of the memory is set; the number of rounds is in `rounds`.
SPINNING = """
  (import "h" "started" (func $started))
  (memory (export "memory") 1)
  (global $rounds (export "rounds") (mut i32) (i32.const 0))
  (func (export "f") (result i32)
    (call $started)
    (loop
      (global.set $rounds (i32.add (global.get $rounds) (i32.const 1)))
      (br_if 0 (i32.eqz (i32.load8_u (i32.const 0)))))
    (i32.const 42))
"""
#: Computes for ever, counting.
COUNTING = """
  (global $rounds (export "rounds") (mut i32) (i32.const 0))
  (func (export "f") (loop (global.set $rounds (i32.add (global.get $rounds) (i32.const 1))) (br 0)))
"""
#: Calls `wait` and gives its result.
WAITING = '(import "h" "wait" (func $wait (result i32))) (func (export "f") (result i32) (call $wait))'


def spinning() -> tuple[Guest, threading.Event]:
    """A guest that computes, and what tells that it does."""
    started = threading.Event()

    @host("h", "started", "")
    def tell(call: Call) -> Results:
        started.set()
        return ()

    return Guest(SPINNING, imports(tell)), started


def until_told(box: list[int], notifier: Notifier) -> Host:
    """A host function that waits until there is something in the box."""

    @host("h", "wait", "-> i32")
    def wait(call: Call) -> Results:
        return (call.wait(lambda: box[0] if box else None, lambda: WaitSet.of(wake=notifier)),)

    return wait


# Computing


def test_a_computing_guest_is_interrupted_from_another_thread() -> None:
    """Behaviours 2 and 3: set once from another thread, the interrupt suspends the loop once; resumed, the guest comes
    to the result it would have come to."""
    guest, started = spinning()
    interrupt = Interrupt()
    ctx = guest.start("f")
    running = in_thread(lambda: control.run(ctx, interrupt))
    assert started.wait(PATIENCE)
    interrupt.set("enough")
    assert running.result(PATIENCE) == Suspended(Status.ETOYWASMUSERINTERRUPT, Interrupted(interrupt))
    assert interrupt.reason == "enough"
    guest.memory.write(0, b"\1")
    assert control.run(ctx, interrupt) == Returned((42,))
    assert guest.store.counters.suspensions == {"Interrupted": 1}


def test_the_same_setting_is_reported_once_to_each() -> None:
    """Behaviour 3: one interrupt stops all executions that have it, each once; a new setting stops them again, also
    if it comes while they are suspended."""
    interrupt = Interrupt()
    guests = [spinning() for _ in range(3)]
    contexts = [guest.start("f") for guest, _ in guests]
    running = [in_thread(lambda ctx=ctx: control.run(ctx, interrupt)) for ctx in contexts]  # type: ignore[misc]
    for _, started in guests:
        assert started.wait(PATIENCE)
    interrupt.set()
    suspended = Suspended(Status.ETOYWASMUSERINTERRUPT, Interrupted(interrupt))
    assert [result.result(PATIENCE) for result in running] == [suspended] * 3
    interrupt.set()
    assert [control.run(ctx, interrupt) for ctx in contexts] == [suspended] * 3
    for (guest, _), ctx in zip(guests, contexts, strict=True):
        guest.memory.write(0, b"\1")
        assert control.run(ctx, interrupt) == Returned((42,))


@pytest.mark.parametrize("delay", [0, 1, 4])
def test_the_level_form_reports_one_of_delay_and_one_polls(delay: int) -> None:
    """Behaviour 5: while it stays set, exactly one of D + 1 polls suspends; every poll here is one round."""
    guest = Guest(COUNTING)
    interrupt = Interrupt(level=True, delay=delay)
    interrupt.set()
    ctx = guest.start("f")
    rounds: list[int] = []
    for _ in range(4):
        assert isinstance(control.run(ctx, interrupt), Suspended)
        rounds.append(guest.get("rounds"))
    # The first poll of all is at the function's entry.
    assert rounds == [delay + (delay + 1) * i for i in range(4)]


def test_a_level_interrupt_that_is_cleared_stops_reporting() -> None:
    """The level form is a state: cleared, it lets the guest run to its end."""
    guest, _ = spinning()
    interrupt = Interrupt(level=True)
    interrupt.set()
    ctx = guest.start("f")
    for _ in range(3):
        assert isinstance(control.run(ctx, interrupt), Suspended)
    interrupt.clear()
    guest.memory.write(0, b"\1")
    assert control.run(ctx, interrupt) == Returned((42,))


# Waiting


@pytest.mark.parametrize("in_place", [True, False])
def test_a_level_interrupt_that_stays_set_does_not_stop_a_sleeper(in_place: bool) -> None:
    """Behaviour 4: the guest sleeps 10 ms, the embedder keeps resuming under an interrupt that stays set: each resume
    makes progress, and the sleep comes to its end. toywasm never gets there."""
    clock = FakeClock()

    @host("h", "wait", "-> i32")
    def sleep(call: Call) -> Results:
        until = call.once(lambda: clock.monotonic() + 0.010)
        return (call.wait(lambda: 1 if clock.monotonic() >= until else None, lambda: WaitSet.of(deadline=until)),)

    driver = ThreadDriver(clock) if in_place else Elsewhere(clock)
    guest = Guest(WAITING, imports(sleep), clock=clock, driver=driver)
    interrupt = Interrupt(level=True)
    interrupt.set()
    ctx = guest.start("f")
    outcome: Outcome = run_through(ctx, interrupt)
    resumes = 0
    while isinstance(outcome, Suspended):
        assert outcome.reason == Interrupted(interrupt)
        clock.advance(0.001)
        outcome = run_through(ctx, interrupt)
        resumes += 1
        assert resumes < 30
    assert outcome == Returned((1,))


@pytest.mark.parametrize("kind", ["interrupt", "timeout", "exit", "event"])
def test_a_wait_in_place_ends_at_once(kind: str) -> None:
    """Behaviour 46: a thread asleep in a host function is woken by an interrupt, a timeout, an exit or its event; by
    exactly one wake-up."""
    clock, sleeps, notifier = FakeClock(), Sleeps(), Notifier()
    driver = ThreadDriver(clock, sleeps.selector)
    box: list[int] = []
    guest = Guest(WAITING, imports(until_told(box, notifier)), clock=clock, driver=driver)
    interrupt = Interrupt()
    ctx = guest.start("f")
    running = in_thread(lambda: run_through(ctx, interrupt, 5.0))
    sleeps.await_sleepers()
    if kind == "interrupt":
        interrupt.set()
    elif kind == "timeout":
        clock.advance(5.0)
    elif kind == "exit":
        ctx.requests.exit(3)
    else:
        box.append(7)
        notifier.notify()
    reasons: dict[str, Outcome] = {
        "interrupt": Suspended(Status.ETOYWASMUSERINTERRUPT, Interrupted(interrupt)),
        "timeout": Suspended(Status.ETOYWASMUSERINTERRUPT, TimedOut()),
        "exit": Exited(3),
        "event": Returned((7,)),
    }
    assert running.result(PATIENCE) == reasons[kind]
    assert driver.wakeups == 1
    if kind in ("interrupt", "timeout"):
        box.append(8)
        assert control.run(ctx, interrupt) == Returned((8,))


class Elsewhere:
    """A driver that wants the thread back: executions suspend with their wait set."""

    in_place = False

    def __init__(self, clock: FakeClock) -> None:
        self._driver = ThreadDriver(clock)
        self.waits: list[WaitSet] = []

    def wait(self, waits: WaitSet, waker: Waker, word: list[int]) -> None:
        self.waits.append(waits)
        self._driver.wait(waits, waker, word)


def test_a_wait_elsewhere_suspends_with_its_wait_set() -> None:
    """Under a driver that doesn't wait in place the execution suspends; default processing waits, then resumes."""
    clock, notifier = FakeClock(), Notifier()
    box: list[int] = []
    driver = Elsewhere(clock)
    guest = Guest(WAITING, imports(until_told(box, notifier)), clock=clock, driver=driver)
    ctx = guest.start("f")
    outcome = control.run(ctx)
    assert isinstance(outcome, Suspended)
    assert isinstance(outcome.reason, Waiting)
    assert outcome.code is Status.ETOYWASMRESTART
    assert driver.waits == []
    box.append(7)
    notifier.notify()
    assert handle_restart(ctx, outcome) == Returned((7,))
    assert len(driver.waits) == 1


@pytest.mark.parametrize("level", [False, True])
def test_a_wait_elsewhere_is_interrupted(level: bool) -> None:
    """An interrupt that comes while the driver waits elsewhere is reported at the next check, not lost between
    default processing and the wait, in both forms."""
    clock, notifier = FakeClock(), Notifier()
    driver = Elsewhere(clock)
    guest = Guest(WAITING, imports(until_told([], notifier)), clock=clock, driver=driver)
    interrupt = Interrupt(level=level)
    ctx = guest.start("f")
    outcome = control.run(ctx, interrupt)
    interrupt.set()
    for _ in range(3):
        outcome = handle_restart_once(ctx, outcome, interrupt)
        if outcome == Suspended(Status.ETOYWASMUSERINTERRUPT, Interrupted(interrupt)):
            break
    else:
        pytest.fail("never reported")
    # What an embedder has to decide is handed back as it is.
    assert handle_restart_once(ctx, outcome, interrupt) is outcome


def test_idle_executions_cause_no_wake_ups() -> None:
    """Behaviour 15: threads blocked in host functions don't wake while time passes; one event each, one wake-up."""
    clock, sleeps, notifier = FakeClock(), Sleeps(), Notifier()
    driver = ThreadDriver(clock, sleeps.selector)
    box: list[int] = []
    count = 20
    guests = [
        Guest(WAITING, imports(until_told(box, notifier)), clock=clock, driver=driver) for _ in range(count)
    ]
    results = [in_thread(lambda guest=guest: guest.call("f", timeout=3600)) for guest in guests]  # type: ignore[misc]
    sleeps.await_sleepers(count)
    for _ in range(10):
        clock.advance(100.0)
    assert driver.wakeups == 0
    assert sleeps.timeouts == [None] * count
    box.append(5)
    notifier.notify()
    assert [result.result(PATIENCE) for result in results] == [5] * count
    assert driver.wakeups == count


# Order, and what comes too late


def test_an_exit_wins_over_interrupt_and_timeout() -> None:
    """Behaviour 6: with everything set at once, the next poll exits."""
    clock = FakeClock()
    guest = Guest(COUNTING, clock=clock, injector=None)
    interrupt = Interrupt(level=True)
    interrupt.set()
    ctx = guest.start("f")
    assert isinstance(control.run(ctx, interrupt, deadline=clock.monotonic()), Suspended)
    ctx.requests.exit(3)
    assert control.run(ctx, interrupt, deadline=clock.monotonic()) == Exited(3)


def test_an_exit_from_another_thread_ends_a_computation() -> None:
    """Behaviour 6: an exit asked for by another thread ends a loop that never waits, interrupt or not."""
    guest, started = spinning()
    interrupt = Interrupt(level=True, delay=1_000_000_000)
    interrupt.set()
    ctx = guest.start("f")
    running = in_thread(lambda: control.run(ctx, interrupt))
    assert started.wait(PATIENCE)
    ctx.requests.exit(5)
    assert running.result(PATIENCE) == Exited(5)


def test_the_order_of_requests() -> None:
    """Interrupt, then timeout, then injected fault: each is reported by a suspension of its own, none is lost."""
    clock = FakeClock()
    guest = Guest(COUNTING, clock=clock, injector=Every(1))
    interrupt = Interrupt()
    interrupt.set()
    deadline = clock.monotonic()
    ctx = guest.start("f")
    kinds = []
    for _ in range(3):
        outcome = control.run(ctx, interrupt, deadline=deadline)
        assert isinstance(outcome, Suspended)
        kinds.append(type(outcome.reason).__name__)
    assert kinds == ["Interrupted", "TimedOut", "TimedOut"]  # each run has its own deadline, passed again
    outcome = control.run(ctx, interrupt)
    assert isinstance(outcome, Suspended)
    assert type(outcome.reason).__name__ == "Injected"


def test_an_interrupt_after_the_end_harms_nobody() -> None:
    """Behaviour 7: set when its call has ended, an interrupt doesn't touch the next call that gets it, nor one that
    doesn't."""
    guest = Guest('(func (export "f") (result i32) (i32.const 1))')
    interrupt = Interrupt()
    assert guest.call("f", interrupt=interrupt) == 1
    interrupt.set()
    assert guest.call("f") == 1
    assert guest.call("f", interrupt=interrupt) == 1
    assert guest.store.counters.suspensions.total() == 0


def test_a_timeout_after_the_end_harms_nobody() -> None:
    """Behaviour 7: an alarm whose call has returned is gone, and the next call runs undisturbed."""
    clock = FakeClock()
    guest = Guest('(func (export "f") (result i32) (i32.const 1))', clock=clock)
    assert guest.call("f", timeout=1.0) == 1
    assert clock.alarms == 0
    clock.advance(2.0)
    assert guest.call("f") == 1


def test_a_timeout_of_one_run_is_not_the_next_ones() -> None:
    """A resumed execution has the deadline that its resume gives it, not the one that has passed."""
    clock = FakeClock()
    guest = Guest(COUNTING, clock=clock)
    ctx = guest.start("f")
    outcome = control.run(ctx, deadline=clock.monotonic())
    assert outcome == Suspended(Status.ETOYWASMUSERINTERRUPT, TimedOut())
    running = in_thread(lambda: control.run(ctx, deadline=clock.monotonic() + 1.0))
    clock.wait_for_alarms(1)
    rounds = guest.get("rounds")
    clock.advance(1.0)
    assert running.result(PATIENCE) == outcome
    assert guest.get("rounds") >= rounds
    assert clock.alarms == 0


# Nested activations


def nesting(body: Callable[[Guest], int]) -> Guest:
    """A guest that calls a host function, which plays `body` with another guest, and then computes for ever."""
    inner = Guest(COUNTING)

    @host("h", "wait", "-> i32")
    def calling(call: Call) -> Results:
        return (body(inner),)

    text = """(import "h" "wait" (func $wait (result i32)))
      (func (export "f") (result i32) (call $wait))
      (func (export "spin") (call $wait) drop (loop (br 0)))"""
    return Guest(text, imports(calling))


def test_a_nested_plain_call_inherits_interrupts() -> None:
    """DESIGN 3: a plain export call in a host function that would have to suspend for what was asked of the outer
    execution is dropped, and NestedSuspension says what to use instead; the request still stops the outer one."""
    interrupt = Interrupt()
    caught: list[str] = []

    def body(inner: Guest) -> int:
        interrupt.set()
        with pytest.raises(NestedSuspension) as error:
            inner.call("f")
        caught.append(str(error.value))
        return 1

    guest = nesting(body)
    ctx = guest.start("spin")
    assert control.run(ctx, interrupt) == Suspended(Status.ETOYWASMUSERINTERRUPT, Interrupted(interrupt))
    assert ["ctx.call" in text for text in caught] == [True]


def test_a_nested_call_with_an_interrupt_of_its_own() -> None:
    """A request made of the nested call alone is its own: it comes back unfinished, and may be gone on with; the outer
    execution isn't touched."""
    unfinished: list[Unfinished] = []

    def body(inner: Guest) -> int:
        interrupt = Interrupt()
        interrupt.set()
        with pytest.raises(Unfinished) as caught:
            inner.call("f", interrupt=interrupt)
        unfinished.append(caught.value)
        control.drop(caught.value.ctx)
        return 1

    guest = nesting(body)
    assert guest.call("f") == 1
    assert isinstance(unfinished[0].outcome.reason, Interrupted)


def test_a_check_that_was_answered_takes_no_later_one_with_it() -> None:
    """BEHAVIOURS 3: suspended at a host function's entry and gone on with after the request was taken back, what is
    asked next is told at the next check point."""
    stop = Interrupt()
    entered: list[str] = []

    def setter(name: str) -> Host:
        def enter(call: Call) -> Results:
            entered.append(name)
            stop.set()
            return ()

        return host("h", name, "")(enter)

    calls = "abc"
    source = "".join(f'(import "h" "{name}" (func ${name}))' for name in calls)
    body = "".join(f"(call ${name})" for name in calls)
    ctx = Guest(f'{source}(func (export "f") {body})', imports(*map(setter, calls))).start("f")
    for count in (1, 2):
        outcome = control.run(ctx, stop)
        assert isinstance(outcome, Suspended)
        assert outcome.reason == Interrupted(stop)
        assert entered == list(calls[:count])
        assert isinstance(ctx.frames[-1], HostFrame)
        stop.clear()
    assert control.run(ctx) == Returned(())


@pytest.mark.parametrize("then", ["returns", "calls back"])
def test_a_wait_that_is_over_takes_no_later_check_with_it(then: str) -> None:
    """BEHAVIOURS 3: suspended at the check before a wait, and gone on with when there is nothing to wait for any more,
    what is asked next is told at the next check point."""
    stop, attempts, box, seen = Interrupt(), list[int](), list[int](), list[str]()

    def attempt() -> int | None:
        attempts.append(1)
        return box[0] if box else None

    @host("h", "wait", "")
    def wait(call: Call) -> Results:
        call.wait(attempt, lambda: WaitSet.of(deadline=0.0))
        stop.set()
        if then == "calls back":
            assert call.caller is not None
            call.call(call.caller.funcs[1])
        return ()

    @host("h", "look", "")
    def look(call: Call) -> Results:
        seen.append("entered")
        return ()

    text = '(import "h" "wait" (func $wait)) (import "h" "look" (func $look)) (func (export "f") (call $wait)'
    ctx = Guest(f"{text} (call $look))", imports(wait, look)).start("f")
    while not attempts:  # the guest's entry, the function's, and then the one before the wait
        stop.set()
        assert isinstance(control.run(ctx, stop), Suspended)
    box.append(1)
    outcome = control.run(ctx, stop)
    assert isinstance(outcome, Suspended)
    assert outcome.reason == Interrupted(stop)
    assert not seen
