"""Calls of exports made inside host functions: activations on top of one another, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hostsdk import (
    BlockingContext,
    Context,
    Execution,
    Exited,
    ExitRequested,
    Failed,
    FuncRef,
    HostModule,
    Instance,
    Interrupt,
    Interrupted,
    Limits,
    NestedSuspension,
    Question,
    ReentrancyError,
    Returned,
    StateError,
    Steps,
    Suspended,
    TimedOut,
    Timeout,
    Trap,
    TrapCode,
    Unanswered,
    i32,
    sleep,
)
from hostsdk.testing import Kind, explore
from tests.support.inject import STYLES, everywhere, finish, guest, restartable, run_to, scene

TEXT = """(import "h" "f" (func $f (param i32) (result i32)))
  (func (export "twice") (param i32) (result i32) (i32.mul (i32.const 2) (local.get 0)))
  (func $spin (export "spin") (param i32) (result i32) (loop $l (br $l)) (i32.const 0))
  (func (export "deep") (param i32) (result i32) (call $f (local.get 0)))
  (func (export "trap") (param i32) (result i32) (unreachable))
  (func (export "run") (param i32) (result i32) (call $f (local.get 0)))"""


def _nap(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
    ctx.sleep(1)
    return n


def _calling(body: Callable[[BlockingContext[Any], Instance, int], int]) -> HostModule[None]:
    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext, n: i32) -> i32:
        owner = ctx._binding.owner
        assert isinstance(owner, Instance)
        return body(ctx, owner, n)

    return host


def test_an_export_may_be_called_from_a_host_function() -> None:
    """31: entering again, last in first out, is fine: the result is what it would be from outside."""
    host = _calling(lambda ctx, inst, n: inst.exports.twice(n) + inst.call("twice", 1))
    assert guest(TEXT, host).exports.run(5) == 12
    found = explore(scene(TEXT, host, args=(5,)), kinds=[Kind.RESTART, Kind.CALLBACKS])
    found.exhaustive()
    found.every(1, 2)


def test_the_same_execution_cant_be_entered_again() -> None:
    """31: running, answering or dropping the execution that one is in is refused, and changes nothing."""
    held: list[Any] = []

    def body(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
        for verb in (held[0].run, held[0].resume, held[0].drop, lambda: held[0].throw(ValueError()), held[0].save):
            with pytest.raises((StateError, Exception), match=r"running"):
                verb()
        return n

    inst = guest(TEXT, _calling(body))
    held.append(inst.start("run", 7))
    assert held[0].run() == Returned((7,))


def test_a_suspended_call_keeps_its_instance() -> None:
    """31: while a call is suspended, another one on the same instance is refused with an explanation, and so is the
    embedder's from elsewhere; the suspended one goes on unharmed."""
    host = _calling(_nap)
    inst = everywhere(TEXT, host)
    execution = inst.start("run", 7)
    run_to(execution, "in wait")
    with pytest.raises(ReentrancyError, match="suspended"):
        inst.exports.twice(1)
    other = inst.start("twice", 1)
    with pytest.raises(ReentrancyError):
        other.run()
    assert finish(execution) == Returned((7,))
    assert finish(other) == Returned((2,))


