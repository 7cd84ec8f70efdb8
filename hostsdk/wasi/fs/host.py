"""The host's files, beneath directories that the guest was given.

Every call takes a single name relative to an open directory and refuses to follow a symbolic link, so that nobody who
renames or replaces things meanwhile can lead it anywhere else. No descriptor made here is inherited by child processes.
"""

from __future__ import annotations

import errno
import os
import stat

from hostsdk import SnapshotError

from ..errno import fault, invalid
from ..types import FdFlags, Filestat, FileType, Rights, Whence
from .base import Directory, File, Name, Opening, Ready, Sources
from .descriptor import filestat, filetype_of, poll_fd

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


class HostFile(File):
    """A regular file that the guest opened."""

    type = FileType.REGULAR_FILE
    rights = Rights.FILE

    def __init__(self, fd: int, how: Opening) -> None:
        self.fd = fd
        self.rights = Rights.FILE & ~_withheld(how)

    def read(self, size: int) -> bytes:
        """What comes next."""
        return os.read(self.fd, min(size, _MOST))

    def write(self, data: bytes) -> int:
        """As much as the system takes."""
        return os.write(self.fd, data)

    def pread(self, size: int, offset: int) -> bytes:
        """From `offset`."""
        return os.pread(self.fd, min(size, _MOST), offset)

    def pwrite(self, data: bytes, offset: int) -> int:
        """At `offset`."""
        return os.pwrite(self.fd, data, offset)

    def seek(self, offset: int, whence: Whence) -> int:
        """As lseek does."""
        return os.lseek(self.fd, offset, (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END)[whence])

    def stat(self) -> Filestat:
        """The system's."""
        return filestat(os.fstat(self.fd))

    def ready(self, write: bool) -> Ready:
        """Always; for a reader with what is left of it."""
        if write:
            return Ready()
        left = os.fstat(self.fd).st_size - os.lseek(self.fd, 0, os.SEEK_CUR)
        return Ready(max(left, 0))

    def set_flags(self, flags: int) -> None:
        """Only appending can change once it is open."""
        import fcntl

        old = fcntl.fcntl(self.fd, fcntl.F_GETFL)
        synced = sum(bit for bit, host in _SYNC.items() if bit != FdFlags.APPEND and old & host == host)
        if flags & ~(FdFlags.APPEND | FdFlags.NONBLOCK | synced):
            raise fault(errno.ENOTSUP)
        new = old | os.O_APPEND if flags & FdFlags.APPEND else old & ~os.O_APPEND
        fcntl.fcntl(self.fd, fcntl.F_SETFL, new)

    def set_size(self, size: int) -> None:
        """As ftruncate does."""
        if size > _LATEST:
            raise fault(errno.EFBIG)
        os.ftruncate(self.fd, size)

    def set_times(self, atim: int | None, mtim: int | None) -> None:
        """As futimens does."""
        os.utime(self.fd, ns=_times(os.fstat(self.fd), atim, mtim))

    def allocate(self, offset: int, size: int) -> None:
        """As posix_fallocate does."""
        if offset + size > _LATEST:
            raise fault(errno.EFBIG)
        os.posix_fallocate(self.fd, offset, size)

    def advise(self, offset: int, size: int, advice: int) -> None:
        """As posix_fadvise does, where there is such a thing."""
        names = ("NORMAL", "SEQUENTIAL", "RANDOM", "WILLNEED", "DONTNEED", "NOREUSE")
        known = getattr(os, f"POSIX_FADV_{names[advice]}", None)
        if known is not None:
            os.posix_fadvise(self.fd, offset, size, known)

    def sync(self) -> None:
        """As fsync does."""
        os.fsync(self.fd)

    def datasync(self) -> None:
        """As fdatasync does, or fsync where there is none."""
        getattr(os, "fdatasync", os.fsync)(self.fd)

    def save(self) -> object:
        """Where it stands; what it holds is the host's."""
        return os.lseek(self.fd, 0, os.SEEK_CUR)

    def load(self, data: int) -> None:
        """Stand there."""
        os.lseek(self.fd, data, os.SEEK_SET)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


class HostStream(File):
    """A FIFO or device that the guest opened: its own open file, and so non-blocking."""

    def __init__(self, fd: int, how: Opening) -> None:
        self.fd = fd
        mode = os.fstat(fd).st_mode
        self.type = filetype_of(mode)
        self.fifo = stat.S_ISFIFO(mode)
        plain = Rights.FILE if self.type is FileType.CHARACTER_DEVICE and not os.isatty(fd) else Rights.STREAM
        self.rights = plain & ~_withheld(how)

    def read(self, size: int) -> bytes | None:
        """What is there. A FIFO that no writer has opened yet is not at its end."""
        data = os.read(self.fd, min(size, 1 << 20))
        return None if not data and self.ready(write=False) is None else data

    def write(self, data: bytes) -> int:
        """What fits."""
        return os.write(self.fd, data)

    def pread(self, size: int, offset: int) -> bytes:
        """For devices that can."""
        return os.pread(self.fd, min(size, 1 << 20), offset)

    def pwrite(self, data: bytes, offset: int) -> int:
        """For devices that can."""
        return os.pwrite(self.fd, data, offset)

    def seek(self, offset: int, whence: Whence) -> int:
        """For devices that can."""
        return os.lseek(self.fd, offset, (os.SEEK_SET, os.SEEK_CUR, os.SEEK_END)[whence])

    def save(self) -> object:
        """Nothing, for a device."""
        if self.fifo:
            raise SnapshotError("a FIFO can't be saved: others hold its other end")
        return None

    def ready(self, write: bool) -> Ready | None:
        """Asked of poll(2)."""
        return poll_fd(self.fd, write)

    def sources(self, write: bool) -> Sources:
        """The descriptor."""
        return Sources(fds=(self.fd,))

    def stat(self) -> Filestat:
        """The system's."""
        return filestat(os.fstat(self.fd))

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


