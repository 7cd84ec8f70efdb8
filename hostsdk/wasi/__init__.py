"""WASI preview1 for guests: an extension of hostsdk like any other.

with Instance(Module.from_file("prog.wasm"), [wasi(args=["prog"], preopens={"/": "data"})]) as inst:
    code = inst.main()
"""

from __future__ import annotations

from functools import partial
from typing import Any

from hostsdk import HostModule

from .config import Preopen, Stream, WasiConfig
from .fs.base import Directory, File, Listener, Name, Opening, Ready, Socket, Sources
from .fs.host import HostDirectory
from .fs.mem import Link, MemoryTree
from .fs.stdio import ByteQueue
from .module import host
from .preview1 import args as _args
from .preview1 import clock as _clock
from .preview1 import environ as _environ
from .preview1 import fd as _fd
from .preview1 import fd_dir as _fd_dir
from .preview1 import file as _file
from .preview1 import io as _io
from .preview1 import path as _path
from .preview1 import poll as _poll
from .preview1 import proc as _proc
from .preview1 import random as _random
from .preview1 import sched as _sched
from .preview1 import sock as _sock
from .saving import load, save
from .state import WasiState
from .threads import threads
from .types import FileType, Rights, Whence

#: The files whose functions are registered with `host` when they are imported.
_FAMILIES = (_args, _clock, _environ, _fd, _fd_dir, _file, _io, _path, _poll, _proc, _random, _sched, _sock)


def preview1(config: WasiConfig | None = None) -> HostModule[WasiState]:
    """The host module `wasi_snapshot_preview1` for guests that are given `config`. Each instance opens what it is
    given anew; saved with the guest are descriptors and trees in memory, to be restored by a module made alike."""
    return _with(host, config or WasiConfig())


def unstable(config: WasiConfig | None = None) -> HostModule[WasiState]:
    """The same for the older `wasi_unstable`."""
    from .older import old_host  # few programs are that old

    return _with(old_host, config or WasiConfig())


def _with(module: HostModule[WasiState], config: WasiConfig) -> HostModule[WasiState]:
    made = module.with_state(partial(WasiState.of, config))
    made.save(save)
    made.load(partial(load, config))
    return made


def wasi(**options: Any) -> HostModule[WasiState]:
    """`preview1(WasiConfig(**options))`."""
    return preview1(WasiConfig(**options))


__all__ = [
    "ByteQueue",
    "Directory",
    "File",
    "FileType",
    "HostDirectory",
    "Link",
    "Listener",
    "MemoryTree",
    "Name",
    "Opening",
    "Preopen",
    "Ready",
    "Rights",
    "Socket",
    "Sources",
    "Stream",
    "WasiConfig",
    "WasiState",
    "Whence",
    "preview1",
    "threads",
    "unstable",
    "wasi",
]
