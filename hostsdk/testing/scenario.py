"""What is to be shown safe: a call of a guest, and how to look at what it has done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import attrs

from .._embed import Instance
from .._engine import Engine, EngineConfig, FakeClock, Injector
from .._question import Question
from .stepping import SteppingDriver


@attrs.define(eq=False)
class World:
    """What one run happens in: a clock that only the run moves, and an engine that uses it and injects faults."""

    clock: FakeClock
    engine: Engine

    @classmethod
    def make(
        cls,
        injector: Injector | None = None,
        *,
        callbacks: Literal["nested", "scheduled"] = "nested",
        in_place: bool = True,
        threads: bool = False,
        clock: FakeClock | None = None,
    ) -> World:
        """A world of its own. `callbacks` as in `EngineConfig`; without `in_place`, every wait leaves the stack."""
        clock = clock or FakeClock()
        driver = SteppingDriver(clock, in_place=in_place, threads=threads)
        config = EngineConfig(clock=clock, driver=driver, callbacks=callbacks, injector=injector)
        return cls(clock, Engine(config))

    def at(self, seconds: float, fn: Callable[[], object]) -> None:
        """Have `fn` called when so many seconds have passed: an event from outside."""
        self.clock.call_at(self.clock.monotonic() + seconds, lambda: _done(fn()))


def _done(_: object) -> None:
    """What an event gives is nobody's business."""


def _no_effects(instance: Instance) -> object:
    return None


def _no_answer(question: Question[Any]) -> int | float:
    raise LookupError(f"the scenario has no answer to {question!r}; give it `answer=`")


@attrs.frozen
class Scenario:
    """A call to be repeated under faults.

    `make` makes a fresh instance in a given world (`Instance(…, engine=world.engine)`), whose host functions must
    behave the same each time. For `Kind.MOVE`, which runs it in another process, all functions here must be importable
    by name, as those at the top of a file are.
    """

    make: Callable[[World], Instance]
    #: The export to call, and its arguments.
    call: str = "run"
    args: tuple[int | float, ...] = ()
    #: What the call has done besides: plain data, compared with `==`. Memory, globals and tables are compared anyway.
    observe: Callable[[Instance], object] = _no_effects
    #: Called after a run that was dropped or thrown into; raises AssertionError where something is left behind.
    settled: Callable[[Instance], object] = _no_effects
    #: Answers the questions that host functions ask.
    answer: Callable[[Question[Any]], int | float] = _no_answer
    #: Whether it can be saved at every check point. If not, faults that save are left out.
    saves: bool = True
    #: Whether an exception thrown in may be caught, so that the call ends in another way.
    catches: bool = False
    #: Whether the run must take the same time on the fake clock. Polling with back-off doesn't.
    timed: bool = True
    #: Whether an undisturbed run has the same check points each time. Not so where a real server answers, sooner or
    #: later.
    steady: bool = True
    #: Whether events come from other threads, too; a wait for them is then a real one.
    threads: bool = False
    name: str = attrs.field()

    @name.default
    def _call(self) -> str:
        return f"{getattr(self.make, '__name__', 'scenario')}: {self.call}{self.args}"
