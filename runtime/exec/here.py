"""What the calling thread is doing: one small object for each thread, which stays where it is in memory.

Machine code that is called straight from Python looks at `ctx` there by itself (`llvm.capi.desk`), so it is a slot.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .context import ExecContext


class Here:
    """A thread's own."""

    __slots__ = ("ctx", "floor")

    def __init__(self) -> None:
        #: The execution that the thread is running, the innermost one.
        self.ctx: ExecContext | None = None
        #: How far down its stack machine code may go (`llvm.stack`); 0 as long as nobody has asked.
        self.floor = 0


class _Local(threading.local):
    def __init__(self) -> None:
        self.here = Here()


_local = _Local()


def here() -> Here:
    """The calling thread's."""
    return _local.here


def current() -> ExecContext | None:
    """The execution that the calling thread is running, the innermost one: a call made now is nested in it."""
    ctx = _local.here.ctx
    if ctx is not None and ctx.inside is not None:
        ctx.inside.settle(ctx)
    return ctx
