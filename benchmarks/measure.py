"""How a time is taken: the least of several runs, the engines taking turns, so that a busy machine harms all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import attrs


@attrs.frozen
class Row:
    """One measurement. `ratio` is ours to the peer's as the target has it; `better` says which way is good."""

    name: str
    ours: float
    unit: str
    peers: Mapping[str, float]
    against: str
    target: float
    #: "faster": ours must be at least `target` times as fast as the peer; "at least": `ours` itself must be.
    kind: str = "faster"

    @property
    def ratio(self) -> float:
        """What the target speaks of."""
        if self.kind == "faster":
            return self.peers[self.against] / self.ours
        return self.ours

    @property
    def reached(self) -> bool:
        """Whether the target is met."""
        return self.ratio <= self.target if self.kind == "at most" else self.ratio >= self.target


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """One run."""
    start = clock()
    work()
    return clock() - start


def in_turns(
    works: Sequence[Callable[[], object]], rounds: int = 5, clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """The least time of each, over `rounds` rounds in which all take their turn. With `time.thread_time` as the clock,
    what other programs take of the processor doesn't count."""
    least = [float("inf")] * len(works)
    for _ in range(rounds):
        for i, work in enumerate(works):
            least[i] = min(least[i], seconds(work, clock))
    return least
