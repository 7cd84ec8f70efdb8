"""Times as the guest sets them."""

from __future__ import annotations

from ..errno import invalid
from ..state import Ctx
from ..types import FstFlags
from .clock import realtime


def times(ctx: Ctx, atim: int, mtim: int, which: int) -> tuple[int | None, int | None]:
    """Access and modification time in nanoseconds; None for one that stays as it is. Raises EINVAL where one is to be
    both a given time and the present."""
    both = FstFlags.ATIM | FstFlags.ATIM_NOW, FstFlags.MTIM | FstFlags.MTIM_NOW
    if which & ~FstFlags.ALL or any(which & pair == pair for pair in both):
        raise invalid(f"times can't be set as flags {which:#x} say")
    if max(atim, mtim) >= 1 << 63:
        raise invalid("a time after the year 2262")
    now = realtime(ctx)
    access = atim if which & FstFlags.ATIM else now if which & FstFlags.ATIM_NOW else None
    change = mtim if which & FstFlags.MTIM else now if which & FstFlags.MTIM_NOW else None
    return access, change
