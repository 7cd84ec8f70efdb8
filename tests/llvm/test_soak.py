"""A share of what `python -m tests.llvm.soak` plays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.native import needs_native
from tests.support.running import Gaps

from .soak import Run, Soak
from .soak_programs import KERNELS, QUICKJS

pytestmark = [needs_native, pytest.mark.slow]


@pytest.fixture(scope="module")
def soak() -> Iterator[Soak]:
    made = Soak()
    yield made
    made.away.close()


def test_c_programs(soak: Soak) -> None:
    """BEHAVIOURS 16, 33: each function's tier drawn at random, suspended on random schedules, saved and loaded,
    interrupted by a thread at any moment, or finished by another process, a C program ends as it ends undisturbed; of
    the places where frames can be suspended most were hit, and from most of them machine code went on."""
    for program in KERNELS:
        amount = program.small
        for number in range(3):
            assert soak.play(Run(program, f"share {number}", amount + number % 2)) is None
        assert soak.play(Run(program, "share away", amount, away=True)) is None
        assert soak.play(Run(program, "share threaded", threaded=True)) is None
    points = soak.points["C programs"]
    assert len(points.hit) > 0.75 * points.count
    assert len(points.machine) > 0.35 * points.count


def test_quickjs(soak: Soak) -> None:
    """BEHAVIOURS 16, 33: QuickJS, suspended again and again, saved and loaded, with each function's tier drawn."""
    assert soak.play(Run(QUICKJS, "share 2", None, Gaps(5, 300))) is None
    points = soak.points["QuickJS"]
    assert points.hit
    assert points.machine
