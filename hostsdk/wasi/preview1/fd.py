"""fd_*: a descriptor's state, place and end."""

from __future__ import annotations

from hostsdk import Stored, i64, u8, u16, u32, u64

from ..errno import NotCapable, invalid
from ..module import host
from ..state import Ctx
from ..types import FdFlags, Fdstat, Rights, Whence


@host.function
def fd_close(ctx: Ctx, fd: u32) -> u16:
    """Close. Whoever waits for the descriptor gets EBADF."""
    ctx.state.fds.close(fd)
    return 0


@host.function
def fd_renumber(ctx: Ctx, fd: u32, to: u32) -> u16:
    """Give a descriptor the number of another one, which is closed."""
    ctx.state.fds.renumber(fd, to)
    return 0


@host.function
def fd_seek(ctx: Ctx, fd: u32, offset: i64, whence: u8) -> tuple[u16, Stored[u64]]:
    """Move where the descriptor stands."""
    return 0, seek(ctx, fd, offset, _whence(whence))


@host.function
def fd_tell(ctx: Ctx, fd: u32) -> tuple[u16, Stored[u64]]:
    """Where the descriptor stands."""
    return 0, ctx.state.fds.get(fd, Rights.FD_TELL).file.seek(0, Whence.CUR)


def seek(ctx: Ctx, fd: int, offset: int, whence: Whence) -> int:
    """The place after seeking. To learn it needs no more than the right to."""
    asking = whence is Whence.CUR and not offset
    descriptor = ctx.state.fds.get(fd)
    if not (asking and descriptor.rights & Rights.FD_TELL):
        descriptor.require(Rights.FD_SEEK)
    return descriptor.file.seek(offset, whence)


def _whence(number: int) -> Whence:
    if number > Whence.END:
        raise invalid(f"there is no whence {number}")
    return Whence(number)


@host.function
def fd_fdstat_get(ctx: Ctx, fd: u32) -> tuple[u16, Stored[Fdstat]]:
    """Type, flags and rights."""
    return 0, ctx.state.fds.get(fd).stat()


@host.function
def fd_fdstat_set_flags(ctx: Ctx, fd: u32, flags: u16) -> u16:
    """Set flags. NONBLOCK is the guest's own affair: the host's descriptor never gets it."""
    descriptor = ctx.state.fds.get(fd, Rights.FD_FDSTAT_SET_FLAGS)
    if flags & ~FdFlags.ALL:
        raise invalid(f"unknown flags {flags:#x}")
    descriptor.file.set_flags(flags)
    descriptor.flags = flags
    return 0


@host.function
def fd_fdstat_set_rights(ctx: Ctx, fd: u32, base: u64, inheriting: u64) -> u16:
    """Give up rights. None can be gained."""
    descriptor = ctx.state.fds.get(fd)
    if base & ~descriptor.rights or inheriting & ~descriptor.inheriting:
        raise NotCapable("rights can only be given up")
    descriptor.rights, descriptor.inheriting = base, inheriting
    return 0
