"""sock_*: preopened listening sockets and their connections (BEHAVIOURS 52)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from hostsdk import WASI_ERRNO, Trap
from runtime.exec.inject import Every, Injector
from tests.support.waits import in_thread
from tests.support.wasi import Box, every_check, fd_sub, poll, returned, to_end

E = {name[1:]: number for name, number in WASI_ERRNO.items()}
PEEK, WAITALL, NONBLOCK = 1, 2, 4


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that listens on this machine."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def connected(box: Box, listener: socket.socket, flags: int = 0) -> tuple[int, socket.socket]:
    """A connection: the guest's descriptor and the other side."""
    far = socket.create_connection(listener.getsockname())
    out = box.out()
    assert box.sock_accept(3, flags, out) == 0
    return box.u32(out), far


def test_a_connection_is_accepted_and_used(listener: socket.socket) -> None:
    """sock_accept waits by event; recv, send, read and write move bytes; shutdown is seen on the other side."""
    with Box(listen=[listener]) as box:
        out = box.out()
        found = in_thread(lambda: box.sock_accept(3, 0, out))
        with socket.create_connection(listener.getsockname()) as far:
            assert found.result(60) == 0
            fd = box.u32(out)
            assert fd == 4
            far.sendall(b"hello")
            room, count, flags = box.room(10), box.out(), box.out()
            assert poll(box, fd_sub(1, fd))[1] == [(1, 0, 1, 5, 0)]
            assert box.sock_recv(fd, box.iovecs((room, 10)), 1, PEEK, count, flags) == 0
            assert box.sock_recv(fd, box.iovecs((room, 2), (room + 4, 3)), 2, 0, count, flags) == 0
            assert (box.u32(count), box.get(room, 7)) == (5, b"hellllo")
            assert box.sock_send(fd, box.iovecs((room, 2)), 1, 0, count) == 0
            assert box.write(fd, b"!") == (0, 1)
            assert far.recv(10) == b"he!"
            assert box.sock_shutdown(fd, 2) == 0
            assert far.recv(10) == b""
            far.sendall(b"more")
            assert box.read(fd, 10) == (0, b"more")
            assert box.fd_close(fd) == 0
        assert box.untouched()


def test_all_is_waited_for(listener: socket.socket) -> None:
    """WAITALL receives all that was asked for, in parts; at the end of the stream what there was."""
    with Box(listen=[listener]) as box:
        fd, far = connected(box, listener)
        room, count, flags = box.room(8), box.out(), box.out()
        with far:
            found = in_thread(lambda: box.sock_recv(fd, box.iovecs((room, 3), (room + 3, 5)), 2, WAITALL, count, flags))
            far.sendall(b"abcd")
            far.sendall(b"efgh")
            assert found.result(60) == 0
            assert box.get(room, 8) == b"abcdefgh"
            far.sendall(b"xy")
        assert box.sock_recv(fd, box.iovecs((room, 8)), 1, WAITALL, count, flags) == 0
        assert (box.u32(count), box.get(room, 2)) == (2, b"xy")


def test_errors_of_sockets(listener: socket.socket) -> None:
    """Each error: no socket, no descriptor, flags, nothing there for one who doesn't wait, broken connections."""
    with Box(listen=[listener], stdin=b"") as box:
        fd, far = connected(box, listener, NONBLOCK)
        vec, count, flags = box.iovecs((box.room(4), 4)), box.out(), box.out()
        with far:
            assert box.sock_recv(fd, vec, 1, 0, count, flags) == E["AGAIN"]
            assert box.sock_recv(fd, vec, 1, 8, count, flags) == E["INVAL"]
            assert box.sock_send(fd, vec, 1, 1, count) == E["INVAL"]
            for name, args in (("sock_recv", (vec, 1, 0, count, flags)), ("sock_send", (vec, 1, 0, count)),
                               ("sock_accept", (0, count)), ("sock_shutdown", (1,))):  # fmt: skip
                assert box.call(name, 0, *args) == E["NOTSOCK"], name
                assert box.call(name, 99, *args) == E["BADF"], name
            assert box.sock_accept(fd, 0, count) == E["NOTSOCK"]
            assert box.sock_accept(3, 1, count) == E["NOTSUP"]
            assert box.sock_shutdown(fd, 0) == E["INVAL"]
            assert box.sock_shutdown(fd, 4) == E["INVAL"]
            assert box.read(3, 1)[0] == E["BADF"]
            with pytest.raises(Trap):
                box.sock_accept(3, 0, box.size)
        assert box.sock_recv(fd, vec, 1, 0, count, flags) == 0
        assert box.u32(count) == 0
        assert box.fd_fdstat_set_flags(3, NONBLOCK) == 0
        assert box.sock_accept(3, 0, count) == E["AGAIN"]
        box.state.fds.limit = len(box.state.fds)
        with socket.create_connection(listener.getsockname()):
            assert box.sock_accept(3, 0, count) == E["MFILE"]


def test_the_listening_socket_stays_the_embedders(listener: socket.socket) -> None:
    """Its mode never changes, and it is open when the guest is gone."""
    with Box(listen=[listener]) as box:
        assert os.get_blocking(listener.fileno())
        connected(box, listener)[1].close()
        assert box.fd_close(3) == 0
    assert os.get_blocking(listener.fileno())
    assert listener.fileno() >= 0


def test_a_connection_is_consumed_once(listener: socket.socket) -> None:
    """BEHAVIOURS 52: restarted at any check point, before or after readiness: one connection, every byte once."""

    def scenario(injector: Injector) -> object:
        with Box(listen=[listener], injector=injector) as box:
            out, count, flags, room = box.out(), box.out(), box.out(), box.room(16)
            found = in_thread(lambda: returned(to_end(box.start("sock_accept", 3, 0, out))))
            with socket.create_connection(listener.getsockname()) as far:
                assert found.result(60) == 0
                vec = box.iovecs((room, 8))
                fd = box.u32(out)
                found = in_thread(lambda: returned(to_end(box.start("sock_recv", fd, vec, 1, WAITALL, count, flags))))
                far.sendall(b"abcdefgh")
                assert found.result(60) == 0
                assert returned(to_end(box.start("sock_send", fd, vec, 1, 0, count))) == 0
                return fd, box.get(room, 8), far.recv(20), len(box.state.fds)

    every_check(scenario)
    assert scenario(Every(1)) == scenario(Every(2)) == (4, b"abcdefgh", b"abcdefgh", 5)


def test_a_long_send_is_whole(listener: socket.socket) -> None:
    """A blocking send of 2 MiB is 2 MiB on the other side."""
    data = os.urandom(1 << 16) * 32
    with Box(listen=[listener]) as box:
        fd, far = connected(box, listener)

        def drain() -> bytes:
            got = bytearray()
            while part := far.recv(1 << 16):
                got += part
            return bytes(got)

        with far:
            found = in_thread(drain)
            out = box.out()
            assert box.sock_send(fd, box.iovecs((box.put(data), len(data))), 1, 0, out) == 0
            assert box.u32(out) == len(data)
            assert box.fd_close(fd) == 0
            assert found.result(60) == data
