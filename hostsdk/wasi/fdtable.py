"""A guest's descriptors: numbers, what stands behind them, and what may be done with it.

A descriptor keeps its identity when it is renumbered, and a number that was closed and given out again is another
descriptor: a call that looked one up before it was suspended never goes on with the wrong file.

Threads of one guest may share a table. What changes it takes its lock; a look-up needs none. Closed or renumbered while
another thread is using it, a descriptor is gone at once for all that begins later, and whoever waits for it is woken to
EBADF; what another thread is in the middle of ends as if it had come first, and the file is closed after that: no
number of the host's is another file's while anybody uses it.
"""

from __future__ import annotations

import errno
import heapq
import threading
from collections.abc import Iterable

from hostsdk import Notifier, lean

from .errno import NotCapable, bad_fd, fault
from .fs.base import File, Name
from .types import FdFlags, Fdstat, Rights

#: Descriptors that a guest may have open at once.
LIMIT = 4096


@lean.define(eq=False)
class Descriptor:
    """An open file as the guest has it."""

    file: File
    rights: int
    inheriting: int = 0
    flags: int = 0
    #: The name of a preopened directory.
    preopen: bytes | None = None
    #: Nothing may be changed through it or what is opened from it.
    read_only: bool = False
    #: A directory's names as `fd_readdir` found them when it began: cookies are places in it.
    listing: list[Name] | None = None
    #: Where it came from, for saving: ("stream", 0), ("listen", 0), or ("preopen", 0) with paths from there on.
    origin: tuple[object, ...] = ()
    #: Whether the file is closed with it. What the embedder gave as an object stays the embedder's.
    owned: bool = True
    #: Never given out twice in a table.
    identity: int = 0
    #: Tells that the descriptor was closed, to whoever waits in a call that uses it.
    closed: Notifier = lean.field(factory=Notifier)

    @property
    def nonblock(self) -> bool:
        """Whether the guest wants EAGAIN instead of a wait."""
        return bool(self.flags & FdFlags.NONBLOCK)

    def require(self, rights: int) -> None:
        """Raises EBADF, or ESPIPE for seeking, where the file can't do that at all or was not opened for it; NotCapable
        (ENOTCAPABLE) where it could, and the descriptor has no right to it."""
        missing = rights & ~self.rights
        if not missing:
            return
        unable = missing & ~self.file.rights
        if unable & (Rights.FD_SEEK | Rights.FD_TELL):
            raise self.file.no_seek()
        if unable:
            raise bad_fd("the descriptor is not open for that")
        raise NotCapable(f"the descriptor lacks rights {missing:#x}")

    def end(self) -> None:
        """It has no number any more: wake whoever waits, and close the file."""
        self.closed.notify()
        if self.owned:
            self.file.close()

    def require_writable(self) -> None:
        """Raises EROFS for what was given only to be read."""
        if self.read_only:
            raise fault(errno.EROFS)

    def stat(self) -> Fdstat:
        """For `fd_fdstat_get`."""
        return Fdstat(self.file.type, self.flags, self.rights, self.inheriting)


@lean.define(eq=False)
class FdTable:
    """The descriptors of one instance, or of several that share them. A new one gets the lowest free number."""

    _by_number: dict[int, Descriptor] = lean.field(factory=dict)
    _by_identity: dict[int, Descriptor] = lean.field(factory=dict)
    #: The last identity that was given out.
    _last: int = 0
    #: Numbers below `_next` that are free, as a heap.
    _free: list[int] = lean.field(factory=list)
    _next: int = 0
    #: Numbers that are taken for descriptors still to come.
    _reserved: int = 0
    limit: int = LIMIT
    _lock: threading.Lock = lean.field(factory=threading.Lock)

    def reserve(self) -> int:
        """Take the lowest free number, for `fill` or `give_back`. Raises EMFILE."""
        with self._lock:
            if len(self._by_number) + self._reserved >= self.limit:
                raise fault(errno.EMFILE, "too many descriptors")
            self._reserved += 1
            if self._free:
                return heapq.heappop(self._free)
            self._next += 1
            return self._next - 1

    def fill(self, number: int, descriptor: Descriptor) -> int:
        """Give a reserved number to a descriptor; the number."""
        with self._lock:
            self._reserved -= 1
            self._put(number, descriptor)
        return number

    def give_back(self, number: int) -> None:
        """A reserved number isn't needed."""
        with self._lock:
            self._reserved -= 1
            heapq.heappush(self._free, number)

    def add(self, descriptor: Descriptor) -> int:
        """Give it the lowest free number. Raises EMFILE; it is not closed then."""
        return self.fill(self.reserve(), descriptor)

    def _put(self, number: int, descriptor: Descriptor) -> None:
        if not descriptor.identity:
            self._last += 1
            descriptor.identity = self._last
        self._by_number[number] = descriptor
        self._by_identity[descriptor.identity] = descriptor

    def _release(self, number: int) -> Descriptor:
        descriptor = self._by_number.pop(number, None)
        if descriptor is None:
            raise _none(number)
        del self._by_identity[descriptor.identity]
        heapq.heappush(self._free, number)
        return descriptor

    def get(self, number: int, rights: int = 0) -> Descriptor:
        """The descriptor of a number. Raises EBADF, and what `Descriptor.require` raises."""
        descriptor = self._by_number.get(number)
        if descriptor is None:
            raise _none(number)
        if rights & ~descriptor.rights:
            descriptor.require(rights)
        return descriptor

    def pinned(self, identity: int) -> Descriptor:
        """The descriptor of an identity, whatever its number now. Raises EBADF once it is closed."""
        descriptor = self._by_identity.get(identity)
        if descriptor is None:
            raise bad_fd("the descriptor was closed in the meantime")
        return descriptor

    def close(self, number: int) -> None:
        """Close it: its number is free, whoever waits for it gets EBADF. Raises EBADF, and what closing raises."""
        with self._lock:
            descriptor = self._release(number)
        descriptor.end()

    def renumber(self, number: int, to: int) -> None:
        """Give it another number, closing what has that; the same number is no change. Raises EBADF where either is
        not open."""
        with self._lock:
            old = self.get(to)
            if to == number:
                return
            descriptor = self._release(number)
            del self._by_identity[old.identity]
            self._put(to, descriptor)
        old.end()

    def close_all(self) -> None:
        """Close everything. The first error is raised when all are closed."""
        errors: list[Exception] = []
        for number, _ in reversed(self.items()):
            try:
                self.close(number)
            except Exception as error:  # the others are to be closed all the same
                errors.append(error)
        if errors:
            raise errors[0]

    def restore(self, found: Iterable[tuple[int, Descriptor]], last: int) -> None:
        """Become a table of these descriptors, in which identities up to `last` have been given out."""
        for number, descriptor in found:
            self._put(number, descriptor)
        self._last = last
        self._next = max(self._by_number, default=-1) + 1
        self._free = sorted(set(range(self._next)) - self._by_number.keys())

    @property
    def last(self) -> int:
        """The last identity that was given out."""
        return self._last

    def items(self) -> list[tuple[int, Descriptor]]:
        """Numbers and descriptors, ascending."""
        return sorted(self._by_number.copy().items(), key=lambda item: item[0])

    def __len__(self) -> int:
        return len(self._by_number)


def _none(number: int) -> OSError:
    return bad_fd(f"no descriptor has the number {number}")
