"""What `hostsdk run` is asked to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from hostsdk import Limits
from runtime import lean

if TYPE_CHECKING:
    from hostsdk import Feature, InstalledHost

Tier: TypeAlias = Literal["auto", "interpreter", "native"]
#: Names for `--tier`, the usual one first.
TIERS: Final[tuple[Tier, ...]] = ("auto", "interpreter", "native")


@lean.frozen
class HostName:
    """Where a host module is found: the Python module, and the attribute in it."""

    module: str
    attribute: str

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


@lean.frozen
class Advertised:
    """A host module of an installed package, and its option."""

    host: InstalledHost
    option: str | None = None


@lean.frozen
class Directory:
    """A directory for the guest, and the name that it knows it by."""

    path: str
    guest: str
    read_only: bool = False


@lean.frozen
class Plan:
    """A command line, understood. Nothing has been opened."""

    file: str
    args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    dirs: tuple[Directory, ...] = ()
    #: Addresses to listen on, host and port.
    listen: tuple[tuple[str, int], ...] = ()
    hosts: tuple[HostName | Advertised, ...] = ()
    #: The export to call; None for a command's `_start`.
    invoke: str | None = None
    #: Seconds for everything: loading, start function, run.
    timeout: float | None = None
    limits: Limits = lean.field(factory=Limits)
    #: What modules may use; None for all that there is.
    features: Feature | None = None
    #: What executes functions.
    tier: Tier = "auto"
    #: Whether each host call is told; where the time line is written to.
    trace: bool = False
    trace_file: str | None = None
    #: Whether each function is checked only when it is first called.
    lazy: bool = False
    #: How the threads of a program that has some are run.
    threads: str = "os"
    #: Where the execution is kept that a time limit or Ctrl-C stops; where one is that is to go on.
    save: str | None = None
    load: str | None = None
    #: Bytes by which files in `dirs` may grow; None for no limit.
    disk: int | None = None
