"""Errors of the host's: real ones where they can be brought about, the others by files that raise them.

What a call gives is the number that WASI has for the error, and nothing has happened that the guest wasn't told of.
"""

from __future__ import annotations

import errno
import os
import pty
import resource
import signal
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostsdk import WASI_ERRNO
from hostsdk.wasi import Directory, File, HostDirectory, Listener, Opening, Socket
from hostsdk.wasi.errno import ERRORS
from tests.support.wasi import ALL, READ, Box, fd_sub, poll
from tests.support.wasi_calls import CALLS, OF_DESCRIPTORS, Stage

E = {name[1:]: number for name, number in WASI_ERRNO.items()}
#: Numbers that the host and WASI both have a name for.
SHARED = {getattr(errno, name): number for name, number in WASI_ERRNO.items() if number and hasattr(errno, name)}


class Ill:
    """What a file does is an error."""

    number = errno.EIO

    def fail(self, *_: Any, **__: Any) -> Any:
        """Always."""
        raise OSError(self.number, "ill")


def ill(file: File, number: int) -> File:
    """A file of the same kind that can do nothing but fail, by the protocol that any embedder may implement."""
    kind: type[File] = next((cls for cls in (Directory, Socket, Listener) if isinstance(file, cls)), File)
    doing = {name for name in dir(kind) if name[0] != "_"} - {"no_seek", "save", "load", "sources"}
    rest = {"number": number, "type": file.type, "rights": file.rights}
    own: dict[str, Any] = dict.fromkeys(doing, Ill.fail)
    made: File = type("Ill" + kind.__name__, (kind, Ill), {**own, **rest})()
    return made


#: Functions that ask nothing of a file.
IDLE = {"fd_fdstat_get", "fd_fdstat_set_rights", "fd_prestat_get", "fd_prestat_dir_name"}
#: What any disk, network or system may answer.
ANY = ("EIO", "ENOMEM")
OPENING = ("ENFILE", "EMFILE", "EACCES")
WRITING = ("ENOSPC", "EDQUOT")
NETWORK = ("ECONNRESET", "ENOBUFS", "ETIMEDOUT")
WRITERS = {
    "fd_write", "fd_pwrite", "fd_allocate", "fd_filestat_set_size", "fd_sync", "fd_datasync", "path_create_directory",
    "path_link", "path_rename", "path_symlink", "path_open",
}  # fmt: skip


def illnesses(name: str) -> tuple[str, ...]:
    """What is tried with a function."""
    found: tuple[str, ...] = ANY
    found += OPENING if name.startswith("path_") or name == "sock_accept" else ()
    found += WRITING if name in WRITERS else ()
    found += NETWORK if name.startswith("sock_") else ()
    return found


@pytest.mark.parametrize("name", [name for name in (*OF_DESCRIPTORS, "path_symlink") if name not in IDLE])
def test_every_function_hands_an_error_on(name: str) -> None:
    """Each function that asks something of a file: the file's error is the guest's, and memory is as it was."""
    for illness in illnesses(name):
        stage = Stage(real_clock=True)
        with stage.box as box:
            given = [descriptor for _, descriptor in box.state.fds.items()]
            for descriptor in given:
                descriptor.file, descriptor.owned = ill(descriptor.file, getattr(errno, illness)), True
            args = CALLS[name](box)
            before = box.get(0, box.size)
            assert box.call(name, *args) == WASI_ERRNO[illness]
            assert box.get(0, box.size) == before
            for descriptor in given:
                descriptor.owned = False


def test_every_number_is_translated() -> None:
    """Each number that the host and WASI share is WASI's; but EINTR, which is nobody's business, and numbers that WASI
    has no name for, which are EIO."""
    assert len(SHARED) > 70
    for number, known in {**SHARED, errno.EINTR: E["AGAIN"], 123456: E["IO"]}.items():
        assert ERRORS.number(OSError(number, "")) == known, errno.errorcode.get(number)
    with Box() as box:
        for number, known in ((errno.EINTR, E["AGAIN"]), (123456, E["IO"])):
            fd = box.state.open(ill(File(), number))
            box.state.fds.get(fd).rights, box.state.fds.get(fd).owned = ALL, False
            assert box.fd_filestat_set_size(fd, 0) == known


def test_a_signal_in_a_read_is_not_seen() -> None:
    """BEHAVIOURS 49: a file of the embedder's that gives up for a signal is asked again."""

    class Shaken(File):
        calls = 0

        def read(self, size: int) -> bytes:
            self.calls += 1
            if self.calls < 3:
                raise InterruptedError
            return b"abc"

    with Box(stdin=Shaken(), real_clock=True) as box:
        assert box.read(0, 10) == (0, b"abc")


def test_an_ill_descriptor_in_a_poll_is_an_event() -> None:
    """poll_oneoff: the error of one descriptor is its event, not the call's."""
    with Box(stdin=ill(File(), errno.EIO)) as box:
        assert poll(box, fd_sub(7, 0)) == (0, [(7, E["IO"], 1, 0, 0)])
        box.state.fds.get(0).owned = False


