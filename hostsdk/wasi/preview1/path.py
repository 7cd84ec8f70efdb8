"""path_*: names beneath the directories that the guest has."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from hostsdk import Bytes, OutBuffer, Stored, lean, u16, u32, u64

from ..errno import NotCapable, fault, invalid
from ..fdtable import Descriptor
from ..fs.base import Directory, File, Opening
from ..module import host
from ..path import Place, resolved
from ..state import BlockingCtx, Ctx
from ..types import FdFlags, Filestat, FileType, Lookup, OFlags, Rights
from .times import times

_READING = Rights.FD_READ | Rights.FD_READDIR
_WRITING = Rights.FD_WRITE | Rights.FD_ALLOCATE | Rights.FD_FILESTAT_SET_SIZE | Rights.FD_DATASYNC


def directory(ctx: Ctx | BlockingCtx, fd: int, rights: int, *, change: bool = False) -> tuple[Descriptor, Directory]:
    """A descriptor that is a directory. Raises EBADF, ENOTDIR, ENOTCAPABLE, and EROFS for a `change` where none may
    be."""
    descriptor = ctx.state.fds.get(fd)
    file = descriptor.file  # once: it is another's to close it meanwhile
    if not isinstance(file, Directory):
        raise fault(errno.ENOTDIR)
    descriptor.require(rights)
    if change:
        descriptor.require_writable()
    return descriptor, file


@contextmanager
def beneath(
    ctx: Ctx, fd: int, path: bytes, rights: int, *, follow: bool = False, change: bool = False
) -> Iterator[Place]:
    """What a path means beneath a descriptor."""
    _, root = directory(ctx, fd, rights, change=change)
    with resolved(root, path, follow=follow) as place:
        yield place


def _follows(flags: int) -> bool:
    if flags & ~Lookup.SYMLINK_FOLLOW:
        raise invalid(f"unknown lookup flags {flags:#x}")
    return bool(flags & Lookup.SYMLINK_FOLLOW)


@host.function
def path_create_directory(ctx: Ctx, fd: u32, path: Bytes) -> u16:
    """Create an empty directory."""
    with beneath(ctx, fd, path, Rights.PATH_CREATE_DIRECTORY, change=True) as place:
        place.require_name(errno.EEXIST)
        place.directory.make_directory(place.name)
    return 0


@host.function
def path_filestat_get(ctx: Ctx, fd: u32, flags: u32, path: Bytes) -> tuple[u16, Stored[Filestat]]:
    """What is known of a name."""
    return 0, stat_of(ctx, fd, flags, path)


def stat_of(ctx: Ctx, fd: int, flags: int, path: bytes) -> Filestat:
    """The same, for `wasi_unstable` too."""
    with beneath(ctx, fd, path, Rights.PATH_FILESTAT_GET, follow=_follows(flags)) as place:
        place.require()
        return place.directory.find(place.name)


@host.function
def path_filestat_set_times(ctx: Ctx, fd: u32, flags: u32, path: Bytes, atim: u64, mtim: u64, which: u16) -> u16:
    """Set the times of what has that name."""
    new = times(ctx, atim, mtim, which)
    with beneath(ctx, fd, path, Rights.PATH_FILESTAT_SET_TIMES, follow=_follows(flags), change=True) as place:
        place.require()
        place.directory.set_name_times(place.name, *new)
    return 0


@host.function
def path_link(ctx: Ctx, old_fd: u32, flags: u32, old: Bytes, new_fd: u32, new: Bytes) -> u16:
    """Give a file a second name. What was given only to be read gets none, since that could be written to."""
    follow = _follows(flags)
    with (
        beneath(ctx, old_fd, old, Rights.PATH_LINK_SOURCE, follow=follow, change=True) as source,
        beneath(ctx, new_fd, new, Rights.PATH_LINK_TARGET, change=True) as target,
    ):
        source.require()
        source.require_name(errno.EPERM)
        target.require_name(errno.EEXIST)
        if target.slash:
            raise fault(errno.ENOENT)
        source.directory.link(source.name, target.directory, target.name)
    return 0


@host.function
def path_readlink(ctx: Ctx, fd: u32, path: Bytes, out: OutBuffer) -> tuple[u16, Stored[u32]]:
    """Where a symbolic link points, cut off where there is no room for it."""
    with beneath(ctx, fd, path, Rights.PATH_READLINK) as place:
        target = place.directory.readlink(place.name)
    return 0, out.fill(target[: len(out)])


@host.function
def path_remove_directory(ctx: Ctx, fd: u32, path: Bytes) -> u16:
    """Remove an empty directory."""
    with beneath(ctx, fd, path, Rights.PATH_REMOVE_DIRECTORY, change=True) as place:
        place.require_name()
        place.directory.remove_directory(place.name)
    return 0


@host.function
def path_rename(ctx: Ctx, old_fd: u32, old: Bytes, new_fd: u32, new: Bytes) -> u16:
    """Move, replacing what has the new name."""
    with (
        beneath(ctx, old_fd, old, Rights.PATH_RENAME_SOURCE, change=True) as source,
        beneath(ctx, new_fd, new, Rights.PATH_RENAME_TARGET, change=True) as target,
    ):
        source.require_name(errno.EBUSY)
        target.require_name(errno.EBUSY)
        found = source.directory.find(source.name)
        if (source.slash or target.slash) and found.filetype != FileType.DIRECTORY:
            raise fault(errno.ENOTDIR)
        source.directory.rename(source.name, target.directory, target.name)
    return 0


@host.function
def path_symlink(ctx: Ctx, target: Bytes, fd: u32, path: Bytes) -> u16:
    """Create a symbolic link. One to an absolute path is refused: others than this guest might follow it."""
    if target.startswith(b"/"):
        raise fault(errno.EPERM, "a symbolic link to an absolute path")
    if b"\0" in target:
        raise invalid("a zero byte in a path")
    if not target:
        raise fault(errno.ENOENT)
    with beneath(ctx, fd, path, Rights.PATH_SYMLINK, change=True) as place:
        place.require_name(errno.EEXIST)
        if place.slash:
            raise fault(errno.ENOENT)
        place.directory.symlink(target, place.name)
    return 0


@host.function
def path_unlink_file(ctx: Ctx, fd: u32, path: Bytes) -> u16:
    """Remove anything but a directory."""
    with beneath(ctx, fd, path, Rights.PATH_UNLINK_FILE, change=True) as place:
        place.require_name(errno.EISDIR)
        place.require()
        place.directory.unlink(place.name)
    return 0


@lean.frozen
class _Request:
    """The arguments of a `path_open`."""

    path: bytes
    follow: bool
    how: Opening
    base: int
    inheriting: int


@host.restartable
def path_open(
    ctx: BlockingCtx, fd: u32, lookup: u32, path: Bytes, oflags: u16, base: u64, inheriting: u64, flags: u16
) -> tuple[u16, Stored[u32]]:
    """Open a file or directory, or create one. A FIFO to be written to waits for a reader, unless the guest doesn't
    wait. May suspend."""
    request = _Request(path, _follows(lookup), _opening(oflags, base, flags), base, inheriting)
    identity = ctx.once(lambda: ctx.state.fds.get(fd).identity)

    def attempt() -> int | None:
        try:
            return _open(ctx, ctx.state.fds.pinned(identity), request)
        except BlockingIOError:
            return None

    if not flags & FdFlags.NONBLOCK:
        return 0, ctx.block_until(attempt)
    found = ctx.once(attempt)
    if found is None:
        raise fault(errno.ENXIO)  # as POSIX has it for a FIFO that nobody reads
    return 0, found


def _opening(oflags: int, base: int, flags: int) -> Opening:
    if oflags & ~OFlags.ALL or flags & ~FdFlags.ALL:
        raise invalid("unknown flags")
    if oflags & OFlags.CREAT and oflags & OFlags.DIRECTORY:
        raise invalid("a directory can't be created by opening it")
    return Opening(
        read=bool(base & _READING) or not base & _WRITING,
        write=bool(base & _WRITING),
        create=bool(oflags & OFlags.CREAT),
        exclusive=bool(oflags & OFlags.EXCL),
        truncate=bool(oflags & OFlags.TRUNC),
        directory=bool(oflags & OFlags.DIRECTORY),
        flags=flags,
    )


def _open(ctx: BlockingCtx, parent: Descriptor, request: _Request) -> int:
    root = parent.file
    if not isinstance(root, Directory):
        raise fault(errno.ENOTDIR)
    how = request.how
    parent.require(Rights.PATH_OPEN | (Rights.PATH_CREATE_FILE if how.create else 0))
    parent.require(Rights.PATH_FILESTAT_SET_SIZE if how.truncate else 0)
    if request.base & Rights.ALL & ~parent.inheriting:
        raise NotCapable("more rights than the directory can give")
    fds = ctx.state.fds
    number = fds.reserve()
    try:
        file = _file(parent, root, request)
    except BaseException:
        fds.give_back(number)
        raise
    given = request.base & file.rights
    inheriting = request.inheriting & parent.inheriting if isinstance(file, Directory) else 0
    origin = (*parent.origin, request.path)
    opened = Descriptor(file, given, inheriting, how.flags, read_only=parent.read_only, origin=origin)
    return fds.fill(number, opened)


def _file(parent: Descriptor, root: Directory, request: _Request) -> File:
    how = request.how
    with resolved(root, request.path, follow=request.follow and not (how.create and how.exclusive)) as place:
        if place.slash and how.create:
            raise fault(errno.EISDIR)
        how = lean.evolve(how, directory=how.directory or place.slash)
        return _open_to_read(place, how) if parent.read_only else place.directory.open(place.name, how)


def _open_to_read(place: Place, how: Opening) -> File:
    """Open where nothing may be created, cut off or written. Raises EROFS for that; what is there may be opened."""
    if how.create:
        try:
            place.directory.find(place.name)
        except FileNotFoundError:
            raise fault(errno.EROFS) from None
        if how.exclusive:
            raise fault(errno.EEXIST)
    if how.truncate or (how.write and not how.directory):
        place.directory.find(place.name)  # ENOENT comes first
        raise fault(errno.EROFS)
    return place.directory.open(place.name, lean.evolve(how, create=False))
