"""The cookbook's recipes as scenes: what is around each call, and what must hold whatever happens to it."""

from __future__ import annotations

import socket
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator
from functools import cache

import pytest

from examples.cookbook import (
    approval,
    checksum,
    greet,
    lock,
    nap,
    receive,
    send_all,
    sort,
    store,
    work_queue,
)
from hostsdk import Execution, Module, Outcome, Question, Returned
from tests.support.build import wat
from tests.support.recipes import Scene, guest, journal


class Store(Scene):
    """Five visits: nothing to hold, and the state closed once."""

    name = "visits"
    args = (5,)

    def __init__(self) -> None:
        super().__init__(guest(store), store.kv)

    def finished(self, outcome: Outcome) -> None:
        assert outcome == Returned((15,))
        rows = self.inst.state(store.kv).execute("select k, v from kv").fetchall()
        assert rows == [("visits", (5).to_bytes(4, "little"))]

    def closed(self) -> None:
        with pytest.raises(sqlite3.ProgrammingError):
            self.inst.state(store.kv).execute("select 1")


class Nap(Scene):
    """Four sleeps of 300 ms: interruptions don't prolong them."""

    name = "night"
    args = (4, 300)

    def __init__(self) -> None:
        super().__init__(guest(nap), nap.bed)

    def prepare(self) -> None:
        self.begun = self.clock.monotonic()

    def meanwhile(self) -> Iterator[Callable[[], object]]:
        for _ in range(4):
            yield lambda: self.clock.advance(0.3)

    def finished(self, outcome: Outcome) -> None:
        assert outcome == Returned((4,))
        assert self.clock.monotonic() - self.begun == pytest.approx(1.2)
        assert self.clock.alarms == 0


class Sockets(Scene):
    """A guest with one end of a pair of sockets."""

    def __init__(self, module: Module, *hosts: object) -> None:
        self.ours, self.theirs = socket.socketpair()
        super().__init__(module, *hosts)  # type: ignore[arg-type]  # host modules

    def prepare(self) -> None:
        fd = self.inst.resources.add(self.theirs, close=socket.socket.close)
        self.args = (fd, *self.args[1:])

    def suspended(self, execution: Execution, reason: object) -> None:
        assert self.theirs.getblocking()  # the mode is that of the description, and others may share it

    def savable(self) -> bool:
        return False

    def unsavable(self) -> str:
        return "resource 0, a socket"

    def closed(self) -> None:
        assert self.theirs.fileno() == -1
        self.tidy()

    def tidy(self) -> None:
        self.theirs.close()
        self.ours.close()


class Receive(Sockets):
    """Bytes that come in pieces: none lost, none read twice."""

    name = "drain"
    args = (0, 1000)
    pieces = (b"a", b"bcdefghijk", b"lm")

    def __init__(self) -> None:
        self.sent = b""
        super().__init__(guest(receive), receive.net)

    def meanwhile(self) -> Iterator[Callable[[], object]]:
        for piece in self.pieces:
            yield lambda piece=piece: self.send(piece)  # type: ignore[misc]  # the default binds it
        yield lambda: self.ours.shutdown(socket.SHUT_WR)

    def send(self, piece: bytes) -> None:
        self.ours.sendall(piece)
        self.sent += piece

    def received(self) -> bytes:
        size = int.from_bytes(self.inst.memory.read(0, 4), "little")
        return self.inst.memory.read(16, size)

    def finished(self, outcome: Outcome) -> None:
        assert outcome == Returned((0,))
        assert self.received() == self.sent == b"".join(self.pieces)

    def dropped(self) -> None:
        self.ours.close()
        rest = self.theirs.recv(1000)
        # What the host function had put into memory, the guest may not have counted yet.
        for size in range(5):
            have = self.inst.memory.read(16, len(self.received()) + size)
            if have + rest == self.sent:
                return
        raise AssertionError(f"{self.received()!r} and {rest!r} are not {self.sent!r}")


