"""States of an execution, the legal moves between them, and the outcomes that running one can have.

Nothing about states is written anywhere else. An illegal move raises `StateError` and changes nothing.

The status codes are toywasm's: everything at or below `ETOYWASMRESTART` may be resumed.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from .. import lean
from ..errors import StateError, Trap
from ..values import Value
from .interrupt import Interrupt
from .wait import WaitSet


class Status(enum.IntEnum):
    """Why an execution left the stack."""

    OK = 0
    ETOYWASMTRAP = -1
    ETOYWASMRESTART = -2
    ETOYWASMUSERINTERRUPT = -3


def is_restartable(code: int) -> bool:
    """Whether an execution that gave `code` can be resumed."""
    return code <= Status.ETOYWASMRESTART


class State(enum.Enum):
    """Where an execution is."""

    # Enum's own is a Python function, and every call makes several moves.
    __hash__ = object.__hash__

    READY = "ready"
    RUNNING = "running"
    SUSPENDED = "suspended"
    RETURNED = "returned"
    TRAPPED = "trapped"
    FAILED = "failed"
    EXITED = "exited"
    DROPPED = "dropped"


#: The legal moves. A state that leads nowhere is final.
MOVES: dict[State, frozenset[State]] = {
    **dict.fromkeys(State, frozenset[State]()),
    State.READY: frozenset({State.RUNNING, State.DROPPED}),
    State.RUNNING: frozenset(
        {State.SUSPENDED, State.RETURNED, State.TRAPPED, State.FAILED, State.EXITED, State.DROPPED}
    ),
    State.SUSPENDED: frozenset({State.RUNNING, State.DROPPED}),
}


def move(old: State, new: State) -> State:
    """`new`, where the move is legal. Raises StateError otherwise."""
    if new not in MOVES[old]:
        raise StateError(f"an execution that is {old.value} can't become {new.value}")
    return new


@lean.frozen
class Interrupted:
    """Reason: the embedder's `Interrupt` was set."""

    source: Interrupt


@lean.frozen
class TimedOut:
    """Reason: the deadline of this run has passed."""


@lean.frozen
class OutOfSteps:
    """Reason: the budget of instructions is used up. A run with more of it goes on."""


@lean.frozen
class Preempted:
    """Reason: its turn is over, and others want the thread."""


@lean.frozen
class Waiting:
    """Reason: a host function waits, and the driver wants the thread back meanwhile."""

    waits: WaitSet


@lean.frozen
class Injected:
    """Reason: a test put a restart here. `check` counts the execution's check points from 1."""

    check: int


@lean.frozen
class Returned:
    """The function came to its end. `values` as Python has them (`Func`) or canonical (`ExecContext`)."""

    values: tuple[Value, ...]


@lean.frozen
class Trapped:
    """The call came to a trap, the guest's or one of a host function's."""

    trap: Trap


@lean.frozen
class Failed:
    """A host function raised an exception of its own."""

    error: BaseException


@lean.frozen
class Exited:
    """The guest asked to end (WASI's proc_exit, say), or was asked to."""

    code: int


class Dropped(BaseException):
    """The execution was dropped: an outcome, and what a waiting generator sees raised at its `yield`.

    It has no public constructor: only the engine drops."""

    def __new__(cls, *args: object) -> Dropped:
        raise TypeError("Dropped belongs to the engine; `execution.drop()` is the way")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Dropped)

    def __hash__(self) -> int:
        return hash(Dropped)

    def __str__(self) -> str:
        return "the execution was dropped"


def make_dropped() -> Dropped:
    """The engine's own way to a `Dropped`."""
    return BaseException.__new__(Dropped)


class ExitSignal(BaseException):
    """The guest ends with an exit code, from inside a host function. Raised by `raise_exit` only."""

    code: int

    def __new__(cls, *args: object) -> ExitSignal:
        raise TypeError("ExitSignal belongs to the engine; raise `Exit(code)` or call `ctx.exit(code)`")


def make_exit(code: int) -> ExitSignal:
    """The engine's own way to an `ExitSignal`."""
    signal = BaseException.__new__(ExitSignal)
    signal.code = code
    return signal


@lean.frozen
class Suspended:
    """Everything has left the stack and may be resumed. `reason` is one of the classes above, or the question that
    a host function asked."""

    code: Status
    reason: object


Outcome: TypeAlias = Returned | Trapped | Failed | Exited | Dropped | Suspended

#: The final state that belongs to each outcome.
STATE_OF: dict[type, State] = {
    Returned: State.RETURNED,
    Trapped: State.TRAPPED,
    Failed: State.FAILED,
    Exited: State.EXITED,
    Dropped: State.DROPPED,
    Suspended: State.SUSPENDED,
}
