"""Guests of several threads in an event loop: their ends, cancellation, and the loop beside them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hostsdk import CallInterrupted, Exited, ExitRequested, Interrupt, Returned, Timeout, Trap
from hostsdk.testing import Every
from tests.support.threads import TIERS, guest, nothing_left, process, queue_of_work
from tests.support.waits import in_thread

STATES = ("busy", "wait", "poll", "fd_read", "host")
ENDS = ("proc_exit", "trap", "return")


def _run(make: Any) -> Any:
    """In a thread of its own, so that what the loop keeps goes with it."""
    return in_thread(lambda: asyncio.run(make())).result(60)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("tier", TIERS)
def test_the_end_of_one_thread(tier: Any, state: str, how: str, pipe: tuple[int, int]) -> None:
    """Behaviours 62, 64, 65 and 77: while a thread is in a state that it would never leave, the main thread exits,
    traps or returns, and with it the process; the loop has gone on meanwhile."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    async def main() -> object:
        beside = asyncio.create_task(tick())
        try:
            return await running.run_async("other", STATES.index(state), ENDS.index(how))
        except (ExitRequested, Trap) as error:
            return error
        finally:
            beside.cancel()

    with nothing_left(), process(guest("exits"), tier, stdin=pipe[0]) as running:
        outcome = _run(main)
        result = running.result
        assert result is not None
        assert (result.tid, running.threads) == (0, 0)
        assert ticks > 0
        if how == "trap":
            assert isinstance(outcome, Trap)
        else:
            assert result.outcome == (Exited(3) if how == "proc_exit" else Returned(()))


@pytest.mark.parametrize("injector", [None, Every(3)], ids=["plain", "third"])
@pytest.mark.parametrize("tier", TIERS)
def test_a_queue_of_work(tier: Any, injector: Any) -> None:
    """61: a C program on its own mutexes and condition variables gives what it gives on every other layout of threads,
    two of them beside one another in one loop, too."""

    async def main() -> list[object]:
        found: list[object] = await asyncio.gather(*[each.run_async("run", 20) for each in made])
        return found

    with nothing_left():
        made = [process(queue_of_work(), tier, injector=injector) for _ in range(2)]
        assert _run(main) == [196, 196]
        for each in made:
            each.close()


@pytest.mark.parametrize("way", ["cancel", "timeout", "interrupt"])
@pytest.mark.parametrize("state", ["busy", "wait", "host"])
def test_stopped_from_outside(state: str, way: str, pipe: tuple[int, int]) -> None:
    """14, 67 and 77: cancelled, out of time or interrupted, all threads have ended before that is raised."""
    interrupt = Interrupt()

    async def main() -> object:
        limit = 0.02 if way == "timeout" else None
        call = asyncio.create_task(
            running.run_async("main", STATES.index(state), 2, interrupt=interrupt, timeout=limit)
        )
        for _ in range(3):
            await asyncio.sleep(0)  # some of it has begun
        if way == "cancel":
            call.cancel()
        elif way == "interrupt":
            interrupt.set()
        await asyncio.wait([call])
        assert running.threads == 0
        return asyncio.CancelledError if call.cancelled() else type(call.exception())

    want = {"cancel": asyncio.CancelledError, "timeout": Timeout, "interrupt": CallInterrupted}
    with nothing_left(), process(guest("exits"), stdin=pipe[0]) as running:
        assert _run(main) is want[way]
