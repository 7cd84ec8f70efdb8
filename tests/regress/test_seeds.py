"""A fixed corpus of random programs, each interrupted at every one of its check points in turn.

A seed that `tests/property/campaign.py` finds a difference for belongs here once the difference is gone.
"""

from __future__ import annotations

import pytest

from runtime import At, ExecContext, Injector, Instance, Module
from tests.support.differential import Between, Plan, ours, plan, saving
from tests.support.programs import Program
from tests.support.smith import smith

#: Programs of ours, and of wasm-smith's.
PROGRAMS = (172, 124, 81, 63, 102, 133)
SMITH = (59, 202, 139, 557, 343)


class Counting:
    """Counts check points, and hits none."""

    def __init__(self) -> None:
        self.most = 0

    def fires(self, check: int) -> bool:
        self.most = max(self.most, check)
        return False


def made(seed: int, by_smith: bool) -> tuple[Module, Plan]:
    data = smith(seed, size=1000 + seed % 7 * 1000) if by_smith else Program(seed).data
    assert data is not None
    module = Module.load(data)
    return module, plan(module, seed, fuel=None if by_smith else "g0", amount=30)


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize(
    ("seed", "by_smith"), [*((s, False) for s in PROGRAMS), *((s, True) for s in SMITH)], ids=str
)
def test_a_fault_at_each_check_point(seed: int, by_smith: bool, scheduled: bool) -> None:
    """Behaviour 16: an exhaustive single fault, resumed, and saved and loaded: the outcome is always the same."""
    module, calls = made(seed, by_smith)
    counting = Counting()
    alone = ours(module, calls, injector=counting, scheduled=scheduled)
    for check in range(1, min(counting.most, 60) + 1):
        injector: Injector = At((check,))
        assert ours(module, calls, injector=injector, scheduled=scheduled) == alone
        between: Between = saving(injector, scheduled)
        assert ours(module, calls, injector=injector, between=between, scheduled=scheduled) == alone


def test_the_harness_sees_a_difference() -> None:
    """A memory that is changed behind the guest's back isn't overlooked."""
    module, calls = made(PROGRAMS[0], False)

    def spoil(ctx: ExecContext, instance: Instance) -> tuple[ExecContext, Instance]:
        assert instance.mem is not None
        instance.mem.data[-1] = 0xEE
        return ctx, instance

    assert ours(module, calls, injector=At((1,)), between=spoil) != ours(module, calls)
