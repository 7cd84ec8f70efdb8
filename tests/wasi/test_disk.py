"""Files on a disk that takes its time: what has to be fetched or written for good is waited for by event, and holds up
neither the guest's own interrupts nor those of others on the same thread."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from hostsdk import WASI_ERRNO, Returned, TimedOut
from hostsdk.testing import SteppingDriver
from hostsdk.wasi.fs import beside, host
from runtime.exec.inject import Injector
from tests.support.waits import PATIENCE, in_thread
from tests.support.wasi import Box, every_check, interrupted, returned, to_end

DATA = bytes(range(256)) * 40
NAMES = ("fd_read", "fd_pread", "fd_sync", "fd_datasync")


@attrs.define
class Disk:
    """Has nothing in memory until it is allowed to work, and then until it is told to forget."""

    works: threading.Event = attrs.field(factory=threading.Event)
    fetched: set[int] = attrs.field(factory=set)
    #: What it was asked to do, in order.
    asked: list[str] = attrs.field(factory=list)
    #: Only so many bytes of a read are there.
    part: int = 0

    def preadv(self, fd: int, buffers: list[bytearray], offset: int, flags: int = 0) -> int:
        """Says that it would block, until the file was fetched."""
        if fd not in self.fetched:
            if self.part:
                return REAL["preadv"](fd, [memoryview(buffers[0])[: self.part]], offset, flags)  # type: ignore[no-any-return]
            raise BlockingIOError
        return REAL["preadv"](fd, buffers, offset, 0)  # type: ignore[no-any-return]

    def fetch(self, fd: int, offset: int, size: int) -> None:
        """As soon as it works."""
        self.asked.append(f"{size} bytes at {offset}")
        self.works.wait(PATIENCE)
        self.fetched.add(fd)

    def fsync(self, fd: int) -> None:
        """As soon as it works."""
        self.asked.append("sync")
        self.works.wait(PATIENCE)


REAL: dict[str, Callable[..., Any]] = {"preadv": os.preadv}


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    """In place of the system's."""
    made = Disk()
    monkeypatch.setattr(os, "preadv", made.preadv)
    monkeypatch.setattr(os, "fsync", made.fsync)
    monkeypatch.setattr(os, "fdatasync", made.fsync)
    monkeypatch.setattr(host, "fetch", made.fetch)
    monkeypatch.setattr(host, "NOWAIT", 8)
    yield made
    made.works.set()


def arguments(box: Box, name: str, buf: int, out: int) -> tuple[int, ...]:
    """Of a call on file 4."""
    vecs = box.iovecs((buf, 64))
    return {"fd_read": (4, vecs, 1, out), "fd_pread": (4, vecs, 1, 10, out)}.get(name, (4,))


def opened(place: Path, **options: Any) -> Box:
    """A guest with a file open as 4."""
    (place / "f").write_bytes(DATA)
    box = Box(preopens={"/": place}, stdin="null", **options)
    assert box.open("f") == (0, 4)
    return box


@pytest.mark.parametrize("name", NAMES)
def test_a_slow_disk_can_be_interrupted(name: str, disk: Disk, tmp_path: Path) -> None:
    """Interrupted and timed out at once while the disk does nothing, again and again; when it has done its work, the
    call goes on and nothing was read twice or skipped. A sync is asked of the disk once for a call."""
    with opened(tmp_path) as box:
        buf, out = box.room(64), box.out()
        execution = box.start(name, *arguments(box, name, buf, out))
        for _ in range(4):
            interrupted(execution)
        waiting = in_thread(lambda: execution.run(timeout=5.0))
        box.clock.wait_for_alarms()
        box.clock.advance(5.0)
        assert isinstance(getattr(waiting.result(PATIENCE), "reason", None), TimedOut)
        disk.works.set()
        assert execution.run() == Returned((0,))
        assert len(disk.asked) == 1
        if "read" in name:
            place = 10 if name == "fd_pread" else 0
            assert box.get(buf, 64) == DATA[place : place + 64]
            assert box.read(4, 4) == (0, DATA[:4] if place else DATA[64:68])


@pytest.mark.parametrize("name", NAMES)
def test_every_restart_of_a_slow_disk_is_harmless(name: str, disk: Disk, tmp_path: Path) -> None:
    """BEHAVIOURS 16: restarted at each check point, while the disk works and after that."""
    disk.works.set()

    def scenario(injector: Injector) -> object:
        disk.fetched.clear()
        with opened(tmp_path, injector=injector, real_clock=True) as box:
            buf, out = box.room(64), box.out()
            outcome = returned(to_end(box.start(name, *arguments(box, name, buf, out))))
            return outcome, box.get(buf, 64), box.u32(out), box.fd_tell(4, out), box.u64(out)

    assert every_check(scenario) >= 1


