"""Whatever goes on for ever is stopped by a timeout. Time is fake: it passes when the test says so."""

from __future__ import annotations

import pytest

from runtime import (
    Engine,
    EngineConfig,
    FakeClock,
    HostFunc,
    Limits,
    Module,
    Outcome,
    Returned,
    Status,
    Store,
    Suspended,
    TailCall,
    TimedOut,
    Trap,
    TrapCode,
    Trapped,
    Unfinished,
    control,
    instantiate,
    run_through,
)
from tests.support.build import wat
from tests.support.guests import Guest
from tests.support.hosts import Call, Host, Results, host, imports
from tests.support.waits import PATIENCE, in_thread

STOPPED = Suspended(Status.ETOYWASMUSERINTERRUPT, TimedOut())
#: What never ends, each by another way round.
ENDLESS = {
    "loop": '(func (export "f") (loop (br 0)))',
    "loop of br_if": '(func (export "f") (loop (br_if 0 (i32.const 1))))',
    "loop of br_table": '(func (export "f") (loop (br_table 0 0 (i32.const 1))))',
    "inner loop": '(func (export "f") (loop (loop (br 1))))',
    "calls in a loop": '(func $g) (func (export "f") (loop (call $g) (br 0)))',
    "tail calls": '(func $f (export "f") (return_call $f))',
    "tail calls back and forth": """
      (func $g (param i32) (return_call $f))
      (func $f (export "f") (return_call $g (i32.const 1)))""",
    "indirect tail calls": """
      (table funcref (elem $f)) (type $t (func))
      (func $f (export "f") (return_call_indirect (type $t) (i32.const 0)))""",
    "indirect calls in a loop": """
      (table funcref (elem $g)) (type $t (func)) (func $g)
      (func (export "f") (loop (call_indirect (type $t) (i32.const 0)) (br 0)))""",
    "recursion that branches out": """
      (func $f (param i32) (result i32)
        (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
        (i32.add (call $f (i32.sub (local.get 0) (i32.const 1))) (call $f (i32.sub (local.get 0) (i32.const 1)))))
      (func (export "f") (drop (call $f (i32.const 200))))""",
}


def stopped(guest: Guest, clock: FakeClock, name: str = "f") -> Outcome:
    """How a call with a timeout of 100 ms ends when that time has passed. It runs in a thread of its own."""
    ctx = guest.start(name)
    running = in_thread(lambda: run_through(ctx, timeout=0.1))
    clock.wait_for_alarms(1)
    clock.advance(0.1)
    outcome = running.result(PATIENCE)
    assert ctx.depth == len(ctx.frames) <= 202
    return outcome


@pytest.mark.parametrize("kind", ENDLESS)
def test_what_computes_for_ever_is_stopped(kind: str) -> None:
    """Behaviour 11: infinite loops and recursion by tail calls of every kind are stopped by a timeout."""
    clock = FakeClock()
    assert stopped(Guest(ENDLESS[kind], clock=clock), clock) == STOPPED


def test_a_start_function_that_loops_is_stopped() -> None:
    """Behaviour 11: instantiation can be timed out, and gone on with."""
    clock = FakeClock()
    store = Store(Engine(EngineConfig(clock=clock)))
    module = Module.load(wat("""(module (memory 1) (func $f (loop (br_if 0 (i32.eqz (i32.load8_u (i32.const 0))))))
      (start $f))"""))
    running = in_thread(lambda: instantiate(store, module, {}, timeout=0.1))
    clock.wait_for_alarms(1)
    clock.advance(0.1)
    with pytest.raises(Unfinished) as caught:
        running.result(PATIENCE)
    assert caught.value.outcome == STOPPED
    memory = store.instances[0].mem
    assert memory is not None
    memory.write(0, b"\1")
    assert run_through(caught.value.ctx) == Returned(())


TRAMPOLINE = """
  (import "h" "a" (func $a)) (import "h" "b" (func $b))
  (table (export "t") funcref (elem $a $b))
  (func (export "f") (call $a))
  (func (export "tail") (return_call $b))
  (func (export "bounce") (return_call_indirect (type 0) (i32.const 0)))
  (type (func))
"""


