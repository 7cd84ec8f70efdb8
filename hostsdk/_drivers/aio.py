"""asyncio: executions that are coroutines of the embedder's event loop. A wait is a wait of the loop's, and a guest
that computes lets the loop go on after its time slice."""

from __future__ import annotations

import asyncio
import selectors
import threading
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from .._engine import (
    Clock,
    ExecContext,
    Injected,
    Interrupt,
    Outcome,
    Preempted,
    Requests,
    State,
    Suspended,
    ThreadDriver,
    Waiting,
    WaitSet,
    Waker,
    control,
)
from .._execution import Execution
from .reactor import events_of
from .turns import TimedTurns

Wake = Callable[[], None]


class Timer(Protocol):
    """What can be taken back."""

    def cancel(self) -> None: ...


class LoopDescriptors:
    """A loop has one callback for a descriptor; here any number of waits share it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[tuple[int, int], dict[Wake, None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, wake: Wake, waits: WaitSet) -> bool:
        """Call `wake` when a descriptor of `waits` may be ready. False, and nothing is watched, where an attempt would
        tell at once: one is closed, or a file that is always ready."""
        events = events_of(waits)
        if events is None:
            return False
        try:
            for number, mask in events.items():
                for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                    if mask & event:
                        self._add(wake, number, event)
        except (OSError, ValueError):
            self.remove(wake, waits)
            return False
        return True

    def remove(self, wake: Wake, waits: WaitSet) -> None:
        """No more. Harmless where nothing is watched for it."""
        for descriptor in {d.number for d in (*waits.readable, *waits.writable)}:
            for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                there = self._waiting.get((descriptor, event))
                if there is None or there.pop(wake, there) is there:
                    continue
                if not there:
                    del self._waiting[descriptor, event]
                    self._stop(descriptor, event)

    def _add(self, wake: Wake, number: int, event: int) -> None:
        there = self._waiting.setdefault((number, event), {})
        there[wake] = None
        if len(there) > 1:
            # Anew: a number that was closed and given out again is unknown to the kernel, though it is known here.
            self._stop(number, event)
        if event == selectors.EVENT_READ:
            self._loop.add_reader(number, self._ready, number, event)
        else:
            self._loop.add_writer(number, self._ready, number, event)

    def _stop(self, number: int, event: int) -> None:
        if event == selectors.EVENT_READ:
            self._loop.remove_reader(number)
        else:
            self._loop.remove_writer(number)

    def _ready(self, number: int, event: int) -> None:
        for wake in list(self._waiting.get((number, event), ())):
            wake()


class Place:
    """What the executions of one loop share."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.thread = threading.get_ident()
        self.descriptors = LoopDescriptors(loop)
        #: Time slices by clock and length.
        self._turns: dict[tuple[int, float], TimedTurns] = {}

    def turns(self, clock: Clock, length: float) -> TimedTurns:
        """Who ends the turns of such a length."""
        key = (id(clock), length)
        found = self._turns.get(key)
        if found is None:
            found = self._turns[key] = TimedTurns(clock, length)
        return found


_places: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Place] = weakref.WeakKeyDictionary()


class LoopDriver:
    """Of one execution. A wait is off the stack, and awaited; only a plain call nested in a host function holds the
    thread."""

    in_place = False

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock) -> None:
        self.loop = loop
        self.clock = clock
        place = _places.get(loop)
        if place is None:
            place = _places[loop] = Place(loop)
        self.place = place
        self.thread = place.thread
        #: Cleanups of dropped coroutines, which are to be awaited.
        self.ending: list[Awaitable[object]] = []

    def wait(self, waits: WaitSet, waker: Waker, word: list[int]) -> None:
        """For nested plain calls."""
        ThreadDriver(self.clock).wait(waits, waker, word)

    def call_at(self, deadline: float, fn: Wake) -> Timer:
        """Have `fn` called in the loop once `deadline`, on the execution's clock, has passed."""
        seconds = self.clock.timeout_for(deadline)
        if seconds is None:
            return self.clock.call_at(deadline, lambda: _tell(self.loop, fn))
        return self.loop.call_later(seconds, fn)

    async def until(self, requests: Requests, waits: WaitSet) -> None:
        """Wait until a source of `waits` may be ready, its deadline has passed or a request has come."""
        loop = self.loop
        future = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        requests.waker.arm(lambda: _tell(loop, wake))
        timer = None
        try:
            waits.subscribe(requests.waker)
            watched = not (waits.readable or waits.writable) or self.place.descriptors.add(wake, waits)
            if waits.deadline is not None:
                timer = self.call_at(waits.deadline, wake)
            if not watched or waits.signalled or any(r.urgent for r in requests.chain()):
                await asyncio.sleep(0)  # others have their turn all the same
            else:
                await future
        finally:
            requests.waker.disarm()
            waits.unsubscribe(requests.waker)
            self.place.descriptors.remove(wake, waits)
            if timer is not None:
                timer.cancel()

    async def cleaned(self) -> None:
        """Await the cleanup of coroutines that were dropped."""
        while self.ending:
            await asyncio.gather(self.ending.pop(), return_exceptions=True)


def _tell(loop: asyncio.AbstractEventLoop, fn: Wake) -> None:
    try:
        loop.call_soon_threadsafe(fn)
    except RuntimeError:
        pass  # the loop is closed: nobody waits there any more


async def drive(
    ctx: ExecContext, driver: LoopDriver, interrupt: Interrupt | None, timeout: float | None, turn: float
) -> Outcome:
    """Run to the end, or to a suspension that the embedder has to decide about. `timeout`, in seconds, is for all of
    it; a turn takes `turn` seconds. Cancelled, it leaves the execution as it is."""
    requests = ctx.requests
    turns = driver.place.turns(requests.clock, turn)

    def expire() -> None:
        requests.expired = True
        requests.wake()

    timer = None if timeout is None else driver.call_at(requests.clock.monotonic() + timeout, expire)
    if interrupt is not None:
        requests.attachments.append(interrupt.attach(requests))
        requests.refresh()
    before, ctx.driver = ctx.driver, driver
    try:
        while True:
            requests.preempted = False
            turns.begin(requests)
            try:
                outcome = control.run(ctx)
            finally:
                turns.end()
            match outcome:
                case Suspended(_, Waiting(waits)):
                    await driver.until(requests, waits)
                case Suspended(_, Preempted() | Injected()):
                    await asyncio.sleep(0)
                case _:
                    return outcome
    finally:
        if timer is not None:
            timer.cancel()
        requests.disarm()
        requests.expired = False
        ctx.driver = before


async def finish(execution: Execution, interrupt: Interrupt | None, timeout: float | None, turn: float) -> Any:
    """Run `execution` in the running loop, and give or raise what a plain call would. Where this is cancelled the call
    is dropped, and its host functions have cleaned up when CancelledError comes out."""
    context = execution._context
    driver = LoopDriver(asyncio.get_running_loop(), context.requests.clock)
    try:
        outcome = await drive(context, driver, interrupt, timeout, turn)
        return execution.instance._conclude(execution, outcome)
    except BaseException:
        if context.state in (State.READY, State.SUSPENDED):
            control.drop(context)
        raise
    finally:
        await driver.cleaned()


__all__ = ["LoopDriver", "drive", "finish"]
