"""Preemption: an execution gives up its turn at a check point and goes on later; toywasm's usched."""

from __future__ import annotations

from typing import Literal

import pytest

from runtime import (
    Every,
    ExecContext,
    Interrupt,
    Interrupted,
    Preempted,
    Returned,
    Status,
    Suspended,
    control,
    is_restartable,
    run_through,
)
from tests.support.guests import Guest
from tests.support.hosts import Call, Results, host, imports

Tier = Literal["interpreter", "native"]
both_tiers = pytest.mark.parametrize("tier", ["interpreter", "native"])

#: Counts down from its argument, and gives how many rounds it made.
ROUNDS = """
  (func (export "f") (param i32) (result i32) (local i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
"""
#: Calls `h.f` and gives its result.
CALLING = '(import "h" "f" (func $f (result i32))) (func (export "f") (result i32) (call $f))'


@both_tiers
def test_a_turn_ends_at_a_check_point_and_is_gone_on_with(tier: Tier) -> None:
    """A preempted execution suspends with a restartable status; each resume makes progress, though the turn is over
    again at every check point."""
    ctx = Guest(ROUNDS, tier=tier).start("f", 50)
    ctx.requests.turns = Every(1)
    turns = 0
    while isinstance(outcome := control.run(ctx), Suspended):
        assert outcome == Suspended(Status.ETOYWASMRESTART, Preempted())
        assert is_restartable(outcome.code)
        turns += 1
    assert outcome == Returned((50,))
    assert turns >= 25


@both_tiers
def test_preempted_from_outside(tier: Tier) -> None:
    """A request is reported once; the default processing of a plain call is to go on."""
    ctx = Guest(ROUNDS, tier=tier).start("f", 5)
    ctx.requests.preempt()
    assert isinstance(control.run(ctx), Suspended)
    assert control.run(ctx) == Returned((5,))
    again = Guest(ROUNDS, tier=tier).start("f", 5)
    again.requests.preempt()
    assert run_through(again) == Returned((5,))


def test_an_interrupt_outranks_the_end_of_a_turn() -> None:
    """The user's request is looked at first; the end of the turn is still reported at the next check point."""
    ctx = Guest(ROUNDS).start("f", 50)
    interrupt = Interrupt()
    interrupt.set()
    ctx.requests.preempt()
    first = control.run(ctx, interrupt)
    assert isinstance(first, Suspended)
    assert isinstance(first.reason, Interrupted)
    second = control.run(ctx, interrupt)
    assert isinstance(second, Suspended)
    assert isinstance(second.reason, Preempted)
    assert control.run(ctx, interrupt) == Returned((50,))


def test_a_nested_plain_call_is_not_torn_off_by_it() -> None:
    """A plain call made inside a host function goes on to its end; the outer execution, whose turn it is that has
    ended, gives it up when the call is over."""
    inner = Guest(ROUNDS)
    contexts: list[ExecContext] = []

    @host("h", "f", "-> i32")
    def f(call: Call) -> Results:
        if not contexts[0].requests.checks:
            contexts[0].requests.preempt()
        return (inner.call("f", 50),)

    outer = Guest(CALLING + '(func (export "h") (result i32) (drop (call $f)) (call $f))', imports(f))
    ctx = outer.start("h")
    contexts.append(ctx)
    suspended = 0
    while isinstance(outcome := control.run(ctx), Suspended):
        assert isinstance(outcome.reason, Preempted)
        suspended += 1
        assert suspended < 10
    assert outcome == Returned((50,))
    assert suspended >= 1
