"""fd_read and fd_write on streams (BEHAVIOURS 45 to 49, 53, 56): no byte lost, none twice, nothing shared touched."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import signal
import socket
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hostsdk import WASI_ERRNO, Timeout, Trap, TrapCode
from hostsdk.wasi import ByteQueue
from runtime.exec.inject import Every, Injector, Randomly
from tests.support.waits import in_thread
from tests.support.wasi import Box, blocked, every_check, fd_sub, poll, returned, to_end

EAGAIN, EBADF, EINVAL, EPIPE = (WASI_ERRNO[name] for name in ("EAGAIN", "EBADF", "EINVAL", "EPIPE"))
ENOTCAPABLE, ESPIPE = WASI_ERRNO["ENOTCAPABLE"], WASI_ERRNO["ESPIPE"]
NONBLOCK = 4


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A pseudo terminal: the side of the user, and that of the program."""
    ends = pty.openpty()
    tty.setraw(ends[1])
    yield ends
    for end in ends:
        close(end)


def close(fd: int) -> None:
    """Close what may be closed."""
    try:
        os.close(fd)
    except OSError:
        pass


def nonblocking(*fds: int) -> bool:
    """Whether one of the descriptions has O_NONBLOCK."""
    return any(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK for fd in fds)


class Sleepy:
    """Waits until somebody waits on a queue."""

    def __init__(self, queue: ByteQueue) -> None:
        while not queue.changed.waiters:
            pass


def test_bytes_are_spread_over_the_buffers(pipe: tuple[int, int]) -> None:
    """fd_read fills one buffer after the other, empty ones too; fd_write takes them so."""
    with Box(stdin=b"abcdefgh", stdout=pipe[1]) as box:
        first, second, out = box.room(3), box.room(10), box.out()
        vecs = box.iovecs((first, 3), (0, 0), (second, 10))
        assert box.fd_read(0, vecs, 3, out) == 0
        assert box.u32(out) == 8
        assert (box.get(first, 3), box.get(second, 10)) == (b"abc", b"defgh\0\0\0\0\0")
        assert box.fd_write(1, vecs, 3, out) == 0
        assert box.u32(out) == 13
        assert os.read(pipe[0], 100) == b"abcdefgh\0\0\0\0\0"
        assert box.untouched()


def test_nothing_is_moved_for_no_buffers() -> None:
    """An empty list, or empty buffers, move nothing and don't wait."""
    with Box(stdin=ByteQueue()) as box:
        out = box.out()
        assert box.fd_read(0, 0, 0, out) == 0
        assert box.fd_read(0, box.iovecs((0, 0)), 1, out) == 0
        assert box.fd_write(1, 0, 0, out) == 0
        assert box.u32(out) == 0


