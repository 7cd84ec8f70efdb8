"""Frames that wait for a callee in the interpreter, put aside as they are: the same as when somebody looks at them."""

from __future__ import annotations

import pytest

from runtime import Every, ExecContext, HostFunc, Outcome, Suspended, Trapped, control, snapshot
from tests.support.guests import Guest
from tests.support.hosts import Call, Results, host, imports

#: Goes down `n` frames with a loop in each, and comes back with a sum; on the way it throws at 3 and catches at 8,
#: traps at 5 where it is told to, and calls another function at 6, which suspends, too.
DEEP = """
  (import "h" "tick" (func $tick))
  (tag $gone (param i32))
  (func $beside (param i32) (result i32) (call $tick) (local.get 0))
  (func $down (export "down") (param $n i32) (param $trap i32) (result i32) (local $i i32) (local $kept i64)
    (local.set $kept (i64.extend_i32_u (local.get $n)))
    (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 2))))
    (if (i32.eqz (local.get $n)) (then (call $tick) (return (i32.const 0))))
    (block $caught (result i32)
      (try_table (catch $gone $caught)
        (local.set $i (call $down (i32.sub (local.get $n) (i32.const 1)) (local.get $trap)))
        (if (i32.and (local.get $trap) (i32.eq (local.get $n) (i32.const 5))) (then unreachable))
        (if (i32.eq (local.get $n) (i32.const 6)) (then (local.set $i (call $beside (local.get $i)))))
        (if (i32.and (i32.eq (local.get $n) (i32.const 3)) (i32.eqz (local.get $trap)))
          (then (throw $gone (i32.const 1000)))))
      (local.get $i))
    (i32.add (i32.wrap_i64 (local.get $kept))))
"""


def guest(every: int | None) -> Guest:
    @host("h", "tick", "")
    def tick(call: Call) -> Results:
        return ()

    return Guest(DEEP, imports(tick), injector=None if every is None else Every(every))


def ticking(made: Guest) -> HostFunc:
    """Its host function."""
    found = made.instance.funcs[0]
    assert isinstance(found, HostFunc)
    return found


def driven(ctx: ExecContext, looks: bool) -> tuple[Outcome, list[tuple[int, int]]]:
    """An execution to its end, where somebody looks at its frames each time or nobody does."""
    seen = []
    while isinstance(outcome := control.run(ctx), Suspended):
        if looks:
            assert len(list(ctx.frames)) == ctx.depth
        seen.append((ctx.depth, ctx.cells))
    return outcome, seen


@pytest.mark.parametrize("trap", [0, 1])
@pytest.mark.parametrize("every", [1, 3, 10])
def test_nobody_can_tell_whether_frames_were_looked_at(every: int, trap: int) -> None:
    """BEHAVIOURS 78: outcome, depth, cells, counters and backtrace are the same, wherever a deep call was suspended."""
    told = []
    for looks in (False, True):
        made = guest(every)
        ctx = made.start("down", 40, trap)
        outcome, seen = driven(ctx, looks)
        end = outcome.trap.backtrace if isinstance(outcome, Trapped) else outcome
        counters = made.store.counters
        told.append((end, seen, dict(counters.restarts), dict(counters.suspensions), ctx.depth, ctx.cells))
    assert told[0] == told[1]
    assert told[0][-2:] == (0, 0)
    plain = driven(guest(None).start("down", 40, trap), False)[0]
    if isinstance(plain, Trapped):
        assert told[0][0] == plain.trap.backtrace
    else:
        assert told[0][0] == plain


def test_what_was_put_aside_can_be_saved_and_goes_on_twice() -> None:
    """BEHAVIOURS 75: a snapshot of a deep stack and the execution itself come to the same end."""
    made = guest(50)
    ctx = made.start("down", 40, 0)
    assert isinstance(control.run(ctx), Suspended)
    data = snapshot.save(ctx, made.instance)
    restored = snapshot.load(data, {made.module.hash: made.module}, lambda *_: ticking(made), guest(50).store)
    expected = driven(guest(None).start("down", 40, 0), False)[0]
    assert driven(ctx, False)[0] == expected
    assert driven(restored.ctx, False)[0] == expected


def test_a_budget_given_meanwhile_counts_in_frames_put_aside() -> None:
    """DESIGN.md 7: instructions are counted from the next frame on that is gone on with."""
    expected, left = driven(guest(None).start("down", 40, 0), False)[0], []
    for looks in (False, True):
        ctx = guest(60).start("down", 40, 0)
        assert isinstance(control.run(ctx), Suspended)
        assert len(list(ctx.frames) if looks else ctx.frames.parts) == (ctx.depth if looks else 2)
        ctx.allow(10_000)
        assert driven(ctx, looks)[0] == expected
        left.append(ctx.requests.steps)
    assert left[0] == left[1] != [10_000]
