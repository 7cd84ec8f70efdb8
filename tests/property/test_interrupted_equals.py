"""Interrupted is not interrupted: random programs on random schedules, and another engine as judge.

`tests/property/campaign.py` does the same for as long as one likes.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import At, Every, Injector, Module, Randomly
from runtime.llvm.here import unavailable
from tests.support.differential import Plan, Seen, ours, plan, saving, theirs
from tests.support.native import engine
from tests.support.programs import Program
from tests.support.smith import smith

SEEDS = st.integers(0, 1 << 32)
SCHEDULES: st.SearchStrategy[Injector] = st.one_of(
    st.builds(Every, st.integers(1, 5)),
    st.builds(Randomly, SEEDS, st.sampled_from((0.1, 0.5, 0.9))),
    st.builds(At, st.frozensets(st.integers(1, 60), min_size=1, max_size=4)),
)


def program(seed: int) -> tuple[Module, Plan]:
    """A program of ours, and calls of it."""
    module = Module.load(Program(seed).data)
    return module, plan(module, seed, fuel="g0")


@settings(max_examples=60)
@given(seed=SEEDS)
def test_programs_run_as_in_another_engine(seed: int) -> None:
    """Results, traps, memory, globals and tables of a random program are those of wasmtime."""
    module, calls = program(seed)
    assert ours(module, calls) == theirs(module, calls)


@settings(max_examples=80)
@given(seed=SEEDS, schedule=SCHEDULES, scheduled=st.booleans())
def test_interrupted_equals_uninterrupted(seed: int, schedule: Injector, scheduled: bool) -> None:
    """Behaviour 16: suspended and resumed on any schedule, with callbacks nested or scheduled, a program does what it
    does when it is left alone."""
    module, calls = program(seed)
    assert ours(module, calls, injector=schedule, scheduled=scheduled) == ours(module, calls)


@settings(max_examples=25)
@given(seed=SEEDS, schedule=SCHEDULES, scheduled=st.booleans())
def test_saved_and_loaded_equals_uninterrupted(seed: int, schedule: Injector, scheduled: bool) -> None:
    """Behaviours 33 and 75: the same with a save and a load at every suspension."""
    module, calls = program(seed)
    seen = ours(module, calls, injector=schedule, between=saving(schedule, scheduled), scheduled=scheduled)
    assert seen == ours(module, calls)


def grown(seed: int) -> tuple[Module, Plan] | None:
    """A module of wasm-smith's, and calls of it."""
    data = smith(seed)
    if data is None:
        return None
    module = Module.load(data)
    return module, plan(module, seed)


@pytest.mark.slow
@settings(max_examples=40, database=None)
@given(seed=SEEDS, schedule=SCHEDULES)
def test_the_same_for_what_wasm_smith_makes(seed: int, schedule: Injector) -> None:
    """Behaviour 16: modules of another make, whose authors look for what breaks engines, alone and interrupted."""
    made = grown(seed)
    if made is None:
        return
    alone = ours(*made)
    assert alone == theirs(*made)
    assert ours(*made, injector=schedule) == alone
    assert ours(*made, injector=schedule, between=saving(schedule)) == alone


@pytest.mark.slow
@settings(max_examples=25, database=None)
@given(seed=st.integers(0, 1 << 16), schedule=SCHEDULES)
def test_the_same_with_what_came_after_2_0(seed: int, schedule: Injector) -> None:
    """Behaviours 16 and 75: modules with exceptions, vectors, 64-bit addresses and pages of one byte do in wasmtime, on
    the native tier, interrupted, and saved and loaded, what they do alone."""
    data = smith(seed, size=1000 + seed % 7 * 1000, newer=True)
    if data is None:
        return
    module = Module.load(data)
    calls = plan(module, seed)
    alone = ours(module, calls)
    assert alone == theirs(module, calls)
    assert ours(module, calls, injector=schedule) == alone
    assert ours(module, calls, injector=schedule, between=saving(schedule)) == alone
    if unavailable() is None:
        assert ours(module, calls, engine=engine()) == alone
        assert ours(module, calls, engine=engine(), injector=schedule) == alone


def test_programs_are_of_use() -> None:
    """The generator's programs mostly do something, and between them trap in several ways."""
    seen: list[Seen] = [ours(*program(seed)) for seed in range(25)]
    kinds = [kind for each in seen for kind, _ in each.results]
    assert kinds.count("returned") * 3 > len(kinds)
    assert len(set(kinds)) > 3
    assert any(set(each.memories[0]) != {0} for each in seen)