class HostDirectory(Directory):
    """A directory of the host's."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def at(cls, path: str | bytes | os.PathLike[str]) -> HostDirectory:
        """The directory at a path of the host's, which may lead through symbolic links. Raises OSError."""
        return cls(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))

    def walk(self, name: bytes) -> HostDirectory:
        """Opened for nothing but to go on from."""
        return HostDirectory(os.open(name, _PATH | _DIRECTORY, dir_fd=self.fd))

    def open(self, name: bytes, how: Opening) -> File:
        """Open or create; FIFOs and character devices too, whose I/O can't block. Block devices and sockets are refused
        before they are opened, which alone may do something to a device."""
        if how.directory or name == b".":
            if how.create or how.truncate or (how.write and not how.directory):
                raise fault(errno.EISDIR if self._is_directory(name) else errno.ENOTDIR)
            return HostDirectory(os.open(name, os.O_RDONLY | _DIRECTORY, dir_fd=self.fd))
        mode = self._mode(name)
        _require_ordinary(mode)
        try:
            fd = os.open(name, _flags(how), 0o666, dir_fd=self.fd)
        except OSError as error:
            if error.errno == errno.ENXIO and stat.S_ISFIFO(mode):
                # Nobody reads it yet, and no event tells of one who comes: until there is a writer, it isn't open.
                raise BlockingIOError from None
            raise
        try:
            return _opened(fd, how)
        except BaseException:
            os.close(fd)
            raise

    def _mode(self, name: bytes) -> int:
        """0 where there is nothing, or it can't be known."""
        try:
            return os.stat(name, dir_fd=self.fd, follow_symlinks=False).st_mode
        except OSError:
            return 0

    def _is_directory(self, name: bytes) -> bool:
        return stat.S_ISDIR(self._mode(name))

    def find(self, name: bytes) -> Filestat:
        """As fstatat does."""
        return filestat(os.stat(name, dir_fd=self.fd, follow_symlinks=False))

    def stat(self) -> Filestat:
        """The directory's own."""
        return filestat(os.fstat(self.fd))

    def names(self) -> list[Name]:
        """As the system has them."""
        found: list[Name] = []
        with os.scandir(self.fd) as entries:
            found += [Name(os.fsencode(entry.name), entry.inode(), _type(entry)) for entry in entries]
        return found

    def readlink(self, name: bytes) -> bytes:
        """As readlinkat does."""
        return os.readlink(name, dir_fd=self.fd)

    def make_directory(self, name: bytes) -> None:
        """As mkdirat does."""
        os.mkdir(name, 0o777, dir_fd=self.fd)

    def remove_directory(self, name: bytes) -> None:
        """As unlinkat does for directories."""
        os.rmdir(name, dir_fd=self.fd)

    def unlink(self, name: bytes) -> None:
        """As unlinkat does."""
        os.unlink(name, dir_fd=self.fd)

    def rename(self, name: bytes, to: Directory, new: bytes) -> None:
        """As renameat does."""
        os.rename(name, new, src_dir_fd=self.fd, dst_dir_fd=_host(to).fd)

    def link(self, name: bytes, to: Directory, new: bytes) -> None:
        """As linkat does."""
        os.link(name, new, src_dir_fd=self.fd, dst_dir_fd=_host(to).fd, follow_symlinks=False)

    def symlink(self, target: bytes, name: bytes) -> None:
        """As symlinkat does."""
        os.symlink(target, name, dir_fd=self.fd)

    def set_name_times(self, name: bytes, atim: int | None, mtim: int | None) -> None:
        """As utimensat does."""
        found = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
        os.utime(name, ns=_times(found, atim, mtim), dir_fd=self.fd, follow_symlinks=False)

    def set_times(self, atim: int | None, mtim: int | None) -> None:
        """The directory's own."""
        os.utime(self.fd, ns=_times(os.fstat(self.fd), atim, mtim))

    def sync(self) -> None:
        """As fsync does."""
        os.fsync(self.fd)

    def datasync(self) -> None:
        """The same."""
        os.fsync(self.fd)

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self.fd)


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


def _opened(fd: int, how: Opening) -> File:
    mode = os.fstat(fd).st_mode
    _require_ordinary(mode)  # it may have been put there since somebody looked
    if stat.S_ISREG(mode):
        return HostFile(fd, how)
    if stat.S_ISDIR(mode):
        return HostDirectory(fd)
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