class SendAll(Sockets):
    """More bytes than the socket takes at once: none lost, none doubled, and a short journal."""

    size = 400_000
    name = "send"
    args = (0, size)

    def __init__(self) -> None:
        self.received = bytearray()
        super().__init__(guest(send_all), send_all.net)

    def prepare(self) -> None:
        super().prepare()
        self.inst.memory.write(0, self.expected)
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)

    @property
    def expected(self) -> bytes:
        return b"".join([n.to_bytes(4, "little") for n in range(0, self.size, 4)])

    def meanwhile(self) -> Iterator[Callable[[], object]]:
        while True:
            yield lambda: self.received.extend(self.ours.recv(100_000, socket.MSG_DONTWAIT))

    def suspended(self, execution: Execution, reason: object) -> None:
        super().suspended(execution, reason)
        assert journal(execution) <= 3  # the socket, the progress, the wait

    def read_rest(self) -> None:
        self.ours.setblocking(False)
        try:
            while data := self.ours.recv(100_000):
                self.received.extend(data)
        except BlockingIOError:
            pass

    def finished(self, outcome: Outcome) -> None:
        assert outcome == Returned((self.size,))
        self.read_rest()
        assert self.received == self.expected

    def dropped(self) -> None:
        self.read_rest()
        assert self.expected.startswith(self.received)


class WorkQueue(Scene):
    """Items that come while the guest waits: each delivered once."""

    name = "collect"
    items = (b"one", b"two", b"three", b"four")

    def __init__(self) -> None:
        self.put: list[bytes] = []
        super().__init__(guest(work_queue), work_queue.q)

    def queue(self) -> work_queue.Queue:
        found: work_queue.Queue = self.inst.state(work_queue.q)
        return found

    def meanwhile(self) -> Iterator[Callable[[], object]]:
        yield lambda: self.add(*self.items[:2])
        yield lambda: self.add(self.items[2])
        yield lambda: self.add(self.items[3], b"")

    def add(self, *items: bytes) -> None:
        for item in items:
            self.put.append(item)
            self.queue().put(item)

    def finished(self, outcome: Outcome) -> None:
        text = b"".join(self.items)
        assert outcome == Returned((len(text),))
        assert self.inst.memory.read(16, len(text) + 1) == text + b"\0"
        assert not self.queue().items

    def dropped(self) -> None:
        delivered = self.inst.memory.read(16, 100).rstrip(b"\0")
        assert delivered + b"".join(self.queue().items) == b"".join(self.put)


class Sort(Scene):
    """Ten numbers: the same order, by as many comparisons."""

    name = "sort_numbers"

    def __init__(self) -> None:
        super().__init__(guest(sort), sort.lib)

    def numbers(self) -> list[int]:
        return [self.inst.exports.number(i) for i in range(10)]

    def finished(self, outcome: Outcome) -> None:
        assert outcome == Returned((27,))
        assert self.numbers() == [3, 4, 6, 9, 15, 31, 53, 58, 79, 92]

    def dropped(self) -> None:
        # All or nothing; and the guest is whole.
        assert self.numbers() in ([31, 4, 15, 92, 6, 53, 58, 9, 79, 3], [3, 4, 6, 9, 15, 31, 53, 58, 79, 92])
        assert self.inst.exports.sort_numbers() > 0


@cache
def sleepy_sort() -> Module:
    """A guest whose comparator sleeps before it compares. The words at 0 count its calls by beginning and end."""
    return Module.from_bytes(
        wat("""(module
          (import "lib" "qsort" (func $qsort (param i32 i32 i32 i32)))
          (import "bed" "nap" (func $nap (param i32)))
          (memory (export "memory") 1)
          (data (i32.const 16) "\\04\\00\\02\\00\\03\\00\\01\\00\\02\\00")
          (table (export "__indirect_function_table") funcref (elem $nobody $compare))
          (func $nobody)
          (func $count (param $at i32)
            (i32.store (local.get $at) (i32.add (i32.load (local.get $at)) (i32.const 1))))
          (func $compare (param $a i32) (param $b i32) (result i32)
            (call $count (i32.const 0))
            (call $nap (i32.const 10))
            (call $count (i32.const 4))
            (i32.sub (i32.load16_u (local.get $a)) (i32.load16_u (local.get $b))))
          (func (export "sort")
            (call $qsort (i32.const 16) (i32.const 5) (i32.const 2) (i32.const 1))))""")
    )


