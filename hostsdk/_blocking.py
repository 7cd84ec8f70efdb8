"""Waiting: `block_until`, `sleep`, `check_interrupt`. They build wait sets and never wait themselves; the driver does.

The order is fixed: try, then look for requests, then wait. Whatever is ready is taken even under a standing interrupt,
so every resume makes progress, and no effect lies behind a check.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from ._engine import Entry, ExecContext, Record, Unwind, WaitSet, backoff, check_interrupt, wait
from ._ops import Operation
from ._restart import answer
from ._types import Op
from ._wake import Fd, Wake

if TYPE_CHECKING:
    from ._context import Context

T = TypeVar("T")
#: What an attempt gives while it has nothing.
NotYet: TypeAlias = Literal[False] | None


class BlockUntil(Operation[Any]):
    """One wait, with its deadline in the record."""

    def __init__(
        self,
        attempt: Callable[[], object] | None,
        *,
        readable: Any = None,
        writable: Any = None,
        wake: Any = None,
        timeout: float | None = None,
        deadline: float | None = None,
        wall_deadline: float | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__()
        self.attempt = attempt
        self.sources = {"readable": readable, "writable": writable, "wake": wake}
        #: No source will tell anything.
        self.bare = readable is None and writable is None and wake is None
        self.timeout = timeout
        self.deadline = deadline
        self.wall_deadline = wall_deadline
        self.name = name or getattr(attempt, "__name__", "") or "block_until"
        if sum(limit is not None for limit in (timeout, deadline, wall_deadline)) > 1:
            raise TypeError("block_until takes one of timeout, deadline and wall_deadline")

    @property
    def label(self) -> str:
        return f"block_until({self.name})"

    def perform(self, ctx: Context[Any]) -> object:
        record = ctx._now.must_journal("block_until")
        execution = ctx._ctx
        entry = record.next("wait", self.name)
        if entry is None:
            entry = record.append("wait", self.name, self._limit(execution), pending=True)
            entry.since = execution.requests.clock.monotonic()
        error = record.thrown(entry)
        if error is not None:
            record.fail(entry, error)
            raise error
        if not entry.pending:
            return answer(entry)
        return self._wait(ctx, execution, record, entry)

    def _wait(self, ctx: Context[Any], execution: ExecContext, record: Record, entry: Entry) -> object:
        tries = 0
        while True:
            # Made before the attempt: a notification in between then ends the wait at once.
            waits = self._waits(execution, entry, tries)
            try:
                with ctx._now.atomic():
                    value = self._try(entry, waits)
            except Unwind:
                raise
            except BaseException as error:
                record.fail(entry, error)
                raise
            if value is not None and value is not False:
                record.settle(entry, value)
                return value
            if self._late(execution, entry) and not self._gives_way(entry, waits):
                nothing = None if self.attempt is not None else False
                record.settle(entry, nothing)
                return nothing
            entry.waits = waits
            check_interrupt(execution)
            wait(execution, waits)
            if self.timeout == 0:
                _let_threads_go()
            tries += 1

    def _gives_way(self, entry: Entry, waits: WaitSet) -> bool:
        """Whether nothing is waited for and no time: the turn is given up all the same, once."""
        return entry.waits is None and self.timeout == 0 and self.attempt is None and waits.empty

    def _try(self, entry: Entry, waits: WaitSet) -> object:
        if self.attempt is not None:
            try:
                return self.attempt()
            except BlockingIOError:
                return None
        if self.bare:
            return False
        # Without an attempt the first set of sources is what counts: a notification since then is not forgotten.
        first = entry.live
        if not isinstance(first, WaitSet):
            first = entry.live = waits
        return first.signalled or _ready(waits)

    def _limit(self, execution: ExecContext) -> tuple[str, float] | None:
        if self.timeout is not None:
            return "monotonic", execution.requests.clock.monotonic() + self.timeout
        if self.deadline is not None:
            return "monotonic", self.deadline
        if self.wall_deadline is not None:
            return "wall", self.wall_deadline
        return None

    def _waits(self, execution: ExecContext, entry: Entry, tries: int) -> WaitSet:
        clock = execution.requests.clock
        limit: Any = entry.value
        deadline: float | None = None
        if limit is not None:
            scale, at = limit
            # A step of the wall clock is seen when the wait ends, and then it goes on.
            deadline = at if scale == "monotonic" else clock.monotonic() + at - clock.wall()
        if self.bare and self.attempt is None and deadline is not None and -math.inf < deadline < math.inf:
            return WaitSet((), (), (), deadline, self.name)
        waits = WaitSet.of(**self.sources, deadline=deadline, label=self.name)
        if waits.empty and self.attempt is not None:
            soon = clock.monotonic() + backoff(tries)
            deadline = soon if deadline is None else min(soon, deadline)
            waits = WaitSet.of(deadline=deadline, label=self.name)
        return waits

    def _late(self, execution: ExecContext, entry: Entry) -> bool:
        limit: Any = entry.value
        if limit is None:
            return False
        clock = execution.requests.clock
        scale, at = limit
        now = clock.monotonic() if scale == "monotonic" else clock.wall()
        return bool(now >= at)


def _let_threads_go() -> None:
    """Others of the system's threads may have the interpreter, and the processor."""
    time.sleep(0)
    if hasattr(os, "sched_yield"):
        os.sched_yield()


