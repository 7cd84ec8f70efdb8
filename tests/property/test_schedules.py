"""Random requests in random interleavings: a share of what `python -m tests.property.schedules 10000` plays."""

from __future__ import annotations

import threading

import pytest

from .schedules import play


@pytest.mark.parametrize("first", range(0, 200, 50))
def test_random_requests_leave_nothing_behind(first: int) -> None:
    """BEHAVIOURS 80: interrupted, cancelled, preempted, timed out and saved at random, every task ends, with its result
    or by what was asked of it, and no frame, record, alarm or claim is left; equal seeds end equally."""
    ends = [play(seed) for seed in range(first, first + 50)]
    assert sum(end["returned"] for end in ends) > 20
    assert sum(end["stopped"] for end in ends) > 20
    assert sum(end["saved"] for end in ends) > 0
    assert play(first) == ends[0]


def test_random_requests_to_a_pool() -> None:
    """BEHAVIOURS 80: the same while up to four threads run the tasks, and a fifth asks; none of them is left."""
    before = set(threading.enumerate())
    ends = [play(seed, pool=True) for seed in range(25)]
    assert sum(end["returned"] for end in ends) > 10
    assert sum(end["stopped"] for end in ends) > 10
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert left <= {"hostsdk-alarms", "hostsdk compiler", "hostsdk beat"}  # the process's, which end by themselves
