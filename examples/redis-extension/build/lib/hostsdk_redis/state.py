"""What one instance's guest has of Redis: its connections, the commands that block them, and its subscriptions."""

from __future__ import annotations

import logging
import socket
import threading
from concurrent.futures import Future
from typing import Any

import attrs

from .connection import Address, Connection, Request

#: Seconds for a name that was to be known by now.
_PATIENCE = 5.0
_log = logging.getLogger("hostsdk.redis")


@attrs.define(eq=False)
class Redis:
    """Connections are made when they are needed, and made again after they were lost."""

    address: Address
    _where: Future[tuple[Any, ...]] | None = None
    _commands: Connection | None = None
    #: Connections on which commands that block have been, and can be again.
    _idle: list[Connection] = attrs.field(factory=list)

    def resolving(self) -> Future[tuple[Any, ...]]:
        """The server's address, looked up by a thread: nothing interrupts the system's resolver."""
        if self._where is None:
            self._where = Future()
            args = self.address.host, self.address.port, self._where
            threading.Thread(target=_resolve, args=args, name="hostsdk-redis resolver", daemon=True).start()
        return self._where

    def forget(self) -> None:
        """Look the address up again next time."""
        self._where = None

    def request(self, *args: Any) -> Request:
        """Send a command that doesn't block, on the connection that all of them share. The address must be known."""
        if self._commands is not None:
            try:
                self._commands.pump()  # an end that came meanwhile is noticed before anything is sent
            except ConnectionError:
                pass
        if self._commands is None or self._commands.lost is not None:
            self._commands = self.connect()
        return self._commands.send(*args)

    def block(self, *args: Any) -> Blocked:
        """Send a command that blocks its connection, on one of its own. The address must be known."""
        while self._idle:
            connection = self._idle.pop()
            if connection.lost is None:
                break
        else:
            connection = self.connect()
        return Blocked(self, connection.send(*args))

    def connect(self) -> Connection:
        """Begin a connection. The address must be known."""
        return Connection.start(self.address, self.resolving().result(_PATIENCE))

    def take_back(self, connection: Connection) -> None:
        """Keep a connection that is free again."""
        self._idle.append(connection)

    def close(self) -> None:
        """End all connections."""
        for connection in (*self._idle, self._commands):
            if connection is not None:
                connection.close()


@attrs.define(eq=False)
class Blocked:
    """A command that the server answers when something comes. Whatever it has popped is delivered or put back."""

    redis: Redis
    request: Request
    #: Its reply has been delivered.
    done: bool = False

    @property
    def connection(self) -> Connection:
        """The connection that it blocks."""
        return self.request.connection

    def finish(self) -> list[Any] | None:
        """End it on the server, at the price of a round trip: its reply if that was faster, else None. Raises
        OSError."""
        found = self.request.poll()
        if found is None and self.connection.number is None:
            # Its connection isn't made yet, so nothing has come to the server that it would be sorry for.
            self.connection.close()
            return None
        if found is None:
            control = self.redis.connect()
            try:
                control.converse("CLIENT", "UNBLOCK", self.connection.number)
                found = [self.connection.finish(self.request)]
            finally:
                control.close()
        return None if found[0] is None else found

    def release(self) -> None:
        """The call is over. One that ended before its command did, because it was dropped, say, ends that, too; what
        the command has popped meanwhile goes back to the head of its list."""
        try:
            if not self.done:
                self.put_back(self.finish())
        except OSError as error:
            _log.warning("a blocked command could not be ended: %s", error)
            self.connection.close()
        if self.connection.lost is None:
            self.redis.take_back(self.connection)

    def put_back(self, found: list[Any] | None) -> None:
        """Put what BLPOP popped back where it was. Raises OSError."""
        if found is None or self.request.args[0] != "BLPOP" or found[0] is None:
            return
        key, item = found[0]
        control = self.redis.connect()
        try:
            control.converse("LPUSH", key, item)
        finally:
            control.close()


@attrs.define(eq=False)
class Subscription:
    """A channel that a guest listens to, on a connection of its own. Making it again, after that was lost or in another
    process, takes a round trip."""

    redis: Redis
    channel: bytes
    #: It belongs to the guest; until then it is the call's that makes it.
    kept: bool = False
    _connection: Connection | None = None

    @property
    def sock(self) -> socket.socket:
        """The socket to wait for. Raises OSError where the connection can't be made again."""
        return self._open().sock

    def begin(self) -> Request:
        """Connect, and ask for the channel. The address must be known."""
        self._connection = self.redis.connect()
        return self._connection.send("SUBSCRIBE", self.channel)

    def _open(self) -> Connection:
        connection = self._connection
        if connection is None:
            request = self.begin()
            connection = request.connection
            try:
                connection.finish(request)
            except OSError:
                self._connection = None
                connection.close()
                raise
        return connection

    def peek(self) -> bytes | None:
        """The next message, which stays; None where there is none yet. Raises ConnectionError, once for each
        connection: what was published until the next one is lost."""
        connection = self._open()
        if not connection.messages:
            try:
                connection.pump()
                if connection.lost is not None and not connection.messages:
                    raise ConnectionResetError(104, "the subscription was interrupted")
            except ConnectionError:
                self._connection = None
                raise
        return connection.messages[0] if connection.messages else None

    def drop_first(self) -> None:
        """The next message has been delivered."""
        self._open().messages.popleft()

    def keep(self) -> None:
        """From now on it is the guest's."""
        self.kept = True

    def discard(self) -> None:
        """End it unless it is the guest's."""
        if not self.kept:
            self.close()

    def close(self) -> None:
        """End it."""
        if self._connection is not None:
            self._connection.close()


def _resolve(host: str, port: int, future: Future[tuple[Any, ...]]) -> None:
    try:
        future.set_result(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0])
    except OSError as error:
        future.set_exception(error)
