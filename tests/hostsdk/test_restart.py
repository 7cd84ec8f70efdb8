"""Host functions that are entered again: arguments, progress under standing interrupts, deadlines, tail calls."""

from __future__ import annotations

from typing import Any

import pytest

from hostsdk import (
    BlockingContext,
    Bytes,
    Context,
    FuncRef,
    HostModule,
    Interrupt,
    Interrupted,
    Limits,
    Ptr,
    Returned,
    Steps,
    Str,
    Suspended,
    check_interrupt,
    i32,
    sleep,
    tail_call,
    u32,
)
from hostsdk.testing import At, Kind, explore
from tests.support.inject import MEMORY, STYLES, everywhere, finish, guest, restartable, run_to, scene, table

# Arguments


@pytest.mark.parametrize("style", STYLES)
def test_arguments_survive_though_memory_changes(style: str) -> None:
    """17: a suspended function sees the same arguments when it is resumed, whatever has become of the memory that
    they were read from."""
    host = HostModule("h", state=list[object])

    @restartable(host, style)
    def f(ctx: Context[list[object]], text: Str, data: Bytes, n: i32, p: Ptr[u32]) -> Steps[i32]:
        ctx.once(lambda: ctx.state.append((text, data, n)))
        yield from sleep(1)
        ctx.once(lambda: ctx.state.append((text, data, n)))
        return p.load() + n

    text = f"""(import "h" "f" (func $f (param i32 i32 i32 i32 i32 i32) (result i32))) {MEMORY}
      (data (i32.const 0) "hello\\01\\02\\03")
      (func (export "run") (result i32)
        (call $f (i32.const 0) (i32.const 5) (i32.const 5) (i32.const 3) (i32.const 40) (i32.const 64)))"""
    inst = everywhere(text, host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    inst._raw.memories[0].data[0:72] = b"\xff" * 64 + (2).to_bytes(4, "little") * 2
    assert finish(execution) == Returned((42,))
    assert inst.state(host) == [("hello", b"\x01\x02\x03", 40)] * 2


def test_a_result_in_place_of_the_arguments_doesnt_disturb_them() -> None:
    """17: what a function returned for one call isn't seen by the next one."""
    host = HostModule("h")

    @host.restartable
    def twice(ctx: BlockingContext, n: i32) -> i32:
        ctx.sleep(1)
        return 2 * n

    text = """(import "h" "twice" (func $t (param i32) (result i32)))
      (func (export "run") (result i32) (call $t (call $t (call $t (i32.const 5)))))"""
    assert finish(everywhere(text, host).start("run")) == Returned((40,))


# Progress


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("delay", [0, 1, 3])
def test_a_standing_interrupt_lets_a_sleep_pass(style: str, delay: int) -> None:
    """4: with an interrupt that is set for good, each resume makes progress, and a sleep ends after its time."""
    host = HostModule("h")

    @restartable(host, style)
    def nap(ctx: Context) -> Steps[i32]:
        yield from sleep(0.010)
        return 7

    text = """(import "h" "nap" (func $n (result i32)))
      (func (export "run") (result i32) (local $i i32) (local $sum i32)
        (loop $l
          (local.set $sum (i32.add (local.get $sum) (call $n)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
        (local.get $sum))"""
    inst = guest(text, host)
    clock: Any = inst._store.engine.config.clock
    interrupt = Interrupt(level=True, delay=delay)
    interrupt.set()
    execution = inst.start("run")
    begun, suspensions = clock.monotonic(), 0
    while isinstance(outcome := execution.run(interrupt=interrupt), Suspended):
        assert isinstance(outcome.reason, Interrupted)
        suspensions += 1
        assert suspensions < 200
        clock.advance(0.001)
    assert outcome == Returned((21,))
    assert suspensions >= 3
    assert 0.030 <= clock.monotonic() - begun < 0.060


def test_one_of_delay_plus_one_polls_reports() -> None:
    """5: with delay D exactly one of D+1 of a function's polls suspends."""
    host = HostModule("h")

    @host.restartable
    def compute(ctx: Context) -> Steps[i32]:
        for _ in range(11):
            yield from check_interrupt()
        return 1

    text = '(import "h" "compute" (func $c (result i32))) (export "run" (func $c))'
    for delay in (0, 1, 2, 3):
        interrupt = Interrupt(level=True, delay=delay)
        interrupt.set()
        execution = guest(text, host).start("run")
        count = 0
        while isinstance(execution.run(interrupt=interrupt), Suspended):
            count += 1
        # One poll at the entry and eleven of the function's own.
        assert count == 12 // (delay + 1), delay


@pytest.mark.parametrize("style", STYLES)
def test_a_long_computation_goes_on_where_it_was(style: str) -> None:
    """A computation that polls by check_interrupt is interruptible at each poll, and with ctx.progress a restarted
    function does none of its work twice."""
    host = HostModule("h", state=list[int])

    @restartable(host, style)
    def work(ctx: Context[list[int]], n: i32) -> Steps[i32]:
        done = ctx.progress(0)
        while done.value < n:
            ctx.state.append(done.value)
            done.value += 1
            yield from check_interrupt()
        return done.value

    text = '(import "h" "work" (func $w (param i32) (result i32))) (export "run" (func $w))'
    found = explore(scene(text, host, args=(6,), observe=lambda inst: inst.state(host), saves=False))
    assert found.checks == 7
    assert found.exhaustive().hits == 2 * 7 * 5
    found.every(1, 2)


# Deadlines


def test_a_deadline_belongs_to_its_wait() -> None:
    """20, 56: a wait that is suspended with a deadline and then fails early on resume, as its handle was closed,
    leaves nothing behind: the next wait has its own deadline."""
    host = HostModule("h")

    @host.restartable
    def recv(ctx: BlockingContext, fd: i32) -> i32:
        try:
            thing = ctx.resources.get(fd, str)
        except OSError as error:
            ctx.sleep(1)
            return -(error.errno or 0)
        return ctx.block_until(lambda: None if thing else 1, timeout=1000.0) or 0

    @host.restartable
    def nap(ctx: BlockingContext, seconds: i32) -> i32:
        before = ctx.time
        ctx.sleep(float(seconds))
        return round(ctx.time - before)

    text = """(import "h" "recv" (func $r (param i32) (result i32)))
      (import "h" "nap" (func $n (param i32) (result i32)))
      (func (export "run") (result i32 i32) (call $r (i32.const 0)) (call $n (i32.const 2)))"""
    inst = everywhere(text, host)
    inst.resources.add("open")
    execution = inst.start("run")
    begun = inst._store.engine.config.clock.monotonic()
    run_to(execution, "h.recv, in wait")
    inst.resources.close(0)
    assert inst.resources.add("another") == 0
    assert finish(execution) == Returned((-9, 2))
    assert inst._store.engine.config.clock.monotonic() - begun == 3


@pytest.mark.parametrize("style", STYLES)
def test_interruptions_dont_prolong_a_sleep(style: str) -> None:
    """36: the time that a wait takes is its own, however often it is interrupted, saved and moved about."""
    host = HostModule("h")

    @restartable(host, style)
    def nap(ctx: Context) -> Steps[None]:
        for _ in range(3):
            yield from sleep(0.3)

    text = '(import "h" "nap" (func $n)) (func (export "run") (call $n))'
    found = explore(scene(text, host), in_place=(True, False))
    assert [ending.elapsed for ending in found.undisturbed.values()] == [pytest.approx(0.9)] * 4
    assert found.every(1, 2, 3).hits > 20
    found.exhaustive()


# Tail calls


TRAMPOLINE = f"""
  (import "h" "bounce" (func $bounce (param i32 i32) (result i32))) {MEMORY} {table("$step")}
  (global $deep (mut i32) (i32.const 0))
  (func $step (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (i32.const 99))
      (else (return_call $bounce (i32.const 0) (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "run") (param i32) (result i32) (call $bounce (i32.const 0) (local.get 0)))
"""


def _bounce(style: str) -> HostModule[None]:
    host = HostModule("h")

    @restartable(host, style)
    def bounce(ctx: Context, f: FuncRef[[i32], i32], n: i32) -> Steps[i32]:
        if n % 3 == 2:
            yield from check_interrupt()
        return tail_call(f, n)

    return host


@pytest.mark.slow
@pytest.mark.parametrize("style", STYLES)
def test_trampolines_take_constant_depth(style: str) -> None:
    """26: `tail_call` in a loop with `return_call` needs no more frames for 30,000 steps than for one."""
    inst = guest(TRAMPOLINE, _bounce(style), limits=Limits(frames=3))
    execution = inst.start("run", 30_000)
    assert execution.run() == Returned((99,))
    assert inst.stats.host_depth <= 2


@pytest.mark.parametrize("style", STYLES)
def test_a_trampoline_is_interrupted_anywhere(style: str) -> None:
    """26, 27: a chain of tail calls through host functions is the same under every fault."""
    found = explore(scene(TRAMPOLINE, _bounce(style), args=(5,), limits=Limits(frames=3)))
    found.exhaustive()
    found.every(1, 2)
    found.random(range(3))


@pytest.mark.parametrize("style", STYLES)
def test_return_call_to_a_restartable_function(style: str) -> None:
    """27: a function left by `return_call` is not there any more when the host function in its place is resumed; the
    result goes to its caller."""
    host = HostModule("h")

    @restartable(host, style)
    def slow(ctx: Context, n: i32) -> Steps[i32]:
        yield from sleep(1)
        return n + 1

    text = """(import "h" "slow" (func $slow (param i32) (result i32)))
      (func $middle (param i32) (result i32) (return_call $slow (i32.mul (local.get 0) (i32.const 2))))
      (func (export "run") (result i32) (i32.mul (i32.const 10) (call $middle (i32.const 4))))"""
    inst = everywhere(text, host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    assert [line.kind for line in execution.backtrace] == ["host", "wasm"]
    assert finish(execution) == Returned((90,))
    explore(scene(text, host)).exhaustive()


def test_a_single_fault_can_be_placed() -> None:
    """An injector in the engine's configuration hits the check points that it is told, and counts them from 1."""
    host = HostModule("h")

    @host.restartable
    def nap(ctx: BlockingContext) -> None:
        ctx.sleep(1)

    text = '(import "h" "nap" (func $n)) (func (export "run") (call $n) (call $n))'
    execution = guest(text, host, injector=At({4})).start("run")
    outcome = execution.run()
    assert isinstance(outcome, Suspended)
    assert getattr(outcome.reason, "check", None) == 4
    assert execution.run() == Returned(())
    assert Kind.RESTART.value == "restart"