def test_a_host_function_cannot_return_over_a_suspended_call() -> None:
    """31: an execution that a host function begins and leaves suspended stands in the middle of its caller's instance:
    returning is refused, the outer call fails, and the one that was left can still be finished. One that has ended, or
    that is in another instance, is in nobody's way."""
    left: list[Execution] = []

    def body(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
        other = guest(TEXT, _calling(_nap)) if n == 1 else inst
        execution = other.start("spin", 1)
        outcome = execution.run(steps=50)
        assert isinstance(outcome, Suspended)
        left.append(execution)
        if n == 2:
            execution.drop()
        return n

    inst = guest(TEXT, _calling(body))
    assert [inst.call("run", n) for n in (1, 2)] == [1, 2]
    left[0].drop()
    with pytest.raises(ReentrancyError, match=r"h\.f returned while an execution that it began .* is suspended"):
        inst.call("run", 3)
    with pytest.raises(ReentrancyError, match="suspended"):
        inst.call("twice", 1)
    left[2].drop()
    assert inst.call("twice", 1) == 2


@pytest.mark.parametrize("caught", [False, True])
def test_a_nested_call_inherits_a_timeout(caught: bool) -> None:
    """31: the outer call's timeout stops a nested one that spins: that one is dropped with NestedSuspension, which
    names the way; the request still stands for the outer call, also if the host function goes on."""

    def body(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
        ctx.sleep(1)
        try:
            return int(ctx.once(lambda: inst.exports.spin(1)))  # a replay is told the same
        except NestedSuspension as error:
            if not caught or "ctx.call" not in str(error):
                raise
            ctx.sleep(5)
            return 3

    inst = guest(TEXT, _calling(body))
    execution = inst.start("run", 7)
    interrupt = Interrupt()

    host_calls = []

    def stop() -> None:
        host_calls.append(1)
        interrupt.set()

    clock = inst._store.engine.config.clock
    clock.call_at(clock.monotonic() + 1, stop)
    outcome = execution.run(interrupt=interrupt)
    if caught:
        assert isinstance(outcome, Suspended)
        assert isinstance(outcome.reason, Interrupted)
        assert finish(execution) == Returned((3,))
    else:
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, NestedSuspension)
    assert host_calls == [1]
    assert inst.exports.twice(4) == 8


def test_a_nested_call_may_have_a_timeout_of_its_own() -> None:
    """31: what a nested call is asked by its own options is its own: it raises Timeout in the host function, which may
    go on."""

    def body(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
        with pytest.raises(Timeout):
            inst.call("deep", 1, timeout=2)
        return 5

    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext, n: i32) -> i32:
        if n == 1:
            ctx.sleep(10)
            return 0
        owner = ctx._binding.owner
        assert isinstance(owner, Instance)
        return body(ctx, owner, n)

    inst = guest(TEXT, host)
    execution = inst.start("run", 7)
    assert execution.run(timeout=100) == Returned((5,))
    assert inst._store.engine.config.clock.monotonic() == 1002


def test_a_nested_call_inherits_limits() -> None:
    """31: depth is counted through: nesting without end traps at the limit of the outermost call, and each level sees
    the trap in turn."""

    def body(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
        return int(inst.exports.deep(n + 1)) + 1

    inst = guest(TEXT, _calling(body), limits=Limits(frames=60))
    with pytest.raises(Trap) as caught:
        inst.exports.run(0)
    assert caught.value.code is TrapCode.STACK_OVERFLOW
    assert guest(TEXT, _calling(lambda ctx, inst, n: n)).exports.run(3) == 3


def test_a_trap_in_a_nested_call_is_an_exception_there() -> None:
    """31: a nested call's trap is raised in the host function, which made a call of its own and may catch it."""

    def body(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
        try:
            inst.exports.trap(1)
        except Trap as trap:
            return len(trap.backtrace)
        return 0

    inst = guest(TEXT, _calling(body))
    assert inst.exports.run(1) == 1
    assert inst.exports.twice(1) == 2


def test_an_exit_in_a_nested_call_ends_all() -> None:
    """31: a guest that exits in a nested call ends the outer execution, too."""

    def body(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
        if n == 1:
            ctx.exit(9)
        return int(inst.exports.deep(1))

    inst = guest(TEXT, _calling(body))
    assert inst.start("run", 0).run() == Exited(9)
    with pytest.raises(ExitRequested):
        inst.exports.run(0)


class Anything(Question[i32]):
    """Something to ask."""


def test_a_question_in_a_nested_call_is_unanswered() -> None:
    """31: nobody can answer in a nested plain call; the host function is told."""

    def body(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
        if n == 1:
            return ctx.ask(Anything())
        with pytest.raises(Unanswered):
            inst.exports.deep(1)
        return 4

    assert guest(TEXT, _calling(body)).exports.run(0) == 4


@pytest.mark.parametrize("style", STYLES)
def test_waits_of_a_nested_call_pass_inside(style: str) -> None:
    """31: a nested call that waits does so in place, on the clock of all."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context, n: i32) -> Steps[i32]:
        if n:
            yield from sleep(3)
            return 1
        owner = ctx._binding.owner
        assert isinstance(owner, Instance)
        return int(owner.exports.deep(1)) + 1

    for in_place in (True, False):
        inst = guest(TEXT, host, in_place=in_place)
        assert inst.exports.run(0) == 2
        assert inst._store.engine.config.clock.monotonic() == 1003


def test_another_instance_is_free() -> None:
    """31: a host function may use any other instance, whose calls are nested in its own: its interrupts reach them."""
    other = guest(TEXT, _calling(lambda ctx, inst, n: n))
    inst = guest(TEXT, _calling(lambda ctx, _, n: other.exports.twice(n) + other.exports.run(1)))
    assert inst.exports.run(5) == 11
    spinning = guest(TEXT, _calling(lambda ctx, _, n: other.exports.spin(1)))
    execution = spinning.start("run", 1)
    interrupt = Interrupt(level=True, delay=5)
    interrupt.set()
    outcome = execution.run(interrupt=interrupt)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, NestedSuspension)
    assert other.exports.twice(2) == 4


def test_an_execution_stepped_inside_a_host_function() -> None:
    """31: an execution of another instance may be run step by step from a host function; it stays suspended there and
    goes on later from outside."""
    other = everywhere(TEXT, _calling(_nap))
    held = [other.start("run", 6)]

    def body(ctx: BlockingContext[Any], inst: Instance, n: int) -> int:
        ctx.once(lambda: isinstance(held[0].run(), Suspended))
        return n

    inst = guest(TEXT, _calling(body))
    assert inst.exports.run(2) == 2
    assert finish(held[0]) == Returned((6,))
    assert not isinstance(held[0].outcome, TimedOut)


def test_func_refs_reach_functions_by_name() -> None:
    """23: an export called by name through ctx.call is a callback, not a nested activation: it can be suspended."""
    host = HostModule("h")
    twice = host.guest("twice", FuncRef[[i32], i32])

    @host.restartable
    def f(ctx: BlockingContext, n: i32) -> i32:
        return ctx.call(twice, n) + 1

    explore(scene(TEXT, host, args=(5,))).exhaustive()
