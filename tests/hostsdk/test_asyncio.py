"""Guests in an event loop: their waits are the loop's, and whoever computes lets the others go on."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hostsdk import (
    BlockingContext,
    CallInterrupted,
    Engine,
    EngineConfig,
    ExitRequested,
    FakeClock,
    HostModule,
    Instance,
    Interrupt,
    MissingExport,
    Module,
    Notifier,
    Timeout,
    Trap,
    u32,
)
from tests.support.aio import virtually
from tests.support.build import wat
from tests.support.green import Bed, bed, guest
from tests.support.waits import PATIENCE

#: Calls `h.f` and gives its result; the start function calls it, too, where there is one.
CALLING = '(module (import "h" "f" (func $f (result i32))) (func (export "f") (result i32) (call $f)) {})'
STARTING = "(func $s (drop (call $f))) (start $s)"


class Hotel:
    """Instances that share a bed, on a fake clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.engine = Engine(EngineConfig(clock=self.clock))
        self.bed = Bed()
        self.host = bed(self.bed)

    def room(self) -> Instance:
        return Instance(guest(), [self.host], engine=self.engine)


def module_of(f: Callable[[BlockingContext[Any]], int]) -> HostModule[None]:
    """A host module with the function `f`."""
    host = HostModule("h")

    @host.restartable(name="f")
    def call(ctx: BlockingContext) -> u32:
        return f(ctx)

    return host


def calling(f: Callable[[BlockingContext[Any]], int], **options: Any) -> Instance:
    """An instance whose export `f` calls the host function `f`."""
    return Instance(Module.from_bytes(wat(CALLING.format(""))), [module_of(f)], **options)


def test_a_hundred_naps_on_one_thread() -> None:
    """BEHAVIOURS 77: a hundred calls sleep in one loop: one thread, and the time of one sleep."""
    hotel = Hotel()
    threads: set[threading.Thread] = set()

    async def main() -> list[int]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(hotel.room().call_async("nap", 1000)) for _ in range(100)]
        threads.update(threading.enumerate())
        return [task.result() for task in tasks]

    before, begun = set(threading.enumerate()), hotel.clock.monotonic()
    assert virtually(main(), hotel.clock) == [1000] * 100
    assert hotel.clock.monotonic() - begun == pytest.approx(1.0)
    assert {thread.name for thread in threads - before} <= {"hostsdk-alarms"}


def test_a_task_group_ends_the_others() -> None:
    """BEHAVIOURS 77: where one call fails, the rest of its group is cancelled, and their host functions clean up."""
    hotel = Hotel()
    trap = Instance(Module.from_bytes(wat('(module (func (export "f") unreachable))')))

    async def main() -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(hotel.room().call_async("nap", 60_000))
            await asyncio.sleep(1.0)
            group.create_task(trap.call_async("f"))

    with pytest.raises(ExceptionGroup) as info:
        virtually(main(), hotel.clock)
    assert [type(error) for error in info.value.exceptions] == [Trap]
    assert hotel.bed.left == [60_000] * 10


@pytest.mark.parametrize("name", ["nap", "for_ever"])
def test_time_limits_of_both_kinds(name: str) -> None:
    """`timeout=` raises the SDK's Timeout, `asyncio.timeout` cancels; waiting or computing, cleanup has run by then,
    and the instance can be called again."""

    async def main() -> None:
        shared = Bed()
        instance = Instance(guest(), [bed(shared)])
        args = [3_600_000] if name == "nap" else []
        with pytest.raises(Timeout):
            await instance.call_async(name, *args, timeout=0.005, turn=0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.005):
                await instance.call_async(name, *args, turn=0.001)
        assert len(shared.left) == 2 * len(args)
        assert await instance.call_async("spin", 10) == 10

    asyncio.run(main())


def test_a_computing_guest_lets_the_loop_go_on() -> None:
    """Another guest's wait ends, and the loop's own timers come, beside one that never waits."""

    async def main() -> int:
        busy = asyncio.create_task(Instance(guest(), [bed(Bed())]).call_async("for_ever", turn=0.001))
        await asyncio.sleep(0.002)
        result: int = await Instance(guest(), [bed(Bed())]).call_async("nap", 2)
        assert not busy.done()
        busy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await busy
        return result

    assert asyncio.run(main()) == 2


