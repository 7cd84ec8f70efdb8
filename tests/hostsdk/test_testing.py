"""`hostsdk.testing`: the harness finds what it is for, says where it lay, and is the same each time."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from hostsdk import (
    BlockingContext,
    Context,
    HostModule,
    Instance,
    Notifier,
    Question,
    Steps,
    Suspended,
    ask,
    check_interrupt,
    i32,
    sleep,
)
from hostsdk.testing import (
    At,
    Every,
    Injected,
    InjectionFailure,
    Kind,
    Never,
    Randomly,
    Scenario,
    Stuck,
    Thrown,
    World,
    explore,
)
from tests.support.inject import MEMORY, guest, module, scene
from tests.support.scenes import SCENES

CALL = f"""(import "h" "f" (func $f (result i32))) {MEMORY}
  (global $g (mut i32) (i32.const 0))
  (func $run (export "run") (result i32) (global.set $g (i32.add (global.get $g) (i32.const 1))) (call $f))"""


def _scene(fn: Callable[..., Any], **options: Any) -> Scenario:
    host = HostModule("h", state=list[Any])
    host.save(list)
    host.load(list)
    host.restartable(name="f")(fn)
    return scene(CALL, host, **options)


# Schedules


def test_injectors_hit_what_they_say() -> None:
    """16: none, single check points, every k-th, and random ones: the same for the same seed, whatever process asks."""
    checks = range(1, 13)
    assert [c for c in checks if Never().fires(c)] == []
    assert [c for c in checks if At({3, 5}).fires(c)] == [3, 5]
    assert [c for c in checks if Every(4).fires(c)] == [4, 8, 12]
    first = [c for c in range(2000) if Randomly(7, 0.3).fires(c)]
    assert first == [c for c in range(2000) if pickle.loads(pickle.dumps(Randomly(7, 0.3))).fires(c)]
    assert 500 < len(first) < 700
    assert first != [c for c in range(2000) if Randomly(8, 0.3).fires(c)]


def test_check_points_are_counted() -> None:
    """16: an undisturbed run counts the check points: entries of functions of both worlds, loops, and waits."""
    text = """(import "h" "f" (func $f)) (func $g)
      (func (export "run") (local $i i32)
        (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 4))))
        (call $f) (call $g))"""
    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext) -> None:
        ctx.check_interrupt()
        ctx.sleep(1)

    # run, three back-edges, f, its poll and its wait, g.
    assert explore(scene(text, host)).checks == 8
    outcome = guest(text, host, injector=At({6})).start("run").run()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == Injected(6)


def test_reports_count_runs_and_hits() -> None:
    """16: how much has been tried is known: a run for each check point, kind and setting; pairs up to their number."""

    def f(ctx: Context[list[Any]]) -> Steps[i32]:
        yield from check_interrupt()
        return 1

    found = explore(_scene(f), kinds=[Kind.RESTART, Kind.SAVE])
    assert found.checks == 3
    assert (found.none().runs, found.none().hits) == (2, 0)
    assert (found.exhaustive().runs, found.exhaustive().hits) == (12, 12)
    assert (found.pairs().runs, found.pairs().hits) == (12, 24)
    assert found.pairs(most=2).runs == 8
    assert found.every(1, 2).hits == 2 * 2 * (3 + 1)
    assert found.random(range(4)).runs == 16
    assert found.mixed(range(4)).runs == 8


# What is found


@attrs.define
class Planted:
    """A mistake and what is said of it."""

    fn: Callable[..., Any]
    says: str
    kinds: tuple[Kind, ...] = (Kind.RESTART,)


def _effect_twice(ctx: BlockingContext[list[Any]]) -> i32:
    ctx.state.append(1)
    ctx.sleep(1)
    return 5


def _memory(ctx: BlockingContext[list[Any]]) -> i32:
    memory = ctx._guest_memory()
    memory.data[40] += 1
    ctx.sleep(1)
    return 5


def _longer(ctx: BlockingContext[list[Any]]) -> i32:
    ctx.state.append(1)
    ctx.check_interrupt()
    ctx.sleep(len(ctx.state))
    ctx.state.clear()
    return 5


def _result(ctx: BlockingContext[list[Any]]) -> i32:
    ctx.state.append(1)
    ctx.sleep(1)
    count = len(ctx.state)
    ctx.state.clear()
    return count


def _eats(ctx: BlockingContext[list[Any]]) -> i32:
    try:
        ctx.sleep(1)
    except Exception:
        return 9
    return 5


def _swallows(ctx: BlockingContext[list[Any]]) -> i32:
    try:
        ctx.check_interrupt()
    except:  # noqa: E722
        return 5
    return 5


@pytest.mark.parametrize(
    "planted",
    [
        Planted(_effect_twice, r"effects: undisturbed \[1\], now \[1, 1\]"),
        Planted(_effect_twice, r"effects", (Kind.INTERRUPT,)),
        Planted(_memory, r"memory 0 from 0x28: undisturbed 01"),
        Planted(_longer, r"time taken: undisturbed 1"),
        Planted(_result, r"outcome: undisturbed 'returned \(1\)', now 'returned \(2\)'"),
        Planted(_eats, r"what was thrown in didn't come out: returned \(9\)", (Kind.THROW,)),
    ],
    ids=lambda planted: planted.fn.__name__ + "_" + planted.kinds[0].value,
)
def test_planted_mistakes_are_found(planted: Planted) -> None:
    """16: an effect, a write, a wait, a result or an exception that isn't as without faults is found, and told with
    the kind of fault, the check point, the setting and the backtrace there."""
    observed = _scene(planted.fn, observe=lambda inst: inst.state(_host(inst)))
    found = explore(observed, kinds=planted.kinds)
    with pytest.raises(InjectionFailure, match=planted.says) as caught:
        found.exhaustive()
    text = str(caught.value)
    assert planted.kinds[0].value in text
    assert "callbacks nested" in text
    assert [hit.kind for hit in caught.value.hits] == [planted.kinds[0]]
    assert f"at check point {caught.value.hits[0].check}, in\n      0 host  h.f(" in text
    assert "wasm  run(" in text


def test_a_swallowed_unwind_is_found() -> None:
    """18, 16: a fault that a function keeps from leaving the stack is told, too, by its check point."""
    with pytest.raises(InjectionFailure, match="RecordError") as caught:
        explore(_scene(_swallows), kinds=[Kind.RESTART]).exhaustive()
    assert "restart at check point 3" in str(caught.value)


def _host(inst: Instance) -> HostModule[Any]:
    host: HostModule[Any] = inst._bindings[0].module
    return host


def test_what_a_drop_leaves_behind_is_found() -> None:
    """8, 16: after a drop or throw `settled` looks for what is left, and its complaint is told with the place."""

    def f(ctx: BlockingContext[list[Any]]) -> i32:
        ctx.once(lambda: ctx.state.append("open"))
        ctx.sleep(1)
        ctx.once(lambda: ctx.state.append("closed"))
        return 1

    def settled(inst: Instance) -> None:
        assert inst.state(_host(inst))[-1:] != ["open"], "left open"

    for kind in (Kind.DROP, Kind.THROW):
        found = explore(_scene(f, settled=settled), kinds=[kind])
        with pytest.raises(AssertionError, match="left open") as caught:
            found.exhaustive()
        assert kind.value in "".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def test_a_release_that_raises_is_found() -> None:
    """8: an error in a cleanup that a drop runs isn't lost."""

    def f(ctx: BlockingContext[list[Any]]) -> i32:
        def release(_: object) -> None:
            raise LookupError("release")

        ctx.acquire(int, release=release if ctx.once(lambda: len(ctx.state)) else print)
        ctx.once(lambda: ctx.state.append(1))
        ctx.sleep(1)
        return 1

    explore(_scene(f, saves=False), kinds=[Kind.DROP]).exhaustive()


