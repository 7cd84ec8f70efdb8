"""Start, resume, answer, throw, and the one loop.

The loop takes the innermost frame, runs it to completion in whichever tier, and hands its results to the next one: no
stack is ever rebuilt, so resuming costs the same at any depth.
"""

from __future__ import annotations

from collections.abc import Callable

from ..errors import LimitError, StateError, Trap
from ..instances.exception import WasmException
from ..instances.func import FuncInst, TailCall, Unwind
from ..instances.instance import Instance
from ..values import Value
from . import drop as dropping
from . import shadow
from .context import ExecContext
from .frames import HostFrame, WasmFrame
from .groups import arrive, leave_clusters, leave_groups
from .here import Here, current, here
from .host import enter, invoke
from .interrupt import Interrupt
from .poll import exit_signal, interrupted
from .signals import POST
from .stack import RUN, near_end
from .state import (
    STATE_OF,
    Dropped,
    Exited,
    ExitSignal,
    Failed,
    Injected,
    Interrupted,
    Outcome,
    Preempted,
    Returned,
    State,
    Status,
    Suspended,
    TimedOut,
    Trapped,
    move,
)

# An enumeration gives its members by a function, which takes as long as a call.
_READY, _RUNNING, _SUSPENDED, _RETURNED = State.READY, State.RUNNING, State.SUSPENDED, State.RETURNED


def prepare(ctx: ExecContext, func: FuncInst, args: tuple[Value, ...]) -> ExecContext:
    """Make `func` the call of a fresh context; nothing runs yet. `args` are canonical and fit."""
    ctx.next_call = (func, args)
    return ctx


def run(ctx: ExecContext, interrupt: Interrupt | None = None, deadline: float | None = None) -> Outcome:
    """Start, or go on after a suspension, until the next outcome.

    `interrupt` and `deadline` (on the clock's monotonic scale) hold for this run. Raises StateError for an execution
    that has ended or is running, ReentrancyError where the guest is in the middle of another call, and LimitError
    where too little of Python's own stack is left; nothing changes then. What a signal's handler raises (Ctrl-C) is an
    outcome where it comes while the guest runs, and is raised where it comes before or after: the execution is then as
    it was, or as that outcome left it.
    """
    before = ctx.state
    fresh = before is _READY
    running = move(before, _RUNNING)
    if near_end(RUN):
        raise LimitError(f"Python's recursion limit is near: a call needs {RUN} frames")
    call = ctx.next_call
    instance = call[0].instance if call is not None else _waiting_instance(ctx)
    requests = ctx.requests
    armed = interrupt is not None or deadline is not None
    mine = here()
    above = None if mine.ctx is None else current()
    begun, outcome = False, None
    try:
        try:
            if instance is not None:
                arrive(ctx, instance)
            ctx.state = running
            if not fresh:
                # What a check has reported is answered by the resume. A wait or a question was no check, and what is
                # thrown in takes the place of the operation with its check.
                requests.skip = ctx.reported and ctx.throw is None and _in_host(ctx)
            if armed:
                requests.arm(interrupt, deadline)
            elif not fresh or _asked(ctx):
                requests.refresh()
            if not fresh and (requests.exit_code is not None or requests.parent is not None):
                ctx.throw = exit_signal(requests) or ctx.throw
            mine.ctx = ctx
            if requests.signals:
                POST.begin(requests, outermost=above is None)
            begun = True
            outcome = _loop(ctx)
        except BaseException as error:
            if not begun:
                raise
            outcome = _loop_again(ctx, error)
        finally:
            if requests.signals:
                POST.end(requests)
            mine.ctx = above
            if armed:
                requests.disarm()
            if ctx.member is not None:
                leave_clusters(ctx)
            if above is not None:  # what was asked of it meanwhile, and this activation couldn't answer
                above.requests.refresh()
        return _settle(ctx, outcome)
    except BaseException as error:  # Ctrl-C may have come anywhere
        _leave(ctx, mine, above)
        if begun:
            _close(ctx, outcome or Failed(error))
        else:
            _back_out(ctx, before, instance)
        raise


def _leave(ctx: ExecContext, mine: Here, above: ExecContext | None) -> None:
    """The thread goes back to what it did before, which is in `above` if it is an execution. Harmless when
    repeated."""
    requests = ctx.requests
    if requests.signals:
        POST.end(requests)
    mine.ctx = above
    requests.disarm()
    if ctx.member is not None:
        leave_clusters(ctx)
    if above is not None:
        above.requests.refresh()


def _close(ctx: ExecContext, outcome: Outcome) -> None:
    """A run has come to `outcome`, and Ctrl-C before that was settled, or in the midst of it."""
    if ctx.state is _RUNNING:
        _settle(ctx, outcome)
    elif ctx.state is not _SUSPENDED:
        _end(ctx, ctx.state)


def _back_out(ctx: ExecContext, before: State, instance: Instance | None) -> None:
    """A run has been refused, or Ctrl-C came, before the guest was entered: it is as if nobody had asked for it."""
    ctx.state = before
    if before is _READY and instance is not None:
        ctx.touched.setdefault(instance)
        leave_groups(ctx)
        ctx.touched.clear()


