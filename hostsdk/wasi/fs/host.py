"""The host's files, beneath directories that the guest was given.

Every call takes a single name relative to an open directory and refuses to follow a symbolic link, so that nobody who
renames or replaces things meanwhile can lead it anywhere else. No descriptor made here is inherited by child processes.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Hashable
from typing import TypeVar

from hostsdk import SnapshotError

from ..errno import fault, invalid
from ..types import FdFlags, Filestat, FileType, Rights
from .base import Directory, File, Name, Opening, Ready, Sources
from .beside import Beside, fetch
from .descriptor import NOWAIT, UNABLE, Described, Plain, filestat, filetype_of
from .disk import Disk

T = TypeVar("T")
#: Bytes that one read gives at most.
_MOST = 1 << 26
#: What every open is done with. NONBLOCK: opening a FIFO waits for nobody. NOCTTY: a terminal stays somebody else's.
_ALWAYS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
_DIRECTORY = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_DIRECTORY
_PATH = getattr(os, "O_PATH", os.O_RDONLY)
_SYNC = {
    FdFlags.APPEND: os.O_APPEND,
    FdFlags.DSYNC: os.O_DSYNC,
    FdFlags.RSYNC: getattr(os, "O_RSYNC", os.O_SYNC),
    FdFlags.SYNC: os.O_SYNC,
}
_LATEST = (1 << 63) - 1


class HostFile(Plain):
    """A regular file that the guest opened."""

    type = FileType.REGULAR_FILE
    rights = Rights.FILE
    most = _MOST

    def __init__(self, fd: int, how: Opening, disk: Disk | None = None) -> None:
        super().__init__(fd)
        self.rights = Rights.FILE & ~_withheld(how)
        self._disk = disk
        self._beside = Beside()
        self._nowait = NOWAIT
        #: Held while the place in the file is put back.
        self._place = threading.Lock()

    def read(self, size: int) -> bytes | None:
        """What comes next; None while it is being fetched from the medium."""
        return self.use(self._read, min(size, _MOST), -1)

    def pread(self, size: int, offset: int) -> bytes | None:
        """From `offset`; None while it is being fetched from the medium."""
        return self.use(self._read, min(size, _MOST), offset)

    def _read(self, fd: int, size: int, offset: int) -> bytes | None:
        """From `offset`, or from where the file stands if that is -1."""
        if self._nowait:
            buffer = bytearray(size)
            with self._place:
                try:
                    got = os.preadv(fd, [buffer], offset, self._nowait)
                    if got == size or not got or _ends(fd, got, offset):
                        return bytes(buffer) if got == size else bytes(buffer[:got])
                    if offset < 0:
                        os.lseek(fd, -got, os.SEEK_CUR)  # the rest is not there: once more, when it is
                except BlockingIOError:
                    pass
                except OSError as error:
                    if error.errno not in UNABLE:
                        raise
                    self._nowait = 0  # a system of files that can't tell
            if self._nowait:
                at = os.lseek(fd, 0, os.SEEK_CUR) if offset < 0 else offset
                if self._beside.ask(("read", at, size), lambda: self.use(fetch, at, size)) is None:
                    return None
        return os.read(fd, size) if offset < 0 else os.pread(fd, size, offset)

    def synced(self, call: Hashable, *, data: bool) -> bool | None:
        """By a thread of its own."""
        outcome = self._beside.ask(("sync", call), self.datasync if data else self.sync)
        if outcome is None:
            return None
        if outcome.error is not None:
            raise outcome.error
        return True

    def write(self, data: bytes) -> int:
        """As much as the system takes."""
        return self.use(os.write if self._disk is None else self._disk.write, data)

    def pwrite(self, data: bytes, offset: int) -> int:
        """As much as the system takes, at `offset`."""
        return self.use(os.pwrite if self._disk is None else self._disk.pwrite, data, offset)

    def ready(self, write: bool) -> Ready:
        """Always; for a reader with what is left of it."""
        if write:
            return Ready()
        return Ready(max(self.use(_left), 0))

    def sources(self, write: bool) -> Sources:
        """The end of what is being done by a thread of its own; nothing else is waited for."""
        return Sources(wakes=(self._beside.done,))

    def set_flags(self, flags: int) -> None:
        """Only appending can change once it is open."""
        self.use(_set_appending, flags)

    def set_size(self, size: int) -> None:
        """As ftruncate does."""
        if size > _LATEST:
            raise fault(errno.EFBIG)
        self.use(os.ftruncate if self._disk is None else self._disk.resize, size)

    def set_times(self, atim: int | None, mtim: int | None) -> None:
        """As futimens does."""
        self.use(_set_times, atim, mtim)

    def allocate(self, offset: int, size: int) -> None:
        """As posix_fallocate does."""
        if offset + size > _LATEST:
            raise fault(errno.EFBIG)
        self.use(os.posix_fallocate if self._disk is None else self._disk.allocate, offset, size)

    def advise(self, offset: int, size: int, advice: int) -> None:
        """As posix_fadvise does, where there is such a thing."""
        names = ("NORMAL", "SEQUENTIAL", "RANDOM", "WILLNEED", "DONTNEED", "NOREUSE")
        known = getattr(os, f"POSIX_FADV_{names[advice]}", None)
        if known is not None:
            self.use(os.posix_fadvise, offset, size, known)

    def save(self) -> object:
        """Where it stands; what it holds is the host's."""
        return self.use(os.lseek, 0, os.SEEK_CUR)

    def load(self, data: int) -> None:
        """Stand there."""
        self.use(os.lseek, data, os.SEEK_SET)


