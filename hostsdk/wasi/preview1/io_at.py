"""fd_pread, fd_pwrite: the same at a place of the file, wherever the descriptor stands."""

from __future__ import annotations

import errno

from hostsdk import Stored, u16, u32, u64

from ..errno import fault, invalid
from ..fdtable import Descriptor
from ..module import host
from ..state import BlockingCtx
from ..types import Rights
from .io import Use, prepare, transfer, use
from .iovec import Buffers, buffers, gather, scatter, total


@host.restartable
def fd_pread(ctx: BlockingCtx, fd: u32, iovs: u32, count: u32, offset: u64) -> tuple[u16, Stored[u32]]:
    """Read from a place of the file; where the descriptor stands doesn't change. May suspend."""

    def read(descriptor: Descriptor, room: Buffers) -> int | None:
        size = total(room)
        data = descriptor.file.pread(size, _offset(offset)) if size else b""
        return None if data is None else scatter(ctx, room, data)

    def first() -> tuple[int | None, int, bool, Buffers]:
        room = buffers(ctx, iovs, count)
        descriptor = ctx.state.fds.get(fd, Rights.FD_READ | Rights.FD_SEEK)
        return read(descriptor, room), descriptor.identity, descriptor.nonblock, room

    # Nearly always the bytes are there: what a wait would need is not asked for before.
    found, identity, nonblock, room = ctx.once(first)
    if found is None:
        found = transfer(ctx, Use(identity, nonblock), lambda descriptor: read(descriptor, room))
    return 0, found


@host.restartable
def fd_pwrite(ctx: BlockingCtx, fd: u32, iovs: u32, count: u32, offset: u64) -> tuple[u16, Stored[u32]]:
    """Write at a place of the file; where the descriptor stands doesn't change. May suspend between two parts."""
    data = prepare(ctx, iovs, count)
    used = use(ctx, fd, Rights.FD_WRITE | Rights.FD_SEEK)

    def write() -> int:
        part = gather(ctx, data, done.value)
        return used.now(ctx).file.pwrite(part, _offset(offset) + done.value)

    done = ctx.progress(0)
    while done.value < total(data):
        if done.value:
            ctx.check_interrupt()
        try:
            done.value += ctx.once(write) or _full()
        except OSError:
            if not done.value:
                raise
            break
    return 0, done.value


def _offset(offset: int) -> int:
    if offset >= 1 << 63:
        raise invalid("a negative offset")
    return offset


def _full() -> int:
    raise fault(errno.ENOSPC)