def trampolines() -> tuple[Host, Host]:
    """Two host functions that tail-call each other for ever."""
    funcs: list[HostFunc] = []
    a = host("h", "a", "")(lambda call: TailCall(funcs[1], ()))
    b = host("h", "b", "")(lambda call: TailCall(funcs[0], ()))
    funcs += [a.func, b.func]
    return a, b


@pytest.mark.parametrize("name", ["f", "tail", "bounce"])
def test_host_functions_that_trampoline_for_ever_are_stopped(name: str) -> None:
    """Behaviour 12: no frame of WebAssembly is between the two, which is where toywasm can't be stopped. Depth stays
    constant."""
    clock = FakeClock()
    guest = Guest(TRAMPOLINE, imports(*trampolines()), clock=clock)
    assert stopped(guest, clock, name) == STOPPED
    assert guest.store.counters.host_depth == 0


def test_host_functions_alone_are_stopped() -> None:
    """Behaviour 12: the same without any guest: a host function is what is called."""
    clock = FakeClock()
    guest = Guest('(import "h" "a" (func $a)) (export "f" (func $a))', imports(*trampolines()), clock=clock)
    assert stopped(guest, clock) == STOPPED


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize("limit", [5, 1000])
def test_a_cycle_of_callbacks_hits_the_limit(limit: int, scheduled: bool) -> None:
    """Behaviour 13: host functions that call each other deeper and deeper, with no guest between, trap at the limit of
    frames, however the callbacks run; the guest can be called again."""
    funcs: list[HostFunc] = []
    depths: list[int] = []

    def body(call: Call) -> Results:
        depths.append(call.ctx.depth)
        return call.call(funcs[0])

    code = host("h", "a", "", scheduled=scheduled)(body)
    funcs.append(code.func)
    guest = Guest(
        '(import "h" "a" (func $a)) (func (export "f") (call $a)) (func (export "g"))',
        imports(code),
        limits=Limits(frames=limit),
    )
    ctx = guest.start("f")
    outcome = control.run(ctx)
    assert isinstance(outcome, Trapped)
    assert outcome.trap.code is TrapCode.STACK_OVERFLOW
    assert max(depths) == limit
    # Entered once on the way down, and once on the way up where it was scheduled.
    assert guest.store.counters.host_calls == guest.store.counters.host_depth + 1 == limit - 1
    assert guest.store.counters.host_entries <= 2 * limit
    assert (ctx.depth, ctx.hosts, list(ctx.frames)) == (0, 0, [])
    assert guest.call("g") is None


def test_a_cycle_of_callbacks_is_stopped_by_a_timeout() -> None:
    """Behaviour 12: a host function that calls a guest function again and again is stopped between two calls."""
    clock = FakeClock()
    inner = Guest('(func (export "g"))')

    @host("h", "b", "")
    def pass_time(call: Call) -> Results:
        clock.advance(0.1)
        return ()

    @host("h", "a", "")
    def again(call: Call) -> Results:
        call.call(pass_time.func)
        for _ in range(10):
            call.call(inner.raw("g"))
        return ()

    guest = Guest('(import "h" "a" (func $a)) (func (export "f") (call $a))', imports(again), clock=clock)
    ctx = guest.start("f")
    assert run_through(ctx, timeout=0.1) == STOPPED
    assert [type(frame).__name__ for frame in ctx.frames] == ["WasmFrame", "HostFrame", "WasmFrame"]
    assert run_through(ctx) == Returned(())
    assert guest.store.counters.host_calls == 2


def test_the_timeout_is_for_the_whole_call() -> None:
    """A plain call's timeout counts through all its waits and restarts, on the engine's clock."""
    clock = FakeClock()
    guest = Guest(ENDLESS["loop"], clock=clock)
    running = in_thread(lambda: guest.call("f", timeout=0.5))
    clock.wait_for_alarms(1)
    clock.advance(0.25)
    assert not running.done()
    clock.advance(0.25)
    with pytest.raises(Unfinished) as caught:
        running.result(PATIENCE)
    assert caught.value.outcome == STOPPED
    control.drop(caught.value.ctx)
    with pytest.raises(Trap):
        Guest('(func (export "f") unreachable)').call("f", timeout=0.1)
