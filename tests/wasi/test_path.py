"""path_*, fd_readdir, fd_filestat_*: files of the host and in memory behave alike."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hostsdk import WASI_ERRNO, Trap
from hostsdk.wasi import Link, MemoryTree, Preopen
from tests.support.wasi import ALL, READ, Box

E = {name[1:]: number for name, number in WASI_ERRNO.items()}
CREAT, DIRECTORY, EXCL, TRUNC = 1, 2, 4, 8
APPEND = 1
DIR, FILE, LINK = 3, 4, 7

CONTENT: dict[str, Any] = {
    "file": b"hello", "dir": {"inner": b"deep", "sub": {}}, "link": Link("file"), "dirlink": Link("dir"),
    "loop": Link("loop"), "up": Link("../outside"), "abs": Link("/file"), "dangling": Link("nothing"),
    "empty": {}, "back": Link("dir/../file"),
}  # fmt: skip


def fill(place: Path, content: dict[str, Any]) -> None:
    """Make the tree on the host."""
    for name, part in content.items():
        if isinstance(part, dict):
            (place / name).mkdir()
            fill(place / name, part)
        elif isinstance(part, Link):
            (place / name).symlink_to(part.target)
        else:
            (place / name).write_bytes(part)


@pytest.fixture(params=["host", "memory"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """The same tree, on the host and in memory."""
    if request.param == "memory":
        return MemoryTree(CONTENT).root
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "root").mkdir()
    fill(tmp_path / "root", CONTENT)
    return tmp_path / "root"


@pytest.fixture
def box(source: Any) -> Iterator[Box]:
    """A guest with the tree as its root."""
    with Box(preopens={"/": source}, stdin=b"", stdout=bytearray()) as made:
        yield made
        assert made.untouched()


def opened(box: Box, path: str, oflags: int = 0, **options: Any) -> int:
    """The descriptor."""
    errno, fd = box.open(path, oflags, **options)
    assert errno == 0
    return fd


def content(box: Box, path: str) -> bytes:
    """What a file holds."""
    fd = opened(box, path, rights=READ)
    data = box.read(fd, 1000)[1]
    assert box.fd_close(fd) == 0
    return data


def test_preopens_are_told(box: Box) -> None:
    """fd_prestat_get and fd_prestat_dir_name: the name from 3 on, then EBADF; room that is too small."""
    out, name = box.out(), box.room(4)
    assert box.fd_prestat_get(3, out) == 0
    assert box.get(out, 8) == b"\0\0\0\0\1\0\0\0"
    assert box.fd_prestat_dir_name(3, name, 1) == 0
    assert box.get(name, 1) == b"/"
    assert box.fd_prestat_dir_name(3, name, 0) == E["NAMETOOLONG"]
    assert box.fd_prestat_get(4, out) == E["BADF"]
    assert box.fd_prestat_get(0, out) == E["BADF"]


def test_a_file_is_created_written_and_read(box: Box) -> None:
    """path_open creates; what is written is there; offsets, pread and pwrite, seek and tell."""
    fd = opened(box, "new", CREAT)
    assert box.write(fd, b"0123456789") == (0, 10)
    out, buf = box.out(), box.put(b"ab")
    assert box.fd_seek(fd, 2, 0, out) == 0
    assert box.u64(out) == 2
    assert box.fd_pwrite(fd, box.iovecs((buf, 2)), 1, 4, out) == 0
    assert box.fd_tell(fd, out) == 0
    assert box.u64(out) == 2
    assert box.read(fd, 100) == (0, b"23ab6789")
    room = box.room(3)
    assert box.fd_pread(fd, box.iovecs((room, 3)), 1, 8, out) == 0
    assert (box.u32(out), box.get(room, 2)) == (2, b"89")
    assert box.fd_seek(fd, (1 << 64) - 11, 2, out) == E["INVAL"]
    assert box.fd_pread(fd, box.iovecs((room, 3)), 1, 1 << 40, out) == 0
    assert box.u32(out) == 0


OPEN_ERRORS = [
    ("nothing", 0, "NOENT"), ("", 0, "NOENT"), ("file/x", 0, "NOTDIR"), ("file", DIRECTORY, "NOTDIR"),
    ("file", CREAT | EXCL, "EXIST"), ("link", CREAT | EXCL, "EXIST"), ("loop", 0, "LOOP"), ("loop/x", 0, "LOOP"),
    ("..", 0, "PERM"), ("dir/../..", 0, "PERM"), ("/file", 0, "PERM"), ("up", 0, "PERM"), ("abs", 0, "PERM"),
    ("dangling", 0, "NOENT"), ("file/", 0, "NOTDIR"), ("new/", CREAT, "ISDIR"), ("dir", CREAT | DIRECTORY, "INVAL"),
    ("x" * 300, 0, "NAMETOOLONG"), ("x/" * 3000, 0, "NAMETOOLONG"), ("a\0b", 0, "INVAL"), ("nothing/x", CREAT, "NOENT"),
    ("file", 1 << 7, "INVAL"), ("dir", 0, "ISDIR"), ("dir", CREAT, "ISDIR"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "oflags", "error"), OPEN_ERRORS)
def test_what_cannot_be_opened(box: Box, path: str, oflags: int, error: str) -> None:
    """path_open: each error that POSIX knows; EPERM for a way out."""
    assert box.open(path, oflags)[0] == E[error]


def test_opening_from_what_is_no_directory(box: Box) -> None:
    """path_open: EBADF for no descriptor, ENOTDIR for a file, ENOTCAPABLE without the right; unknown flags."""
    assert box.open("file", fd=99)[0] == E["BADF"]
    assert box.open("file", fd=opened(box, "file", rights=READ))[0] == E["NOTDIR"]
    assert box.open("file", fd=0)[0] == E["NOTDIR"]
    assert box.open("file", flags=1 << 9)[0] == E["INVAL"]
    sub = opened(box, "dir", DIRECTORY, inheriting=READ)
    assert box.open("inner", fd=sub)[0] == E["NOTCAPABLE"]
    assert box.open("inner", fd=sub, rights=READ)[0] == 0
    weak = opened(box, "dir", DIRECTORY, rights=READ)
    assert box.open("inner", fd=weak)[0] == E["NOTCAPABLE"]


def test_links_are_followed_beneath(box: Box) -> None:
    """Symbolic links lead where they may, in the middle, at the end, and back; not followed, they are ELOOP."""
    for path, expected in (("link", b"hello"), ("dirlink/inner", b"deep"), ("back", b"hello"), ("dir//inner", b"deep"),
                           ("dir/../file", b"hello"), ("./dir/./sub/../inner", b"deep")):  # fmt: skip
        assert content(box, path) == expected
    assert box.open("link", rights=READ, follow=False)[0] == E["LOOP"]
    assert box.open("dirlink/", DIRECTORY, follow=False)[0] == 0
    fd = opened(box, "dangling", CREAT)
    assert box.write(fd, b"made") == (0, 4)
    assert content(box, "nothing") == b"made"


def test_opening_does_what_the_flags_say(box: Box) -> None:
    """TRUNC cuts off, APPEND appends, whatever the offset; reading alone doesn't write."""
    fd = opened(box, "file", TRUNC)
    assert box.fstat(fd)[1][4] == 0
    assert box.write(fd, b"one") == (0, 3)
    more = opened(box, "file", flags=APPEND)
    assert box.write(more, b"two") == (0, 3)
    assert box.write(fd, b"3") == (0, 1)
    assert content(box, "file") == b"one3wo"
    assert box.fd_fdstat_set_flags(more, 0) == 0
    out = box.out()
    assert box.fd_seek(more, 0, 0, out) == 0
    assert box.write(more, b"O") == (0, 1)
    assert content(box, "file") == b"One3wo"
    assert box.fd_fdstat_set_flags(more, 2) == E["NOTSUP"]
    reader = opened(box, "file", rights=READ)
    assert box.write(reader, b"x") == (E["BADF"], 0)
    writer = opened(box, "file", rights=1 << 6)
    assert box.read(writer, 1) == (E["BADF"], b"")


