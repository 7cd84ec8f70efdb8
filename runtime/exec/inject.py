"""Restarts injected on purpose: the house tool for showing that what may block is restart-safe.

An injector is asked at every check point of an execution, in order; the first check point is number 1. Running once
with `Never` counts the check points, then each can be hit in turn (`At`), in pairs, every k-th, or at random from a
seed. What happens at the suspension (a plain resume, save and load, drop, throw) is up to whoever drives the
execution.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from .. import lean


class Injector(Protocol):
    """Decides at each check point. Called with the check point's number."""

    def fires(self, check: int) -> bool: ...


@lean.frozen
class Never:
    """Counts check points and hits none."""

    def fires(self, check: int) -> bool:
        return False


@lean.frozen
class Every:
    """Hits each `k`-th check point."""

    k: int

    def fires(self, check: int) -> bool:
        return check % self.k == 0


@lean.frozen
class At:
    """Hits the check points with these numbers."""

    checks: Collection[int]

    def fires(self, check: int) -> bool:
        return check in self.checks


@lean.frozen
class Randomly:
    """Hits each check point with probability `share`. A seed stands for one schedule: whether a check point is hit
    depends on its number alone, so an execution that goes on in another process stays on it."""

    seed: int
    share: float = 0.2

    def fires(self, check: int) -> bool:
        import random  # by those who test

        return random.Random(f"{self.seed}/{check}").random() < self.share
