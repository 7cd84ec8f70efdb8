"""Machine code interrupted at its check points: whatever goes on with its frames, the result is the same."""

from __future__ import annotations

import random

import pytest

from runtime import At, Every, Module, Never, Returned, Store, control, lean, snapshot
from runtime.exec.state import Suspended
from runtime.llvm import installed, loader
from runtime.llvm.product import GOOD
from tests.llvm.kernels import CALLS, SOURCE
from tests.support.guests import modules_of, nothing, resume_all
from tests.support.native import EAGER, Native, c, code_of, engine, needs_native, text

pytestmark = needs_native


def undisturbed(name: str, amount: int) -> tuple[object, str]:
    """What the interpreter makes of it."""
    from runtime import Engine, EngineConfig

    guest = Native(c(SOURCE), using=Engine(EngineConfig(tier="interpreter")))
    return guest.outcome(name, amount), guest.picture()


def check_points(name: str, amount: int) -> int:
    """How many check points machine code meets."""
    guest = Native(c(SOURCE), injector=Never())
    ctx = guest.func(name).start(amount)
    assert isinstance(resume_all(ctx), Returned)
    return ctx.requests.checks


@pytest.mark.slow
@pytest.mark.parametrize(("name", "amount"), CALLS)
def test_every_check_point(name: str, amount: int) -> None:
    """1, 3: suspended once, at each check point in turn, a call gives what it gives undisturbed."""
    expected, memory = undisturbed(name, amount)
    count = check_points(name, amount)
    assert count > 3
    for point in range(1, count + 1):
        guest = Native(c(SOURCE), injector=At({point}))
        assert (guest.outcome(name, amount), guest.picture()) == (expected, memory), f"check point {point} of {count}"


@pytest.mark.parametrize("every", [1, 2, 7])
@pytest.mark.parametrize(("name", "amount"), CALLS)
def test_again_and_again(name: str, amount: int, every: int) -> None:
    """3: suspended at each k-th check point, however often, a call makes progress and gives the same."""
    guest = Native(c(SOURCE), injector=Every(every))
    assert (guest.outcome(name, amount), guest.picture()) == undisturbed(name, amount)


#: Two branches lead back to the loop.
FORKED = """(func (export "f") (param $n i32) (result i32) (local $sum i32)
  (loop $more
    (local.set $n (i32.sub (local.get $n) (i32.const 1)))
    (br_if $more (i32.and (local.get $n) (i32.const 1)))
    (local.set $sum (i32.add (local.get $sum) (local.get $n)))
    (br_if $more (local.get $n)))
  (local.get $sum))"""


def test_a_loop_with_two_ways_back() -> None:
    """3 and 4: gone on with at a loop's header, where its requests are looked for, too, machine code comes to the next
    check point, each time."""
    guest = Native(text(FORKED), injector=Every(1))
    ctx = guest.func("f").start(40)
    outcome = control.run(ctx)
    for _ in range(60):
        if isinstance(outcome, Suspended):
            outcome = control.run(ctx)
    assert outcome == Returned((380,))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(("name", "amount"), CALLS)
def test_each_functions_tier_is_drawn(name: str, amount: int, seed: int) -> None:
    """Functions of both tiers call one another, and suspensions go through stacks of both."""
    draw = random.Random(f"{name} {seed}")
    native = {index for index in range(len(c(SOURCE).env.funcs)) if draw.random() < 0.5}
    guest = Native(c(SOURCE), using=engine(native.__contains__), injector=Every(draw.randint(1, 9)))
    assert (guest.outcome(name, amount), guest.picture()) == undisturbed(name, amount)


