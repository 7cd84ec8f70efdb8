"""What each recipe of the cookbook promises on its own, with real threads and sockets where it says so."""

from __future__ import annotations

import contextlib
import errno
import socket
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest

from examples.cookbook import approval, checksum, greet, lock, nap, receive, send_all, store, work_queue
from hostsdk import (
    WASI_ERRNO,
    BlockingContext,
    BufferTooSmall,
    Context,
    ConversionError,
    Engine,
    EngineConfig,
    Execution,
    HostModule,
    Instance,
    Interrupt,
    Limits,
    Module,
    Returned,
    StateError,
    Suspended,
    Trap,
    TrapCode,
    Unanswered,
)
from runtime import Every, FakeClock
from tests.hostsdk.cookbook_scenes import Checksum, Sort
from tests.support.build import wat
from tests.support.cache import ROOT
from tests.support.recipes import guest
from tests.support.waits import PATIENCE, in_thread


def run_with_restarts(execution: Execution, every: int) -> object:
    """The outcome with a restart at every so many check points."""
    execution._context.requests.injector = Every(every)
    while isinstance(outcome := execution.run(), Suspended):
        pass
    return outcome


# ---- sleep -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["function", "generator"])
def test_twenty_interruptions_do_not_prolong_a_sleep(style: str) -> None:
    """Behaviour 36: of two sleeps of 250 ms each, one is interrupted and resumed 20 times; they end at 500 ms."""
    clock, stop = FakeClock(), Interrupt()
    begun = clock.monotonic()

    def part(execution: Execution, seconds: float) -> object:
        """Run until it sleeps, let time pass, interrupt."""
        pending = in_thread(lambda: execution.run(interrupt=stop))
        clock.wait_for_alarms()
        clock.advance(seconds)
        if seconds == 0.25:
            clock.wait_for_alarms()
        stop.set()
        return pending.result(PATIENCE)

    with Instance(guest(nap), [nap.bed], engine=Engine(EngineConfig(clock=clock))) as inst:
        execution = inst.start("night", 2, 250)
        if style == "generator":  # the second sleep
            assert isinstance(part(execution, 0.25), Suspended)
        for _ in range(20):
            assert isinstance(part(execution, 1 / 128), Suspended)
        pending = in_thread(execution.run)
        clock.wait_for_alarms()
        clock.advance(0.25 - 20 / 128)
        if style == "function":
            clock.wait_for_alarms()
            clock.advance(0.25)
        assert pending.result(PATIENCE) == Returned((2,))
        assert clock.monotonic() - begun == 0.5


# ---- receive ---------------------------------------------------------------------------------------------------------


def test_a_hostile_handle_is_ebadf() -> None:
    """A number that names nothing, or no socket, is answered by EBADF, and nothing is touched."""
    with Instance(guest(receive), [receive.net]) as inst:
        fd = inst.resources.add("no socket at all")
        for number in (-1, fd, fd + 1, 2**31 - 1, -(2**31)):
            assert inst.exports.drain(number, 10) == -WASI_ERRNO["EBADF"]
        assert inst.resources.get(fd, str) == "no socket at all"


def test_errors_become_the_guests_numbers() -> None:
    """The author's timeout and the system's errors reach the guest as WASI's numbers, not the host's."""
    ours, theirs = socket.socketpair()
    with ours, Instance(guest(receive), [receive.net]) as inst:
        fd = inst.resources.add(theirs, close=socket.socket.close)
        assert inst.exports.drain(fd, 0) == -WASI_ERRNO["ETIMEDOUT"] != -errno.ETIMEDOUT
        theirs.close()
        assert inst.exports.drain(fd, 10) == -WASI_ERRNO["EBADF"]


def test_interrupted_in_a_real_wait_no_byte_is_lost() -> None:
    """Bytes that come while a blocked guest is being interrupted by another thread arrive once, in order."""
    data = bytes(range(200)) * 4
    ours, theirs = socket.socketpair()
    stop = Interrupt()
    with Instance(guest(receive), [receive.net]) as inst:
        fd = inst.resources.add(theirs, close=socket.socket.close)

        def send() -> None:
            with ours:
                for at in range(0, len(data), 7):
                    ours.sendall(data[at : at + 7])
                    stop.set(at)

        sender = in_thread(send)
        execution = inst.start("drain", fd, 60_000)
        while isinstance(outcome := execution.run(interrupt=stop), Suspended):
            assert theirs.getblocking()
        sender.result(PATIENCE)
        assert outcome == Returned((0,))
        assert inst.memory.read(16, len(data) + 1) == data + b"\0"