def test_directories_are_no_files(box: Box) -> None:
    """What is done with bytes is EBADF on a directory."""
    fd = opened(box, "dir", DIRECTORY)
    out, vec = box.out(), box.iovecs((box.room(4), 4))
    assert box.read(fd, 4)[0] == E["BADF"]
    assert box.write(fd, b"x")[0] == E["BADF"]
    assert box.fd_seek(fd, 0, 0, out) == E["BADF"]
    assert box.fd_tell(fd, out) == E["BADF"]
    assert box.fd_pread(fd, vec, 1, 0, out) == E["BADF"]
    assert box.fd_pwrite(fd, vec, 1, 0, out) == E["BADF"]
    assert box.fd_allocate(fd, 0, 1) == E["BADF"]
    assert box.fd_filestat_set_size(fd, 0) == E["BADF"]
    assert box.fd_datasync(fd) == E["BADF"]
    assert box.fd_sync(fd) == 0


def test_directories_come_and_go(box: Box) -> None:
    """path_create_directory and path_remove_directory, with each error."""
    assert box.path_create_directory(3, *box.text("made")) == 0
    assert box.path_create_directory(3, *box.text("made/below/")) == 0
    for path, error in (("made", "EXIST"), (".", "EXIST"), ("file", "EXIST"), ("x/y", "NOENT"), ("file/x", "NOTDIR"),
                        ("../x", "PERM"), ("", "NOENT")):  # fmt: skip
        assert box.path_create_directory(3, *box.text(path)) == E[error]
    for path, error in (("made", "NOTEMPTY"), ("file", "NOTDIR"), ("link", "NOTDIR"), ("nothing", "NOENT"),
                        (".", "INVAL"), ("..", "PERM"), ("made/below/.", "INVAL")):  # fmt: skip
        assert box.path_remove_directory(3, *box.text(path)) == E[error], path
    assert box.path_remove_directory(3, *box.text("made/below/")) == 0
    assert box.path_remove_directory(3, *box.text("made")) == 0
    assert box.stat("made")[0] == E["NOENT"]


