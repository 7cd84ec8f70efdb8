"""The scheduler: many executions on one thread; turns, waits, priorities, cancellation, virtual time."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import tempfile
import threading
from collections.abc import Callable
from typing import Any, Literal

import pytest

from examples.cookbook.approval import Approval
from hostsdk import (
    BlockingContext,
    CallCancelled,
    CallInterrupted,
    Deadlock,
    Execution,
    ExitRequested,
    FakeClock,
    HostModule,
    Instance,
    Interrupt,
    MissingExport,
    Module,
    Notifier,
    ReentrancyError,
    Scheduler,
    SchedulerPool,
    StateError,
    SystemClock,
    Task,
    TaskState,
    Timeout,
    Trap,
    Unanswered,
    u32,
)
from hostsdk._drivers.queue import FairQueue, weight
from hostsdk._drivers.tasks import MOVES
from hostsdk.wasi import WasiConfig, preview1
from tests.support.build import wat
from tests.support.green import Bed, Hall, bed, guest
from tests.support.waits import PATIENCE

Tier = Literal["interpreter", "native"]
#: Calls `h.f` and gives its result.
CALLING = '(module (import "h" "f" (func $f (result i32))) (func (export "f") (result i32) (call $f)))'


def calling(f: Callable[[BlockingContext[Any]], int], **options: Any) -> Instance:
    """An instance whose export `f` calls the host function `f`."""
    host = HostModule("h")

    @host.restartable(name="f")
    def call(ctx: BlockingContext) -> u32:
        return f(ctx)

    return Instance(Module.from_bytes(wat(CALLING)), [host], **options)


# Results and time ----------------------------------------------------------------------------------------------------


def test_a_hundred_naps_take_as_long_as_the_longest() -> None:
    """Waits overlap: the thread is where something is to be done, and each result is that of a plain call."""
    with Hall(seed=1) as hall:
        begun = hall.scheduler.clock.monotonic()
        tasks = [hall.spawn("nap", 1000 + n) for n in range(100)]
        assert hall.scheduler.run()
        assert [task.result() for task in tasks] == list(range(1000, 1100))
        assert hall.scheduler.clock.monotonic() - begun == pytest.approx(1.1, rel=0.1)
        assert sorted(hall.bed.left) == list(range(1000, 1100))


def test_a_sleeping_guest_costs_nothing() -> None:
    """BEHAVIOURS 73: beside a guest that computes through many turns, a thousand sleepers get the turns that they
    need to begin and to end, and nothing looks at them between."""
    with Hall(seed=1) as hall:
        sleepers = [hall.spawn("nap", 60_000) for _ in range(1000)]
        worker = hall.spawn("spin", 6000)
        hall.scheduler.run(worker)
        assert all(task.state is TaskState.WAITING for task in sleepers)
        before = sum(task.turns for task in sleepers)
        hall.scheduler.join(hall.spawn("spin", 6000))
        assert worker.turns > 20
        assert sum(task.turns for task in sleepers) == before
        hall.scheduler.run()
        assert all(task.result() == 60_000 for task in sleepers)


def test_equal_seeds_give_equal_interleavings() -> None:
    """BEHAVIOURS 74: who runs when, what is noted in which order, and how virtual time passes, all by the seed, and the
    same on every tier."""

    def played(seed: int, tier: Tier = "interpreter") -> object:
        with Hall(seed=seed, tier=tier) as hall:
            tasks = [hall.spawn(("both", "talk")[n % 2], n, 6) for n in range(6)]
            hall.scheduler.run()
            assert [task.result() for task in tasks] == list(range(6))
            return hall.bed.notes, [task.turns for task in tasks], hall.scheduler.clock.monotonic()

    assert played(5) == played(5) == played(5, "native")
    assert played(6) == played(6, "native") == played(6, "native")
    assert len({str(played(seed)) for seed in range(5)}) > 1


def test_a_computing_guest_gives_up_its_turn() -> None:
    """Two guests that compute are interleaved, at check points of WebAssembly and of the host's border."""
    with Hall(seed=4, turn=0.002) as hall:
        for n in range(2):
            hall.spawn("talk", n, 30)
        hall.scheduler.run()
        changes = sum(a != b for a, b in zip(hall.bed.notes, hall.bed.notes[1:], strict=False))
        assert changes > 10


