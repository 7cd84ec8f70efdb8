"""sock_*: connections."""

from __future__ import annotations

import errno

from hostsdk import Stored, u8, u16, u32

from ..errno import bad_fd, fault, invalid
from ..fdtable import Descriptor
from ..fs.base import Listener, Socket
from ..module import host
from ..state import BlockingCtx, Ctx
from ..types import FdFlags, Rights
from .io import prepare, transfer, use, write_all
from .iovec import scatter, total

#: `riflags`.
_PEEK, _WAITALL = 1, 2
#: `roflags`.
_TRUNCATED = 1
#: `sdflags`.
_READ, _WRITE = 1, 2


def _socket(descriptor: Descriptor) -> Socket:
    file = descriptor.file
    if not isinstance(file, Socket):
        raise fault(errno.ENOTSOCK)
    return file


@host.restartable
def sock_accept(ctx: BlockingCtx, fd: u32, flags: u16) -> tuple[u16, Stored[u32]]:
    """The next connection to a listening socket; waits for one. May suspend."""
    if flags & ~FdFlags.NONBLOCK:
        raise fault(errno.ENOTSUP if flags & ~FdFlags.ALL == 0 else errno.EINVAL)

    def kind() -> None:
        if not isinstance(ctx.state.fds.get(fd).file, Listener):
            raise fault(errno.ENOTSOCK)

    ctx.once(kind)
    used = use(ctx, fd, Rights.SOCK_ACCEPT)

    def accept(descriptor: Descriptor) -> int | None:
        file = descriptor.file
        if not isinstance(file, Listener):
            raise bad_fd("it was closed in the meantime")
        fds = ctx.state.fds
        number = fds.reserve()
        made = None
        try:
            made = file.accept()
        finally:
            if made is None:
                fds.give_back(number)
        return None if made is None else fds.fill(number, Descriptor(made, made.rights, flags=flags))

    return 0, transfer(ctx, used, accept)


@host.restartable
def sock_recv(ctx: BlockingCtx, fd: u32, iovs: u32, count: u32, flags: u16) -> tuple[u16, Stored[u32], Stored[u16]]:
    """Receive; waits for something to come. PEEK leaves it there, WAITALL alone waits for as much as was asked for.
    May suspend."""
    room = prepare(ctx, iovs, count)
    if flags & ~(_PEEK | _WAITALL):
        raise invalid("unknown flags")
    ctx.once(lambda: _kind(ctx, fd))
    used = use(ctx, fd, Rights.FD_READ)
    size = total(room)
    cut = 0

    def receive(descriptor: Descriptor) -> tuple[int, int] | None:
        found = _socket(descriptor).recv(size - done.value, peek=bool(flags & _PEEK))
        if found is None:
            return None
        scatter(ctx, room, found[0], done.value)
        return len(found[0]), _TRUNCATED if found[1] else 0

    done = ctx.progress(0)
    while True:
        if done.value:
            ctx.check_interrupt()
        try:
            got, cut = transfer(ctx, used, receive)
        except OSError:
            if not done.value:
                raise
            break
        done.value += got
        if not flags & _WAITALL or not got or cut or done.value >= size or flags & _PEEK:
            break
    return 0, done.value, cut


def _kind(ctx: BlockingCtx, fd: int) -> None:
    _socket(ctx.state.fds.get(fd))


@host.restartable
def sock_send(ctx: BlockingCtx, fd: u32, iovs: u32, count: u32, flags: u16) -> tuple[u16, Stored[u32]]:
    """Send all of it; waits for room, and is short only where an error ends it or the guest doesn't wait. May
    suspend."""
    data = prepare(ctx, iovs, count)
    if flags:
        raise invalid("there are no flags for sending")
    ctx.once(lambda: _kind(ctx, fd))
    used = use(ctx, fd, Rights.FD_WRITE)

    return 0, write_all(ctx, used, data, lambda descriptor, rest: _socket(descriptor).write(rest))


@host.function
def sock_shutdown(ctx: Ctx, fd: u32, how: u8) -> u16:
    """End one direction of a connection or both."""
    descriptor = ctx.state.fds.get(fd)
    sock = _socket(descriptor)
    descriptor.require(Rights.SOCK_SHUTDOWN)
    if not how or how & ~(_READ | _WRITE):
        raise invalid("neither direction, or an unknown one")
    sock.shutdown(read=bool(how & _READ), write=bool(how & _WRITE))
    return 0
