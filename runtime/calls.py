"""The plain call: run an execution to its end with default processing, and give values or an exception."""

from __future__ import annotations

from typing import Final

from .errors import NestedSuspension, StateError, Trap, TrapCode
from .exec import run as running
from .exec.context import ExecContext
from .exec.interrupt import Interrupt
from .exec.run import run
from .exec.state import (
    Dropped,
    Exited,
    Failed,
    Injected,
    Outcome,
    OutOfSteps,
    Preempted,
    Returned,
    Status,
    Suspended,
    Trapped,
    Waiting,
    make_exit,
)
from .values import Value

#: What an embedder has asked for is its to deal with.
_STOPPED: Final = Status.ETOYWASMUSERINTERRUPT


class Unfinished(Exception):
    """A plain call came back before its end, for `outcome.reason`. `ctx` is still suspended."""

    def __init__(self, outcome: Suspended, ctx: ExecContext) -> None:
        super().__init__(str(outcome.reason))
        self.outcome = outcome
        self.ctx = ctx


class ExitRequested(Exception):
    """A plain call ended because the guest asked to exit with `code`."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the guest exited with code {code}")
        self.code = code


def handle_restart_once(
    ctx: ExecContext, outcome: Outcome, interrupt: Interrupt | None = None, deadline: float | None = None
) -> Outcome:
    """Default processing of one suspension, then resume. Whatever is not restartable, and what an embedder has to
    decide (an interrupt, a timeout, a question), is handed back unchanged.

    `interrupt` and `deadline` (on the clock's monotonic scale) hold for the resumed run.
    """
    if not isinstance(outcome, Suspended) or outcome.code is _STOPPED:
        return outcome
    if isinstance(outcome.reason, Waiting):
        ctx.requests.arm(interrupt, deadline)
        try:
            ctx.requests.sleep(ctx.driver, outcome.reason.waits)
        finally:
            ctx.requests.disarm()
    elif not isinstance(outcome.reason, (Injected, Preempted)):
        return outcome
    return running.run(ctx, interrupt, deadline=deadline)


def handle_restart(
    ctx: ExecContext, outcome: Outcome, interrupt: Interrupt | None = None, deadline: float | None = None
) -> Outcome:
    """Default processing until the execution ends or the embedder has to decide."""
    while True:
        after = handle_restart_once(ctx, outcome, interrupt, deadline)
        if after is outcome:
            return outcome
        outcome = after


def run_through(
    ctx: ExecContext, interrupt: Interrupt | None = None, timeout: float | None = None, *, faults: bool = False
) -> Outcome:
    """Start or resume, with default processing. `timeout` is in seconds and holds for all of it. With `faults`,
    injected restarts are handed back, too."""
    deadline = None if timeout is None else ctx.requests.clock.monotonic() + timeout
    outcome = run(ctx, interrupt, deadline)
    if not isinstance(outcome, Suspended) or outcome.code is _STOPPED:
        return outcome
    while not (faults and isinstance(outcome, Suspended) and isinstance(outcome.reason, Injected)):
        after = handle_restart_once(ctx, outcome, interrupt, deadline)
        if after is outcome:
            break
        outcome = after
    return outcome


def finish(ctx: ExecContext, interrupt: Interrupt | None = None, timeout: float | None = None) -> tuple[Value, ...]:
    """Run to the end; the results, canonical.

    Raises Trap, the host function's own exception, `ExitRequested`, and `Unfinished` where it was interrupted, timed
    out, or asked something that nobody answers. In a call nested in a host function, a request made of the outer
    execution drops this one and raises NestedSuspension, and an exit ends the outer execution, too.
    """
    return conclude(ctx, run_through(ctx, interrupt, timeout))


def conclude(ctx: ExecContext, outcome: Outcome) -> tuple[Value, ...]:
    """The results of an execution that has returned. Raises what `finish` raises for any other outcome."""
    nested = ctx.requests.parent is not None
    match outcome:
        case Returned(values):
            return values
        case Trapped(trap):
            raise trap
        case Failed(error):
            raise error
        case Exited(code):
            raise make_exit(code) if nested else ExitRequested(code)
        case Dropped():
            raise StateError("the execution was dropped")
        case Suspended():
            if isinstance(outcome.reason, OutOfSteps):
                running.drop(ctx)
                raise Trap(TrapCode.LIMIT, "the budget of instructions is used up")
            if not (nested and ctx.requests.inherited):
                raise Unfinished(outcome, ctx)
            running.drop(ctx)
            raise NestedSuspension(
                "a plain call made inside a host function had to suspend for a request of the outer call, and was "
                "dropped; use ctx.call, which can be resumed"
            )