# ---- work queue ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2, 5])
def test_items_of_another_thread_are_delivered_once(every: int) -> None:
    """A guest that is restarted all the time gets what another thread puts into the queue, each item once."""
    items = [b"%d," % n for n in range(200)]
    with Instance(guest(work_queue), [work_queue.q]) as inst:
        queue: work_queue.Queue = inst.state(work_queue.q)

        def put() -> None:
            for item in [*items, b""]:
                queue.put(item)

        producer = in_thread(put)
        text = b"".join(items)
        assert run_with_restarts(inst.start("collect"), every) == Returned((len(text),))
        producer.result(PATIENCE)
        assert inst.memory.read(16, len(text)) == text
        assert queue.changed.waiters == 0


def test_an_item_that_is_too_long_stays() -> None:
    """An item that the guest's buffer can't hold is refused before it is taken out."""
    with Instance(guest(work_queue), [work_queue.q]) as inst:
        queue: work_queue.Queue = inst.state(work_queue.q)
        queue.put(b"seventeen letters")
        with pytest.raises(BufferTooSmall, match="17 bytes don't fit the guest's buffer of 16"):
            inst.exports.collect()
        assert list(queue.items) == [b"seventeen letters"]


# ---- sort ------------------------------------------------------------------------------------------------------------


def test_the_comparator_runs_as_often_whatever_happens() -> None:
    """Behaviour 21: a callback that is interrupted again and again is one callback, and enters its caller once."""
    plain = Sort()
    with plain:
        _, outcome = plain.play(Every(1 << 30))
        calls = plain.inst.stats.host_calls
        plain.finished(outcome)
    with Sort() as disturbed:
        _, outcome = disturbed.play(Every(1))
        disturbed.finished(outcome)
        assert disturbed.inst.stats.host_calls == calls
        assert sum(disturbed.inst.stats.suspensions.values()) > 27


# ---- approval --------------------------------------------------------------------------------------------------------


def test_a_plain_call_that_asks_comes_back_at_once() -> None:
    """Where nobody answers, a question is `Unanswered`, with the question, and the guest is usable again."""
    with Instance(guest(approval), [approval.human]) as inst:
        for _ in range(2):
            with pytest.raises(Unanswered) as caught:
                inst.exports.pay(250)
            assert caught.value.question == approval.Approval("May I pay the bill?")


def test_the_answer_is_checked() -> None:
    """An answer of another type, or where nothing was asked, is refused and changes nothing."""
    with Instance(guest(approval), [approval.human]) as inst:
        execution = inst.start("pay", 250)
        with pytest.raises(StateError):
            execution.answer(1)
        execution.run()
        for wrong in ("yes", 1.5, 1 << 31, None):
            with pytest.raises(ConversionError):
                execution.answer(wrong)  # type: ignore[arg-type]  # the point
        execution.answer(0)
        with pytest.raises(StateError):
            execution.answer(1)
        assert execution.run() == Returned((0,))


