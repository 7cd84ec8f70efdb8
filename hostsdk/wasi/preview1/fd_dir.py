"""fd_prestat_*, fd_readdir: the directories that the guest was given, and what is in a directory."""

from __future__ import annotations

import errno
import struct

from hostsdk import OutBuffer, Stored, u16, u32, u64

from ..errno import bad_fd, fault
from ..fdtable import Descriptor
from ..fs.base import Directory, Name
from ..module import host
from ..state import Ctx
from ..types import FileType, Prestat, Rights
from .path import directory

_DIRENT = struct.Struct("<QQIB3x")


@host.function
def fd_prestat_get(ctx: Ctx, fd: u32) -> tuple[u16, Stored[Prestat]]:
    """The length of a preopened directory's name. EBADF for anything else, which is how guests find the last one."""
    return 0, Prestat(0, len(_name(ctx, fd)))


@host.function
def fd_prestat_dir_name(ctx: Ctx, fd: u32, out: OutBuffer) -> u16:
    """A preopened directory's name, without a zero at its end."""
    name = _name(ctx, fd)
    if len(name) > len(out):
        raise fault(errno.ENAMETOOLONG)
    out.fill(name)
    return 0


def _name(ctx: Ctx, fd: int) -> bytes:
    name = ctx.state.fds.get(fd).preopen
    if name is None:
        raise bad_fd("no preopened directory")
    return name


@host.function
def fd_readdir(ctx: Ctx, fd: u32, out: OutBuffer, cookie: u64) -> tuple[u16, Stored[u32]]:
    """Names of a directory from `cookie` on, the last one cut off where the room ends.

    Cookie 0 takes a new look; the others are places in what was found then. Whatever happens to the directory
    meanwhile, each name that was there is told once.
    """
    descriptor, place = directory(ctx, fd, Rights.FD_READDIR)
    names = _listing(descriptor, place, anew=not cookie)
    found = bytearray()
    for at in range(min(cookie, len(names)), len(names)):
        entry = names[at]
        found += _DIRENT.pack(at + 1, entry.ino, len(entry.name), entry.type) + entry.name
        if len(found) >= len(out):
            break
    return 0, out.fill(found[: len(out)])


def _listing(descriptor: Descriptor, place: Directory, *, anew: bool) -> list[Name]:
    listing = descriptor.listing
    if listing is None or anew:
        own = place.stat().ino
        # What lies above is not the guest's business: `..` has the directory's own number.
        dots = [Name(name, own, FileType.DIRECTORY) for name in (b".", b"..")]
        descriptor.listing = listing = [*dots, *place.names()]
    return listing