def _asked(ctx: ExecContext) -> bool:
    """Whether a fresh execution may have a request standing that has not set the word by itself."""
    requests = ctx.requests
    return (
        requests.injector is not None
        or requests.steps is not None
        or requests.parent is not None
        or requests.turns is not None
        or requests.member is not None
    )


def board(ctx: ExecContext, instance: Instance) -> None:
    """The calling thread, on which no other execution runs, has come into a function of `instance` without one: `ctx`,
    a fresh one, is its from now on. Whoever asks for this has seen to it that nobody else was inside."""
    ctx.state = move(ctx.state, _RUNNING)
    arrive(ctx, instance)
    here().ctx = ctx


def alight(ctx: ExecContext, leave: Callable[[], tuple[Value, ...]], rest: Callable[[], object]) -> Outcome:
    """The function that `board` was about has left the stack. `leave` gives its results or raises what it raised; run
    what is left, until the next outcome. `rest` sees to it that nothing is left of the function, if Ctrl-C has come
    before `leave` could; harmless when repeated."""
    mine, outcome = here(), None
    try:
        try:
            outcome = _loop(ctx, leave)
        except BaseException as error:
            rest()
            outcome = _loop_again(ctx, error)
        finally:
            _leave(ctx, mine, None)
        return _settle(ctx, outcome)
    except BaseException as error:
        rest()
        _leave(ctx, mine, None)
        _close(ctx, outcome or Failed(error))
        raise


def _waiting_instance(ctx: ExecContext) -> Instance | None:
    for part in ctx.frames.parts:
        if not isinstance(part, HostFrame):
            return part.instance
    return None


def _in_host(ctx: ExecContext) -> bool:
    parts = ctx.frames.parts
    return bool(parts) and isinstance(parts[-1], HostFrame)


def _loop(ctx: ExecContext, first: Callable[[], tuple[Value, ...]] | None = None) -> Outcome:
    inbox, ctx.inbox = ctx.inbox, None
    error, ctx.throw = ctx.throw, None
    parts = ctx.frames.parts
    while True:
        try:
            if ctx.next_call is not None:
                (func, args), ctx.next_call = ctx.next_call, None
                inbox = invoke(ctx, func, args)
            elif first is not None:
                step, first = first, None
                inbox = step()
            elif not parts:
                break
            else:
                inbox = _go_on(ctx, inbox, error)
            error = None
        except Unwind:
            ctx.unwinding = False
            parts.extend(reversed(ctx.spilled))
            ctx.spilled.clear()
            inbox = error = None
            if ctx.next_call is None and ctx.suspended is not None:
                return _suspended(ctx)
        except BaseException as caught:
            error, inbox = caught, None
            if ctx.unwinding:
                _gather(ctx)
            ctx.frames.trim()
        if error is not None and not parts:
            break
    if error is not None:
        return _ended(error)
    return Returned(inbox or ())


def _loop_again(ctx: ExecContext, error: BaseException) -> Outcome:
    """Ctrl-C has come between two steps of the loop: it is raised in the innermost frame, as if it had come a moment
    later."""
    _gather(ctx)
    ctx.inbox, ctx.throw = None, error
    return _loop(ctx)


def _gather(ctx: ExecContext) -> None:
    """An unwinding has been cut short by Ctrl-C: what has left the stack is the innermost again, and nothing is to come
    of it but the error."""
    parts, spilled = ctx.frames.parts, ctx.spilled
    if spilled:
        if not parts or parts[-1] is not spilled[0]:
            parts.extend(reversed(spilled))
        spilled.clear()
    ctx.unwinding = False
    ctx.suspended = ctx.next_call = None


def _go_on(ctx: ExecContext, inbox: tuple[Value, ...] | None, error: BaseException | None) -> tuple[Value, ...] | None:
    """Finish the innermost frame. With an `error`, a frame of WebAssembly is left, unless that is an exception which it
    catches, and a host function sees it raised at its pending operation."""
    parts = ctx.frames.parts
    if error is None and not isinstance(part := parts[-1], (WasmFrame, HostFrame)):
        try:
            results = part.go_on(ctx, inbox)
        finally:
            if part.over:
                parts.pop()
        if results is not None:
            return results
    frame = ctx.frames.pop()
    if isinstance(frame, WasmFrame):
        if isinstance(error, WasmException) and frame.catches(error.exn):
            ctx.counters.restarts[frame.layout.kind] += 1
            return ctx.tier.resume(ctx, frame, None, error)
        if error is not None:
            ctx.depth -= 1
            ctx.cells -= frame.cells
            ctx.passed(error, frame.func, frame.pc)
            raise error
        ctx.counters.restarts[frame.layout.kind] += 1
        return ctx.tier.resume(ctx, frame, inbox)
    if frame.record is None:
        ctx.depth -= 1
        ctx.hosts -= 1
        if error is not None:
            raise error
        ctx.counters.restarts[frame.func.name] += 1
        return invoke(ctx, frame.func, frame.args, frame.caller)
    ctx.counters.restarts[frame.func.name] += 1
    frame.record.inbox = inbox
    frame.record.throw = error
    try:
        result = enter(ctx, frame.func, frame.caller, frame.args, frame)
    finally:
        ctx.requests.skip = False  # it may have gone on without the check that it was suspended at
    if isinstance(result, TailCall):
        return invoke(ctx, result.func, result.args, frame.caller)
    return result


