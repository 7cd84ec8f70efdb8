"""poll_oneoff (BEHAVIOURS 36 to 44): clocks and descriptors together, on a fake clock."""

from __future__ import annotations

import os

import pytest

from hostsdk import WASI_ERRNO, Engine, EngineConfig, FakeClock, Interrupt, Suspended, Trap, TrapCode
from hostsdk.wasi import ByteQueue
from runtime.exec.inject import Every, Injector
from runtime.exec.wait import ThreadDriver
from tests.support.waits import Sleeps, in_thread
from tests.support.wasi import Box, blocked, clock_sub, every_check, fd_sub, interrupted, poll, returned, to_end

EBADF, EINVAL, ENOTSUP = WASI_ERRNO["EBADF"], WASI_ERRNO["EINVAL"], WASI_ERRNO["ENOTSUP"]
MS = 1_000_000
CLOCK, READ, WRITE = 0, 1, 2
REALTIME, MONOTONIC, ABSTIME = 0, 1, 1


def test_a_relative_timeout_ends_after_that_time() -> None:
    """BEHAVIOURS 36: it sleeps on the clock, once, and reports the clock's event."""
    with Box() as box:
        found = in_thread(lambda: poll(box, clock_sub(7, MONOTONIC, 300 * MS)))
        box.clock.wait_for_alarms()
        box.clock.advance(0.299)
        assert not found.done()
        box.clock.advance(0.001)
        assert found.result(60) == (0, [(7, 0, CLOCK, 0, 0)])
        assert box.untouched()


def test_twenty_interruptions_do_not_prolong_a_sleep() -> None:
    """BEHAVIOURS 36: suspended and resumed 20 times over more than half of it, it sleeps 300 ms in all."""
    with Box() as box:
        execution = box.start("poll_oneoff", box.put(clock_sub(7, MONOTONIC, 300 * MS)), box.room(32), 1, box.out())
        for k in range(21):
            interrupted(execution)
            if k:  # the first one came before the function was entered
                box.clock.advance(1 / 128)
        found = in_thread(execution.run)
        box.clock.wait_for_alarms()
        box.clock.advance(0.3 - 20 / 128 - 1 / 1024)
        assert not found.done()
        box.clock.advance(1 / 512)
        assert returned(found.result(60)) == 0


@pytest.mark.parametrize("step", [3600, -3600])
def test_steps_of_the_wall_clock_do_not_matter_to_spans(step: int) -> None:
    """BEHAVIOURS 37: relative timeouts, of the monotonic clock, aren't touched."""
    with Box() as box:
        found = in_thread(lambda: poll(box, clock_sub(7, MONOTONIC, 300 * MS)))
        box.clock.wait_for_alarms()
        box.clock.step_wall(step)
        box.clock.advance(0.299)
        assert not found.done()
        box.clock.advance(0.001)
        assert found.result(60)[0] == 0


@pytest.mark.parametrize("clock", [REALTIME, MONOTONIC])
def test_an_absolute_time_ends_then(clock: int) -> None:
    """A point in time, on either clock, is waited for; one that has passed doesn't wait."""
    with Box() as box:
        out = box.out()
        assert box.clock_time_get(clock, 0, out) == 0
        now = box.u64(out)
        assert poll(box, clock_sub(1, clock, now, ABSTIME))[1] == [(1, 0, CLOCK, 0, 0)]
        found = in_thread(lambda: poll(box, clock_sub(1, clock, now + 50 * MS, ABSTIME)))
        box.clock.wait_for_alarms()
        box.clock.advance(0.050)
        assert found.result(60) == (0, [(1, 0, CLOCK, 0, 0)])
        assert box.clock_time_get(clock, 0, out) == 0
        assert box.u64(out) >= now + 50 * MS


