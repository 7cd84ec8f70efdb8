"""`steps=`: a budget of instructions that is the same on every machine."""

from __future__ import annotations

import pytest

from hostsdk import Execution, Instance, Limits, Module, OutOfSteps, Returned, Suspended, Trap, TrapCode
from tests.support.build import wat

SUM = """(module (func $one (param i32) (result i32) local.get 0 i32.const 1 i32.add)
  (func (export "sum") (param i32) (result i32) (local i32)
    loop
      local.get 1 call $one local.set 1
      local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0
    end
    local.get 1))"""


@pytest.fixture(scope="module")
def module() -> Module:
    """A loop that calls a function."""
    return Module.from_bytes(wat(SUM))


def test_a_plain_call_traps_when_the_budget_is_used_up(module: Module) -> None:
    """A call with too few steps ends in a trap of its own code, and the instance can be used again."""
    instance = Instance(module)
    with pytest.raises(Trap, match="budget of instructions") as caught:
        instance.call("sum", 1000, steps=500)
    assert caught.value.code is TrapCode.LIMIT
    assert instance.call("sum", 10, steps=500) == 10


def test_an_execution_suspends_and_goes_on_with_more(module: Module) -> None:
    """Run in portions of steps, an execution gives the uninterrupted result, always in as many portions."""
    counts = []
    for _ in range(2):
        execution = Instance(module).start("sum", 100)
        portions = 0
        while isinstance(outcome := execution.run(steps=100), Suspended):
            assert isinstance(outcome.reason, OutOfSteps)
            portions += 1
        assert outcome == Returned((100,))
        counts.append(portions)
    assert counts[0] == counts[1] >= 10


def test_what_is_left_is_saved(module: Module) -> None:
    """An execution that is out of steps is so after a load, and goes on when it is given more."""
    execution = Instance(module).start("sum", 100)
    assert isinstance(execution.run(steps=300), Suspended)
    loaded = Execution.load(execution.save(), module, trusted=True)
    assert isinstance(loaded.run(), Suspended)
    assert loaded.run(steps=100_000) == Returned((100,))


def test_limits_give_each_execution_its_budget(module: Module) -> None:
    """`Limits(steps=…)` holds for every execution of an instance, each anew."""
    instance = Instance(module, limits=Limits(steps=500))
    assert [instance.call("sum", 20), instance.call("sum", 20)] == [20, 20]
    with pytest.raises(Trap, match="budget of instructions"):
        instance.call("sum", 1000)


def test_counting_changes_no_result(module: Module) -> None:
    """With a budget that suffices, everything is as without one; the exact need is stable."""
    instance = Instance(module)
    need = next(n for n in range(1, 1000) if _suffices(instance, n))
    assert not _suffices(instance, need - 1)
    assert _suffices(Instance(module), need)


def _suffices(instance: Instance, steps: int) -> bool:
    try:
        return bool(instance.call("sum", 7, steps=steps) == 7)
    except Trap:
        return False
