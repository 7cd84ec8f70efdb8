"""sched_yield."""

from __future__ import annotations

from hostsdk import u16

from ..module import host
from ..state import BlockingCtx


@host.restartable
def sched_yield(ctx: BlockingCtx) -> u16:
    """A check point: whoever wants the turn can have it."""
    ctx.check_interrupt()
    return 0
