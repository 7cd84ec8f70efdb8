"""Recipes that need nothing from outside, by the means that an author has: `hostsdk.testing`."""

from __future__ import annotations

from typing import Any

import pytest

from examples.cookbook import approval, checksum, greet, nap, sort, store
from hostsdk import Instance, Question
from hostsdk.testing import Kind, Scenario, World, explore
from tests.support.recipes import guest


def make_approval(world: World) -> Instance:
    return Instance(guest(approval), [approval.human], engine=world.engine)


def make_checksum(world: World) -> Instance:
    return Instance(guest(checksum), [checksum.lib], engine=world.engine)


def make_greet(world: World) -> Instance:
    return Instance(guest(greet), [greet.lib], engine=world.engine)


def make_nap(world: World) -> Instance:
    return Instance(guest(nap), [nap.bed], engine=world.engine)


def make_sort(world: World) -> Instance:
    return Instance(guest(sort), [sort.lib], engine=world.engine)


def make_store(world: World) -> Instance:
    return Instance(guest(store), [store.kv], engine=world.engine)


def yes(question: Question[Any]) -> int:
    return 1


def rows(instance: Instance) -> object:
    return instance.state(store.kv).execute("select k, v from kv order by k").fetchall()


def numbers(instance: Instance) -> object:
    return [instance.exports.number(i) for i in range(10)]


SCENARIOS = [
    Scenario(make_approval, "pay", (250,), answer=yes),
    Scenario(make_checksum, "check", (300_000,)),
    Scenario(make_greet, "hellos", (3,)),
    Scenario(make_nap, "night", (3, 300)),
    Scenario(make_sort, "sort_numbers", observe=numbers),
    Scenario(make_store, "visits", (3,), observe=rows),
]
every_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.make.__name__)


@every_scenario
def test_a_fault_of_each_kind_at_each_check_point(scenario: Scenario) -> None:
    """Behaviours 16 and 75: every kind of fault, once at each check point, nested and scheduled, waits in place or
    not, changes nothing."""
    report = explore(scenario, in_place=(True, False)).exhaustive()
    assert report.hits > 10


@every_scenario
def test_two_faults(scenario: Scenario) -> None:
    """Behaviour 16: two faults in one run, in pairs of check points, change nothing."""
    assert explore(scenario).pairs(most=25).hits > 10


@every_scenario
def test_faults_at_random(scenario: Scenario) -> None:
    """Behaviour 16: faults of mixed kinds at random change nothing."""
    explore(scenario).mixed(seeds=range(4), share=0.4)


@pytest.mark.slow
@every_scenario
def test_finished_in_another_process(scenario: Scenario) -> None:
    """Behaviour 75: moved to another process at every third check point, a recipe does the same."""
    assert explore(scenario, kinds=[Kind.MOVE], callbacks=["nested"]).every(3).runs == 1
