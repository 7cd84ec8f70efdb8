"""clock_res_get, clock_time_get."""

from __future__ import annotations

import time

from hostsdk import Stored, u16, u32, u64

from ..errno import invalid
from ..module import host
from ..state import Ctx
from ..types import ClockId

#: Nanoseconds between two readings that differ: what a float of seconds since 1970 can hold, and what it can after
#: a few years of uptime.
_RESOLUTION = {
    ClockId.REALTIME: 1000,
    ClockId.MONOTONIC: 1,
    ClockId.PROCESS_CPUTIME: 1,
    ClockId.THREAD_CPUTIME: 1,
}


@host.function
def clock_res_get(ctx: Ctx, clock: u32) -> tuple[u16, Stored[u64]]:
    """The resolution of a clock in nanoseconds."""
    return 0, _RESOLUTION[clock_id(clock)]


@host.function
def clock_time_get(ctx: Ctx, clock: u32, precision: u64) -> tuple[u16, Stored[u64]]:
    """A clock's time in nanoseconds. Realtime counts from 1970, the monotonic clock from the instance's beginning."""
    match clock_id(clock):
        case ClockId.REALTIME:
            return 0, realtime(ctx)
        case ClockId.MONOTONIC:
            return 0, ctx.state.monotonic(ctx)
        case ClockId.PROCESS_CPUTIME:
            return 0, time.process_time_ns()
        case ClockId.THREAD_CPUTIME:
            return 0, time.thread_time_ns()


def realtime(ctx: Ctx) -> int:
    """Nanoseconds since 1970 on the engine's clock, in whole microseconds; a date before that is 1970."""
    return max(round(ctx.wall_time * 1_000_000) * 1000, 0)


def clock_id(number: int) -> ClockId:
    """The clock of a number. Raises EINVAL."""
    try:
        return ClockId(number)
    except ValueError:
        raise invalid(f"there is no clock {number}") from None
