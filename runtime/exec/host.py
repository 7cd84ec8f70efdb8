"""The border to host code: how a host function is entered, waits, calls back and leaves.

Everything here runs on the Python stack above a host function, and may raise `Unwind`. Whoever catches an `Unwind`
on its way puts its own frame on `ctx.spilled` and lets it go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from ..errors import RecordError, ReentrancyError, Trap, TrapCode
from ..instances.func import FuncInst, HostFunc, TailCall, Unwind, WasmFunc, make_unwind
from ..instances.instance import Instance
from ..values import Value
from .context import ExecContext
from .drop import drop_frames
from .frames import Frames, HostFrame
from .groups import arrive
from .poll import check
from .stack import CALLBACK, near_end
from .state import Status, Suspended, Waiting, make_dropped
from .wait import WaitSet


def leave(ctx: ExecContext, why: Suspended | None) -> None:
    """All are to leave the stack: whoever asks for this is the first. `why` is what the embedder will see; None for a
    scheduled callee."""
    if ctx.unwinding:
        raise RecordError("a host function that has to leave the stack went on instead")
    ctx.suspended = why
    ctx.unwinding = True


def unwind(ctx: ExecContext, why: Suspended | None) -> NoReturn:
    """`leave`, by the exception."""
    leave(ctx, why)
    raise make_unwind()


def check_interrupt(ctx: ExecContext) -> None:
    """Look for requests, and leave if there is one. May suspend."""
    if ctx.dropping:
        raise make_dropped()
    if ctx.requests.word[0]:
        found = check(ctx.requests)
        if found is not None:
            unwind(ctx, found)


def suspend(ctx: ExecContext, reason: object) -> NoReturn:
    """Leave for a reason of the host function's own (a question). Always suspends."""
    if ctx.dropping:
        raise make_dropped()
    unwind(ctx, Suspended(Status.ETOYWASMRESTART, reason))


def wait(ctx: ExecContext, waits: WaitSet) -> None:
    """Wait until a source of `waits` may be ready, its deadline has passed, or a request has come.

    With a driver that waits in place this blocks the thread; with another one it suspends.
    """
    if ctx.dropping:
        raise make_dropped()
    if not ctx.driver.in_place:
        suspend(ctx, Waiting(waits))
    ctx.requests.sleep(ctx.driver, waits)


def enter(
    ctx: ExecContext, func: HostFunc, caller: Instance | None, args: tuple[Value, ...], frame: HostFrame | None = None
) -> tuple[Value, ...] | TailCall:
    """Enter a host function, the first time (`frame` None) or again.

    A check point lies before the first entry: toywasm's trampolines, which never reach one, can't be stopped.
    """
    counters = ctx.counters
    if frame is None:
        if ctx.requests.word[0]:
            _check_entry(ctx, func, caller, args)
        if ctx.depth >= ctx.limits.frames:
            raise Trap(TrapCode.STACK_OVERFLOW)
        counters.host_calls += 1
        ctx.depth += 1
        ctx.hosts += 1
    counters.host_entries += 1
    waiting = ctx.hosts - 1
    if waiting > counters.host_depth:
        counters.host_depth = waiting
    try:
        result = func.code.enter(ctx, caller, args, frame)
    except Unwind:
        raise
    except BaseException as error:
        ctx.depth -= 1
        ctx.hosts -= 1
        if ctx.unwinding:
            raise _swallowed(ctx, func) from error
        ctx.passed(error, func, None)
        raise
    ctx.depth -= 1
    ctx.hosts -= 1
    if ctx.unwinding:
        raise _swallowed(ctx, func)
    if ctx.covered:
        raise _left_open(ctx, func)
    return result  # type: ignore[no-any-return]  # host code's protocol, checked by its own wrapper


@contextmanager
def end_of_call(ctx: ExecContext, func: HostFunc) -> Iterator[None]:
    """The end of a host function that was called without `enter`: what is raised here is what the call came to."""
    try:
        yield
    except BaseException as error:
        if ctx.unwinding:
            raise _swallowed(ctx, func) from error
        ctx.passed(error, func, None)
        raise
    if ctx.unwinding:
        raise _swallowed(ctx, func)
    if ctx.covered:
        raise _left_open(ctx, func)


def _swallowed(ctx: ExecContext, func: HostFunc) -> RecordError:
    """`func` has kept the engine's signal to itself. What left the stack above it is cleaned up, and a callee that
    it scheduled is forgotten. The error that it deserves."""
    ctx.unwinding = False
    ctx.suspended = ctx.next_call = None
    left = Frames(reversed(ctx.spilled))
    ctx.spilled.clear()
    drop_frames(ctx, left)
    error = RecordError(f"{func.name} swallowed the engine's Unwind (a bare `except:` or `except BaseException:`?)")
    ctx.passed(error, func, None)
    return error


def _left_open(ctx: ExecContext, func: HostFunc) -> ReentrancyError:
    """`func` has returned while an execution that it began is suspended on top of its caller, in the same instance. The
    error that it deserves; the other execution can still be ended."""
    error = ReentrancyError(
        f"{func.name} returned while an execution that it began in its caller's instance is suspended: end that first"
    )
    ctx.passed(error, func, None)
    return error


def _check_entry(ctx: ExecContext, func: HostFunc, caller: Instance | None, args: tuple[Value, ...]) -> None:
    found = check(ctx.requests)
    if found is not None:
        ctx.spilled.append(HostFrame(func, caller, args))
        ctx.depth += 1
        ctx.hosts += 1
        unwind(ctx, found)


def invoke(
    ctx: ExecContext, func: FuncInst, args: tuple[Value, ...], caller: Instance | None = None
) -> tuple[Value, ...]:
    """Call `func` and whatever host functions put in their place. May suspend."""
    while True:
        if type(func) is WasmFunc:
            if func.instance not in ctx.touched:
                arrive(ctx, func.instance)
            return ctx.tier.call(ctx, func, args)
        result = enter(ctx, func, caller, args)  # type: ignore[arg-type]  # the only other class
        if not isinstance(result, TailCall):
            return result
        func, args = result.func, result.args


def call_back(ctx: ExecContext, func: FuncInst, args: tuple[Value, ...], scheduled: bool) -> tuple[Value, ...]:
    """Call `func` from a host function: nested on the Python stack while depth allows, else by the run loop.

    May suspend: then the callee's frames are on `ctx.spilled`, and the results come by the frame's inbox.
    """
    if ctx.dropping:
        raise make_dropped()
    if ctx.unwinding:
        raise RecordError("a host function that has to leave the stack went on instead")
    ctx.requests.skip = False  # the function is past the check that it was suspended at, if it was
    if scheduled or ctx.callbacks == "scheduled" or ctx.nesting >= ctx.limits.nesting or near_end(CALLBACK):
        ctx.next_call = (func, args)
        unwind(ctx, None)
    ctx.nesting += 1
    try:
        return invoke(ctx, func, args)
    finally:
        ctx.nesting -= 1