def test_unlinking(box: Box) -> None:
    """path_unlink_file: files and links, not what they point to, and no directories; what is open stays."""
    fd = opened(box, "file")
    for path in ("link", "file"):
        assert box.path_unlink_file(3, *box.text(path)) == 0
    assert box.read(fd, 10) == (0, b"hello")
    for path, error in (("file", "NOENT"), ("dir", "ISDIR"), ("dir/", "ISDIR"), (".", "ISDIR"), ("dangling/", "NOENT")):
        assert box.path_unlink_file(3, *box.text(path)) in (E[error], E["PERM"]), path
    assert box.fstat(fd)[1][3] == 0


def test_renaming(box: Box) -> None:
    """path_rename: files and directories, over what may be replaced; each error."""
    assert box.path_rename(3, *box.text("file"), 3, *box.text("dir/inner")) == 0
    assert content(box, "dir/inner") == b"hello"
    assert box.path_rename(3, *box.text("dir"), 3, *box.text("empty")) == 0
    assert content(box, "empty/inner") == b"hello"
    assert box.path_rename(3, *box.text("empty/"), 3, *box.text("dir/")) == 0
    for old, new, error in (
        ("nothing", "x", "NOENT"), ("dir", "dir/sub/x", "INVAL"), (".", "x", "BUSY"), ("dir", "..", "PERM"),
        ("link", "dir", "ISDIR"), ("dir", "link", "NOTDIR"), ("link", "x/", "NOTDIR"), ("link/", "x", "NOTDIR"),
        ("link", "nowhere/x", "NOENT"),
    ):  # fmt: skip
        assert box.path_rename(3, *box.text(old), 3, *box.text(new)) in (E[error], E["NOENT"]), (old, new)
    assert box.path_rename(3, *box.text("link"), 3, *box.text("link")) == 0


