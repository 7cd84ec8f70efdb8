"""One run of a scenario under faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs

from .._engine import Failed, Injector, RuntimeInstance, State
from .._execution import Execution
from .._outcomes import Outcome
from .._question import Question
from . import elsewhere
from .driving import Drive, Ended, Setting
from .faults import Faults, Kind, Thrown
from .report import Ending, Hit, InjectionFailure, describe
from .scenario import Scenario, World


@attrs.frozen
class Run:
    """What came of a run, and the check points that were hit."""

    ending: Ending
    hits: tuple[Hit, ...]


class Session(Drive):
    """A run in progress, from its first check point or, in another process, from where it was saved."""

    def __init__(self, scenario: Scenario, faults: Faults, setting: Setting) -> None:
        world = World.make(
            faults, callbacks=setting.callbacks, in_place=setting.in_place, threads=scenario.threads
        )
        super().__init__(scenario.name, faults, setting, world)
        self.scenario = scenario
        #: Seconds that passed in other processes.
        self.elsewhere = 0.0

    def answer(self, question: Question[Any]) -> int | float:
        """The scenario's answer."""
        return self.scenario.answer(question)

    def start(self) -> None:
        """A fresh instance, and the call in it."""
        self.instance = self.scenario.make(self.world)
        self.execution = self.instance.start(self.scenario.call, *self.scenario.args)
        self.faults.armed = True

    def load(self, data: bytes) -> None:
        """Go on with what was saved, in an instance of its own."""
        self.faults.armed = False
        before = getattr(self, "instance", None)
        pattern = before or self.scenario.make(self.world)
        hosts = [binding.module for binding in pattern._bindings]
        limits = pattern._store.limits
        execution = Execution.load(data, pattern.module, hosts, trusted=True, limits=limits, engine=self.world.engine)
        if before is None:
            pattern.close()
        self.instance, self.execution = execution.instance, execution
        self.moved = self.faults.armed = True

    def ending(self, outcome: Outcome | Ended) -> Ending:
        """What the run came to."""
        return Ending(
            describe(outcome),
            *values_of(self.instance._raw),
            self.scenario.observe(self.instance),
            self.elapsed,
            self.faults.count,
            None if self.moved else self.instance.stats.host_calls,
        )

    @property
    def elapsed(self) -> float:
        """Seconds on the fake clocks, in all processes."""
        return self.elsewhere + self.world.clock.monotonic() - self.begun

    def close(self) -> None:
        """Drop what was left and close the instances."""
        for execution in self.left:
            if execution.state is State.SUSPENDED:
                execution.drop()
            execution.instance.close()
        if hasattr(self, "instance"):
            self.instance.close()


def run(
    scenario: Scenario, schedule: Injector, kinds: Sequence[Kind] = (Kind.RESTART,), setting: Setting | None = None
) -> Run:
    """Run `scenario` once. Raises InjectionFailure where something is left behind."""
    setting = setting or Setting()
    session = Session(scenario, Faults(schedule, tuple(kinds)), setting)
    try:
        session.start()
        outcome = session.advance()
        if isinstance(outcome, bytes):
            return _finish_elsewhere(session, outcome)
        _judge(session, outcome)
        return Run(session.ending(outcome), tuple(session.hits))
    finally:
        session.close()


def _judge(session: Session, outcome: Outcome | Ended) -> None:
    thrown = any(hit.kind is Kind.THROW for hit in session.hits)
    if thrown and not session.scenario.catches:
        if not isinstance(outcome, Failed) or not isinstance(outcome.error, Thrown):
            raise session.failure(f"what was thrown in didn't come out: {describe(outcome)}")
    if thrown or outcome is Ended.DROPPED:
        session.scenario.settled(session.instance)


def _finish_elsewhere(session: Session, data: bytes) -> Run:
    """Go on in another process, from save to save."""
    hits = list(session.hits)
    elapsed = session.elapsed
    faults = session.faults
    leg = elsewhere.Leg(
        session.scenario, session.setting, faults.schedule, faults.kinds, faults.count, faults.hits, data
    )
    while True:
        done = elsewhere.carry_out(go_on, leg)
        if done.error:
            raise InjectionFailure(f"{session.scenario.name}, in another process:\n{done.error}", tuple(hits))
        hits += done.hits
        elapsed += done.elapsed
        if done.ending is not None:
            return Run(attrs.evolve(done.ending, elapsed=elapsed), tuple(hits))
        leg = attrs.evolve(leg, count=done.count, hit=done.hit, data=done.data)


def go_on(leg: elsewhere.Leg) -> elsewhere.Done:
    """In the other process: load, and run to the end or to the next save."""
    faults = Faults(leg.schedule, leg.kinds, leg.count, leg.hit)
    session = Session(leg.scenario, faults, leg.setting)
    try:
        session.load(leg.data)
        outcome = session.advance()
        hits = tuple(session.hits)
        if isinstance(outcome, bytes):
            return elsewhere.Done(hits, session.elapsed, faults.count, faults.hits, outcome, None)
        _judge(session, outcome)
        return elsewhere.Done(hits, session.elapsed, faults.count, faults.hits, b"", session.ending(outcome))
    finally:
        session.close()


def values_of(raw: RuntimeInstance) -> tuple[tuple[bytes, ...], tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Memories, globals and tables of an instance, as data that can be compared."""
    return (
        tuple(bytes(memory.data) for memory in raw.memories),
        tuple(_value(g.value) for g in raw.globals),
        tuple(tuple(_value(e) for e in table.elems) for table in raw.tables),
    )


def _value(value: object) -> str:
    """A canonical value as text that is the same in every process."""
    if isinstance(value, float):
        return value.hex()
    name = getattr(value, "name", None)
    return repr(value) if name is None else f"<{name}>"