def test_answered_in_another_process(tmp_path: Path) -> None:
    """Behaviour 75: what asked in this process is answered, and ends, in another one."""
    path = tmp_path / "execution"
    with contextlib.redirect_stdout(None):
        approval.ask(Path(approval.__file__).with_suffix(".wasm"), path)
    program = (
        "import sys; from pathlib import Path; from examples.cookbook import approval; "
        "approval.answer(Path(approval.__file__).with_suffix('.wasm'), Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("paid: 250\n", "")


# ---- lock ------------------------------------------------------------------------------------------------------------


class Room:
    """Where only one guest may be."""

    def __init__(self) -> None:
        self.inside = self.visits = self.most = 0

    def enter(self) -> None:
        self.inside += 1
        self.visits += 1
        self.most = max(self.most, self.inside)

    def leave(self) -> None:
        self.inside -= 1


def test_guests_in_several_threads_are_never_inside_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three guests in three threads, restarted all the time between lock and unlock, are alone inside each time."""
    monkeypatch.setattr(lock, "THE_LOCK", threading.Lock())
    room = Room()
    door = HostModule("door")

    @door.restartable
    def visit(ctx: BlockingContext) -> None:
        ctx.once(room.enter)
        ctx.check_interrupt()
        ctx.check_interrupt()
        ctx.once(room.leave)

    module = Module.from_bytes(
        wat("""(module
          (import "locks" "lock" (func $lock)) (import "locks" "unlock" (func $unlock))
          (import "door" "visit" (func $visit))
          (func (export "work") (param $n i32)
            (loop $again
              (call $lock) (call $visit) (call $unlock)
              (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))""")
    )

    def work(every: int) -> object:
        with Instance(module, [lock.locks, door]) as inst:
            return run_with_restarts(inst.start("work", 10), every)

    workers = [in_thread(lambda every=every: work(every)) for every in (1, 2, 3)]  # type: ignore[misc]
    assert [worker.result(PATIENCE) for worker in workers] == [Returned(())] * 3
    assert (room.visits, room.most, room.inside) == (30, 1, 0)
    assert not lock.THE_LOCK.locked()


def test_a_lock_that_is_held_at_the_end_is_let_go_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """An instance that is closed while its guest holds the lock releases it, and not the next holder's."""
    monkeypatch.setattr(lock, "THE_LOCK", threading.Lock())
    inst = Instance(guest(lock), [lock.locks])
    inst.exports.lock()
    inst.close()
    assert lock.THE_LOCK.acquire(blocking=False)
    inst.close()
    assert lock.THE_LOCK.locked()


# ---- send all --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 2])
def test_a_slow_reader_gets_every_byte_once(every: int) -> None:
    """Behaviour 48: a megabyte through a small socket to another thread, restarted at every check point, is whole."""
    size = 1_000_000
    ours, theirs = socket.socketpair()
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 8192)
    with ours, Instance(guest(send_all), [send_all.net]) as inst:
        data = b"".join([n.to_bytes(4, "little") for n in range(size // 4)])
        inst.memory.write(0, data)

        def read() -> bytes:
            received = bytearray()
            while piece := ours.recv(30_000):
                received.extend(piece)
            return bytes(received)

        reader = in_thread(read)
        fd = inst.resources.add(theirs, close=socket.socket.close)
        assert run_with_restarts(inst.start("send", fd, size), every) == Returned((size,))
        inst.resources.close(fd)
        assert reader.result(PATIENCE) == data


# ---- greet -----------------------------------------------------------------------------------------------------------


def test_a_malloc_that_has_nothing_gives_null() -> None:
    """Where the guest's memory can't grow, its malloc gives 0, and nothing is written."""
    with Instance(guest(greet), [greet.lib], limits=Limits(memory=2 << 16)) as inst:
        assert inst.exports.hello() == 1 << 16
        before = inst.memory.read(0, 2 << 16)
        assert inst.exports.hello() == 0
        assert inst.memory.read(0, 2 << 16) == before


def test_a_malloc_that_traps_harms_nothing() -> None:
    """Behaviour 28: a trap in malloc ends the guest's call, with both sides in the backtrace; the next call works."""
    with Instance(guest(greet), [greet.lib]) as inst:
        with pytest.raises(Trap) as caught:
            inst.exports.shout()
        assert caught.value.code is TrapCode.UNREACHABLE
        names = [str(line) for line in caught.value.backtrace]
        assert any("greet" in name for name in names)
        assert len(inst.memory) == 1 << 16
        inst.memory.write(0, b"there")
        addr = inst.exports.hello()
        assert inst.memory.read(addr, 13) == b"hello, there\0"


# ---- checksum --------------------------------------------------------------------------------------------------------


def test_no_piece_is_computed_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after every piece, the checksum goes on where it was: each piece is read and computed once."""
    pieces: list[int] = []

    class Counting:
        @staticmethod
        def crc32(data: bytes, value: int) -> int:
            pieces.append(len(data))
            return zlib.crc32(data, value)

    monkeypatch.setattr(checksum, "zlib", Counting)
    with Checksum() as scene:
        _, outcome = scene.play(Every(1))
        scene.finished(outcome)
        # Every second one: the first check after a resume is passed.
        assert scene.inst.stats.restarts["lib.checksum"] >= 8
    assert pieces == [checksum.CHUNK] * 16 + [5]


def test_between_two_check_points_lies_one_piece() -> None:
    """A checksum of n pieces has n check points of its own, so that a request never waits for more than one."""
    with Checksum() as scene:
        checks, outcome = scene.play(Every(1 << 30))
        scene.finished(outcome)
    assert checks >= scene.size / checksum.CHUNK


# ---- store -----------------------------------------------------------------------------------------------------------


def test_each_state_is_closed_once() -> None:
    """Every state that was made is closed once: that of an instance that ends, and of one that failed to begin."""
    made: list[list[str]] = []

    def make() -> list[str]:
        made.append([])
        return made[-1]

    log = HostModule("kv", state=make, close=lambda state: state.append("closed"))

    @log.function
    def put(ctx: Context[list[str]]) -> None:
        ctx.state.append("put")

    module = Module.from_bytes(wat('(module (import "kv" "put" (func $put)) (export "put" (func $put)))'))
    with Instance(module, [log]) as inst:
        inst.exports.put()
        inst.close()
    failing = Module.from_bytes(wat("(module (func $start unreachable) (start $start))"))
    with pytest.raises(Trap):
        Instance(failing, [log])
    assert made == [["put", "closed"], ["closed"]]


def test_a_value_too_long_for_the_guest_is_an_error() -> None:
    """A value longer than the guest's buffer is refused, not cut off."""
    with Instance(guest(store), [store.kv]) as inst:
        inst.state(store.kv).execute("insert into kv values ('visits', x'0102030405')")
        with pytest.raises(BufferTooSmall):
            inst.exports.visit()
