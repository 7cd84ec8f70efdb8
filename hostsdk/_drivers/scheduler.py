"""`Scheduler`: any number of executions on one OS thread, each with its turn, and waits that cost nothing."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Self

from .._embed import Instance
from .._engine import (
    SYSTEM_CLOCK,
    Agenda,
    Alarm,
    Clock,
    Failed,
    FakeClock,
    Injected,
    Interrupt,
    Log,
    Preempted,
    State,
    StateError,
    Suspended,
    Waiting,
    WaitSet,
    control,
)
from .._execution import Execution
from .._explain import Moment
from .._outcomes import CallCancelled
from .._types import Argument
from .driver import Deadlock, GreenDriver, late
from .queue import DrawnQueue, FairQueue, RunQueue
from .reactor import Reactor
from .tasks import Stop, Task, TaskState
from .turns import PER_SECOND, CountedTurns, TimedTurns

_log = Log("hostsdk.scheduler")
#: Seconds between two looks at descriptors while tasks compute.
_LOOK = 0.001
#: Between the end of a task and who asks for its future. Re-entrant, as a signal handler may ask.
_futures = threading.RLock()


class Scheduler:
    """Runs calls of many instances on one OS thread.

        with Scheduler() as scheduler:
            tasks = [scheduler.spawn(instance, "run", n) for n, instance in enumerate(instances)]
            scheduler.run()
            print([task.result() for task in tasks])

    A call that waits is off the stack and costs no time; one that computes gives up its turn after `turn` seconds, at
    its next check point. Turns are fair: whoever had the least time for its priority is next. With a `seed`, everything
    is virtual: turns are counted in check points and drawn from the seed, and time passes where all wait or a turn was
    used up, so equal seeds give the same interleaving and the same results.

    One thread uses it at a time; `cancel`, an `Interrupt`, notifiers and futures reach it from any thread.
    """

    def __init__(
        self, *, turn: float = 0.01, clock: Clock | None = None, seed: int | str | None = None, threads: bool = False
    ) -> None:
        """`turn` is in seconds; with a seed, 10 ms stand for 100 check points on average. `clock` is for the tasks'
        waits and time limits, in place of their engines'; with a seed, a `FakeClock` that this scheduler moves.
        `threads` says that with a seed, too, events come from other threads: a wait that nothing else can end is then
        left to them. Raises ValueError for a seed with a clock that can't be moved."""
        virtual = seed is not None
        if virtual and clock is not None and not isinstance(clock, FakeClock):
            raise ValueError("a scheduler with a seed needs a clock that it can move: a FakeClock, or none")
        self.clock: Clock = clock or (FakeClock() if virtual else SYSTEM_CLOCK)
        self.driver = GreenDriver(self.clock, virtual)
        #: Live tasks, in the order of their coming.
        self._tasks: dict[Task, None] = {}
        self._queue: RunQueue = FairQueue()
        self._timed = TimedTurns(self.clock, turn)
        self._counted: CountedTurns | None = None
        if virtual:
            rng = random.Random(seed)
            self._queue, self._counted = DrawnQueue(rng), CountedTurns(rng, max(1, round(turn * PER_SECOND)))
        self._agenda = Agenda()
        self._reactor: Reactor[Task] | None = None
        #: What other threads and wake-ups ask for: tasks to look at.
        self._posts: deque[Task] = deque()
        self._asleep = False
        self._thread: int | None = None
        self._threads = threads
        self._closed = False
        self._looked = 0.0
        #: An error that is nobody's result: Ctrl-C in the middle of a guest, say.
        self._escaped: BaseException | None = None

    # Coming in -----------------------------------------------------------------------------------------------------

    def spawn(
        self,
        instance: Instance,
        name: str,
        *args: Argument,
        priority: int = 0,
        timeout: float | None = None,
        interrupt: Interrupt | None = None,
        label: str | None = None,
    ) -> Task:
        """A task that calls an export. It runs when the scheduler does.

        `timeout` is in seconds from now, for all of it; `interrupt` stops it as it does a plain call. A higher
        `priority` has a greater share. `label` is for people. Raises what `Instance.start` raises. A host function may
        spawn, too: its task then begins, and fails where it can't, when its first turn comes.
        """

        def begin() -> Execution:
            return instance.start(name, *args)

        task = Task(label or name, priority, self, begin)
        if control.current() is None:
            self._begin(task)
        return self._admit(task, timeout, interrupt)

    def add(
        self,
        execution: Execution,
        *,
        priority: int = 0,
        timeout: float | None = None,
        interrupt: Interrupt | None = None,
        label: str | None = None,
    ) -> Task:
        """A task that goes on with an execution: one that was suspended, or loaded. Its clock must be the scheduler's.

        Raises StateError where it has ended or runs, and ValueError for another clock.
        """
        context = execution._context
        if context.state not in (State.READY, State.SUSPENDED):
            raise StateError(f"an execution that is {context.state.value} can't become a task")
        if context.state is State.SUSPENDED and context.requests.clock is not self.clock:
            raise ValueError("the execution has deadlines on another clock: make the scheduler with that one")
        task = Task(label or execution.name, priority, self, None, execution)
        self._adopt(execution)
        return self._admit(task, timeout, interrupt)

    def _begin(self, task: Task) -> None:
        begin, task._begin = task._begin, None
        if begin is not None:
            task.execution = begin()
            self._adopt(task.execution)

    def _adopt(self, execution: Execution) -> None:
        context = execution._context
        if context.requests.parent is not None:
            raise StateError("an execution that is nested in a host function's call can't become a task")
        context.requests.clock = self.clock
        context.requests.turns = self._counted
        context.driver = self.driver

    def _admit(self, task: Task, timeout: float | None, interrupt: Interrupt | None) -> Task:
        if self._closed:
            raise StateError("the scheduler is closed")
        task._interrupt = interrupt
        if timeout is not None:
            task._deadline = self.clock.monotonic() + timeout
        self._tasks[task] = None
        if self._mine():
            self._attend(task)
            self._push(task)
        else:
            self._post(task)
        return task

    def _mine(self) -> bool:
        """Whether the calling thread may touch the queue."""
        return self._thread in (None, threading.get_ident())

    def _attend(self, task: Task) -> None:
        """Have the task's interrupt and time limit reach it, as soon as it can be reached."""
        if task._attended or task.execution is None:
            return
        task._attended = True
        requests = task._context.requests
        if task._interrupt is not None:
            requests.attachments.append(task._interrupt.attach(requests))
        if task._deadline is not None:
            task._limit = self._alarm(task._deadline, lambda: self._expire(task))
        requests.refresh()

    def _expire(self, task: Task) -> None:
        if not task.ended:
            requests = task._context.requests
            requests.expired = True
            requests.wake()

    def cancel(self, task: Task) -> None:
        """Drop the call of `task`: see `Task.cancel`."""
        if task.ended:
            return
        task._cancelled = True
        if self._thread is None:
            self._cancelled(task)
            return
        if task.state is TaskState.RUNNING and task.execution is not None:
            task._context.requests.preempt()
        self._post(task)

    # Running -------------------------------------------------------------------------------------------------------

    def run(self, *tasks: Task, timeout: float | None = None) -> bool:
        """Run until all of `tasks` have ended, or all that there are where none are given; True then, False where
        `timeout` seconds were over first. What they gave is for their `result` to say.

        Blocks the thread, but not for Ctrl-C. Raises Deadlock with a seed; an exception that is no `Exception` and
        came up in a guest (KeyboardInterrupt) comes out here, too. The others can be run on. Raises StateError inside
        a host function, and where another thread is running it.
        """
        if control.current() is not None or self._thread is not None:
            raise StateError("the scheduler can't be run by a host function, or by two threads at once")
        deadline = None if timeout is None else self.clock.monotonic() + timeout
        stop = None if deadline is None else self._alarm(deadline, _nothing)
        left = list(tasks)
        self._thread = threading.get_ident()

        def over() -> bool:
            return _all_ended(left) if tasks else self._empty()

        try:
            self._run_until(lambda: over() or late(self.clock, deadline))
            if self._escaped is not None:
                error, self._escaped = self._escaped, None
                raise error
            return over()
        except BaseException:
            self._mend()
            raise
        finally:
            self._thread = None
            if stop is not None:
                stop.cancel()

    def _run_until(self, over: Callable[[], bool]) -> None:
        while not over() and self._escaped is None:
            self._once()

    def _empty(self) -> bool:
        return not self._tasks

    def _mend(self) -> None:
        """Ctrl-C may have come between any two steps of ours: whoever had the turn then is ready for another."""
        for task in list(self._tasks):
            if task.state is TaskState.RUNNING and task.execution is not None:
                if task.execution.state in (State.READY, State.SUSPENDED):
                    self._ready(task)

    def join(self, task: Task) -> Any:
        """Run until `task` has ended, and give its result: see `run` and `Task.result`."""
        self.run(task)
        return task.result()

    def _once(self) -> None:
        """One turn, or one sleep."""
        live = len(self._tasks)
        self._read_posts()
        now = self.clock.monotonic()
        if now - self._looked >= _LOOK or self._counted is not None:
            self._looked = now
            self._look(0.0)
        task = self._queue.pop()
        if task is None:
            if len(self._tasks) == live:  # or whoever runs us has what it waited for
                self._idle()
            return
        self._turn(task)

    def _push(self, task: Task) -> None:
        if not task._queued:
            task._queued = True
            self._queue.push(task)

    def _turn(self, task: Task) -> None:
        self._began(task)
        self._after(task, self._carry_out(task, self._timed))

    def _began(self, task: Task) -> None:
        task._queued = False
        task._move(TaskState.RUNNING)
        task.turns += 1
        if task.execution is not None:
            task._context.requests.preempted = False  # what was asked in the turn before

    def _carry_out(self, task: Task, timed: TimedTurns) -> object:
        """What came of a turn: the outcome, or the exception because of which there was none."""
        try:
            if task.execution is None:
                self._begin(task)
            self._attend(task)
        except Exception as error:
            return error
        context = task._context
        if self._counted is not None:
            self._counted.begin()
        else:
            timed.begin(context.requests)
        try:
            return control.run(context)
        except Exception as error:  # it could not be entered: another call is in the middle of its instance
            if context.state is State.SUSPENDED:
                control.drop(context)
            return error
        finally:
            self._queue.charge(task, timed.end())

    def _after(self, task: Task, outcome: object) -> None:
        if isinstance(outcome, Suspended):
            if task._cancelled:
                self._cancelled(task)
                return
            if isinstance(outcome.reason, Waiting):
                self._wait(task, outcome.reason.waits)
                return
            if isinstance(outcome.reason, (Preempted, Injected)):
                self._again(task)
                return
        if isinstance(outcome, Exception):
            self._end(task, error=outcome)
        else:
            self._conclude(task, outcome)

    def _again(self, task: Task, last: bool = False) -> None:
        """The task could go on at once, and does so when its turn comes; not before another one's, with `last`."""
        if self._counted is not None and isinstance(self.clock, FakeClock):
            self.clock.advance(self._counted.seconds)  # or who computes for ever would hold time still
        task._move(TaskState.READY)
        if last:
            self._queue.give_way(task)
        self._push(task)

    # Waiting -------------------------------------------------------------------------------------------------------

    def _wait(self, task: Task, waits: WaitSet) -> None:
        """The task waits from here on: first it lets itself be woken, then it looks whether there is anything."""
        if waits.empty and late(self.clock, waits.deadline):
            self._again(task, last=True)
            return
        requests = task._context.requests
        task._move(TaskState.WAITING)
        task._waits = waits
        requests.waker.arm(lambda: self._post(task))
        if waits.wakes:
            waits.subscribe(requests.waker)
        if waits.deadline is not None:
            task._alarm = self._alarm(waits.deadline, requests.waker.wake)
        watched = not (waits.readable or waits.writable) or self._descriptors.add(task, waits)
        if not watched or waits.signalled or any(r.urgent for r in requests.chain()):
            self._ready(task)

    def _ready(self, task: Task) -> None:
        """Its wait may be over: it tries again when its turn comes."""
        self._stop_waiting(task)
        task._move(TaskState.READY)
        self._push(task)

    def _stop_waiting(self, task: Task) -> None:
        waits, task._waits = task._waits, None
        if waits is None:
            return
        waker = task._context.requests.waker
        waker.disarm()
        if waits.wakes:
            waits.unsubscribe(waker)
        if self._reactor is not None and (waits.readable or waits.writable):
            self._reactor.remove(task, waits)
        if task._alarm is not None:
            task._alarm.cancel()
            task._alarm = None

    def _alarm(self, deadline: float, fn: Callable[[], None]) -> Alarm:
        """Have `fn` called once `deadline` has passed: by this thread where time is real, by the clock where not."""
        if self.clock.timeout_for(deadline) is None:
            return self.clock.call_at(deadline, fn)
        alarm = Alarm(deadline, fn, self._cancel_alarm)
        self._agenda.add(alarm)
        return alarm

    def _cancel_alarm(self, alarm: Alarm) -> None:
        self._agenda.cancel(alarm)

    @property
    def _descriptors(self) -> Reactor[Task]:
        # Made by the thread that runs: its bell hears signals where that is the main thread.
        if self._reactor is None:
            self._reactor = Reactor()
        return self._reactor

    def _post(self, task: Task) -> None:
        """Have the running thread look at `task`. From any thread or signal handler; takes no lock."""
        self._posts.append(task)
        if self._asleep and self._reactor is not None:
            self._reactor.ring()

    def _read_posts(self) -> None:
        posts = self._posts
        while posts:
            task = posts.popleft()
            if task._cancelled and task.state in (TaskState.READY, TaskState.WAITING):
                self._cancelled(task)
            elif task.state is TaskState.WAITING:
                if not self._struck(task):
                    self._ready(task)
            elif task.state is TaskState.READY:
                self._attend(task)
                self._push(task)  # it came from another thread

    def _struck(self, task: Task) -> bool:
        """Whether an interrupt or the time limit has ended the wait, and with it the task, which needs no turn then."""
        found = control.report(task._context)
        if found is None:
            return False
        self._stop_waiting(task)
        self._stopped(task, found)
        return True

    def _look(self, timeout: float | None) -> None:
        """See which deadlines have passed and which descriptors are ready."""
        self._call_due()
        if timeout != 0.0 or (self._reactor is not None and len(self._reactor)):
            for task in self._descriptors.look(timeout):
                if task.state is TaskState.WAITING:
                    self._ready(task)

    def _call_due(self) -> None:
        while (fn := self._agenda.take_due(self.clock.monotonic())) is not None:
            fn()

    def _idle(self) -> None:
        """Nobody can go on: sleep until something happens, or let virtual time pass."""
        if self._posts:
            return
        clock = self.clock
        if self._counted is not None and isinstance(clock, FakeClock):
            if clock.step():
                return
            if not (self._threads or (self._reactor is not None and len(self._reactor))):
                waiting = "\n".join(f"{task.name}: {task.waits_for}" for task in self._tasks)
                raise Deadlock(f"nothing will ever end these waits:\n{waiting}")
        reactor = self._descriptors
        self._asleep = True
        try:
            deadline = self._agenda.earliest()
            if deadline is not None:
                self._timed.expect(deadline)
            timeout = None if deadline is None else clock.timeout_for(deadline)
            if not self._posts and reactor is not None:
                self._look(timeout)
        finally:
            self._asleep = False

    # Going out -----------------------------------------------------------------------------------------------------

    def _conclude(self, task: Task, outcome: object) -> None:
        if isinstance(outcome, Suspended):
            self._stopped(task, outcome)
            return
        execution = task.execution
        if execution is None:
            raise StateError(f"{task.name} has not begun")
        try:
            value = execution.instance._conclude(execution, outcome)
        except BaseException as error:
            self._end(task, error=error)
            if isinstance(outcome, Failed) and not isinstance(error, Exception):
                self._escaped = error
        else:
            self._end(task, value)

    def _stopped(self, task: Task, outcome: Suspended) -> None:
        """What a plain call would raise, with the cleanup where nobody will go on with it."""
        execution = task.execution
        if execution is None:
            raise StateError(f"{task.name} has not begun")
        execution._note(outcome)
        error: BaseException | Stop = Stop(execution, outcome.reason, Moment(execution))
        try:
            if not task._kept:
                execution.drop()
        except BaseException as other:  # a cleanup's own
            error = other
            if not isinstance(other, Exception):
                self._escaped = other
        self._end(task, error=error)

    def _cancelled(self, task: Task) -> None:
        """Drop the call: its host functions clean up, innermost first."""
        if task.ended:
            return
        execution = task.execution
        if execution is None:
            task._begin = None
            self._end(task, error=StateError(f"{task.name} was cancelled before it began"))
            return
        self._stop_waiting(task)
        moment = Moment(execution)
        cause: BaseException | None = None
        try:
            execution.drop()
        except BaseException as error:  # a cleanup's own
            cause = error
            if not isinstance(error, Exception):
                self._escaped = error
        cancelled = CallCancelled(f"{task.name} was cancelled", execution, moment)
        cancelled.__cause__ = cause
        self._end(task, error=cancelled)

    def _end(self, task: Task, value: Any = None, error: BaseException | Stop | None = None) -> None:
        task._value, task._error = value, error
        with _futures:
            task._move(TaskState.ENDED)
            future = task._future
        if task._limit is not None:
            task._limit.cancel()
        if task.execution is not None:
            requests = task._context.requests
            requests.disarm()
            requests.turns = None
        self._tasks.pop(task, None)
        if future is not None:
            _settle(future, task)

    def _future_of(self, task: Task) -> Future[Any]:
        with _futures:
            made = task._future is None
            future = task._future = task._future or Future()
            settled = made and task.ended
        if settled:
            _settle(future, task)
        return future

    # Looking -------------------------------------------------------------------------------------------------------

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Those that have not ended, in the order of their coming."""
        return tuple(self._tasks)

    @property
    def wakeups(self) -> int:
        """Times that the thread has come back from its sleep."""
        return 0 if self._reactor is None else self._reactor.wakeups

    def close(self) -> None:
        """Cancel what has not ended, newest first, and let the descriptors go. The first error of a cleanup is raised
        when all is done. Raises StateError while it runs."""
        if self._thread is not None:
            raise StateError("the scheduler is running")
        self._closed = True
        errors = []
        for task in reversed(self.tasks):
            self._cancelled(task)
            if task.error is not None and task.error.__cause__ is not None:
                errors.append(task.error.__cause__)
        self._escaped = None
        self._timed.close()
        if self._reactor is not None:
            self._reactor.close()
            self._reactor = None
        if errors:
            raise errors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Scheduler with {len(self._tasks)} tasks>"


def _nothing() -> None:
    """An alarm that only ends a sleep."""


def _all_ended(tasks: list[Task]) -> bool:
    while tasks and tasks[-1].ended:
        tasks.pop()
    return not tasks


def _settle(future: Future[Any], task: Task) -> None:
    if not future.set_running_or_notify_cancel():
        return
    if task.error is not None:
        future.set_exception(task.error)
    else:
        future.set_result(task._value)


__all__ = ["Deadlock", "Scheduler"]
