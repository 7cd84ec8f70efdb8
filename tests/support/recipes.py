"""Recipes of the cookbook in scenes that can be played again and again: with a restart at any check point, saved and
loaded there, dropped, or with an exception thrown in.

What comes from outside while a guest waits (bytes, items, time) is a list of steps, one for each wait: nothing here
sleeps, and every performance has the same check points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import attrs

from hostsdk import Engine, EngineConfig, Execution, HostModule, Instance, Module, Outcome, Suspended
from runtime import At, FakeClock, Injected, Injector, Never, Record, WaitSet
from runtime.exec.wait import Waker


@cache
def guest(recipe: ModuleType) -> Module:
    """The recipe's own guest, built beforehand."""
    return Module.from_file(Path(str(recipe.__file__)).with_suffix(".wasm"))


@attrs.define(eq=False)
class Steps:
    """A driver: each wait is one step of what happens meanwhile. More waits than steps are a mistake of the test."""

    steps: Iterator[Callable[[], object]]
    in_place: bool = True
    waits: int = 0

    def wait(self, waits: WaitSet, waker: Waker, word: list[int]) -> None:
        self.waits += 1
        step = next(self.steps, None)
        if step is None:
            raise AssertionError(f"nothing comes any more, and the guest {waits.explain()}")
        step()


class Scene:
    """One call of one recipe in a world of its own. Subclasses say what is around it and what must hold after it."""

    name: str
    args: tuple[int, ...] = ()
    callbacks = "nested"

    def __init__(self, module: Module, *hosts: HostModule[Any]) -> None:
        self.module = module
        self.hosts = list(hosts)
        self.clock = FakeClock()
        self.driver = Steps(iter(self.meanwhile()))
        self.engine = Engine(EngineConfig(clock=self.clock, driver=self.driver))
        self.inst = Instance(module, self.hosts, engine=self.engine)
        self.prepare()

    # What a scene says about itself --------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Set up what the call finds."""

    def meanwhile(self) -> Iterator[Callable[[], object]]:
        """What happens outside, a step for each wait."""
        return iter(())

    def suspended(self, execution: Execution, reason: object) -> None:
        """Look at a suspension, answer a question."""

    def savable(self) -> bool:
        """Whether the execution can be saved as things are."""
        return True

    def unsavable(self) -> str:
        """What the refusal to save it names."""
        return ""

    def finished(self, outcome: Outcome) -> None:
        """Check what the call has done."""

    def dropped(self) -> None:
        """Check what is left after the call was given up in the middle; the instance is still open."""

    def closed(self) -> None:
        """Check what is left when the instance is gone, and tidy up."""
        self.tidy()

    def tidy(self) -> None:
        """Let go of what the scene itself holds."""

    # Playing it ----------------------------------------------------------------------------------------------------

    def begin(self, injector: Injector) -> Execution:
        """The call, not run yet."""
        execution = self.inst.start(self.name, *self.args)
        execution._context.requests.injector = injector
        execution._context.callbacks = self.callbacks
        return execution

    def next(self, execution: Execution) -> Outcome:
        """Run it to its end or to an injected restart."""
        while True:
            outcome = execution.run()
            if not isinstance(outcome, Suspended):
                return outcome
            self.suspended(execution, outcome.reason)
            if isinstance(outcome.reason, Injected):
                return outcome

    def to_first_restart(self, injector: Injector) -> Execution:
        """Play the scene up to the first restart that is injected."""
        execution = self.begin(injector)
        outcome = self.next(execution)
        if not isinstance(outcome, Suspended):
            raise AssertionError(f"no restart was injected, and the outcome is {outcome}")
        return execution

    def play(self, injector: Injector, at: Callable[[Execution], Execution] = lambda e: e) -> tuple[int, Outcome]:
        """Play the scene to its end; how many check points there were, and the outcome. At each injected restart,
        `at` is given the execution and gives the one that goes on."""
        execution = self.begin(injector)
        while isinstance(outcome := self.next(execution), Suspended):
            execution = at(execution)
        return execution._context.requests.checks, outcome

    def moved(self, execution: Execution) -> Execution:
        """The execution as another process would have it: saved, ended here, loaded, with all injected faults yet to
        come as before."""
        injector = execution._context.requests.injector
        # A single fault has been injected; faults in series go on.
        data = execution.save()
        execution.drop()
        execution.instance.close()
        loaded = Execution.load(data, self.module, self.hosts, trusted=True, engine=self.engine)
        loaded._context.requests.injector = Never() if isinstance(injector, At) else injector
        self.inst = loaded.instance
        return loaded

    def close(self) -> None:
        self.inst.close()
        self.closed()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is None:
            self.close()
        else:
            self.inst.close()
            self.tidy()


def journal(execution: Execution) -> int:
    """How many entries the journal of the innermost host function has."""
    record = getattr(execution._context.frames[-1], "record", None)
    return len(record.entries) if isinstance(record, Record) else 0
