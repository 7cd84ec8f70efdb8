"""The host module that all functions of preview1 register with."""

from __future__ import annotations

from hostsdk import HostModule

from .config import WasiConfig
from .errno import ERRORS
from .state import WasiState


def _unconfigured() -> WasiState:
    return WasiState.of(WasiConfig())


#: The functions; `preview1(config)` gives it to an instance with a state of its own.
host: HostModule[WasiState] = HostModule(
    "wasi_snapshot_preview1", state=_unconfigured, close=WasiState.close, errors=ERRORS
)