def test_turns_end_by_time_too() -> None:
    """With real time, a guest that never waits can't keep the thread: another one ends beside it."""
    with Hall(turn=0.001) as hall:
        busy = hall.spawn("for_ever")
        assert hall.scheduler.join(hall.spawn("spin", 10)) == 10
        assert hall.scheduler.join(hall.spawn("nap", 1)) == 1
        assert not busy.ended
        assert busy.turns > 0


def test_shares_follow_priorities() -> None:
    """The next turn is for whoever had the least time for its weight, which doubles with each priority; one that comes
    back from a long wait has no claim to make up for it."""
    queue = FairQueue()
    scheduler: Any = None
    tasks = [Task(str(priority), priority, scheduler, None) for priority in (0, 1, -1)]
    late = Task("late", 0, scheduler, None)
    for task in tasks:
        queue.push(task)
    had = dict.fromkeys([*tasks, late], 0)
    for turn in range(700):
        if turn == 350:
            queue.push(late)
        chosen = queue.pop()
        assert chosen is not None
        had[chosen] += 1
        queue.charge(chosen, 1.0)
        queue.push(chosen)
    assert had[late] == pytest.approx(had[tasks[0]] / 2, rel=0.2)
    assert had[tasks[1]] == pytest.approx(2 * had[tasks[0]], rel=0.1)
    assert had[tasks[2]] == pytest.approx(had[tasks[0]] / 2, rel=0.1)
    assert weight(10**6) < float("inf")


def test_priorities_hold_in_drawn_turns() -> None:
    """A higher priority has more of the lots: its guest is through first."""
    with Hall(seed=2) as hall:
        low, high = hall.spawn("spin", 20_000, priority=-3), hall.spawn("spin", 20_000, priority=3)
        hall.scheduler.run(high)
        assert low.turns < high.turns / 4


# Ends ----------------------------------------------------------------------------------------------------------------


def test_what_a_task_gives_is_what_a_plain_call_would() -> None:
    """No value, a trap, an exit, an exception of a host function, a question: `result` gives or raises the same."""

    def leave(ctx: BlockingContext[Any]) -> int:
        ctx.exit(3)

    def fail(ctx: BlockingContext[Any]) -> int:
        raise KeyError("mine")

    def ask(ctx: BlockingContext[Any]) -> int:
        return ctx.ask(Approval("now?"))

    text = '(module (func (export "nothing")) (func (export "trap") unreachable) (func (export "two") (result i32 i32)'
    plain = Instance(Module.from_bytes(wat(text + "(i32.const 1) (i32.const 2)))")))
    with Scheduler(seed=0) as scheduler:
        nothing, trap, two = (scheduler.spawn(plain, name) for name in ("nothing", "trap", "two"))
        others = [scheduler.spawn(calling(f), "f") for f in (leave, fail, ask)]
        with pytest.raises(StateError, match="has not ended"):
            nothing.result()
        scheduler.run()
        assert nothing.result() is None
        assert two.result() == (1, 2)
        for task, error in zip([trap, *others], (Trap, ExitRequested, KeyError, Unanswered), strict=True):
            assert isinstance(task.error, error)
            with pytest.raises(error):
                task.result()


def test_two_calls_of_one_instance_can_t_be_suspended_together() -> None:
    """One activation at a time: the second is refused, and the first goes on."""
    with Hall(seed=0) as hall:
        instance = hall.instance()
        first, second = (hall.scheduler.spawn(instance, "nap", 50) for _ in range(2))
        hall.scheduler.run()
        ends = [task.error for task in (first, second)]
        assert sum(error is None for error in ends) == 1
        assert any(isinstance(error, ReentrancyError) for error in ends)


def test_a_time_limit_ends_a_task_wherever_it_is() -> None:
    """BEHAVIOURS 14: waiting or computing, with cleanup; it is for the whole task, over all its waits."""
    with Hall(seed=0) as hall:
        clock = hall.scheduler.clock
        begun = clock.monotonic()
        waiting, many = hall.spawn("nap", 9000, timeout=2.0), hall.spawn("both", 1, 1000, timeout=1.0)
        hall.scheduler.run(many, waiting)
        assert clock.monotonic() - begun == 2.0
        for task in (waiting, many):
            assert isinstance(task.error, Timeout)
        assert hall.bed.left.count(9000) == 1
    with Hall(turn=0.001) as hall:
        task = hall.spawn("for_ever", timeout=0.01)
        hall.scheduler.run()
        assert isinstance(task.error, Timeout)


