"""Guests of several threads, and ways of running them."""

from __future__ import annotations

import functools
import gc
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hostsdk import (
    BlockingContext,
    Engine,
    EngineConfig,
    GreenThreads,
    GuestThread,
    HostModule,
    Module,
    Notifier,
    OsThreads,
    Process,
    SchedulerPool,
)
from hostsdk.wasi import threads, wasi

from ..build import cc, wat
from ..waits import PATIENCE

TIERS = ("interpreter", "native")


class PooledThreads(GreenThreads):
    """Threads as tasks of a pool of two workers, which is closed in the end."""

    def run(self, thread: GuestThread) -> None:
        with SchedulerPool(2) as self._given:
            super().run(thread)


_SPAWNERS = {"os": OsThreads, "green": GreenThreads, "pool": PooledThreads}
#: Tiers, and what runs the threads.
LAYOUTS = {f"{tier}-{name}": (tier, made) for tier in TIERS for name, made in _SPAWNERS.items()}


@functools.cache
def guest(name: str) -> Module:
    """The guest in a file here."""
    return Module.from_bytes(wat((Path(__file__).parent / f"{name}.wat").read_text()))


_FLAGS = (
    "-nostdlib", "-mcpu=generic+atomics+bulk_memory+mutable_globals", "-Wl,--no-entry", "-Wl,--import-memory",
    "-Wl,--export-memory", "-Wl,--shared-memory", "-Wl,--initial-memory=262144", "-Wl,--max-memory=262144",
    "-Wl,-z,stack-size=16384",
)  # fmt: skip


@functools.cache
def queue_of_work() -> Module:
    """A queue of work for four threads; lld gives it a start function that waits for who comes first."""
    source = Path(__file__).with_name("queue.c").read_text()
    return Module.from_bytes(cc(source, *_FLAGS))


def blocking() -> HostModule[None]:
    """A host module whose function `block` waits for what never comes."""
    host = HostModule("h")

    @host.restartable
    def block(ctx: BlockingContext[None]) -> None:
        ctx.block_until(wake=Notifier())

    return host


def process(
    module: Module, tier: Any = "interpreter", *, stdin: Any = b"", prealloc: bool = True, **more: Any
) -> Process:
    """A process of `module`, with WASI and what the guests here import."""
    config = {name: more.pop(name) for name in ("clock", "driver", "injector") if name in more}
    tier, spawner = tier if isinstance(tier, tuple) else (tier, OsThreads)
    engine = Engine(EngineConfig(tier=tier, prealloc_shared_memory=prealloc, **config))
    hosts: list[HostModule[Any]] = [wasi(stdin=stdin), threads(), blocking()]
    return Process(module, hosts, engine=engine, spawner=spawner(), **more)


def loaded(data: bytes, module: Module, layout: Any, *, stdin: Any = b"") -> Process:
    """A process that was saved, in a layout."""
    hosts: list[HostModule[Any]] = [wasi(stdin=stdin), threads(), blocking()]
    engine, spawner = Engine(EngineConfig(tier=layout[0])), layout[1]()
    return Process.load(data, module, hosts, trusted=True, engine=engine, spawner=spawner)


def _descriptors() -> int:
    """How many there are, but for pipes: the process that compiles comes and goes when it likes."""
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += not os.readlink(f"/proc/self/fd/{name}").startswith("pipe:")
        except FileNotFoundError:
            pass  # the listing's own
    return count


def _threads() -> list[threading.Thread]:
    """Those that there are, but for the one that compiles, which comes and goes when it likes."""
    return [thread for thread in threading.enumerate() if thread.name != "hostsdk compiler"]


@contextmanager
def nothing_left() -> Iterator[None]:
    """What runs in the block leaves no thread and no descriptor behind."""
    gc.collect()
    gc.freeze()  # what other tests left is not looked through again
    before, fds = len(_threads()), _descriptors()
    try:
        yield
        for thread in threading.enumerate():
            if thread.name.startswith("guest thread"):
                thread.join(PATIENCE)
        gc.collect()
        gc.unfreeze()  # something old may have been kept by what is new
        for _ in range(50):
            if _descriptors() <= fds:
                break
            gc.collect()  # or a thread has given its result, and is about to go with its bell
        assert [t for t in threading.enumerate() if t.name.startswith("guest thread")] == []
        assert len(_threads()) <= before + 1, _threads()  # the clock's, which stays while there are alarms
        assert _descriptors() <= fds
    finally:
        gc.unfreeze()
