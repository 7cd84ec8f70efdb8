"""Each function under faults at each check point, against a real server: nothing is lost, doubled or left behind."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import pytest

from hostsdk import Execution, Interrupt, SnapshotError, Suspended, load_host
from hostsdk.testing import FakeGuest, Trial
from hostsdk_redis import redis

from .conftest import Server

FakeGuests = Callable[..., FakeGuest]
TIMED_OUT = -73

#: Connections can't be saved in the middle of a command, and the server takes its own time to answer.
restarts = pytest.mark.restart(saves=False, timed=False, steady=False)


def text(guest: FakeGuest, data: bytes) -> tuple[int, int]:
    """Where a text is put, and its size."""
    return guest.put(data), len(data)


@pytest.mark.restart(saves=False, timed=False, steady=False, suspended=True)
def test_set_and_get(fake_guest: FakeGuests, server: Server, trial: Trial) -> None:
    """What is set is what is got; a key that isn't there is -ENOENT; each command is sent once."""
    server.clean()
    guest = fake_guest(redis(server.url))
    out = guest.alloc(16)
    trial.settled(lambda: in_order(server, b"log", [b"one", b"two"]))
    assert guest.call("redis.set", *text(guest, b"name"), *text(guest, b"value")) == 0
    assert guest.call("redis.rpush", *text(guest, b"log"), *text(guest, b"one")) == 1
    assert guest.call("redis.rpush", *text(guest, b"log"), *text(guest, b"two")) == 2
    assert guest.call("redis.get", *text(guest, b"name"), out, 16) == 5
    assert guest.read(out, 5) == b"value"
    assert guest.call("redis.get", *text(guest, b"nobody"), out, 16) == -44
    assert guest.call("redis.get", *text(guest, b"log"), out, 16) == -65
    trial.observe(lambda: server.do("LRANGE", "log", 0, -1))


def in_order(server: Server, key: bytes, items: list[bytes]) -> None:
    """The list is `items`, or the beginning of it: nothing is doubled or in another order."""
    found = server.do("LRANGE", key, 0, -1)
    assert found == items[: len(found)]


@restarts
def test_an_item_is_taken_once(fake_guest: FakeGuests, server: Server, trial: Trial) -> None:
    """A blocked BLPOP takes an item that comes while it waits; when its call is dropped or fails, the list is whole."""
    server.clean()
    guest = fake_guest(redis(server.url))
    out = guest.alloc(16)
    trial.at(1.0, lambda: server.do("RPUSH", "jobs", "one", "two"))

    def settled() -> None:
        assert server.do("LRANGE", "jobs", 0, -1) in ([], [b"one", b"two"], [b"two"])
        assert server.do("CLIENT", "LIST").count(b"cmd=blpop") == 0 or blocked(server) == 0

    trial.settled(settled)
    assert guest.call("redis.blpop", *text(guest, b"jobs"), out, 16, -1) == 3
    assert guest.read(out, 3) == b"one"
    assert server.do("LRANGE", "jobs", 0, -1) == [b"two"]
    assert blocked(server) == 0


def blocked(server: Server) -> int:
    """How many clients the server has blocked."""
    info: bytes = server.do("INFO", "clients")
    return int(info.split(b"blocked_clients:")[1].split(b"\r")[0])


@restarts
def test_a_time_limit_ends_it(fake_guest: FakeGuests, server: Server, trial: Trial) -> None:
    """The limit is the guest's, and no restart prolongs it; afterwards the server has forgotten the command."""
    server.clean()
    guest = fake_guest(redis(server.url))
    out = guest.alloc(16)
    began = guest.clock.monotonic()
    assert guest.call("redis.blpop", *text(guest, b"jobs"), out, 16, 700) == TIMED_OUT
    assert guest.clock.monotonic() - began == pytest.approx(0.7)
    server.do("RPUSH", "jobs", "late")
    assert server.do("LLEN", "jobs") == 1
    assert guest.call("redis.blpop", *text(guest, b"jobs"), out, 16, -1) == 4


@restarts
def test_an_item_that_is_too_long_goes_back(fake_guest: FakeGuests, server: Server) -> None:
    """An item that doesn't fit is -ERANGE, and still the first of its list."""
    server.clean()
    server.do("RPUSH", "jobs", "a long one", "b")
    guest = fake_guest(redis(server.url))
    assert guest.call("redis.blpop", *text(guest, b"jobs"), guest.alloc(4), 4, -1) == -68
    assert server.do("LRANGE", "jobs", 0, -1) == [b"a long one", b"b"]


