"""Turns by time: one alarm for any number of them, and set when it disturbs least."""

from __future__ import annotations

import pytest

from hostsdk._drivers.turns import TimedTurns
from runtime import FakeClock, Requests


def test_an_alarm_ends_turns_and_is_gone_when_nobody_runs() -> None:
    """One alarm serves any number of turns, is set again only for a turn that goes on, and ends the one that is too
    long."""
    clock = FakeClock()
    turns = TimedTurns(clock, 0.01)
    first, second = Requests(clock), Requests(clock)
    turns.begin(first)
    clock.advance(0.006)
    turns.end()
    turns.begin(second)
    clock.advance(0.009)
    assert (clock.alarms, first.preempted, second.preempted) == (1, False, False)
    clock.advance(0.001)
    assert (clock.alarms, first.preempted, second.preempted) == (1, False, True)
    turns.end()
    clock.advance(1.0)
    assert clock.alarms == 0
    turns.begin(first)
    turns.close()
    assert clock.alarms == 0
    turns.end()
    with pytest.raises(ValueError, match="a turn takes some time"):
        TimedTurns(clock, 0)


class _Still(FakeClock):
    """One whose alarms come by themselves, as far as who asks can tell, like those of real time."""

    def timeout_for(self, deadline: float) -> float | None:
        return max(0.0, deadline - self.monotonic())


def test_the_alarm_is_set_before_a_sleep_whose_end_is_known() -> None:
    """The first turn after a sleep sets no alarm, as it is there; it ends a turn that is too long all the same, and one
    that comes before it was expected has an alarm of its own."""
    clock = _Still()
    turns = TimedTurns(clock, 0.01)
    requests = Requests(clock)
    turns.expect(clock.monotonic() + 5.0)
    turns.expect(clock.monotonic() + 1000.0)  # not for so long a sleep
    [alarm] = [turns._alarm]
    clock.advance(5.0)
    turns.begin(requests)
    assert turns._alarm is alarm
    clock.advance(0.01)
    assert requests.preempted
    turns.end()
    clock.advance(1.0)
    assert clock.alarms == 0
    turns.expect(clock.monotonic() + 5.0)
    early, requests.preempted = turns._alarm, False
    turns.begin(requests)
    assert turns._alarm is not early
    clock.advance(0.01)
    assert requests.preempted
    turns.end()
    clock.advance(10.0)  # there is one for the turn that was expected, until then
    assert clock.alarms == 0


def test_an_alarm_that_comes_before_it_is_noted() -> None:
    """On a busy machine the alarm may have come, in the clock's thread, before whoever set it has noted it: the next
    turn has one all the same."""
    clock = FakeClock()
    turns = TimedTurns(clock, 0.01)
    requests = Requests(clock)
    turns.begin(requests)
    came = turns._alarm
    turns.end()
    clock.advance(0.01)
    assert clock.alarms == 0
    turns._alarm = came
    turns.begin(requests)
    clock.advance(0.01)
    assert requests.preempted
    turns.close()
    assert clock.alarms == 0
