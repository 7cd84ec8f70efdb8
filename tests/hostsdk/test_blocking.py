"""Waiting: attempts, sources, time limits, and the driver that carries waits out."""

from __future__ import annotations

import os
import socket
import threading
from concurrent.futures import Future
from functools import partial
from typing import Any

import pytest

from hostsdk import (
    ERRNO_NEGATIVE,
    BlockingContext,
    Bytes,
    Context,
    Failed,
    HostModule,
    Interrupt,
    Interrupted,
    Notifier,
    OutBuffer,
    Returned,
    Steps,
    Suspended,
    TimedOut,
    Timeout,
    block_until,
    i32,
    sleep,
    try_recv,
    try_send,
)
from hostsdk.testing import InjectionFailure, Kind, Scenario, Stuck, World, explore
from tests.support.inject import MEMORY, STYLES, everywhere, finish, guest, module, restartable, run_to, scene
from tests.support.native import steady_numbers
from tests.support.waits import in_thread

CALL = '(import "h" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f))'


def _put(items: list[bytes], item: bytes, changed: Notifier) -> None:
    items.append(item)
    changed.notify()


# Attempts


@pytest.mark.parametrize(
    ("given", "want"), [(0, 0), (7, 7), (True, 1), (-1, -1)], ids=["zero", "seven", "true", "negative"]
)
@pytest.mark.parametrize("style", STYLES)
def test_whatever_is_not_not_yet_is_the_result(style: str, given: int, want: int) -> None:
    """None, False and BlockingIOError mean "not yet"; anything else, 0 included, is the result."""
    tries: list[int] = []
    host = HostModule("h")

    def attempt() -> int | None:
        tries.append(1)
        match len(tries):
            case 1:
                return None
            case 2:
                return False
            case 3:
                raise BlockingIOError
        return given

    @restartable(host, style)
    def f(ctx: Context) -> Steps[i32]:
        return int((yield from block_until(attempt)))

    assert guest(CALL, host).exports.run() == want
    assert len(tries) == 4


@pytest.mark.parametrize("style", STYLES)
def test_an_attempt_comes_before_the_check(style: str) -> None:
    """4: what is ready is taken even under a standing interrupt; no effect lies behind a check."""
    host = HostModule("h", state=lambda: [1, 2, 3])

    @restartable(host, style)
    def f(ctx: Context[list[int]]) -> Steps[i32]:
        total = 0
        for _ in range(3):
            total += yield from block_until(lambda: ctx.state.pop() if ctx.state else None)
        return total

    inst = guest(CALL, host)
    interrupt = Interrupt(level=True)
    interrupt.set()
    execution = inst.start("run")
    count = 0
    while isinstance(outcome := execution.run(interrupt=interrupt), Suspended):
        count += 1
    assert outcome == Returned((6,))
    # At the two functions' entries only: every attempt succeeds at once.
    assert count == 2


@steady_numbers
@pytest.mark.parametrize("style", STYLES)
def test_each_item_of_a_queue_is_taken_once(style: str) -> None:
    """Woken by a Notifier, each item is delivered once, whatever faults come (cookbook 5)."""
    text = f"""(import "h" "pop" (func $pop (param i32 i32) (result i32))) {MEMORY}
      (func (export "run") (result i32) (local $i i32)
        (loop $l
          (i32.store8 (i32.const 100) (call $pop (local.get $i) (i32.const 8)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
        (local.get $i))"""

    def make(world: World):  # type: ignore[no-untyped-def]
        from hostsdk import Instance

        changed, items = Notifier(), [b"a"]
        host = HostModule("h")

        @restartable(host, style)
        def pop(ctx: Context, out: OutBuffer) -> Steps[i32]:
            item = yield from block_until(lambda: items.pop(0) if items else None, wake=changed)
            return out.fill(item)

        for seconds, item in ((1, b"b"), (2.5, b"c")):
            world.at(seconds, partial(_put, items, item, changed))
        return Instance(module(text), [host], engine=world.engine)

    kinds = [Kind.RESTART, Kind.INTERRUPT, Kind.CALLBACKS, Kind.SAVE, Kind.DROP, Kind.THROW]
    found = explore(Scenario(make), kinds=kinds, in_place=(True, False))
    assert found.undisturbed.popitem()[1].elapsed == 2.5
    found.exhaustive()
    found.every(1, 2)
    found.pairs(most=30)


def test_a_notification_between_attempt_and_wait_isnt_lost() -> None:
    """A Notifier that speaks after the attempt failed and before the wait has begun ends the wait at once, also where
    the call left the stack in between."""
    host = HostModule("h", state=Notifier)
    tries: list[int] = []

    @host.restartable
    def f(ctx: BlockingContext[Notifier]) -> i32:
        def attempt() -> int | None:
            tries.append(1)
            if len(tries) == 1:
                ctx.state.notify()
                return None
            return 5

        return ctx.block_until(attempt, wake=ctx.state)

    for make in (guest, everywhere):
        tries.clear()
        assert finish(make(CALL, host).start("run")) == Returned((5,))