def test_second_names(box: Box) -> None:
    """path_link: the same file under another name; what can't be linked."""
    assert box.path_link(3, 0, *box.text("file"), 3, *box.text("again")) == 0
    assert box.stat("again")[1][1:4] == box.stat("file")[1][1:4]
    assert box.stat("file")[1][3] == 2
    assert box.path_link(3, 1, *box.text("link"), 3, *box.text("third")) == 0
    assert box.stat("third")[1][2] == FILE
    assert box.path_link(3, 0, *box.text("link"), 3, *box.text("fourth")) == 0
    assert box.stat("fourth")[1][2] == LINK
    for old, new, error in (("dir", "x", "PERM"), ("file", "link", "EXIST"), ("nothing", "x", "NOENT"),
                            (".", "x", "PERM"), ("file", "x/", "NOENT"), ("file/", "x", "NOTDIR"),
                            ("../outside", "x", "PERM"), ("file", "../x", "PERM")):  # fmt: skip
        assert box.path_link(3, 0, *box.text(old), 3, *box.text(new)) == E[error], (old, new)
    assert box.path_link(3, 2, *box.text("file"), 3, *box.text("x")) == E["INVAL"]


def test_symbolic_links(box: Box) -> None:
    """path_symlink and path_readlink; absolute targets are refused."""
    assert box.path_symlink(*box.text("dir/inner"), 3, *box.text("made")) == 0
    assert content(box, "made") == b"deep"
    room, out = box.room(20), box.out()
    assert box.path_readlink(3, *box.text("made"), room, 20, out) == 0
    assert box.get(room, box.u32(out)) == b"dir/inner"
    assert box.path_readlink(3, *box.text("made"), room, 3, out) == 0
    assert box.u32(out) == 3
    assert box.path_readlink(3, *box.text("file"), room, 20, out) == E["INVAL"]
    assert box.path_readlink(3, *box.text("none"), room, 20, out) == E["NOENT"]
    for target, path, error in (("/etc/passwd", "x", "PERM"), ("", "x", "NOENT"), ("a", "file", "EXIST"),
                                ("a", "x/", "NOENT"), ("a\0", "x", "INVAL"), ("a", "..", "PERM")):  # fmt: skip
        assert box.path_symlink(*box.text(target), 3, *box.text(path)) == E[error], path


def test_what_is_known_of_files(box: Box) -> None:
    """path_filestat_get and fd_filestat_get agree; links are followed when asked for; times can be set."""
    assert box.stat("file")[1][2:5] == (FILE, 1, 5)
    assert box.stat("dir")[1][2] == DIR
    assert box.stat("link")[1][2] == LINK
    assert box.stat("link", follow=True)[1] == box.stat("file")[1]
    assert box.stat("file/")[0] == E["NOTDIR"]
    assert box.stat("dirlink/")[1][2] == DIR
    fd = opened(box, "file")
    assert box.fstat(fd)[1] == box.stat("file")[1]
    assert box.fd_filestat_set_times(fd, 5_000_000_000, 7_000_000_001, 1 | 4) == 0
    assert box.fstat(fd)[1][5:7] == (5_000_000_000, 7_000_000_001)
    assert box.path_filestat_set_times(3, 0, *box.text("file"), 0, 9_000_000_000, 4) == 0
    assert box.stat("file")[1][5:7] == (5_000_000_000, 9_000_000_000)
    assert box.path_filestat_set_times(3, 0, *box.text("file"), 0, 0, 2 | 8) == 0
    assert box.stat("file")[1][5:7] == (1_700_000_000_000_000_000,) * 2
    for which in (3, 12, 16):
        assert box.fd_filestat_set_times(fd, 0, 0, which) == E["INVAL"]
    assert box.fd_filestat_set_times(fd, 1 << 63, 0, 1) == E["INVAL"]
    assert box.path_filestat_set_times(3, 1, *box.text("nothing"), 0, 0, 1) == E["NOENT"]
    assert box.fd_filestat_get(99, box.room(64)) == E["BADF"]


