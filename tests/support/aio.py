"""An event loop whose time is a fake clock's, and scenarios run in it."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

from hostsdk import Execution, FakeClock, Instance, Outcome
from hostsdk._drivers.aio import LoopDriver, drive
from hostsdk._drivers.scheduler import Deadlock
from hostsdk.testing import Kind, Scenario, Setting
from hostsdk.testing.faults import Faults
from hostsdk.testing.report import Ending
from hostsdk.testing.running import Session
from runtime import Injector

from .green import Bed, bed, guest

T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Lets time pass instead of sleeping; sleeps where time has nothing more to bring."""

    def __init__(self, clock: FakeClock, threads: bool) -> None:
        super().__init__()
        self.clock = clock
        self.threads = threads

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        found = super().select(0)
        if found or timeout == 0:
            return found
        timer = None
        if timeout is not None and timeout > 0:
            timer = self.clock.call_at(self.clock.monotonic() + timeout, lambda: None)
        try:
            if self.clock.step():
                return super().select(0)
        finally:
            if timer is not None:
                timer.cancel()
        if not self.threads and len(self.get_map()) <= 1:
            raise Deadlock("nothing will ever wake the loop")
        return super().select(timeout)


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes where everybody waits, and at once."""

    def __init__(self, clock: FakeClock, threads: bool = False) -> None:
        self.clock = clock
        super().__init__(_Selector(clock, threads))
        self.slow_callback_duration = 1e9

    def time(self) -> float:
        return self.clock.monotonic()


def virtually(main: Coroutine[Any, Any, T], clock: FakeClock | None = None, *, threads: bool = False) -> T:
    """What `main` gives in a loop of its own. Fails where a task is left."""
    loop = VirtualLoop(clock or FakeClock(), threads)
    try:
        result = loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        assert not left, left
        return result
    finally:
        loop.close()


def in_loop(scenario: Scenario, schedule: Injector, cancel: bool = False) -> Ending:
    """What the scenario comes to as a call of an event loop among others, restarted or cancelled where `schedule`
    says."""
    session = Session(
        scenario, Faults(schedule, (Kind.INTERRUPT if cancel else Kind.RESTART,)), Setting(in_place=False)
    )
    try:
        session.start()
        outcome = virtually(_beside(session, cancel), session.world.clock, threads=scenario.threads)
        session._check_ended()
        session.faults.armed = False
        if outcome is None:
            scenario.settled(session.instance)
        return session.ending(outcome)  # type: ignore[arg-type]  # None stands for a call that was dropped
    finally:
        session.close()


async def _beside(session: Session, cancel: bool) -> Outcome | None:
    others = [
        asyncio.create_task(Instance(guest(), [bed(Bed())]).call_async(name, 50, turn=0.01)) for name in ("nap", "spin")
    ]
    task = asyncio.create_task(_finish(session.execution))
    if cancel:

        def act(kind: Kind) -> None:
            task.cancel()

        session.faults.act = act
    outcome: Any
    [outcome, *_] = await asyncio.gather(task, *others, return_exceptions=True)
    if isinstance(outcome, asyncio.CancelledError):
        return None
    if isinstance(outcome, BaseException):
        raise outcome
    ended: Outcome = outcome
    return ended


async def _finish(execution: Execution) -> Outcome:
    context = execution._context
    driver = LoopDriver(asyncio.get_running_loop(), context.requests.clock)
    try:
        return execution._convert(await drive(context, driver, None, None, 0.01))
    except asyncio.CancelledError:
        execution.drop()
        raise
    finally:
        await driver.cleaned()


__all__ = ["VirtualLoop", "in_loop", "virtually"]