@pytest.mark.parametrize("timeout", [(1 << 63) - 1, (1 << 64) - 1])
def test_a_huge_timeout_waits_and_can_be_interrupted(timeout: int) -> None:
    """BEHAVIOURS 38: no overflow; it blocks, and a user interrupt ends the wait."""
    with Box() as box:
        execution = box.start("poll_oneoff", box.put(clock_sub(7, MONOTONIC, timeout)), box.room(32), 1, box.out())
        stop = Interrupt()
        found = in_thread(lambda: execution.run(interrupt=stop))
        box.clock.wait_for_alarms()
        box.clock.advance(1e6)
        stop.set()
        assert isinstance(found.result(60), Suspended)


def test_the_earliest_of_several_clocks_fires() -> None:
    """BEHAVIOURS 39: of two clocks the earlier is reported alone; both, in order, if both have expired."""
    with Box() as box:
        subs = (clock_sub(1, MONOTONIC, 200 * MS), clock_sub(2, REALTIME, 100 * MS))
        found = in_thread(lambda: poll(box, *subs))
        box.clock.wait_for_alarms()
        box.clock.advance(0.100)
        assert found.result(60) == (0, [(2, 0, CLOCK, 0, 0)])
        found = in_thread(lambda: poll(box, *subs))
        box.clock.wait_for_alarms()
        box.clock.advance(0.200)
        events = found.result(60)[1]
        assert (2, 0, CLOCK, 0, 0) in events
        assert poll(box, clock_sub(1, MONOTONIC, 0), clock_sub(2, REALTIME, 0)) == (
            0, [(1, 0, CLOCK, 0, 0), (2, 0, CLOCK, 0, 0)]
        )  # fmt: skip


