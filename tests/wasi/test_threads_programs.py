"""Threads at work: a C program on its own mutexes and condition variables, and host functions among the threads."""

from __future__ import annotations

import os
from typing import Any

import pytest

from hostsdk import Context, Engine, EngineConfig, GreenThreads, HostModule, Module, Process, Scheduler, SnapshotError
from hostsdk.testing import Every, Injector, Randomly
from hostsdk.wasi import threads, wasi
from runtime.exec import cluster
from tests.support.build import wat
from tests.support.threads import LAYOUTS, TIERS, nothing_left, process, queue_of_work
from tests.support.waits import PATIENCE, in_thread
from tests.wasi import campaign_threads


def _steps(n: int) -> int:
    count = 0
    while n != 1:
        n, count = 3 * n + 1 if n & 1 else n // 2, count + 1
    return count


_INJECTORS = {"plain": None, "all": Every(1), "third": Every(3), "some": Randomly(1, 0.3)}


@pytest.mark.parametrize("injector", _INJECTORS.values(), ids=_INJECTORS)
@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_a_queue_of_work(tier: Any, injector: Injector | None) -> None:
    """Behaviours 57, 61 and 80: a program in C, with a mutex, condition variables and a queue on nothing but atomics,
    does each job once, also where every thread leaves the stack at many check points."""
    count = 60 if injector is None else 20
    with nothing_left(), process(queue_of_work(), tier, injector=injector) as running:
        found = in_thread(lambda: running.run("run", count, timeout=PATIENCE)).result(2 * PATIENCE)
    assert found == sum(map(_steps, range(1, count + 1)))


_VIEW = """(module (import "env" "memory" (memory 1 3 shared)) (export "memory" (memory 0))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "h" "hold" (func $hold))
  (func (export "wasi_thread_start") (param i32 i32)
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))
    (drop (memory.grow (i32.const 1)))
    (i32.atomic.store (i32.const 4) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 4) (i32.const 1))))
  (func (export "run") (result i32)
    (drop (call $spawn (i32.const 0)))
    (call $hold)
    (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1)))
    (i32.load (i32.const 64))))"""


@pytest.mark.parametrize("tier", TIERS)
def test_a_view_is_never_stale(tier: Any) -> None:
    """Behaviour 69: while a host function has a view of the memory, it isn't moved, though another thread has asked for
    it; what is written through the view is there afterwards."""
    host = HostModule("h")

    @host.function
    def hold(ctx: Context[None]) -> None:
        [world] = running.instance._raw.worlds
        [memory] = running.instance._raw.memories
        with ctx.memory.view(64, 4) as view:
            memory.write(0, b"\1")  # not before, or the other thread might be through by now
            memory.waiters.notify(0, 1)  # type: ignore[attr-defined]  # a shared one
            with cluster._changed:
                asked = cluster._changed.wait_for(lambda: world.phase is cluster.Phase.STOPPING, PATIENCE)  # type: ignore[attr-defined]
            assert asked
            view[:] = b"view"

    engine = Engine(EngineConfig(tier=tier, prealloc_shared_memory=False))
    running = Process(Module.from_bytes(wat(_VIEW)), [threads(), host], engine=engine)
    with running:
        found = in_thread(lambda: running.run("run", timeout=PATIENCE)).result(2 * PATIENCE)
        assert found == int.from_bytes(b"view", "little")
        assert running.instance.memory.pages == 2


def _someone_waits(world: Any) -> bool:
    return any(member.place is cluster.Place.WAITING for member in world._members)


_POLL = """(module (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "h" "ready" (func $ready))
  (import "h" "tell" (func $tell))
  (func (export "wasi_thread_start") (param i32 i32)
    (call $ready)
    (memory.fill (i32.const 512) (i32.const 0) (i32.const 48))
    (i64.store (i32.const 512) (i64.const 9))
    (call $tell))
  (func (export "run") (result i64)
    ;; userdata 7, readable, descriptor 0
    (i64.store (i32.const 512) (i64.const 7))
    (i32.store8 (i32.const 520) (i32.const 1))
    (drop (call $spawn (i32.const 0)))
    (drop (call $poll (i32.const 512) (i32.const 640) (i32.const 1) (i32.const 700)))
    (i64.load (i32.const 640))))"""


@pytest.mark.parametrize("tier", TIERS)
def test_a_wait_keeps_what_it_was_asked(tier: Any) -> None:
    """Behaviour 44: subscriptions that another thread alters during the wait keep their meaning."""
    host = HostModule("h")
    read, write = os.pipe()

    @host.function
    def ready(ctx: Context[None]) -> None:
        """The main thread sleeps in its poll_oneoff."""
        [world] = running.instance._raw.worlds
        with cluster._changed:
            assert cluster._changed.wait_for(lambda: _someone_waits(world), PATIENCE)

    @host.function
    def tell(ctx: Context[None]) -> None:
        os.write(write, b"x")

    engine = Engine(EngineConfig(tier=tier, injector=Every(2)))
    hosts: list[HostModule[Any]] = [wasi(stdin=read), threads(), host]
    with Process(Module.from_bytes(wat(_POLL)), hosts, engine=engine) as running:
        assert running.run("run", timeout=PATIENCE) == 7
    os.close(read)
    os.close(write)


def test_random_requests() -> None:
    """Behaviour 80: schedules of random requests end, and leave nothing behind; `python -m tests.wasi.campaign_threads`
    runs as many as one likes."""
    in_thread(lambda: campaign_threads.run(range(1_000_000, 1_000_150))).result(PATIENCE * 4)


_SAVED = """(module (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "h" "save" (func $save))
  (func (export "wasi_thread_start") (param i32 i32)
    (call $save)
    (i32.atomic.store (i32.const 4) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 4) (i32.const 1))))
  (func (export "run") (result i32)
    (drop (call $spawn (i32.const 0)))
    (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1))))"""


def test_a_thread_of_several_can_t_be_saved() -> None:
    """75: an execution whose memory another instance has, too, is refused, says why, and goes on."""
    host = HostModule("h")
    said: list[str] = []

    @host.function
    def save(ctx: Context[None]) -> None:
        main = running._live[0]._execution
        assert main is not None
        with pytest.raises(SnapshotError) as caught:
            main.save()
        said.append(str(caught.value))

    with Scheduler(seed=1) as scheduler:
        spawner = GreenThreads(scheduler)
        with Process(Module.from_bytes(wat(_SAVED)), [threads(), host], spawner=spawner) as running:
            assert running.run("run") in (0, 1)
    assert len(said) == 1
