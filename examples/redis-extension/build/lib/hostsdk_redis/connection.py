"""Connections to a Redis server that never block: commands go out and replies come in as far as the socket lets them.

Nothing here knows of guests. Whoever waits does so outside, for the socket, and tries again.
"""

from __future__ import annotations

import os
import select
import socket
from collections import deque
from typing import Any, Self
from urllib.parse import unquote, urlsplit

import attrs
import hiredis

#: Seconds for what can't be interrupted: ending a blocked command on the server.
_PATIENCE = 1.0


@attrs.frozen
class Address:
    """Where a server is, and what is said to it first."""

    host: str = "localhost"
    port: int = 6379
    user: str = ""
    password: str = ""
    database: int = 0

    @classmethod
    def parse(cls, url: str) -> Self:
        """`redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`. Raises ValueError."""
        parts = urlsplit(url)
        number = parts.path.strip("/")
        if parts.scheme != "redis" or not parts.hostname or not (number or "0").isdecimal():
            raise ValueError(f"{url!r} is no address of Redis; write redis://localhost:6379/0")
        return cls(
            parts.hostname,
            parts.port or 6379,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
            int(number or 0),
        )

    def greeting(self) -> list[tuple[Any, ...]]:
        """Commands that open a connection; the last one's reply is the connection's number on the server."""
        user = (self.user,) if self.user else ()
        login: list[tuple[Any, ...]] = [("AUTH", *user, self.password)] if self.password else []
        select: list[tuple[Any, ...]] = [("SELECT", self.database)] if self.database else []
        return [*login, *select, ("CLIENT", "ID")]


@attrs.define(eq=False)
class Request:
    """A command that was sent, or is about to be. Replies are bytes, ints, None, and lists of them."""

    connection: Connection
    args: tuple[Any, ...]
    answered: bool = False
    reply: Any = None

    def poll(self) -> list[Any] | None:
        """The reply, in a list so that a null is something, too; None where it is not there yet. Raises
        ConnectionError where it never will be, and hiredis.ReplyError where the server refuses."""
        if not self.answered:
            self.connection.pump()
        if not self.answered:
            return None
        if isinstance(self.reply, hiredis.ReplyError):
            raise self.reply
        return [self.reply]

    def abandon(self) -> None:
        """Nobody waits any more; the reply is passed over when it comes."""


@attrs.define(eq=False)
class Connection:
    """One connection for its whole life. Once it is lost, `lost` says why, and everything raises that."""

    address: Address
    sock: socket.socket
    lost: OSError | None = None
    #: What the server calls it; None until it is known.
    number: int | None = None
    #: What a subscribed connection was sent.
    messages: deque[bytes] = attrs.field(factory=deque)
    _connected: bool = False
    _out: bytearray = attrs.field(factory=bytearray)
    _open: deque[Request] = attrs.field(factory=deque)
    _reader: Any = attrs.field(factory=hiredis.Reader)

    @classmethod
    def start(cls, address: Address, where: tuple[Any, ...]) -> Self:
        """Begin to connect to `where`, an entry of getaddrinfo's."""
        sock = socket.socket(where[0], where[1], where[2])
        sock.setblocking(False)
        self = cls(address, sock)
        try:
            sock.connect(where[4])
        except BlockingIOError:
            pass
        except OSError as error:
            self._lose(error)
        for command in address.greeting():
            self.send(*command)
        return self

    def send(self, *args: Any) -> Request:
        """Put a command behind what is to be sent. What can't be is noticed by `flush` and by the request's `poll`."""
        request = Request(self, args)
        self._open.append(request)
        self._out += hiredis.pack_command(args)
        return request

    def flush(self) -> bool:
        """Whether all commands have been sent. Raises ConnectionError."""
        self._check()
        if not self._connected:
            number = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                self._lose(ConnectionError(number, os.strerror(number)))
            try:
                self.sock.getpeername()
            except OSError:
                self._check()
                return False
            self._connected = True
        while self._out:
            try:
                sent = self.sock.send(self._out)
            except BlockingIOError:
                return False
            except OSError as error:
                self._lose(error)
            else:
                del self._out[:sent]
            self._check()
        return True

    def pump(self) -> None:
        """Send and receive what can be. Raises ConnectionError."""
        if not self.flush():
            return
        while True:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(error)
                break
            if not data:
                self._lose(ConnectionResetError(104, "the server closed the connection"))
                break
            self._take(data)
        # Replies that came before the end are answers all the same.
        if self._open:
            self._check()

    def close(self) -> None:
        """End it."""
        if self.lost is None:
            self._lose(ConnectionAbortedError(103, "closed"))

    def _take(self, data: bytes) -> None:
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not False:
            if isinstance(reply, list) and len(reply) == 3 and reply[0] == b"message":
                self.messages.append(reply[2])
                continue
            request = self._open.popleft()
            request.answered, request.reply = True, reply
            if request.args == ("CLIENT", "ID"):
                self.number = reply
            if isinstance(reply, hiredis.ReplyError) and request.args[0] in ("AUTH", "SELECT"):
                self._lose(PermissionError(13, str(reply)))

    def _lose(self, error: OSError) -> None:
        if self.lost is None:
            self.lost = error
            self.sock.close()

    def _check(self) -> None:
        if self.lost is not None:
            raise type(self.lost)(*self.lost.args)

    def converse(self, *args: Any) -> Any:
        """Send a command and wait for its reply, which takes a round trip, and a second at most. Raises OSError."""
        request = self.send(*args)
        return self.finish(request)

    def finish(self, request: Request) -> Any:
        """Wait for a reply, a second at most. Raises OSError."""
        poll = select.poll()
        while (found := request.poll()) is None:
            poll.register(self.sock, select.POLLIN | (select.POLLOUT if self._out else 0))
            if not poll.poll(_PATIENCE * 1000):
                raise TimeoutError("the server doesn't answer")
        return found[0]
