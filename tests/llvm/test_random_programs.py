"""Random programs in machine code: they do what they do in wasmtime, and suspended on any schedule they do the same."""

from __future__ import annotations

import random

import pytest

from runtime import Every, Module, lean
from tests.support.differential import ours, plan, theirs
from tests.support.native import EAGER, engine, needs_native
from tests.support.programs import Program
from tests.support.smith import smith

pytestmark = needs_native


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(24))
@pytest.mark.parametrize("make", ["ours", "smith"])
def test_machine_code_does_what_another_engine_does(make: str, seed: int) -> None:
    """Results, traps, memory, globals and tables are those of wasmtime, undisturbed and suspended again and again,
    with the tier of each function drawn and loops and frames changing theirs."""
    data = Program(seed).data if make == "ours" else smith(seed)
    if data is None:
        pytest.skip("wasm-smith makes nothing of this seed")
    module = Module.load(data)
    calls = plan(module, seed, fuel="g0" if make == "ours" else None)
    expected = theirs(module, calls)
    assert ours(module, calls, engine=engine(policy=EAGER)) == expected
    draw = random.Random(seed)
    native = {index for index in range(len(module.env.funcs)) if draw.random() < 0.6}
    for every in (1, draw.randint(2, 7)):
        policy = lean.evolve(EAGER, calls=draw.randint(1, 3), turns=draw.randint(1, 4), resumes=draw.randint(1, 2))
        using = engine(native.__contains__, policy=policy)
        assert ours(module, calls, injector=Every(every), engine=using) == expected