def test_an_interrupt_ends_the_tasks_that_have_it() -> None:
    """One setting stops all who were given it, waiting or not yet begun, and nobody else."""
    with Hall(seed=0) as hall:
        stop = Interrupt()
        waiting = [hall.spawn("nap", 9000, interrupt=stop) for _ in range(3)]
        other = hall.spawn("nap", 20)
        hall.scheduler.run(other)
        late = hall.spawn("nap", 9000, interrupt=stop)
        stop.set()
        hall.scheduler.run()
        assert all(isinstance(task.error, CallInterrupted) for task in (*waiting, late))
        assert other.result() == 20
        assert sorted(hall.bed.left) == [20, 9000, 9000, 9000]


@pytest.mark.parametrize("virtual", [True, False])
def test_cancelled_wherever_it_is(virtual: bool) -> None:
    """BEHAVIOURS 8 and 77: waiting, ready and computing; host functions in it clean up once; others go on."""
    with Hall(seed=0) if virtual else Hall(turn=0.001) as hall:
        waiting, busy, fresh = hall.spawn("nap", 9000), hall.spawn("for_ever"), hall.spawn("nap", 8000)
        fresh.cancel()
        hall.scheduler.run(hall.spawn("nap", 5))
        for task in (waiting, busy):
            assert not task.ended
            task.cancel()
        assert hall.scheduler.run()
        for task in (waiting, busy, fresh):
            assert isinstance(task.error, CallCancelled)
            task.cancel()
        assert sorted(hall.bed.left) == [5, 9000]
        assert hall.scheduler.tasks == ()


def test_a_guest_that_has_its_task_cancelled() -> None:
    """From inside of its own turn: it comes as far as its next check point, and cleans up."""
    tasks: list[Task] = []

    def cancel_me(ctx: BlockingContext[Any]) -> int:
        tasks[0].cancel()
        tasks[0].cancel()
        ctx.sleep(1.0)
        return 1

    with Scheduler(seed=0) as scheduler:
        tasks.append(scheduler.spawn(calling(cancel_me), "f"))
        scheduler.run()
        assert isinstance(tasks[0].error, CallCancelled)


def test_closing_cancels_the_newest_first_and_tells_of_errors() -> None:
    """Every cleanup runs; the first error of one comes out in the end."""
    order: list[int] = []

    def holding(number: int) -> Instance:
        def release(value: int) -> None:
            order.append(value)
            raise ValueError(value)

        def hold(ctx: BlockingContext[Any]) -> int:
            ctx.acquire(lambda: number, release=release)
            ctx.sleep(100.0)
            return 0

        return calling(hold)

    scheduler = Scheduler(seed=0)
    for number in range(3):
        scheduler.spawn(holding(number), "f")
    assert not scheduler.run(timeout=1.0)
    with pytest.raises(ValueError, match="2"):
        scheduler.close()
    assert order == [2, 1, 0]
    with pytest.raises(StateError, match="closed"):
        scheduler.spawn(holding(0), "f")


def test_ctrl_c_comes_out_and_the_others_can_be_run_on() -> None:
    """What is no `Exception` ends its own task and the run, not the scheduler."""

    def die(ctx: BlockingContext[Any]) -> int:
        raise KeyboardInterrupt

    with Hall(seed=0) as hall:
        task, other = hall.scheduler.spawn(calling(die), "f"), hall.spawn("nap", 30)
        with pytest.raises(KeyboardInterrupt):
            hall.scheduler.run()
        assert isinstance(task.error, KeyboardInterrupt)
        assert hall.scheduler.join(other) == 30


# What wakes ----------------------------------------------------------------------------------------------------------


