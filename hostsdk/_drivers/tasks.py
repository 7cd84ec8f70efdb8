"""`Task`: an execution under a scheduler, and the states that it goes through there."""

from __future__ import annotations

import enum
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from .._engine import Alarm, ExecContext, StateError, WaitSet, lean
from .._execution import Execution
from .._outcomes import Outcome, stopped

if TYPE_CHECKING:
    from .scheduler import Scheduler


class TaskState(enum.Enum):
    """Where a task is."""

    __hash__ = object.__hash__

    READY = "ready"
    RUNNING = "running"
    WAITING = "waiting"
    ENDED = "ended"


#: The legal moves. A turn ends by a wait, by the end of the time slice, or for good; a cancelled task ends wherever it
#: is, though one that runs has to come to a check point first.
MOVES: dict[TaskState, frozenset[TaskState]] = {
    TaskState.READY: frozenset({TaskState.RUNNING, TaskState.ENDED}),
    TaskState.RUNNING: frozenset({TaskState.READY, TaskState.WAITING, TaskState.ENDED}),
    TaskState.WAITING: frozenset({TaskState.READY, TaskState.ENDED}),
    TaskState.ENDED: frozenset(),
}


@lean.frozen(eq=False)
class Stop:
    """Why a call ended that nobody goes on with. Made an exception when somebody asks, as a thousand may be ended at
    once."""

    execution: Execution
    reason: object
    moment: object


@lean.define(eq=False, repr=False)
class Task:
    """One call among those that a `Scheduler` runs. Made by `Scheduler.spawn` and `Scheduler.add`."""

    #: What it is called in messages.
    name: str
    #: Each step doubles the share of the thread; 0 is usual.
    priority: int
    _scheduler: Scheduler
    #: Makes the execution, where it could not be made yet: a call that a host function spawns is not nested in its own.
    _begin: Callable[[], Execution] | None
    #: The call. None until its first turn, where a host function spawned it.
    execution: Execution | None = None
    state: TaskState = TaskState.READY
    #: Turns that it has had.
    turns: int = 0
    #: Time that it had, over its weight.
    account: float = 0.0
    _waits: WaitSet | None = None
    #: Of the wait's deadline, and of the task's own.
    _alarm: Alarm | None = None
    _limit: Alarm | None = None
    _deadline: float | None = None
    _interrupt: Any = None
    _cancelled: bool = False
    #: Whoever made it goes on with the call that an interrupt or a time limit has stopped: it isn't dropped.
    _kept: bool = False
    #: In the run queue; told of its interrupt and time limit.
    _queued: bool = False
    _attended: bool = False
    _value: Any = None
    _error: BaseException | Stop | None = None
    _future: Future[Any] | None = None

    def _move(self, new: TaskState) -> None:
        if new not in MOVES[self.state]:
            raise StateError(f"a task that is {self.state.value} can't become {new.value}")
        self.state = new

    @property
    def _context(self) -> ExecContext:
        if self.execution is None:
            raise StateError(f"{self.name} has not begun")
        return self.execution._context

    @property
    def ended(self) -> bool:
        """Whether it has come to an end: returned, failed, cancelled."""
        return self.state is TaskState.ENDED

    @property
    def outcome(self) -> Outcome | None:
        """What the execution came to; None before its end."""
        return self.execution.outcome if self.ended and self.execution is not None else None

    def result(self) -> Any:
        """What the call gave: None, the result, or a tuple of several. Raises what a plain call would have raised,
        `CallCancelled` for one that was cancelled, and StateError before its end. Never blocks."""
        if not self.ended:
            raise StateError(f"{self.name} has not ended: it is {self.state.value}")
        error = self.error
        if error is not None:
            raise error
        return self._value

    @property
    def error(self) -> BaseException | None:
        """What `result` would raise; None where it returned or goes on."""
        error = self._error
        if isinstance(error, Stop):
            error = self._error = stopped(error.execution, error.reason, error.moment)
        return error

    def cancel(self) -> None:
        """Have the call dropped, with the cleanup of every host function in it, at once where it waits, at its next
        check point where it computes. From any thread; harmless after the end."""
        self._scheduler.cancel(self)

    def future(self) -> Future[Any]:
        """A future that ends with the task: for `wake=` of a host function that waits for it, for other threads, and by
        `asyncio.wrap_future` for coroutines. Cancelling it does nothing to the task."""
        return self._scheduler._future_of(self)

    @property
    def waits_for(self) -> str | None:
        """In words, what the wait that it is in would be ended by; None where it doesn't wait."""
        waits = self._waits
        return None if waits is None else waits.explain(self._context.requests.clock.monotonic())

    def explain(self) -> str:
        """What it is blocked in, on what and since when, with the backtrace: `Execution.explain`."""
        if self.execution is None:
            return f"{self.name} has not begun"
        return self.execution.explain()

    def __repr__(self) -> str:
        return f"<Task {self.name} {self.state.value}>"
