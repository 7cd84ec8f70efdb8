"""What waiting costs: wake-ups, latency, overshoot, memory, and what the others lose by it."""

from __future__ import annotations

import asyncio
import gc
import math
import os
import resource
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Literal

from hostsdk import (
    BlockingContext,
    CallInterrupted,
    Engine,
    EngineConfig,
    HostModule,
    Instance,
    Interrupt,
    Module,
    Scheduler,
    u32,
)

from .build import wat
from .measure import Row, seconds

TEXT = """(module
  (import "h" "nap" (func $nap (param i32) (result i32)))
  (import "h" "pass" (func $pass (param i32) (result i32)))
  (func (export "nap") (param i32) (result i32) (call $nap (local.get 0)))
  (func (export "turns") (param i32) (result i32) (local i32)
    (loop
      (local.set 1 (call $pass (local.get 1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func (export "spin") (param i32) (result i32) (local i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1)))"""
FOR_LONG = 3_600_000


@cache
def _parts() -> tuple[Module, HostModule[None]]:
    host = HostModule("h")

    @host.restartable
    def nap(ctx: BlockingContext, ms: u32) -> u32:
        ctx.sleep(ms / 1000)
        return ms

    @host.restartable(name="pass")
    def pass_(ctx: BlockingContext, n: u32) -> u32:
        ctx.sleep(0)  # off the stack, behind whoever else is ready, and back
        return n + 1

    return Module.from_bytes(wat(TEXT)), host


def _instance(engine: Engine | None = None) -> Instance:
    module, host = _parts()
    return Instance(module, [host], engine=engine)


def _switches() -> int:
    """Times that this process's threads gave up the processor to wait, as the kernel counts them."""
    total = 0
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/status") as status:
                total += sum(int(line.split()[1]) for line in status if line.startswith("voluntary_ctxt"))
        except OSError:
            continue
    return total


def _idle(run: Callable[[threading.Event], None], window: float = 2.0) -> float:
    """Wake-ups a second of the other threads while `run` waits in one."""
    begun = threading.Event()
    thread = threading.Thread(target=run, args=(begun,), daemon=True)
    thread.start()
    begun.wait()
    time.sleep(0.5)
    before = _switches()
    time.sleep(window)
    # This thread's own sleep is one.
    return max(0, _switches() - before - 1) / window


def idle() -> Iterator[Row]:
    """Wake-ups a second while everybody waits."""
    for count in (1, 100, 1000):
        stop = Interrupt()

        def green(begun: threading.Event, count: int = count, stop: Interrupt = stop) -> None:
            with Scheduler() as scheduler:
                for _ in range(count):
                    scheduler.spawn(_instance(), "nap", FOR_LONG, interrupt=stop)
                _begin(scheduler)
                begun.set()
                scheduler.run()

        yield Row(f"wake-ups of {count} that wait, scheduler", _idle(green), "1/s", {}, "", 0.5, "at most")
        stop.set()

        def loop(begun: threading.Event, count: int = count, stop: Interrupt = stop) -> None:
            async def main() -> None:
                calls = [
                    asyncio.create_task(_instance().call_async("nap", FOR_LONG, interrupt=stop)) for _ in range(count)
                ]
                await asyncio.sleep(0.3)
                begun.set()
                await asyncio.gather(*calls, return_exceptions=True)

            asyncio.run(main())

        stop.clear()
        yield Row(f"wake-ups of {count} that wait, asyncio", _idle(loop), "1/s", {}, "", 0.5, "at most")
        stop.set()


def ending() -> Iterator[Row]:
    """How long it takes to interrupt one, and to end a thousand."""
    laps = []
    with Scheduler() as scheduler:
        for _ in range(100):
            stop = Interrupt()
            task = scheduler.spawn(_instance(), "nap", FOR_LONG, interrupt=stop)
            _begin(scheduler)
            told: list[float] = []

            def tell(stop: Interrupt = stop, told: list[float] = told) -> None:
                time.sleep(0.002)
                told.append(time.perf_counter())
                stop.set()

            thread = threading.Thread(target=tell)
            thread.start()
            scheduler.run(task)
            laps.append(time.perf_counter() - told[0])
            thread.join()
    yield Row("interrupt one that waits, green (median)", statistics.median(laps) * 1e6, "µs", {}, "", 200, "at most")
    best, engine = math.inf, Engine(EngineConfig(tier="interpreter"))
    for _ in range(7):
        stop = Interrupt()
        with Scheduler() as scheduler:
            tasks = [scheduler.spawn(_instance(engine), "nap", FOR_LONG, interrupt=stop) for _ in range(1000)]
            _begin(scheduler)
            gc.collect()

            def end(scheduler: Scheduler = scheduler, stop: Interrupt = stop) -> None:
                stop.set()
                scheduler.run()

            best = min(best, seconds(end))
            if any(task.error is None for task in tasks):
                raise RuntimeError("a task was not interrupted")
    yield Row("interrupt and end 1000 that wait, green", best * 1e3, "ms", {}, "", 10, "at most")
    ours, bare = math.inf, math.inf
    for _ in range(3):
        ours, bare = min(ours, _end_threads(engine)), min(bare, _end_bare())
    peers = {"bare threads, woken and joined": bare * 1e3}
    yield Row("interrupt and end 1000 that wait, OS threads", ours * 1e3, "ms", peers, next(iter(peers)), 0.5)


def _begin(scheduler: Scheduler) -> None:
    """Give every task its first turn."""
    while any(task.turns == 0 for task in scheduler.tasks):
        scheduler.run(timeout=0.01)