@pytest.mark.parametrize(("name", "amount"), CALLS)
def test_saved_and_finished_by_the_other_tier(name: str, amount: int) -> None:
    """Records of machine code are finished by the interpreter, in another store, and the other way round."""
    expected, memory = undisturbed(name, amount)
    module = c(SOURCE)
    guest = Native(module, injector=Every(5))
    ctx = guest.func(name).start(amount)
    outcome = control.run(ctx)
    root = guest.instance
    native = False
    while isinstance(outcome, Suspended):
        data = snapshot.save(ctx, root)
        store = Store(engine(None if native else (lambda index: False)), injector=Every(5))
        restored = snapshot.load(data, modules_of(root), nothing, store)
        ctx, root, native = restored.ctx, restored.instances[0], not native
        outcome = control.run(ctx)
    after = Native(module)
    after.instance = root
    assert (outcome, after.picture()) == (expected, memory)


@pytest.mark.parametrize("reach", [loader._REACH, 0], ids=["near", "far"])
@pytest.mark.parametrize(("name", "amount"), CALLS)
def test_calls_that_go_straight(name: str, amount: int, reach: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """3: functions whose code came one after another, and one that has none before it is called, call one another:
    before and after the code is loaded anew, so that calls in what came first go straight to what came later."""
    monkeypatch.setattr(loader, "_REACH", reach)
    monkeypatch.setattr(installed, "_FRESH", 1)
    draw = random.Random(f"{name} {amount}")
    module = Module.load(c(SOURCE).data)
    using = engine(None, GOOD)
    kept = draw.randrange(len(module.env.funcs))
    guest = Native(module, using=using, injector=Every(draw.randint(2, 9)))
    code = code_of(guest)
    connect = code.connect
    monkeypatch.setattr(code, "connect", lambda: None)
    for each in draw.sample(module.decls.codes, len(module.decls.codes)):
        if each.index != kept:
            code.want([each.index])
    before = dict(code.made)
    assert (guest.outcome(name, amount), guest.picture()) == undisturbed(name, amount)
    connect()
    assert all(code.made[index] != before[index] for index in before if before[index] is not None)
    guest = Native(module, using=using, injector=Every(draw.randint(2, 9)))
    assert (guest.outcome(name, amount), guest.picture()) == undisturbed(name, amount)


def test_the_optimised_code_gives_the_same() -> None:
    """The code generator's better level makes records of the same layout."""
    for name, amount in CALLS:
        guest = Native(c(SOURCE), using=engine(level=2), injector=Every(3))
        assert (guest.outcome(name, amount), guest.picture()) == undisturbed(name, amount)


@pytest.mark.parametrize("every", [1, 2, 7])
@pytest.mark.parametrize(("name", "amount"), CALLS)
def test_gone_on_with_in_machine_code(name: str, amount: int, every: int) -> None:
    """Records go on in code that begins at their check point, each with code of its own, and none is left out."""
    guest = Native(c(SOURCE), using=engine(policy=EAGER), injector=Every(every))
    assert (guest.outcome(name, amount), guest.picture()) == undisturbed(name, amount)
    codes = code_of(guest)
    assert codes.points
    assert None not in codes.points.values()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("name", "amount"), CALLS)
def test_each_functions_tier_is_drawn_and_loops_change_theirs(name: str, amount: int, seed: int) -> None:
    """Functions of both tiers call one another; loops of the interpreter and suspended frames go on in machine code."""
    draw = random.Random(f"{seed} {name}")
    native = {index for index in range(len(c(SOURCE).env.funcs)) if draw.random() < 0.5}
    policy = lean.evolve(EAGER, calls=draw.randint(1, 5), turns=draw.randint(1, 9), resumes=draw.randint(1, 3))
    guest = Native(c(SOURCE), using=engine(native.__contains__, policy=policy), injector=Every(draw.randint(1, 9)))
    assert (guest.outcome(name, amount), guest.picture()) == undisturbed(name, amount)


@pytest.mark.parametrize(("name", "amount"), CALLS)
def test_a_loop_of_the_interpreter_goes_on_in_machine_code(name: str, amount: int) -> None:
    """Code that comes while the interpreter runs a function takes over at its calls and at its loops."""
    late = lean.evolve(EAGER, at_once=False, calls=3, turns=2)
    guest = Native(c(SOURCE), using=engine(policy=late))
    assert (guest.outcome(name, amount), guest.picture()) == undisturbed(name, amount)
    assert any(code_of(guest).made.values())
