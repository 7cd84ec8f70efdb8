"""sched_yield."""

from __future__ import annotations

from hostsdk import u16

from ..module import host
from ..state import BlockingCtx


@host.restartable
def sched_yield(ctx: BlockingCtx) -> u16:
    """Give up the turn: under a scheduler or in an event loop, other guests that are ready go first; elsewhere, other
    threads of the process may."""
    ctx.sleep(0)
    return 0
