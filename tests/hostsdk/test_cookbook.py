"""Every recipe of the cookbook, disturbed in every way at every check point: what must hold, holds."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from hostsdk import Execution, Failed, SnapshotError, State, StateError
from runtime import At, Every, Never, Randomly
from tests.hostsdk.cookbook_scenes import SCENES
from tests.support.recipes import Scene

Make = Callable[[], Scene]
every_recipe = pytest.mark.parametrize("make", SCENES, ids=lambda scene: scene.__name__.lower())


def check_points(make: Make) -> int:
    """How many check points the undisturbed scene has, which must end as it should."""
    with make() as scene:
        count, outcome = scene.play(Never())
        scene.finished(outcome)
    assert count > 1
    return count


def moved_or_refused(scene: Scene, execution: Execution) -> Execution:
    """The execution in another instance, from its bytes; itself where it can't be saved, which must be said."""
    if scene.savable():
        return scene.moved(execution)
    with pytest.raises(SnapshotError, match=scene.unsavable()):
        execution.save()
    return execution


@every_recipe
def test_one_restart_at_each_check_point(make: Make) -> None:
    """Behaviour 16: interrupted once at whichever check point and resumed, a recipe does what it does undisturbed."""
    for n in range(1, check_points(make) + 1):
        with make() as scene:
            _, outcome = scene.play(At({n}))
            scene.finished(outcome)


@every_recipe
def test_restarts_in_series(make: Make) -> None:
    """Behaviour 16: interrupted at every check point, at every second and third, or at random, it does the same."""
    for injector in (Every(1), Every(2), Every(3), Randomly(1), Randomly(2, 0.5)):
        with make() as scene:
            _, outcome = scene.play(injector)
            scene.finished(outcome)


@every_recipe
def test_saved_and_loaded_at_each_check_point(make: Make) -> None:
    """Behaviour 75: saved at whichever check point and finished from the bytes, it does the same. What can't be saved
    is named, and the execution goes on unharmed."""
    outcomes = 0
    for n in range(1, check_points(make) + 1):
        with make() as scene:
            _, outcome = scene.play(At({n}), partial(moved_or_refused, scene))
            scene.finished(outcome)
            outcomes += 1
    assert outcomes > 1


@every_recipe
def test_saved_and_loaded_all_the_time(make: Make) -> None:
    """Behaviour 75: saved and loaded at every check point of one run, it does the same."""
    with make() as scene:
        _, outcome = scene.play(Every(1), partial(moved_or_refused, scene))
        scene.finished(outcome)


@every_recipe
def test_dropped_at_each_check_point(make: Make) -> None:
    """Behaviour 8: dropped at whichever check point, it leaves nothing behind, and the instance can be used on."""
    for n in range(1, check_points(make) + 1):
        with make() as scene:
            execution = scene.to_first_restart(At({n}))
            execution.drop()
            assert execution.state is State.DROPPED
            with pytest.raises(StateError):
                execution.run()
            scene.dropped()


@every_recipe
def test_an_exception_at_each_check_point(make: Make) -> None:
    """An exception that is thrown in at whichever check point comes out as it is, and nothing is left behind."""
    for n in range(1, check_points(make) + 1):
        with make() as scene:
            error = LookupError("thrown in")
            execution = scene.to_first_restart(At({n}))
            execution.throw(error)
            assert execution.run() == Failed(error)
            scene.dropped()


@every_recipe
def test_closed_in_the_middle(make: Make) -> None:
    """An instance that is closed while its call is suspended drops it, and lets go of everything."""
    with make() as scene:
        execution = scene.to_first_restart(At({2}))
    assert execution.state is State.DROPPED


@every_recipe
def test_scheduled_callbacks_make_no_difference(make: Make) -> None:
    """With every callback on the run loop instead of the stack, a recipe does the same under restarts."""
    for injector in (Never(), Every(1), Every(3)):
        with make() as scene:
            scene.callbacks = "scheduled"
            _, outcome = scene.play(injector)
            scene.finished(outcome)
