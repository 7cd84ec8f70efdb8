"""Descriptors, trees and streams are saved with the guest, and restored elsewhere (BEHAVIOURS 75 and 76 for WASI)."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from hostsdk import Engine, EngineConfig, Execution, FakeClock, Module, Returned, SnapshotError
from hostsdk.wasi import ByteQueue, MemoryTree, WasiConfig, WasiState, preview1
from tests.support.wasi import READ, Box, blocked, clock_sub, interrupted


class Restored(Box):
    """A guest that was loaded."""

    execution: Execution

    def __init__(self, saved: bytes, module: Module, **options: Any) -> None:
        self.host = preview1(WasiConfig(**options))
        self.clock = FakeClock(monotonic=50.0)
        engine = Engine(EngineConfig(clock=self.clock))
        self.execution = Execution.load(saved, module, [self.host], trusted=True, engine=engine)
        self.instance = self.execution.instance
        self.memory = self.instance.memory
        self.size = 64 << 16
        self._at, self._asked = 1 << 16, []


def save(box: Box) -> bytes:
    """The guest, in the midst of a sleep."""
    execution = box.start("poll_oneoff", box.put(clock_sub(7, 1, 10**9)), box.room(32), 1, box.out())
    blocked(execution)
    return execution.save()


def test_files_of_the_host_are_opened_again(tmp_path: Path) -> None:
    """Path, offset, flags, rights and the place in a listing: as before, in another instance."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_bytes(b"0123456789")
    with Box(preopens={"/": tmp_path}, random=3) as box:
        assert box.open("d", 2) == (0, 4)
        assert box.open("f", fd=4) == (0, 5)
        assert box.open("f", fd=4, rights=READ, flags=1 | 4) == (0, 6)
        assert box.fd_close(4) == 0
        assert box.read(5, 3) == (0, b"012")
        assert box.fd_readdir(3, box.room(40), 40, 0, box.out()) == 0
        assert box.fd_renumber(5, 3) == 0
        assert box.random_get(box.room(9), 9) == 0
        assert box.clock_time_get(1, 0, box.out()) == 0
        box.clock.advance(2.0)
        stats = [descriptor.stat() for _, descriptor in box.state.fds.items()]
        saved = save(box)
        with Restored(saved, box.module, preopens={"/": tmp_path}, random=3) as again:
            state = again.state
            assert [number for number, _ in state.fds.items()] == [0, 1, 2, 3, 6]
            assert [descriptor.stat() for _, descriptor in state.fds.items()] == stats
            assert again.read(3, 3) == (0, b"345")
            assert again.read(6, 3) == (0, b"012")
            assert again.open("x", fd=3)[0] != 0
            assert state.random.at == 9
            out = again.out()
            assert again.clock_time_get(1, 0, out) == 0
            assert again.u64(out) >= 2 * 10**9


def test_a_sleep_goes_on_with_the_time_that_was_left() -> None:
    """BEHAVIOURS 76: restored under another clock, poll_oneoff sleeps what remained and reports its clock."""
    with Box() as box:
        execution = box.start("poll_oneoff", box.put(clock_sub(7, 1, 10**9)), box.room(32), 1, box.out())
        blocked(execution)
        box.clock.advance(0.75)
        interrupted(execution)
        with Restored(execution.save(), box.module) as again:
            interrupted(again.execution)
            again.clock.advance(0.24)
            interrupted(again.execution)
            again.clock.advance(0.011)
            assert again.execution.run() == Returned((0,))


def test_the_monotonic_clock_goes_on_from_the_load() -> None:
    """BEHAVIOURS 76: the guest's monotonic clock stands still while it is saved, and goes on from the load: what is
    computed before anybody looks again counts. It never jumps or goes back, however often it is saved."""
    with Box() as box:
        out = box.out()
        assert box.clock_time_get(1, 0, out) == 0
        assert box.u64(out) == 0
        box.clock.advance(2.5)
        saved, module = save(box), box.module
        box.clock.advance(100)
    for expected in (2.75, 3.0):
        with Restored(saved, module) as again:
            again.clock.advance(0.25)  # it computes for so long
            interrupted(again.execution)
            saved = again.execution.save()
            out = again.out()
            assert again.clock_time_get(1, 0, out) == 0
            assert again.u64(out) == expected * 10**9