def test_settings_that_differ_are_found() -> None:
    """16: a scenario that gives something else with scheduled callbacks, or with waits off the stack, is told before
    any fault."""

    def f(ctx: BlockingContext[list[Any]]) -> i32:
        return int(ctx._execution.driver.in_place)

    with pytest.raises(InjectionFailure, match="waits off the stack gives something else"):
        explore(_scene(f), in_place=(True, False))
    explore(_scene(f))


def test_a_scenario_that_isnt_the_same_each_time_is_found() -> None:
    """16: where a run doesn't come to a check point that the undisturbed one had, exhaustion would be an illusion."""
    runs: list[int] = []

    def f(ctx: BlockingContext[list[Any]]) -> i32:
        runs.append(1)
        if len(runs) == 1:
            ctx.check_interrupt()
        return 1

    found = explore(_scene(f), kinds=[Kind.RESTART], callbacks=["nested"])
    with pytest.raises(InjectionFailure, match=r"isn't the same each time: 1 .*At.checks=.3"):
        found.exhaustive()


def test_looking_is_not_part_of_the_run() -> None:
    """16: what `observe` calls in the guest is neither counted nor hit."""

    def f(ctx: BlockingContext[list[Any]]) -> i32:
        return 1

    def observe(inst: Instance) -> object:
        return [inst.exports.run() for _ in range(3)]

    found = explore(_scene(f, observe=observe), kinds=[Kind.RESTART])
    assert found.checks == 2
    assert found.every(1).hits == 2 * 2


