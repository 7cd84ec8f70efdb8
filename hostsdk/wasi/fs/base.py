"""What a guest may have open: files, streams, directories, sockets. The protocol that an embedder can implement.

A file implements what it can do; the rest of the methods answer as POSIX does for a descriptor that can't. Nothing
here ever waits: what has nothing yet gives None or raises BlockingIOError, and names in `sources` what to wait for.
Errors are OSErrors with the host's numbers.
"""

from __future__ import annotations

import errno
from collections.abc import Hashable, Sequence
from typing import Any

from hostsdk import Notifier, SnapshotError, lean

from ..errno import bad_fd, fault
from ..types import FdFlags, Filestat, FileType, Rights, Whence


@lean.frozen
class Sources:
    """What tells that a file may have become ready. None of both: it always is."""

    fds: Sequence[int] = ()
    wakes: Sequence[Notifier] = ()


@lean.frozen
class Ready:
    """A file is ready: how many bytes there are to be had at least, and whether the other side has hung up."""

    nbytes: int = 0
    hangup: bool = False


class File:
    """Something open. Subclasses override what they can do."""

    type: FileType = FileType.UNKNOWN
    #: What may be done with it at most; `FD_READ` and `FD_WRITE` say how it was opened.
    rights: int = Rights.STREAM

    # Bytes ---------------------------------------------------------------------------------------------------------

    def read(self, size: int) -> bytes | None:
        """Up to `size` bytes from where it stands; b"" at the end, None if nothing has come yet."""
        raise bad_fd()

    def write(self, data: bytes) -> int | None:
        """Write what fits now; how many bytes, None if nothing does."""
        raise bad_fd()

    def pread(self, size: int, offset: int) -> bytes | None:
        """Up to `size` bytes from `offset`; None if they aren't there yet."""
        raise self.no_seek()

    def pwrite(self, data: bytes, offset: int) -> int:
        """Write at `offset`; how many bytes."""
        raise self.no_seek()

    def seek(self, offset: int, whence: Whence) -> int:
        """Move the place where `read` and `write` stand; the new one."""
        raise self.no_seek()

    def no_seek(self) -> OSError:
        """ESPIPE, or EBADF for what has no bytes at all."""
        return fault(errno.ESPIPE) if self.rights & (Rights.FD_READ | Rights.FD_WRITE) else bad_fd()

    # Waiting -------------------------------------------------------------------------------------------------------

    def ready(self, write: bool) -> Ready | None:
        """Whether `read` (or `write`) would give a result now; None if not."""
        return Ready()

    def sources(self, write: bool) -> Sources:
        """What to wait for while `ready` gives None."""
        return Sources()

    # About it ------------------------------------------------------------------------------------------------------

    def stat(self) -> Filestat:
        """What is known of it."""
        return Filestat(0, 0, self.type, 1, 0, 0, 0, 0)

    def set_flags(self, flags: int) -> None:
        """The guest's flags have changed (`FdFlags`); NONBLOCK is not the file's business. Raises ENOTSUP for what it
        can't do."""
        if flags & ~FdFlags.NONBLOCK:
            raise fault(errno.ENOTSUP)

    def set_size(self, size: int) -> None:
        """Cut it off, or fill it up with zeros."""
        raise bad_fd()

    def set_times(self, atim: int | None, mtim: int | None) -> None:
        """Set times in nanoseconds; None leaves one as it is."""
        raise bad_fd()

    def allocate(self, offset: int, size: int) -> None:
        """Make sure that there is room for bytes from `offset` on."""
        raise bad_fd()

    def advise(self, offset: int, size: int, advice: int) -> None:
        """The guest says how it will use it."""
        raise bad_fd()

    def sync(self) -> None:
        """Have everything written on the medium."""
        raise fault(errno.EINVAL)

    def datasync(self) -> None:
        """Have the data written on the medium."""
        raise fault(errno.EINVAL)

    def synced(self, call: Hashable, *, data: bool) -> bool | None:
        """`sync`, or `datasync`, for one call of the guest's; None while it is being done elsewhere, of whose end
        `sources` tells. A file that has it done elsewhere does it once for a `call`."""
        if data:
            self.datasync()
        else:
            self.sync()
        return True

    # Ending --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Let go of it. Called once; where threads of a guest share it, perhaps while another is in one of the other
        methods."""

    # Saving --------------------------------------------------------------------------------------------------------

    def save(self) -> object:
        """Plain data that `load` makes the same state of, in a file that was opened the same way. Raises
        SnapshotError saying why not."""
        raise SnapshotError(f"a {type(self).__name__} can't be saved")

    def load(self, data: Any) -> None:
        """Become what `save` gave data of. Raises SnapshotError."""


@lean.frozen
class Opening:
    """How a file is to be opened."""

    read: bool = True
    write: bool = False
    create: bool = False
    exclusive: bool = False
    truncate: bool = False
    #: It must be a directory.
    directory: bool = False
    #: Flags of the descriptor (`FdFlags`).
    flags: int = 0


@lean.frozen
class Name:
    """A name in a directory."""

    name: bytes
    ino: int
    type: FileType


class Directory(File):
    """An open directory. Every `name` is a single component, never empty, without a slash, and not `..`; `.` is the
    directory itself. No method follows a symbolic link: it is refused (ELOOP) or meant itself. Walking whole paths is
    done above this."""

    type = FileType.DIRECTORY
    rights = Rights.DIRECTORY

    def walk(self, name: bytes) -> Directory:
        """The directory of that name, for going on from there. ENOTDIR for anything else, a symbolic link too."""
        raise fault(errno.ENOTSUP)

    def open(self, name: bytes, how: Opening) -> File:
        """Open or create. A file, or a `Directory`. BlockingIOError where that can't be yet."""
        raise fault(errno.ENOTSUP)

    def find(self, name: bytes) -> Filestat:
        """What is known of a name."""
        raise fault(errno.ENOTSUP)

    def names(self) -> list[Name]:
        """All names but `.` and `..`."""
        raise fault(errno.ENOTSUP)

    def readlink(self, name: bytes) -> bytes:
        """Where a symbolic link points to. EINVAL for anything else."""
        raise fault(errno.EINVAL)

    def make_directory(self, name: bytes) -> None:
        """Create an empty directory."""
        raise fault(errno.ENOTSUP)

    def remove_directory(self, name: bytes) -> None:
        """Remove an empty directory."""
        raise fault(errno.ENOTSUP)

    def unlink(self, name: bytes) -> None:
        """Remove anything but a directory."""
        raise fault(errno.ENOTSUP)

    def rename(self, name: bytes, to: Directory, new: bytes) -> None:
        """Move, replacing what has the new name. EXDEV where `to` is of another kind."""
        raise fault(errno.ENOTSUP)

    def link(self, name: bytes, to: Directory, new: bytes) -> None:
        """Give a file a second name. EXDEV where `to` is of another kind."""
        raise fault(errno.ENOTSUP)

    def symlink(self, target: bytes, name: bytes) -> None:
        """Create a symbolic link."""
        raise fault(errno.ENOTSUP)

    def set_name_times(self, name: bytes, atim: int | None, mtim: int | None) -> None:
        """`set_times` of what has that name."""
        raise fault(errno.ENOTSUP)

    def save(self) -> object:
        """Nothing: opening it again is enough."""

    def save_beneath(self, files: Sequence[File]) -> Sequence[object] | None:
        """For a preopened directory that can save what was opened beneath it without its path: plain data for each of
        `files`. None where files are to be opened again by their paths."""
        return None

    def load_beneath(self, data: Sequence[Any]) -> list[File]:
        """The files that `save_beneath` gave `data` of, open again."""
        raise SnapshotError(f"a {type(self).__name__} can't restore files")


class Socket(File):
    """A connected socket; `read` and `write` are `recv` and `send` without flags."""

    type = FileType.SOCKET_STREAM
    rights = Rights.SOCKET

    def recv(self, size: int, *, peek: bool) -> tuple[bytes, bool] | None:
        """What is there, and whether a datagram was cut off; None if nothing has come."""
        raise bad_fd()

    def shutdown(self, *, read: bool, write: bool) -> None:
        """No more of either."""
        raise bad_fd()


class Listener(File):
    """A socket that others connect to."""

    type = FileType.SOCKET_STREAM
    rights = Rights.LISTENER

    def accept(self) -> Socket | None:
        """The next connection; None if there is none."""
        raise bad_fd()
