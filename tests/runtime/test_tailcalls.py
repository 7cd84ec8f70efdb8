"""Tail calls, of guest and host functions, direct and indirect: constant depth and memory, right results."""

from __future__ import annotations

import tracemalloc

import pytest

from runtime import At, Every, Limits, Returned, TailCall, TrapCode, Trapped, control
from tests.support.guests import Guest, resume_all
from tests.support.hosts import Call, Results, host, imports

DIRECT = """
  (func $f (export "f") (param i32 i64) (result i64)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call $f (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 3))))
"""
INDIRECT = """
  (table funcref (elem $f)) (type $t (func (param i32 i64) (result i64)))
  (func $f (export "f") (param i32 i64) (result i64)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_indirect (type $t)
      (i32.sub (local.get 0) (i32.const 1)) (i64.add (local.get 1) (i64.const 3)) (i32.const 0)))
"""
#: Two functions of different sizes: locals come and go.
MUTUAL = """
  (func $g (param i32 i64) (result i64) (local i32 i32 i32 i32 i32 i32 i32)
    (local.set 5 (local.get 0))
    (return_call $f (i32.sub (local.get 5) (i32.const 1)) (i64.add (local.get 1) (i64.const 3))))
  (func $f (export "f") (param i32 i64) (result i64)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call $g (local.get 0) (local.get 1)))
"""
GUESTS = {"direct": DIRECT, "indirect": INDIRECT, "mutual": MUTUAL}


@pytest.mark.slow
@pytest.mark.parametrize("kind", GUESTS)
def test_a_million_tail_calls(kind: str) -> None:
    """A loop of 10^6 tail calls runs within two frames."""
    guest = Guest(GUESTS[kind], limits=Limits(frames=1, cells=40))
    assert guest.call("f", 1_000_000, 0) == 3_000_000


@pytest.mark.parametrize("kind", GUESTS)
def test_tail_calls_that_are_interrupted(kind: str) -> None:
    """Suspended at every entry of a tail-called function, there is one frame, and the result is the same."""
    guest = Guest(GUESTS[kind], limits=Limits(frames=2, cells=100), injector=Every(1))
    ctx = guest.start("f", 50, 7)
    depths: set[tuple[int, int]] = set()

    def look(ctx_: object) -> object:
        depths.add((len(ctx.frames), ctx.depth))
        return ctx

    assert resume_all(ctx, look) == Returned((157,))  # type: ignore[arg-type]
    assert depths == {(1, 1)}
    assert ctx.cells == 0


def trampolines() -> Guest:
    """A guest that calls a host function, which calls itself in its own place as often as it is told."""

    @host("h", "hop", "i32 i32 -> i32")
    def hop(call: Call) -> Results:
        left, sum_ = call.args
        return TailCall(hop.func, (left - 1, sum_ + 1)) if left else (sum_,)

    text = """(import "h" "hop" (func $hop (param i32 i32) (result i32)))
      (func (export "f") (param i32) (result i32) (call $hop (local.get 0) (i32.const 0)))"""
    return Guest(text, imports(hop), limits=Limits(frames=2))


@pytest.mark.slow
def test_a_million_trampolines() -> None:
    """Behaviour 26: host functions that tail-call, 10^6 times: constant depth, and memory that doesn't grow."""
    guest = trampolines()
    assert guest.call("f", 1_000_000) == 1_000_000
    assert guest.store.counters.host_depth == 0
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        guest.call("f", 50_000)
        assert tracemalloc.get_traced_memory()[1] - before < 50_000
    finally:
        tracemalloc.stop()


def test_a_trampoline_between_guest_and_host() -> None:
    """Behaviour 26: a host function that tail-calls a guest function that tail-calls the host: two frames at most,
    interrupted anywhere."""

    @host("h", "hop", "i32 i32 -> i32")
    def hop(call: Call) -> Results:
        left, sum_ = call.args
        return TailCall(guests[0].raw("g"), (left, sum_))

    text = """(import "h" "hop" (func $hop (param i32 i32) (result i32)))
      (func (export "g") (param i32 i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
        (return_call $hop (i32.sub (local.get 0) (i32.const 1)) (i32.add (local.get 1) (i32.const 2))))
      (func (export "f") (param i32) (result i32) (i32.add (i32.const 1) (call $hop (local.get 0) (i32.const 0))))"""
    guests = [Guest(text, imports(hop), limits=Limits(frames=2))]
    assert guests[0].call("f", 1000) == 2001
    for k in (1, 2, 3):
        guests[0] = Guest(text, imports(hop), limits=Limits(frames=2), injector=Every(k))
        assert resume_all(guests[0].start("f", 20)) == Returned((41,))


def test_the_frame_of_a_tail_call_is_gone_when_the_host_traps() -> None:
    """A backtrace is true: what tail-called a host function isn't in it; what fails in the tail call itself is."""
    text = """
      (import "h" "bad" (func $bad))
      (table 1 funcref)
      (func $gone (return_call $bad))
      (func $stays (return_call_indirect (type 0) (i32.const 0)))
      (func $outer (export "f") (call $gone))
      (func $other (export "g") (call $stays))
      (type (func))"""

    @host("h", "bad", "")
    def bad(call: Call) -> Results:
        return (1 // 0,)

    guest = Guest(text, imports(bad))
    ctx = guest.start("f")
    control.run(ctx)
    assert [line.name for line in ctx.trace] == ["bad", "outer"]
    ctx = guest.start("g")
    outcome = control.run(ctx)
    assert isinstance(outcome, Trapped)
    assert outcome.trap.code is TrapCode.UNINITIALIZED_ELEMENT
    assert [line.name for line in ctx.trace] == ["stays", "other"]


def test_tail_calls_of_suspending_host_functions_from_an_outermost_frame() -> None:
    """Behaviour 27: the outermost guest frame tail-calls a host function that suspends: only the host frame is left,
    and its result is the call's."""

    @host("h", "ask", "i32 -> i32")
    def ask(call: Call) -> Results:
        return (call.ask("?") + call.args[0],)

    text = """(import "h" "ask" (func $ask (param i32) (result i32)))
      (func (export "f") (param i32) (result i32) (return_call $ask (local.get 0)))"""
    guest = Guest(text, imports(ask), injector=At((2,)))
    ctx = guest.start("f", 5)
    for _ in range(3):  # before it is entered, then twice in the question
        control.run(ctx)
        assert [repr(frame) for frame in ctx.frames] == ["<HostFrame h.ask>"]
        assert (ctx.depth, ctx.hosts, ctx.cells) == (1, 1, 0)
    control.answer(ctx, 3)
    assert control.run(ctx) == Returned((8,))
