"""Descriptors of the host's: what it says of one without waiting, and the files that have one.

A number that was closed may be another file's the next moment. So where several threads of a guest share their files,
none is closed under another's hands: `Described` says how.
"""

from __future__ import annotations

import array
import errno
import os
import select
import stat
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from ..errno import fault
from ..types import Filestat, FileType, Whence
from .base import File, Ready, Sources

T = TypeVar("T")
_U64 = (1 << 64) - 1
#: What `preadv` and `pwritev` are told so that they never block; 0 where there is no such thing.
NOWAIT: int = getattr(os, "RWF_NOWAIT", 0) if hasattr(os, "preadv") else 0
#: What a call answers that the kernel has no way of doing without blocking.
UNABLE = {errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS, errno.ESPIPE}


def poll_fd(fd: int, write: bool) -> Ready | None:
    """What poll(2) says of a descriptor, without waiting. An error counts as ready: whoever tries is told."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT if write else select.POLLIN)
    found = poll.poll(0)
    if not found:
        return None
    events = found[0][1]
    if events & select.POLLNVAL:
        raise fault(errno.EBADF)
    hangup = bool(events & (select.POLLHUP | (select.POLLERR if write else 0)))
    return Ready(0 if write else available(fd), hangup)


def available(fd: int) -> int:
    """Bytes that can be read now, as far as the system tells; 0 where it doesn't."""
    if sys.platform == "win32":
        return 0
    import fcntl
    import termios

    count = array.array("i", [0])
    try:
        fcntl.ioctl(fd, termios.FIONREAD, count)
    except OSError:
        return 0
    return max(count[0], 0)


def filestat(found: os.stat_result) -> Filestat:
    """The host's stat as WASI has it."""
    times = (found.st_atime_ns & _U64, found.st_mtime_ns & _U64, found.st_ctime_ns & _U64)
    type_ = filetype_of(found.st_mode)
    return Filestat(found.st_dev & _U64, found.st_ino & _U64, type_, found.st_nlink, found.st_size, *times)


_TYPES: tuple[tuple[Callable[[int], bool], FileType], ...] = (
    (stat.S_ISREG, FileType.REGULAR_FILE),
    (stat.S_ISDIR, FileType.DIRECTORY),
    (stat.S_ISLNK, FileType.SYMBOLIC_LINK),
    (stat.S_ISCHR, FileType.CHARACTER_DEVICE),
    (stat.S_ISBLK, FileType.BLOCK_DEVICE),
    (stat.S_ISSOCK, FileType.SOCKET_STREAM),
)


def filetype_of(mode: int) -> FileType:
    """The type that a mode tells. A pipe has none in WASI."""
    return next((type_ for test, type_ in _TYPES if test(mode)), FileType.UNKNOWN)


class Described(File):
    """A file with a descriptor of the host's, number `fd`; -1 once it is closed.

    Every use goes by `use`. Closed while another thread is in the middle of one, the descriptor is closed by whoever
    leaves last. The order makes that safe without a lock: a user notes himself first and looks at the number then; who
    closes takes the number away first and looks for users then. So one of the two always sees the other.
    """

    #: Whether the descriptor is ours to close.
    owned = True

    def __init__(self, fd: int) -> None:
        self.fd = fd
        #: One entry for each thread that is using it. Lists grow and shrink in one step.
        self._users: list[None] = []
        #: The number, from when it was taken away until it is closed.
        self._doomed: list[int] = []

    def use(self, call: Callable[..., T], *args: Any) -> T:
        """`call(fd, *args)`, while which the number is no other file's. Raises EBADF once it is closed."""
        users = self._users
        users.append(None)
        try:
            fd = self.fd
            if fd < 0:
                raise fault(errno.EBADF)
            return call(fd, *args)
        finally:
            users.pop()
            if self._doomed and not users:
                self._end()

    def close(self) -> None:
        """Close the descriptor where it is ours to close; when other threads are using it, as soon as they have
        done."""
        if self.owned:
            fd, self.fd = self.fd, -1
            self._doomed.append(fd)
            if not self._users:
                self._end()

    def _end(self) -> None:
        try:
            fd = self._doomed.pop()
        except IndexError:
            return  # another thread left at the same time, and has done it
        self.dispose(fd)

    def dispose(self, fd: int) -> None:
        """Close the number, which nobody uses."""
        os.close(fd)

    def stat(self) -> Filestat:
        """The system's."""
        return filestat(self.use(os.fstat))

    def sync(self) -> None:
        """As fsync does."""
        self.use(os.fsync)

    def datasync(self) -> None:
        """As fdatasync does, or fsync where there is none."""
        self.use(getattr(os, "fdatasync", os.fsync))


class Plain(Described):
    """One that is read, written, positioned and waited for as the system does it."""

    #: Bytes of one read at most.
    most = 1 << 20

    def pread(self, size: int, offset: int) -> bytes | None:
        """From `offset`, where that can be."""
        return self.use(os.pread, min(size, self.most), offset)

    def pwrite(self, data: bytes, offset: int) -> int:
        """At `offset`, where that can be."""
        return self.use(os.pwrite, data, offset)

    def seek(self, offset: int, whence: Whence) -> int:
        """As lseek does."""
        return self.use(os.lseek, offset, (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END)[whence])

    def ready(self, write: bool) -> Ready | None:
        """Asked of poll(2). Data comes before a hang-up."""
        return self.use(poll_fd, write)

    def sources(self, write: bool) -> Sources:
        """The descriptor."""
        return Sources(fds=(self.fd,))
