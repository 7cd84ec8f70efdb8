"""Attempts on sockets that never block and never touch the socket's mode."""

from __future__ import annotations

import socket

from ._types import OutBuffer

# Not on every system; there the attempt relies on the readiness that came before it.
_DONTWAIT = getattr(socket, "MSG_DONTWAIT", 0)


def try_recv(sock: socket.socket, out: OutBuffer) -> int | None:
    """Receive what is there into the guest's buffer: the number of bytes, 0 at the end of the stream, None if nothing
    has come yet. For `block_until(lambda: try_recv(sock, out), readable=sock)`."""
    try:
        data = sock.recv(len(out), _DONTWAIT)
    except BlockingIOError:
        return None
    return out.fill(data)


def try_send(sock: socket.socket, data: bytes | memoryview) -> int | None:
    """Send what fits now: the number of bytes, None if nothing does. For
    `block_until(lambda: try_send(sock, data), writable=sock)`."""
    try:
        return sock.send(data, _DONTWAIT)
    except BlockingIOError:
        return None