def test_a_bare_wait_for_a_notifier_remembers_what_came_meanwhile() -> None:
    """Without an attempt, a notification since the wait began counts, though the call was suspended when it came."""
    host = HostModule("h", state=Notifier)

    @host.restartable
    def f(ctx: BlockingContext[Notifier]) -> i32:
        return int(ctx.block_until(wake=ctx.state))

    inst = everywhere(CALL, host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    inst.state(host).notify()
    assert finish(execution) == Returned((1,))


def test_a_wait_that_nothing_ends_is_told() -> None:
    """The harness doesn't hang where a notification was lost: it says what is waited for."""
    host = HostModule("h", state=Notifier)

    @host.restartable
    def f(ctx: BlockingContext[Notifier]) -> i32:
        return ctx.block_until(lambda: None, wake=ctx.state)

    outcome = guest(CALL, host).start("run").run()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, Stuck)
    assert "Notifier" in str(outcome.error)


# Time


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("options", "want"),
    [({"timeout": 2.0}, 2), ({"timeout": 0.0}, 0), ({"timeout": -1.0}, 0), ({"deadline": 1003.0}, 3),
     ({"wall_deadline": 1_700_000_004.0}, 4)],
    ids=["timeout", "zero", "negative", "deadline", "wall"],
)  # fmt: skip
def test_time_limits(style: str, options: dict[str, Any], want: int) -> None:
    """With a time limit the result is None when it has passed, False without an attempt; by the monotonic clock or,
    if so asked for, by the wall clock."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context) -> Steps[i32]:
        got = yield from block_until(lambda: None, **options)
        bare = yield from block_until(**options)
        if got is not None or bare is not False:
            return 1
        return 0

    for in_place in (True, False):
        inst = guest(CALL, host, in_place=in_place)
        clock = inst._store.engine.config.clock
        assert inst.exports.run() == 0
        # A timeout is counted from each wait's beginning, a deadline is a point in time.
        assert clock.monotonic() - 1000 == pytest.approx(2 * want if "timeout" in options else want)


def test_a_wall_clock_that_is_set_moves_wall_deadlines_only() -> None:
    """37: a wait by the wall clock follows it when it is set; one by the monotonic clock doesn't care."""
    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext) -> i32:
        begun = ctx.time
        ctx.block_until(wall_deadline=ctx.wall_time + 100)
        wall = ctx.time - begun
        ctx.sleep(100)
        return round(wall) * 1000 + round(ctx.time - begun - wall)

    inst = everywhere(CALL, host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    inst._store.engine.config.clock.step_wall(90)  # type: ignore[attr-defined]  # a FakeClock
    run_to(execution, "in wait sleep")
    inst._store.engine.config.clock.step_wall(-3600)  # type: ignore[attr-defined]
    assert finish(execution) == Returned((10_100,))


def test_a_timeout_reaches_a_host_function() -> None:
    """A plain call's timeout ends a wait, and drops the call; a run's suspends it, and it can go on."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: Context[list[str]]) -> Steps[i32]:
        try:
            yield from sleep(10)
        finally:
            ctx.state.append("left")
        return 3

    inst = guest(CALL, host)
    with pytest.raises(Timeout):
        inst.call("run", timeout=2.5)
    assert inst.state(host) == ["left"]
    assert inst._store.engine.config.clock.monotonic() == 1002.5
    execution = inst.start("run")
    outcome = execution.run(timeout=4)
    assert isinstance(outcome, Suspended)
    assert isinstance(outcome.reason, TimedOut)
    assert execution.run(timeout=7) == Returned((3,))
    assert inst._store.engine.config.clock.monotonic() == 1012.5


# Real sources


@pytest.mark.parametrize("style", STYLES)
def test_a_socket_is_received_from_byte_by_byte(style: str) -> None:
    """A wait for a socket loses no byte and reads none twice, maps its errors, and leaves the socket's mode alone
    (cookbook 3)."""
    ours, theirs = socket.socketpair()
    host = HostModule("h", errors=ERRNO_NEGATIVE)

    @restartable(host, style)
    def recv(ctx: Context, fd: i32, out: OutBuffer) -> Steps[i32]:
        sock = ctx.resources.get(fd, socket.socket)
        n = yield from block_until(lambda: try_recv(sock, out), readable=sock, timeout=1.0)
        if n is None:
            raise TimeoutError
        return n

    text = f"""(import "h" "recv" (func $recv (param i32 i32 i32) (result i32))) {MEMORY}
      (func (export "run") (param i32) (result i32) (call $recv (i32.const 0) (local.get 0) (i32.const 2)))"""
    with ours, theirs:
        inst = everywhere(text, host)
        inst.resources.add(ours)
        theirs.send(b"abcde")
        assert [finish(inst.start("run", at)) for at in (0, 2, 4)] == [Returned((n,)) for n in (2, 2, 1)]
        assert inst._raw.memories[0].data[0:6] == b"abcde\0"
        assert finish(inst.start("run", 0)) == Returned((-73,))
        theirs.close()
        assert finish(inst.start("run", 0)) == Returned((0,))
        assert ours.getblocking()
    assert finish(inst.start("run", 0)) == Returned((-8,))


@pytest.mark.parametrize("style", STYLES)
def test_all_is_sent_once(style: str) -> None:
    """48: a send of more than a socket holds, suspended in the middle, neither loses nor doubles a byte (cookbook
    10)."""
    ours, theirs = socket.socketpair()
    host = HostModule("h")
    got = bytearray()

    @restartable(host, style)
    def send_all(ctx: Context, fd: i32, data: Bytes) -> Steps[i32]:
        sock, sent = ctx.resources.get(fd, socket.socket), ctx.progress(0)
        while sent.value < len(data):
            sent.value += yield from block_until(lambda: try_send(sock, data[sent.value :]), writable=sock)
        return sent.value

    text = """(import "h" "send_all" (func $s (param i32 i32 i32) (result i32))) (memory (export "memory") 16)
      (func (export "run") (result i32) (local $i i32)
        (loop $l
          (i32.store (local.get $i) (local.get $i))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 4096))) (i32.const 1048576))))
        (call $s (i32.const 0) (i32.const 0) (i32.const 1048576)))"""
    with ours, theirs:
        inst = everywhere(text, host)
        inst.resources.add(ours)

        def drain() -> None:
            while len(got) < 1 << 20:
                got.extend(theirs.recv(65536))

        draining = in_thread(drain)
        assert finish(inst.start("run")) == Returned((1 << 20,))
        draining.result(60)
        assert got == inst._raw.memories[0].data


def test_an_interrupt_ends_a_wait_in_a_real_thread() -> None:
    """A wait in place is ended by an Interrupt from another thread; one wake-up is enough, and the call can go on."""
    host = HostModule("h", state=Future[int])
    waiting = threading.Event()

    @host.restartable
    def f(ctx: BlockingContext[Future[int]]) -> i32:
        def attempt() -> int | None:
            waiting.set()
            return ctx.state.result() if ctx.state.done() else None

        return ctx.block_until(attempt, wake=ctx.state)

    inst = guest(CALL, host, threads=True)
    execution = inst.start("run")
    interrupt = Interrupt()

    def stop() -> None:
        waiting.wait(60)
        interrupt.set("enough")

    thread = threading.Thread(target=stop)
    thread.start()
    outcome = execution.run(interrupt=interrupt)
    thread.join()
    assert isinstance(outcome, Suspended)
    assert isinstance(outcome.reason, Interrupted)
    threading.Timer(0, inst.state(host).set_result, [42]).start()
    assert execution.run(interrupt=interrupt) == Returned((42,))


def test_a_closed_descriptor_ends_a_wait() -> None:
    """A descriptor that is closed while its call is suspended counts as ready: the attempt is told."""
    host = HostModule("h", state=list[int])

    @host.restartable
    def f(ctx: BlockingContext[list[int]]) -> i32:
        fd = ctx.state[0]
        try:
            return len(ctx.block_until(lambda: os.read(fd, 1) or b"!", readable=fd))
        except OSError as error:
            return -(error.errno or 0)

    read, write = os.pipe()
    inst = guest(CALL, host)
    inst.state(host).append(read)
    interrupt = Interrupt()
    interrupt.set()
    execution = inst.start("run")
    assert isinstance(execution.run(interrupt=interrupt), Suspended)
    os.close(read)
    os.close(write)
    assert execution.run() == Returned((-9,))


def test_a_scenario_that_isnt_deterministic_is_found() -> None:
    """A call that takes another time under faults is told, with the faults and where they lay."""
    host = HostModule("h", state=list[int])

    @host.restartable
    def f(ctx: BlockingContext[list[int]]) -> i32:
        ctx.state.append(1)
        ctx.check_interrupt()
        ctx.sleep(len(ctx.state))
        return 1

    found = explore(scene(CALL, host), kinds=[Kind.RESTART], callbacks=["nested"])
    with pytest.raises(InjectionFailure, match=r"time taken: undisturbed 1(.*\n)*.*check point 3, in\n.*h.f"):
        found.every(3)
