"""One activation at a time in a group of instances; entering last-in, first-out from a host function is fine.

No lock: an execution first takes its place in the group's list, which is one atomic step, and then looks at who stands
before it. Of two that come at once, exactly one sees nobody.
"""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, cast

from ..errors import ReentrancyError
from ..instances.group import CALLED, FREE, SHUT
from ..instances.instance import Instance
from .context import ExecContext
from .here import current
from .shadow import note
from .state import State

if TYPE_CHECKING:
    from .cluster import Cluster


def enter_group(ctx: ExecContext, instance: Instance) -> None:
    """Claim the instance's group for `ctx`, which may hold it already.

    Raises ReentrancyError where another execution is suspended in it, or runs in it on another thread.
    """
    group = instance.group
    if group.parent is not None:
        group = group.root()
    active, thread = group.active, get_ident()
    if active and active[-1] is ctx:
        ctx.thread = thread
        return
    if ctx in active:
        raise ReentrancyError("the execution has another one on top of it, which must end first")
    active.append(ctx)
    gate = group.gate
    if gate is not None:
        if gate.value == CALLED:
            active.remove(ctx)
            raise ReentrancyError(_elsewhere(instance))
        gate.value = SHUT
    if active[0] is not ctx:
        below = active[active.index(ctx) - 1]
        if isinstance(below, ExecContext):
            reason = _refusal(below, instance, thread)
            if reason is not None:
                active.remove(ctx)
                raise ReentrancyError(reason)
            below.covered += 1
            ctx.over.append(below)
    ctx.thread = thread


def _refusal(below: ExecContext, instance: Instance, thread: int) -> str | None:
    """Why nobody may enter on top of `below`; None where that is its own host function's nested call."""
    if below.state is not State.RUNNING:
        return f"{instance!r} is in the middle of another call, which is suspended: resume or drop that first"
    if below.thread != thread:
        return _elsewhere(instance)
    return None


def _elsewhere(instance: Instance) -> str:
    return f"{instance!r} is running on another thread; give each thread its own instance"


def elsewhere(instance: Instance) -> str | None:
    """What to say of a call that runs in the instance's group on another thread; None where there is none."""
    current()  # a call of this thread's own that has no execution yet gets one
    root, mine = instance.group.root(), get_ident()
    if root.gate is not None and root.gate.value == CALLED:
        return _elsewhere(instance)
    others = [each for each in root.active if isinstance(each, ExecContext) and each.thread != mine]
    return _elsewhere(instance) if any(each.state is State.RUNNING for each in others) else None


def shut(instance: Instance) -> None:
    """Nobody comes into the instance's group by its gate any more. Raises ReentrancyError where a call runs in it, on
    whichever thread: nothing has changed then."""
    root = instance.group.root()
    if root.gate is None and not root.active:
        return
    reason = elsewhere(instance)
    if reason is None and any(isinstance(each, ExecContext) and each.state is State.RUNNING for each in root.active):
        reason = f"{instance!r} is in the middle of a call"
    if reason is None and root.gate is not None:
        # In one step of Python's with the look: a call by the gate begins only where Python may run somebody else.
        if root.gate.value == CALLED:
            reason = _elsewhere(instance)
        else:
            root.gate.value = SHUT
    if reason is not None:
        raise ReentrancyError(f"{reason}: it can be closed when that call has ended")


def arrive(ctx: ExecContext, instance: Instance) -> None:
    """The execution comes to `instance` for the first time: claim its group, and note its stack pointer.

    Raises ReentrancyError as `enter_group` does. A function reference leads to instances that no link leads to.
    """
    enter_group(ctx, instance)
    if instance not in ctx.touched:
        note(ctx, instance)
    if instance.worlds or ctx.clusters:
        _share(ctx, instance)
    if ctx.requests.steps is not None:
        instance.steps = ctx.requests.steps


def _share(ctx: ExecContext, instance: Instance) -> None:
    """The execution runs in an instance that shares a memory, or goes on where it did: from now on it can be held
    still. Waits while it is to be."""
    from .cluster import enter, join  # few guests share a memory

    ctx.clusters = tuple(dict.fromkeys((*ctx.clusters, *cast("tuple[Cluster, ...]", instance.worlds))))
    if ctx.member is None:
        ctx.member = ctx.requests.member = enter(ctx.clusters, ctx.requests.wake)
    else:
        join(ctx.member, ctx.clusters)


def leave_clusters(ctx: ExecContext) -> None:
    """The execution has come back to whoever ran it."""
    member, ctx.member = ctx.member, None
    parent = ctx.requests.parent
    ctx.requests.member = None if parent is None else parent.member
    if member is not None:
        from .cluster import leave

        leave(member)


def leave_groups(ctx: ExecContext) -> None:
    """The execution has ended: give back every group that it was in."""
    ctx.clusters = ()
    for instance in ctx.touched:
        group = instance.group
        if group.parent is not None:
            group = group.root()
        active = group.active
        if ctx in active:
            active.remove(ctx)
            if group.gate is not None and not active:
                group.gate.value = FREE
    if ctx.over:
        for below in ctx.over:
            below.covered -= 1
        ctx.over.clear()
