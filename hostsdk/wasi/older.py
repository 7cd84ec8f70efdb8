"""wasi_unstable: what the older interface does otherwise. Everything else is preview1's.

`fd_seek` numbers its whence differently, links are counted in 32 bits, and a clock's subscription has one field more.
"""

from __future__ import annotations

import errno
import struct

from hostsdk import Bytes, HostModule, Stored, i64, u8, u16, u32, u64

from .errno import ERRORS, fault, invalid
from .module import host
from .preview1.fd import seek
from .preview1.path import stat_of
from .preview1.poll import Row, poll
from .state import BlockingCtx, Ctx, WasiState
from .types import Filestat, OldFilestat, Rights, Whence

#: The functions of `wasi_unstable`; completed by `_complete`.
old_host: HostModule[WasiState] = HostModule(
    "wasi_unstable", state=host.make_state, close=WasiState.close, errors=ERRORS
)
_WHENCE = (Whence.CUR, Whence.END, Whence.SET)
_SUBSCRIPTION = struct.Struct("<QB7x40s")
_CLOCK = struct.Struct("<8xI4xQQH6x")


@old_host.function
def fd_seek(ctx: Ctx, fd: u32, offset: i64, whence: u8) -> tuple[u16, Stored[u64]]:
    """Move where the descriptor stands; whence 0 is the place, 1 the end, 2 the beginning."""
    if whence >= len(_WHENCE):
        raise invalid(f"there is no whence {whence}")
    return 0, seek(ctx, fd, offset, _WHENCE[whence])


@old_host.function
def fd_filestat_get(ctx: Ctx, fd: u32) -> tuple[u16, Stored[OldFilestat]]:
    """What is known of a file."""
    return 0, _old(ctx.state.fds.get(fd, Rights.FD_FILESTAT_GET).file.stat())


@old_host.function
def path_filestat_get(ctx: Ctx, fd: u32, flags: u32, path: Bytes) -> tuple[u16, Stored[OldFilestat]]:
    """What is known of a name."""
    return 0, _old(stat_of(ctx, fd, flags, path))


@old_host.restartable
def poll_oneoff(ctx: BlockingCtx, subs: u32, out: u32, count: u32) -> tuple[u16, Stored[u32]]:
    """Wait for clocks and descriptors. May suspend."""
    return 0, poll(ctx, subs, out, count, _SUBSCRIPTION.size, _rows)


def _rows(raw: bytes) -> list[Row]:
    found: list[Row] = []
    for userdata, type_, rest in _SUBSCRIPTION.iter_unpack(raw):
        if type_:
            found.append((userdata, type_, int.from_bytes(rest[:4], "little"), 0, 0, 0))
        else:
            found.append((userdata, type_, *_CLOCK.unpack(rest)))
    return found


def _old(found: Filestat) -> OldFilestat:
    if found.nlink >= 1 << 32:
        raise fault(errno.EOVERFLOW)
    return OldFilestat(
        found.dev, found.ino, found.filetype, found.nlink, found.size, found.atim, found.mtim, found.ctim
    )  # fmt: skip


def _complete() -> None:
    """Register what preview1 has and this module does not say otherwise."""
    for name, spec in host.functions.items():
        if name not in old_host.functions:
            decorate = old_host.function if spec.style.value == "plain" else old_host.restartable
            decorate(spec.fn)


_complete()