@pytest.mark.parametrize("name", ["fd_read", "fd_write"])
def test_hostile_buffers_trap_before_any_effect(name: str, pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 53: a list, a buffer or a result pointer outside of the memory, or unaligned: nothing was moved."""
    os.write(pipe[1], b"abc")
    with Box(stdin=pipe[0], stdout=pipe[1]) as box:
        fd = 0 if name == "fd_read" else 1
        buf, out, good = box.room(8), box.out(), box.iovecs((64, 8))
        bad = [
            (box.size, 1, out), (box.size - 4, 1, out), ((1 << 32) - 8, 1, out), (good, (1 << 32) - 1, out),
            (good, 1, box.size), (good, 1, (1 << 32) - 4), (good + 1, 1, out), (good, 1, out + 1),
            (box.iovecs((buf, 1), (box.size - 1, 2)), 2, out), (box.iovecs((buf, 1), ((1 << 32) - 1, 1)), 2, out),
            (box.iovecs((buf, (1 << 32) - 1)), 1, out),
        ]  # fmt: skip
        for args in bad:
            with pytest.raises(Trap) as caught:
                box.call(name, fd, *args)
            assert caught.value.code in (TrapCode.OUT_OF_BOUNDS_MEMORY, TrapCode.UNALIGNED)
        assert os.read(pipe[0], 100) == b"abc"
        assert box.untouched()


def test_giant_lists_are_refused() -> None:
    """More than 1024 buffers, or more bytes than 32 bits count, are EINVAL, without any of it being copied."""
    with Box(pages=1024, stdin=b"x" * 10) as box:
        vecs = box.iovecs(*[(0, 0)] * 1025)
        assert box.fd_read(0, vecs, 1025, box.out()) == EINVAL
        assert box.fd_read(0, vecs, 1024, box.out()) == 0
        big = box.iovecs(*[(0, box.size)] * 64)
        assert box.fd_read(0, big, 64, box.out()) == EINVAL
        assert box.fd_write(1, big, 64, box.out()) == EINVAL


def test_overlapping_buffers_are_filled_in_order() -> None:
    """The later buffer wins where two overlap."""
    with Box(stdin=b"abcdef") as box:
        buf, out = box.room(4), box.out()
        assert box.fd_read(0, box.iovecs((buf, 3), (buf + 1, 3)), 2, out) == 0
        assert box.get(buf, 4) == b"adef"


def test_bad_descriptors() -> None:
    """EBADF for a number that is none, and for reading what is to be written."""
    with Box(stdin=b"", stdout=bytearray()) as box:
        assert box.read(99, 1)[0] == EBADF
        assert box.write(99, b"x")[0] == EBADF
        assert box.write(0, b"x")[0] == EBADF
        assert box.read(1, 1)[0] == EBADF
        assert box.read((1 << 32) - 1, 1)[0] == EBADF


def test_rights_that_were_given_up_are_missed() -> None:
    """fd_fdstat_set_rights: rights go and don't come back; what needs them is ENOTCAPABLE."""
    with Box(stdin=b"abc") as box:
        out = box.room(24)
        assert box.fd_fdstat_get(0, out) == 0
        base = box.u64(out + 8)
        assert box.fd_fdstat_set_rights(0, base & ~2, 0) == 0
        assert box.read(0, 1)[0] == ENOTCAPABLE
        assert box.fd_fdstat_set_rights(0, base, 0) == ENOTCAPABLE
        assert box.fd_fdstat_set_rights(0, base & ~2, 1) == ENOTCAPABLE
        assert box.fd_fdstat_set_rights(77, 0, 0) == EBADF


def test_streams_cannot_be_positioned() -> None:
    """fd_seek, fd_tell, fd_pread and fd_pwrite on a pipe are ESPIPE."""
    with Box(stdin=b"abc") as box:
        out, vecs = box.out(), box.iovecs((box.room(4), 4))
        assert box.fd_seek(0, 0, 0, out) == ESPIPE
        assert box.fd_seek(0, 0, 1, out) == ESPIPE
        assert box.fd_tell(0, out) == ESPIPE
        assert box.fd_pread(0, vecs, 1, 0, out) == ESPIPE
        assert box.fd_seek(0, 0, 3, out) == EINVAL
        assert box.fd_seek(9, 0, 0, out) == EBADF


def test_a_blocked_read_is_woken_by_data(pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 46: a read waits by event, without any deadline, and data ends it."""
    queue = ByteQueue()
    with Box(stdin=queue) as box:
        found = in_thread(lambda: box.read(0, 10))
        Sleepy(queue)
        queue.put(b"data")
        assert found.result(60) == (0, b"data")
    with Box(stdin=pipe[0]) as box:
        found = in_thread(lambda: box.read(0, 10))
        os.write(pipe[1], b"more")
        assert found.result(60) == (0, b"more")


def test_a_blocked_read_ends_at_a_timeout_and_an_exit(pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 46: a timeout, or an exit that somebody asks for, ends a read at once."""
    with Box(stdin=pipe[0]) as box:
        found = in_thread(lambda: box.read(0, 10, timeout=5.0))
        box.clock.wait_for_alarms()
        box.clock.advance(5)
        with pytest.raises(Timeout):
            found.result(60)
    with Box(stdin=pipe[0]) as box:
        execution = box.start("fd_read", 0, box.iovecs((box.room(4), 4)), 1, box.out())
        ended = in_thread(execution.run)
        execution.exit(3)
        assert str(ended.result(60)) == "Exited(code=3)"


def test_no_flag_of_an_inherited_descriptor_changes(pipe: tuple[int, int], terminal: tuple[int, int]) -> None:
    """BEHAVIOURS 45: O_NONBLOCK of shared descriptions is never set: seen from outside, at every read and write, when
    the guest sets NONBLOCK, and after a trap."""
    ends = (*pipe, *terminal)
    with Box(stdin=pipe[0], stdout=pipe[1], stderr=terminal[1]) as box:
        assert not nonblocking(*ends)
        for fd in (0, 1, 2):
            assert box.fd_fdstat_set_flags(fd, NONBLOCK) == 0
        assert not nonblocking(*ends)
        assert box.read(0, 1) == (EAGAIN, b"")
        assert box.write(1, b"x" * 100_000)[0] == 0
        assert box.write(2, b"hello") == (0, 5)
        assert not nonblocking(*ends)
        with pytest.raises(Trap):
            box.fd_read(0, box.size, 1, box.out())
    assert not nonblocking(*ends)


def test_nonblock_is_the_guests_own(pipe: tuple[int, int], terminal: tuple[int, int]) -> None:
    """BEHAVIOURS 47: with NONBLOCK, EAGAIN while there is nothing, and data when there is, on pipe, tty and socket."""
    near, far = socket.socketpair()
    with near, far:
        for ours, theirs in ((pipe[0], pipe[1]), (terminal[1], terminal[0]), (near.fileno(), far.fileno())):
            with Box(stdin=ours) as box:
                assert box.fd_fdstat_set_flags(0, NONBLOCK) == 0
                assert box.read(0, 10) == (EAGAIN, b"")
                os.write(theirs, b"abc")
                assert poll(box, fd_sub(1, 0))[1] == [(1, 0, 1, 3, 0)]
                assert box.read(0, 10) == (0, b"abc")
                assert box.read(0, 10) == (EAGAIN, b"")
                out = box.room(24)
                assert box.fd_fdstat_get(0, out) == 0
                assert int.from_bytes(box.get(out + 2, 2), "little") == NONBLOCK


def test_unknown_flags_are_refused() -> None:
    """fd_fdstat_set_flags: bits that mean nothing are EINVAL, appending to a pipe ENOTSUP."""
    with Box(stdin=b"") as box:
        assert box.fd_fdstat_set_flags(0, 1 << 5) == EINVAL
        assert box.fd_fdstat_set_flags(0, 1) == WASI_ERRNO["ENOTSUP"]
        assert box.fd_fdstat_set_flags(9, 0) == EBADF


def test_a_long_write_to_a_slow_pipe_is_whole(pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 48: a blocking write of 2 MiB returns 2 MiB, with every byte once and in order."""
    data = bytes(range(251)) * (2 * 1024 * 1024 // 251 + 1)
    data = data[: 2 << 20]
    with Box(stdout=pipe[1]) as box:
        got = in_thread(lambda: drain(pipe[0], len(data)))
        assert box.write(1, data) == (0, 2 << 20)
        assert got.result(60) == data


def drain(fd: int, size: int) -> bytes:
    """Read `size` bytes, a little at a time."""
    found = bytearray()
    while len(found) < size:
        found += os.read(fd, 60_001)
    return bytes(found)


@pytest.mark.parametrize("injector", [Every(1), Every(3), Randomly(1), Randomly(2, 0.7)], ids=str)
def test_a_long_write_survives_interruptions(injector: Injector, pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 48: suspended midway, again and again, no byte is lost or doubled."""
    data = os.urandom(300_000)
    with Box(stdout=pipe[1], injector=injector) as box:
        out = box.out()
        execution = box.start("fd_write", 1, box.iovecs((box.put(data), len(data))), 1, out)
        got = in_thread(lambda: drain(pipe[0], len(data)))
        assert returned(to_end(execution)) == 0
        assert box.u32(out) == len(data)
        assert got.result(60) == data


def test_altered_lists_change_nothing_in_a_blocked_write(pipe: tuple[int, int]) -> None:
    """A restarted write goes on with the buffers that it was called with."""
    data = bytes(range(256)) * 512
    with Box(stdout=pipe[1]) as box:
        vecs = box.iovecs((box.put(data), len(data)))
        execution = box.start("fd_write", 1, vecs, 1, box.out())
        blocked(execution)
        box.memory.write(vecs, bytes(8))
        got = in_thread(lambda: drain(pipe[0], len(data)))
        assert returned(execution.run()) == 0
        assert got.result(60) == data


def test_a_read_can_be_restarted_anywhere() -> None:
    """BEHAVIOURS 16: a read that waits gives the same for a restart at each of its check points."""

    def scenario(injector: Injector) -> object:
        queue = ByteQueue()
        with Box(stdin=queue, injector=injector) as box:
            buf, out = box.room(8), box.out()
            execution = box.start("fd_read", 0, box.iovecs((buf, 8)), 1, out)
            found = in_thread(lambda: to_end(execution))
            Sleepy(queue)
            queue.put(b"abcdefghij")
            return returned(found.result(60)), box.get(buf, 8), box.u32(out), queue.get(10), box.untouched()

    assert every_check(scenario) >= 2


def test_a_real_signal_is_not_seen(pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 49: signals that arrive during a read, with handlers in Python, end no call: the third one's handler
    writes what is then read."""
    seen = []

    def handler(number: int, frame: object) -> None:
        seen.append(number)
        if len(seen) == 3:
            os.write(pipe[1], b"at last")

    old = signal.signal(signal.SIGALRM, handler)
    try:
        with Box(stdin=pipe[0], real_clock=True) as box:
            signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
            assert box.read(0, 10) == (0, b"at last")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)
    assert len(seen) >= 3


def test_a_write_to_a_closed_pipe_is_epipe(pipe: tuple[int, int]) -> None:
    """A broken pipe is EPIPE to the guest, and no signal to the process; a partial write is counted first."""
    os.close(pipe[0])
    with Box(stdout=pipe[1]) as box:
        assert box.write(1, b"x") == (EPIPE, 0)
    queue = ByteQueue(4)
    with Box(stdout=queue) as box:
        found = in_thread(lambda: box.write(1, b"abcdefgh"))
        Sleepy(queue)
        queue.close()
        assert found.result(60) == (0, 4)
        assert box.write(1, b"x") == (EPIPE, 0)


def test_a_descriptor_closed_while_read_is_ebadf(pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 50 and 20: closed while a read waits for it, by whoever may: the reader gets EBADF at once."""
    with Box(stdin=pipe[0]) as box:
        execution = box.start("fd_read", 0, box.iovecs((box.room(4), 4)), 1, box.out())
        blocked(execution)
        found = in_thread(execution.run)
        while not box.state.fds.get(0).closed.waiters:
            pass
        box.state.fds.close(0)
        assert returned(found.result(60)) == EBADF


@pytest.mark.parametrize("renumber", [False, True])
def test_a_reused_number_is_never_the_new_file(renumber: bool) -> None:
    """BEHAVIOURS 56: between suspension and resume the number came to name another file: EBADF where the old one was
    closed, the old one where it was renumbered."""
    queue = ByteQueue()
    with Box(stdin=queue, stdout=bytearray(), stderr=bytearray()) as box:
        buf = box.room(4)
        execution = box.start("fd_read", 0, box.iovecs((buf, 4)), 1, box.out())
        blocked(execution)
        fds = box.state.fds
        if renumber:
            fds.renumber(0, 2)
        else:
            fds.close(0)
        other = ByteQueue()
        other.put(b"new!")
        from hostsdk.wasi.fs.stdio import QueueFile

        assert box.state.open(QueueFile(other, write=False)) == 0
        queue.put(b"old!")
        assert returned(execution.run()) == (0 if renumber else EBADF)
        assert box.get(buf, 4) == (b"old!" if renumber else bytes(4))
        assert len(other) == 4


def test_renumbering() -> None:
    """BEHAVIOURS 51: onto itself is nothing; from or onto what is not open is EBADF, and nothing has changed."""
    out = bytearray()
    with Box(stdin=b"abc", stdout=out, stderr=bytearray()) as box:
        assert box.fd_renumber(1, 1) == 0
        assert box.write(1, b"x") == (0, 1)
        assert box.fd_renumber(9, 1) == EBADF
        assert box.fd_renumber(1, 9) == EBADF
        assert box.write(1, b"y") == (0, 1)
        assert box.fd_renumber(1, 0) == 0
        assert box.write(0, b"z") == (0, 1)
        assert box.write(1, b"!") == (EBADF, 0)
        assert out == b"xyz"
        assert box.fd_close(0) == 0
        assert box.fd_close(0) == EBADF


STREAMS: list[tuple[Callable[[], Any], bytes]] = [
    (lambda: b"bytes", b"bytes"), (lambda: bytearray(b"array"), b"array"), (lambda: io.BytesIO(b"object"), b"object"),
    (lambda: "null", b""),
]  # fmt: skip


@pytest.mark.parametrize(("given", "expected"), STREAMS, ids=["bytes", "bytearray", "file", "null"])
def test_what_can_be_read(given: Callable[[], Any], expected: bytes) -> None:
    """Standard input from bytes and from objects with `read`, to its end."""
    with Box(stdin=given()) as box:
        found = b""
        while part := box.read(0, 4)[1]:
            found += part
        assert found == expected


def test_a_producer_is_asked_again_while_it_has_nothing() -> None:
    """Standard input from a callable: None is "not yet", what is too much is kept, b"" is the end."""
    answers = iter([None, None, b"abcdef", b""])
    with Box(stdin=lambda size: next(answers), real_clock=True) as box:
        assert box.read(0, 4) == (0, b"abcd")
        assert box.read(0, 4) == (0, b"ef")
        assert box.read(0, 4) == (0, b"")
        assert box.read(0, 4) == (0, b"")


def test_what_can_be_written_to(tmp_path: Path) -> None:
    """Standard output to a bytearray, a callable, an object with `write`, a file, nothing."""
    array, parts, stream = bytearray(), list[bytes](), io.BytesIO()
    with open(tmp_path / "out", "wb") as file:
        for given in (array, parts.append, stream, file, "null"):
            with Box(stdout=given) as box:
                assert box.write(1, b"hello") == (0, 5)
    assert (bytes(array), parts, stream.getvalue()) == (b"hello", [b"hello"], b"hello")
    assert (tmp_path / "out").read_bytes() == b"hello"


def test_a_text_stream_without_a_descriptor_is_refused() -> None:
    """io.StringIO takes text, a guest writes bytes."""
    with pytest.raises(TypeError, match="text, not bytes"):
        Box(stdout=io.StringIO())


def test_a_regular_file_as_input_can_be_positioned(tmp_path: Path) -> None:
    """Standard input from a file: read, seek, tell, pread, as native programs can."""
    (tmp_path / "in").write_bytes(b"0123456789")
    with open(tmp_path / "in", "rb") as file, Box(stdin=file) as box:
        out = box.out()
        assert box.read(0, 3) == (0, b"012")
        assert box.fd_tell(0, out) == 0
        assert box.u64(out) == 3
        assert box.fd_seek(0, (1 << 64) - 2, 2, out) == 0
        assert box.read(0, 9) == (0, b"89")
        buf = box.room(4)
        assert box.fd_pread(0, box.iovecs((buf, 4)), 1, 2, out) == 0
        assert box.get(buf, 4) == b"2345"
        assert box.fd_pread(0, box.iovecs((buf, 4)), 1, 1 << 63, out) == EINVAL
        assert box.fd_seek(0, (1 << 64) - 1, 0, out) == EINVAL


def test_a_tty_says_so(terminal: tuple[int, int]) -> None:
    """A terminal is a character device that can't seek, by which C libraries know it; other streams aren't."""
    with Box(stdin=terminal[1], stdout=bytearray()) as box:
        out = box.room(24)
        assert box.fd_fdstat_get(0, out) == 0
        assert box.get(out, 1) == b"\2"
        assert not box.u64(out + 8) & (1 << 2 | 1 << 5)
        assert box.fd_fdstat_get(1, out) == 0
        assert box.get(out, 1) == b"\0"
        assert box.fd_fdstat_get(5, out) == EBADF


def test_a_terminal_takes_a_long_write(terminal: tuple[int, int]) -> None:
    """A write to a terminal is whole, too, however slowly somebody looks at it."""
    data = os.urandom(50_000)
    with Box(stdout=terminal[1]) as box:
        got = in_thread(lambda: drain(terminal[0], len(data)))
        assert box.write(1, data) == (0, len(data))
        assert got.result(60) == data


def test_streams_without_nowait_work_too(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system has no call that can't block, poll(2) is asked first, and no more is moved than fits."""
    monkeypatch.setattr("hostsdk.wasi.fs.stdio.NOWAIT", 0)
    data = os.urandom(200_000)
    with Box(stdin=pipe[0], stdout=pipe[1]) as box:
        assert box.fd_fdstat_set_flags(0, NONBLOCK) == 0
        assert box.read(0, 10) == (EAGAIN, b"")
        got = in_thread(lambda: drain(pipe[0], len(data)))
        assert box.write(1, data) == (0, len(data))
        assert got.result(60) == data
        os.write(pipe[1], b"abc")
        assert box.read(0, 10) == (0, b"abc")


def test_a_suspended_write_can_be_dropped(pipe: tuple[int, int]) -> None:
    """A write that blocks and is dropped leaves the instance usable, its descriptor open."""
    with Box(stdout=pipe[1]) as box:
        execution = box.start("fd_write", 1, box.iovecs((box.room(1 << 20), 1 << 20)), 1, box.out())
        blocked(execution)
        execution.drop()
        assert box.write(1, b"") == (0, 0)


def test_closed_standard_streams_are_null(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without a standard stream gives its guests an empty one."""
    from hostsdk.wasi.fs import stdio

    def closed(fd: int, **options: Any) -> None:
        raise OSError(9, "closed")

    monkeypatch.setattr(stdio, "Inherited", closed)
    with Box() as box:
        assert box.read(0, 1) == (0, b"")
        assert box.write(1, b"x") == (0, 1)