def test_a_wait_without_an_end_is_found() -> None:
    """15: nobody sleeps for real, and a wait that nothing will end doesn't hang the tests."""
    never = Notifier()

    def f(ctx: BlockingContext[list[Any]]) -> i32:
        return ctx.block_until(lambda: None, wake=never)

    found = explore(_scene(f))
    assert "Stuck" in found.undisturbed.popitem()[1].outcome
    assert issubclass(Stuck, Exception)


# Questions, saving, other processes


class Which(Question[i32]):
    """A question that a scenario may have no answer to."""


def test_a_scenario_answers_questions() -> None:
    """A question in a scenario without answers is an error that says what is missing."""

    def f(ctx: Context[list[Any]]) -> Steps[i32]:
        return (yield from ask(Which()))

    with pytest.raises(LookupError, match="answer="):
        explore(_scene(f))
    explore(_scene(f, answer=lambda question: 4)).exhaustive()


def test_what_cant_be_saved_says_so() -> None:
    """75: a scenario that holds live objects fails under faults that save, unless it says that it can't be saved."""

    def f(ctx: BlockingContext[list[Any]]) -> i32:
        ctx.acquire(object, release=id)
        ctx.sleep(1)
        return 1

    with pytest.raises(Exception, match="can't be saved") as caught:
        explore(_scene(f)).exhaustive()
    assert "save under save@" in "".join(caught.value.__notes__)
    assert Kind.SAVE not in explore(_scene(f, saves=False)).kinds


def test_another_process_needs_names() -> None:
    """75: functions that have no name to import them by can't be sent to another process, and the error says so."""

    def f(ctx: BlockingContext[list[Any]]) -> i32:
        return 1

    with pytest.raises(TypeError, match="importable by name"):
        explore(_scene(f), kinds=[Kind.MOVE]).exhaustive()


@pytest.mark.slow
def test_a_failure_in_another_process_comes_back() -> None:
    """75: what goes wrong in the other process is told here, with its traceback."""
    broken = attrs.evolve(SCENES["function"], observe=_cant_look)
    with pytest.raises(ZeroDivisionError):
        explore(broken, kinds=[Kind.MOVE])
    broken = attrs.evolve(SCENES["function"], observe=_cant_look_elsewhere)
    with pytest.raises(InjectionFailure, match=r"in another process(.*\n)*.*ZeroDivisionError"):
        explore(broken, kinds=[Kind.MOVE], callbacks=["nested"]).every(3)


def _cant_look(inst: Instance) -> object:
    return 1 / 0


def _cant_look_elsewhere(inst: Instance) -> object:
    from multiprocessing import parent_process

    return 1 / 0 if parent_process() is not None else [list(binding.state) for binding in inst._bindings]


# The world


def test_events_come_at_their_time() -> None:
    """A world's events are called when the waits of the guest let the clock come to them, in order."""
    seen: list[tuple[str, float]] = []
    host = HostModule("h")

    @host.restartable
    def f(ctx: Context) -> Steps[i32]:
        yield from sleep(10)
        return 1

    def make(world: World) -> Instance:
        begun = world.clock.monotonic()
        for seconds in (7.0, 2.0):
            world.at(seconds, lambda: seen.append(("event", world.clock.monotonic() - begun)))
        return Instance(module(CALL), [host], engine=world.engine)

    found = explore(Scenario(make), kinds=[Kind.RESTART], callbacks=["nested"])
    assert seen == [("event", 2.0), ("event", 7.0)]
    assert found.undisturbed.popitem()[1].elapsed == 10


def test_thrown_is_an_exception() -> None:
    """What the harness throws in is an ordinary exception of its own class, with the place in its text."""
    seen: list[str] = []

    def f(ctx: BlockingContext[list[Any]]) -> i32:
        try:
            ctx.sleep(1)
        except Thrown as error:
            seen.append(str(error))
        return 1

    explore(_scene(f, catches=True), kinds=[Kind.THROW]).exhaustive()
    assert set(seen) == {"at check point 3"}