@restarts
def test_a_stream_is_read_on(fake_guest: FakeGuests, server: Server, trial: Trial) -> None:
    """XREAD gives what there is, and then what comes while it waits; nothing twice."""
    server.clean()
    server.do("XADD", "events", "1-0", "kind", "first")
    guest = fake_guest(redis(server.url))
    entry, out = guest.alloc(32), guest.alloc(64)
    trial.at(1.0, lambda: server.do("XADD", "events", "2-0", "kind", "second"))
    size = guest.call("redis.xread", *text(guest, b"events"), *text(guest, b"0"), entry, 32, out, 64, -1)
    assert guest.read(out, size) == b"4:kind,5:first,"
    assert guest.read(entry, 4) == b"1-0\0"
    size = guest.call("redis.xread", *text(guest, b"events"), entry, 3, entry, 32, out, 64, -1)
    assert guest.read(out, size) == b"4:kind,6:second,"
    assert guest.call("redis.xread", *text(guest, b"events"), *text(guest, b"2-0"), entry, 32, out, 64, 5) == TIMED_OUT


@restarts
def test_messages_are_heard(fake_guest: FakeGuests, server: Server, trial: Trial) -> None:
    """What is published after `subscribe` is heard, each message once; -EBADF for what is no subscription."""
    guest = fake_guest(redis(server.url))
    out = guest.alloc(16)
    handle = guest.call("redis.subscribe", *text(guest, b"news"))
    assert guest.call("redis.publish", *text(guest, b"news"), *text(guest, b"now")) == 1
    trial.at(1.0, lambda: server.do("PUBLISH", "news", "later"))
    assert guest.call("redis.next", handle, out, 16, -1) == 3
    assert guest.call("redis.next", handle, out, 16, -1) == 5
    assert guest.read(out, 5) == b"later"
    assert guest.call("redis.next", handle, out, 16, 100) == TIMED_OUT
    assert guest.call("redis.unsubscribe", handle) == 0
    assert guest.call("redis.next", handle, out, 16, -1) == -8


@restarts
def test_a_lost_connection_is_made_again(fake_guest: FakeGuests, server: Server, trial: Trial) -> None:
    """The server drops everybody while the guest is blocked, between commands, and while it listens: the wait goes on,
    the next command works, and of a subscription the guest is told once."""
    server.clean()
    guest = fake_guest(redis(server.url))
    out = guest.alloc(16)

    def kill() -> None:
        server.do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        server.do("CLIENT", "KILL", "TYPE", "pubsub")

    assert guest.call("redis.set", *text(guest, b"k"), *text(guest, b"v")) == 0
    trial.at(1.0, kill)
    trial.at(2.0, lambda: server.do("RPUSH", "jobs", "one"))
    assert guest.call("redis.blpop", *text(guest, b"jobs"), out, 16, -1) == 3
    kill()
    assert guest.call("redis.get", *text(guest, b"k"), out, 16) == 1
    handle = guest.call("redis.subscribe", *text(guest, b"news"))
    kill()
    assert guest.call("redis.next", handle, out, 16, -1) == -15
    trial.at(1.0, lambda: server.do("PUBLISH", "news", "again"))
    assert guest.call("redis.next", handle, out, 16, -1) == 5


def test_a_subscription_is_saved(fake_guest: FakeGuests, server: Server) -> None:
    """A guest that waits for messages is saved, and goes on listening elsewhere; one in the middle of a command can't
    be, and the error names what is held."""
    host = redis(server.url)
    guest = fake_guest(host)
    out = guest.alloc(16)
    handle = guest.instance.call("redis.subscribe", *text(guest, b"news"))
    stop = Interrupt()
    stop.set()
    execution = guest.instance.start("redis.next", handle, out, 16, -1)
    while not isinstance(execution.run(interrupt=stop), Suspended) or "next" not in execution.explain():
        stop.set()
    data = execution.save()
    execution.drop()
    loaded = Execution.load(data, guest.instance.module, [host], trusted=True, engine=guest.world.engine)
    with loaded.instance:
        guest.world.at(1.0, lambda: server.do("PUBLISH", "news", "moved"))
        assert getattr(loaded.run(), "values", None) == (5,)
        assert loaded.instance.memory.read(out, 5) == b"moved"
    blocked_call = guest.instance.start("redis.blpop", *text(guest, b"jobs"), out, 16, -1)
    guest.world.at(1.0, stop.set)
    assert isinstance(blocked_call.run(interrupt=stop), Suspended)
    with pytest.raises(SnapshotError, match="a Blocked of host module redis"):
        blocked_call.save()
    blocked_call.drop()


@pytest.mark.parametrize("url", ["http://localhost", "redis://", "redis://localhost/x", "localhost:6379"])
def test_addresses_are_checked(url: str) -> None:
    """What is no address is refused when the host module is made, with an example."""
    with pytest.raises(ValueError, match="write redis://localhost:6379/0"):
        redis(url)


def test_no_server(fake_guest: FakeGuests) -> None:
    """Where nobody listens, a command is -ECONNREFUSED."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    guest = fake_guest(redis(f"redis://127.0.0.1:{port}"))
    out: Any = guest.alloc(16)
    assert guest.call("redis.get", *text(guest, b"k"), out, 16) == -14


def test_it_is_found_by_its_name(server: Server) -> None:
    """The installed package gives the host module to whoever asks for it by name, with an address as its option."""
    assert set(load_host("redis", server.url).functions) >= {"get", "set", "blpop", "xread", "subscribe", "listen"}
