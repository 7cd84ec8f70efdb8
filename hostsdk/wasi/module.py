"""The host module that all functions of preview1 register with, and what they share."""

from __future__ import annotations

from typing import TypeVar

from hostsdk import HostModule

from .config import WasiConfig
from .errno import ERRORS, bad_fd
from .fdtable import Descriptor
from .fs.base import File
from .state import WasiState

F = TypeVar("F", bound=File)


def _unconfigured() -> WasiState:
    return WasiState.of(WasiConfig())


#: The functions; `preview1(config)` gives it to an instance with a state of its own.
host: HostModule[WasiState] = HostModule(
    "wasi_snapshot_preview1", state=_unconfigured, close=WasiState.close, errors=ERRORS
)


def kind(descriptor: Descriptor, cls: type[F]) -> F:
    """The descriptor's file, which must be a `cls`. Raises EBADF."""
    if not isinstance(descriptor.file, cls):
        raise bad_fd(f"the descriptor is no {cls.__name__.lower()}")
    return descriptor.file
