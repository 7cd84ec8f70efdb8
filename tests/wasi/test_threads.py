"""wasi-threads: a process of several threads, its rules, and what is left when it ends: nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from hostsdk import (
    CallInterrupted,
    Exited,
    ExitRequested,
    Instance,
    Interrupt,
    Limits,
    Memory,
    MemoryType,
    Module,
    Process,
    Returned,
    StateError,
    Timeout,
    Trap,
    Trapped,
)
from hostsdk.wasi import threads, wasi
from tests.support.build import wat
from tests.support.threads import LAYOUTS, blocking, guest, nothing_left, process
from tests.support.waits import PATIENCE, in_thread

STATES = ("busy", "wait", "poll", "fd_read", "host")
ENDS = ("proc_exit", "trap", "return")


@pytest.fixture
def silence() -> Iterator[int]:
    """The reading end of a pipe into which nobody writes."""
    read, write = os.pipe()
    yield read
    os.close(read)
    os.close(write)


def _call(running: Process, *call: Any) -> Any:
    """A run in a thread of its own, so that what a thread keeps for its waits goes with it."""
    return in_thread(lambda: running.run(*call, timeout=PATIENCE)).result(2 * PATIENCE)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("blocked", ["main", "other"])
@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_the_end_of_one_thread(tier: Any, blocked: str, state: str, how: str, silence: int) -> None:
    """Behaviours 62, 64 and 65: while one thread is in a state that it would never leave, another calls proc_exit,
    traps or returns. The first two end the process, and so does a return of the main thread; that of another thread
    ends only that."""
    with nothing_left(), process(guest("exits"), tier, stdin=silence) as running:
        call = in_thread(lambda: running.run(blocked, STATES.index(state), ENDS.index(how)))
        if blocked == "main" and how == "return":
            with running._changed:
                assert running._changed.wait_for(lambda: running._last == 1 and running.threads == 1, PATIENCE)
            assert running.result is None
            running.exit(5)
        try:
            outcome: object = call.result(PATIENCE)
        except (ExitRequested, Trap) as error:
            outcome = error
        result = running.result
        assert result is not None
        if how == "trap":
            assert isinstance(result.outcome, Trapped)
            assert outcome is result.outcome.trap
            assert result.outcome.trap.backtrace
        elif how == "proc_exit":
            assert result.outcome == Exited(3)
        elif blocked == "other":
            assert result.outcome == Returned(())
        else:
            assert result.outcome == Exited(5)
        if not (blocked == "main" and how == "return"):
            assert result.tid == (1 if blocked == "main" else 0)
        assert running.threads == 0


@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_the_first_end_is_the_end(tier: Any) -> None:
    """Behaviour 63: of two exits at once, one is the result; it names its thread, and a later one changes nothing."""
    seen = set()
    for _ in range(10):
        with process(guest("exits"), tier) as running:
            with pytest.raises(ExitRequested) as exit_:
                running.run("race")
            result = running.result
            assert result is not None
            assert isinstance(result.outcome, Exited)
            assert exit_.value.code == result.outcome.code == (3 if result.tid else 2)
            running.exit(9)
            assert running.result is result
            seen.add(result.tid)
    assert seen <= {0, 1}


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_a_time_limit_holds_for_all_threads(tier: Any, state: str, silence: int) -> None:
    """Behaviours 14 and 67: a time limit of the process, and an interrupt, stop it whatever its threads do, and
    `Timeout` says where one was."""
    with nothing_left(), process(guest("exits"), tier, stdin=silence) as running:
        stopped = in_thread(lambda: running.run("main", STATES.index(state), 2, timeout=0.05)).exception(PATIENCE)
        assert isinstance(stopped, Timeout)
        assert stopped.explanation
    interrupt = Interrupt()
    interrupt.set()
    with process(guest("exits"), tier, stdin=silence) as running, pytest.raises(CallInterrupted):
        running.run("other", STATES.index(state), 2, interrupt=interrupt)


_STARTING = """(module (import "env" "memory" (memory 1 4 shared)) (export "memory" (memory 0))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (func $start (if (i32.atomic.rmw.add (i32.const 0) (i32.const 1)) (then
    (drop (memory.atomic.notify (i32.const 0) (i32.const 1)))
    (loop $for_ever (br $for_ever)))))
  (start $start)
  (func (export "wasi_thread_start") (param i32 i32) (unreachable))
  (func (export "_start")
    (drop (call $spawn (i32.const 0)))
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 1) (i64.const -1)))
    (call $exit (i32.const 4))))"""


@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_a_start_function_that_never_ends(tier: Any) -> None:
    """Behaviour 66: a thread's start function runs in the thread: the spawner goes on, and an exit ends it."""
    with nothing_left(), process(Module.from_bytes(wat(_STARTING)), tier) as running:
        assert in_thread(running.main).result(PATIENCE) == 4


