"""Processes of several threads, suspended, saved and finished by another process: nothing is lost, done twice, or in
another order."""

from __future__ import annotations

import functools
import multiprocessing
import os
import random
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import cbor2
import pytest

from hostsdk import (
    BlockingContext,
    Deadlock,
    Engine,
    EngineConfig,
    Execution,
    Exited,
    Failed,
    GreenThreads,
    HostModule,
    Interrupt,
    Interrupted,
    MissingExport,
    Module,
    Notifier,
    OsThreads,
    Process,
    Returned,
    Scheduler,
    SnapshotError,
    StateError,
    Suspended,
    TimedOut,
    UnlinkableError,
    WasmError,
    i32,
    u32,
)
from hostsdk.testing import Every, Injector
from hostsdk.wasi import threads, wasi
from runtime import Status
from tests.runtime.test_snapshot_hostile import ODD, body_of, bytes_of, mutated, paths, repeat, scratch, swap
from tests.support.build import wat
from tests.support.threads import LAYOUTS, TIERS, blocking, guest, nothing_left, process, queue_of_work
from tests.support.waits import PATIENCE, in_thread

_naps: HostModule[None] = HostModule("h")


@_naps.restartable
def nap(ctx: BlockingContext[None], ms: u32) -> i32:
    """Sleeps; 1 if it did so once."""
    times = ctx.once(lambda: 1)
    ctx.sleep(ms / 1000)
    return times


GUESTS: dict[str, tuple[Callable[[], Module], str, tuple[int, ...], int]] = {
    "kept": (functools.partial(guest, "kept"), "run", (), 51111),
    "queue": (queue_of_work, "run", (20,), 196),
}


class AtCheck:
    """No restarts: sets an interrupt at one check point, counted over all threads."""

    def __init__(self, at: int, interrupt: Interrupt) -> None:
        self.left = at
        self.interrupt = interrupt

    def fires(self, check: int) -> bool:
        self.left -= 1
        if self.left == 0:
            self.interrupt.set()
        return False


def hosts() -> list[HostModule[Any]]:
    """What the guests import."""
    return [wasi(stdin=b""), threads(), _naps]


def begun(name: str, tier: Any, at: int) -> tuple[Process, Interrupt]:
    """A process of green threads, in an order that a seed gives, to be interrupted at one check point."""
    module, export, args, _ = GUESTS[name]
    interrupt = Interrupt()
    engine = Engine(EngineConfig(tier=tier, injector=AtCheck(at, interrupt)))
    made = Process(module(), hosts(), engine=engine, spawner=GreenThreads(Scheduler(seed=at)))
    made.start(export, *args)
    return made, interrupt


def finished(name: str, tier: Any, data: bytes, number: int) -> object:
    """What a saved process comes to, whatever runs its threads now."""
    spawner = (OsThreads, GreenThreads, lambda: GreenThreads(Scheduler(seed=number)))[number % 3]()
    engine = Engine(EngineConfig(tier=tier))
    with Process.load(data, GUESTS[name][0](), hosts(), trusted=True, engine=engine, spawner=spawner) as running:
        return running.advance(timeout=PATIENCE)


def _asked(interrupt: Interrupt) -> Suspended:
    return Suspended(Interrupted(interrupt), Status.ETOYWASMUSERINTERRUPT)


def _all_finished(name: str, tier: Any, saved: list[bytes]) -> list[object]:
    return [finished(name, tier, data, number) for number, data in enumerate(saved)]


@functools.cache
def _elsewhere() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("name", GUESTS)
def test_stopped_at_every_check_point(name: str, tier: Any) -> None:
    """75: a process whose threads compute, wait in the memory, in poll and in a host function, and begin others, is
    stopped at each check point in turn, saved, and comes to the same in another process; and in this one."""
    want = Returned((GUESTS[name][3],))
    saved: list[bytes] = []
    at, step = 1, 1 if name == "kept" else 3
    while True:
        made, interrupt = begun(name, tier, at)
        with made:
            outcome = made.advance(interrupt=interrupt)
            if isinstance(outcome, Returned):
                break
            assert outcome == _asked(interrupt)
            saved.append(made.save())
            assert made.advance(interrupt=interrupt) == want
        at += step
    assert outcome == want
    assert len(saved) > 20
    assert _elsewhere().submit(_all_finished, name, tier, saved).result(PATIENCE) == [want] * len(saved)


def _first_in_line(running: Process) -> list[int]:
    """The numbers of those who passed the line, in their order."""
    memory = running.instance.memory
    return [int.from_bytes(memory.read(32 + 4 * place, 4), "little") for place in range(3)]


