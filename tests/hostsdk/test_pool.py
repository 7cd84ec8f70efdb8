"""The pool: a scheduler's tasks on several threads, with the results, ends and waits of one."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from hostsdk import (
    BlockingContext,
    CallCancelled,
    CallInterrupted,
    Context,
    Deadlock,
    FakeClock,
    FuncRef,
    HostModule,
    Instance,
    Interrupt,
    Module,
    Notifier,
    SchedulerPool,
    StateError,
    Steps,
    Task,
    TaskState,
    Timeout,
    block_until,
    call,
    i32,
    u32,
)
from tests.support.build import wat
from tests.support.green import Bed, Hall, bed, guest
from tests.support.waits import PATIENCE, in_thread

#: `f` calls a host function twice, which may call `add` back.
TEXT = """(module
  (import "h" "f" (func $f (param i32) (result i32)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "f") (param i32) (result i32) (call $f (call $f (local.get 0)))))"""


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    yield
    assert [thread for thread in threading.enumerate() if thread.name == "hostsdk worker"] == []


def calling(host: HostModule[Any]) -> Instance:
    """An instance of a guest that calls `h.f`."""
    return Instance(Module.from_bytes(wat(TEXT)), [host])


@pytest.mark.parametrize("tier", ["interpreter", "native"])
@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_results_as_on_one_thread(workers: int, tier: Literal["interpreter", "native"]) -> None:
    """Each task gives what a plain call would, whoever runs it; each rests as often as it was told to."""
    with Hall(workers=workers, turn=0.001, tier=tier) as hall:
        calls = [(("nap", 3 + n), ("spin", 300 * n + 1), ("both", n, 3), ("talk", n, 5))[n % 4] for n in range(24)]
        tasks = [hall.spawn(*name) for name in calls]
        assert hall.scheduler.run()
        assert [task.result() for task in tasks] == [args[0] for _, *args in calls]
        assert sorted(hall.bed.notes) == sorted(n for n in range(24) for _ in range((0, 0, 3, 5)[n % 4]))
        assert len(hall.bed.left) == 6 + 6 * 3


def test_two_threads_have_turns_at_once() -> None:
    """A host function that waits for another task's one, on its thread, isn't alone: both have their turns. Contexts
    are right: each host function sees its own call, and the variables of whoever runs the pool."""
    both, seen = threading.Barrier(2), []
    setting = contextvars.ContextVar[str]("setting")
    setting.set("mine")
    host = HostModule("h")

    @host.restartable(name="f")
    def meet(ctx: BlockingContext, n: u32) -> u32:
        ctx.once(lambda: both.wait(PATIENCE) and 0)
        seen.append((threading.get_ident(), setting.get(), n))
        return n + 1

    with SchedulerPool(workers=2) as pool:
        tasks = [pool.spawn(calling(host), "f", n) for n in (10, 20)]
        pool.run()
        assert [task.result() for task in tasks] == [12, 22]
        assert len({thread for thread, *_ in seen}) == 2
        assert {said for _, said, _ in seen} == {"mine"}


def test_a_task_goes_from_thread_to_thread() -> None:
    """A generator that waits and calls back goes on in whatever thread gives it its next turn."""
    host = HostModule("h")
    threads: list[int] = []
    bells = [Notifier(), Notifier()]
    rung: list[Notifier] = []
    back = host.guest("add", FuncRef[[i32, i32], i32])

    @host.restartable(name="f")
    def wander(ctx: Context, n: i32) -> Steps[i32]:
        bell = bells[n - 1]
        yield from block_until(lambda: bell in rung, wake=bell)
        threads.append(threading.get_ident())
        return (yield from call(back, n, 1))

    with Hall(workers=1) as hall:
        task = hall.scheduler.spawn(calling(host), "f", 1)
        others = [hall.spawn("spin", 1) for _ in range(2)]
        hall.scheduler.run(others[0])
        rung.append(bells[0])
        bells[0].notify()
        others.append(hall.spawn("nap", 20))
        in_thread(lambda: hall.scheduler.run(others[2])).result(PATIENCE)
        assert not task.ended
        rung.append(bells[1])
        bells[1].notify()
        assert hall.scheduler.join(task) == 3
        assert threads[0] != threads[1] == threading.get_ident()


def test_tasks_of_one_instance_never_run_at_once() -> None:
    """One activation at a time: those that come meanwhile have their turns afterwards, as on one thread."""
    with Hall(workers=4, turn=60.0) as hall:
        instance = hall.instance()
        tasks = [hall.scheduler.spawn(instance, "spin", 200 + n) for n in range(30)]
        hall.scheduler.run()
        assert [task.result() for task in tasks] == [200 + n for n in range(30)]
        assert all(task.turns == 1 for task in tasks)


def test_ends_from_anywhere() -> None:
    """BEHAVIOURS 8, 14 and 77: cancelled, interrupted, timed out: computing in another thread, waiting, and not begun;
    with cleanup, and the others go on."""
    with Hall(workers=2, turn=0.001) as hall:
        stop = Interrupt()
        busy = [hall.spawn("for_ever") for _ in range(3)]
        late, struck = hall.spawn("for_ever", timeout=0.01), hall.spawn("for_ever", interrupt=stop)
        waiting, resting = hall.spawn("nap", 9_000_000), hall.spawn("nap", 8_000_000, interrupt=stop)
        slow = hall.spawn("nap", 7_000_000, timeout=0.01)
        while not (waiting.waits_for and resting.waits_for):
            hall.scheduler.run(timeout=0.005)
        hall.scheduler.run(hall.spawn("nap", 5), late, slow)
        stop.set()
        hall.scheduler.run(struck, resting)
        for task in (*busy, waiting):
            assert not task.ended
            task.cancel()
        assert hall.scheduler.run()
        assert all(isinstance(task.error, CallCancelled) for task in (*busy, waiting))
        assert all(isinstance(task.error, Timeout) for task in (late, slow))
        assert all(isinstance(task.error, CallInterrupted) for task in (struck, resting))
        assert sorted({*hall.bed.left} - {7_000_000}) == [5, 8_000_000, 9_000_000]


def test_cancelled_while_others_run_it() -> None:
    """From another thread and from a host function, while the pool runs; a future tells of the end."""
    with Hall(workers=2, turn=0.001) as hall:
        busy, resting = hall.spawn("for_ever"), hall.spawn("nap", 9_000_000)

        def cancel() -> None:
            late = hall.spawn("nap", 1).future()
            for task in (busy, resting):
                task.cancel()
            late.result(PATIENCE)

        thread = threading.Thread(target=cancel)
        thread.start()
        hall.scheduler.run(busy, resting)
        assert hall.scheduler.run()
        thread.join()
        assert isinstance(busy.error, CallCancelled)
        assert isinstance(resting.error, CallCancelled)


def test_a_run_ends_in_time_and_can_go_on() -> None:
    """`run` comes back when its time is over, or what it was given has ended, from turns in all threads."""
    with Hall(workers=3, turn=0.002) as hall:
        busy = [hall.spawn("for_ever") for _ in range(4)]
        assert not hall.scheduler.run(timeout=0.005)
        assert hall.scheduler.join(hall.spawn("nap", 1)) == 1
        assert all(task.state is TaskState.READY for task in busy)
        with pytest.raises(StateError, match="has not ended"):
            busy[0].result()
    assert all(isinstance(task.error, CallCancelled) for task in busy)


def test_many_sleep_and_one_is_woken() -> None:
    """BEHAVIOURS 15: a thousand that wait need one sleeping thread and no wake-up; a notifier wakes its own."""
    bells = [Notifier() for _ in range(100)]
    host = HostModule("h", state=lambda: iter(bells))
    rung: list[Notifier] = []
    tried = threading.Semaphore(0)

    @host.restartable(name="f")
    def wait(ctx: BlockingContext[Any], n: u32) -> u32:
        def attempt() -> bool:
            tried.release()
            return bells[n] in rung

        ctx.block_until(attempt, wake=bells[n])
        return n

    with SchedulerPool(workers=2, turn=60.0) as pool:
        tasks = [pool.spawn(calling(host), "f", n) for n in range(100)]

        def ring() -> None:
            for _ in range(100):
                assert tried.acquire(timeout=PATIENCE)
            rung.append(bells[33])
            bells[33].notify()

        thread = threading.Thread(target=ring)
        thread.start()
        pool.run(tasks[33])
        thread.join()
        assert sum(task.turns for task in tasks) <= 102
        assert tasks[33].result() == 33


def test_what_is_no_exception_comes_out_of_run() -> None:
    """Ctrl-C in a guest that another thread runs ends that task, and comes out where the pool is run."""
    host = HostModule("h")

    @host.restartable(name="f")
    def die(ctx: BlockingContext, n: u32) -> u32:
        raise KeyboardInterrupt

    with Hall(workers=2, turn=0.001) as hall:
        other = hall.spawn("nap", 2)
        tasks = [hall.scheduler.spawn(calling(host), "f", n) for n in range(2)]
        for _ in range(10):
            try:
                hall.scheduler.run()
                break
            except KeyboardInterrupt:
                pass
        assert all(isinstance(task.error, KeyboardInterrupt) for task in tasks)
        assert other.result() == 2


def test_what_a_pool_refuses() -> None:
    """A seed (turns of several threads have no order that could be repeated), no worker, a run inside of a turn."""
    with pytest.raises(ValueError, match="a seed needs a Scheduler"):
        SchedulerPool(workers=2, seed=1)
    with pytest.raises(ValueError, match="one worker at least"):
        SchedulerPool(workers=0)
    assert SchedulerPool().workers >= 1
    host = HostModule("h")
    with SchedulerPool(workers=2) as pool:

        @host.restartable(name="f")
        def again(ctx: BlockingContext, n: u32) -> u32:
            pool.run()
            return n

        task = pool.spawn(calling(host), "f", 1)
        pool.run()
        assert isinstance(task.error, StateError)
        assert not isinstance(task.error, Deadlock)


def test_a_turn_that_begins_as_the_run_ends_is_given_up() -> None:
    """BEHAVIOURS 8: whoever has taken a task, but has not begun its turn when the run is over, doesn't begin a long
    one: here no time passes that would end it."""

    class Hasty(SchedulerPool):
        """One whose run is over as soon as a task has been taken."""

        def _claim(self, task: Task) -> object:
            group = super()._claim(task)
            self._stop()
            return group

    with Hasty(workers=1, clock=FakeClock()) as pool:
        task = pool.spawn(Instance(guest(), [bed(Bed())]), "for_ever")
        pool.run(task)
        assert task.turns == 1
        assert not task.ended