def test_an_expired_clock_and_a_ready_descriptor_are_both_reported(pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 40."""
    os.write(pipe[1], b"abc")
    with Box(stdin=pipe[0]) as box:
        assert poll(box, fd_sub(1, 0), clock_sub(2, MONOTONIC, 0)) == (0, [(1, 0, READ, 3, 0), (2, 0, CLOCK, 0, 0)])


def test_data_comes_before_the_hang_up(pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 41: a pipe with data whose writer is gone is readable without an error; then it is at its end."""
    os.write(pipe[1], b"abc")
    os.close(pipe[1])
    with Box(stdin=pipe[0]) as box:
        assert poll(box, fd_sub(1, 0)) == (0, [(1, 0, READ, 3, 1)])
        assert box.read(0, 10) == (0, b"abc")
        assert poll(box, fd_sub(1, 0)) == (0, [(1, 0, READ, 0, 1)])
        assert box.read(0, 10) == (0, b"")


def test_a_bad_descriptor_is_an_event_beside_the_others(pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 42: EBADF for one, the state of the others, and no wait."""
    with Box(stdin=pipe[0], stdout=pipe[1]) as box:
        assert poll(box, fd_sub(1, 99), fd_sub(2, 0), fd_sub(3, 1, write=True), clock_sub(4, MONOTONIC, 10**9)) == (
            0, [(1, EBADF, READ, 0, 0), (3, 0, WRITE, 0, 0)]
        )  # fmt: skip


def test_what_cannot_be_polled() -> None:
    """BEHAVIOURS 43: nothing to wait for, unknown types and clocks are EINVAL; CPU time can't be waited for."""
    with Box() as box:
        assert poll(box) == (EINVAL, [])
        assert poll(box, clock_sub(1, 9, 0)) == (EINVAL, [])
        assert poll(box, clock_sub(1, 2, 0)) == (ENOTSUP, [])
        assert poll(box, b"\0" * 8 + b"\7" + b"\0" * 39) == (EINVAL, [])


def test_hostile_arrays_trap() -> None:
    """BEHAVIOURS 53: subscriptions or events outside of the memory, or not aligned, trap before anything."""
    with Box() as box:
        sub, events, count = box.put(clock_sub(1, MONOTONIC, 0)), box.room(32), box.out()
        bad = [
            (box.size - 40, events, 1, count), (sub, box.size - 24, 1, count), (sub, events, 1, box.size - 3),
            (sub, events, (1 << 32) - 1, count), (sub, events, 1 << 20, count), (sub, events, 1, (1 << 32) - 4),
        ]  # fmt: skip
        for args in bad:
            with pytest.raises(Trap):
                box.poll_oneoff(*args)
        for args in ((sub + 4, events, 1, count), (sub, events + 1, 1, count), (sub, events, 1, count + 2)):
            with pytest.raises(Trap) as caught:
                box.poll_oneoff(*args)
            assert caught.value.code is TrapCode.UNALIGNED
        assert box.get(events, 32) == bytes(32)
        assert box.untouched()


def test_altered_subscriptions_change_nothing() -> None:
    """BEHAVIOURS 44: what was asked for is what was there when the call began."""
    with Box() as box:
        subs, events, count = box.put(clock_sub(7, MONOTONIC, 300 * MS)), box.room(32), box.out()
        execution = box.start("poll_oneoff", subs, events, 1, count)
        blocked(execution)
        box.memory.write(subs, clock_sub(8, 99, 0))
        box.clock.advance(0.3)
        assert returned(execution.run()) == 0
        assert box.get(events, 8) == b"\7" + bytes(7)


def test_a_queue_wakes_a_poll() -> None:
    """BEHAVIOURS 46, for poll_oneoff: it waits by event, without a deadline, and another thread's bytes end it."""
    queue = ByteQueue()
    with Box(stdin=queue) as box:
        found = in_thread(lambda: poll(box, fd_sub(1, 0)))
        while not queue.changed.waiters:
            pass
        queue.put(b"xy")
        assert found.result(60) == (0, [(1, 0, READ, 2, 0)])


def test_a_poll_can_be_restarted_anywhere(pipe: tuple[int, int]) -> None:
    """BEHAVIOURS 16, for poll_oneoff: the same outcome for a restart at each check point."""

    def scenario(injector: Injector) -> object:
        with Box(injector=injector, stdin=pipe[0]) as box:
            events = box.room(64)
            subs = box.put(clock_sub(7, MONOTONIC, 300 * MS) + fd_sub(8, 0))
            execution = box.start("poll_oneoff", subs, events, 2, box.out())
            box.clock.call_at(box.clock.monotonic() + 0.1, lambda: None)
            found = in_thread(lambda: to_end(execution))
            box.clock.wait_for_alarms(2)
            box.clock.advance(0.3)
            return returned(found.result(60)), box.get(events, 64), box.untouched()

    assert every_check(scenario) >= 2
    assert scenario(Every(1)) == scenario(Every(7))


def test_a_sleep_wakes_once() -> None:
    """BEHAVIOURS 15: a wait for clocks alone sleeps until the first of them, without looking in between."""
    clock, sleeps = FakeClock(), Sleeps()
    driver = ThreadDriver(clock, sleeps.selector)
    with Box(engine=Engine(EngineConfig(clock=clock, driver=driver))) as box:
        found = in_thread(lambda: poll(box, clock_sub(7, MONOTONIC, 3600 * 10**9), clock_sub(8, REALTIME, 10**15)))
        sleeps.await_sleepers()
        clock.wait_for_alarms()
        clock.advance(3600)
        assert found.result(60) == (0, [(7, 0, CLOCK, 0, 0)])
        assert sleeps.timeouts == [None]
        assert driver.wakeups == 1


def test_a_file_that_tells_nothing_is_looked_at_now_and_then(pipe: tuple[int, int]) -> None:
    """A callable as standard input has no event: it is asked again, beside whatever else is waited for."""
    answers = iter([None, None, None, b"abc"])
    with Box(stdin=lambda size: next(answers), stdout=pipe[1], stderr=pipe[0], real_clock=True) as box:
        assert poll(box, fd_sub(1, 0), fd_sub(2, 2), clock_sub(3, MONOTONIC, 10**12)) == (0, [(1, 0, READ, 3, 0)])