@pytest.mark.parametrize("tier", TIERS)
def test_who_waits_keeps_their_place(tier: Any) -> None:
    """59 and 75: whoever waits at one address of the memory is woken in the order of arrival, loaded or not."""
    engine = Engine(EngineConfig(tier=tier))
    orders = set()
    for seed in range(12):
        spawner = GreenThreads(Scheduler(seed=seed))
        with Process(guest("kept"), hosts(), engine=engine, spawner=spawner) as made:
            made.start("line")
            assert isinstance(made.advance(timeout=0.025), Suspended)  # while the main thread naps
            data = made.save()
            assert made.finish() is None
            order = _first_in_line(made)
        with Process.load(data, guest("kept"), hosts(), trusted=True, engine=engine) as again:
            assert again.finish(timeout=PATIENCE) is None
            assert _first_in_line(again) == order
        orders.add(tuple(order))
    assert len(orders) > 1


def test_equal_seeds_give_equal_orders() -> None:
    """74: threads of a process take their turns in the order that a seed gives, the same in every run, on every tier;
    where they leave the stack at each check point, the same in every run of the interpreter. (How many check points
    machine code has depends on which code there is by then.)"""

    def played(seed: int, tier: Any, injector: Injector | None = None) -> object:
        scheduler = Scheduler(seed=seed)
        engine = Engine(EngineConfig(tier=tier, injector=injector))
        with Process(guest("kept"), hosts(), engine=engine, spawner=GreenThreads(scheduler)) as made:
            made.run("line")
            return _first_in_line(made), scheduler.clock.monotonic()

    for seed in range(6):
        assert played(seed, "interpreter") == played(seed, "native") == played(seed, "native")
        assert played(seed, "interpreter", Every(1)) == played(seed, "interpreter", Every(1))
    assert len({str(played(seed, "native")) for seed in range(6)}) > 1


@pytest.mark.parametrize("state", ["busy", "wait", "poll", "fd_read", "host"])
@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_stopped_whatever_it_does(tier: Any, state: str) -> None:
    """14 and 75: threads of every layout that would never end leave the stack from wherever they are, twice, in one
    process and loaded in another; and whoever waits no more leaves nothing behind."""
    number = ("busy", "wait", "poll", "fd_read", "host").index(state)
    read, write = os.pipe()
    engine = Engine(EngineConfig(tier=tier[0]))
    with nothing_left():
        with process(guest("exits"), tier, stdin=read) as running:
            running.start("main", number, 2)
            data = in_thread(lambda: (running.advance(timeout=0.02), running.save())[1]).result(PATIENCE)
            assert running.threads >= 1
        given: list[HostModule[Any]] = [wasi(stdin=read), threads(), blocking()]
        for _ in range(2):
            with Process.load(data, guest("exits"), given, trusted=True, engine=engine, spawner=tier[1]()) as again:
                asked = Interrupt()
                asked.set()
                outcome = in_thread(lambda: again.advance(interrupt=asked)).result(PATIENCE)  # noqa: B023
                assert outcome == _asked(asked)
                data = again.save()
        with Process.load(data, guest("exits"), given, trusted=True, engine=engine, spawner=tier[1]()) as last:
            call = in_thread(lambda: last.advance(timeout=PATIENCE))
            last.exit(5)
            assert str(call.result(PATIENCE)) == "Exited(code=5)"
    os.close(read)
    os.close(write)


def test_what_is_left_of_a_deadline() -> None:
    """58 and 76: a wait in the memory goes on with the time that was left, on whatever clock it goes on."""
    text = """(module (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
      (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
      (func (export "wasi_thread_start") (param i32 i32)
        (drop (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1))))
      (func (export "run") (result i32)
        (drop (call $spawn (i32.const 0)))
        (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const 10000000000))))"""
    module = Module.from_bytes(wat(text))
    with Process(module, [threads()], spawner=GreenThreads(Scheduler(seed=1))) as made:
        made.start("run")
        outcome = made.advance(timeout=4.0)
        assert isinstance(outcome, Suspended)
        assert isinstance(outcome.reason, TimedOut)
        data = made.save()
    scheduler = Scheduler(seed=2)
    scheduler.clock.advance(50.0)  # type: ignore[attr-defined]  # with a seed, it is a clock that can be moved
    began = scheduler.clock.monotonic()
    with Process.load(data, module, [threads()], trusted=True, spawner=GreenThreads(scheduler)) as again:
        assert again.finish() == 2
        assert scheduler.clock.monotonic() == pytest.approx(began + 6.0, abs=0.1)


def test_what_a_process_refuses_to_save() -> None:
    """75: one that hasn't been started, or has ended; and what isn't said to be trusted, or is no process."""
    with process(Module.from_bytes(wat(_ALONE))) as running:
        with pytest.raises(SnapshotError, match="was started"):
            running.save()
        with pytest.raises(StateError, match="after start"):
            running.advance()
        running.start("run")
        with pytest.raises(StateError, match="once"):
            running.start("run")
        data = running.save()
        assert running.finish() == 7
        with pytest.raises(SnapshotError, match="was started"):
            running.save()
        with pytest.raises(StateError, match="until it has ended"):
            running.advance()
        with pytest.raises(SnapshotError, match="trusted"):
            Process.load(data, running.module)
        with pytest.raises(SnapshotError, match="a snapshot of a process"):
            Execution.load(data, running.module, trusted=True)
        call = running.instance.start("run")
        with pytest.raises(SnapshotError, match="no snapshot of a process"):
            Process.load(call.save(), running.module, trusted=True)
        call.drop()


