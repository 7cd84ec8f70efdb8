"""Host functions that call the guest back: once each, to any depth, with whatever results."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest

from hostsdk import (
    Context,
    FuncRef,
    HostModule,
    Limits,
    Returned,
    Steps,
    Suspended,
    Trap,
    TrapCode,
    Trapped,
    call,
    f32,
    f64,
    i32,
    i64,
    sleep,
    sort_with,
    u32,
)
from hostsdk.testing import Kind, explore
from tests.support.inject import MEMORY, STYLES, Decorator, everywhere, finish, guest, restartable, run_to, scene, table

ADD = """(import "h" "add" (func $add (param i32 i32) (result i32)))"""


def _adding(style: str, **options: object) -> HostModule[list[str]]:
    """A function that calls two guest functions and tells of each step."""
    host = HostModule("h", state=list[str])
    host.save(list)
    host.load(list)

    @restartable(host, style, **options)
    def add(ctx: Context[list[str]], f: FuncRef[[i32], i32], n: i32) -> Steps[i32]:
        total = 0
        for k in range(2):
            total += yield from call(f, n + k)
            ctx.once(partial(ctx.state.append, f"{n}/{k}"))
        return total

    return host


@pytest.mark.parametrize("callbacks", ["nested", "scheduled"])
@pytest.mark.parametrize("style", STYLES)
def test_one_resume_a_callback_not_an_interrupt(style: str, callbacks: str) -> None:
    """21: a callback that is interrupted k times lets the host function go on once, when it has returned."""
    host = _adding(style, callbacks=callbacks)
    text = f"""{ADD} {table("$loop")}
      (func $loop (param i32) (result i32) (local $i i32)
        (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 10))))
        (i32.mul (local.get 0) (i32.const 2)))
      (func (export "run") (result i32) (call $add (i32.const 0) (i32.const 5)))"""
    inst = everywhere(text, host)
    execution = inst.start("run")
    suspensions = 0
    while isinstance(outcome := execution.run(), Suspended):
        suspensions += 1
    assert outcome == Returned((22,))
    assert suspensions > 20
    # Once at its own entry, and once behind each of two callbacks.
    assert inst.stats.restarts["h.add"] == 3
    assert inst.stats.host_calls == 1
    assert inst.state(host) == ["5/0", "5/1"]


DEEP = f"""
  {ADD} (import "h" "nap" (func $nap (param i32) (result i32))) {MEMORY} {table("$middle", "$inner")}
  (func $inner (param i32) (result i32) (call $nap (local.get 0)))
  (func $middle (param i32) (result i32) (call $add (i32.const 1) (local.get 0)))
  (func (export "run") (result i32) (call $add (i32.const 0) (i32.const 1)))
