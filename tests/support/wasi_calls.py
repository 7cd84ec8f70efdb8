"""A call of each function of WASI that succeeds, in a world made for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hostsdk.wasi import ByteQueue, Link, Listener, MemoryTree, Ready, Socket

from .wasi import ALL, Box, clock_sub


class Wire(Socket):
    """A connection that ends in the test: nothing comes at first, and little fits."""

    def __init__(self) -> None:
        self.coming = [None, b"abc", None, b"defgh"]
        self.sent = bytearray()
        self.turns = 0

    def recv(self, size: int, *, peek: bool) -> tuple[bytes, bool] | None:
        """What the script says."""
        part = self.coming.pop(0)
        return None if part is None else (part[:size], False)

    def write(self, data: bytes) -> int | None:
        """Two bytes every other time."""
        self.turns += 1
        self.sent += data[: 2 * (self.turns % 2)]
        return 2 if self.turns % 2 else None

    def shutdown(self, *, read: bool, write: bool) -> None:
        """Noted."""
        self.sent += b"!"


class Door(Listener):
    """Lets one in, the second time that it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def accept(self) -> Socket | None:
        """The second time."""
        self.asked += 1
        return Wire() if self.asked > 1 else None

    def ready(self, write: bool) -> Ready | None:
        """Never by itself."""
        return None


class Trickle:
    """Takes and gives a little every other time that it is asked."""

    def __init__(self) -> None:
        self.taken = bytearray()
        self.asked = 0

    def give(self, size: int) -> bytes | None:
        """Every other time."""
        self.asked += 1
        return b"xy" if self.asked % 2 == 0 else None


def vec(box: Box, size: int = 8) -> int:
    """A buffer of the letters from a on."""
    return box.iovecs((box.put(bytes(range(97, 97 + size))), size))


#: For each function, the arguments of a call that succeeds. 4 is an open file, 5 a directory, 6 a connection; 3 the
#: root, or the listening socket.
CALLS: dict[str, Callable[[Box], tuple[int, ...]]] = {
    "args_get": lambda b: (b.room(16), b.room(16)),
    "args_sizes_get": lambda b: (b.out(), b.out()),
    "environ_get": lambda b: (b.room(16), b.room(16)),
    "environ_sizes_get": lambda b: (b.out(), b.out()),
    "clock_res_get": lambda b: (0, b.out()),
    "clock_time_get": lambda b: (0, 0, b.out()),
    "fd_advise": lambda b: (4, 0, 4, 1),
    "fd_allocate": lambda b: (4, 0, 40),
    "fd_close": lambda b: (4,),
    "fd_datasync": lambda b: (4,),
    "fd_fdstat_get": lambda b: (4, b.room(24)),
    "fd_fdstat_set_flags": lambda b: (4, 1),
    "fd_fdstat_set_rights": lambda b: (4, 2, 0),
    "fd_filestat_get": lambda b: (4, b.room(64)),
    "fd_filestat_set_size": lambda b: (4, 3),
    "fd_filestat_set_times": lambda b: (4, 5, 6, 5),
    "fd_pread": lambda b: (4, vec(b), 1, 2, b.out()),
    "fd_prestat_get": lambda b: (3, b.out()),
    "fd_prestat_dir_name": lambda b: (3, b.room(1), 1),
    "fd_pwrite": lambda b: (4, b.iovecs((0, 200_000)), 1, 3, b.out()),
    "fd_read": lambda b: (0, vec(b), 1, b.out()),
    "fd_readdir": lambda b: (3, b.room(100), 100, 0, b.out()),
    "fd_renumber": lambda b: (4, 5),
    "fd_seek": lambda b: (4, 2, 0, b.out()),
    "fd_sync": lambda b: (4,),
    "fd_tell": lambda b: (4, b.out()),
    "fd_write": lambda b: (4, b.iovecs((0, 200_000)), 1, b.out()),
    "path_create_directory": lambda b: (3, *b.text("new")),
    "path_filestat_get": lambda b: (3, 1, *b.text("l"), b.room(64)),
    "path_filestat_set_times": lambda b: (3, 1, *b.text("l"), 5, 6, 5),
    "path_link": lambda b: (3, 0, *b.text("f"), 3, *b.text("g")),
    "path_open": lambda b: (3, 1, *b.text("d/new"), 1, ALL, ALL, 0, b.out()),
    "path_readlink": lambda b: (3, *b.text("l"), b.room(8), 8, b.out()),
    "path_remove_directory": lambda b: (3, *b.text("empty")),
    "path_rename": lambda b: (3, *b.text("f"), 5, *b.text("moved")),
    "path_symlink": lambda b: (*b.text("f"), 3, *b.text("s")),
    "path_unlink_file": lambda b: (3, *b.text("f")),
    "poll_oneoff": lambda b: (b.put(clock_sub(1, 1, 0) + clock_sub(2, 0, 0)), b.room(64), 2, b.out()),
    "proc_exit": lambda b: (3,),
    "proc_raise": lambda b: (0,),
    "random_get": lambda b: (b.room(3 << 20), 3 << 20),
    "sched_yield": lambda b: (),
    "sock_accept": lambda b: (7, 0, b.out()),
    "sock_recv": lambda b: (6, vec(b), 1, 2, b.out(), b.out()),
    "sock_send": lambda b: (6, vec(b, 6), 1, 0, b.out()),
    "sock_shutdown": lambda b: (6, 3),
}

