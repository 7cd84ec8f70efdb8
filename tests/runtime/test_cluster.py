"""Those who share a memory, held still: who is asked, who counts as parked, and that the world always goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

import pytest

from runtime.errors import StateError
from runtime.exec import cluster as clusters
from runtime.exec.cluster import CLUSTER_MOVES, MEMBER_MOVES, Cluster, Member, Phase, Place, enter, join, leave
from tests.support.waits import PATIENCE

T = TypeVar("T")


class Actor:
    """A thread that does what it is told, one thing after the other."""

    def __init__(self) -> None:
        self._orders: SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None] = SimpleQueue()
        self.asked = threading.Event()
        self.member: Member | None = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while (order := self._orders.get()) is not None:
            fn, future = order
            try:
                future.set_result(fn())
            except BaseException as error:  # handed to whoever asks
                future.set_exception(error)

    def begin(self, fn: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        self._orders.put((fn, future))
        return future

    def do(self, fn: Callable[[], T]) -> T:
        return self.begin(fn).result(PATIENCE)

    def enters(self, *worlds: Cluster) -> Future[None]:
        def fn() -> None:
            self.member = enter(worlds, self.asked.set)

        return self.begin(fn)

    def leaves(self) -> Future[None]:
        def fn() -> None:
            assert self.member is not None
            leave(self.member)

        return self.begin(fn)

    def parks(self) -> Future[None]:
        return self.begin(lambda: self.member.park() if self.member else None)

    def end(self) -> None:
        self._orders.put(None)


def until(condition: Callable[[], bool]) -> None:
    """Block until a state of clusters is such."""
    with clusters._changed:
        assert clusters._changed.wait_for(condition, PATIENCE)


def place(actor: Actor) -> Place:
    assert actor.member is not None
    return actor.member.place


@pytest.fixture
def world() -> Cluster:
    return Cluster()


@pytest.fixture
def actors() -> Iterator[list[Actor]]:
    made = [Actor() for _ in range(3)]
    yield made
    for actor in made:
        actor.end()


def hold(actor: Actor, world: Cluster) -> tuple[Future[None], threading.Event, threading.Event]:
    """`actor` stops the world: the future, an event that it has, and one that lets it go."""
    stopped, release = threading.Event(), threading.Event()

    def fn() -> None:
        with world.stopped():
            stopped.set()
            assert release.wait(PATIENCE)

    return actor.begin(fn), stopped, release


def test_the_running_are_asked_and_the_waiting_are_not(world: Cluster, actors: list[Actor]) -> None:
    """A stop wakes who runs and waits until they have parked; who waits for an event isn't woken, and finds the gate
    closed when it has come (threads: stop-the-world)."""
    runs, waits, stops = actors
    runs.enters(world).result(PATIENCE)
    waits.enters(world).result(PATIENCE)
    event = threading.Event()

    def wait() -> None:
        assert waits.member is not None
        with waits.member.away("wait"):
            assert event.wait(PATIENCE)

    waiting = waits.begin(wait)
    until(lambda: place(waits) is Place.WAITING)
    held, stopped, release = hold(stops, world)
    assert runs.asked.wait(PATIENCE)
    assert not stopped.is_set()
    parked = runs.parks()
    assert stopped.wait(PATIENCE)
    assert not waits.asked.is_set()
    event.set()
    assert (place(runs), place(waits), world.phase) == (Place.PARKED, Place.WAITING, Phase.STOPPED)
    assert not parked.done()
    assert not waiting.done()
    release.set()
    for future in (held, parked, waiting):
        future.result(PATIENCE)
    assert (place(runs), place(waits), world.phase) == (Place.RUNNING, Place.RUNNING, Phase.OPEN)
    assert runs.member is not None
    assert (runs.member.parked, world.stops, world.members) == (1, 1, 2)


def test_two_stops_take_turns(world: Cluster, actors: list[Actor]) -> None:
    """Behaviour 68: members that want the world stopped at the same time count as parked for each other."""
    one, two, _ = actors
    one.enters(world).result(PATIENCE)
    two.enters(world).result(PATIENCE)
    first, stopped, release = hold(one, world)
    assert two.asked.wait(PATIENCE)
    second, again, release_again = hold(two, world)
    assert stopped.wait(PATIENCE)
    assert not again.is_set()
    one.asked.clear()
    release.set()
    first.result(PATIENCE)
    assert one.asked.wait(PATIENCE)
    parked = one.parks()
    assert again.wait(PATIENCE)
    release_again.set()
    parked.result(PATIENCE)
    second.result(PATIENCE)
    assert (place(one), place(two), world.stops) == (Place.RUNNING, Place.RUNNING, 2)


def test_who_begins_during_a_stop_begins_after_it(world: Cluster, actors: list[Actor]) -> None:
    """Behaviour 70: a thread that comes to a stopped cluster runs when that is over."""
    stops, comes, other = actors
    held, stopped, release = hold(stops, world)
    assert stopped.wait(PATIENCE)
    coming = comes.enters(world)
    until(lambda: world.members == 1)
    assert not coming.done()
    # Whoever doesn't share the memory isn't concerned.
    other.enters(Cluster()).result(PATIENCE)
    release.set()
    held.result(PATIENCE)
    coming.result(PATIENCE)
    assert place(comes) is Place.RUNNING


def test_who_ends_during_a_stop_is_waited_for_no_longer(world: Cluster, actors: list[Actor]) -> None:
    """Behaviour 71: a thread that leaves while a stop waits for it lets that go on."""
    ends, stops, _ = actors
    ends.enters(world).result(PATIENCE)
    held, stopped, release = hold(stops, world)
    assert ends.asked.wait(PATIENCE)
    ends.leaves().result(PATIENCE)
    assert stopped.wait(PATIENCE)
    release.set()
    held.result(PATIENCE)
    assert world.members == 0


def test_an_error_lets_the_world_go_on(world: Cluster, actors: list[Actor]) -> None:
    """However the block ends that wanted the world stopped, everybody goes on; inside it, another stop is no stop."""
    runs, stops, _ = actors
    runs.enters(world).result(PATIENCE)
    stops.enters(world).result(PATIENCE)

    def fail() -> None:
        with world.stopped(), world.stopped():
            raise KeyboardInterrupt

    failing = stops.begin(fail)
    assert runs.asked.wait(PATIENCE)
    runs.parks().result(PATIENCE)
    assert isinstance(failing.exception(PATIENCE), KeyboardInterrupt)
    assert (world.phase, place(stops)) == (Phase.OPEN, Place.RUNNING)


def test_a_thread_may_be_in_several_clusters(actors: list[Actor]) -> None:
    """A member of two clusters parks for either, and two that stop one each don't wait for each other."""
    one, two, _ = actors
    left, right = Cluster(), Cluster()
    one.enters(left, right).result(PATIENCE)
    two.enters(left).result(PATIENCE)
    two.do(lambda: join(two.member, (left, right)) if two.member else None)
    first, first_stopped, first_release = hold(one, left)
    assert two.asked.wait(PATIENCE)
    second, second_stopped, second_release = hold(two, right)
    assert first_stopped.wait(PATIENCE)
    assert second_stopped.wait(PATIENCE)  # `one` is no less parked for `right` while it holds `left`
    second_release.set()
    first_release.set()
    first.result(PATIENCE)
    second.result(PATIENCE)


def test_illegal_moves_change_nothing(world: Cluster) -> None:
    """What the tables don't have is refused."""
    for old in Place:
        for event in {name for events in MEMBER_MOVES.values() for name in events} - set(MEMBER_MOVES[old]):
            member = Member(place=old)
            with clusters._changed, pytest.raises(StateError):
                member._move(event)
            assert member.place is old
    for phase in Phase:
        for event in {name for events in CLUSTER_MOVES.values() for name in events} - set(CLUSTER_MOVES[phase]):
            world.phase = phase
            with clusters._changed, pytest.raises(StateError):
                world._move(event)
            assert world.phase is phase
