"""`SchedulerPool`: the scheduler's tasks, run by several OS threads.

All threads are alike, the one that called `run` too: each takes the next task that is ready, gives it a turn, and
deals with what came of it. Who finds none sleeps: one of them (the leader) in the selector, for all descriptors,
deadlines and wake-ups, the others on a condition. Whoever takes a task sees to it that there is a leader after it,
and that nobody sleeps while something is ready; a thread is begun where nobody is left to be either.

Everything that tasks share changes under one lock, which is held for a few steps, never while a guest or a host
function runs. Between its turns, a task belongs to no thread.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable

from .._engine import Alarm, Clock, StateError, WaitSet
from .scheduler import _LOOK, Scheduler
from .tasks import Task, TaskState
from .turns import TimedTurns


class SchedulerPool(Scheduler):
    """A `Scheduler` that spreads the turns of its tasks over OS threads.

        with SchedulerPool(workers=4) as pool:
            tasks = [pool.spawn(instance, "run", n) for n, instance in enumerate(instances)]
            pool.run()
            print([task.result() for task in tasks])

    Everything is as with one thread: `spawn`, `join`, `cancel`, waits that cost nothing, fair turns, the same results.
    Machine code of several tasks runs truly in parallel; so may host functions, as far as Python lets them. A task has
    one thread at a time, and may have another one in its next turn: after a wait, or where it gave up its turn. Tasks
    of one instance, or of instances that are linked, never run at once.

    Which task runs when is not told beforehand, so there is no seed: for that, use `Scheduler`.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        turn: float = 0.01,
        clock: Clock | None = None,
        seed: int | str | None = None,
    ) -> None:
        """`workers` is how many OS threads may run tasks at once, the one that calls `run` included; as many as there
        are processors, if not given. They are begun where there is something to do, and end with `run`. `turn` is in
        seconds. Raises ValueError for less than one worker, and for a seed."""
        if seed is not None:
            raise ValueError("threads take turns in an order of their own: a seed needs a Scheduler, on one thread")
        if workers is not None and workers < 1:
            raise ValueError(f"a pool has one worker at least, not {workers}")
        super().__init__(turn=turn, clock=clock)
        self.workers = workers or os.cpu_count() or 1
        self._length = turn
        #: Guards what tasks share: the queue, the agenda, the reactor, and all states of tasks but "running".
        self._changed = threading.Condition(threading.RLock())
        #: Stands for one `run`: its threads go when it is another's, or None.
        self._shift: object = None
        self._over: Callable[[], bool] = bool
        self._others: list[threading.Thread] = []
        #: Who has a turn, by thread.
        self._turning: dict[int, Task] = {}
        #: Groups of linked instances in which a task has its turn, and who waits for that to be over.
        self._busy: dict[object, list[Task]] = {}
        #: Threads that have nothing to do, but for the leader.
        self._spare = 0
        #: Until when the leader sleeps, while it does.
        self._until: float | None = None

    # One run -------------------------------------------------------------------------------------------------------

    def _run_until(self, over: Callable[[], bool]) -> None:
        shift = self._shift = object()
        self._over = over
        threads = self._others = []
        try:
            self._work(shift)
        finally:
            self._stop()
            for thread in threads:
                thread.join()

    def _stop(self) -> None:
        """The run is over: everybody gives up the turn at hand, and goes."""
        with self._changed:
            self._shift = None
            for task in self._turning.values():
                if task.execution is not None:
                    task._context.requests.preempt()
            self._changed.notify_all()
            self._ring()

    def _work(self, shift: object) -> None:
        """What a thread does: turns, until the run is over."""
        timed = TimedTurns(self.clock, self._length)
        try:
            while (task := self._next(shift)) is not None:
                try:
                    self._give_turn(task, timed)
                finally:
                    del self._turning[threading.get_ident()]
        except BaseException as error:
            if threading.get_ident() == self._thread:
                raise
            self._escaped = error
            self._stop()
        finally:
            timed.close()

    def _next(self, shift: object) -> Task | None:
        """The task that the calling thread is to give a turn, as soon as there is one; None when the run is over."""
        with self._changed:
            while self._shift is shift and self._escaped is None and not self._over():
                self._read_posts()
                if not self._asleep:
                    self._look_now()
                task = self._queue.pop()
                if task is not None:
                    self._began(task)
                    self._turning[threading.get_ident()] = task
                    self._call_another(shift)
                    return task
                if self._asleep:
                    self._spare += 1
                    try:
                        self._changed.wait()
                    finally:
                        self._spare -= 1
                elif not self._posts:
                    self._lead()
            if self._shift is shift:
                self._stop()
            return None

    def _call_another(self, shift: object) -> None:
        """The calling thread has something to do. Somebody has to lead, and nobody to sleep while a task is ready."""
        if self._asleep:
            if not len(self._queue):
                return
            if not self._spare:
                self._ring()
                return
        if self._spare:
            self._changed.notify()
        elif len(self._others) + 1 < self.workers:
            context = contextvars.copy_context()  # what the caller of `run` has set holds for host functions
            thread = threading.Thread(target=context.run, args=(self._work, shift), name="hostsdk worker", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # the system has no more: these are enough
                self.workers = len(self._others) + 1
            else:
                self._others.append(thread)

    def _look_now(self) -> None:
        now = self.clock.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            self._look(0.0)

    def _lead(self) -> None:
        """Sleep until something happens, for all. The lock is held before and after."""
        reactor = self._descriptors
        deadline = self._until = self._agenda.earliest()
        timeout = None if deadline is None else self.clock.timeout_for(deadline)
        self._asleep = True
        try:
            self._changed.release()
            try:
                found = [] if self._posts else reactor.sleep(timeout)
            finally:
                self._changed.acquire()
        finally:
            self._asleep = False
        for task in reactor.whose(found):
            if task.state is TaskState.WAITING:
                self._ready(task)
        self._call_due()

    def _ring(self) -> None:
        if self._asleep and self._reactor is not None:
            self._reactor.ring()

    # One turn ------------------------------------------------------------------------------------------------------

    def _give_turn(self, task: Task, timed: TimedTurns) -> None:
        if task._cancelled:
            self._cancelled(task)
            return
        if task.execution is not None and self._struck(task):
            return
        if task.execution is None:
            try:
                self._begin(task)
            except Exception as error:
                self._end(task, error=error)
                return
        group = self._claim(task)
        if group is None:
            return
        self._heed_the_end(task)
        try:
            outcome = self._carry_out(task, timed)
        finally:
            self._release(group)
        self._after(task, outcome)

    def _heed_the_end(self, task: Task) -> None:
        """Have a task that was not to be reached when the run was over, as it had not begun, give up its turn."""
        with self._changed:
            if self._shift is None and task.execution is not None:
                task._context.requests.preempt()

    def _claim(self, task: Task) -> object:
        """The group of the task's instances, for this thread alone; None where another has a turn in it, and then the
        task is put aside meanwhile."""
        if task.execution is None:
            raise StateError(f"{task.name} has not begun")
        group = task.execution.instance._raw.group.root()
        with self._changed:
            others = self._busy.get(group)
            if others is None:
                self._busy[group] = []
                return group
            others.append(task)
            task.turns -= 1
            task._move(TaskState.READY)
            return None

    def _release(self, group: object) -> None:
        with self._changed:
            for other in self._busy.pop(group):
                if other.state is TaskState.READY:
                    self._push(other)

    def _empty(self) -> bool:
        # An end may bring a new task (a thread's next call), and is not over before.
        return not self._tasks and not self._turning

    # What tasks share ----------------------------------------------------------------------------------------------

    def _mine(self) -> bool:
        return self._thread is None

    def _read_posts(self) -> None:
        posts = self._posts
        while posts:
            task = posts.popleft()
            if task.state is TaskState.WAITING:
                self._ready(task)  # a cancelled one is dropped in its turn
            elif task.state is TaskState.READY:
                self._attend(task)
                self._push(task)

    def _wait(self, task: Task, waits: WaitSet) -> None:
        with self._changed:
            super()._wait(task, waits)
            if task._cancelled and task.state is TaskState.WAITING:
                self._ready(task)  # by whoever looked while it had its turn
            elif (waits.readable or waits.writable) and not self._descriptors.live:
                self._ring()

    def _push(self, task: Task) -> None:
        with self._changed:
            super()._push(task)

    def _stop_waiting(self, task: Task) -> None:
        with self._changed:
            super()._stop_waiting(task)

    def _alarm(self, deadline: float, fn: Callable[[], None]) -> Alarm:
        with self._changed:
            alarm = super()._alarm(deadline, fn)
            if self._asleep and (self._until is None or deadline < self._until):
                self._ring()
            return alarm

    def _cancel_alarm(self, alarm: Alarm) -> None:
        with self._changed:
            super()._cancel_alarm(alarm)

    def run(self, *tasks: Task, timeout: float | None = None) -> bool:
        """As `Scheduler.run`: until all of `tasks`, or all that there are, have ended; `timeout` is in seconds. Comes
        back when every worker has given up its turn: a host function that computes for long is waited for. Blocks."""
        return super().run(*tasks, timeout=timeout)

    def __repr__(self) -> str:
        return f"<SchedulerPool with {len(self._tasks)} tasks>"


__all__ = ["SchedulerPool"]