_DEEP = """(module (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (func $deep (param i32) (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "wasi_thread_start") (param i32 i32) (call $deep (i32.const 50)))
  (func (export "run")
    (drop (call $spawn (i32.const 0)))
    (drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1)))))"""


@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_a_limit_ends_a_thread(tier: Any) -> None:
    """Behaviour 67: a thread that goes beyond a limit of its process traps, and with it the process."""
    with nothing_left(), process(Module.from_bytes(wat(_DEEP)), tier, limits=Limits(frames=20)) as running:
        stopped = in_thread(partial(running.run, "run", timeout=PATIENCE)).exception(PATIENCE)
        assert isinstance(stopped, Trap)
        assert "exhausted" in str(stopped)
        assert running.result is not None
        assert running.result.tid == 1


def test_limits_are_inherited() -> None:
    """Behaviour 67: a thread has the limits of its process."""
    # The main thread itself can call nobody, so nothing is ever spawned.
    with process(guest("exits"), limits=Limits(frames=1)) as running, pytest.raises(Trap, match="exhausted"):
        running.run("main", 0, 2)
    with process(guest("exits"), limits=Limits(frames=2)) as running:
        thread = running.instance._again()[0]
        assert thread._store.limits is running.instance._store.limits
        thread.close()


@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_a_storm_of_threads(tier: Any) -> None:
    """Behaviour 80: 1000 threads come and go, with no more than 200 at once; each has been there, none stays."""
    with nothing_left(), process(guest("crowd"), tier, threads=200) as running:
        assert _call(running, "storm", 1000) == 1000


@pytest.mark.parametrize("prealloc", [True, False], ids=["in place", "moved"])
@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_growing_at_once(tier: Any, prealloc: bool) -> None:
    """Behaviours 68, 69 and 72: 8 threads grow one memory to its maximum while 3 compute in it: each old size is given
    once, no byte is lost, and those beyond the maximum get -1 and go on."""
    with nothing_left(), process(guest("crowd"), tier, prealloc=prealloc) as running:
        assert _call(running, "contend", 8, 3) == 64
        memory = running.instance.memory
        assert memory.read(1024 + 1, 63) == bytes([1]) * 63
        assert [int.from_bytes(memory.read(n << 16, 4), "little") for n in range(1, 64)] == list(range(1, 64))
        [world] = running.instance._raw.worlds
        assert (world.stops > 0) is not prealloc  # type: ignore[attr-defined]  # a Cluster


#: What the guest is told, and what the embedder is.
_HOW = {"exit": (4, ExitRequested), "trap": (5, Trap), "return": (0, type(None))}


@pytest.mark.parametrize("how", _HOW)
@pytest.mark.parametrize("tier", LAYOUTS.values(), ids=LAYOUTS)
def test_ends_while_the_world_is_stopped(tier: Any, how: str) -> None:
    """Behaviours 70 and 71: a thread begins, exits or traps while others hold the world still, again and again: nobody
    is left waiting."""
    for _ in range(3):
        with nothing_left(), process(guest("crowd"), tier, prealloc=False) as running:
            ended = in_thread(partial(running.run, "end_while_growing", _HOW[how][0], timeout=PATIENCE))
            assert isinstance(ended.exception(PATIENCE), _HOW[how][1])


def test_what_a_process_refuses() -> None:
    """A process runs once; a guest that none runs has no threads."""
    with process(guest("exits")) as running:
        running.run("other", 1, 2)
        with pytest.raises(StateError, match="runs once"):
            running.run("other", 1, 2)
    memory = Memory.make(MemoryType(1, 4, shared=True))
    alone = Instance(guest("exits"), [wasi(), threads(), blocking()], imports={"env": {"memory": memory}})
    with alone, pytest.raises(StateError, match="no threads"):
        alone.call("other", 1, 2)