_ALONE = """(module (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
  (func $start) (start $start) (func (export "run") (result i32) (i32.const 7)))"""


_ENDING = """(module (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "h" "hold" (func $hold))
  (func (export "wasi_thread_start") (param i32 i32)
    (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1))) (unreachable))
  (func (export "run")
    (drop (call $spawn (i32.const 0)))
    (call $hold)
    (i32.atomic.store (i32.const 4) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 4) (i32.const 1)))
    (call $hold)))"""


@pytest.mark.parametrize("way", ["exit", "close", "again"])
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_an_end_while_others_rest(layout: Any, way: str) -> None:
    """62 and 75: what rests when the process ends cleans up, once, whether it was asked to exit or closed; `executions`
    tells where everybody was, and what can't be saved is named."""
    host: HostModule[None] = HostModule("h")
    left: list[str] = []
    asked = Interrupt()

    @host.restartable
    def hold(ctx: BlockingContext[None]) -> None:
        ctx.acquire(lambda: "held", release=left.append)
        asked.set()
        ctx.block_until(wake=Notifier())

    engine = Engine(EngineConfig(tier=layout[0]))
    with nothing_left():
        with Process(Module.from_bytes(wat(_ENDING)), [threads(), host], engine=engine, spawner=layout[1]()) as running:
            running.start("run")
            for _ in range(1 + (way == "again")):
                assert in_thread(lambda: running.advance(interrupt=asked)).result(PATIENCE) == _asked(asked)
            assert running.executions[0].backtrace[0].name == "hold"
            with pytest.raises(SnapshotError, match="resource 0, a str of host module h"):
                running.save()
            if way == "exit":
                running.exit(4)
            assert left == []
        assert left == ["held"]
        assert running.result is not None
        assert running.result.outcome == Exited(4 if way == "exit" else 0)


def test_a_memory_that_others_share() -> None:
    """75: a process whose memory an instance has that is no thread of its is refused, and goes on."""
    with process(Module.from_bytes(wat(_ALONE))) as running:
        running.start("run")
        other = running.instance._again()[0]
        with pytest.raises(SnapshotError, match="other instances share"):
            running.save()
        other.close()
        with Process.load(running.save(), running.module, [wasi(), threads(), blocking()], trusted=True) as again:
            assert again.finish() == running.finish() == 7


#: What a host function, or a call that is begun, may raise that data told nonsense.
_NONSENSE = (TypeError, ValueError, KeyError, AttributeError, OverflowError)


def _attempt(body: object, number: int) -> str:
    """Load what is there, and where that works run it for a while: whatever happens is orderly."""
    scheduler = Scheduler(seed=number)
    engine = Engine(EngineConfig(tier="interpreter"))
    data = bytes_of(body)
    try:
        running = Process.load(
            data, guest("kept"), hosts(), trusted=True, engine=engine, spawner=GreenThreads(scheduler)
        )
    except (SnapshotError, UnlinkableError):
        return "refused"
    with running:
        try:
            outcome = running.advance(timeout=2.0)
        except Deadlock:
            return "deadlock"
        if isinstance(outcome, Failed):
            assert isinstance(outcome.error, (WasmError, MissingExport, *_NONSENSE)), outcome
        return type(outcome).__name__


def test_parts_in_wrong_places() -> None:
    """75: parts of a saved process, its threads, their executions and their places in line, are missing, swapped,
    repeated, something odd: refused, or sound enough to run in an orderly way."""
    chance = random.Random(4)
    bodies = []
    for at in (9, 30, 60):
        made, interrupt = begun("kept", "interpreter", at)
        with made:
            assert isinstance(made.advance(interrupt=interrupt), Suspended)
            bodies.append(body_of(made.save()))
    assert {_attempt(body, 0) for body in bodies} == {"Returned"}
    seen = set()
    for number in range(240):
        body = chance.choice(bodies)
        _, *ours, states, resources = body["extra"]
        for _ in range(chance.randrange(1, 4)):
            ways = [path for path in paths(body) if path[:1] != ("memories",)]
            change = chance.choice([swap, repeat, scratch, None])
            body = change(body, chance) if change else mutated(body, chance.choice(ways), chance.choice(ODD))
        if isinstance(body, dict):
            # What host modules keep is for their hooks to look at.
            found = body.get("extra")
            told = found[1:4] if number % 2 and isinstance(found, list) else ours
            body["extra"] = ["d", *told, states, resources]
        try:
            bytes_of(body)
        except (cbor2.CBOREncodeError, OverflowError):
            continue
        seen.add(_attempt(body, number))
    assert {"refused", "Returned"} <= seen
