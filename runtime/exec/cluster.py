"""Clusters: executions that share a memory, and how all of them are held still while it moves.

A thread that runs WebAssembly in some clusters is a *member* of each. Whoever wants the world stopped asks the members
of one cluster that are running; each parks at its next check point. One that waits for an event is as good as parked
and isn't woken: it finds the gate closed when it comes back. So does whoever begins meanwhile.

    member    where a thread is; legal moves in `MEMBER_MOVES`
    cluster   open, stopping (asked, not all parked yet), stopped; legal moves in `CLUSTER_MOVES`

A thread that wants to stop the world counts as parked for as long as it waits for that: two that want it at once take
turns. That holds across clusters too, as all states change under one lock of the process. The world goes on however
the block ends that wanted it stopped.

Who is in a host function counts as running: it may be in the midst of an access. So a host function that neither waits
nor checks delays a stop.
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Final

from .. import lean
from ..errors import StateError


class Place(enum.Enum):
    """Where a member is."""

    OUTSIDE = "outside"
    RUNNING = "running"
    PARKED = "parked"
    WAITING = "waiting"
    STOPPING = "stopping"


class Phase(enum.Enum):
    """What a cluster is asked to do."""

    OPEN = "open"
    STOPPING = "stopping"
    STOPPED = "stopped"


#: What happens to a member, and where it is afterwards.
MEMBER_MOVES: Final[dict[Place, dict[str, Place]]] = {
    Place.OUTSIDE: {"enter": Place.RUNNING},
    Place.RUNNING: {
        "park": Place.PARKED,
        "wait": Place.WAITING,
        "stop": Place.STOPPING,
        "leave": Place.OUTSIDE,
    },
    Place.PARKED: {"go on": Place.RUNNING, "leave": Place.OUTSIDE},
    Place.WAITING: {"go on": Place.RUNNING, "leave": Place.OUTSIDE},
    Place.STOPPING: {"go on": Place.RUNNING, "leave": Place.OUTSIDE},
}
#: What happens to a cluster. `ask` needs nobody else to be asking, `halt` that no member runs.
CLUSTER_MOVES: Final[dict[Phase, dict[str, Phase]]] = {
    Phase.OPEN: {"ask": Phase.STOPPING},
    Phase.STOPPING: {"halt": Phase.STOPPED, "release": Phase.OPEN},
    Phase.STOPPED: {"release": Phase.OPEN},
}

#: Guards every state in this file, and is waited on. Held for a few steps only.
_changed: Final = threading.Condition()


class _Here(threading.local):
    member: Member | None = None


_here: Final = _Here()


@lean.define(eq=False)
class Member:
    """A thread that is inside an execution, with the clusters that this has come to."""

    #: Make it look for requests: one for each execution that is on the thread's stack. They park together.
    wakes: list[Callable[[], None]] = lean.field(factory=list)
    clusters: set[Cluster] = lean.field(factory=set)
    place: Place = Place.OUTSIDE
    #: Times that it has been parked at a check point.
    parked: int = 0

    @property
    def asked(self) -> bool:
        """Whether it should park."""
        return any(cluster.phase is not Phase.OPEN for cluster in self.clusters)

    def park(self) -> None:
        """At a check point: wait here while one of the clusters is stopped."""
        if self.place is Place.RUNNING and self.asked:
            self.parked += 1
            with self.away("park"):
                pass

    @contextmanager
    def away(self, event: str) -> Iterator[None]:
        """Count as parked while the block lasts, which must leave the guest alone; then go on once nobody asks for a
        stop. An exception (Ctrl-C) while that is waited for leaves the member as good as parked."""
        if self.place is not Place.RUNNING:  # not inside, or away already
            yield
            return
        with _changed:
            self._move(event)
        try:
            yield
        finally:
            with _changed:
                self._settle()

    def _move(self, event: str) -> None:
        to = MEMBER_MOVES[self.place].get(event)
        if to is None:
            raise StateError(f"a thread that is {self.place.value} can't {event}")
        self.place = to
        _changed.notify_all()

    def _settle(self, event: str = "go on") -> None:
        """Run again, as soon as all clusters are open."""
        while self.asked:
            _changed.wait()
        self._move(event)


class Cluster:
    """The executions that use one shared memory."""

    def __init__(self) -> None:
        self.phase = Phase.OPEN
        self._members: set[Member] = set()
        #: The thread that holds the world.
        self._holder = 0
        #: Times that the world was stopped.
        self.stops = 0

    @property
    def members(self) -> int:
        """How many threads are inside."""
        with _changed:
            return len(self._members)

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Nobody runs while the block does, but the calling thread, which may be a member or not. Waits until all
        members have parked; another stop comes first where one is under way."""
        if self._holder == threading.get_ident():
            yield
            return
        member = _here.member
        inside = member is not None and member.place is Place.RUNNING
        with _changed:
            if member is not None and inside:
                member._move("stop")
            try:
                self._stop()
            except BaseException:
                self._release(member if inside else None)
                raise
        try:
            yield
        finally:
            with _changed:
                self._release(member if inside else None, self.phase is Phase.STOPPED)

    def _stop(self) -> None:
        while self.phase is not Phase.OPEN:
            _changed.wait()
        self._move("ask")
        try:
            for member in self._members:
                if member.place is Place.RUNNING:
                    for wake in member.wakes:
                        wake()
            while any(member.place is Place.RUNNING for member in self._members):
                _changed.wait()
        except BaseException:
            self._move("release")
            raise
        self._move("halt")
        self._holder = threading.get_ident()
        self.stops += 1

    def _release(self, member: Member | None, stopped: bool = False) -> None:
        if stopped:
            self._holder = 0
            self._move("release")
        if member is not None:
            member._settle()

    def _move(self, event: str) -> None:
        to = CLUSTER_MOVES[self.phase].get(event)
        if to is None:
            raise StateError(f"a cluster that is {self.phase.value} can't {event}")
        self.phase = to
        _changed.notify_all()


def enter(clusters: Collection[Cluster], wake: Callable[[], None]) -> Member:
    """The calling thread begins to run in `clusters`, besides those that it is in; it waits while one is stopped.
    `wake` makes it look for requests. To be given back by `leave`."""
    member = _here.member
    if member is None:
        member = _here.member = Member()
    member.wakes.append(wake)
    try:
        join(member, clusters)
    except BaseException:
        leave(member)
        raise
    return member


def join(member: Member, clusters: Collection[Cluster]) -> None:
    """The calling thread, `member`, comes to more clusters; it waits while one is stopped."""
    with _changed:
        inside = member.place is Place.RUNNING
        if inside:
            if member.clusters.issuperset(clusters):
                return
            member._move("park")
        for cluster in clusters:
            cluster._members.add(member)
            member.clusters.add(cluster)
        _changed.notify_all()
        member._settle("go on" if inside else "enter")


def leave(member: Member) -> None:
    """An execution of the thread has come back to whoever ran it."""
    member.wakes.pop()
    if member.wakes:
        return
    _here.member = None
    with _changed:
        for cluster in member.clusters:
            cluster._members.discard(member)
        member.clusters.clear()
        if member.place is not Place.OUTSIDE:
            member._move("leave")
