"""Sockets of the host's. The mode of one that the embedder made is never changed."""

from __future__ import annotations

import os
import socket

from hostsdk import SnapshotError

from ..types import Filestat, FileType
from .base import Listener, Ready, Socket, Sources
from .descriptor import filestat, poll_fd

_CHUNK = 1 << 20


class HostSocket(Socket):
    """A connected socket that was made for the guest, and so is non-blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.type = FileType.SOCKET_STREAM if sock.type == socket.SOCK_STREAM else FileType.SOCKET_DGRAM

    def read(self, size: int) -> bytes:
        """What has come; b"" at the end of the stream."""
        return self.sock.recv(min(size, _CHUNK))

    def write(self, data: bytes) -> int:
        """What fits."""
        return self.sock.send(data[:_CHUNK] if self.type is FileType.SOCKET_STREAM else data)

    def recv(self, size: int, *, peek: bool) -> tuple[bytes, bool]:
        """What has come."""
        data, _, got, _ = self.sock.recvmsg(min(size, _CHUNK), 0, socket.MSG_PEEK if peek else 0)
        return data, bool(got & socket.MSG_TRUNC)

    def shutdown(self, *, read: bool, write: bool) -> None:
        """End one direction or both."""
        self.sock.shutdown(socket.SHUT_RDWR if read and write else socket.SHUT_RD if read else socket.SHUT_WR)

    def ready(self, write: bool) -> Ready | None:
        """Asked of poll(2)."""
        return poll_fd(self.sock.fileno(), write)

    def sources(self, write: bool) -> Sources:
        """The descriptor."""
        return Sources(fds=(self.sock.fileno(),))

    def stat(self) -> Filestat:
        """The system's."""
        return filestat(os.fstat(self.sock.fileno()))

    def save(self) -> object:
        """Never: the other side can't be asked."""
        raise SnapshotError("a connection can't be saved: its other side is elsewhere")

    def close(self) -> None:
        """Close it."""
        self.sock.close()


class HostListener(Listener):
    """A listening socket that the embedder made, and keeps."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock

    def accept(self) -> HostSocket | None:
        """The next connection. Whoever else accepts from the same socket may be faster."""
        if self.ready(write=False) is None:
            return None
        # A socket in blocking mode stays in it, since it is shared: should another process be faster now, this waits
        # for the next connection. One that the embedder made non-blocking doesn't.
        made, _ = self.sock.accept()
        made.setblocking(False)
        return HostSocket(made)

    def ready(self, write: bool) -> Ready | None:
        """Asked of poll(2)."""
        return None if write else poll_fd(self.sock.fileno(), write=False)

    def sources(self, write: bool) -> Sources:
        """The descriptor."""
        return Sources(fds=(self.sock.fileno(),))

    def stat(self) -> Filestat:
        """The system's."""
        return filestat(os.fstat(self.sock.fileno()))

    def save(self) -> object:
        """Nothing: whoever restores listens, or not."""
        return None