def test_sizes(box: Box) -> None:
    """fd_filestat_set_size and fd_allocate: shorter, longer with zeros, and what can't be."""
    fd = opened(box, "file")
    assert box.fd_filestat_set_size(fd, 2) == 0
    assert content(box, "file") == b"he"
    assert box.fd_filestat_set_size(fd, 4) == 0
    assert content(box, "file") == b"he\0\0"
    assert box.fd_allocate(fd, 3, 3) == 0
    assert content(box, "file") == b"he\0\0\0\0"
    assert box.fd_allocate(fd, 0, 2) == 0
    assert box.fstat(fd)[1][4] == 6
    assert box.fd_allocate(fd, 0, 0) == E["INVAL"]
    assert box.fd_filestat_set_size(fd, (1 << 64) - 1) == E["FBIG"]
    assert box.fd_advise(fd, 0, 10, 0) == 0
    assert box.fd_advise(fd, 0, 10, 6) == E["INVAL"]
    assert box.fd_sync(fd) == 0
    assert box.fd_datasync(fd) == 0
    reader = opened(box, "file", rights=READ)
    assert box.fd_allocate(reader, 0, 1) == E["BADF"]


@pytest.mark.parametrize("room", [33, 40, 64, 4096])
def test_names_are_told_once(box: Box, room: int) -> None:
    """fd_readdir: every name once, `.` and `..` too, however small the buffer."""
    names = box.names(room=room)
    assert sorted(names) == sorted([b".", b"..", *(name.encode() for name in CONTENT)])


def test_a_directory_that_changes_is_read_steadily(box: Box) -> None:
    """fd_readdir: cookies stay good while names come and go; cookie 0 takes a new look."""
    buf, out = box.room(60), box.out()
    assert box.fd_readdir(3, buf, 60, 0, out) == 0
    first = box.names()
    assert box.path_unlink_file(3, *box.text("file")) == 0
    assert box.open("new", CREAT)[0] == 0
    assert box.fd_readdir(3, buf, 60, len(first) - 1, out) == 0
    assert box.get(buf + 24, box.u32(out) - 24) == first[-1]
    assert box.fd_readdir(3, buf, 60, len(first), out) == 0
    assert box.u32(out) == 0
    assert box.fd_readdir(3, buf, 60, (1 << 64) - 1, out) == 0
    assert set(box.names()) == set(first) - {b"file"} | {b"new"}
    assert box.fd_readdir(0, buf, 60, 0, out) == E["NOTDIR"]
    assert box.fd_readdir(99, buf, 60, 0, out) == E["BADF"]


def test_names_need_not_be_text(box: Box) -> None:
    """Names that are not UTF-8 can be created, listed, opened and removed."""
    name = b"\xff\xfe caf\xe9"
    assert box.open(name, CREAT)[0] == 0
    assert name in box.names()
    assert box.open(name)[0] == 0
    assert box.path_unlink_file(3, *box.text(name)) == 0


def test_hostile_pointers_open_nothing(box: Box) -> None:
    """BEHAVIOURS 53: paths and results outside of the memory trap, and nothing was created."""
    path, size = box.text("created")
    for args in ((box.size - 1, 2, box.out()), ((1 << 32) - 1, 1, box.out()), (path, size, box.size - 2),
                 (path, size, box.out() + 1)):  # fmt: skip
        with pytest.raises(Trap):
            box.path_open(3, 0, args[0], args[1], CREAT, ALL, ALL, 0, args[2])
    assert box.stat("created")[0] == E["NOENT"]
    with pytest.raises(Trap):
        box.path_readlink(3, *box.text("link"), box.size - 1, 2, box.out())
    with pytest.raises(Trap):
        box.fd_readdir(3, box.size - 1, 2, 0, box.out())


def test_descriptors_run_out(box: Box) -> None:
    """EMFILE at the limit, before anything is created; a closed one makes room."""
    box.state.fds.limit = 6
    fds = [opened(box, "file"), opened(box, "file")]
    assert box.open("created", CREAT)[0] == E["MFILE"]
    assert box.stat("created")[0] == E["NOENT"]
    assert box.fd_close(fds[0]) == 0
    assert opened(box, "file") == fds[0]


@pytest.fixture
def locked(source: Any) -> Iterator[Box]:
    """The same tree, only to be read."""
    with Box(preopens={"/": Preopen(source, read_only=True), "/w": MemoryTree({}).root}) as made:
        yield made