def test_others_on_the_same_thread_go_on(disk: Disk, tmp_path: Path) -> None:
    """Two guests on one thread whose waits leave the stack: while the first waits for the disk, the second runs, and
    reads what is there."""
    from hostsdk import Engine, EngineConfig, FakeClock

    clock = FakeClock()
    engine = Engine(EngineConfig(clock=clock, driver=SteppingDriver(clock, in_place=False)))
    with opened(tmp_path, engine=engine) as slow, Box(stdin=b"abc", engine=engine) as quick:
        buf, out = slow.room(64), slow.out()
        execution = slow.start("fd_read", *arguments(slow, "fd_read", buf, out))
        for _ in range(2):
            interrupted(execution)
        assert quick.read(0, 10) == (0, b"abc")
        disk.works.set()
        while not disk.fetched:
            threading.Event().wait(0.001)
        assert execution.run() == Returned((0,))
        assert slow.get(buf, 64) == DATA[:64]


def test_what_is_there_in_part_is_read_whole(disk: Disk, tmp_path: Path) -> None:
    """A read of which only a part is in memory gives all of it, from where the file stood; behind its end it is short,
    and nothing is fetched for that."""
    disk.works.set()
    disk.part = 10
    with opened(tmp_path, real_clock=True) as box:
        assert box.read(4, 100) == (0, DATA[:100])
        assert disk.asked == ["100 bytes at 0"]
        disk.fetched.clear()
        assert box.fd_seek(4, len(DATA) - 7, 0, box.out()) == 0
        assert box.read(4, 100) == (0, DATA[-7:])
        assert box.read(4, 100) == (0, b"")
        assert len(disk.asked) == 1


@pytest.mark.parametrize("name", ["fd_sync", "fd_datasync"])
def test_a_disk_that_fails_says_so(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """EIO of a sync that a thread of its own has done is the guest's; the next call is another sync."""
    answers = [5, 28, 0]

    def fsync(fd: int) -> None:
        number = answers.pop(0)
        if number:
            raise OSError(number, "")

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "fdatasync", fsync)
    with opened(tmp_path, real_clock=True) as box:
        found = [box.call(name, 4) for _ in range(3)]
    assert found == [WASI_ERRNO["EIO"], WASI_ERRNO["ENOSPC"], 0]


def test_a_guest_that_does_not_wait_waits_for_a_disk(disk: Disk, tmp_path: Path) -> None:
    """NONBLOCK means nothing for a regular file, as POSIX has it."""
    disk.works.set()
    with opened(tmp_path, real_clock=True) as box:
        assert box.fd_fdstat_set_flags(4, 4) == 0
        assert box.read(4, 10) == (0, DATA[:10])
        assert len(disk.asked) == 1


def test_a_file_that_is_fetched_can_be_closed(disk: Disk, tmp_path: Path) -> None:
    """BEHAVIOURS 50: closed while the disk works for it: the reader gets EBADF at once, and the host's descriptor stays
    open until the disk has done."""
    with opened(tmp_path) as box:
        file: Any = box.state.fds.get(4).file
        number = file.fd
        waiting = in_thread(lambda: box.read(4, 10)[0])
        while not disk.asked or not box.state.fds.get(4).closed.waiters:
            threading.Event().wait(0.001)
        box.state.fds.close(4)
        assert waiting.result(PATIENCE) == WASI_ERRNO["EBADF"]
        os.fstat(number)
        done = file._beside.done
        disk.works.set()
        while not done.generation:
            threading.Event().wait(0.001)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(number)


def test_outcomes_that_nobody_wants_are_forgotten() -> None:
    """Calls that were dropped leave nothing behind that grows."""
    work = beside.Beside()
    for number in range(100):
        seen = work.done.generation
        assert work.ask(number, lambda: None) is None
        while work.done.generation == seen:
            threading.Event().wait(0.001)
    assert len(work._jobs) <= 20
    assert work.ask(99, lambda: None) == beside.Outcome()


def test_a_file_that_is_not_in_memory(tmp_path: Path) -> None:
    """The system's own answers: a file that was thrown out of memory is fetched, and read whole."""
    big = os.urandom(3 << 20)
    (tmp_path / "f").write_bytes(big)
    with Box(preopens={"/": tmp_path}, real_clock=True) as box:
        assert box.open("f") == (0, 4)
        fd = os.open(tmp_path / "f", os.O_RDONLY)
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(fd)
        found = b""
        while part := box.read(4, 1 << 20)[1]:
            found += part
            box._at, box._asked = 64, []
        assert found == big
