"""Descriptors that threads of one guest share (BEHAVIOURS 50, 51, 56): closed, renumbered, opened and read at once.

The instances here share one state, as those of a guest's threads do.
"""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostsdk import WASI_ERRNO
from hostsdk.wasi import ByteQueue, MemoryTree, WasiConfig, WasiState, preview1
from hostsdk.wasi.fdtable import Descriptor, FdTable
from hostsdk.wasi.fs.base import File, Opening
from hostsdk.wasi.fs.descriptor import Described
from hostsdk.wasi.fs.host import HostDirectory, HostFile
from hostsdk.wasi.fs.sock import HostSocket
from tests.support.waits import PATIENCE, in_thread
from tests.support.wasi import READ, Box

EBADF, EMFILE = WASI_ERRNO["EBADF"], WASI_ERRNO["EMFILE"]


@contextmanager
def boxes(count: int, config: WasiConfig) -> Iterator[list[Box]]:
    """Instances that share their descriptors."""
    state = WasiState.of(config)
    made = [Box(host=preview1(config).with_state(lambda: state), real_clock=True, pages=8) for _ in range(count)]
    try:
        yield made
    finally:
        state.close()


def is_open(fd: int) -> bool:
    """Whether the host's descriptor is open."""
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def in_use(file: Described, leave: threading.Event) -> Callable[[], int]:
    """A thread in the middle of using the file until `leave` is set; what it has found then."""
    inside = threading.Event()

    def use(fd: int) -> int:
        inside.set()
        leave.wait(PATIENCE)
        return fd if is_open(fd) else -1

    found = in_thread(lambda: file.use(use))
    inside.wait(PATIENCE)
    return lambda: found.result(PATIENCE)


def files(place: Path) -> list[Described]:
    """One of each kind that has a descriptor."""
    (place / "f").write_bytes(b"abc")
    near, far = socket.socketpair()
    far.close()
    how = Opening()
    return [HostFile(os.open(place / "f", os.O_RDONLY), how), HostDirectory.at(place), HostSocket(near)]


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["file", "directory", "socket"])
@pytest.mark.parametrize("users", [1, 3])
def test_a_file_in_use_is_closed_by_whoever_leaves_last(kind: int, users: int, tmp_path: Path) -> None:
    """A file that is closed while threads use it: its number stays its own until the last has left; who comes later
    gets EBADF."""
    made = files(tmp_path)
    file = made.pop(kind)
    for other in made:
        other.close()
    number = file.fd
    leaves = [threading.Event() for _ in range(users)]
    results = [in_use(file, leave) for leave in leaves]
    file.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        file.stat()
    for leave, result in zip(leaves, results, strict=True):
        assert is_open(number)
        leave.set()
        assert result() == number
    assert not is_open(number)


def test_a_closed_directory_is_not_the_current_one(tmp_path: Path) -> None:
    """Python takes -1 for the current directory here and there: every method of a closed directory is EBADF instead."""
    directory, other = HostDirectory.at(tmp_path), HostDirectory.at(tmp_path)
    directory.close()
    calls: list[Callable[[], object]] = [
        lambda: directory.walk(b"."), lambda: directory.open(b"f", Opening()), lambda: directory.find(b"f"),
        lambda: directory.open(b"f", Opening(write=True, create=True)), directory.names, directory.stat,
        lambda: directory.readlink(b"f"), lambda: directory.make_directory(b"new"), lambda: directory.unlink(b"f"),
        lambda: directory.remove_directory(b"new"), lambda: directory.rename(b"a", other, b"b"),
        lambda: other.rename(b"a", directory, b"b"), lambda: directory.link(b"a", other, b"b"),
        lambda: other.link(b"a", directory, b"b"), lambda: directory.symlink(b"x", b"y"), directory.sync,
        lambda: directory.set_name_times(b"f", 1, 1), lambda: directory.set_times(1, 1), directory.datasync,
    ]  # fmt: skip
    before = os.listdir(".")
    for call in calls:
        with pytest.raises(OSError, match="Bad file descriptor"):
            call()
    assert os.listdir(".") == before
    other.close()