class SleepySort(Scene):
    """A comparator that blocks: called as often, and it sleeps no longer."""

    name = "sort"
    comparisons = 8

    def __init__(self) -> None:
        super().__init__(sleepy_sort(), sort.lib, nap.bed)

    def prepare(self) -> None:
        self.begun = self.clock.monotonic()

    def meanwhile(self) -> Iterator[Callable[[], object]]:
        for _ in range(self.comparisons):
            yield lambda: self.clock.advance(0.01)

    def finished(self, outcome: Outcome) -> None:
        assert outcome == Returned(())
        assert self.inst.memory.read(16, 10) == bytes([1, 0, 2, 0, 2, 0, 3, 0, 4, 0])
        assert self.inst.memory.read(0, 8) == bytes([self.comparisons, 0, 0, 0] * 2)
        assert self.clock.monotonic() - self.begun == pytest.approx(0.01 * self.comparisons)

    def dropped(self) -> None:
        begun, ended = self.inst.memory.read(0, 1)[0], self.inst.memory.read(4, 1)[0]
        assert begun - ended in (0, 1)


class Approval(Scene):
    """A question that is answered whenever it comes up: asked once, and the answer used once."""

    name = "pay"
    args = (250,)

    def __init__(self) -> None:
        self.asked: list[Question[int]] = []
        super().__init__(guest(approval), approval.human)

    def suspended(self, execution: Execution, reason: object) -> None:
        if isinstance(reason, Question):
            self.asked.append(reason)
            execution.answer(1)

    def finished(self, outcome: Outcome) -> None:
        assert outcome == Returned((250,))
        assert self.asked == [approval.Approval("May I pay the bill?")]


class Lock(Scene):
    """A lock that somebody else holds at first: never held by two, and free in the end."""

    name = "work"
    args = (3,)

    def __init__(self) -> None:
        lock.THE_LOCK = threading.Lock()  # a scene that failed may have left the last one as it was
        lock.THE_LOCK.acquire()
        self.theirs = True
        super().__init__(guest(lock), lock.locks)

    def share(self) -> lock.Share:
        found: lock.Share = self.inst.state(lock.locks)
        return found

    def meanwhile(self) -> Iterator[Callable[[], object]]:
        yield lambda: self.clock.advance(1)
        yield self.release

    def release(self) -> None:
        self.clock.advance(1)
        lock.THE_LOCK.release()
        self.theirs = False

    def suspended(self, execution: Execution, reason: object) -> None:
        assert self.theirs + self.share().held == lock.THE_LOCK.locked()

    def savable(self) -> bool:
        return not self.share().held

    def unsavable(self) -> str:
        return "the guest holds the lock"

    def finished(self, outcome: Outcome) -> None:
        assert outcome == Returned((3,))
        assert not self.share().held

    def closed(self) -> None:
        if self.theirs:
            self.release()
        assert not lock.THE_LOCK.locked()


class Greet(Scene):
    """Strings in memory that grows while they are made."""

    name = "hellos"
    args = (3,)

    def __init__(self) -> None:
        super().__init__(guest(greet), greet.lib)

    def finished(self, outcome: Outcome) -> None:
        assert outcome == Returned((0x30000,))
        for page in (1, 2, 3):
            assert self.inst.memory.read(page << 16, 14) == b"hello, world\0\0"
        assert len(self.inst.memory) == 4 << 16

    def dropped(self) -> None:
        addr = self.inst.exports.hello()
        assert self.inst.memory.read(addr, 13) == b"hello, world\0"


class Checksum(Scene):
    """A long computation: it goes on where it was, with a short journal."""

    size = (1 << 20) + 5
    name = "check"
    args = (size,)

    def __init__(self) -> None:
        super().__init__(guest(checksum), checksum.lib)

    def suspended(self, execution: Execution, reason: object) -> None:
        assert journal(execution) <= 2  # the progress, and a count of check points

    def finished(self, outcome: Outcome) -> None:
        crc = zlib.crc32(self.inst.memory.read(0, self.size))
        assert outcome == Returned((crc - (1 << 32) if crc >> 31 else crc,))

    def dropped(self) -> None:
        assert self.inst.exports.check(0) == 0


SCENES: list[type[Scene]] = [
    Approval, Checksum, Greet, Lock, Nap, Receive, SendAll, SleepySort, Sort, Store, WorkQueue,
]  # fmt: skip
