"""fd_read, fd_write: bytes between the guest and its files.

The lists of buffers are read once; what is written is copied when it is sent, so that a long write holds no second
copy of it all. Whatever has been moved is counted in the record before anything can interrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from hostsdk import Stored, lean, u16, u32

from ..fdtable import Descriptor
from ..module import host
from ..state import BlockingCtx
from ..types import FileType, Rights
from .iovec import Buffers, buffers, gather, scatter, total

T = TypeVar("T")


@lean.frozen
class Use:
    """A descriptor as a call has it in its record."""

    identity: int
    nonblock: bool

    def now(self, ctx: BlockingCtx) -> Descriptor:
        """The descriptor, looked up anew after each suspension. Raises EBADF once it is closed."""
        return ctx.state.fds.pinned(self.identity)


def use(ctx: BlockingCtx, fd: int, rights: int) -> Use:
    """Look a descriptor up, once for the call. Raises EBADF and ENOTCAPABLE."""

    def look_up() -> tuple[int, bool]:
        descriptor = ctx.state.fds.get(fd, rights)
        return descriptor.identity, descriptor.nonblock

    return Use(*ctx.once(look_up))


def transfer(ctx: BlockingCtx, used: Use, attempt: Callable[[Descriptor], T | None], *, write: bool = False) -> T:
    """Make the attempt until it gives something. May suspend; raises EAGAIN instead where the guest wants that, and
    EBADF when the descriptor is closed meanwhile."""
    descriptor = used.now(ctx)

    def attempt_now() -> T | None:
        try:
            return attempt(used.now(ctx))
        except InterruptedError:
            return None  # a signal, which is no guest's business

    # As POSIX has it: a regular file is always ready, which here means that a disk is waited for.
    if used.nonblock and descriptor.file.type != FileType.REGULAR_FILE:
        moved = ctx.once(attempt_now)
        if moved is None:
            raise BlockingIOError
        return moved
    sources = descriptor.file.sources(write)
    return ctx.block_until(
        attempt_now,
        readable=None if write else sources.fds,
        writable=sources.fds if write else None,
        # With no source at all the attempt is repeated now and then, and sees by itself that it was closed.
        wake=(descriptor.closed, *sources.wakes) if sources.fds or sources.wakes else None,
    )


def write_all(ctx: BlockingCtx, used: Use, data: Buffers, write: Callable[[Descriptor, bytes], int | None]) -> int:
    """Hand on all of the buffers, as much at a time as is taken. Gives the number of bytes: fewer only where an error
    ends it, or the guest doesn't wait, behind the first. May suspend."""

    def attempt(descriptor: Descriptor) -> int | None:
        return write(descriptor, gather(ctx, data, done.value)) or None

    done = ctx.progress(0)
    while done.value < total(data):
        if done.value:
            ctx.check_interrupt()
        try:
            done.value += transfer(ctx, used, attempt, write=True)
        except OSError:
            if not done.value:
                raise
            break
    return done.value


def prepare(ctx: BlockingCtx, iovs: int, count: int) -> Buffers:
    """The list of buffers, read once for the call. Raises EINVAL; traps."""

    def read() -> Buffers:
        return buffers(ctx, iovs, count)

    return ctx.once(read)


@host.restartable
def fd_read(ctx: BlockingCtx, fd: u32, iovs: u32, count: u32) -> tuple[u16, Stored[u32]]:
    """Read what is there into the buffers; waits while nothing is. May suspend."""
    room = prepare(ctx, iovs, count)
    used = use(ctx, fd, Rights.FD_READ)
    size = total(room)

    def read(descriptor: Descriptor) -> int | None:
        data = descriptor.file.read(size)
        return None if data is None else scatter(ctx, room, data)

    return 0, transfer(ctx, used, read) if size else 0


@host.restartable
def fd_write(ctx: BlockingCtx, fd: u32, iovs: u32, count: u32) -> tuple[u16, Stored[u32]]:
    """Write all of the buffers; waits for room, and is short only where an error ends it or the guest doesn't wait.
    May suspend."""
    data = prepare(ctx, iovs, count)
    used = use(ctx, fd, Rights.FD_WRITE)

    return 0, write_all(ctx, used, data, lambda descriptor, rest: descriptor.file.write(rest))