def _end_threads(engine: Engine, count: int = 1000) -> float:
    """Seconds to interrupt so many plain calls, each on a thread of its own, and to join the threads."""
    stop = Interrupt()

    def nap(instance: Instance) -> None:
        try:
            instance.call("nap", FOR_LONG, interrupt=stop)
        except CallInterrupted:
            pass

    threads = [threading.Thread(target=nap, args=(_instance(engine),), daemon=True) for _ in range(count)]
    return _end(threads, stop.set)


def _end_bare(count: int = 1000) -> float:
    """The same for threads that wait for an event each, and do nothing else."""
    events = [threading.Event() for _ in range(count)]

    def wake() -> None:
        for event in events:
            event.set()

    return _end([threading.Thread(target=event.wait, daemon=True) for event in events], wake)


def _end(threads: list[threading.Thread], wake: Callable[[], object]) -> float:
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    gc.collect()
    begun = time.perf_counter()
    wake()
    for thread in threads:
        thread.join()
    return time.perf_counter() - begun


def overshoot() -> Iterator[Row]:
    """By how much a sleep is too long."""
    over = []
    with Scheduler() as scheduler:
        instance = _instance()
        for ms in [3, 5, 7, 11] * 10:
            begun = time.perf_counter()
            scheduler.join(scheduler.spawn(instance, "nap", ms))
            over.append(time.perf_counter() - begun - ms / 1000)
    middle = statistics.median(over) * 1e6
    bare = []
    for ms in [3, 5, 7, 11] * 10:
        begun = time.perf_counter()
        time.sleep(ms / 1000)
        bare.append(time.perf_counter() - begun - ms / 1000)
    peers = {"time.sleep": statistics.median(bare) * 1e6}
    yield Row("overshoot of a deadline, green (median)", middle, "µs", peers, "", math.inf, "at most")


def memory() -> Iterator[Row]:
    """Resident memory of ten thousand suspended executions, beyond their instances, which have run before."""
    yield _memory("interpreter")
    yield _memory("native")


def _memory(tier: Literal["interpreter", "native"]) -> Row:
    count = 10_000
    engine = Engine(EngineConfig(tier=tier))
    instances = [_instance(engine) for _ in range(count)]
    for instance in instances:
        instance.call("spin", 1)
    with Scheduler() as scheduler:
        gc.collect()
        before = _resident()
        for instance in instances:
            scheduler.spawn(instance, "nap", FOR_LONG)
        _begin(scheduler)
        gc.collect()
        each = (_resident() - before) / count
    name = f"memory of a suspended execution, of 10,000 ({tier})"
    return Row(name, each / 1024, "KB", {}, "", 5, "at most")


def _resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


def throughput() -> Iterator[Row]:
    """A worker beside a thousand sleepers, and what turns cost."""
    amount = 1_000_000
    engine = Engine(EngineConfig(tier="interpreter"))

    def work(sleepers: int) -> tuple[float, float]:
        """Seconds of the wall clock and of the processor, which tells what others on the machine have no part in."""
        with Scheduler() as scheduler:
            for _ in range(sleepers):
                scheduler.spawn(_instance(engine), "nap", FOR_LONG)
            _begin(scheduler)
            task = scheduler.spawn(_instance(engine), "spin", amount)
            begun, spent = time.perf_counter(), time.process_time()
            scheduler.join(task)
            return time.perf_counter() - begun, time.process_time() - spent

    runs = [(work(0), work(1000)) for _ in range(5)]
    for at, clock in enumerate(("time", "processor")):
        ratio = min(beside[at] for _, beside in runs) / min(alone[at] for alone, _ in runs)
        yield Row(f"a worker beside 1000 sleepers, {clock}", ratio, "× alone", {}, "", 1.1, "at most")
    yield from _turns()


def _turns() -> Iterator[Row]:
    """What beginning a task costs, and what a switch does; beside asyncio's own tasks, which hold no guest."""
    count = 2000
    engine = Engine(EngineConfig(tier="interpreter"))
    instances = [_instance(engine) for _ in range(count)]
    with Scheduler() as scheduler:
        begun = time.perf_counter()
        for instance in instances:
            scheduler.spawn(instance, "spin", 1)
        scheduler.run()
        each = (time.perf_counter() - begun) / count
    peers = {"asyncio, a coroutine": asyncio.run(_coroutines(count, 0)) / count * 1e6}
    yield Row("spawn, run and end a task, its instance made before", each * 1e6, "µs", peers, "", math.inf, "at most")
    turns = 5000
    with Scheduler() as scheduler:
        tasks = [scheduler.spawn(_instance(), "turns", turns) for _ in range(2)]
        taken = seconds(scheduler.run)
        switches = sum(task.turns for task in tasks)
    peers = {"asyncio, two coroutines": asyncio.run(_coroutines(2, turns)) / (2 * turns) * 1e6}
    each = taken / switches * 1e6
    yield Row("a switch: a turn given up, another's turn, the return", each, "µs", peers, "", math.inf, "at most")


async def _coroutines(count: int, turns: int) -> float:
    """Seconds for so many of asyncio's tasks, each of which gives up so many turns."""

    async def turn() -> None:
        for _ in range(turns):
            await asyncio.sleep(0)

    begun = time.perf_counter()
    await asyncio.gather(*[asyncio.create_task(turn()) for _ in range(count)])
    return time.perf_counter() - begun


def waiting() -> Iterator[Row]:
    """All of these."""
    for part in (idle, ending, overshoot, throughput, memory):
        yield from part()