def test_an_interrupt_and_an_exit() -> None:
    """An `Interrupt` raises CallInterrupted, wherever it is set; an exit is ExitRequested, and `main_async` gives the
    code."""

    def leave(ctx: BlockingContext[Any]) -> int:
        ctx.exit(3)

    hotel = Hotel()
    stop = Interrupt()

    async def main() -> None:
        asyncio.get_running_loop().call_later(5.0, stop.set)
        with pytest.raises(CallInterrupted):
            await hotel.room().call_async("nap", 60_000, interrupt=stop)
        with pytest.raises(ExitRequested, match="3"):
            await calling(leave).call_async("f")
        text = '(module (import "h" "f" (func $f (result i32))) (func (export "_start") (drop (call $f))))'
        for f, code in ((leave, 3), (lambda ctx: 1, 0)):
            assert await Instance(Module.from_bytes(wat(text)), [module_of(f)]).main_async() == code
        with pytest.raises(MissingExport):
            await hotel.room().call_async("nothing")

    virtually(main(), hotel.clock)


def test_an_instance_whose_start_function_waits() -> None:
    """`Instance.create`: the start function waits in the loop; cancelled, it cleans up and the instance is closed."""
    closed: list[int] = []
    left: list[str] = []

    def wait(ctx: BlockingContext[Any]) -> int:
        ctx.acquire(lambda: "slot", release=left.append)
        ctx.sleep(2.0)
        return 1

    host: HostModule[int] = HostModule("h", state=lambda: 7, close=closed.append)
    host.restartable(name="f")(_typed(wait))
    module = Module.from_bytes(wat(CALLING.format(STARTING)))
    clock = FakeClock()
    engine = Engine(EngineConfig(clock=clock))

    async def main() -> None:
        begun = clock.monotonic()
        with await Instance.create(module, [host], engine=engine) as instance:
            assert clock.monotonic() - begun == pytest.approx(2.0)
            assert await instance.call_async("f") == 1
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Instance.create(module, [host], engine=engine), 1.0)
        with pytest.raises(Timeout):
            await Instance.create(module, [host], engine=engine, timeout=1.0)
        await Instance.create(guest(), [bed(Bed())])

    virtually(main(), clock)
    assert closed == [7, 7, 7]
    assert left == ["slot"] * 4


def _typed(f: Callable[[BlockingContext[Any]], int]) -> Callable[[BlockingContext[int]], u32]:
    def call(ctx: BlockingContext[int]) -> u32:
        return f(ctx)

    return call


def test_notifiers_wake_from_any_thread_and_only_whom_they_concern() -> None:
    """BEHAVIOURS 15: a notification in another thread ends the wait that it is for; the others stay asleep."""
    bells = [Notifier() for _ in range(50)]
    rung: set[int] = set()
    tries: list[int] = []
    asleep = threading.Event()

    def waiting(number: int) -> Instance:
        def attempt() -> bool:
            tries.append(number)
            if len(tries) >= 50:
                asleep.set()
            return number in rung

        return calling(lambda ctx: ctx.block_until(attempt, wake=bells[number]))

    def ring() -> None:
        assert asleep.wait(PATIENCE)
        rung.add(7)
        bells[7].notify()

    async def main() -> None:
        tasks = [asyncio.create_task(waiting(number).call_async("f", turn=60.0)) for number in range(50)]
        threading.Thread(target=ring).start()
        assert await tasks[7] == 1
        assert sum(task.done() for task in tasks) == 1
        assert len(tries) <= 52
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert all(bell.waiters == 0 for bell in bells)


def test_descriptors_are_shared_closed_and_always_ready() -> None:
    """Two calls on one socket, one on a closed descriptor, one on a regular file; nothing stays registered."""
    near, far = socket.socketpair()
    near.setblocking(False)
    got: list[bytes] = []
    tries: list[int] = []

    def read(ctx: BlockingContext[Any]) -> int:
        got.append(ctx.block_until(lambda: near.recv(1), readable=near))
        return 1

    def thrice(fd: int) -> Callable[[BlockingContext[Any]], int]:
        def attempt() -> bool:
            tries.append(fd)
            return tries.count(fd) >= 3

        return lambda ctx: ctx.block_until(attempt, readable=fd)

    async def main() -> None:
        gone = os.dup(near.fileno())
        os.close(gone)
        with tempfile.TemporaryFile() as file:
            readers = [asyncio.create_task(calling(read).call_async("f")) for _ in range(2)]
            await asyncio.gather(*(calling(thrice(fd)).call_async("f") for fd in (gone, file.fileno())))
            assert not any(task.done() for task in readers)
            far.send(b"ab")
            await asyncio.gather(*readers)
            assert not asyncio.get_running_loop().remove_reader(near)

    with near, far:
        asyncio.run(main())
    assert sorted(got) == [b"a", b"b"]


def test_a_budget_of_steps_holds() -> None:
    """`steps=` is a trap when it is used up, as in a plain call."""

    async def main() -> None:
        instance = Instance(guest(), [bed(Bed())])
        with pytest.raises(Trap, match="budget"):
            await instance.call_async("for_ever", steps=1000)
        assert await instance.call_async("spin", 10, steps=1000) == 10

    asyncio.run(main())
