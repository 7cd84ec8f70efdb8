"""`GreenThreads`: the threads of a guest as tasks of a scheduler, on one thread of the system's."""

from __future__ import annotations

from collections.abc import Generator

from .._engine import Clock, Failed
from .._execution import Execution
from .._outcomes import Outcome
from .._threads import GuestThread, ProcessResult
from .scheduler import Scheduler
from .tasks import Task


class _Over(Exception):
    """A thread has nothing to run any more."""


class GreenThreads:
    """All threads of a process take turns on the thread that runs it: `Process(module, spawner=GreenThreads())`.

    A thread that waits costs no time and none of the system's threads. With a `Scheduler` of your own, its tasks have
    their turns, too; with one that has a seed, threads take theirs in the same order every time. Each call of `run`
    without one makes one, on the engine's clock.
    """

    def __init__(self, scheduler: Scheduler | None = None) -> None:
        self._given = scheduler
        self._scheduler = scheduler

    @property
    def clock(self) -> Clock | None:
        """What deadlines are on, where that is not the engine's clock."""
        return None if self._given is None else self._given.clock

    def run(self, thread: GuestThread) -> None:
        """Run the main thread and all others until none is left."""
        process = thread.process
        scheduler = self._scheduler = self._given or Scheduler(clock=process.instance._store.engine.config.clock)
        try:
            self.start(thread)
            try:
                scheduler.run()
            except BaseException as error:
                process._finish(ProcessResult(Failed(error), 0))
                scheduler.run()
                raise
        finally:
            if self._given is None:
                scheduler.close()

    def start(self, thread: GuestThread) -> None:
        """Have a thread take its turns from now on; its instance is made in the first one."""
        self._go_on(thread, thread.executions(), None)

    def _go_on(
        self, thread: GuestThread, calls: Generator[Execution, Outcome, None], before: Outcome | None
    ) -> None:
        """A task for the thread's next call. `before` is what the last one came to."""

        def begin() -> Execution:
            try:
                return next(calls) if before is None else calls.send(before)
            except StopIteration:
                raise _Over from None

        def ended(task: Task) -> None:
            outcome = task.outcome
            if outcome is None:
                thread.end(None if isinstance(task.error, _Over) else task.error)
            else:
                self._go_on(thread, calls, outcome)

        scheduler = self._scheduler
        if scheduler is None:
            raise RuntimeError("nobody runs the threads")
        process = thread.process
        task = Task(f"{thread.name} of thread {thread.tid}", 0, scheduler, begin)
        task._kept = process._rests is not None
        scheduler._admit(task, process._left(), process._interrupt)
        task.future().add_done_callback(lambda _: ended(task))
