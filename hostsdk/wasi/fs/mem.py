"""Files in memory: a tree that belongs to nobody else, can be looked into, and can be saved with the guest.

tree = MemoryTree({"etc": {"motd": b"hello"}, "tmp": {}})
wasi(preopens={"/": tree.root})
...
tree.as_dict()
"""

from __future__ import annotations

import errno
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, TypeAlias, TypeVar

from hostsdk import SnapshotError, lean

from ..errno import fault, invalid
from ..types import FdFlags, Filestat, FileType, Rights, Whence
from .base import Directory, File, Name, Opening, Ready

#: What a tree is made of: directories as mappings, files as bytes, symbolic links as `Link`.
Tree: TypeAlias = "Mapping[str, Tree | bytes | Link]"

#: The number that a tree's files have as their device.
_DEVICE = 0x6D656D
_NAME = 255
#: Files, directories and links of one tree.
MOST = 1 << 20

P = ParamSpec("P")
R = TypeVar("R")


class _InTree(Protocol):
    tree: MemoryTree


S = TypeVar("S", bound=_InTree)


def _whole(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method that threads of a guest can't be in the middle of together: it takes the tree's lock."""

    @functools.wraps(method)
    def alone(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self.tree.lock:
            return method(self, *args, **kwargs)

    return alone


@lean.frozen
class Link:
    """A symbolic link."""

    target: str


@lean.define(eq=False)
class Node:
    """A file, directory or symbolic link."""

    ino: int
    type: FileType
    atim: int
    mtim: int
    ctim: int
    nlink: int = 1
    #: What a file holds, or where a link points.
    data: bytearray = lean.field(factory=bytearray)
    names: dict[bytes, Node] = lean.field(factory=dict)
    #: How often it is open.
    opens: int = 0

    def stat(self) -> Filestat:
        """What is known of it."""
        size = len(self.data)
        return Filestat(_DEVICE, self.ino, self.type, self.nlink, size, self.atim, self.mtim, self.ctim)


class MemoryTree:
    """A file system in memory. `limit` bounds the bytes of all its files; `now` gives nanoseconds since 1970."""

    def __init__(
        self, content: Tree | None = None, *, limit: int = 1 << 28, now: Callable[[], int] = time.time_ns
    ) -> None:
        self.limit = limit
        self.now = now
        #: Held by whoever changes something or goes through it all.
        self.lock = threading.RLock()
        self.size = 0
        #: Files, directories and links that there are.
        self.nodes = 0
        self._numbers = itertools.count(1)
        self.top = self.node(FileType.DIRECTORY)
        for name, part in (content or {}).items():
            self._fill(self.top, name, part)

    @property
    def root(self) -> MemoryDirectory:
        """Its root, to be preopened."""
        return MemoryDirectory(self, self.top)

    def node(self, type_: FileType) -> Node:
        """A new one. Raises ENOSPC where there are too many."""
        if self.nodes >= MOST:
            raise fault(errno.ENOSPC)
        self.nodes += 1
        now = self.now()
        return Node(next(self._numbers), type_, now, now, now)

    def resize(self, node: Node, size: int) -> None:
        """Cut a file off or fill it up. Raises ENOSPC past the limit."""
        more = size - len(node.data)
        if self.size + more > self.limit:
            raise fault(errno.ENOSPC)
        if more > 0:
            node.data.extend(bytes(more))
        else:
            del node.data[size:]
        self.size += more
        node.mtim = node.ctim = self.now()

    def _fill(self, parent: Node, name: str, part: Any) -> None:
        if not name or "/" in name or name in (".", ".."):
            raise ValueError(f"{name!r} can't be a name in a directory")
        if isinstance(part, Mapping):
            node = self.node(FileType.DIRECTORY)
            for inner, below in part.items():
                self._fill(node, inner, below)
        else:
            link = isinstance(part, Link)
            node = self.node(FileType.SYMBOLIC_LINK if link else FileType.REGULAR_FILE)
            data = part.target.encode() if link else bytes(part)
            self.resize(node, len(data))
            node.data[:] = data
        parent.names[name.encode()] = node

    def as_dict(self) -> dict[str, Any]:
        """What it holds, in the form that it is made from."""
        with self.lock:
            return _as_dict(self.top)

    def release(self, node: Node) -> None:
        """A file lost a name, or was closed: without either it is gone."""
        if not node.nlink and not node.opens:
            self.size -= len(node.data)
            self.nodes -= 1
            node.data.clear()

    def save(self, opened: Iterable[Node] = ()) -> dict[str, Any]:
        """The whole tree as plain data, hard links kept, with files that are open and have no name any more."""
        todo, seen = [self.top, *opened], dict[int, list[Any]]()
        while todo:
            node = todo.pop()
            if node.ino not in seen:
                times = [node.atim, node.mtim, node.ctim]
                names = [[name, inner.ino] for name, inner in node.names.items()]
                seen[node.ino] = [node.ino, int(node.type), times, node.nlink, bytes(node.data), names]
                todo += node.names.values()
        return {"top": self.top.ino, "nodes": list(seen.values())}

    def load(self, data: Mapping[str, Any]) -> dict[int, Node]:
        """Become what `save` gave; all nodes by number."""
        nodes: dict[int, Node] = {}
        for ino, type_, times, nlink, content, _ in data["nodes"]:
            atim, mtim, ctim = times
            nodes[ino] = Node(ino, FileType(type_), atim, mtim, ctim, nlink, bytearray(content))
        for ino, _, _, _, _, names in data["nodes"]:
            nodes[ino].names = {bytes(name): nodes[inner] for name, inner in names}
        self.top = nodes[data["top"]]
        self.size = sum(len(node.data) for node in nodes.values())
        self.nodes = len(nodes)
        self._numbers = itertools.count(max(nodes) + 1)
        return nodes


def _as_dict(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, inner in node.names.items():
        text = name.decode(errors="surrogateescape")
        match inner.type:
            case FileType.DIRECTORY:
                found[text] = _as_dict(inner)
            case FileType.SYMBOLIC_LINK:
                found[text] = Link(inner.data.decode(errors="surrogateescape"))
            case _:
                found[text] = bytes(inner.data)
    return found


class MemoryFile(File):
    """An open file of a tree."""

    type = FileType.REGULAR_FILE
    rights = Rights.FILE

    def __init__(self, tree: MemoryTree, node: Node, how: Opening) -> None:
        self.tree = tree
        self.node = node
        self.how = how
        self.at = 0
        node.opens += 1
        self.append = bool(how.flags & FdFlags.APPEND)
        writing = Rights.FD_WRITE | Rights.FD_ALLOCATE | Rights.FD_FILESTAT_SET_SIZE | Rights.FD_DATASYNC
        self.rights = Rights.FILE & ~((0 if how.read else Rights.FD_READ) | (0 if how.write else writing))

    @_whole
    def read(self, size: int) -> bytes:
        """What comes next."""
        data = self.pread(size, self.at)
        self.at += len(data)
        return data

    @_whole
    def write(self, data: bytes) -> int:
        """All of it."""
        if self.append:
            self.at = len(self.node.data)
        done = self.pwrite(data, self.at)
        self.at += done
        return done

    def pread(self, size: int, offset: int) -> bytes:
        """From `offset`."""
        self.node.atim = self.tree.now()
        return bytes(self.node.data[offset : offset + size])

    @_whole
    def pwrite(self, data: bytes, offset: int) -> int:
        """At `offset`; a gap is filled with zeros."""
        end = offset + len(data)
        if data and end > len(self.node.data):
            self.tree.resize(self.node, end)
        self.node.data[offset:end] = data
        self.node.mtim = self.node.ctim = self.tree.now()
        return len(data)

    @_whole
    def seek(self, offset: int, whence: Whence) -> int:
        """As lseek does."""
        base = (0, self.at, len(self.node.data))[whence]
        if base + offset < 0:
            raise invalid("before the beginning")
        if base + offset >= 1 << 63:
            raise fault(errno.EOVERFLOW)
        self.at = base + offset
        return self.at

    def ready(self, write: bool) -> Ready:
        """Always."""
        return Ready(0 if write else max(len(self.node.data) - self.at, 0))

    def stat(self) -> Filestat:
        """What is known of it."""
        return self.node.stat()

    def set_flags(self, flags: int) -> None:
        """Appending can change."""
        if flags & ~(FdFlags.APPEND | FdFlags.NONBLOCK):
            raise fault(errno.ENOTSUP)
        self.append = bool(flags & FdFlags.APPEND)

    @_whole
    def set_size(self, size: int) -> None:
        """Cut it off, or fill it up."""
        if size >= 1 << 63:
            raise fault(errno.EFBIG)
        self.tree.resize(self.node, size)

    def set_times(self, atim: int | None, mtim: int | None) -> None:
        """Set them."""
        _set_times(self.node, atim, mtim, self.tree.now())

    @_whole
    def allocate(self, offset: int, size: int) -> None:
        """Fill it up that far."""
        if offset + size > len(self.node.data):
            self.set_size(offset + size)

    def advise(self, offset: int, size: int, advice: int) -> None:
        """It is in memory already."""

    def sync(self) -> None:
        """There is nothing to do."""

    def datasync(self) -> None:
        """There is nothing to do."""

    def save(self) -> object:
        """Which file it is, how it was opened and where it stands."""
        return [self.node.ino, self.how.read, self.how.write, self.append, self.at]

    @_whole
    def close(self) -> None:
        """Let go of it."""
        self.node.opens -= 1
        self.tree.release(self.node)


class MemoryDirectory(Directory):
    """An open directory of a tree."""

    def __init__(self, tree: MemoryTree, node: Node) -> None:
        self.tree = tree
        self.node = node

    def _get(self, name: bytes) -> Node:
        if name == b".":
            return self.node
        _check(name)
        node = self.node.names.get(name)
        if node is None:
            raise fault(errno.ENOENT)
        return node

    def _directory(self, name: bytes) -> Node:
        node = self._get(name)
        if node.type != FileType.DIRECTORY:
            raise fault(errno.ENOTDIR)
        return node

    def _free(self, name: bytes) -> None:
        """A new name may be made here."""
        _check(name)
        if name in self.node.names or name == b".":
            raise fault(errno.EEXIST)
        if not self.node.nlink:
            raise fault(errno.ENOENT)  # the directory has been removed

    def _put(self, name: bytes, node: Node) -> None:
        self.node.names[name] = node
        self.node.mtim = self.node.ctim = self.tree.now()

    def _drop(self, name: bytes) -> Node:
        node = self.node.names.pop(name)
        node.nlink -= 1
        node.ctim = self.node.mtim = self.node.ctim = self.tree.now()
        return node

    def walk(self, name: bytes) -> MemoryDirectory:
        """Go on from there."""
        return MemoryDirectory(self.tree, self._directory(name))

    @_whole
    def open(self, name: bytes, how: Opening) -> File:
        """Open or create."""
        node = self.node if name == b"." else self.node.names.get(name)
        if node is None:
            if not how.create or how.directory:
                raise fault(errno.ENOENT)
            self._free(name)
            node = self.tree.node(FileType.REGULAR_FILE)
            self._put(name, node)
            return MemoryFile(self.tree, node, how)
        if how.create and how.exclusive:
            raise fault(errno.EEXIST)
        if node.type == FileType.SYMBOLIC_LINK:
            raise fault(errno.ENOTDIR if how.directory else errno.ELOOP)
        if node.type == FileType.DIRECTORY:
            if how.create or how.truncate or (how.write and not how.directory):
                raise fault(errno.EISDIR)
            return MemoryDirectory(self.tree, node)
        if how.directory:
            raise fault(errno.ENOTDIR)
        if how.truncate:
            self.tree.resize(node, 0)
        return MemoryFile(self.tree, node, how)

    def find(self, name: bytes) -> Filestat:
        """What is known of a name."""
        return self._get(name).stat()

    def stat(self) -> Filestat:
        """What is known of the directory."""
        return self.node.stat()

    @_whole
    def names(self) -> list[Name]:
        """In the order in which they were made."""
        return [Name(name, node.ino, node.type) for name, node in self.node.names.items()]

    def readlink(self, name: bytes) -> bytes:
        """Where a link points."""
        node = self._get(name)
        if node.type != FileType.SYMBOLIC_LINK:
            raise invalid("no symbolic link")
        return bytes(node.data)

    @_whole
    def make_directory(self, name: bytes) -> None:
        """An empty one."""
        self._free(name)
        self._put(name, self.tree.node(FileType.DIRECTORY))

    @_whole
    def remove_directory(self, name: bytes) -> None:
        """An empty one."""
        if self._directory(name).names:
            raise fault(errno.ENOTEMPTY)
        self.tree.release(self._drop(name))

    @_whole
    def unlink(self, name: bytes) -> None:
        """Anything but a directory."""
        if self._get(name).type == FileType.DIRECTORY:
            raise fault(errno.EISDIR)
        self.tree.release(self._drop(name))

    @_whole
    def rename(self, name: bytes, to: Directory, new: bytes) -> None:
        """Move, replacing what may be replaced."""
        target = self._same(to)
        node, old = self._get(name), target.node.names.get(new)
        _check(new)
        if old is node:
            return
        if node.type == FileType.DIRECTORY and _below(node, target.node):
            raise invalid("into itself")
        if old is not None:
            if node.type == FileType.DIRECTORY and old.type != FileType.DIRECTORY:
                raise fault(errno.ENOTDIR)
            if old.type == FileType.DIRECTORY:
                if node.type != FileType.DIRECTORY:
                    raise fault(errno.EISDIR)
                target.remove_directory(new)
            else:
                target.unlink(new)
        self._drop(name)
        node.nlink += 1
        target._put(new, node)

    @_whole
    def link(self, name: bytes, to: Directory, new: bytes) -> None:
        """A second name for a file."""
        target = self._same(to)
        node = self._get(name)
        if node.type == FileType.DIRECTORY:
            raise fault(errno.EPERM)
        target._free(new)
        node.nlink += 1
        target._put(new, node)

    @_whole
    def symlink(self, target: bytes, name: bytes) -> None:
        """A symbolic link."""
        self._free(name)
        node = self.tree.node(FileType.SYMBOLIC_LINK)
        self.tree.resize(node, len(target))
        node.data[:] = target
        self._put(name, node)

    def set_name_times(self, name: bytes, atim: int | None, mtim: int | None) -> None:
        """Of what has that name."""
        _set_times(self._get(name), atim, mtim, self.tree.now())

    def set_times(self, atim: int | None, mtim: int | None) -> None:
        """The directory's own."""
        _set_times(self.node, atim, mtim, self.tree.now())

    def sync(self) -> None:
        """There is nothing to do."""

    def datasync(self) -> None:
        """There is nothing to do."""

    @_whole
    def save_beneath(self, files: Sequence[File]) -> Sequence[object]:
        """The whole tree, and what each of the files is in it."""
        opened = [file.node for file in files if isinstance(file, (MemoryFile, MemoryDirectory))]
        if len(opened) != len(files):
            raise SnapshotError("a file is not of this tree")
        parts = [file.save() if isinstance(file, MemoryFile) else file.node.ino for file in files]  # type: ignore[attr-defined]  # checked above
        return [self.tree.save(opened), *parts]

    @_whole
    def load_beneath(self, data: Sequence[Any]) -> list[File]:
        """The tree becomes what was saved."""
        nodes = self.tree.load(data[0])
        self.node = self.tree.top
        found: list[File] = []
        for part in data[1:]:
            if isinstance(part, int):
                found.append(MemoryDirectory(self.tree, nodes[part]))
                continue
            ino, read, write, append, at = part
            flags = FdFlags.APPEND if append else 0
            file = MemoryFile(self.tree, nodes[ino], Opening(read, write, flags=flags))
            file.at = at
            found.append(file)
        return found

    def _same(self, to: Directory) -> MemoryDirectory:
        if not isinstance(to, MemoryDirectory) or to.tree is not self.tree:
            raise fault(errno.EXDEV)
        return to


def _check(name: bytes) -> None:
    if len(name) > _NAME:
        raise fault(errno.ENAMETOOLONG)


def _below(node: Node, place: Node) -> bool:
    """Whether `place` is `node` or lies in it."""
    todo = [node]
    while todo:
        inner = todo.pop()
        if inner is place:
            return True
        todo += inner.names.values()
    return False


def _set_times(node: Node, atim: int | None, mtim: int | None, now: int) -> None:
    node.atim = node.atim if atim is None else atim
    node.mtim = node.mtim if mtim is None else mtim
    node.ctim = now