# Real ones ---------------------------------------------------------------------------------------------------------


@contextmanager
def limited(kind: int, soft: int) -> Iterator[None]:
    """A limit of this process, for a moment."""
    old = resource.getrlimit(kind)
    resource.setrlimit(kind, (soft, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, old)


def test_a_terminal_that_hung_up() -> None:
    """EIO: a terminal whose other side is gone, read and written, really."""
    person, terminal = pty.openpty()
    with Box(stdin=person, stdout=terminal, stderr=person) as box:
        os.close(terminal)
        assert box.read(0, 1)[0] == E["IO"]
    person, terminal = pty.openpty()
    with Box(stdout=terminal) as box:
        os.close(person)
        assert box.write(1, b"x") == (E["IO"], 0)
    os.close(terminal)


def test_a_process_out_of_descriptors(tmp_path: Path) -> None:
    """EMFILE of the host's own limit: nothing is opened, and what is open works on; then all is well again."""
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_bytes(b"abc")
    with Box(preopens={"/": tmp_path}) as box:
        assert box.open("f") == (0, 4)
        with limited(resource.RLIMIT_NOFILE, 3):
            assert box.open("f")[0] == E["MFILE"]
            assert box.open("d/x", 1)[0] == E["MFILE"]
            assert box.stat("d/x")[0] == E["MFILE"]
            assert box.path_create_directory(3, *box.text("d/new")) == E["MFILE"]
            assert box.read(4, 10) == (0, b"abc")
        assert box.open("f") == (0, 5)
        assert os.listdir(tmp_path / "d") == []


def test_a_file_that_may_not_grow(tmp_path: Path) -> None:
    """EFBIG of the host's own limit: what fits is written and counted, and no signal ends the process."""
    assert signal.getsignal(signal.SIGXFSZ) is not signal.SIG_DFL
    with Box(preopens={"/": tmp_path}) as box, limited(resource.RLIMIT_FSIZE, 10):
        assert box.open("f", 1) == (0, 4)
        assert box.write(4, b"x" * 20) == (0, 10)
        assert box.write(4, b"x") == (E["FBIG"], 0)
        assert box.fd_allocate(4, 0, 100) == E["FBIG"]
        assert box.fd_filestat_set_size(4, 100) == E["FBIG"]
        out, data = box.out(), box.iovecs((box.put(b"abc"), 3))
        assert box.fd_pwrite(4, data, 1, 30, out) == E["FBIG"]
        assert (tmp_path / "f").read_bytes() == b"x" * 10


def test_a_full_device() -> None:
    """ENOSPC: what is written to a device without room."""
    with Box(preopens={"/dev": "/dev"}) as box:
        errno, fd = box.open("full", rights=ALL)
        assert errno == 0
        assert box.write(fd, b"x") == (E["NOSPC"], 0)


def nodes() -> dict[str, tuple[int, int]]:
    """Kinds of files, with a device that no machine has."""
    return {"block": (stat.S_IFBLK, os.makedev(7, 1 << 19)), "char": (stat.S_IFCHR, os.makedev(1, 5))}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
@pytest.mark.parametrize("follow", [True, False])
def test_devices_are_what_they_are(follow: bool, tmp_path: Path) -> None:
    """A block device is refused before it is opened, however it is asked for, and can be looked at, renamed and
    removed; a character device reads."""
    for name, (kind, number) in nodes().items():
        try:
            os.mknod(tmp_path / name, 0o600 | kind, number)
        except PermissionError:
            pytest.skip("devices can't be made here")
    (tmp_path / "link").symlink_to("block")
    with Box(preopens={"/": tmp_path}) as box:
        for rights in (READ, 1 << 6, ALL):
            for oflags in (0, 1, 8):
                assert box.open("block", oflags, rights=rights, follow=follow)[0] == E["ACCES"]
        assert box.open("link", follow=follow)[0] == E["ACCES" if follow else "LOOP"]
        assert box.open("block", 2)[0] == E["NOTDIR"]
        assert (box.stat("block")[1][2], box.stat("char")[1][2]) == (1, 2)
        assert box.open("char", rights=READ, follow=follow) == (0, 4)
        assert box.read(4, 4) == (0, bytes(4))
        assert sorted(box.names(3)) == [b".", b"..", b"block", b"char", b"link"]
        assert box.path_rename(3, *box.text("block"), 3, *box.text("other")) == 0
        assert box.path_unlink_file(3, *box.text("other")) == 0


def test_a_device_that_is_put_there_in_the_middle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at a name and its opening it may come to name a device: that is seen afterwards, and closed."""
    real: Callable[[int], os.stat_result] = os.fstat
    opened: list[int] = []

    def fstat(fd: int) -> os.stat_result:
        opened.append(fd)
        found = list(real(fd))
        found[0] = stat.S_IFBLK | 0o600
        return os.stat_result(found)

    (tmp_path / "f").write_bytes(b"")
    directory = HostDirectory.at(tmp_path)
    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(PermissionError):
        directory.open(b"f", Opening())
    monkeypatch.undo()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(opened[0])
    directory.close()
