"""Streams as files: inherited descriptors, bytes, callables, queues.

A descriptor that we did not open is shared with other processes, and its O_NONBLOCK with it: it is never touched.
Attempts use calls that can't block (RWFNOWAIT); where the system has none for a kind of descriptor, they ask poll(2)
first and then move no more bytes than it promised room for.
"""

from __future__ import annotations

import errno
import io
import os
import select
import stat
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from hostsdk import Notifier

from ..errno import fault
from ..types import FileType, Rights
from .base import File, Ready, Sources
from .descriptor import NOWAIT, UNABLE, Plain, filetype_of

#: Bytes that a terminal takes without blocking once it says that it takes any.
_TTY_ROOM = 256
#: Bytes moved in one attempt at most.
_CHUNK = 1 << 20
#: The same for regular files, whose reads aren't expected to be short.
_FILE_CHUNK = 1 << 26


class Null(File):
    """Nothing to read; what is written is gone."""

    type = FileType.CHARACTER_DEVICE
    rights = Rights.FILE & ~(Rights.FD_ALLOCATE | Rights.FD_FILESTAT_SET_SIZE | Rights.FD_FILESTAT_SET_TIMES)

    def read(self, size: int) -> bytes:
        """The end."""
        return b""

    def write(self, data: bytes) -> int:
        """All of it."""
        return len(data)

    def save(self) -> object:
        """Nothing."""
        return None


class Source(File):
    """Bytes given beforehand, read as from a pipe."""

    rights = Rights.STREAM & ~Rights.FD_WRITE

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self._lock = threading.Lock()

    def read(self, size: int) -> bytes:
        """The next bytes."""
        with self._lock:
            part = self.data[self.at : self.at + size]
            self.at += len(part)
        return part

    def ready(self, write: bool) -> Ready:
        """Always, with what is left."""
        left = len(self.data) - self.at
        return Ready(left, not left)

    def save(self) -> object:
        """How far it has been read."""
        return self.at

    def load(self, data: int) -> None:
        """Go on from there; the bytes are those of the configuration."""
        self.at = data


class Sink(File):
    """Hands what is written to a callable."""

    rights = Rights.STREAM & ~Rights.FD_READ

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self.take = take

    def write(self, data: bytes) -> int:
        """All of it."""
        self.take(data)
        return len(data)

    def save(self) -> object:
        """Nothing: what was written has been handed on."""
        return None


class Producer(File):
    """Asks a callable for bytes: it gives up to that many, b"" at the end, None while it has nothing."""

    rights = Rights.STREAM & ~Rights.FD_WRITE

    def __init__(self, give: Callable[[int], bytes | None]) -> None:
        self.give = give
        self.kept: bytes | None = b""
        self._lock = threading.RLock()

    def read(self, size: int) -> bytes | None:
        """The next bytes. What the callable gave beyond `size` is kept for the next read."""
        with self._lock:
            if self.ready(write=False) is None or self.kept is None:
                return None if self.kept is not None else b""
            part, self.kept = self.kept[:size], self.kept[size:]
            return part

    def ready(self, write: bool) -> Ready | None:
        """Whether there is something, which is then kept."""
        with self._lock:
            return self._ready()

    def _ready(self) -> Ready | None:
        if self.kept == b"":
            more = self.give(_CHUNK)
            if more is None:
                return None
            self.kept = more or None
        return Ready(0, hangup=True) if self.kept is None else Ready(len(self.kept))

    def save(self) -> object:
        """What the callable gave and nobody has read."""
        return self.kept

    def load(self, data: bytes | None) -> None:
        """Have that."""
        self.kept = data


class ByteQueue:
    """Bytes from one thread to another: given as standard input, or as standard output, it connects the guest to
    whoever holds the other end. `limit` bytes wait at most; None for no limit."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.changed = Notifier()
        self._parts: deque[bytes] = deque()
        self._size = 0
        self._closed = False
        self._lock = threading.Lock()

    def put(self, data: bytes) -> int:
        """Add bytes, as many as fit; how many that were. Raises BrokenPipeError when it is closed."""
        with self._lock:
            if self._closed:
                raise fault(errno.EPIPE)
            room = len(data) if self.limit is None else min(len(data), self.limit - self._size)
            if room <= 0:
                return 0  # and nobody is told: a writer that waits would wake itself
            self._parts.append(bytes(data[:room]))
            self._size += room
        self.changed.notify()
        return room

    def get(self, size: int) -> bytes | None:
        """Take up to `size` bytes; None while there are none, b"" once it is closed and drained."""
        with self._lock:
            if not self._parts:
                return b"" if self._closed or not size else None
            part = self._parts.popleft()
            if len(part) > size:
                self._parts.appendleft(part[size:])
                part = part[:size]
            self._size -= len(part)
        self.changed.notify()
        return part

    def close(self) -> None:
        """No more bytes come."""
        self._closed = True
        self.changed.notify()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def room(self) -> int:
        """How many bytes fit now."""
        return _CHUNK if self.limit is None else max(self.limit - self._size, 0)

    def __len__(self) -> int:
        """How many bytes wait."""
        return self._size


class QueueFile(File):
    """One end of a `ByteQueue`."""

    def __init__(self, queue: ByteQueue, *, write: bool) -> None:
        self.queue = queue
        self.rights = Rights.STREAM & ~(Rights.FD_READ if write else Rights.FD_WRITE)

    def read(self, size: int) -> bytes | None:
        """What has come."""
        return self.queue.get(size)

    def write(self, data: bytes) -> int | None:
        """What fits."""
        return self.queue.put(data) or None

    def ready(self, write: bool) -> Ready | None:
        """Bytes for a reader, room for a writer."""
        queue = self.queue
        count = queue.room if write else len(queue)
        return Ready(count, queue.closed) if count or queue.closed else None

    def sources(self, write: bool) -> Sources:
        """The queue tells."""
        return Sources(wakes=(self.queue.changed,))

    def save(self) -> object:
        """Nothing: what waits in the queue is the embedder's."""
        return None


