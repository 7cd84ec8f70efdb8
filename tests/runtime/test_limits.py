"""Every limit is hit in an orderly way: a trap, -1 or a LimitError, never a crash, and nothing half-done."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from runtime import (
    Every,
    Failed,
    LimitError,
    Limits,
    Module,
    RecordError,
    Returned,
    State,
    Suspended,
    Totals,
    Trap,
    TrapCode,
    Trapped,
    control,
    lean,
)
from runtime.limits import PAGE
from tests.support.build import wat
from tests.support.guests import Guest, resume_all
from tests.support.hosts import Call, Results, host, imports

#: Counts down by recursion; gives how deep it was.
DOWN = """
  (func $f (export "f") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
"""
#: The same by way of the host.
UP_AND_DOWN = """
  (import "h" "call" (func $call (param i32) (result i32)))
  (func (export "f") (param i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $call (i32.sub (local.get 0) (i32.const 1)))))
      (else (i32.const 0))))
"""


def exhausted(run: Callable[[], object]) -> Trap:
    with pytest.raises(Trap) as caught:
        run()
    assert caught.value.code is TrapCode.STACK_OVERFLOW
    assert str(caught.value).startswith("call stack exhausted")
    return caught.value


# Frames


@pytest.mark.parametrize("frames", [1, 2, 10, 10_000])
def test_recursion_goes_exactly_to_the_limit(frames: int) -> None:
    """Deep recursion up to the limit of frames works; one more traps with 'call stack exhausted'."""
    guest = Guest(DOWN, limits=Limits(frames=frames))
    assert guest.call("f", frames - 1) == frames - 1
    trap = exhausted(lambda: guest.call("f", frames))
    assert len(trap.backtrace) == frames
    assert guest.call("f", frames - 1) == frames - 1


def test_endless_recursion_traps() -> None:
    """Recursion without an end, direct, mutual and indirect, ends at the default limit."""
    for text in (
        '(func $f (export "f") (call $f))',
        '(func $g (call $f)) (func $f (export "f") (call $g))',
        '(type $t (func)) (table funcref (elem $f)) (func $f (export "f") (call_indirect (type $t) (i32.const 0)))',
    ):
        exhausted(lambda text=text: Guest(text).call("f"))  # type: ignore[misc]


def _calling(plain: bool = False, scheduled: bool = False) -> Guest:
    """A guest that calls itself by way of the host: by `call_back`, or by a plain call."""
    found: list[Guest] = []

    @host("h", "call", "i32 -> i32", scheduled=scheduled)
    def call(call: Call) -> Results:
        if plain:
            return (found[0].call("f", *call.args),)
        return call.call(found[0].raw("f"), *call.args)

    found.append(Guest(UP_AND_DOWN, imports(call)))
    return found[0]


@pytest.mark.parametrize("scheduled", [False, True])
def test_recursion_by_way_of_the_host(scheduled: bool) -> None:
    """Guest and host call each other thousands of times deep: frames of both count, Python's stack stays within its
    limit, nested callbacks end at `Limits.nesting` and are scheduled beyond."""
    guest = _calling(scheduled=scheduled)
    assert guest.call("f", 4999) == 4999
    counters = guest.store.counters
    assert (counters.host_calls, counters.host_depth) == (4999, 4998)
    exhausted(lambda: guest.call("f", 5000))
    assert guest.call("f", 3) == 3


@pytest.mark.parametrize("nesting", [0, 1, 7, 40])
def test_callbacks_nest_as_deep_as_they_may(nesting: int) -> None:
    """Up to `Limits.nesting` callbacks stay on the Python stack and are entered once each; deeper ones are scheduled
    and their host functions entered again."""
    found: list[Guest] = []
    nestings: list[int] = []

    @host("h", "call", "i32 -> i32")
    def call(call: Call) -> Results:
        nestings.append(call.ctx.nesting)
        return call.call(found[0].raw("f"), *call.args)

    found.append(Guest(UP_AND_DOWN, imports(call), limits=Limits(nesting=nesting)))
    assert found[0].call("f", nesting) == nesting
    assert max(nestings, default=0) == max(nesting - 1, 0)
    assert found[0].store.counters.host_entries == nesting
    assert found[0].call("f", 3 * nesting + 2) == 3 * nesting + 2
    assert max(nestings) == nesting


def test_plain_calls_nested_in_host_functions_trap() -> None:
    """Plain calls take Python's stack and can't be scheduled: past `Limits.nesting` they trap, as a deep guest does."""
    guest = _calling(plain=True)
    assert guest.call("f", 30) == 30
    trap = exhausted(lambda: guest.call("f", 1000))
    assert "plain calls in host functions" in trap.message
    assert guest.call("f", 30) == 30


# Python's stack


def at_depth(depth: int, fn: Callable[[], Any]) -> Any:
    """Call `fn` with `depth` more frames on the Python stack."""
    return fn() if depth <= 0 else at_depth(depth - 1, fn)


def here() -> int:
    """How many frames are on the Python stack."""
    frame, count = sys._getframe(), 0
    while frame.f_back is not None:
        frame, count = frame.f_back, count + 1
    return count


@pytest.mark.parametrize("plain", [False, True])
def test_no_recursion_error_from_wherever_it_is_called(plain: bool) -> None:
    """Called from any depth of Python's stack, a guest that recurses through the host gives its result, a trap, or a
    LimitError before anything ran: never a RecursionError."""
    guest = _calling(plain=plain)
    seen = set()
    room = sys.getrecursionlimit() - here() - 30
    for depth in [*range(0, room - 150, 97), *range(room - 150, room, 7)]:
        ctx = guest.start("f", 60)
        try:
            outcome = at_depth(depth, lambda ctx=ctx: control.run(ctx))  # type: ignore[misc]
        except LimitError:
            assert ctx.state is State.READY
            seen.add("refused")
            control.drop(ctx)
            continue
        if isinstance(outcome, Trapped):
            assert outcome.trap.code is TrapCode.STACK_OVERFLOW
        else:
            assert outcome == Returned((60,))
        seen.add(type(outcome).__name__)
    assert seen == ({"Trapped", "refused"} if plain else {"Returned", "refused"})
    assert guest.call("f", 5) == 5


def test_a_suspended_execution_survives_a_refused_resume() -> None:
    """A resume from too deep in Python's stack changes nothing; from elsewhere the execution goes on."""
    guest = Guest('(import "h" "ask" (func $ask (result i32))) (func (export "f") (result i32) (call $ask))',
                  imports(host("h", "ask", "-> i32")(lambda call: (call.ask("?"),))))  # fmt: skip
    ctx = guest.start("f")
    assert isinstance(control.run(ctx), Suspended)
    with pytest.raises(LimitError, match="recursion limit is near"):
        at_depth(sys.getrecursionlimit() - here() - 60, lambda: control.run(ctx))
    control.answer(ctx, 4)
    assert control.run(ctx) == Returned((4,))


