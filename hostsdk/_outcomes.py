"""What running an execution gives, with Python values, and what a plain call raises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ._engine import (
    V128,
    Dropped,
    Exited,
    Failed,
    Interrupted,
    Status,
    TimedOut,
    Trapped,
    lean,
)
from ._question import Question

if TYPE_CHECKING:
    from ._execution import Execution


@lean.frozen
class Returned:
    """The function came to its end. `values` has one entry a result, integers signed."""

    values: tuple[int | float | V128, ...]


@lean.frozen
class Suspended:
    """The execution has left the stack and may be resumed.

    `reason` says why: `Interrupted`, `TimedOut`, the `Question` that a host function asked, or one of the engine's
    (an injected restart). `code` is toywasm's status.
    """

    reason: object
    code: Status = Status.ETOYWASMRESTART


Outcome: TypeAlias = Returned | Exited | Trapped | Failed | Dropped | Suspended


class CallStopped(Exception):
    """A plain call was stopped before its end. `execution` has been dropped; where it was, `explanation` says."""

    def __init__(self, message: str, execution: Execution, explanation: object) -> None:
        super().__init__(message)
        self.execution = execution
        self._explanation = explanation

    @property
    def explanation(self) -> str:
        """What `Execution.explain` would have said then: what it was blocked in, and the backtrace."""
        return str(self._explanation)


class Timeout(CallStopped, TimeoutError):
    """`timeout=` of a plain call ran out."""


class CallInterrupted(CallStopped):
    """The `Interrupt` given to a plain call was set."""


class CallCancelled(CallStopped):
    """The task of the call was cancelled."""


class Unanswered(CallStopped):
    """A host function asked something in a plain call, where nobody answers; use `start` and `answer`."""

    def __init__(self, message: str, execution: Execution, explanation: object, question: Question[Any]) -> None:
        super().__init__(message, execution, explanation)
        self.question = question


def stopped(execution: Execution, reason: object, explanation: object) -> CallStopped:
    """What a plain call raises for an execution that was suspended for `reason`, and dropped. `explanation` is a text,
    or what makes one when asked by `str`."""
    call = f"{execution.name}({', '.join(map(repr, execution.args))})"
    match reason:
        case TimedOut():
            return Timeout(f"{call} timed out", execution, explanation)
        case Interrupted():
            return CallInterrupted(f"{call} was interrupted", execution, explanation)
        case Question() as question:
            return Unanswered(
                f"{call} asked {question!r}, and a plain call can't answer", execution, explanation, question
            )
    return CallStopped(f"{call} was suspended: {reason}", execution, explanation)


__all__ = [
    "CallCancelled",
    "CallInterrupted",
    "CallStopped",
    "Dropped",
    "Exited",
    "Failed",
    "Interrupted",
    "Outcome",
    "Returned",
    "Suspended",
    "TimedOut",
    "Timeout",
    "Trapped",
    "Unanswered",
    "stopped",
]
