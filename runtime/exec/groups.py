"""One activation at a time in a group of instances; entering last-in, first-out from a host function is fine."""

from __future__ import annotations

import threading

from ..errors import ReentrancyError
from ..instances.instance import Instance
from .context import ExecContext
from .state import State

_LOCK = threading.Lock()


def enter_group(ctx: ExecContext, instance: Instance) -> None:
    """Claim the instance's group for `ctx`, which may hold it already.

    Raises ReentrancyError where another execution is suspended in it, or runs in it on another thread.
    """
    thread = threading.get_ident()
    with _LOCK:
        active = instance.group.root().active
        top = active[-1] if active else None
        if top is ctx:
            ctx.thread = thread
            return
        if ctx in active:
            raise ReentrancyError("the execution has another one on top of it, which must end first")
        if isinstance(top, ExecContext):
            if top.state is not State.RUNNING:
                raise ReentrancyError(
                    f"{instance!r} is in the middle of another call, which is suspended: resume or drop that first"
                )
            if top.thread != thread:
                raise ReentrancyError(f"{instance!r} is running on another thread; give each thread its own instance")
        active.append(ctx)
        ctx.thread = thread


def leave_groups(ctx: ExecContext) -> None:
    """The execution has ended: give back every group that it was in."""
    with _LOCK:
        for instance in ctx.touched:
            active = instance.group.root().active
            if ctx in active:
                active.remove(ctx)
