"""fd_advise, fd_allocate, fd_datasync, fd_sync, fd_filestat_*: files as a whole."""

from __future__ import annotations

import itertools
import os

from hostsdk import Stored, u8, u16, u32, u64

from ..errno import invalid
from ..module import host
from ..state import BlockingCtx, Ctx
from ..types import Filestat, Rights
from .io import Use, transfer
from .times import times

#: Kinds of advice.
_ADVICE = 6
#: By these two a call that syncs is told from all others, in whatever process it goes on.
_PROCESS = os.urandom(8).hex()
_calls = itertools.count()


@host.function
def fd_advise(ctx: Ctx, fd: u32, offset: u64, size: u64, advice: u8) -> u16:
    """Say how a part of a file will be used."""
    file = ctx.state.fds.get(fd, Rights.FD_ADVISE).file
    if advice >= _ADVICE or offset + size >= 1 << 63:
        raise invalid("no such advice")
    file.advise(offset, size, advice)
    return 0


@host.function
def fd_allocate(ctx: Ctx, fd: u32, offset: u64, size: u64) -> u16:
    """Make sure that there is room for a part of a file."""
    file = ctx.state.fds.get(fd, Rights.FD_ALLOCATE).file
    if not size or offset >= 1 << 63:
        raise invalid("no bytes to allocate")
    file.allocate(offset, size)
    return 0


@host.restartable
def fd_datasync(ctx: BlockingCtx, fd: u32) -> u16:
    """Have the data written. May suspend."""
    _sync(ctx, fd, Rights.FD_DATASYNC, data=True)
    return 0


@host.restartable
def fd_sync(ctx: BlockingCtx, fd: u32) -> u16:
    """Have everything written. May suspend."""
    _sync(ctx, fd, Rights.FD_SYNC, data=False)
    return 0


def _sync(ctx: BlockingCtx, fd: int, right: int, *, data: bool) -> None:
    def begin() -> tuple[int, str, int]:
        return ctx.state.fds.get(fd, right).identity, _PROCESS, next(_calls)

    identity, *call = ctx.once(begin)
    transfer(ctx, Use(identity, nonblock=False), lambda descriptor: descriptor.file.synced(tuple(call), data=data))


@host.function
def fd_filestat_get(ctx: Ctx, fd: u32) -> tuple[u16, Stored[Filestat]]:
    """What is known of a file."""
    return 0, ctx.state.fds.get(fd, Rights.FD_FILESTAT_GET).file.stat()


@host.function
def fd_filestat_set_size(ctx: Ctx, fd: u32, size: u64) -> u16:
    """Cut a file off, or fill it up with zeros."""
    ctx.state.fds.get(fd, Rights.FD_FILESTAT_SET_SIZE).file.set_size(size)
    return 0


@host.function
def fd_filestat_set_times(ctx: Ctx, fd: u32, atim: u64, mtim: u64, which: u16) -> u16:
    """Set a file's times."""
    descriptor = ctx.state.fds.get(fd, Rights.FD_FILESTAT_SET_TIMES)
    new = times(ctx, atim, mtim, which)
    descriptor.require_writable()
    descriptor.file.set_times(*new)
    return 0