#: Which arguments are addresses.
POINTERS: dict[str, tuple[int, ...]] = {
    "args_get": (0, 1), "args_sizes_get": (0, 1), "environ_get": (0, 1), "environ_sizes_get": (0, 1),
    "clock_res_get": (1,), "clock_time_get": (2,), "fd_fdstat_get": (1,), "fd_filestat_get": (1,),
    "fd_pread": (1, 4), "fd_prestat_get": (1,), "fd_prestat_dir_name": (1,), "fd_pwrite": (1, 4), "fd_read": (1, 3),
    "fd_readdir": (1, 4), "fd_seek": (3,), "fd_tell": (1,), "fd_write": (1, 3), "path_create_directory": (1,),
    "path_filestat_get": (2, 4), "path_filestat_set_times": (2,), "path_link": (2, 5), "path_open": (2, 8),
    "path_readlink": (1, 3, 5), "path_remove_directory": (1,), "path_rename": (1, 4), "path_symlink": (0, 3),
    "path_unlink_file": (1,), "poll_oneoff": (0, 1, 3), "random_get": (0,), "sock_accept": (2,),
    "sock_recv": (1, 4, 5), "sock_send": (1, 4),
}  # fmt: skip
#: The first argument is a descriptor.
OF_DESCRIPTORS = [name for name in CALLS if name.startswith(("fd_", "path_", "sock_")) and name != "path_symlink"]


class Stage:
    """The world for the calls: a tree, a connection, a listener, an output."""

    def __init__(self, *, real_clock: bool = False) -> None:
        content: dict[str, Any] = {"f": b"0123456789", "d": {}, "empty": {}, "l": Link("f")}
        self.tree = MemoryTree(content, now=lambda: 7)
        self.wire, self.output = Wire(), ByteQueue()
        self.box = box = Box(
            preopens={"/": self.tree.root}, real_clock=real_clock, args=["a", "b"], env={"A": "b"},
            stdin=Trickle().give, stdout=self.output, random=5,
        )  # fmt: skip
        if (box.open("f"), box.open("d", 2)) != ((0, 4), (0, 5)):
            raise ValueError("the stage is not as it should be")
        box.state.open(self.wire)
        box.state.open(Door())

    def look(self, *, memory: bool = True) -> object:
        """Everything that a call may have changed."""
        box = self.box
        data = hash(box.get(0, box.size)) if memory else 0
        fds = [(number, fd.stat(), fd.identity) for number, fd in box.state.fds.items()]
        return data, self.tree.as_dict(), fds, bytes(self.wire.sent), len(self.output), list(self.tree.top.names)
