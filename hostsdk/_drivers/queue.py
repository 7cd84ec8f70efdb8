"""Who has the next turn among those that could go on."""

from __future__ import annotations

import heapq
import itertools
import random
from typing import Protocol

from .tasks import Task, TaskState


class RunQueue(Protocol):
    """Tasks that are ready. Each is in it once; one that has ended meanwhile is passed over."""

    def push(self, task: Task) -> None:
        """`task` is ready."""

    def pop(self) -> Task | None:
        """Take the one whose turn it is; None where there is none."""

    def charge(self, task: Task, seconds: float) -> None:
        """`task` had the thread so long."""

    def give_way(self, task: Task) -> None:
        """`task`, which is about to be pushed, lets another one go first, if there is one."""

    def __len__(self) -> int: ...


def weight(priority: int) -> float:
    """The share of a priority beside priority 0: each step doubles it."""
    return 2.0 ** max(-30, min(30, priority))


class FairQueue:
    """The one that has had the least time for its priority comes first.

    Each task has an account of the time it took, divided by its weight. One that comes back from a wait starts no
    further behind than whoever has the least: it comes soon, but a long sleep is no claim to a long turn. So none that
    is ready waits for ever, whatever its priority.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Task]] = []
        self._serial = itertools.count()
        #: The account of whoever had the last turn: none that is ready has less.
        self._least = 0.0

    def push(self, task: Task) -> None:
        task.account = max(task.account, self._least)
        heapq.heappush(self._heap, (task.account, next(self._serial), task))

    def pop(self) -> Task | None:
        while self._heap:
            account, _, task = heapq.heappop(self._heap)
            if task.state is TaskState.READY:
                self._least = account
                return task
        return None

    def charge(self, task: Task, seconds: float) -> None:
        task.account += seconds / weight(task.priority) if task.priority else seconds

    def give_way(self, task: Task) -> None:
        heap = self._heap
        while heap and heap[0][2].state is not TaskState.READY:
            heapq.heappop(heap)
        if heap:
            task.account = max(task.account, heap[0][0])

    def __len__(self) -> int:
        return len(self._heap)


class DrawnQueue:
    """The next one is drawn by lot, a higher priority having more of them: equal generators draw equally."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._ready: list[Task] = []
        self._last: Task | None = None

    def push(self, task: Task) -> None:
        self._ready.append(task)

    def pop(self) -> Task | None:
        last, self._last = self._last, None
        while self._ready:
            others = len(self._ready) > 1
            lots = [0.0 if task is last and others else weight(task.priority) for task in self._ready]
            [place] = self._rng.choices(range(len(lots)), lots)
            task = self._ready.pop(place)
            if task.state is TaskState.READY:
                return task
        return None

    def charge(self, task: Task, seconds: float) -> None:
        """Time plays no part."""

    def give_way(self, task: Task) -> None:
        self._last = task

    def __len__(self) -> int:
        return len(self._ready)
