"""Guests for schedulers, and scenarios run as one task among others."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

from hostsdk import (
    BlockingContext,
    Engine,
    EngineConfig,
    FakeClock,
    HostModule,
    Instance,
    Module,
    Scheduler,
    SchedulerPool,
    Task,
    u32,
)
from hostsdk.testing import Kind, Never, Scenario, Setting
from hostsdk.testing.faults import Faults
from hostsdk.testing.report import Ending
from hostsdk.testing.running import Session
from runtime import Injector

from .build import wat

#: Naps, computes, does both in turn, and tells a host function of each round.
TEXT = """(module
  (import "h" "nap" (func $nap (param i32) (result i32)))
  (import "h" "note" (func $note (param i32)))
  (func (export "nap") (param i32) (result i32) (call $nap (local.get 0)))
  (func $spin (export "spin") (param i32) (result i32) (local i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func (export "both") (param $id i32) (param $rounds i32) (result i32)
    (loop
      (call $note (local.get $id))
      (drop (call $spin (i32.const 40)))
      (drop (call $nap (i32.const 7)))
      (br_if 0 (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (local.get $id))
  (func (export "talk") (param $id i32) (param $rounds i32) (result i32)
    (loop
      (call $note (local.get $id))
      (drop (call $spin (i32.const 40)))
      (br_if 0 (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
    (local.get $id))
  (func (export "for_ever") (loop (br 0))))"""


class Bed:
    """What the guests of a test share: notes, and which naps were left."""

    def __init__(self) -> None:
        self.notes: list[int] = []
        self.left: list[int] = []


def bed(shared: Bed) -> HostModule[Bed]:
    """The host module that notes in `shared`."""
    host = HostModule("h", state=lambda: shared)

    @host.restartable
    def nap(ctx: BlockingContext[Bed], ms: u32) -> u32:
        ctx.acquire(lambda: ms, release=shared.left.append)
        ctx.sleep(ms / 1000)
        return ms

    @host.restartable
    def note(ctx: BlockingContext[Bed], number: u32) -> None:
        ctx.once(lambda: ctx.state.notes.append(number))

    return host


@cache
def guest() -> Module:
    """The guest."""
    return Module.from_bytes(wat(TEXT))


class Hall:
    """A scheduler, and guests in it that share a `Bed`."""

    def __init__(self, *, tier: Literal["interpreter", "native"] = "interpreter", **options: Any) -> None:
        self.engine = Engine(EngineConfig(tier=tier))
        self.scheduler = SchedulerPool(**options) if "workers" in options else Scheduler(**options)
        self.bed = Bed()
        self.host = bed(self.bed)

    def instance(self) -> Instance:
        return Instance(guest(), [self.host], engine=self.engine)

    def spawn(self, name: str, *args: int, **options: Any) -> Task:
        """A task of an instance of its own."""
        return self.scheduler.spawn(self.instance(), name, *args, **options)

    def __enter__(self) -> Hall:
        return self

    def __exit__(self, *exc: object) -> None:
        self.scheduler.close()


def undisturbed(scenario: Scenario) -> Ending:
    """What the scenario comes to alone, waiting in place."""
    return _play(scenario, Never(), Setting(), lambda session: session.execution.run())


class VirtualPool(SchedulerPool):
    """Lets the time of its fake clock pass whenever a thread has nothing to do."""

    def _lead(self) -> None:
        if not (isinstance(self.clock, FakeClock) and self.clock.step()):
            super()._lead()


def green(
    scenario: Scenario, schedule: Injector, seed: int = 0, cancel: bool = False, workers: int | None = None
) -> Ending:
    """What it comes to as a task among others, restarted or cancelled where `schedule` says; in a pool of `workers`, or
    in turns drawn from `seed`."""

    def carry_out(session: Session) -> object:
        world = session.world
        with (
            Scheduler(clock=world.clock, seed=seed, threads=scenario.threads) if workers is None
            else VirtualPool(workers, clock=world.clock)
        ) as scheduler:  # fmt: skip
            task = scheduler.add(session.execution)
            if cancel:
                session.faults.act = lambda kind: task.cancel()
            for spare in range(3):
                name = ("for_ever", "nap", "spin")[spare]
                scheduler.spawn(Instance(guest(), [bed(Bed())]), name, *[300_000][: spare > 0], priority=-spare)
            scheduler.run(task)
            return task.outcome

    kind = Kind.INTERRUPT if cancel else Kind.RESTART
    return _play(scenario, schedule, Setting(in_place=False), carry_out, kind)


def _play(
    scenario: Scenario,
    schedule: Injector,
    setting: Setting,
    carry_out: Callable[[Session], Any],
    kind: Kind = Kind.RESTART,
) -> Ending:
    session = Session(scenario, Faults(schedule, (kind,)), setting)
    try:
        session.start()
        outcome = carry_out(session)
        session._check_ended()
        session.faults.armed = False
        if outcome is None:
            scenario.settled(session.instance)
        return session.ending(outcome)
    finally:
        session.close()


__all__ = ["Bed", "Hall", "bed", "green", "guest", "undisturbed"]