class HostStream(Plain):
    """A FIFO or device that the guest opened: its own open file, and so non-blocking."""

    def __init__(self, fd: int, how: Opening) -> None:
        super().__init__(fd)
        mode = os.fstat(fd).st_mode
        self.type = filetype_of(mode)
        self.fifo = stat.S_ISFIFO(mode)
        plain = Rights.FILE if self.type is FileType.CHARACTER_DEVICE and not os.isatty(fd) else Rights.STREAM
        self.rights = plain & ~_withheld(how)

    def read(self, size: int) -> bytes | None:
        """What is there. A FIFO that no writer has opened yet is not at its end."""
        data = self.use(os.read, min(size, self.most))
        return None if not data and self.ready(write=False) is None else data

    def write(self, data: bytes) -> int:
        """What fits."""
        return self.use(os.write, data)

    def save(self) -> object:
        """Nothing, for a device."""
        if self.fifo:
            raise SnapshotError("a FIFO can't be saved: others hold its other end")
        return None


class HostDirectory(Described, Directory):
    """A directory of the host's."""

    def __init__(self, fd: int, disk: Disk | None = None) -> None:
        super().__init__(fd)
        self._disk = disk

    @classmethod
    def at(cls, path: str | bytes | os.PathLike[str], disk: Disk | None = None) -> HostDirectory:
        """The directory at a path of the host's, which may lead through symbolic links; `disk` is what may be put into
        it. Raises OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC), disk)

    def walk(self, name: bytes) -> HostDirectory:
        """Opened for nothing but to go on from."""
        return HostDirectory(self.use(_open, name, _PATH | _DIRECTORY), self._disk)

    def _name(self, make: Callable[[int], T]) -> T:
        """Do what gives something a name here."""
        return self.use(make) if self._disk is None else self._disk.name(lambda: self.use(make))

    def open(self, name: bytes, how: Opening) -> File:
        """Open or create; FIFOs and character devices too, whose I/O can't block. Block devices and sockets are refused
        before they are opened, which alone may do something to a device."""
        if how.directory or name == b".":
            if how.create or how.truncate or (how.write and not how.directory):
                raise fault(errno.EISDIR if self._is_directory(name) else errno.ENOTDIR)
            return HostDirectory(self.use(_open, name, os.O_RDONLY | _DIRECTORY), self._disk)
        mode = self._mode(name)
        _require_ordinary(mode)
        try:
            new = how.create and not mode
            fd = (self._name if new else self.use)(lambda at: _open(at, name, _flags(how)))
        except OSError as error:
            if error.errno == errno.ENXIO and stat.S_ISFIFO(mode):
                # Nobody reads it yet, and no event tells of one who comes: until there is a writer, it isn't open.
                raise BlockingIOError from None
            raise
        try:
            return _opened(fd, how, self._disk)
        except BaseException:
            os.close(fd)
            raise

    def _mode(self, name: bytes) -> int:
        """0 where there is nothing, or it can't be known."""
        try:
            return self.use(_lstat, name).st_mode
        except OSError:
            return 0

    def _is_directory(self, name: bytes) -> bool:
        return stat.S_ISDIR(self._mode(name))

    def find(self, name: bytes) -> Filestat:
        """As fstatat does."""
        return filestat(self.use(_lstat, name))

    def names(self) -> list[Name]:
        """As the system has them."""
        return self.use(_names)

    def readlink(self, name: bytes) -> bytes:
        """As readlinkat does."""
        return self.use(lambda fd: os.readlink(name, dir_fd=fd))

    def make_directory(self, name: bytes) -> None:
        """As mkdirat does."""
        self._name(lambda fd: os.mkdir(name, 0o777, dir_fd=fd))

    def remove_directory(self, name: bytes) -> None:
        """As unlinkat does for directories."""
        self.use(lambda fd: os.rmdir(name, dir_fd=fd))

    def unlink(self, name: bytes) -> None:
        """As unlinkat does."""
        self.use(lambda fd: os.unlink(name, dir_fd=fd))

    def rename(self, name: bytes, to: Directory, new: bytes) -> None:
        """As renameat does."""
        there = _host(to)
        self.use(lambda fd: there.use(lambda other: os.rename(name, new, src_dir_fd=fd, dst_dir_fd=other)))

    def link(self, name: bytes, to: Directory, new: bytes) -> None:
        """As linkat does."""
        there = _host(to)
        there._name(lambda other: self.use(lambda fd: _link(fd, name, other, new)))

    def symlink(self, target: bytes, name: bytes) -> None:
        """As symlinkat does."""
        self._name(lambda fd: os.symlink(target, name, dir_fd=fd))

    def set_name_times(self, name: bytes, atim: int | None, mtim: int | None) -> None:
        """As utimensat does."""
        self.use(_set_name_times, name, atim, mtim)

    def set_times(self, atim: int | None, mtim: int | None) -> None:
        """The directory's own."""
        self.use(_set_times, atim, mtim)