"""


def _sleeping(style: str) -> HostModule[list[str]]:
    host = _adding(style)

    @restartable(host, style)
    def nap(ctx: Context[list[str]], n: i32) -> Steps[i32]:
        yield from sleep(n / 10)
        return 100 + n

    return host


@pytest.mark.parametrize("style", STYLES)
def test_host_in_wasm_in_host_in_wasm(style: str) -> None:
    """22: with a sleep in the innermost of four, faults of every kind anywhere change neither results nor time."""
    host = _sleeping(style)
    found = explore(scene(DEEP, host, observe=lambda inst: list(inst.state(host))), in_place=(True, False))
    assert found.undisturbed.popitem()[1].elapsed == pytest.approx(0.1 + 0.2 + 0.2 + 0.3)
    found.every(1)
    found.mixed(range(4))


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_host_in_wasm_in_host_in_wasm_exhaustively(style: str) -> None:
    """16, 22: the same with a fault at each check point in turn, and in pairs."""
    host = _sleeping(style)
    found = explore(scene(DEEP, host, observe=lambda inst: list(inst.state(host))))
    found.exhaustive()
    found.pairs(most=60)


@pytest.mark.parametrize("style", STYLES)
def test_deep_nesting_is_scheduled(style: str) -> None:
    """22, 13: callbacks nest on the Python stack up to a limit, are scheduled beyond it, and trap at the frame limit:
    the Python stack is never what ends them."""
    host = HostModule("h")

    @restartable(host, style)
    def down(ctx: Context, f: FuncRef[[i32], i32], n: i32) -> Steps[i32]:
        return 1 + (yield from call(f, n - 1))

    text = f"""(import "h" "down" (func $down (param i32 i32) (result i32))) {table("$again")}
      (func $again (export "run") (param i32) (result i32)
        (if (result i32) (local.get 0)
          (then (call $down (i32.const 0) (local.get 0)))
          (else (i32.const 0))))"""
    inst = guest(text, host, limits=Limits(nesting=4))
    assert inst.exports.run(1500) == 1500
    inst = guest(text, host, limits=Limits(nesting=4, frames=200))
    with pytest.raises(Trap) as caught:
        inst.exports.run(1500)
    assert caught.value.code is TrapCode.STACK_OVERFLOW
    assert inst.exports.run(50) == 50


@pytest.mark.parametrize("style", STYLES)
def test_host_calls_host_directly(style: str) -> None:
    """23: a callback may be a host function itself; no guest frame lies in between, and the result is delivered."""
    host = _sleeping(style)
    text = f"""{ADD} (import "h" "nap" (func $nap (param i32) (result i32))) {table("$nap")}
      (func (export "run") (result i32) (call $add (i32.const 0) (i32.const 5)))"""
    execution = everywhere(text, host).start("run")
    run_to(execution, "h.nap, in wait")
    assert [line.name.rpartition(".")[2] for line in execution.backtrace][:2] == ["nap", "add"]
    assert finish(execution) == Returned((211,))
    explore(scene(text, host)).exhaustive()


@pytest.mark.parametrize("style", STYLES)
def test_a_cycle_of_host_functions_has_a_depth_limit(style: str) -> None:
    """13: a callback cycle without any guest frame traps at the frame limit."""
    host = HostModule("h")

    @restartable(host, style)
    def self(ctx: Context, n: i32) -> Steps[i32]:
        return (yield from call(host.guest("self", FuncRef[[i32], i32]), n + 1))

    text = '(import "h" "self" (func $s (param i32) (result i32))) (export "self" (func $s))'
    execution = guest(text, host, limits=Limits(frames=100)).start("self", 0)
    outcome = execution.run()
    assert isinstance(outcome, Trapped)
    assert outcome.trap.code is TrapCode.STACK_OVERFLOW


# Results


def _results(decorate: Decorator) -> None:
    @decorate
    def collect(ctx: Context[list[object]], which: i32) -> Steps[None]:
        def tell(value: object) -> None:
            ctx.once(lambda: ctx.state.append(value))

        tell((yield from call(FuncRef_of(ctx, "none", FuncRef[[], None]))))
        tell((yield from call(FuncRef_of(ctx, "one", FuncRef[[i64], i64]), -5)))
        tell((yield from call(FuncRef_of(ctx, "three", FuncRef[[f64, f32], tuple[i64, f64, f32]]), 0.1, 0.5)))
        tell((yield from call(FuncRef_of(ctx, "nan", FuncRef[[], tuple[f64, u32]]))))


def FuncRef_of(ctx: object, name: str, kind: Any) -> Any:  # noqa: N802
    return HostModule("h").guest(name, kind)


@pytest.mark.parametrize("style", STYLES)
def test_all_results_are_delivered(style: str) -> None:
    """25: a callee's results come whole, none, one or several, of every number type, however they come: at once, or
    to a host function that left the stack meanwhile and was saved."""
    host = HostModule("h", state=list[object])
    host.save(list)
    host.load(list)
    _results(restartable(host, style))
    text = """(import "h" "collect" (func $c (param i32)))
      (func (export "none"))
      (func (export "one") (param i64) (result i64) (i64.sub (i64.const -9223372036854775808) (local.get 0)))
      (func (export "three") (param f64 f32) (result i64 f64 f32)
        (i64.const 9223372036854775807) (local.get 0) (local.get 1))
      (func (export "nan") (result f64 i32) (f64.const nan:0x4000000000001) (i32.const -1))
      (func (export "run") (call $c (i32.const 7)))"""
    inst = guest(text, host)
    inst.exports.run()
    none, one, three, (nan, top) = inst.state(host)
    assert (none, one, three, top) == (None, -(2**63) + 5, (2**63 - 1, 0.1, 0.5), 2**32 - 1)
    assert math.isnan(nan)
    explore(scene(text, host, observe=lambda inst: repr(inst.state(host)))).exhaustive()


@pytest.mark.parametrize("style", STYLES)
def test_qsort_compares_equally_often(style: str) -> None:
    """A sort by the guest's comparator, which is interrupted anywhere, gives the same order after the same number of
    comparisons (cookbook 6)."""
    host = HostModule("h")

    @restartable(host, style)
    def sort(ctx: Context, base: u32, n: u32, cmp: FuncRef[[u32, u32], i32]) -> Steps[None]:
        rows = ctx.memory.rows(base, n, 4)
        order = yield from sort_with(lambda i, j: call(cmp, rows.addr(i), rows.addr(j)), n)
        rows.permute(order)

    text = f"""(import "h" "sort" (func $sort (param i32 i32 i32))) {MEMORY} {table("$cmp")}
      (data (i32.const 0) "\\05\\00\\00\\00\\03\\00\\00\\00\\04\\00\\00\\00\\01\\00\\00\\00\\02\\00\\00\\00")
      (global $count (mut i32) (i32.const 0))
      (func $cmp (param i32 i32) (result i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1)))
        (i32.sub (i32.load (local.get 0)) (i32.load (local.get 1))))
      (func (export "run") (result i32)
        (call $sort (i32.const 0) (i32.const 5) (i32.const 0)) (global.get $count))"""
    inst = guest(text, host)
    assert inst.exports.run() <= 8
    assert bytes(inst._raw.memories[0].data[0:20:4]) == bytes([1, 2, 3, 4, 5])
    found = explore(scene(text, host))
    found.exhaustive()
    found.random(range(3))


def test_callbacks_can_be_forced_onto_the_run_loop() -> None:
    """The engine's, and a function's own, `callbacks="scheduled"` let no callback nest; results are the same."""
    text = f"""{ADD} {table("$id")} (func $id (param i32) (result i32) (local.get 0))
      (func (export "run") (result i32) (call $add (i32.const 0) (i32.const 5)))"""
    for style in STYLES:
        nested, scheduled = _adding(style), _adding(style, callbacks="scheduled")
        entries = []
        for host, form in ((nested, "nested"), (scheduled, "nested"), (nested, "scheduled")):
            inst = guest(text, host, callbacks=form)
            assert inst.exports.run() == 11
            entries.append(inst.stats.host_entries)
        assert entries == [1, 3, 3]
        explore(scene(text, nested), kinds=[Kind.CALLBACKS]).exhaustive()
