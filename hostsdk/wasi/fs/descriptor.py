"""What the host says of a descriptor, without waiting: what kind it is, whether it is ready, what is known of it."""

from __future__ import annotations

import array
import errno
import os
import select
import stat
import sys
from collections.abc import Callable

from ..errno import fault
from ..types import Filestat, FileType
from .base import Ready

_U64 = (1 << 64) - 1


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
