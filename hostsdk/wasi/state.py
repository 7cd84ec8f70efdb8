"""What WASI keeps for one instance."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeAlias

from hostsdk import BlockingContext, Clock, Context, lean

from .config import WasiConfig
from .fdtable import Descriptor, FdTable
from .fs.base import Directory, File, Listener
from .fs.stdio import stream
from .types import Rights

if TYPE_CHECKING:
    from .fs.disk import Disk

#: Nanoseconds of a second.
SECOND = 1_000_000_000


class SeededRandom:
    """Bytes that a seed decides: the same at the same place of the stream."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        #: How many bytes have been given.
        self.at = 0
        self._lock = threading.Lock()

    def __call__(self, size: int) -> bytes:
        """The next `size` bytes."""
        with self._lock:
            at = self.at
            self.at += size
        block, skip = divmod(at, 64)
        import hashlib

        found = bytearray()
        while len(found) < size + skip:
            text = f"hostsdk {self.seed} {block}".encode()
            found += hashlib.blake2b(text).digest()
            block += 1
        return bytes(found[skip : skip + size])


@lean.define(eq=False)
class WasiState:
    """Descriptors, clock and random source of one instance."""

    config: WasiConfig
    #: What may still be put into the directories that are given as paths; None for whatever there is room for.
    disk: Disk | None = None
    fds: FdTable = lean.field(factory=FdTable)
    random: Any = None
    #: Where the guest's monotonic clock has come.
    reached: int = 0
    #: What it is read from, once the guest runs, and when that would have shown 0.
    _clock: Clock | None = None
    _base: float = 0.0
    _lock: threading.Lock = lean.field(factory=threading.Lock, repr=False)

    @classmethod
    def of(cls, config: WasiConfig) -> WasiState:
        """A fresh one: standard streams and preopened descriptors are open. Raises what opening them raises."""
        state = cls(config)
        if config.disk is not None:
            from .fs.disk import Disk

            state.disk = Disk(config.disk)
        state.random = SeededRandom(config.random) if isinstance(config.random, int) else config.random
        try:
            state._open()
        except BaseException:
            state.close()
            raise
        return state

    def _open(self) -> None:
        config = self.config
        for number in range(3):
            self.open(self.stream(number), origin=("stream", number))
        for place, (name, given) in enumerate(config.preopens):
            owned = not isinstance(given.source, Directory)
            root = self.root(place)
            self.open(root, preopen=name, read_only=given.read_only, origin=("preopen", place), owned=owned)
        for place, sock in enumerate(config.listen):
            owned = not isinstance(sock, Listener)
            self.open(self.listener(place), origin=("listen", place), owned=owned)

    def stream(self, number: int) -> File:
        """Standard stream 0, 1 or 2, as the configuration has it."""
        given = (self.config.stdin, self.config.stdout, self.config.stderr)[number]
        return stream(given, write=number > 0, inherited=number)

    def root(self, place: int) -> Directory:
        """A preopened directory, as the configuration has it."""
        source = self.config.preopens[place][1].source
        if isinstance(source, Directory):
            return source
        from .fs.host import HostDirectory

        return HostDirectory.at(source, self.disk)

    def listener(self, place: int) -> Listener:
        """A listening socket, as the configuration has it."""
        sock = self.config.listen[place]
        if isinstance(sock, Listener):
            return sock
        from .fs.sock import HostListener

        return HostListener(sock)

    def open(
        self,
        file: File,
        *,
        preopen: bytes | None = None,
        read_only: bool = False,
        origin: tuple[object, ...] = (),
        owned: bool = True,
    ) -> int:
        """Give the guest an open file, with all that it can do; its number."""
        inheriting = Rights.ALL if isinstance(file, Directory) else 0
        descriptor = Descriptor(
            file, file.rights, inheriting, preopen=preopen, read_only=read_only, origin=origin, owned=owned
        )  # fmt: skip
        return self.fds.add(descriptor)

    def attend(self, clock: Clock) -> None:
        """From now on, if not already, the guest's monotonic clock goes on, on this one, from where it had come."""
        if self._clock is None:
            with self._lock:
                self._base = clock.monotonic() - self.reached / SECOND
                self._clock = clock

    def monotonic(self, ctx: Ctx | BlockingCtx) -> int:
        """The guest's monotonic clock, in nanoseconds: it begins at 0, and goes on after a load where it was."""
        if self._clock is None:
            self.attend(ctx.clock)
        return self.now()

    def now(self) -> int:
        """The same, outside of a call too; it never goes back."""
        if self._clock is not None:
            self.reach(round((self._clock.monotonic() - self._base) * SECOND))
        return self.reached

    def reach(self, at: int) -> None:
        """The monotonic clock has come so far, if it hasn't come further."""
        with self._lock:
            self.reached = max(self.reached, at)

    def close(self) -> None:
        """Close all descriptors."""
        self.fds.close_all()


Ctx: TypeAlias = Context[WasiState]
BlockingCtx: TypeAlias = BlockingContext[WasiState]
