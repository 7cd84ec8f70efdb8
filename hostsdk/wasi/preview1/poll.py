"""poll_oneoff: waiting for clocks and descriptors, any number of them, together."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple, TypeAlias

from hostsdk import Notifier, Stored, lean, u16, u32

from ..errno import fault, invalid, number_of
from ..fs.base import Ready
from ..module import host
from ..state import SECOND, BlockingCtx, WasiState
from ..types import ABSTIME, HANGUP, ClockId, EventType, Rights
from .clock import clock_id, realtime
from .iovec import require

#: Subscriptions of one call at most.
MOST = 1 << 16
_SUBSCRIPTION = struct.Struct("<QB7xI4xQQH6x")
_EVENT = struct.Struct("<QHB5xQH6x")
#: Nanoseconds by which a reading of the realtime clock may be coarse.
_COARSE = 1000

#: userdata, type, clock or descriptor, timeout, precision, flags.
Row: TypeAlias = "tuple[int, int, int, int, int, int]"
#: userdata, error number, type, bytes, flags.
Event: TypeAlias = "tuple[int, int, int, int, int]"


class Subscription(NamedTuple):
    """One subscription, as it was when the call began: `at` is a time in nanoseconds on its clock's scale; `identity`
    that of a descriptor, or 0 where there was none, and then `error` says why."""

    userdata: int
    type: int
    clock: int = 0
    at: int = 0
    identity: int = 0
    error: int = 0


@host.restartable
def poll_oneoff(ctx: BlockingCtx, subs: u32, out: u32, count: u32) -> tuple[u16, Stored[u32]]:
    """Wait until a clock has come so far or a descriptor is ready; all that have are reported, in order. May suspend.

    A descriptor that is none is an event with EBADF; data is reported before a hang-up that came after it.
    """
    return 0, poll(ctx, subs, out, count, _SUBSCRIPTION.size, _rows)


def poll(ctx: BlockingCtx, subs: int, out: int, count: int, size: int, parse: Callable[[bytes], Iterable[Row]]) -> int:
    """`poll_oneoff` of subscriptions that take `size` bytes each: how many events were written."""

    def read() -> list[tuple[int, ...]]:
        require(ctx, subs, size * count, 8)
        require(ctx, out, _EVENT.size * count, 8)
        if not 0 < count <= MOST:
            raise invalid(f"{count} subscriptions")
        return [tuple(_subscription(ctx, *row)) for row in parse(ctx.memory.read(subs, size * count))]

    wanted = [Subscription(*row) for row in ctx.once(read)]

    def look() -> int | None:
        events = [event for event in (_look(ctx, each) for each in wanted) if event is not None]
        if not events:
            return None
        ctx.memory.write(out, b"".join([_EVENT.pack(*event) for event in events]))
        return len(events)

    while True:
        found = _wait(ctx, wanted, look)
        if found:
            return found


def _rows(raw: bytes) -> Iterable[Row]:
    return _SUBSCRIPTION.iter_unpack(raw)


def _subscription(
    ctx: BlockingCtx, userdata: int, type_: int, which: int, timeout: int, precision: int, flags: int
) -> Subscription:
    if type_ == EventType.CLOCK:
        clock = clock_id(which)
        if clock not in (ClockId.REALTIME, ClockId.MONOTONIC):
            raise fault(errno.ENOTSUP, f"clock {clock.name} can't be waited for")
        at = timeout if flags & ABSTIME else _now(ctx, clock) + timeout
        return Subscription(userdata, type_, clock, at)
    if type_ not in (EventType.FD_READ, EventType.FD_WRITE):
        raise invalid(f"there is no event type {type_}")
    try:
        descriptor = ctx.state.fds.get(which, Rights.POLL_FD_READWRITE)
    except OSError as error:
        return Subscription(userdata, type_, error=number_of(error))
    return Subscription(userdata, type_, identity=descriptor.identity)


def _now(ctx: BlockingCtx, clock: int) -> int:
    return realtime(ctx) if clock == ClockId.REALTIME else ctx.state.monotonic(ctx)


def _look(ctx: BlockingCtx, wanted: Subscription) -> Event | None:
    """The event of a subscription if there is one now."""
    if wanted.type == EventType.CLOCK:
        return (wanted.userdata, 0, wanted.type, 0, 0) if _expired(ctx, wanted) else None
    error = wanted.error
    if not error:
        try:
            found = _ready(ctx.state, wanted)
        except OSError as raised:
            error = number_of(raised)
        else:
            if found is None:
                return None
            return (wanted.userdata, 0, wanted.type, found.nbytes, HANGUP if found.hangup else 0)
    return (wanted.userdata, error, wanted.type, 0, 0)


def _ready(state: WasiState, wanted: Subscription) -> Ready | None:
    descriptor = state.fds.pinned(wanted.identity)
    return descriptor.file.ready(wanted.type == EventType.FD_WRITE)


def _wait(ctx: BlockingCtx, wanted: Sequence[Subscription], look: Callable[[], int | None]) -> int | None:
    """Wait for what `look` finds; None when a deadline has passed, and then it is to be called again."""
    sources = _sources(ctx.state, wanted)
    clocks = {each.clock for each in wanted if each.type == EventType.CLOCK}
    wall = clocks == {ClockId.REALTIME}

    def limit() -> float | None:
        ends = [_end(ctx, each, wall) for each in wanted if each.type == EventType.CLOCK]
        return min(ends, default=None)

    at = ctx.once(limit)
    return ctx.block_until(
        look,
        readable=sources.readable if sources else None,
        writable=sources.writable if sources else None,
        wake=sources.wakes if sources else None,
        deadline=None if wall else at,
        wall_deadline=at if wall else None,
    )


def _end(ctx: BlockingCtx, wanted: Subscription, wall: bool) -> float:
    """When a clock will have come so far: on the wall clock's scale where all do, else on that of `ctx.time`."""
    if wall:
        return wanted.at / SECOND
    return ctx.time + (wanted.at - _now(ctx, wanted.clock)) / SECOND


def _expired(ctx: BlockingCtx, wanted: Subscription) -> bool:
    # Times are floats to the host: what is nearer than they can tell has come. The guest's clock then shows it.
    slack = (_COARSE if wanted.clock == ClockId.REALTIME else 100) + (wanted.at >> 50)
    if _now(ctx, wanted.clock) + slack < wanted.at:
        return False
    if wanted.clock == ClockId.MONOTONIC:
        ctx.state.reach(wanted.at)
    return True


@lean.define
class _Sources:
    readable: list[int] = lean.field(factory=list)
    writable: list[int] = lean.field(factory=list)
    #: Never empty: for a wait for clocks alone nothing is tried in between.
    wakes: list[Notifier] = lean.field(factory=lambda: [Notifier()])


def _sources(state: WasiState, wanted: Iterable[Subscription]) -> _Sources | None:
    """What tells that `look` would find something; None where a file has nothing that tells: then all are looked at
    now and then."""
    found = _Sources()
    for each in wanted:
        if not each.identity:
            continue
        try:
            descriptor = state.fds.pinned(each.identity)
        except OSError:
            continue  # the attempt will tell
        write = each.type == EventType.FD_WRITE
        sources = descriptor.file.sources(write)
        if not (sources.fds or sources.wakes):
            return None
        (found.writable if write else found.readable).extend(sources.fds)
        found.wakes += [descriptor.closed, *sources.wakes]
    return found
