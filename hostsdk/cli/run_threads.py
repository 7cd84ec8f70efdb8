"""`hostsdk run` of a program with threads: how they are run, and which programs have any."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from hostsdk import Engine, HostModule, Module, Process, Spawner, Trace

    from .run_plan import Plan

_MODULE: Final = "wasi"
_SPAWN: Final = "thread-spawn"


def threaded(module: Module) -> bool:
    """Whether a program may begin threads by itself."""
    return any((each, name) == (_MODULE, _SPAWN) for each, name, _ in module.imports)


def process(plan: Plan, module: Module, hosts: list[HostModule[Any]], engine: Engine, trace: Trace | None) -> Process:
    """The program, linked; `hosts` are those that it has been given. Raises what `Process` raises."""
    from hostsdk import Process

    given, spawner = with_threads(hosts), spawner_of(plan)
    return Process(module, given, limits=plan.limits, engine=engine, spawner=spawner, trace=trace)


def loaded(
    data: bytes, plan: Plan, module: Module, hosts: Sequence[HostModule[Any]], engine: Engine, trace: Trace | None
) -> Process:
    """The program as it was saved. Raises what `Process.load` raises."""
    from hostsdk import Process

    given, spawner = with_threads(hosts), spawner_of(plan)
    return Process.load(
        data, module, given, trusted=True, limits=plan.limits, engine=engine, spawner=spawner, trace=trace
    )


def with_threads(hosts: Sequence[HostModule[Any]]) -> list[HostModule[Any]]:
    """Host modules that a program with threads is given: those, and wasi-threads where none of them stands for it."""
    from hostsdk import wasi

    return [*hosts] if any(host.name == _MODULE for host in hosts) else [*hosts, wasi.threads()]


def spawner_of(plan: Plan) -> Spawner:
    """What runs the threads of a program."""
    if plan.threads != "green":
        from hostsdk import OsThreads

        return OsThreads()
    from hostsdk import GreenThreads  # brings the scheduler

    return GreenThreads()