def _ready(waits: WaitSet) -> bool:
    """Whether a descriptor is ready now."""
    if not (waits.readable or waits.writable):
        return False
    poll = select.poll()
    events: dict[int, int] = {}
    for descriptors, event in ((waits.readable, select.POLLIN), (waits.writable, select.POLLOUT)):
        for descriptor in descriptors:
            events[descriptor.number] = events.get(descriptor.number, 0) | event
    if any(not 0 <= number < 1 << 31 for number in events):
        return True  # closed, or none at all: whoever uses it next will be told
    for number, mask in events.items():
        poll.register(number, mask)
    return bool(poll.poll(0))


class CheckInterrupt(Operation[None]):
    """A check point of the function's own."""

    label = "check_interrupt"

    def perform(self, ctx: Context[Any]) -> None:
        record = ctx._now.must_journal("check_interrupt")
        if record.pass_check():
            return
        error = record.thrown(None)
        if error is not None:
            record.fail(record.append("check", "", None), error)
            raise error
        check_interrupt(ctx._ctx)
        record.count_check()


@overload
def block_until(
    attempt: Callable[[], T | NotYet],
    *,
    readable: Fd | None = None,
    writable: Fd | None = None,
    wake: Wake | None = None,
) -> Op[T]: ...
@overload
def block_until(
    attempt: Callable[[], T | NotYet],
    *,
    readable: Fd | None = None,
    writable: Fd | None = None,
    wake: Wake | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
    wall_deadline: float | None = None,
) -> Op[T | None]: ...
@overload
def block_until(
    *,
    readable: Fd | None = None,
    writable: Fd | None = None,
    wake: Wake | None = None,
    timeout: float | None = None,
    deadline: float | None = None,
    wall_deadline: float | None = None,
) -> Op[bool]: ...
def block_until(attempt: Any = None, **options: Any) -> Any:
    """The same as `ctx.block_until`, for a generator: `value = yield from block_until(…)`. May suspend."""
    return BlockUntil(attempt, **options)


def sleep(seconds: float) -> Op[bool]:
    """For a generator: `yield from sleep(s)`. `seconds` in all, however often it is interrupted. May suspend."""
    return BlockUntil(None, timeout=max(seconds, 0.0), name="sleep")


def check_interrupt_op() -> Op[None]:
    """For a generator: `yield from check_interrupt()`. May suspend."""
    return CheckInterrupt()