def test_trees_in_memory_go_along() -> None:
    """A memory tree is saved whole: hard links, and files that are open and have no name any more."""
    with Box(preopens={"/": MemoryTree({"d": {"f": b"hello"}}).root}) as box:
        assert box.open("d/f") == (0, 4)
        assert box.path_link(3, 0, *box.text("d/f"), 3, *box.text("again")) == 0
        assert box.open("gone", 1) == (0, 5)
        assert box.write(5, b"ghost") == (0, 5)
        assert box.path_unlink_file(3, *box.text("gone")) == 0
        assert box.read(4, 2) == (0, b"he")
        saved = save(box)
        tree = MemoryTree()
        with Restored(saved, box.module, preopens={"/": tree.root}) as again:
            assert again.read(4, 9) == (0, b"llo")
            assert again.fd_seek(5, 0, 0, again.out()) == 0
            assert again.read(5, 9) == (0, b"ghost")
            assert again.stat("again")[1][3] == 2
            assert again.names() == box.names()
            assert tree.as_dict() == {"d": {"f": b"hello"}, "again": b"hello"}


def test_a_blocked_read_goes_on_elsewhere() -> None:
    """BEHAVIOURS 75: suspended in fd_read, finished by another instance with another end of a queue."""
    with Box(stdin=ByteQueue()) as box:
        buf, out = box.room(8), box.out()
        execution = box.start("fd_read", 0, box.iovecs((buf, 8)), 1, out)
        blocked(execution)
        queue = ByteQueue()
        with Restored(execution.save(), box.module, stdin=queue) as again:
            queue.put(b"later")
            assert again.execution.run() == Returned((0,))
            assert again.get(buf, 5) == b"later"


def test_bytes_given_as_input_are_read_on() -> None:
    """What had been read of standard input is not read again."""
    with Box(stdin=b"0123456789") as box:
        assert box.read(0, 4)[1] == b"0123"
        with Restored(save(box), box.module, stdin=b"0123456789") as again:
            assert again.read(0, 4)[1] == b"4567"


def test_what_cannot_be_saved_is_named(tmp_path: Path) -> None:
    """A connection, a FIFO, a file that was moved or removed: the error names the descriptor and why."""
    (tmp_path / "f").write_bytes(b"x")
    os.mkfifo(tmp_path / "fifo")
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, Box(listen=[listener]) as box, socket.create_connection(listener.getsockname()):
        assert box.sock_accept(3, 0, box.out()) == 0
        with pytest.raises(SnapshotError, match="descriptor 4: a connection"):
            save(box)
    with Box(preopens={"/": tmp_path}) as box:
        assert box.open("fifo", rights=READ) == (0, 4)
        with pytest.raises(SnapshotError, match="descriptor 4: a FIFO"):
            save(box)
        assert box.fd_close(4) == 0
        assert box.open("f") == (0, 4)
        os.rename(tmp_path / "f", tmp_path / "g")
        with pytest.raises(SnapshotError, match="descriptor 4: the file b'f' can't be found"):
            save(box)
        (tmp_path / "f").write_bytes(b"y")
        with pytest.raises(SnapshotError, match="moved or replaced"):
            save(box)


def test_what_cannot_be_restored_is_named(tmp_path: Path) -> None:
    """Fewer directories than before, or a file that is gone: a SnapshotError, and nothing stays open."""
    (tmp_path / "f").write_bytes(b"x")
    with Box(preopens={"/": tmp_path}) as box:
        assert box.open("f") == (0, 4)
        saved = save(box)
        with pytest.raises(SnapshotError, match="preopened"):
            Restored(saved, box.module)
        os.remove(tmp_path / "f")
        before = set(os.listdir("/proc/self/fd"))
        with pytest.raises(SnapshotError, match="opened again"):
            Restored(saved, box.module, preopens={"/": tmp_path})
        assert set(os.listdir("/proc/self/fd")) == before


def test_identities_are_never_given_out_again() -> None:
    """BEHAVIOURS 56 across saving: what was closed before the save is not mistaken for something opened after it."""
    with Box(preopens={"/": MemoryTree({"f": b"x"}).root}) as box:
        assert box.open("f") == (0, 4)
        gone = box.state.fds.get(4).identity
        assert box.fd_close(4) == 0
        with Restored(save(box), box.module, preopens={"/": MemoryTree().root}) as again:
            assert again.open("f") == (0, 4)
            assert isinstance(again.state, WasiState)
            assert again.state.fds.get(4).identity > gone
