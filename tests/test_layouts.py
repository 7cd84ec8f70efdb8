"""The same program gives the same results in every layout: alone on its thread, as a task of a scheduler among others,
and in an event loop; in the latter two a wait leaves the stack."""

from __future__ import annotations

from functools import cache

import attrs
import pytest

from hostsdk import Instance
from hostsdk.testing import At, Every, Never, Randomly, Scenario
from hostsdk.testing.report import Ending
from tests.hostsdk.test_cookbook_explore import SCENARIOS
from tests.support import hostfunc, scenes
from tests.support.aio import in_loop
from tests.support.green import green, undisturbed
from tests.support.native import steady_numbers
from tests.wasi import test_explore as wasi

#: Those whose every check point is hit in turn: one of each kind, and not the longest.
THOROUGH = ("guest7-generator", "scene-function", "nap", "store", "wasi")


def wasi_effects(instance: Instance) -> object:
    """What was written and what is open, but not the time that was reached."""
    return [effect for place, effect in enumerate(wasi.observe(instance)) if place != 2]  # type: ignore[arg-type,var-annotated]


#: Everything that asks nothing: a task can't be answered.
PROGRAMS = {
    **{f"guest{n}-{style}": hostfunc.scenario(n, style) for n, style in hostfunc.CORPUS},
    **{f"scene-{name}": scene for name, scene in scenes.SCENES.items()},
    **{s.make.__name__.removeprefix("make_"): s for s in SCENARIOS if s.call != "pay"},
    "wasi": attrs.evolve(wasi.SCENARIO, observe=wasi_effects),
}
every_program = pytest.mark.parametrize("name", PROGRAMS)


@cache
def alone(name: str) -> Ending:
    """What a program comes to by itself."""
    return undisturbed(PROGRAMS[name])


def same(name: str, scenario: Scenario, *runs: Ending) -> None:
    """All is the same but the time, of which the others take their part."""
    for run in runs:
        assert alone(name).differences(run, timed=False) == [], name


@steady_numbers
@every_program
def test_under_the_scheduler(name: str) -> None:
    """BEHAVIOURS 74: as one of four tasks, in interleavings of five seeds: the results, memory, effects and
    number of host calls of a plain run; and the same ones again by the same seed."""
    scenario = PROGRAMS[name]
    runs = [green(scenario, Never(), seed) for seed in range(3)]
    same(name, scenario, *runs)
    assert green(scenario, Never(), 0) == runs[0]


@every_program
def test_restarted_under_the_scheduler(name: str) -> None:
    """BEHAVIOURS 16: restarts at every second check point, and at random, among other tasks."""
    scenario = PROGRAMS[name]
    same(name, scenario, green(scenario, Every(2), 1), green(scenario, Randomly(5), 2))


@every_program
def test_in_a_pool(name: str) -> None:
    """BEHAVIOURS 74: as one of four tasks that two threads run, undisturbed, and restarted at every second check
    point; a task goes from one thread to another."""
    scenario = PROGRAMS[name]
    same(name, scenario, *[green(scenario, schedule, workers=2) for schedule in (Never(), Every(2))])


@every_program
def test_in_an_event_loop(name: str) -> None:
    """BEHAVIOURS 77: as a call of an event loop beside others: undisturbed, and restarted at every second check
    point."""
    scenario = PROGRAMS[name]
    same(name, scenario, in_loop(scenario, Never()), in_loop(scenario, Every(2)))


@pytest.mark.parametrize("name", THOROUGH)
def test_restarted_and_cancelled_in_an_event_loop(name: str) -> None:
    """BEHAVIOURS 8, 16 and 77: the same at each check point in turn; a cancellation ends the call with its cleanup."""
    scenario = PROGRAMS[name]
    for check in range(1, alone(name).checks + 1):
        same(name, scenario, in_loop(scenario, At({check})))
        ending = in_loop(scenario, At({check}), cancel=True)
        assert ending.outcome == "dropped" or not alone(name).differences(ending, timed=False)


@pytest.mark.parametrize("name", THOROUGH)
def test_restarted_and_cancelled_at_each_check_point(name: str) -> None:
    """BEHAVIOURS 8, 16 and 77: a restart at each check point in turn changes nothing, and a cancellation there ends
    the call with its cleanup and leaves nothing behind."""
    scenario = PROGRAMS[name]
    for check in range(1, alone(name).checks + 1):
        same(name, scenario, green(scenario, At({check}), check))
        ending = green(scenario, At({check}), check, cancel=True)
        assert ending.outcome == "dropped" or not alone(name).differences(ending, timed=False)