def test_a_notifier_from_another_thread_wakes_one_of_many() -> None:
    """BEHAVIOURS 15: no wake-up but the one that was called for, however many wait."""
    bells = [Notifier() for _ in range(200)]
    rung: set[int] = set()
    tried = threading.Event()

    def waiting(number: int) -> Instance:
        def attempt() -> bool:
            if number == 199:
                tried.set()
            return number in rung

        return calling(lambda ctx: ctx.block_until(attempt, wake=bells[number]))

    with Scheduler(turn=60.0) as scheduler:
        tasks = [scheduler.spawn(waiting(number), "f") for number in range(200)]

        def ring() -> None:
            assert tried.wait(PATIENCE)
            rung.add(77)
            bells[77].notify()

        thread = threading.Thread(target=ring)
        thread.start()
        scheduler.run(tasks[77])
        thread.join()
        assert scheduler.wakeups <= 1
        assert [bell.waiters for bell in bells] == [1] * 77 + [0] + [1] * 122
        assert sum(task.turns for task in tasks) == 201
    assert all(bell.waiters == 0 for bell in bells)


def test_descriptors_are_shared_closed_and_always_ready() -> None:
    """Two tasks on one socket, one on a closed descriptor, one on a regular file: each is tried when its own is
    ready."""
    near, far = socket.socketpair()
    near.setblocking(False)
    got: list[bytes] = []

    def read(ctx: BlockingContext[Any]) -> int:
        got.append(ctx.block_until(lambda: near.recv(1), readable=near))
        return len(got)

    with near, far, tempfile.TemporaryFile() as file, Scheduler() as scheduler:
        gone = os.dup(near.fileno())
        os.close(gone)
        tries: list[int] = []

        def twice(fd: int) -> Instance:
            def body(ctx: BlockingContext[Any]) -> int:
                def attempt() -> bool:
                    tries.append(fd)
                    return tries.count(fd) >= 3

                return ctx.block_until(attempt, readable=fd)

            return calling(body)

        readers = [scheduler.spawn(calling(read), "f") for _ in range(2)]
        others = [scheduler.spawn(twice(fd), "f") for fd in (gone, file.fileno())]
        scheduler.run(*others)
        assert not any(task.ended for task in readers)
        far.send(b"ab")
        scheduler.run()
        assert sorted(got) == [b"a", b"b"]


def test_a_number_that_is_closed_and_given_out_again() -> None:
    """A task that waits for a descriptor's number, while an older wait for the number's former file stands, is woken by
    the new file."""
    first, second = socket.socketpair(), socket.socketpair()
    number = first[0].fileno()

    def read(ctx: BlockingContext[Any]) -> int:
        return len(ctx.block_until(lambda: second[0].recv(9), readable=number))

    for end in (first[0], second[0]):
        end.setblocking(False)
    with Scheduler() as scheduler:
        stale = scheduler.spawn(calling(lambda ctx: ctx.block_until(readable=number)), "f")
        scheduler.run(scheduler.spawn(Instance(guest(), [bed(Bed())]), "spin", 1))
        assert stale.state is TaskState.WAITING
        os.dup2(second[0].fileno(), number)
        task = scheduler.spawn(calling(read), "f")
        second[1].send(b"four")
        scheduler.run(task)
        assert task.result() == 4
        stale.cancel()
    for end in (*first, *second):
        end.close()


def test_a_task_for_another_thread_and_for_a_guest() -> None:
    """`future` tells another thread; a host function waits for the task that it has spawned, which is no nested call
    and goes on beside it."""
    with Hall(seed=0) as hall:
        sub = hall.instance()

        def fork(ctx: BlockingContext[Any]) -> int:
            handle = ctx.resources.add(hall.scheduler.spawn(sub, "nap", 40))
            task = ctx.resources.get(handle, Task)
            ctx.block_until(lambda: task.ended, wake=task.future())
            result: int = task.result()
            return result + 1

        parent = hall.scheduler.spawn(calling(fork), "f")
        future = parent.future()
        hall.scheduler.run()
        assert future.result(PATIENCE) == 41
        assert parent.future() is future


def test_a_spawn_from_another_thread_is_taken_up() -> None:
    """A sleeping scheduler sees a task, and a cancellation, that come from elsewhere."""
    with Hall() as hall:
        held = hall.spawn("nap", 3_600_000)
        made: list[Task] = []

        def come() -> None:
            made.append(hall.spawn("nap", 2))
            made[0].future().result(PATIENCE)
            held.cancel()

        threading.Thread(target=come).start()
        hall.scheduler.run()
        assert made[0].result() == 2
        assert isinstance(held.error, CallCancelled)


