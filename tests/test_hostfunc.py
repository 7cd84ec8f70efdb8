"""The hostfunc corpus: eight variants of one guest, which give 136 whatever happens to them, wherever it happens."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import pytest
from hostmod import Operation, host, load, load_call, load_call_add, take

from hostsdk import (
    BlockingContext,
    Context,
    Engine,
    EngineConfig,
    Execution,
    HostModule,
    Instance,
    Interrupt,
    Ptr,
    Returned,
    Steps,
    Suspended,
    i32,
)
from hostsdk.testing import Every, Exploration, Kind, Never, World, explore
from tests.support.hostfunc import CORPUS, EXPECTED, HOSTS, VARIANTS, guest, make, scenario

#: Of toywasm, whose host functions are re-entered for each callback: host functions entered, and the most of them that
#: waited while another was inside.
REFERENCE = [(0, 0), (42, 0), (26, 0), (42, 0), (24, 3), (50, 4), (34, 4), (50, 4)]
#: Host functions called.
CALLS = [0, 42, 26, 42, 8, 34, 18, 34]

everywhere = pytest.mark.parametrize(("variant", "style"), CORPUS)
Callbacks = Literal["nested", "scheduled"]
both_forms = pytest.mark.parametrize("callbacks", ["nested", "scheduled"])


def run(variant: int, style: str, world: World) -> Instance:
    """The instance in which `main` has given the sum."""
    instance = make(variant, style, world)
    assert instance.exports.main() == EXPECTED
    return instance


def exploring(variant: int, style: str, *kinds: Kind) -> Exploration:
    """The exploration of a variant, undisturbed runs of which give the sum."""
    found = explore(scenario(variant, style), kinds=kinds) if kinds else explore(scenario(variant, style))
    assert {ending.outcome for ending in found.undisturbed.values()} == {f"returned ({EXPECTED})"}
    return found


# Undisturbed ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
def test_what_a_variant_imports(variant: int) -> None:
    """MECHANISM 4: bit 0 of a variant's number imports load, bit 1 load_call, bit 2 load_call_add; memory and table
    are exported under the names that C gives them."""
    names = [name for bit, name in enumerate(("load", "load_call", "load_call_add")) if variant >> bit & 1]
    assert sorted(name for _, name, _ in guest(variant).imports) == names
    assert {module for module, _, _ in guest(variant).imports} <= {"my-host-func"}
    assert {"memory", "__indirect_function_table", "main"} <= {name for name, _ in guest(variant).exports}


@pytest.mark.parametrize("variant", VARIANTS)
def test_entries_and_depth(variant: int) -> None:
    """BEHAVIOURS 32: 136, and with scheduled callbacks in function style the reference's numbers of entries and of
    waiting host functions."""
    stats = run(variant, "function", World.make(callbacks="scheduled")).stats
    assert (stats.host_entries, stats.host_depth) == REFERENCE[variant]
    assert stats.host_calls == CALLS[variant]


@everywhere
def test_nested_callbacks_make_one_entry_a_call(variant: int, style: str) -> None:
    """BEHAVIOURS 32: with nested callbacks each call of a host function is one entry; the depth is the reference's."""
    stats = run(variant, style, World.make()).stats
    assert stats.host_entries == stats.host_calls == CALLS[variant]
    assert stats.host_depth == REFERENCE[variant][1]


def begun(callbacks: Callbacks, style: str) -> Counter[str]:
    """How often the body of `load_call_add` was begun in variant 7, with an interruption at every check point."""
    bodies: Counter[str] = Counter()
    counting = HostModule("my-host-func")
    counting.function(load)
    counting.restartable(load_call)

    if style == "generator":

        @counting.restartable(name="load_call_add")
        def generator(ctx: Context, cursor: Ptr[Ptr[Operation]]) -> Steps[i32]:
            bodies["begun"] += 1
            total = yield from load_call_add(ctx, cursor)
            bodies["ended"] += 1
            return total

    else:

        @counting.restartable(name="load_call_add")
        def function(ctx: BlockingContext, cursor: Ptr[Ptr[Operation]]) -> i32:
            bodies["begun"] += 1
            total = ctx.call(take(cursor), cursor.addr) + ctx.call(take(cursor), cursor.addr)
            bodies["ended"] += 1
            return total

    engine = World.make(Every(1), callbacks=callbacks).engine
    instance = Instance(guest(7), [counting], engine=engine)
    execution = instance.start("main")
    while isinstance(outcome := execution.run(), Suspended):
        pass
    assert outcome == Returned((EXPECTED,))
    return bodies


@both_forms
def test_entered_again_once_a_callback(callbacks: Callbacks) -> None:
    """BEHAVIOURS 21 and 32: however often a callback is interrupted, the function that waits for it is entered again
    once, when it is done: three entries for two callbacks. A generator is begun once a call and never again."""
    assert begun(callbacks, "function") == {"begun": 3 * 8, "ended": 8}
    assert begun(callbacks, "generator") == {"begun": 8, "ended": 8}


