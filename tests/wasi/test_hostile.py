"""A guest that wants out: paths, links, races, numbers. What lies outside of its directory is never read or changed."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hostsdk import WASI_ERRNO, Returned
from hostsdk.wasi import HostDirectory, MemoryTree
from tests.support.waits import in_thread
from tests.support.wasi import ALL, READ, Box, interrupted

SECRET = b"top secret " * 11
CREAT, DIRECTORY = 1, 2

#: Ways out, or what looks like one. `{outside}` is an absolute path of the host's.
WAYS = [
    "../secret", "../outside/secret", "..", "../", "../..", "dir/../../secret", "dir/sub/../../../secret",
    "./../secret", "dir/./../../secret", "//../secret", "/", "/etc/passwd", "{outside}/secret", "//{outside}/secret",
    "up/secret", "up", "up/", "updir/../secret", "upfile", "upfile/", "abs/secret", "abs", "absfile", "deep/secret",
    "deep/../secret", "chain/secret", "chain2", "dir/up/secret", "dir/sub/up2/secret", "dir/absfile", "half/secret",
    "half/../../secret", "dir/self/../../secret", "dir/..//..//secret", "dir/.../../../secret", "new/../../secret",
    "hop/hop/secret", "proc/secret", "root/{outside}/secret", "dot/../secret",
]  # fmt: skip


def open_read(box: Box, path: bytes) -> None:
    """Read it, if it opens."""
    errno, fd = box.open(path, rights=READ)
    if errno == 0:
        assert SECRET not in box.read(fd, 200)[1]


def open_write(box: Box, path: bytes) -> None:
    """Create it, cut it off, write to it."""
    for oflags in (0, CREAT, CREAT | 8, CREAT | 4):
        errno, fd = box.open(path, oflags)
        if errno == 0:
            box.write(fd, b"broken")


def open_directory(box: Box, path: bytes) -> None:
    """List it, and go on from there."""
    errno, fd = box.open(path, DIRECTORY, rights=ALL)
    if errno == 0:
        assert b"secret" not in box.names(fd)
        open_read(box, b"../secret")
        assert box.open(b"secret", fd=fd, rights=READ)[0] != 0


def stat(box: Box, path: bytes) -> None:
    """Ask about it."""
    for follow in (False, True):
        errno, found = box.stat(path, follow=follow)
        assert errno != 0 or found[4] != len(SECRET)


def set_times(box: Box, path: bytes) -> None:
    """Change its times."""
    for follow in (0, 1):
        box.path_filestat_set_times(3, follow, *box.text(path), 1, 1, 5)


def link_from(box: Box, path: bytes) -> None:
    """Give it a name inside."""
    for follow in (0, 1):
        if box.path_link(3, follow, *box.text(path), 3, *box.text("mine")) == 0:
            open_read(box, b"mine")
            box.path_unlink_file(3, *box.text("mine"))


def link_to(box: Box, path: bytes) -> None:
    """Put a name there."""
    box.path_link(3, 0, *box.text("file"), 3, *box.text(path + b"-new"))
    box.path_link(3, 0, *box.text("file"), 3, *box.text(path))


def rename_from(box: Box, path: bytes) -> None:
    """Move it inside."""
    if box.path_rename(3, *box.text(path), 3, *box.text("mine")) == 0:
        open_read(box, b"mine")
        box.path_rename(3, *box.text("mine"), 3, *box.text(path))


def rename_to(box: Box, path: bytes) -> None:
    """Move something there."""
    box.path_rename(3, *box.text("spare"), 3, *box.text(path + b"-new"))


def symlink(box: Box, path: bytes) -> None:
    """Make a link to it, and one at it."""
    if box.path_symlink(*box.text(path), 3, *box.text("mine")) == 0:
        for how in (open_read, open_write, stat):
            how(box, b"mine")
        box.path_unlink_file(3, *box.text("mine"))
    box.path_symlink(*box.text("file"), 3, *box.text(path + b"-new"))


def make_and_remove(box: Box, path: bytes) -> None:
    """Make a directory there, remove what is there."""
    box.path_create_directory(3, *box.text(path + b"-new"))
    box.path_remove_directory(3, *box.text(b"dir/" + path))
    box.path_unlink_file(3, *box.text(b"dir/" + path))


def readlink(box: Box, path: bytes) -> None:
    """Ask where it points."""
    room, out = box.room(100), box.out()
    if box.path_readlink(3, *box.text(path), room, 100, out) == 0:
        assert SECRET not in box.get(room, 100)


ATTEMPTS: list[Callable[[Box, bytes], None]] = [
    open_read, open_write, open_directory, stat, set_times, link_from, link_to, rename_from, rename_to, symlink,
    make_and_remove, readlink,
]  # fmt: skip


def world(place: Path) -> None:
    """A directory to be kept in, and what lies outside."""
    (place / "outside").mkdir()
    (place / "secret").write_bytes(SECRET)
    (place / "outside" / "secret").write_bytes(SECRET)
    root = place / "root"
    (root / "dir" / "sub").mkdir(parents=True)
    (root / "file").write_bytes(b"mine!")
    (root / "spare").write_bytes(b"spare")
    links = {
        "up": "..", "updir": "../outside", "upfile": "../secret", "abs": str(place), "absfile": f"{place}/secret",
        "deep": "dir/../../outside", "chain": "chain1", "chain1": "up", "chain2": "chain/secret", "dir/up": "../..",
        "dir/sub/up2": "../../../outside", "dir/absfile": "/etc/passwd", "half": "dir/sub/../../..", "dir/self": "..",
        "hop": "dir/self/..", "proc": "/proc/self/cwd", "root": "/", "dot": "./.",
    }  # fmt: skip
    for name, target in links.items():
        (root / name).symlink_to(target)


def look(place: Path) -> list[tuple[str, int, int, bytes]]:
    """Everything outside of the root, with times."""
    found = []
    for part in (place, place / "outside"):
        for path in sorted(part.iterdir()):
            if path.name not in ("root", "outside"):
                known = path.lstat()
                found.append((str(path), known.st_mtime_ns, known.st_nlink, path.read_bytes()))
    return found


def test_there_are_enough_ways() -> None:
    """At least 200 attempts: each way by each function."""
    assert len(ATTEMPTS) * len(WAYS) >= 200


@pytest.mark.parametrize("attempt", ATTEMPTS, ids=lambda attempt: attempt.__name__)
def test_no_path_leads_out(attempt: Callable[[Box, bytes], None], tmp_path: Path) -> None:
    """Every way out, by one function: nothing outside is read, changed, created or removed."""
    world(tmp_path)
    before = look(tmp_path)
    with Box(preopens={"/": tmp_path / "root"}) as box:
        for way in WAYS:
            attempt(box, way.format(outside=tmp_path).encode())
        assert look(tmp_path) == before
        for sub in (b"dir", b"dir/sub"):
            errno, fd = box.open(sub, DIRECTORY, rights=ALL)
            assert errno == 0
            assert box.open(b"..", DIRECTORY, fd=fd)[0] == WASI_ERRNO["EPERM"]
            assert box.open(b"../file", fd=fd)[0] == WASI_ERRNO["EPERM"]


@pytest.mark.parametrize(
    "path",
    ["root/etc/passwd", "cwd/README.md", "exe", "fd/0", "fd/0/x", "task/../root", "self/root/etc", "ns/mnt", "root",
     "fd/../root/etc/passwd", "cwd"],
)  # fmt: skip
def test_magic_links_are_not_followed(path: str) -> None:
    """With /proc/self as its root, a guest can't follow the kernel's links to open files and other roots."""
    with Box(preopens={"/": "/proc/self"}) as box:
        assert box.open(path, rights=READ)[0] != 0


@pytest.fixture
def swapping(tmp_path: Path) -> Iterator[Path]:
    """A world in which a directory turns into a link to the outside and back, as fast as that goes."""
    world(tmp_path)
    root, stop = tmp_path / "root", threading.Event()
    (root / "real").mkdir()
    (root / "real" / "secret").write_bytes(b"harmless")
    (root / "trap").symlink_to("../outside")
    (root / "name").mkdir()

    def swap() -> None:
        names = [str(root / name) for name in ("real", "trap", "x")]
        while not stop.is_set():
            for a, b in ((0, 2), (1, 0), (2, 1)):
                os.rename(names[a], names[b])

    thread = threading.Thread(target=swap)
    thread.start()
    yield root
    stop.set()
    thread.join()


def test_swapping_links_does_not_help(swapping: Path) -> None:
    """A directory that is replaced by a link during the resolution never leads out."""
    with Box(preopens={"/": swapping}) as box:
        for _ in range(300):
            box._at, box._asked = 64, []
            errno, fd = box.open("real/secret", rights=READ)
            if errno == 0:
                assert box.read(fd, 100) == (0, b"harmless")
                assert box.fd_close(fd) == 0
            assert box.open("real/created", CREAT)[0] != -1
            errno, found = box.stat("real/../file")
            assert errno != 0 or found[4] == 5
    names = {path.name for path in (swapping.parent / "outside").iterdir()}
    assert names == {"secret"}


class Swapped(HostDirectory):
    """A directory in which somebody takes one step of a swap before each use: `real` is a directory, nothing, or a
    link to the outside."""

    steps = (("real", "x"), ("trap", "real"), ("x", "trap"))
    taken = 0

    def step(self) -> None:
        """The next step."""
        old, new = self.steps[self.taken % 3]
        Swapped.taken += 1
        os.rename(old, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)

    def walk(self, name: bytes) -> HostDirectory:
        """After a step."""
        self.step()
        return super().walk(name)

    def readlink(self, name: bytes) -> bytes:
        """After a step."""
        self.step()
        return super().readlink(name)


def test_each_moment_of_a_swap_is_harmless(tmp_path: Path) -> None:
    """The same with the steps of the swap between the steps of the resolution, in each phase: it ends inside, or not at
    all."""
    world(tmp_path)
    root = tmp_path / "root"
    (root / "real").mkdir()
    (root / "real" / "secret").write_bytes(b"harmless")
    (root / "trap").symlink_to("../outside")
    outcomes = set()
    Swapped.taken = 0
    with Box(preopens={"/": Swapped.at(root)}) as box:
        for phase in range(12):
            if phase % 4 == 3:  # calls take several steps each: one more shifts the phase
                box.state.fds.get(3).file.step()  # type: ignore[attr-defined]  # it is Swapped
            errno, fd = box.open("real/secret", rights=READ)
            outcomes.add(errno)
            assert errno or box.read(fd, 100) == (0, b"harmless")
            outcomes.add(box.open("real/created", CREAT)[0])
    assert os.listdir(tmp_path / "outside") == ["secret"]
    # ENOTDIR: a link when it was to be entered, a directory when it was to be read.
    assert outcomes == {0, *(WASI_ERRNO[name] for name in ("ENOENT", "ENOTDIR", "EPERM"))}


def test_moving_a_directory_away_does_not_help(tmp_path: Path) -> None:
    """A directory that somebody moves out while the guest walks in it: `..` goes back to where it came from."""
    world(tmp_path)
    root, stop = tmp_path / "root", threading.Event()
    (root / "a" / "b").mkdir(parents=True)

    def move() -> None:
        here, there = str(root / "a"), str(tmp_path / "outside" / "a")
        while not stop.is_set():
            os.rename(here, there)
            os.rename(there, here)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        with Box(preopens={"/": root}) as box:
            for _ in range(300):
                box._at, box._asked = 64, []
                errno, fd = box.open("a/b/../../secret", rights=READ)
                assert errno != 0, box.read(fd, 10)
                errno, found = box.stat("a/b/../../file")
                assert errno != 0 or found[4] == 5
    finally:
        stop.set()
        thread.join()


def test_hard_links_give_no_more(tmp_path: Path) -> None:
    """A hard link is made of what the guest can reach, and needs a name inside on both ends."""
    world(tmp_path)
    with Box(preopens={"/": tmp_path / "root", "/m": MemoryTree({}).root}) as box:
        assert box.path_link(3, 1, *box.text("upfile"), 3, *box.text("x")) == WASI_ERRNO["EPERM"]
        assert box.path_link(3, 0, *box.text("upfile"), 3, *box.text("x")) == 0  # the link itself
        assert box.open("x", rights=READ)[0] == WASI_ERRNO["EPERM"]


def test_devices_and_fifos_are_handled(tmp_path: Path) -> None:
    """A FIFO that is to be read opens at once, and is not at its end while nobody writes; sockets don't open."""
    os.mkfifo(tmp_path / "fifo")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "sock"))
        with Box(preopens={"/": tmp_path, "/dev": "/dev"}) as box:
            assert box.open("sock")[0] == WASI_ERRNO["ENXIO"]
            errno, fd = box.open("fifo", rights=READ, flags=4)
            assert errno == 0
            assert box.read(fd, 10) == (WASI_ERRNO["EAGAIN"], b"")
            with open(tmp_path / "fifo", "wb", buffering=0) as writer:
                writer.write(b"abc")
                assert box.read(fd, 10) == (0, b"abc")
            assert box.read(fd, 10) == (0, b"")
            errno, zero = box.open("zero", fd=4, rights=READ)
            assert errno == 0
            assert box.read(zero, 4) == (0, bytes(4))


def test_a_fifo_waits_for_its_reader(tmp_path: Path) -> None:
    """BEHAVIOURS 54: opened to be written to, it blocks, can be interrupted, and goes on when a reader comes."""
    os.mkfifo(tmp_path / "fifo")
    with Box(preopens={"/": tmp_path}, real_clock=True) as box:
        assert box.open("fifo", rights=1 << 6, flags=4)[0] == WASI_ERRNO["ENXIO"]
        execution = box.start("path_open", 3, 0, *box.text("fifo"), 0, 1 << 6, 0, 0, box.out())
        for _ in range(3):
            interrupted(execution)
        found = in_thread(execution.run)
        reader = os.open(tmp_path / "fifo", os.O_RDONLY)
        try:
            assert found.result(60) == Returned((0,))
            assert box.write(4, b"abc") == (0, 3)
            assert os.read(reader, 10) == b"abc"
        finally:
            os.close(reader)