class Inherited(Plain):
    """A descriptor of the process that somebody else opened. Left open when the guest closes it, unless `owned`."""

    def __init__(self, fd: int, *, write: bool | None = None, owned: bool = False) -> None:
        super().__init__(fd)
        self.owned = owned
        mode = os.fstat(fd).st_mode
        self.regular = stat.S_ISREG(mode)
        self.tty = stat.S_ISCHR(mode) and os.isatty(fd)
        self.type = filetype_of(mode)
        self.rights = Rights.FILE if self.regular or (stat.S_ISCHR(mode) and not self.tty) else Rights.STREAM
        if write is not None:
            self.rights &= ~(Rights.FD_READ if write else Rights.FD_WRITE)
        self.most = _FILE_CHUNK if self.regular else _CHUNK
        self._nowait = bool(NOWAIT) and not self.regular
        self._room = _TTY_ROOM if self.tty else getattr(select, "PIPE_BUF", 512)

    def read(self, size: int) -> bytes | None:
        """What is there."""
        size = min(size, self.most)
        if self._nowait:
            buffer = bytearray(size)
            try:
                return bytes(buffer[: self.use(os.preadv, [buffer], -1, NOWAIT)])
            except OSError as error:
                if error.errno not in UNABLE:
                    raise
                self._nowait = False
        if not self.regular and self.ready(write=False) is None:
            return None
        return self.use(os.read, size)

    def write(self, data: bytes) -> int | None:
        """What fits."""
        if self._nowait:
            try:
                return self.use(os.pwritev, [data[:_CHUNK]], -1, NOWAIT)
            except OSError as error:
                if error.errno not in UNABLE:
                    raise
                self._nowait = False
        if self.regular:
            return self.use(os.write, data)
        if self.ready(write=True) is None:
            return None
        return self.use(os.write, data[: self._room])

    def save(self) -> object:
        """Where a regular file stands. Other streams are those of whoever restores."""
        return self.use(os.lseek, 0, os.SEEK_CUR) if self.regular else None

    def load(self, data: int | None) -> None:
        """Stand there."""
        if data is not None and self.regular:
            self.use(os.lseek, data, os.SEEK_SET)


def stream(given: Any, *, write: bool, inherited: int) -> File:
    """The file for what a configuration gives as a standard stream: see `WasiConfig`. Raises TypeError."""
    match given:
        case File():
            return given
        case "inherit":
            return _inherited(inherited, write)
        case "null":
            return Null()
        case ByteQueue():
            return QueueFile(given, write=write)
        case bytes() | bytearray() | memoryview() if not write:
            return Source(bytes(given))
        case bool():
            raise TypeError(f"{given!r} can't be a standard stream")
        case int():
            return Inherited(given, write=write)
    return _object(given, write)


def _inherited(fd: int, write: bool) -> File:
    try:
        return Inherited(fd, write=write)
    except OSError:  # a daemon may have closed it
        return Null()


def _object(given: Any, write: bool) -> File:
    fileno = getattr(given, "fileno", None)
    if fileno is not None:
        try:
            return Inherited(fileno(), write=write)
        except OSError:  # io.BytesIO and its like have the method and no descriptor
            pass
    if isinstance(given, io.TextIOBase):
        raise TypeError(f"{given!r} can't be a standard stream: it has no descriptor and takes text, not bytes")
    method = getattr(given, "write" if write else "read", None)
    if method is not None:
        return Sink(method) if write else Producer(method)
    if isinstance(given, bytearray):
        return Sink(given.extend)
    if callable(given):
        return Sink(given) if write else Producer(given)
    raise TypeError(f"{given!r} can't be a standard stream: neither a file, nor bytes, nor callable")
