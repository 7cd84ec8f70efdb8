"""wasi-threads: `thread-spawn`, on the door's `ctx.spawn`. For guests that a `Process` runs."""

from __future__ import annotations

import errno
from typing import Final

from hostsdk import Context, HostModule, i32

from .errno import fault, number_of

#: The export that a thread begins with, and is given its number and the spawner's argument.
START: Final = "wasi_thread_start"
host: HostModule[None] = HostModule("wasi")


@host.function(name="thread-spawn")
def thread_spawn(ctx: Context[None], arg: i32) -> i32:
    """Begin a thread; its number, or a negative error number where there can be no more. The instance is made in the
    new thread, so the spawner waits for nothing."""
    try:
        return ctx.spawn(START, arg)
    except BlockingIOError:
        return -number_of(fault(errno.EAGAIN, "no more threads"))


def threads() -> HostModule[None]:
    """The host module `wasi`, for guests of wasi-threads."""
    return host