@pytest.mark.parametrize("variant", [n for n in VARIANTS if n & 4])
@both_forms
def test_interruptions_add_no_entries(variant: int, callbacks: Callbacks) -> None:
    """BEHAVIOURS 21, 32 and 78: interrupted at every check point, the function style makes the reference's entries,
    nested and scheduled, and no call is counted twice."""
    engine = World.make(Every(1), callbacks=callbacks).engine
    instance = Instance(guest(variant), [HOSTS["function"]], engine=engine)
    execution = instance.start("main")
    while isinstance(outcome := execution.run(), Suspended):
        pass
    assert outcome == Returned((EXPECTED,))
    stats = instance.stats
    assert (stats.host_entries, stats.host_depth) == REFERENCE[variant]
    assert stats.host_calls == CALLS[variant]


# Disturbed -----------------------------------------------------------------------------------------------------------


@everywhere
def test_faults_in_series(variant: int, style: str) -> None:
    """BEHAVIOURS 16 and 33: 136 with a restart, an interrupt, a change of the callbacks' form, or a save and load at
    each check point, each second, each seventh; nested and scheduled."""
    lasting = [kind for kind in Kind if not kind.ends and kind is not Kind.MOVE]
    report = exploring(variant, style, *lasting).every(1, 2, 7)
    assert report.hits > report.runs


@pytest.mark.slow
@everywhere
def test_each_fault_at_each_check_point(variant: int, style: str) -> None:
    """BEHAVIOURS 16 and 33: one fault of each kind, drops and exceptions among them, at each check point in turn;
    nested and scheduled."""
    found = exploring(variant, style)
    report = found.exhaustive()
    assert report.runs >= found.checks * len(found.kinds)


@pytest.mark.slow
@everywhere
def test_faults_at_random(variant: int, style: str) -> None:
    """BEHAVIOURS 16 and 33: faults at random check points, of one kind and of all kinds mixed, by seed."""
    found = exploring(variant, style)
    found.random(range(5))
    found.mixed(range(5))


@pytest.mark.slow
def test_pairs_of_faults() -> None:
    """BEHAVIOURS 16 and 33: every two check points of the variant with all functions imported, by restarts; of the
    other kinds, and of the function style, a choice of pairs."""
    found = exploring(7, "generator", Kind.RESTART)
    pairs = found.checks * (found.checks - 1) // 2
    assert found.pairs(most=pairs).runs == pairs * len(found.undisturbed)
    for style in HOSTS:
        exploring(7, style).pairs(most=30)


# In another process --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@everywhere
def test_finished_in_another_process(variant: int, style: str) -> None:
    """BEHAVIOURS 33 and 75: saved at each suspension in turn and finished by another process, it gives 136 and leaves
    the same memory."""
    found = exploring(variant, style, Kind.MOVE)
    report = found.exhaustive()
    assert report.hits == sum(ending.checks for ending in found.undisturbed.values())


@pytest.mark.parametrize("style", HOSTS)
def test_moved_at_every_check_point(style: str) -> None:
    """BEHAVIOURS 33 and 75: saved again and again, each leg of the run begins with what the one before has saved."""
    report = exploring(7, style, Kind.MOVE).every(1, 5)
    assert report.hits > report.runs


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_style_goes_on_with_what_the_other_saved(variant: int) -> None:
    """BEHAVIOURS 33: the record is the same in both styles: what a generator's journal holds answers the function, and
    the other way round, at each suspension."""
    for ours, theirs in (("generator", "function"), ("function", "generator")):
        engine = World.make(Every(1)).engine
        execution = Instance(guest(variant), [HOSTS[ours]], engine=engine).start("main")
        while isinstance(execution.run(), Suspended):
            moved = Execution.load(execution.save(), guest(variant), [HOSTS[theirs]], trusted=True)
            assert moved.run() == Returned((EXPECTED,))
        assert execution.outcome == Returned((EXPECTED,))


# By what an embedder has ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@both_forms
def test_an_interrupt_that_stands(variant: int, callbacks: Callbacks) -> None:
    """BEHAVIOURS 4 and 33: an interrupt in its level form reports at every check point, as an injected fault does, and
    the call comes to its end all the same."""
    engine = Engine(EngineConfig(callbacks=callbacks))
    interrupt = Interrupt(level=True)
    interrupt.set()
    execution = Instance(guest(variant), [host], engine=engine).start("main")
    count = 0
    while isinstance(outcome := execution.run(interrupt=interrupt), Suspended):
        count += 1
    assert outcome == Returned((EXPECTED,))

    instance = make(variant, "generator", World.make(Never(), callbacks=callbacks))
    counting = instance.start("main")
    counting.run()
    assert count == counting._context.requests.checks


def test_a_drop_leaves_the_instance_usable() -> None:
    """BEHAVIOURS 8: dropped at any check point, a call leaves the guest's stack pointer as it was: the next call of
    the same instance gives 136."""
    instance = make(7, "generator", World.make())
    interrupt = Interrupt(level=True)
    for delay in range(42):
        execution = instance.start("main")
        interrupt.delay = delay
        interrupt.set()
        assert isinstance(execution.run(interrupt=interrupt), Suspended)
        execution.drop()
        assert instance.exports.main() == EXPECTED
