"""The cookbook's fetch: a coroutine that outlives suspensions, is cancelled when dropped, and can't be saved midway."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator

import attrs
import pytest

from examples.cookbook.fetch import web
from hostsdk import Execution, Instance, Interrupt, Module, Returned, SnapshotError, Suspended, Timeout
from tests.support.cache import ROOT

GUEST = Module.from_file(ROOT / "examples" / "cookbook" / "fetch.wasm")
PAGE = b"HTTP/1.0 200 OK\r\n\r\nthe whole page"


@attrs.define
class Server:
    """A server of one connection, which answers when it is told to."""

    listener: socket.socket

    @property
    def url(self) -> bytes:
        """Where it is."""
        host, port = self.listener.getsockname()
        return f"http://{host}:{port}/".encode()

    def accept(self) -> socket.socket:
        """The connection, with its request read."""
        connection, _ = self.listener.accept()
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += connection.recv(4096)
        return connection


@pytest.fixture
def server() -> Iterator[Server]:
    """A server without an answer yet."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Server(listener)


def instance(server: Server) -> tuple[Instance, int]:
    """A guest that knows where to ask, and the length of the address."""
    made = Instance(GUEST, [web])
    made.memory.write(16, server.url)
    return made, len(server.url)


def interrupted(execution: Execution, connection: list[socket.socket], server: Server) -> None:
    """Run until the request has come, and the guest has been interrupted in its wait for the answer."""
    stop = Interrupt()

    def accept() -> None:
        connection.append(server.accept())
        stop.set()

    other = threading.Thread(target=accept)
    other.start()
    assert isinstance(execution.run(interrupt=stop), Suspended)
    other.join()


def test_it_goes_on_while_its_guest_is_suspended(server: Server) -> None:
    """COOKBOOK 4, BEHAVIOURS 75: the answer comes while the guest is suspended; one request was sent. In the middle
    it can't be saved, and the error names the function."""
    made, size = instance(server)
    connections: list[socket.socket] = []
    with made:
        execution = made.start("load", size)
        interrupted(execution, connections, server)
        with pytest.raises(SnapshotError, match="fetch"):
            execution.save()
        with connections[0] as connection:
            connection.sendall(PAGE)
        assert execution.run() == Returned((14,))
        assert made.memory.read(1024, 14) == b"the whole page"
        assert len(made.resources) == 0


def test_dropped_it_is_cancelled(server: Server) -> None:
    """COOKBOOK 4, BEHAVIOURS 8: a call that is dropped, or out of time, closes its connection."""
    made, size = instance(server)
    connections: list[socket.socket] = []
    with made:
        execution = made.start("load", size)
        interrupted(execution, connections, server)
        execution.drop()
        with connections[0] as connection:
            assert connection.recv(1) == b""
        with pytest.raises(Timeout):
            made.call("load", size, timeout=0.05)


def test_in_an_event_loop(server: Server) -> None:
    """BEHAVIOURS 77: in a loop it is a task of that loop, and cancelling the task ends the request."""
    made, size = instance(server)

    async def main() -> None:
        task = asyncio.create_task(made.call_async("load", size))
        connection = await asyncio.to_thread(server.accept)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with connection:
            assert await asyncio.to_thread(connection.recv, 1) == b""

    with made:
        asyncio.run(main())