def test_a_low_recursion_limit_only_schedules() -> None:
    """With hardly any Python stack allowed, callbacks are scheduled, and everything still works."""
    guest = _calling()
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(here() * 2 + 140)
    try:
        assert guest.call("f", 50) == 50
    finally:
        sys.setrecursionlimit(before)


# Cells


def test_frames_with_thousands_of_locals_count_for_what_they_are() -> None:
    """Limits.cells counts operands and locals: recursion in a function of 10,000 locals traps long before the limit of
    frames, suspended or not."""
    text = f"""(func $f (export "f") (param i32) (result i32) (local {"i32 " * 10_000})
      (if (result i32) (local.get 0)
        (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1)))))
        (else (i32.const 0))))"""
    guest = Guest(text, limits=Limits(cells=105_000))
    assert guest.call("f", 9) == 9
    exhausted(lambda: guest.call("f", 10))
    exhausted(lambda: Guest(text, limits=Limits(cells=9_000)).call("f", 0))


def test_suspending_does_not_make_room() -> None:
    """Frames on the heap count against the limits as live ones do, at every check point; none is lost or counted
    twice."""
    for k in (1, 2, 3):
        guest = Guest(DOWN, limits=Limits(frames=50, cells=50 * 5), injector=Every(k))
        ctx = guest.start("f", 49)
        assert resume_all(ctx) == Returned((49,))
        assert (ctx.depth, ctx.cells) == (0, 0)
        for limits in (Limits(frames=49), Limits(cells=49 * 5)):
            guest = Guest(DOWN, limits=limits, injector=Every(k))
            outcome = resume_all(guest.start("f", 49))
            assert isinstance(outcome, Trapped)
            assert outcome.trap.code is TrapCode.STACK_OVERFLOW


# Memories, tables, modules


def test_memory_beyond_the_limit_is_refused() -> None:
    """memory.grow gives -1 past `Limits.memory`, all memories together; a minimum beyond it is a LimitError."""
    text = """(memory $a 1) (memory $b 1)
      (func (export "a") (param i32) (result i32) (memory.grow $a (local.get 0)))
      (func (export "b") (param i32) (result i32) (memory.grow $b (local.get 0)))"""
    guest = Guest(text, limits=Limits(memory=5 * 65536))
    assert [guest.call("a", 4), guest.call("a", 2), guest.call("b", 2), guest.call("b", 1)] == [-1, 1, -1, 1]
    assert guest.call("a", -1) == -1
    with pytest.raises(LimitError, match="linear memory"):
        Guest(text, limits=Limits(memory=65536))
    with pytest.raises(LimitError, match="linear memory"):
        Guest("(memory 65536)", limits=Limits(memory=1 << 31))


