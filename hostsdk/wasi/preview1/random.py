"""random_get."""

from __future__ import annotations

from hostsdk import OutBuffer, u16

from ..module import host
from ..state import BlockingCtx

_CHUNK = 1 << 20


@host.restartable
def random_get(ctx: BlockingCtx, out: OutBuffer) -> u16:
    """Fill `out` with random bytes. Interruptible where that takes long."""
    source = ctx.state.random

    def fill() -> int:
        return part.fill(source(len(part)))

    part = out
    if len(out) <= _CHUNK:
        fill()
        return 0
    done = ctx.progress(0)
    while done.value < len(out):
        ctx.check_interrupt()
        part = out[done.value : done.value + _CHUNK]
        done.value += ctx.once(fill)
    return 0
