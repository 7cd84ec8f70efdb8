"""Hypothesis strategies: schedules of faults as data that it can draw and make smaller."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .._engine import At, Every
from .cases import LASTING, Case, kinds_of
from .driving import Callbacks, Setting
from .faults import Kind

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy


def cases(
    checks: int,
    *,
    kinds: Sequence[str | Kind] = LASTING,
    most: int = 5,
    callbacks: Sequence[Callbacks] = ("nested", "scheduled"),
) -> SearchStrategy[Case]:
    """Cases for a run with so many check points: up to `most` of them are hit, each by a fault of one of `kinds`, or
    every k-th is. Smaller ones hit fewer and earlier check points.

        @given(cases(explore(scenario).checks))
        def test_receive(case): exploration.under(case)

    Needs Hypothesis.
    """
    from hypothesis import strategies as st

    chosen = kinds_of(kinds)
    points = st.frozensets(st.integers(1, max(checks, 1)), min_size=1, max_size=most)
    schedules = points.map(At) | st.integers(1, max(checks, 1)).map(Every)
    what = st.lists(st.sampled_from(chosen), min_size=1, max_size=most).map(tuple)
    settings = st.sampled_from(list(callbacks)).map(Setting)
    return st.builds(Case, schedules, what, settings)
