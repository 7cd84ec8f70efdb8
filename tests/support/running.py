"""Guests with WASI, run to their ends on either tier, with restarts injected."""

from __future__ import annotations

import random
from typing import Any

import attrs

from hostsdk import Engine, EngineConfig, Execution, Exited, Instance, Limits, Module, Outcome, Returned, Suspended
from hostsdk.wasi import WasiConfig, preview1
from runtime.exec.inject import Injector

from . import native
from .native import Tier

#: How a program that is content ends.
ENDED = (Returned(()), Exited(0))


@attrs.define
class Gaps:
    """Hits check points at random, `mean` apart on the average: for programs with millions of them."""

    seed: int
    mean: int
    _next: int = 0
    _random: random.Random = attrs.field(factory=random.Random)
    hits: int = 0

    def fires(self, check: int) -> bool:
        """Whether to restart here. Another execution's first check point begins a schedule of its own."""
        if check == 1 or not self._next:
            self._random.seed(self.seed)
            self._next = self._random.randrange(1, 2 * self.mean)
        if check < self._next:
            return False
        self._next = check + self._random.randrange(1, 2 * self.mean)
        self.hits += 1
        return True

    def __str__(self) -> str:
        return f"about every {self.mean}th"


def instance(module: Module, injector: Injector, tier: Tier = "interpreter", **options: Any) -> Instance:
    """A guest with WASI, and restarts injected."""
    engine = native.engine() if tier == "native" else Engine(EngineConfig(tier="interpreter"))
    made = Instance(module, [preview1(WasiConfig(**options))], limits=Limits(journal=100_000), engine=engine)
    made._store.injector = injector
    return made


def end(execution: Execution) -> Outcome:
    """Run to the end, resuming after each injected restart."""
    outcome = execution.run()
    while isinstance(outcome, Suspended):
        outcome = execution.run()
    return outcome


def call(inst: Instance, name: str, *args: int) -> int:
    """Call a function to its end; its result, unsigned, or 0."""
    outcome = end(inst.start(name, *args))
    assert isinstance(outcome, Returned), outcome
    return int(outcome.values[0]) & 0xFFFFFFFF if outcome.values else 0


def text(inst: Instance, data: bytes) -> int:
    """A C string in the guest's memory, by its own `malloc`."""
    addr = call(inst, "malloc", len(data) + 1)
    inst.memory.write(addr, data + b"\0")
    return addr
