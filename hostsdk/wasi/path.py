"""Paths of the guest's, resolved beneath a directory that it has.

Symbolic links are followed here, by hand, one component at a time, and `..` goes back to the directory that was come
from, which is still open: nothing that anybody renames or replaces meanwhile leads out. The rule of the walk: at every
moment the directory at its top was reached from the root by names and links beneath it alone.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from hostsdk import lean

from .errno import fault, invalid
from .fs.base import Directory
from .types import FileType

#: Bytes of a path.
LONGEST = 4096
#: Symbolic links that one path may lead through.
LINKS = 40
#: Directories that one path may lead down, each of which is kept open.
DEEPEST = 128


@lean.frozen
class Place:
    """A name in an open directory: what a path means. The name is `.` where the path means the directory itself."""

    directory: Directory
    name: bytes
    #: The path ended in a slash: what it names must be a directory.
    slash: bool = False

    def require(self) -> None:
        """Raises ENOTDIR where the path ended in a slash and names no directory, ENOENT where it names nothing."""
        if self.slash and self.directory.find(self.name).filetype != FileType.DIRECTORY:
            raise fault(errno.ENOTDIR)

    def require_name(self, number: int = errno.EINVAL) -> None:
        """Raises an error for the directory itself, which can't be removed, renamed or created."""
        if self.name == b".":
            raise fault(number)


@contextmanager
def resolved(root: Directory, path: bytes, *, follow: bool) -> Iterator[Place]:
    """What `path` means beneath `root`; with `follow`, a symbolic link at its end is followed, too.

    Raises ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG as POSIX does, and EPERM for a path or link that leads out of `root`.
    """
    walk = _Walk(root)
    try:
        yield walk.to(path, follow)
    finally:
        walk.close()


class _Walk:
    def __init__(self, root: Directory) -> None:
        #: From the root down to where the walk is. All but the root are to be closed.
        self.stack = [root]
        #: Components still to be gone through, the next one last.
        self.ahead: list[bytes] = []
        self.links = 0

    def close(self) -> None:
        for directory in reversed(self.stack[1:]):
            directory.close()

    def to(self, path: bytes, follow: bool) -> Place:
        if b"\0" in path:
            raise invalid("a zero byte in a path")
        if not path:
            raise fault(errno.ENOENT)
        slash = self.add(path)
        while self.ahead:
            name = self.ahead.pop()
            if name == b"..":
                self.up()
            elif name != b".":
                if not self.ahead:
                    if not (follow or slash):
                        return Place(self.stack[-1], name, slash)
                    target = self.link(name)
                    if target is None:
                        return Place(self.stack[-1], name, slash)
                    slash = self.add(target) or slash
                else:
                    self.down(name)
        return Place(self.stack[-1], b".", slash)

    def add(self, path: bytes) -> bool:
        """Put a path's components before what is ahead; whether it ends in a slash."""
        if path.startswith(b"/"):
            raise fault(errno.EPERM, "an absolute path")
        if len(path) >= LONGEST:
            raise fault(errno.ENAMETOOLONG)
        parts = [part for part in path.split(b"/") if part]
        self.ahead += reversed(parts)
        return path.endswith(b"/")

    def up(self) -> None:
        if len(self.stack) == 1:
            raise fault(errno.EPERM, "a path leads out of its directory")
        self.stack.pop().close()

    def down(self, name: bytes) -> None:
        if len(self.stack) > DEEPEST:
            raise fault(errno.ENAMETOOLONG, "too many directories")
        try:
            self.stack.append(self.stack[-1].walk(name))
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            target = self.link(name)
            if target is None:
                raise fault(errno.ENOTDIR) from None
            self.add(target)

    def link(self, name: bytes) -> bytes | None:
        """Where a symbolic link points to; None for anything else, or nothing."""
        try:
            target = self.stack[-1].readlink(name)
        except OSError as error:
            if error.errno in (errno.EINVAL, errno.ENOENT):
                return None
            raise
        self.links += 1
        if self.links > LINKS:
            raise fault(errno.ELOOP)
        if not target:
            raise fault(errno.ENOENT)
        return target