def test_a_read_only_directory_does_not_change(locked: Box) -> None:
    """Read-only preopens: whatever would change something is EROFS, through directories opened beneath, too."""
    sub = opened(locked, "dir", DIRECTORY, rights=ALL)
    for fd in (3, sub):
        assert locked.open("x", CREAT, fd=fd)[0] == E["ROFS"]
        assert locked.path_create_directory(fd, *locked.text("x")) == E["ROFS"]
        assert locked.path_symlink(*locked.text("a"), fd, *locked.text("x")) == E["ROFS"]
        assert locked.path_filestat_set_times(fd, 0, *locked.text("."), 0, 0, 1) == E["ROFS"]
    assert locked.open("file")[0] == E["ROFS"]
    assert locked.open("file", TRUNC, rights=READ)[0] == E["ROFS"]
    assert locked.open("file", CREAT | EXCL, rights=READ)[0] == E["EXIST"]
    assert locked.open("file", CREAT, rights=READ)[0] == 0
    assert locked.open("nothing")[0] == E["NOENT"]
    assert locked.path_unlink_file(3, *locked.text("file")) == E["ROFS"]
    assert locked.path_remove_directory(3, *locked.text("empty")) == E["ROFS"]
    assert locked.path_rename(3, *locked.text("file"), 3, *locked.text("x")) == E["ROFS"]
    assert locked.path_rename(3, *locked.text("file"), 4, *locked.text("x")) == E["ROFS"]
    assert locked.path_link(3, 0, *locked.text("file"), 4, *locked.text("x")) == E["ROFS"]
    fd = opened(locked, "file", rights=READ | 1 << 23)
    assert locked.fd_filestat_set_times(fd, 0, 0, 1) == E["ROFS"]
    assert locked.read(fd, 10) == (0, b"hello")
    assert locked.path_rename(4, *locked.text("x"), 3, *locked.text("x")) == E["ROFS"]


def test_two_kinds_of_trees_do_not_mix(tmp_path: Path) -> None:
    """Renaming and linking between file systems is EXDEV."""
    (tmp_path / "f").write_bytes(b"x")
    with Box(preopens={"/": tmp_path, "/m": MemoryTree({"g": b"y"}).root, "/n": MemoryTree({}).root}) as box:
        for a, old, b in ((3, "f", 4), (4, "g", 3), (4, "g", 5)):
            assert box.path_rename(a, *box.text(old), b, *box.text("x")) == E["XDEV"]
            assert box.path_link(a, 0, *box.text(old), b, *box.text("x")) == E["XDEV"]


def test_a_tree_in_memory_can_be_looked_into() -> None:
    """MemoryTree: made from a dict, given back as one; full is ENOSPC."""
    tree = MemoryTree({"a": b"1", "d": {"b": b"22", "l": Link("b")}}, limit=11)
    with Box(preopens={"/": tree.root}) as box:
        fd = opened(box, "d/c", CREAT)
        assert box.write(fd, b"x" * 8) == (E["NOSPC"], 0)
        assert box.write(fd, b"x" * 7) == (0, 7)
        assert box.path_unlink_file(3, *box.text("d/c")) == 0
        assert box.open("d/e", CREAT)[0] == 0
        assert box.fd_close(fd) == 0
    assert tree.as_dict() == {"a": b"1", "d": {"b": b"22", "l": Link("b"), "e": b""}}
    assert tree.size == 4
    with pytest.raises(ValueError, match="name"):
        MemoryTree({"a/b": b""})


def test_nothing_leaks(tmp_path: Path) -> None:
    """Walking, failing and closing leave no descriptor of the host's open, and none is inherited by a child."""
    (tmp_path / "d").mkdir()
    before = set(os.listdir("/proc/self/fd"))
    with Box(preopens={"/": tmp_path}) as box:
        for path in ("d/x", "d/../y", "../x", "d", "d/"):
            box.open(path)
            box.stat(path)
        assert box.open("d", DIRECTORY)[0] == 0
        assert box.open("file", CREAT)[0] == 0
        made = set(os.listdir("/proc/self/fd")) - before
        assert 3 <= len(made) <= 4
        for fd in made:
            try:
                assert not os.get_inheritable(int(fd))
            except OSError:
                pass  # that was the listing's own
    assert set(os.listdir("/proc/self/fd")) == before
