"""WASI preview1 for guests: an extension of hostsdk like any other.

with Instance(Module.from_file("prog.wasm"), [wasi(args=["prog"], preopens={"/": "data"})]) as inst:
    code = inst.main()
"""

from __future__ import annotations

from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hostsdk import HostModule, doors

from . import preview1 as _families  # before there is a function of this name here: importing it later would hide that
from .config import WasiConfig
from .module import host
from .state import WasiState

if TYPE_CHECKING:
    from hostsdk import Clock

    from .config import Preopen, Stream
    from .fs.base import Directory, File, Listener, Name, Opening, Ready, Socket, Sources
    from .fs.host import HostDirectory
    from .fs.mem import Link, MemoryTree
    from .fs.stdio import ByteQueue
    from .spawning import threads
    from .types import FileType, Rights, Whence

#: The files whose functions are registered with `host` when a guest imports one of them, and those functions.
FAMILIES = {
    "args": "args_get args_sizes_get",
    "clock": "clock_res_get clock_time_get",
    "environ": "environ_get environ_sizes_get",
    "fd": "fd_close fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_renumber fd_seek fd_tell",
    "fd_dir": "fd_prestat_dir_name fd_prestat_get fd_readdir",
    "file": ("fd_advise fd_allocate fd_datasync fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_sync"),
    "io": "fd_read fd_write",
    "io_at": "fd_pread fd_pwrite",
    "path": (
        "path_create_directory path_filestat_get path_filestat_set_times path_link path_open path_readlink "
        "path_remove_directory path_rename path_symlink path_unlink_file"
    ),
    "poll": "poll_oneoff",
    "proc": "proc_exit proc_raise",
    "random": "random_get",
    "sched": "sched_yield",
    "sock": "sock_accept sock_recv sock_send sock_shutdown",
}
for _family, _names in FAMILIES.items():
    host.later(_names.split(), partial(import_module, f".{_family}", _families.__name__))


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
    made.save(_save)

    def load(data: dict[str, Any], clock: Clock) -> WasiState:
        from .saving import load

        return load(config, data, clock)

    made.load(load)
    return made


def _save(state: WasiState) -> dict[str, Any]:
    from .saving import save

    return save(state)


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

if not TYPE_CHECKING:
    __getattr__, __dir__ = doors.door(
        __name__,
        {
            ".config": "Preopen Stream",
            ".fs.base": "Directory File Listener Name Opening Ready Socket Sources",
            ".fs.host": "HostDirectory",
            ".fs.mem": "Link MemoryTree",
            ".fs.stdio": "ByteQueue",
            ".spawning": "threads",
            ".types": "FileType Rights Whence",
        },
        __all__,
    )
