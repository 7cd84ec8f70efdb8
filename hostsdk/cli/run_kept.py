"""What a run keeps when it is stopped, and how another one goes on with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from hostsdk import Execution, SnapshotError

if TYPE_CHECKING:
    from hostsdk import Engine, HostModule, Module, Process, Trace

    from .run_plan import Plan

T = TypeVar("T")


class CantSave(Exception):
    """What was stopped can't be kept, or what was kept can't go on; the message says why."""


def save(path: str, what: Execution | Process) -> None:
    """Write what is suspended to a file, all of it or nothing. Raises CantSave."""
    made = Path(f"{path}.{os.getpid()}.tmp")
    try:
        made.write_bytes(what.save())
        made.replace(path)
    except SnapshotError as error:
        raise CantSave(f"not saved: {error}") from None
    except OSError as error:
        made.unlink(missing_ok=True)
        raise CantSave(f"not saved: {path}: {error.strerror or error}") from None


def load(
    plan: Plan, module: Module, hosts: Sequence[HostModule[Any]], *, engine: Engine, trace: Trace | None
) -> Execution:
    """The execution in the plan's file, suspended where it was. Raises CantSave, and UnlinkableError for a host
    function that is missing."""
    return _load(
        plan,
        lambda data: Execution.load(
            data, module, hosts, trusted=True, limits=plan.limits, engine=engine, trace=trace
        ),
    )  # fmt: skip


def load_process(
    plan: Plan, module: Module, hosts: Sequence[HostModule[Any]], engine: Engine, trace: Trace | None
) -> Process:
    """The same for a program with threads: they are run as the plan says, however they were before."""
    from .run_threads import loaded

    return _load(plan, lambda data: loaded(data, plan, module, hosts, engine, trace))


def _load(plan: Plan, make: Callable[[bytes], T]) -> T:
    path = plan.load or ""
    try:
        return make(Path(path).read_bytes())
    except SnapshotError as error:
        raise CantSave(f"{path}: {error}") from None
    except OSError as error:
        raise CantSave(f"{path}: {error.strerror or error}") from None


def left(going: Execution | None, entries: Sequence[tuple[str, T]]) -> list[tuple[str, T]]:
    """The calls that are still to be made when what goes on has ended: those behind its own."""
    names = [name for name, _ in entries]
    if going is None or going.name not in names:
        return list(entries)
    return list(entries[names.index(going.name) + 1 :])
