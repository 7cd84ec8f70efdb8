"""Behaviour 78: counters are exact, whatever is injected."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import At, Every, Interrupt, Limits, Returned, control, run_through
from runtime.exec.inject import Injector, Never
from tests.support.guests import Guest, fake, resume_all
from tests.support.hosts import Call, Results, host, imports

TEXT = """
  (import "h" "twice" (func $twice (param i32) (result i32)))
  (func $double (export "double") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $sum (param i32) (result i32) (local i32)
    (loop
      (local.set 1 (i32.add (local.get 1) (call $twice (local.get 0))))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func (export "f") (param i32) (result i32) (return_call $sum (local.get 0)))
"""


def counted(injector: Injector | None = None, **config: Any) -> Guest:
    found: list[Guest] = []

    @host("h", "twice", "i32 -> i32")
    def twice(call: Call) -> Results:
        return call.call(found[0].raw("double"), call.args[0])

    found.append(Guest(TEXT, imports(twice), injector=injector, count_wasm_calls=True, **config))
    return found[0]


@pytest.mark.parametrize("callbacks", ["nested", "scheduled"])
@pytest.mark.parametrize("injector", [None, Never(), Every(1), Every(2), Every(3), At((3, 4, 7))], ids=str)
def test_calls_are_not_inflated_by_restarts(injector: Injector | None, callbacks: str) -> None:
    """Host and guest calls are counted once each, tail calls too, however often they are suspended and resumed."""
    guest = counted(injector, callbacks=callbacks)
    assert resume_all(guest.start("f", 5)) == Returned((30,))
    counters = guest.store.counters
    assert counters.host_calls == 5
    assert counters.wasm_calls == 2 + 5  # f, sum, and double five times
    assert counters.host_depth == 0  # none waits while another is entered
    assert counters.host_entries >= (10 if callbacks == "scheduled" else 5)


def test_suspensions_by_cause_and_restarts_by_place() -> None:
    """Every suspension is counted under its cause and every frame gone on with under its place: exactly these."""
    guest = counted(Every(1))
    ctx = guest.start("f", 1)
    places = []
    while True:
        outcome = control.run(ctx)
        if outcome == Returned((2,)):
            break
        places.append([repr(frame).split(" at ")[0] for frame in ctx.frames])
    # Check points: entry of f, entry of sum, entry of the host function, entry of double.
    assert len(places) == 4
    counters = guest.store.counters
    assert counters.suspensions == {"Injected": 4}
    # Each suspension resumes its innermost frame; on the way out the host function and the call in sum are gone on
    # with. The host function's first restart comes before it was entered at all.
    assert counters.restarts == {"entry": 3, "h.twice": 2, "call": 1}
    assert counters.host_entries == 2


def test_causes_are_told_apart() -> None:
    """An interrupt, a timeout, a question and an injected fault are four causes."""

    @host("h", "ask", "-> i32")
    def ask(call: Call) -> Results:
        return (call.ask("?"),)

    clock, config = fake()
    text = """(import "h" "ask" (func $ask (result i32)))
      (func (export "f") (result i32) (call $ask))"""
    guest = Guest(text, imports(ask), injector=At((1,)), **config)
    interrupt = Interrupt()
    interrupt.set()
    ctx = guest.start("f")
    control.run(ctx, interrupt)  # at the entry
    control.run(ctx, deadline=clock.monotonic())  # before the host function
    guest.store.injector = None
    control.run(ctx)  # the skipped check: the question
    control.answer(ctx, 3)
    assert control.run(ctx) == Returned((3,))
    assert guest.store.counters.suspensions == {"Interrupted": 1, "TimedOut": 1, "str": 1}


def test_what_is_refused_is_not_counted() -> None:
    """A call that the limit of frames stops has not been made."""
    guest = Guest(
        '(func $f (export "f") (call $f))', limits=Limits(frames=10), count_wasm_calls=True
    )
    run_through(guest.start("f"))
    assert guest.store.counters.wasm_calls == 10


def test_counting_guest_calls_is_on_request() -> None:
    """They cost, so they are counted only where asked for; the rest always is."""
    guest = Guest('(func $g) (func (export "f") (call $g))')
    guest.call("f")
    assert guest.store.counters.wasm_calls == 0