def _suspended(ctx: ExecContext) -> Suspended:
    why, ctx.suspended = ctx.suspended, None
    if why is None:
        raise StateError("an execution left the stack without a reason")
    ctx.counters.suspensions[type(why.reason).__name__] += 1
    ctx.reported = isinstance(why.reason, (Interrupted, TimedOut, Injected, Preempted))
    return why


def report(ctx: ExecContext) -> Suspended | None:
    """For an execution that is suspended in a wait, and whose embedder will go on with it only if nobody wants it
    back: the interrupt or time limit that stands, as its next check point would have reported it; None where it is to
    be run."""
    reason = interrupted(ctx.requests) if ctx.state is _SUSPENDED else None
    if reason is None:
        return None
    ctx.counters.suspensions[type(reason.reason).__name__] += 1
    ctx.reported = True
    return reason


def _ended(error: BaseException) -> Outcome:
    if isinstance(error, Trap):
        return Trapped(error)
    if isinstance(error, ExitSignal):
        return Exited(error.code)
    if isinstance(error, Dropped):
        return error
    return Failed(error)


def _settle(ctx: ExecContext, outcome: Outcome) -> Outcome:
    state = ctx.state = move(ctx.state, STATE_OF[type(outcome)])
    if state is not _SUSPENDED:
        _end(ctx, state)
    return outcome


def _end(ctx: ExecContext, state: State) -> None:
    if state is not _RETURNED:
        shadow.restore(ctx, state.value)
    leave_groups(ctx)
    ctx.touched.clear()


# Going on in another way than by a plain run ----------------------------------------------------------------------


def _waiting(ctx: ExecContext, verb: str) -> HostFrame:
    """The host function that is innermost and waits. Raises StateError where there is none."""
    if ctx.state is not _SUSPENDED:
        raise StateError(f"{verb}: the execution is {ctx.state.value}, not suspended")
    frame = ctx.frames[-1]
    if not isinstance(frame, HostFrame):
        raise StateError(f"{verb}: the innermost frame is {frame!r}, not a host function that waits")
    return frame


def answer(ctx: ExecContext, value: object) -> None:
    """Give the pending question its answer; the next run goes on with it. The asker checks the type when it reads.

    Raises StateError where nothing was asked.
    """
    frame = _waiting(ctx, "answer")
    entry = None if frame.record is None else frame.record.pending
    if frame.record is None or entry is None or entry.kind != "ask":
        raise StateError(f"answer: {frame.func.name} has not asked anything")
    frame.record.settle(entry, value)


def resume_with(ctx: ExecContext, values: tuple[Value, ...]) -> None:
    """Put `values` (canonical, checked by the caller) in place of the pending host call's results, after that
    function's cleanup. Raises StateError where the innermost frame is not a host function; and what the cleanup
    raises, but then the values are in place."""
    frame = _waiting(ctx, "resume_with")
    ctx.frames.pop()
    ctx.reported = False  # what was to be answered has gone with the function
    ctx.depth -= 1
    ctx.hosts -= 1
    ctx.inbox = values
    dropping.drop_frame(ctx, frame)


def pending_func(ctx: ExecContext) -> FuncInst:
    """The host function whose results `resume_with` would replace. Raises StateError where there is none."""
    return _waiting(ctx, "resume_with").func


def throw(ctx: ExecContext, error: BaseException) -> None:
    """The next run raises `error` at the pending operation of the innermost host function; frames of WebAssembly
    above it are left. Raises StateError unless the execution is suspended."""
    if ctx.state is not _SUSPENDED:
        raise StateError(f"throw: the execution is {ctx.state.value}, not suspended")
    ctx.throw = error


def drop(ctx: ExecContext) -> None:
    """Abandon a suspended or fresh execution: cleanup of every waiting host function, innermost first, once each.

    An error in a cleanup doesn't keep the others from running; the first one is raised at the end. Raises StateError
    where the execution has ended or is running.
    """
    if ctx.state is not _READY and ctx.state is not _SUSPENDED:
        raise StateError(f"drop: the execution is {ctx.state.value}")
    started = ctx.state is _SUSPENDED
    ctx.state = move(ctx.state, State.DROPPED)
    errors = dropping.drop_frames(ctx, ctx.frames)
    ctx.next_call = ctx.inbox = ctx.throw = None
    if started:
        shadow.restore(ctx, "drop")
    leave_groups(ctx)
    ctx.touched.clear()
    if errors:
        raise errors[0]


def status(outcome: Outcome) -> Status:
    """toywasm's code for an outcome."""
    match outcome:
        case Returned():
            return Status.OK
        case Suspended(code, _):
            return code
        case _:
            return Status.ETOYWASMTRAP
