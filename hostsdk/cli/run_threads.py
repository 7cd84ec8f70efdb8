"""`hostsdk run` of a program with threads: how they are run, and which programs have any."""

from __future__ import annotations

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
    from hostsdk import OsThreads, Process, wasi

    if all(host.name != _MODULE for host in hosts):
        hosts = [*hosts, wasi.threads()]
    spawner = _green() if plan.threads == "green" else OsThreads()
    return Process(module, hosts, limits=plan.limits, engine=engine, spawner=spawner, trace=trace)


def _green() -> Spawner:
    from hostsdk import GreenThreads  # brings the scheduler

    return GreenThreads()
