"""Sockets of the host's. The mode of one that the embedder made is never changed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

from hostsdk import SnapshotError

from ..errno import bad_fd
from ..types import FileType
from .base import Listener, Ready, Socket, Sources
from .descriptor import Plain, T

_CHUNK = 1 << 20
#: Between a look at a listening socket and the accept there is nobody else of this process.
_ACCEPTING = threading.Lock()


class HostSocket(Plain, Socket):
    """A connected socket that was made for the guest, and so is non-blocking."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock.fileno())
        self.sock = sock
        self.type = FileType.SOCKET_STREAM if sock.type == socket.SOCK_STREAM else FileType.SOCKET_DGRAM

    def read(self, size: int) -> bytes:
        """What has come; b"" at the end of the stream."""
        return self.use(self._recv, min(size, _CHUNK))

    def write(self, data: bytes) -> int:
        """What fits."""
        return self.use(self._send, data[:_CHUNK] if self.type is FileType.SOCKET_STREAM else data)

    def recv(self, size: int, *, peek: bool) -> tuple[bytes, bool]:
        """What has come."""
        return self.use(self._recvmsg, min(size, _CHUNK), socket.MSG_PEEK if peek else 0)

    def shutdown(self, *, read: bool, write: bool) -> None:
        """End one direction or both."""
        self.use(self._shutdown, socket.SHUT_RDWR if read and write else socket.SHUT_RD if read else socket.SHUT_WR)

    def save(self) -> object:
        """Never: the other side can't be asked."""
        raise SnapshotError("a connection can't be saved: its other side is elsewhere")

    def dispose(self, fd: int) -> None:
        """Close the socket."""
        self.sock.close()

    def _recv(self, _: int, size: int) -> bytes:
        return self.sock.recv(size)

    def _recvmsg(self, _: int, size: int, flags: int) -> tuple[bytes, bool]:
        data, _ancillary, got, _address = self.sock.recvmsg(size, 0, flags)
        return data, bool(got & socket.MSG_TRUNC)

    def _send(self, _: int, data: bytes) -> int:
        return self.sock.send(data)

    def _shutdown(self, _: int, how: int) -> None:
        self.sock.shutdown(how)


class HostListener(Plain, Listener):
    """A listening socket that the embedder made, and keeps."""

    owned = False

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock.fileno())
        self.sock = sock

    def accept(self) -> HostSocket | None:
        """The next connection. Whoever else accepts from the same socket may be faster."""
        with _ACCEPTING:
            if self.ready(write=False) is None:
                return None
            # A socket in blocking mode stays in it, since it is shared: should another process be faster now, this
            # waits for the next connection. One that the embedder made non-blocking doesn't.
            made, _ = self.sock.accept()
        made.setblocking(False)
        return HostSocket(made)

    def use(self, call: Callable[..., T], *args: Any) -> T:
        """With the number that the socket has now: it is the embedder's to close."""
        fd = self.sock.fileno()
        if fd < 0:
            raise bad_fd("the socket is closed")
        return call(fd, *args)

    def ready(self, write: bool) -> Ready | None:
        """Asked of poll(2)."""
        return None if write else super().ready(write)

    def sources(self, write: bool) -> Sources:
        """The descriptor."""
        return Sources(fds=(self.sock.fileno(),))

    def save(self) -> object:
        """Nothing: whoever restores listens, or not."""
        return None
