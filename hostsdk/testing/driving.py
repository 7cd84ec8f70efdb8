"""Running an execution under faults: what is done at each check point that is hit, and what must hold meanwhile."""

from __future__ import annotations

import enum
from typing import Any, Literal

import attrs

from .._embed import Instance
from .._engine import ExecContext, HostFrame, Interrupt, Interrupted, StateError
from .._engine import Injected as InjectedReason
from .._execution import Execution
from .._outcomes import Outcome, Suspended
from .._question import Question
from .faults import Faults, Kind, Thrown
from .places import sources
from .report import Hit, InjectionFailure, where
from .scenario import World

Callbacks = Literal["nested", "scheduled"]


@attrs.frozen
class Setting:
    """What a run is made under besides its faults. Plain data: other processes get it, too."""

    callbacks: Callbacks = "nested"
    in_place: bool = True

    def __str__(self) -> str:
        return f"callbacks {self.callbacks}, waits {'in place' if self.in_place else 'off the stack'}"


class Ended(enum.Enum):
    """An execution that came to no outcome of its own."""

    DROPPED = "dropped"


class Drive:
    """Executions of one run, one after the other. Subclasses say what answers questions, and where a saved execution
    goes on."""

    def __init__(self, name: str, faults: Faults, setting: Setting, world: World) -> None:
        self.name = name
        self.faults = faults
        self.setting = setting
        self.world = world
        self.interrupt = Interrupt()
        self.hits: list[Hit] = []
        self.begun = world.clock.monotonic()
        #: Whether another store has had a part of the calls.
        self.moved = False
        self.instance: Instance
        self.execution: Execution
        #: Executions that were saved and went on elsewhere, kept to the end: their generators must not run meanwhile.
        self.left: list[Execution] = []
        faults.act = self._act

    def answer(self, question: Question[Any]) -> int | float:
        """The answer to what a host function asks."""
        raise LookupError(f"{self.name} has no answer to {question!r}")

    def load(self, data: bytes) -> None:
        """Go on with what was saved, in an instance of its own: sets `instance` and `execution`."""
        raise InjectionFailure(f"{self.name} can't be loaded")

    # Running -------------------------------------------------------------------------------------------------------

    def advance(self) -> Outcome | bytes | Ended:
        """Run to the end: the outcome, or that it was dropped; or the bytes, where the call is to go on in another
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
                    self.execution.answer(self.answer(question))
                    data = self._saved(self.faults.kinds[-1])
                case InjectedReason() | Interrupted():
                    kind = self.faults.taken()
                    if kind is None:
                        return outcome
                    self._note(kind)
                    if kind is Kind.DROP:
                        self._drop()
                        return Ended.DROPPED
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
        frames = self.execution._context.frames
        self.hits.append(Hit(self.faults.count, kind, where(self.execution.backtrace), sources(frames)))

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
        return InjectionFailure(f"{self.name} ({self.setting}): {message}", tuple(self.hits))


def _loose(context: ExecContext) -> list[str]:
    """What must be empty while nothing runs."""
    return [name for name in ("spilled", "unwinding", "suspended", "dropping", "nesting") if getattr(context, name)]
