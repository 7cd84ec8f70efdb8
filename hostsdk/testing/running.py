"""One run of a scenario under faults."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import attrs

from .._embed import Instance
from .._engine import ExecContext, Failed, HostFrame, Injector, Interrupt, Interrupted, State, StateError
from .._engine import Injected as InjectedReason
from .._execution import Execution
from .._outcomes import Outcome, Suspended
from .._question import Question
from . import elsewhere
from .faults import Faults, Kind, Thrown
from .report import Ending, Hit, InjectionFailure, describe, where
from .scenario import Scenario, World

Callbacks = Literal["nested", "scheduled"]


@attrs.frozen
class Setting:
    """What a run is made under besides its faults. Plain data: other processes get it, too."""

    callbacks: Callbacks = "nested"
    in_place: bool = True

    def __str__(self) -> str:
        return f"callbacks {self.callbacks}, waits {'in place' if self.in_place else 'off the stack'}"


@attrs.frozen
class Run:
    """What came of a run, and the check points that were hit."""

    ending: Ending
    hits: tuple[Hit, ...]


class Session:
    """A run in progress, from its first check point or, in another process, from where it was saved."""

    def __init__(self, scenario: Scenario, faults: Faults, setting: Setting) -> None:
        self.scenario = scenario
        self.faults = faults
        self.setting = setting
        self.world = World.make(
            faults, callbacks=setting.callbacks, in_place=setting.in_place, threads=scenario.threads
        )
        self.interrupt = Interrupt()
        self.hits: list[Hit] = []
        #: Seconds that passed in other processes.
        self.elsewhere = 0.0
        self.begun = self.world.clock.monotonic()
        #: Whether another store has had a part of the calls.
        self.moved = False
        self.instance: Instance
        self.execution: Execution
        #: Executions that were saved and went on elsewhere, kept to the end: their generators must not run meanwhile.
        self.left: list[Execution] = []
        faults.act = self._act

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

    # Running -------------------------------------------------------------------------------------------------------

    def advance(self) -> Outcome | bytes | None:
        """Run to the end: the outcome, None where it was dropped; or the bytes, where the call is to go on in another
        process."""
        while True:
            outcome = self.execution.run(interrupt=self.interrupt)
            if not isinstance(outcome, Suspended):
                kind = self.faults.taken()
                if kind is not None:  # something in the guest's way kept it from suspending
                    self.hits.append(Hit(self.faults.count, kind, ()))
                self._check_ended()
                self.faults.armed = False  # looking at what it came to may call the guest
                return outcome
            self._check_suspended()
            match outcome.reason:
                case Question() as question:
                    self.execution.answer(self.scenario.answer(question))
                    data = self._saved(self.faults.kinds[-1])
                case InjectedReason() | Interrupted():
                    kind = self.faults.taken()
                    if kind is None:
                        return outcome
                    self._note(kind)
                    if kind is Kind.DROP:
                        self._drop()
                        return None
                    if kind is Kind.THROW:
                        self.execution.throw(Thrown(f"at check point {self.faults.count}"))
                    data = self._saved(kind)
                case _:
                    return outcome
            if data is not None:
                return data

    def _saved(self, kind: Kind) -> bytes | None:
        """For a kind that saves: saves, and loads or gives the bytes for another process."""
        if not kind.saves:
            return None
        data = self.execution.save()
        self.left.append(self.execution)
        if kind is Kind.MOVE:
            return data
        self.load(data)
        return None

    def _act(self, kind: Kind) -> None:
        """A hit that makes no suspension by itself."""
        if kind is Kind.INTERRUPT:
            self.interrupt.set()
        else:
            context = self.execution._context
            context.callbacks = "nested" if context.callbacks == "scheduled" else "scheduled"
            self.hits.append(Hit(self.faults.count, kind, ()))

    def _note(self, kind: Kind) -> None:
        self.hits.append(Hit(self.faults.count, kind, where(self.execution.backtrace)))

    def _drop(self) -> None:
        self.faults.armed = False
        self.execution.drop()
        self._check_ended()
        for verb in (self.execution.run, self.execution.resume, self.execution.drop):
            try:
                verb()
            except StateError:
                continue
            raise self.failure(f"{verb.__name__} after a drop was not refused")

    # Judging -------------------------------------------------------------------------------------------------------

    def _check_suspended(self) -> None:
        """The engine's books agree with the frames."""
        context = self.execution._context
        have = {"frames": context.depth, "host functions": context.hosts, "cells": context.cells}
        frames = context.frames
        cells = sum(0 if isinstance(frame, HostFrame) else frame.cells for frame in frames)
        hosts = sum(isinstance(frame, HostFrame) for frame in frames)
        want = {"frames": len(frames), "host functions": hosts, "cells": cells}
        if have != want or _loose(context):
            raise self.failure(f"the engine counts {have} for {want}, {_loose(context)}")

    def _check_ended(self) -> None:
        """Nothing is left of the call: no frame, no claim on the instance."""
        context = self.execution._context
        left = [context.depth, context.hosts, context.cells, len(context.frames)]
        if any(left) or _loose(context):
            raise self.failure(f"left behind: {left}, {_loose(context)}")
        if context in self.instance._raw.group.root().active:
            raise self.failure("the instance is still claimed by the call, which has ended")

    def failure(self, message: str) -> InjectionFailure:
        """The error to raise, with the hits so far."""
        return InjectionFailure(f"{self.scenario.name} ({self.setting}): {message}", tuple(self.hits))

    def ending(self, outcome: Outcome | None) -> Ending:
        """What the run came to."""
        raw = self.instance._raw
        return Ending(
            describe(outcome),
            tuple(bytes(memory.data) for memory in raw.memories),
            tuple(_value(g.value) for g in raw.globals),
            tuple(tuple(_value(e) for e in table.elems) for table in raw.tables),
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


def _judge(session: Session, outcome: Outcome | None) -> None:
    thrown = any(hit.kind is Kind.THROW for hit in session.hits)
    if thrown and not session.scenario.catches:
        if not isinstance(outcome, Failed) or not isinstance(outcome.error, Thrown):
            raise session.failure(f"what was thrown in didn't come out: {describe(outcome)}")
    if thrown or outcome is None:
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


def _loose(context: ExecContext) -> list[str]:
    """What must be empty while nothing runs."""
    return [name for name in ("spilled", "unwinding", "suspended", "dropping", "nesting") if getattr(context, name)]


def _value(value: object) -> str:
    """A canonical value as text that is the same in every process."""
    if isinstance(value, float):
        return value.hex()
    name = getattr(value, "name", None)
    return repr(value) if name is None else f"<{name}>"