def test_what_is_read_is_never_another_file(tmp_path: Path) -> None:
    """BEHAVIOURS 50 and 56: one thread reads and polls, one closes, opens and renumbers, and the host opens other files
    all the while, which take every number that becomes free: the guest reads its own files or EBADF."""
    (tmp_path / "own").write_bytes(b"o" * 64)
    secret = tmp_path.parent / "secret"
    secret.write_bytes(b"s" * 64)
    stop = threading.Event()

    def host() -> None:
        while not stop.is_set():
            fds = [os.open(secret, os.O_RDONLY) for _ in range(3)]
            for fd in fds:
                os.close(fd)

    with boxes(2, WasiConfig(preopens={"/": tmp_path}, stdin="null")) as (one, two):
        recycler = in_thread(host)
        changer = in_thread(lambda: change(two, stop))
        buf, out = one.room(64), one.out()
        vecs = one.iovecs((buf, 64))
        seen = set()
        try:
            for turn in range(20_000):
                errno = one.fd_pread(4 + turn % 2, vecs, 1, 0, out)
                assert errno in (0, EBADF)
                assert errno or one.get(buf, 64) == b"o" * 64
                seen.add(errno)
                if turn > 2000 and len(seen) == 2:
                    break
        finally:
            stop.set()
        changer.result(PATIENCE)
        recycler.result(PATIENCE)
        assert seen == {0, EBADF}
    secret.unlink()


def change(box: Box, stop: threading.Event) -> None:
    """Open, renumber and close, until told to stop."""
    while not stop.is_set():
        box._at, box._asked = 64, []
        for _ in range(2):
            assert box.open("own")[0] == 0
        assert box.fd_renumber(5, 4) == 0
        assert box.fd_close(4) == 0


def test_a_table_keeps_its_books() -> None:
    """Threads that add, renumber, reserve and close at once: no number is given out twice, none is lost, every file is
    closed once."""

    class Counted(File):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    table = FdTable(limit=50)
    made: list[list[Counted]] = [[], [], [], []]

    def work(mine: list[Counted]) -> None:
        for _ in range(400):
            kept = []
            for _ in range(3):
                file = Counted()
                mine.append(file)
                kept.append(table.add(Descriptor(file, 0)))
            assert all(table.get(number).file in mine for number in kept)
            table.give_back(table.reserve())
            table.renumber(kept[0], kept[1])
            table.close(kept[1])
            table.close(kept[2])

    found = [in_thread(lambda mine=mine: work(mine)) for mine in made]  # type: ignore[misc]
    for each in found:
        each.result(PATIENCE)
    assert len(table) == 0
    assert {file.closed for mine in made for file in mine} == {1}
    assert sorted({table.add(Descriptor(File(), 0)) for _ in range(12)}) == list(range(12))


def test_two_closers_and_a_reader() -> None:
    """BEHAVIOURS 50: a reader is blocked, two threads close its descriptor: one succeeds, the other gets EBADF, as does
    the reader; nobody hangs."""
    queue = ByteQueue()
    with boxes(3, WasiConfig(stdin=queue)) as (reader, first, second):
        found = in_thread(lambda: reader.read(0, 10)[0])
        while not queue.changed.waiters:
            pass
        closers = [in_thread(lambda box=box: box.fd_close(0)) for box in (first, second)]  # type: ignore[misc]
        assert sorted(closer.result(PATIENCE) for closer in closers) == [0, EBADF]
        assert found.result(PATIENCE) == EBADF


def test_a_place_is_kept_for_a_connection() -> None:
    """Two threads accept into a table that has room for one: no connection is taken that has no number."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        with boxes(2, WasiConfig(listen=[listener], stdin="null")) as (first, second):
            first.state.fds.limit = 5
            found = [in_thread(lambda box=box: box.sock_accept(3, 0, box.out())) for box in (first, second)]  # type: ignore[misc]
            far = [socket.create_connection(address) for _ in range(2)]
            with far[0], far[1]:
                assert sorted(each.result(PATIENCE) for each in found) == [0, EMFILE]
                first.state.fds.limit = 6
                assert second.sock_accept(3, 4, second.out()) == 0


def test_threads_share_a_place_in_a_file(tmp_path: Path) -> None:
    """What threads read from one descriptor, each byte is read once: on the host and in memory."""
    data = bytes(range(256)) * 8
    (tmp_path / "f").write_bytes(data)
    for source in (tmp_path, MemoryTree({"f": data}).root):
        with boxes(3, WasiConfig(preopens={"/": source}, stdin=data)) as made:
            assert made[0].open("f", rights=READ) == (0, 4)
            for fd in (4, 0):
                got = [in_thread(lambda box=box, fd=fd: drained(box, fd)) for box in made]  # type: ignore[misc]
                assert sorted(b"".join(each.result(PATIENCE) for each in got)) == sorted(data)


def drained(box: Box, fd: int) -> bytes:
    """All that there is, a few bytes at a time."""
    found = b""
    while part := box.read(fd, 7)[1]:
        found += part
    return found
