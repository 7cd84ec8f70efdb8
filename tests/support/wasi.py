"""A guest that is nothing but WASI's functions: tests call each by name, with memory to point into.

    box = Box(stdin=b"abc")
    assert box.fd_read(0, box.iovecs(box.room(10)), 1, box.out()) == 0

All memory that a test did not ask for is filled with a pattern, and `untouched` shows that it still is.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any, Self

from hostsdk import (
    Engine,
    EngineConfig,
    Execution,
    FakeClock,
    HostModule,
    Instance,
    Interrupt,
    Limits,
    Module,
    Outcome,
    Returned,
    Suspended,
    Trap,
)
from hostsdk.wasi import WasiConfig, WasiState, preview1
from runtime.exec.inject import At, Injector, Never

from . import observed
from .build import wat
from .layouts import called

PAGES = 64
ALL = (1 << 30) - 1
READ, WRITE = 1 << 1 | 1 << 14, 1 << 6 | 1 << 22
#: What a file is opened with unless a test says otherwise: everything.
READ_WRITE = ALL
PATTERN = b"\xa5"

#: Every function's parameters, as letters: i for i32, I for i64.
FUNCTIONS = {
    "args_get": "ii", "args_sizes_get": "ii", "environ_get": "ii", "environ_sizes_get": "ii", "clock_res_get": "ii",
    "clock_time_get": "iIi", "fd_advise": "iIIi", "fd_allocate": "iII", "fd_close": "i", "fd_datasync": "i",
    "fd_fdstat_get": "ii", "fd_fdstat_set_flags": "ii", "fd_fdstat_set_rights": "iII", "fd_filestat_get": "ii",
    "fd_filestat_set_size": "iI", "fd_filestat_set_times": "iIIi", "fd_pread": "iiiIi", "fd_prestat_get": "ii",
    "fd_prestat_dir_name": "iii", "fd_pwrite": "iiiIi", "fd_read": "iiii", "fd_readdir": "iiiIi", "fd_renumber": "ii",
    "fd_seek": "iIii", "fd_sync": "i", "fd_tell": "ii", "fd_write": "iiii", "path_create_directory": "iii",
    "path_filestat_get": "iiiii", "path_filestat_set_times": "iiiiIIi", "path_link": "iiiiiii",
    "path_open": "iiiiiIIii", "path_readlink": "iiiiii", "path_remove_directory": "iii", "path_rename": "iiiiii",
    "path_symlink": "iiiii", "path_unlink_file": "iii", "poll_oneoff": "iiii", "proc_exit": "i", "proc_raise": "i",
    "random_get": "ii", "sched_yield": "", "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii",
    "sock_shutdown": "ii",
}  # fmt: skip


def guest_text(names: Iterable[str], module: str = "wasi_snapshot_preview1", pages: int = PAGES) -> str:
    """A module that imports the functions and exports them again."""
    lines = []
    for name in names:
        params = " ".join("i64" if letter == "I" else "i32" for letter in FUNCTIONS[name])
        result = "" if name == "proc_exit" else "(result i32)"
        lines.append(f'(func (export "{name}") (import "{module}" "{name}") (param {params}) {result})')
    return f'(module {" ".join(lines)} (memory (export "memory") {pages}))'


class Box:
    """An instance of that guest, with `options` of `WasiConfig`, on a fake clock unless told otherwise."""

    #: The clock that the engine has, where it is no real one.
    fake: FakeClock | None = None

    def __init__(
        self,
        config: WasiConfig | None = None,
        *,
        real_clock: bool = False,
        host: HostModule[Any] | None = None,
        pages: int = PAGES,
        injector: Injector | None = None,
        engine: Engine | None = None,
        **options: Any,
    ) -> None:
        self.host = host or preview1(config or WasiConfig(**options))
        self.clock = FakeClock()
        names = self.host.functions.keys() & FUNCTIONS.keys()
        self.module = module = Module.from_bytes(wat(guest_text(sorted(names), self.host.name, pages)))
        if engine is None:
            self.fake = None if real_clock else self.clock
            engine = Engine(EngineConfig(clock=self.fake)) if self.fake is not None else Engine()
        self.instance = Instance(module, [self.host], engine=engine, limits=Limits(journal=100_000))
        self.instance._store.injector = injector
        self.memory = self.instance.memory
        self.size = pages << 16
        self.memory.write(0, PATTERN * self.size)
        self._at = 64
        self._asked: list[tuple[int, int]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in FUNCTIONS:
            raise AttributeError(name)
        return lambda *args, **options: self.call(name, *args, **options)

    def call(self, name: str, *args: int, **options: Any) -> Any:
        """A call, plain or in the layout of the day; errno."""
        try:
            numbers = tuple(map(_signed(FUNCTIONS[name]), range(len(args)), args))
            errno = called(self.instance, name, numbers, self.fake, options)
        except Trap:
            observed.TRAPS.add(name)
            raise
        observed.ERRNOS[name].add(errno)
        return errno

    def start(self, name: str, *args: int) -> Execution:
        """The same, step by step."""
        _started.add(name)
        return self.instance.start(name, *map(_signed(FUNCTIONS[name]), range(len(args)), args))

    @property
    def state(self) -> WasiState:
        """WASI's state."""
        state: WasiState = self.instance._bindings[0].state
        return state

    def room(self, size: int, align: int = 8) -> int:
        """Zeroed memory with guard bytes round it; its address."""
        self._at = -(-self._at // align) * align
        addr = self._at
        self._at += size + 32
        self._asked.append((addr, size))
        self.memory.write(addr, bytes(size))
        return addr

    def put(self, data: bytes, align: int = 8) -> int:
        """Memory that holds `data`."""
        addr = self.room(len(data), align)
        self.memory.write(addr, data)
        return addr

    def text(self, data: bytes | str) -> tuple[int, int]:
        """Address and length of text."""
        data = data.encode() if isinstance(data, str) else data
        return self.put(data, 1), len(data)

    def out(self, size: int = 8) -> int:
        """Room for a result."""
        return self.room(size)

    def iovecs(self, *parts: tuple[int, int]) -> int:
        """A list of buffers."""
        return self.put(b"".join(struct.pack("<II", *part) for part in parts))

    def get(self, addr: int, size: int) -> bytes:
        """Bytes of the guest's."""
        return bytes(self.memory.read(addr, size))

    def u32(self, addr: int) -> int:
        """A 32-bit number there."""
        return int.from_bytes(self.get(addr, 4), "little")

    def u64(self, addr: int) -> int:
        """A 64-bit number there."""
        return int.from_bytes(self.get(addr, 8), "little")

    def read(self, fd: int, size: int, **options: Any) -> tuple[int, bytes]:
        """fd_read into one buffer: errno and bytes."""
        buf, out = self.room(size), self.out()
        errno = self.call("fd_read", fd, self.iovecs((buf, size)), 1, out, **options)
        return errno, self.get(buf, self.u32(out))

    def write(self, fd: int, data: bytes, **options: Any) -> tuple[int, int]:
        """fd_write from one buffer: errno and count."""
        out = self.out()
        errno = self.call("fd_write", fd, self.iovecs((self.put(data), len(data))), 1, out, **options)
        return errno, self.u32(out)

    def untouched(self) -> bool:
        """Whether everything that no test asked for still holds the pattern."""
        at = 0
        for addr, size in sorted(self._asked):
            if self.get(at, addr - at).strip(PATTERN):
                return False
            at = addr + size
        return not self.get(at, self.size - at).strip(PATTERN)

    def open(
        self, path: bytes | str, oflags: int = 0, *, fd: int = 3, rights: int = READ_WRITE, flags: int = 0,
        follow: bool = True, inheriting: int = ALL,
    ) -> tuple[int, int]:  # fmt: skip
        """path_open: errno and descriptor."""
        out = self.out()
        errno = self.call("path_open", fd, int(follow), *self.text(path), oflags, rights, inheriting, flags, out)
        return errno, self.u32(out)

    def stat(self, path: bytes | str, *, fd: int = 3, follow: bool = False) -> tuple[int, tuple[int, ...]]:
        """path_filestat_get: errno, and dev, ino, type, links, size, three times."""
        out = self.room(64)
        errno = self.call("path_filestat_get", fd, int(follow), *self.text(path), out)
        return errno, struct.unpack("<QQB7xQQQQQ", self.get(out, 64))

    def fstat(self, fd: int) -> tuple[int, tuple[int, ...]]:
        """fd_filestat_get, the same."""
        out = self.room(64)
        errno = self.call("fd_filestat_get", fd, out)
        return errno, struct.unpack("<QQB7xQQQQQ", self.get(out, 64))

    def names(self, fd: int = 3, room: int = 4096) -> list[bytes]:
        """All names of a directory by fd_readdir, with as many calls as that takes."""
        found, cookie, buf, out = list[bytes](), 0, self.room(room), self.out()
        while True:
            assert self.call("fd_readdir", fd, buf, room, cookie, out) == 0
            data = self.get(buf, self.u32(out))
            at = 0
            while at + 24 <= len(data):
                after, _, size, _ = struct.unpack_from("<QQIB", data, at)
                if at + 24 + size > len(data):
                    break
                found.append(data[at + 24 : at + 24 + size])
                cookie, at = after, at + 24 + size
            if len(data) < room:
                return found

    def close(self) -> None:
        """Close the instance."""
        self.instance.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _signed(letters: str) -> Callable[[int, int], int]:
    """Arguments as the embedder's calls take them."""

    def convert(i: int, value: int) -> int:
        bits = 64 if letters[i] == "I" else 32
        return value - (1 << bits) if value >= 1 << bits - 1 else value

    return convert


def clock_sub(userdata: int, clock: int, timeout: int, flags: int = 0) -> bytes:
    """A subscription to a clock."""
    return struct.pack("<QB7xI4xQQH6x", userdata, 0, clock, timeout, 0, flags)


def fd_sub(userdata: int, fd: int, *, write: bool = False) -> bytes:
    """A subscription to a descriptor."""
    return struct.pack("<QB7xI28x", userdata, 2 if write else 1, fd)


def poll(box: Box, *subs: bytes, **options: Any) -> tuple[int, list[tuple[int, ...]]]:
    """poll_oneoff: errno, and events as (userdata, error, type, bytes, flags)."""
    events, count = box.room(32 * len(subs)), box.out()
    errno = box.call("poll_oneoff", box.put(b"".join(subs)), events, len(subs), count, **options)
    data = box.get(events, 32 * box.u32(count))
    return errno, list(struct.iter_unpack("<QHB5xQH6x", data))


def to_end(execution: Execution) -> Outcome:
    """Run, resuming after every injected restart."""
    outcome = execution.run()
    while isinstance(outcome, Suspended):
        outcome = execution.run()
    return outcome




def interrupted(execution: Execution) -> None:
    """Run until a standing interrupt is seen: at the next check point, or before the first function is entered."""
    stop = Interrupt()
    stop.set()
    assert isinstance(execution.run(interrupt=stop), Suspended)


def blocked(execution: Execution) -> None:
    """Run until it is suspended in the operation that it blocks in."""
    interrupted(execution)
    interrupted(execution)


def every_check(scenario: Callable[[Injector], object], most: int = 200) -> int:
    """Run `scenario` undisturbed, then once for each check point, restarted there; all must give the same. How many
    check points there were. The scenario makes its box with the injector that it is given."""
    counter = _Counting()
    _started.clear()
    expected = scenario(counter)
    for name in _started:
        observed.CHECKS[name] = max(observed.CHECKS[name], min(counter.seen, most))
    for check in range(1, min(counter.seen, most) + 1):
        assert scenario(At((check,))) == expected, f"restarted at check point {check}"
    return counter.seen


#: Functions that were started since somebody looked.
_started: set[str] = set()


class _Counting(Never):
    seen = 0

    def fires(self, check: int) -> bool:
        object.__setattr__(self, "seen", max(self.seen, check))
        return False


def returned(outcome: Outcome) -> int:
    """The one result."""
    assert isinstance(outcome, Returned), outcome
    value = outcome.values[0]
    assert isinstance(value, int)
    return value
