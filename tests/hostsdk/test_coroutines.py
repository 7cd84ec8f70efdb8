"""Host functions that are coroutines: awaited in the embedder's loop or in the process's own; what of the guest they
may touch, how they are cancelled and thrown into, and what saving means to them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from hostsdk import (
    BlockingContext,
    Bytes,
    CallInterrupted,
    Context,
    Errors,
    Execution,
    Exited,
    Failed,
    FuncRef,
    HostModule,
    Instance,
    Interrupt,
    Module,
    OutBuffer,
    Returned,
    Scheduler,
    SnapshotError,
    StateError,
    Suspended,
    Trap,
    Trapped,
    block_until,
    call,
    i32,
    u32,
)
from hostsdk._coroutine import Desk
from tests.support.build import wat
from tests.support.waits import PATIENCE, in_thread

TEXT = """(module
  (import "h" "f" (func $f (param i32) (result i32)))
  (import "h" "fill" (func $fill (param i32 i32) (result i32)))
  (import "h" "plain" (func $plain (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $calls (mut i32) (i32.const 0))
  (func (export "f") (param i32) (result i32) (call $f (local.get 0)))
  (func (export "fill") (result i32) (call $fill (i32.const 16) (i32.const 8)))
  (func (export "double") (param i32) (result i32)
    (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
    (call $plain (i32.mul (local.get 0) (i32.const 2))))
  (func (export "trap") (param i32) (result i32) unreachable)
  (func (export "calls") (result i32) (global.get $calls)))"""
Body = Callable[[Context[None]], Awaitable[int]]
DOUBLE = FuncRef[[u32], u32]


class Guest:
    """A guest whose host function `f` runs a coroutine; `plain` naps a little and gives its argument."""

    def __init__(self, body: Body | None = None, **options: Any) -> None:
        self.host = host = HostModule("h", errors=Errors({TimeoutError: 73}))
        self.double = host.guest("double", DOUBLE)
        self.trap = host.guest("trap", DOUBLE)
        self.entered = 0

        @host.restartable(**options)
        async def f(ctx: Context, n: u32) -> i32:
            self.entered += 1
            if body is None:
                await asyncio.sleep(0)
                return n
            return await body(ctx)

        @host.restartable
        async def fill(ctx: Context, out: OutBuffer) -> i32:
            await asyncio.sleep(0)
            return out.fill(b"awaited!")

        @host.restartable
        def plain(ctx: BlockingContext, n: u32) -> i32:
            ctx.sleep(0.001)
            return n

        self.module = Module.from_bytes(wat(TEXT))

    def instance(self) -> Instance:
        return Instance(self.module, [self.host])


def plainly(instance: Instance, *args: Any) -> Any:
    """The call, alone on its thread."""
    return instance.call(*args)


def green(instance: Instance, *args: Any) -> Any:
    """As a task of a scheduler."""
    with Scheduler() as scheduler:
        return scheduler.join(scheduler.spawn(instance, *args))


def in_loop(instance: Instance, *args: Any) -> Any:
    """In an event loop."""
    return asyncio.run(instance.call_async(*args))


everywhere = pytest.mark.parametrize("run", [plainly, green, in_loop])
Run = Callable[..., Any]


@everywhere
def test_a_coroutine_gives_its_result(run: Run) -> None:
    """What it awaits is awaited in every layout, and its result is the guest's."""
    guest = Guest()
    assert run(guest.instance(), "f", 5) == 5
    assert guest.entered == 1


@everywhere
def test_callbacks_and_waits_are_carried_out_in_the_guest_s_turn(run: Run) -> None:
    """`await call(…)` and `await block_until(…)`, one after the other and gathered by the loop's own means: each once,
    with host functions that wait beneath them."""

    async def body(ctx: Context[None]) -> int:
        first = await call(guest.double, 5)
        await asyncio.sleep(0.001)
        async with asyncio.TaskGroup() as group:
            rest = [group.create_task(one(n)) for n in range(3)]
        assert await block_until(timeout=0.001) is False
        return first + sum(task.result() for task in rest)

    async def one(n: int) -> int:
        return await call(guest.double, n)

    guest = Guest(body)
    instance = guest.instance()
    assert run(instance, "f", 0) == 10 + 6
    assert instance.exports.calls() == 4


@everywhere
def test_the_guest_s_memory_while_it_waits(run: Run) -> None:
    """Buffers and `ctx.memory` reach the guest while it waits for the coroutine; not while a callback runs."""
    guest = Guest()
    instance = guest.instance()
    assert run(instance, "fill") == 8
    assert instance.memory.read(16, 8) == b"awaited!"

    seen: list[BaseException | bytes] = []

    async def body(ctx: Context[None]) -> int:
        other = asyncio.create_task(look(ctx))
        await call(second.double, 1)
        await other
        seen.append(ctx.memory.read(0, 1))
        return 0

    async def look(ctx: Context[None]) -> None:
        await asyncio.sleep(0)
        try:
            seen.append(ctx.memory.read(0, 1))
        except StateError as error:
            seen.append(error)

    second = Guest(body)
    run(second.instance(), "f", 0)
    assert seen[-1] == b"\0"


@everywhere
def test_exceptions_are_mapped_or_reach_the_embedder(run: Run) -> None:
    """A mapped exception is the guest's error number, another comes out as itself; a trap of a callee ends the call
    even where it was caught."""

    async def late(ctx: Context[None]) -> int:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(3600)
        return 0

    async def wrong(ctx: Context[None]) -> int:
        await asyncio.sleep(0)
        raise KeyError("mine")

    async def trapping(ctx: Context[None]) -> int:
        try:
            return await call(third.trap, 1)
        except Trap:
            return 9

    assert run(Guest(late).instance(), "f", 0) == 73
    with pytest.raises(KeyError, match="mine"):
        run(Guest(wrong).instance(), "f", 0)
    third = Guest(trapping)
    with pytest.raises(Trap, match="unreachable"):
        run(third.instance(), "f", 0)


@everywhere
def test_an_exit_and_ctrl_c_from_a_coroutine(run: Run) -> None:
    """`ctx.exit` ends the execution; what is no `Exception` reaches the caller, and no loop dies of it."""

    async def leave(ctx: Context[None]) -> int:
        await asyncio.sleep(0)
        ctx.exit(4)

    async def die(ctx: Context[None]) -> int:
        await asyncio.sleep(0)
        raise KeyboardInterrupt

    with pytest.raises(Exception, match="code 4"):
        run(Guest(leave).instance(), "f", 0)
    if run is not in_loop:
        with pytest.raises(KeyboardInterrupt):
            run(Guest(die).instance(), "f", 0)
    assert run(Guest().instance(), "f", 2) == 2


class Held:
    """A coroutine that waits until it is told, and notes how it was left."""

    def __init__(self, **options: Any) -> None:
        self.notes: list[str] = []
        self.begun = threading.Event()
        self.guest = Guest(self.body, **options)

    async def body(self, ctx: Context[None]) -> int:
        ctx.acquire(lambda: "held", release=self.notes.append)
        self.begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0.001)
            self.notes.append("cancelled")
            raise
        except ValueError as error:
            self.notes.append(str(error))
            await asyncio.sleep(0)
            return 5
        return 0


def suspended(execution: Execution, begun: threading.Event) -> Execution:
    """Suspended by an interrupt that comes when the coroutine waits."""
    stop = Interrupt()
    future = in_thread(lambda: execution.run(interrupt=stop))
    assert begun.wait(PATIENCE)
    stop.set()
    assert isinstance(future.result(PATIENCE), Suspended)
    return execution


def test_dropped_it_is_cancelled_and_has_cleaned_up() -> None:
    """BEHAVIOURS 8: interrupted, dropped or exited, the coroutine sees CancelledError at its await and may await in its
    cleanup; then what it acquired is released; all of it before the call is over."""
    held = Held()
    stop = Interrupt()
    ended = in_thread(lambda: held.guest.instance().call("f", 0, interrupt=stop))
    assert held.begun.wait(PATIENCE)
    stop.set()
    with pytest.raises(CallInterrupted):
        ended.result(PATIENCE)
    assert held.notes == ["cancelled", "held"]

    held = Held()
    suspended(held.guest.instance().start("f", 0), held.begun).drop()
    assert held.notes == ["cancelled", "held"]

    held = Held()
    execution = held.guest.instance().start("f", 0)
    future = in_thread(execution.run)
    assert held.begun.wait(PATIENCE)
    execution.exit(7)
    assert future.result(PATIENCE) == Exited(7)
    assert held.notes == ["cancelled", "held"]


def test_cancelled_in_a_loop_it_has_cleaned_up() -> None:
    """BEHAVIOURS 77: the caller's task is cancelled: CancelledError comes out when the coroutine has cleaned up."""
    held = Held()

    async def main() -> None:
        task = asyncio.create_task(held.guest.instance().call_async("f", 0))
        await asyncio.to_thread(held.begun.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert held.notes == ["cancelled", "held"]
        held.begun.clear()
        stop = Interrupt()
        task = asyncio.create_task(held.guest.instance().call_async("f", 0, interrupt=stop))
        await asyncio.to_thread(held.begun.wait, PATIENCE)
        stop.set()
        with pytest.raises(CallInterrupted):
            await task
        assert held.notes == ["cancelled", "held"] * 2
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


def test_cancelled_as_a_task_of_a_scheduler() -> None:
    """Cancelled tasks, and those that are left at the end, have cleaned up when the scheduler says so."""
    held = Held()
    with Scheduler() as scheduler:
        task = scheduler.spawn(held.guest.instance(), "f", 0)
        while not held.begun.is_set():
            scheduler.run(timeout=0.001)
        task.cancel()
        assert held.notes == ["cancelled", "held"]
        held.begun.clear()
        scheduler.spawn(held.guest.instance(), "f", 0)
        while not held.begun.is_set():
            scheduler.run(timeout=0.001)
    assert held.notes == ["cancelled", "held"] * 2


def test_thrown_into_at_its_await() -> None:
    """What the embedder throws is raised where the coroutine awaits, and its handlers may await."""
    held = Held()
    execution = suspended(held.guest.instance().start("f", 0), held.begun)
    execution.throw(ValueError("thrown"))
    assert execution.run() == Returned((5,))
    assert held.notes == ["thrown", "held"]


def test_interrupted_it_goes_on_meanwhile() -> None:
    """The coroutine is awaited once, however often its guest is interrupted and resumed."""
    guest = Guest()
    execution = guest.instance().start("f", 3)
    stop = Interrupt(level=True)
    stop.set()
    count = 0
    while isinstance(outcome := execution.run(interrupt=stop), Suspended):
        count += 1
    assert outcome == Returned((3,))
    assert count >= 1
    assert guest.entered == 1


def test_pending_it_can_t_be_saved() -> None:
    """DESIGN 3: saving while it awaits is an error that says what to declare; the call goes on all the same."""
    begun = threading.Event()

    async def body(ctx: Context[None]) -> int:
        begun.set()
        return await asyncio.sleep(3600, 1)

    execution = suspended(Guest(body).instance().start("f", 0), begun)
    with pytest.raises(SnapshotError, match=r"h\.f awaits something .*repeat=True"):
        execution.save()
    assert "await in h.f" in execution.explain()
    execution.drop()


def test_declared_to_be_repeatable_it_begins_again() -> None:
    """DESIGN 3: with `repeat=True` it is saved, and begins from its first line where it was loaded; in the midst of a
    callback it can't be."""
    begun = threading.Event()

    async def body(ctx: Context[None]) -> int:
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(3600)
        return await call(guest.double, 4)

    guest = Guest(body, repeat=True)
    execution = suspended(guest.instance().start("f", 0), begun)
    data = execution.save()
    execution.drop()
    loaded = Execution.load(data, guest.module, [guest.host], trusted=True)
    assert loaded.run() == Returned((8,))
    assert guest.entered == 2

    busy = Guest(lambda ctx: _call(busy))
    half = busy.instance().start("f", 0)
    stop = Interrupt(level=True)
    stop.set()
    seen = set()
    while isinstance(half.run(interrupt=stop), Suspended):
        try:
            half.save()
        except SnapshotError as error:
            seen.add("callback" if "callback" in str(error) else "await")
    assert "callback" in seen


async def _call(guest: Guest) -> int:
    return await call(guest.double, 1)


def test_another_s_operation_is_refused() -> None:
    """Outside of a coroutine that is a host function nobody can carry an operation out; nor after its call."""
    left: list[Context[None]] = []

    async def keep(ctx: Context[None]) -> int:
        left.append(ctx)
        return 1

    guest = Guest(keep)

    async def outside() -> None:
        await call(guest.double, 1)

    with pytest.raises(StateError, match="nobody there can carry it out"):
        asyncio.run(outside())
    assert guest.instance().call("f", 0) == 1
    with pytest.raises(StateError, match="outside of one"):
        left[0].memory.read(0, 1)


def test_its_own_task_cancelled() -> None:
    """A coroutine that cancels its own task gives no result: an error that says so, and not a cancelled guest."""

    async def give_up(ctx: Context[None]) -> int:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(1)
        return 0

    execution = Guest(give_up).instance().start("f", 0)
    outcome = execution.run()
    assert isinstance(outcome, Failed)
    assert "its task was cancelled" in str(outcome.error)
    assert not isinstance(outcome, Trapped)


def test_strings_and_bytes_are_read_before_it_begins() -> None:
    """Arguments are decoded once: what the guest's memory becomes meanwhile doesn't reach them."""
    host = HostModule("h")

    @host.restartable
    async def size(ctx: Context, data: Bytes) -> u32:
        ctx.memory.write(0, b"\xff" * 4)
        await asyncio.sleep(0)
        return sum(data)

    text = """(module (import "h" "size" (func $size (param i32 i32) (result i32)))
      (memory (export "memory") 1) (data (i32.const 0) "\\01\\02\\03\\04")
      (func (export "run") (result i32) (call $size (i32.const 0) (i32.const 4))))"""
    assert Instance(Module.from_bytes(wat(text)), [host]).call("run") == 10


def test_what_is_thrown_before_the_first_step_is_raised_where_it_awaits() -> None:
    """8: an error that comes before the loop has begun the coroutine is raised at its first await, and one dropped by
    then never begins; nothing is said of coroutines that nobody awaited."""
    loop = asyncio.new_event_loop()
    seen: list[object] = []

    async def waits() -> int:
        seen.append("begun")
        try:
            await asyncio.sleep(3600)
        except ValueError as error:
            seen.append(str(error))
            return 7
        return 0

    async def main() -> None:
        thread = threading.get_ident()
        thrown, dropped = Desk("h.f", None), Desk("h.f", None)
        for desk in (thrown, dropped):
            desk.start(loop, thread, waits())
        thrown.throw(ValueError("early"))
        dropped.drop(lambda: seen.append("released"))
        for desk in (thrown, dropped):
            assert await loop.run_in_executor(None, desk.ended.wait, PATIENCE)
        assert thrown.result() == 7

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert sorted(map(str, seen)) == ["begun", "early", "released"]
