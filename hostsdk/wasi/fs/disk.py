"""How much a guest may put on the host's disks."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from ..errno import fault

T = TypeVar("T")
#: What a new name counts, whatever it stands for: about what it takes on a disk.
ENTRY = 4096


class Disk:
    """Bytes by which files of the host's may grow, all together; each new name counts ENTRY of them. What the guest
    removes or cuts off isn't given back. Whatever would need more raises ENOSPC and does nothing; a write is short
    first, as on a disk that is nearly full. For any number of threads."""

    def __init__(self, size: int) -> None:
        self.left = size
        self._lock = threading.Lock()

    def name(self, make: Callable[[], T]) -> T:
        """Do `make`, which gives something a name."""
        with self._lock:
            self._need(ENTRY)
            made = make()
            self.left -= ENTRY
            return made

    def write(self, fd: int, data: bytes) -> int:
        """As os.write does with a regular file."""
        with self._lock:
            return self._put(fd, data, os.lseek(fd, 0, os.SEEK_CUR), lambda part: os.write(fd, part))

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        """As os.pwrite does."""
        with self._lock:
            return self._put(fd, data, offset, lambda part: os.pwrite(fd, part, offset))

    def resize(self, fd: int, size: int) -> None:
        """As os.ftruncate does."""
        with self._lock:
            more = self._need(size - os.fstat(fd).st_size)
            os.ftruncate(fd, size)
            self.left -= more

    def allocate(self, fd: int, offset: int, size: int) -> None:
        """As os.posix_fallocate does."""
        with self._lock:
            more = self._need(offset + size - os.fstat(fd).st_size)
            os.posix_fallocate(fd, offset, size)
            self.left -= more

    def _put(self, fd: int, data: bytes, at: int, put: Callable[[bytes], int]) -> int:
        size = os.fstat(fd).st_size
        if _appends(fd):
            at = size
        room = size + self.left - at
        if data and room <= 0:
            raise fault(errno.ENOSPC)
        written = put(data[:room])
        self.left -= max(at + written - size, 0)
        return written

    def _need(self, more: int) -> int:
        """`more`, or 0 where that is nothing."""
        if more > self.left:
            raise fault(errno.ENOSPC)
        return max(more, 0)


def _appends(fd: int) -> bool:
    """Whether all that is written goes to the end, by whichever call."""
    import fcntl

    return bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_APPEND)