def test_tables_beyond_the_limit_are_refused() -> None:
    """table.grow gives -1 past `Limits.table`; a minimum beyond it is a LimitError."""
    text = """(table $t 2 funcref) (table 2 externref)
      (func (export "g") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0)))"""
    guest = Guest(text, limits=Limits(table=10))
    assert [guest.call("g", 7), guest.call("g", 6), guest.call("g", 1), guest.call("g", -1)] == [-1, 2, -1, -1]
    with pytest.raises(LimitError, match="table"):
        Guest(text, limits=Limits(table=3))
    with pytest.raises(LimitError, match="table"):
        Guest("(table 4294967295 funcref)")


def test_a_module_too_large_is_refused() -> None:
    """LimitError before a byte has been decoded."""
    data = wat("(module (memory 1))")
    assert Module.load(data, max_size=len(data)).data == data
    with pytest.raises(LimitError, match="bytes"):
        Module.load(data, max_size=len(data) - 1)


def test_the_journal_has_a_limit() -> None:
    """A host function that journals for ever fails with a RecordError that says what to do; its caller's record is
    not touched."""

    @host("h", "call", "i32 -> i32")
    def call(call: Call) -> Results:
        while True:
            call.once(lambda: 1)

    guest = Guest(UP_AND_DOWN, imports(call), limits=Limits(journal=100))
    outcome = control.run(guest.start("f", 1))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, RecordError)
    assert "limit of 100" in str(outcome.error)
    assert call.entries == 1


def test_limits_are_inherited_by_nested_calls() -> None:
    """A plain call made in a host function has the outer execution's limits, frames above it included."""
    inner = Guest(DOWN)

    @host("h", "call", "i32 -> i32")
    def call(call: Call) -> Results:
        return (inner.call("f", *call.args),)

    guest = Guest(UP_AND_DOWN, imports(call), limits=Limits(frames=10))
    assert guest.call("f", 8) == 8
    exhausted(lambda: guest.call("f", 9))
    assert inner.call("f", 100) == 100


def test_limits_are_values() -> None:
    """Limits never change; `attrs.evolve` makes others."""
    limits = lean.evolve(Limits(), frames=3)
    assert (limits.frames, limits.cells) == (3, Limits().cells)
    with pytest.raises(AttributeError):
        limits.frames = 4  # type: ignore[misc]


# All instances together


PAGES = """(memory (export "m") 1 9) (table 10 20 funcref)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "more") (param i32) (result i32) (table.grow (ref.null func) (local.get 0)))"""


def test_instances_share_a_total() -> None:
    """Spec 4.6.9: memories of several instances count together towards a total, and tables likewise; growth past it is
    -1, an instance past it a LimitError, and what is freed can be had again."""
    totals = Totals(memory=3 * PAGE, table=25)
    limits = Limits(totals=totals)
    one, two = Guest(PAGES, limits=limits), Guest(PAGES, limits=limits)
    assert totals.memory.used == 2 * PAGE
    assert one.call("grow", 1) == 1
    assert two.call("grow", 1) == -1
    assert (two.call("more", 6), two.call("more", 5)) == (-1, 10)
    with pytest.raises(LimitError, match=f"exceeds the limit of {3 * PAGE} of all instances together"):
        Guest(PAGES, limits=limits)
    assert (totals.memory.used, totals.memory.peak, totals.table.used) == (3 * PAGE, 3 * PAGE, 25)
    del one
    assert two.call("grow", 1) == 1, "what nobody holds any more is found when it is needed"
    del two
    gc.collect()
    assert (totals.memory.used, totals.memory.peak, totals.table.used) == (0, 3 * PAGE, 0)


def test_an_instances_own_limit_comes_first() -> None:
    """A refusal by the instance's own limit leaves the total as it was."""
    totals = Totals(memory=100 * PAGE)
    guest = Guest(PAGES, limits=Limits(memory=2 * PAGE, totals=totals))
    assert (guest.call("grow", 2), guest.call("grow", 1)) == (-1, 1)
    assert totals.memory.used == 2 * PAGE


def test_threads_charge_a_total_exactly() -> None:
    """A total that instances on several threads use at once comes out even, and is never exceeded."""
    totals = Totals(memory=20 * PAGE)
    guests = [Guest(PAGES, limits=Limits(totals=totals)) for _ in range(4)]
    grown: list[int] = []

    def work(guest: Guest) -> None:
        grown.append(1 + sum(guest.call("grow", 1) != -1 for _ in range(8)))

    threads = [threading.Thread(target=work, args=(guest,)) for guest in guests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(grown) * PAGE == totals.memory.used == totals.memory.peak == 20 * PAGE