def test_nothing_will_ever_end_it() -> None:
    """With a seed, a wait that nothing can end is an error that says who waits for what, not a hang."""
    with Scheduler(seed=0) as scheduler:
        scheduler.spawn(calling(lambda ctx: ctx.block_until(wake=Notifier())), "f", label="lonely")
        with pytest.raises(Deadlock, match=r"lonely: .*<Notifier>"):
            scheduler.run()


# Misuse --------------------------------------------------------------------------------------------------------------


def test_what_can_t_become_a_task() -> None:
    """An execution that has ended, one that waits on another clock, a name that isn't exported, a real clock."""
    with Hall(seed=0) as hall:
        instance = hall.instance()
        done = instance.start("spin", 1)
        done.run()
        with pytest.raises(StateError, match="returned"):
            hall.scheduler.add(done)
        stop = Interrupt()
        stop.set()
        half = instance.start("spin", 5)
        half.run(interrupt=stop)
        with pytest.raises(ValueError, match="another clock"):
            hall.scheduler.add(half)
        half.drop()
        with pytest.raises(MissingExport):
            hall.scheduler.spawn(instance, "nothing")
        with pytest.raises(ValueError, match="FakeClock"):
            Scheduler(seed=0, clock=SystemClock())
    assert MOVES[TaskState.ENDED] == frozenset()
    with pytest.raises(StateError, match="ended can't become"):
        Task("t", 0, hall.scheduler, None, state=TaskState.ENDED)._move(TaskState.READY)


def test_an_execution_goes_on_as_a_task() -> None:
    """BEHAVIOURS 75: suspended as a task, saved, loaded, and added to another scheduler, it ends as it would have."""
    with Hall(seed=0) as hall:
        task = hall.spawn("both", 3, 4)
        hall.scheduler.run(timeout=0.01)
        assert isinstance(task.execution, Execution)
        pattern = bed(Bed())
        pattern.save(lambda state: 0)
        pattern.load(lambda data: Bed())
        # What is held can't be saved, and here a nap holds something all the time but in between.
        assert "blocked" in task.explain()
        assert task.waits_for is not None
        task.cancel()
    clock = FakeClock()
    with Scheduler(clock=clock, seed=1) as scheduler:
        execution = Instance(guest(), [bed(Bed())]).start("spin", 30)
        assert scheduler.join(scheduler.add(execution)) == 30


def test_a_host_function_can_t_run_the_scheduler() -> None:
    """Its own turn would wait for itself."""
    with Scheduler(seed=0) as scheduler:
        task = scheduler.spawn(calling(lambda ctx: int(scheduler.run())), "f")
        scheduler.run()
        assert isinstance(task.error, StateError)


#: Gives up its turn until a note has been made.
YIELDING = """(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "h" "note" (func $note (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "until") (param $id i32) (param $count i32)
    (loop
      (drop (call $yield))
      (br_if 0 (i32.lt_u (call $note (local.get $id)) (local.get $count))))))"""


def yielding(notes: list[int]) -> Instance:
    """A guest that notes its number, and goes on until there are so many notes of it."""
    host = HostModule("h")

    @host.restartable
    def note(ctx: BlockingContext, number: u32) -> u32:
        ctx.once(lambda: notes.append(number))
        return notes.count(number)

    return Instance(Module.from_bytes(wat(YIELDING)), [preview1(WasiConfig()), host])


@pytest.mark.parametrize("layout", ["fair", "drawn", "pool", "loop"])
def test_sched_yield_lets_others_go_first(layout: str) -> None:
    """BEHAVIOURS 55: guests that give up their turns have them one after the other, though none is ever over by time;
    in a drawn order none has two in a row."""
    notes: list[int] = []
    calls = [(yielding(notes), number) for number in range(2)]
    if layout == "loop":

        async def main() -> None:
            await asyncio.gather(*[guest.call_async("until", number, 20, turn=60.0) for guest, number in calls])

        asyncio.run(main())
    else:
        options: Any = {"drawn": {"seed": 3}, "pool": {"workers": 1}}.get(layout, {})
        with SchedulerPool(turn=60.0, **options) if layout == "pool" else Scheduler(turn=60.0, **options) as scheduler:
            for instance, number in calls:
                scheduler.spawn(instance, "until", number, 20)
            scheduler.run()
    assert sorted(notes) == [0] * 20 + [1] * 20
    changes = sum(a != b for a, b in itertools.pairwise(notes))
    assert changes > 30
