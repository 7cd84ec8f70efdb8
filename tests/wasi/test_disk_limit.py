"""DESIGN 8.3: files of the host grow no further than the embedder says, by whichever call."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostsdk import WASI_ERRNO
from hostsdk.wasi import HostDirectory
from hostsdk.wasi.fs.disk import ENTRY
from hostsdk.wasi.types import FdFlags, OFlags
from runtime.exec.inject import Injector
from tests.support.build import cc
from tests.support.process import hostsdk
from tests.support.wasi import Box, every_check

FULL = WASI_ERRNO["ENOSPC"]
CREATE = int(OFlags.CREAT)
APPEND = int(FdFlags.APPEND)


def box(folder: Path, disk: int, injector: Injector | None = None) -> Box:
    return Box(preopens={"/": folder}, disk=disk, injector=injector)


def total(folder: Path) -> int:
    """Bytes of all files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("flags", [0, APPEND], ids=["", "append"])
def test_writing_ends_where_the_disk_does(flags: int, tmp_path: Path) -> None:
    """A write is short where there is room for some of it, ENOSPC where there is none; what is there already may be
    written over, and what is cut off is not given back."""
    (tmp_path / "old").write_bytes(bytes(100))
    with box(tmp_path, 1000) as guest:
        _, fd = guest.open("old", flags=flags)
        assert guest.write(fd, b"x" * 600) == (0, 600)
        at = 700 if flags else 600
        assert guest.write(fd, b"y" * 1000) == (0, 1100 - at)
        assert guest.write(fd, b"z")[0] == FULL
        assert os.stat(tmp_path / "old").st_size == 1100
        assert guest.fd_filestat_set_size(fd, 10) == 0
        assert guest.write(fd, b"z")[0] == FULL


def test_no_call_makes_more_of_it(tmp_path: Path) -> None:
    """Writing behind the end, truncating upwards and allocating count what the file grows by; nothing is done where
    that is too much."""
    with box(tmp_path, ENTRY + 1000) as guest:
        _, fd = guest.open("new", CREATE)
        assert guest.fd_filestat_set_size(fd, 1001) == FULL
        assert guest.fd_allocate(fd, 900, 101) == FULL
        assert os.stat(tmp_path / "new").st_size == 0
        out = guest.out()
        iovs = guest.iovecs(guest.text(b"abc"))
        assert guest.fd_pwrite(fd, iovs, 1, 1000, out) == FULL
        assert guest.fd_pwrite(fd, iovs, 1, 398, out) == 0
        assert guest.fd_allocate(fd, 0, 500) == 0
        assert guest.fd_filestat_set_size(fd, 999) == 0
        assert guest.fd_pwrite(fd, iovs, 1, 998, out) == 0
        assert guest.u32(out) == 2
        assert guest.fd_filestat_set_size(fd, 1001) == FULL
    assert total(tmp_path) == 1000


def test_names_count_too(tmp_path: Path) -> None:
    """Files, directories and links without anything in them take room as well; what fails takes none."""
    with box(tmp_path, 4 * ENTRY) as guest:
        assert guest.path_create_directory(3, *guest.text("d")) == 0
        assert guest.path_create_directory(3, *guest.text("d")) == WASI_ERRNO["EEXIST"]
        errno, fd = guest.open("d/f", CREATE)
        assert errno == 0
        assert guest.fd_close(fd) == 0
        assert guest.path_symlink(*guest.text("x"), 3, *guest.text("s")) == 0
        assert guest.path_link(3, 0, *guest.text("d/f"), 3, *guest.text("l")) == 0
        assert guest.open("d/f", CREATE)[0] == 0
        assert guest.open("g", CREATE)[0] == FULL
        assert guest.path_create_directory(3, *guest.text("e")) == FULL
        assert guest.path_symlink(*guest.text("x"), 3, *guest.text("t")) == FULL
        assert guest.path_link(3, 0, *guest.text("d/f"), 3, *guest.text("d/m")) == FULL
        assert guest.path_rename(3, *guest.text("l"), 3, *guest.text("m")) == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["d", "f", "m", "s"]


def test_all_directories_have_one_disk(tmp_path: Path) -> None:
    """What is written to one can't be written to another. A `Directory` of the embedder's own has its own rules."""
    for name in "abc":
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").touch()
    given = {"/a": tmp_path / "a", "/b": tmp_path / "b", "/c": HostDirectory.at(tmp_path / "c")}
    with Box(preopens=given, disk=100) as guest:
        assert guest.write(guest.open("f", fd=3)[1], bytes(70)) == (0, 70)
        assert guest.write(guest.open("f", fd=4)[1], bytes(70)) == (0, 30)
        assert guest.write(guest.open("f", fd=5)[1], bytes(70)) == (0, 70)


def test_a_restart_counts_nothing_twice(tmp_path: Path) -> None:
    """BEHAVIOURS 16: interrupted at each check point, a write takes as much of the disk as undisturbed."""
    runs = iter(range(1000))

    def scenario(injector: Injector) -> object:
        folder = tmp_path / str(next(runs))
        folder.mkdir()
        with box(folder, ENTRY + 100, injector) as guest:
            _, fd = guest.open("f", CREATE)
            done = guest.write(fd, bytes(60)), guest.write(fd, bytes(60))
            return done, guest.state.disk.left if guest.state.disk else None

    assert every_check(scenario) >= 1


FILLS = r"""
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <fcntl.h>
int main(void) {
    static char block[1000];
    int fd = open("/filled", O_WRONLY | O_CREAT, 0666), sum = 0, got;
    while ((got = write(fd, block, sizeof block)) > 0) sum += got;
    printf("%d %s\n", sum, strerror(errno));
}
"""


def test_the_command_has_a_disk(tmp_path: Path) -> None:
    """A C program that writes until it may not: `--max-disk` is for all directories of a run together."""
    program, room = tmp_path / "fills.wasm", tmp_path / "room"
    program.write_bytes(cc(FILLS, "-s"))
    room.mkdir()
    done = hostsdk("run", "--max-disk", "16KiB", "--dir", f"{room}::/", str(program))
    assert (done.status, done.out, done.err) == (0, f"{16384 - ENTRY} No space left on device\n", "")
    assert total(room) == 16384 - ENTRY