def _open(at: int, name: bytes, flags: int) -> int:
    return os.open(name, flags, 0o666, dir_fd=at)


def _lstat(at: int, name: bytes) -> os.stat_result:
    return os.stat(name, dir_fd=at, follow_symlinks=False)


def _link(at: int, name: bytes, other: int, new: bytes) -> None:
    os.link(name, new, src_dir_fd=at, dst_dir_fd=other, follow_symlinks=False)


def _names(fd: int) -> list[Name]:
    with os.scandir(fd) as entries:
        return [Name(os.fsencode(entry.name), entry.inode(), _type(entry)) for entry in entries]


def _set_name_times(at: int, name: bytes, atim: int | None, mtim: int | None) -> None:
    times = _times(_lstat(at, name), atim, mtim)
    os.utime(name, ns=times, dir_fd=at, follow_symlinks=False)


def _set_times(fd: int, atim: int | None, mtim: int | None) -> None:
    os.utime(fd, ns=_times(os.fstat(fd), atim, mtim))


def _ends(fd: int, got: int, offset: int) -> bool:
    """Whether the file ends behind what was read."""
    end = os.lseek(fd, 0, os.SEEK_CUR) if offset < 0 else offset + got
    return end >= os.fstat(fd).st_size


def _left(fd: int) -> int:
    return os.fstat(fd).st_size - os.lseek(fd, 0, os.SEEK_CUR)


def _set_appending(fd: int, flags: int) -> None:
    import fcntl

    old = fcntl.fcntl(fd, fcntl.F_GETFL)
    synced = sum(bit for bit, host in _SYNC.items() if bit != FdFlags.APPEND and old & host == host)
    if flags & ~(FdFlags.APPEND | FdFlags.NONBLOCK | synced):
        raise fault(errno.ENOTSUP)
    fcntl.fcntl(fd, fcntl.F_SETFL, old | os.O_APPEND if flags & FdFlags.APPEND else old & ~os.O_APPEND)


def _host(directory: Directory) -> HostDirectory:
    if not isinstance(directory, HostDirectory):
        raise fault(errno.EXDEV)
    return directory


def _withheld(how: Opening) -> int:
    """Rights that an opening doesn't give."""
    writing = Rights.FD_WRITE | Rights.FD_ALLOCATE | Rights.FD_FILESTAT_SET_SIZE | Rights.FD_DATASYNC
    return (0 if how.read else Rights.FD_READ) | (0 if how.write else writing)


def _flags(how: Opening) -> int:
    flags = _ALWAYS | (os.O_RDWR if how.read and how.write else os.O_WRONLY if how.write else os.O_RDONLY)
    flags |= os.O_CREAT * how.create | os.O_EXCL * how.exclusive | os.O_TRUNC * how.truncate
    for bit, host in _SYNC.items():
        if how.flags & bit:
            flags |= host
    return flags


def _require_ordinary(mode: int) -> None:
    """Raises EACCES for a block device, ENXIO for a socket."""
    if stat.S_ISBLK(mode):
        raise fault(errno.EACCES, "block devices are not for guests")
    if stat.S_ISSOCK(mode):
        raise fault(errno.ENXIO, "a socket can't be opened by its name")


def _opened(fd: int, how: Opening, disk: Disk | None) -> File:
    mode = os.fstat(fd).st_mode
    _require_ordinary(mode)  # it may have been put there since somebody looked
    if stat.S_ISREG(mode):
        return HostFile(fd, how, disk)
    if stat.S_ISDIR(mode):
        return HostDirectory(fd, disk)
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        return HostStream(fd, how)
    raise fault(errno.EACCES, "what this is, nobody knows")


def _type(entry: os.DirEntry[str]) -> FileType:
    if entry.is_symlink():
        return FileType.SYMBOLIC_LINK
    if entry.is_dir(follow_symlinks=False):
        return FileType.DIRECTORY
    if entry.is_file(follow_symlinks=False):
        return FileType.REGULAR_FILE
    try:
        return filetype_of(entry.stat(follow_symlinks=False).st_mode)
    except OSError:  # it is gone
        return FileType.UNKNOWN


def _times(found: os.stat_result, atim: int | None, mtim: int | None) -> tuple[int, int]:
    atim = found.st_atime_ns if atim is None else atim
    mtim = found.st_mtime_ns if mtim is None else mtim
    if max(atim, mtim) > _LATEST:
        raise invalid("a time after the year 2262")
    return atim, mtim
