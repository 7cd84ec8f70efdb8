"""Saving and loading: whatever an execution can reach comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runtime import (
    At,
    Engine,
    EngineConfig,
    Every,
    FakeClock,
    Func,
    GlobalInst,
    HostFunc,
    Instance,
    Interrupt,
    Limits,
    Notifier,
    Outcome,
    Returned,
    SnapshotError,
    State,
    Store,
    Suspended,
    TimedOut,
    Trap,
    TrapCode,
    Trapped,
    UnlinkableError,
    WasmFunc,
    control,
    f32_to_bits,
    f64_from_bits,
    f64_to_bits,
    run_through,
    snapshot,
)
from tests.support.guests import Guest, modules_of, reload
from tests.support.hosts import Call, Results, host, imports, lookup
from tests.support.waits import PATIENCE, in_thread

ASK = '(import "h" "ask" (func $ask (param i32) (result i32)))'


@host("h", "ask", "i32 -> i32")
def ask(call: Call) -> Results:
    return (call.ask("?"),)


def value(instance: Instance, name: str) -> Any:
    found = instance.exports[name]
    assert isinstance(found, GlobalInst)
    return found.value


# What comes back


def test_globals_of_every_type() -> None:
    """Numbers with their bits (NaN payloads, signed zeros), references to functions of guest and host, null."""
    text = f"""{ASK}
      (global (export "i32") (mut i32) (i32.const -1))
      (global (export "i64") (mut i64) (i64.const -2))
      (global (export "f32") (mut f32) (f32.const nan:0x200001))
      (global (export "f64") (mut f64) (f64.const -nan:0x4000000000001))
      (global (export "zero") f64 (f64.const -0))
      (global (export "guest") (mut funcref) (ref.func $f))
      (global (export "host") funcref (ref.func $ask))
      (global (export "null") (mut externref) (ref.null extern))
      (global (export "text") (mut externref) (ref.null extern))
      (func $f (export "f") (param i32) (result i32) (call $ask (local.get 0)))"""
    guest = Guest(text, imports(ask))
    text_global = guest.instance.exports["text"]
    assert isinstance(text_global, GlobalInst)
    text_global.value = "any plain value"
    ctx = guest.start("f", 1)
    control.run(ctx)
    _, instance = reload(ctx, guest.instance, lookup(ask))
    for name in ("i32", "i64", "text", "null"):
        assert value(instance, name) == value(guest.instance, name)
    assert [repr(value(instance, n)) for n in ("f32", "f64", "zero")] == ["nan", "nan", "-0.0"]
    assert f32_to_bits(value(instance, "f32")) == 0x7FA0_0001
    assert f64_to_bits(value(instance, "f64")) == 0xFFF4_0000_0000_0001
    assert value(instance, "guest") is instance.exports["f"]
    assert value(instance, "host") is ask.func
    assert [g.type for g in instance.globals] == [g.type for g in guest.instance.globals]


def test_memories_tables_and_segments() -> None:
    """Several memories and tables, grown and written; dropped and kept segments; the rest of their limits."""
    text = f"""{ASK}
      (memory $a (export "a") 1 3) (memory $b 0)
      (table $t (export "t") 2 5 funcref) (table $u 1 externref)
      (data $kept "kept") (data $dropped "dropped") (data (memory $a) (i32.const 8) "active")
      (elem $e funcref (ref.func $f) (ref.null func)) (elem $gone func $f) (elem (table $t) (i32.const 0) func $f)
      (func $f (export "f") (param i32) (result i32)
        (drop (memory.grow $b (i32.const 1)))
        (drop (table.grow $t (ref.null func) (i32.const 2)))
        (data.drop $dropped) (elem.drop $gone)
        (local.set 0 (call $ask (local.get 0)))
        (memory.init $b $kept (i32.const 0) (i32.const 0) (i32.const 4))
        (table.init $t $e (i32.const 2) (i32.const 0) (i32.const 2))
        (drop (memory.grow $a (i32.const 3)))
        (i32.mul (memory.grow $a (i32.const 2)) (i32.const 10))
        (table.grow $t (ref.null func) (i32.const 2))
        (i32.add (local.get 0) (i32.add)))
      (func (export "d") (memory.init $a $dropped (i32.const 0) (i32.const 0) (i32.const 1)))
      (func (export "e") (table.init $t $gone (i32.const 0) (i32.const 0) (i32.const 1)))"""
    guest = Guest(text, imports(ask))
    ctx = guest.start("f", 1)
    control.run(ctx)
    restored, instance = reload(ctx, guest.instance, lookup(ask))
    control.answer(restored, 1000)
    assert control.run(restored) == Returned((1000 + 10 - 1,))
    a, b = instance.memories
    assert (a.pages, a.max, b.pages, bytes(b.data[:4]), bytes(a.data[8:14])) == (3, 3, 1, b"kept", b"active")
    assert instance.mem is a is instance.exports["a"]
    f = instance.exports["f"]
    assert instance.tables[0].elems == [f, None, f, None]
    store = Store()
    for name in ("d", "e"):
        func = instance.exports[name]
        assert isinstance(func, WasmFunc)
        with pytest.raises(Trap, match="out of bounds"):
            Func(func, store).call()
    # The one that was saved is untouched.
    assert (guest.memory.pages, len(guest.instance.tables[0].elems)) == (1, 4)


def test_values_of_every_type_in_a_frame() -> None:
    """Live locals and operands of all types come back in a frame's record, NaN payloads and references included."""
    text = f"""{ASK}
      (type $t (func (result i32)))
      (func $one (result i32) (i32.const 1))
      (elem declare func $one)
      (table 1 funcref)
      (func (export "f") (param i32 i64 f32 f64 funcref externref) (result i64 i32 i64 i64 i32 i32 i32)
        (local $r funcref)
        (local.set $r (ref.func $one))
        (i64.xor (local.get 1) (i64.const -1))
        (i32.reinterpret_f32 (local.get 2))
        (call $ask (local.get 0)) drop
        (i64.reinterpret_f64 (local.get 3))
        (local.get 1)
        (ref.is_null (local.get 4))
        (ref.is_null (local.get 5))
        (table.set (i32.const 0) (local.get $r))
        (call_indirect (type $t) (i32.const 0)))"""
    guest = Guest(text, imports(ask))
    nan32, nan64 = f64_from_bits(0x7FF8_0000_2000_0000), f64_from_bits(0xFFF8_1234_5678_9ABC)
    args = (7, -9, nan32, nan64, guest.func("f"), "external")
    want = guest.start(*("f", *args))
    control.run(want)
    control.answer(want, 1)
    ctx = guest
    expected = control.run(want)
    assert isinstance(expected, Returned)
    assert expected.values[2] == 0xFFF8_1234_5678_9ABC
    fresh = ctx.start("f", *args)
    control.run(fresh)
    assert finish_from(fresh, guest) == expected


def finish_from(ctx: Any, guest: Guest) -> Outcome:
    """Load what is suspended in the question, answer, and run to the end."""
    restored, _ = reload(ctx, guest.instance, lookup(ask))
    control.answer(restored, 1)
    return control.run(restored)


LINKED = """
  (import "m" "down" (func $down (param i32) (result i32)))
  (import "m" "table" (table 4 funcref)) (import "m" "memory" (memory 1)) (import "m" "g" (global $g (mut i32)))
  (func $mine (param i32) (result i32) (i32.add (local.get 0) (i32.const 7)))
  (elem (i32.const 1) $mine)
  (func (export "f") (param i32) (result i32)
    (global.set $g (i32.add (global.get $g) (i32.const 1)))
    (i32.add (call $down (local.get 0)) (i32.load (i32.const 0))))
"""
BELOW = f"""{ASK}
  (type $t (func (param i32) (result i32)))
  (table (export "table") 4 funcref) (memory (export "memory") 1) (global $g (export "g") (mut i32) (i32.const 5))
  (func (export "down") (param i32) (result i32)
    (i32.store (i32.const 0) (global.get $g))
    (call_indirect (type $t) (call $ask (local.get 0)) (i32.const 1)))
"""


def test_linked_instances_come_back_linked() -> None:
    """Instances that share a table, a memory and a global, suspended across both: the restored ones share theirs."""
    below = Guest(BELOW, imports(ask))
    above = Guest(LINKED, {"m": below.instance.exports})
    ctx = above.start("f", 3)
    control.run(ctx)
    assert len(ctx.frames) == 3
    restored, top = reload(ctx, above.instance, lookup(ask))
    control.answer(restored, 100)
    assert control.run(restored) == Returned((100 + 7 + 6,))
    bottom = top.funcs[0].instance
    assert bottom is not None
    assert (top.tables[0], top.memories[0], top.globals[0]) == (
        bottom.tables[0], bottom.memories[0], bottom.globals[0]
    )  # fmt: skip
    assert top.group.root() is bottom.group.root()
    assert top.funcs[0] is bottom.exports["down"]
    assert below.get("g") == 6
    # The saved pair goes on by itself.
    control.answer(ctx, 200)
    assert control.run(ctx) == Returned((213,))


def test_what_only_a_reference_leads_to_is_saved() -> None:
    """An instance that is reached only through a table, with a table of its own that leads further, comes back."""
    far = Guest('(global (export "g") i32 (i32.const 3)) (func (export "f") (param i32) (result i32) (i32.const 33))')
    middle = Guest('(table 1 funcref) (func (export "f") (param i32) (result i32) '
                   "(call_indirect (param i32) (result i32) (local.get 0) (i32.const 0)))")  # fmt: skip
    middle.instance.tables[0].elems[0] = far.raw("f")
    text = f"""{ASK} (table 1 funcref) (func (export "f") (param i32) (result i32)
      (call_indirect (param i32) (result i32) (call $ask (local.get 0)) (i32.const 0)))"""
    guest = Guest(text, imports(ask))
    guest.instance.tables[0].elems[0] = middle.raw("f")
    ctx = guest.start("f", 1)
    control.run(ctx)
    assert finish_from(ctx, guest) == Returned((33,))


def test_a_fresh_execution() -> None:
    """Nothing has run yet: function and arguments come back, references among them."""
    guest = Guest('(func (export "f") (param i64 f64 funcref) (result i64) (i64.add (local.get 0) (i64.const 1)))')
    ctx = guest.start("f", -5, 1.5, guest.func("f"))
    restored, instance = reload(ctx, guest.instance)
    assert restored.state is State.READY
    assert restored.next_call == (instance.exports["f"], ((1 << 64) - 5, 1.5, instance.exports["f"]))
    assert control.run(restored) == Returned(((1 << 64) - 4,))
    assert ctx.state is State.READY


def test_a_host_function_alone() -> None:
    """An execution without any guest."""
    store = Store()
    ctx = Func(ask.func, store).start(5)
    control.run(ctx)
    restored = snapshot.load(snapshot.save(ctx, None, {"mine": (1, [2.5])}), {}, lookup(ask), Store())
    assert (restored.instances, restored.extra) == ((), {"mine": (1, [2.5])})
    control.answer(restored.ctx, 6)
    assert control.run(restored.ctx) == Returned((6,))


# Executions that go on


PROGRAM = f"""{ASK}
  (memory (export "memory") 1)
  (global $g (export "g") (mut i64) (i64.const 1))
  (func (export "triple") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (func $mix (param i32 f64) (result i32 f64)
    (global.set $g (i64.mul (global.get $g) (i64.const 6364136223846793005)))
    (i32.xor (local.get 0) (i32.wrap_i64 (i64.shr_u (global.get $g) (i64.const 40))))
    (f64.mul (local.get 1) (f64.const 1.25)))
  (func (export "f") (param i32) (result i32 f64 i64) (local f64 i32)
    (local.set 1 (f64.const 1))
    (loop
      (call $mix (local.get 2) (local.get 1)) (local.set 1) (local.set 2)
      (i32.store (i32.shl (local.get 0) (i32.const 2)) (i32.add (local.get 2) (call $ask (local.get 0))))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 2) (local.get 1) (global.get $g))
"""


@pytest.mark.parametrize("scheduled", [False, True])
@pytest.mark.parametrize("k", [1, 2, 3, 7])
def test_resuming_loaded_executions_equals_not_being_interrupted(k: int, scheduled: bool) -> None:
    """Behaviours 33 and 75: saved and loaded at every k-th check point, results, memory and globals are those of the
    uninterrupted run."""
    @host("h", "ask", "i32 -> i32", scheduled=scheduled)
    def work(call: Call) -> Results:
        once = call.once(lambda: call.args[0] * 2)
        call.check()
        assert call.caller is not None
        triple = call.caller.exports["triple"]
        assert isinstance(triple, WasmFunc)
        return (once + call.call(triple, call.args[0])[0],)

    plain = Guest(PROGRAM, imports(work))
    expected = control.run(plain.start("f", 9))
    assert isinstance(expected, Returned)
    guest = Guest(PROGRAM, imports(work), injector=Every(k))
    ctx, instance = guest.start("f", 9), guest.instance
    outcome = control.run(ctx)
    loads = 0
    while isinstance(outcome, Suspended):
        ctx, instance = reload(ctx, instance, lookup(work), injector=Every(k))
        outcome = control.run(ctx)
        loads += 1
    assert loads > 3  # machine code has fewer check points
    assert outcome == expected
    assert instance.mem is not None
    assert instance.mem.data == plain.memory.data
    assert value(instance, "g") == value(plain.instance, "g")


def test_a_timeout_is_saved_as_what_is_left() -> None:
    """Behaviour 76: a deadline in a wait is saved as time left, and counts from there on the loader's clock."""

    @host("h", "ask", "i32 -> i32")
    def nap(call: Call) -> Results:
        call.sleep(10.0)
        return (1,)

    here, there = FakeClock(1000.0), FakeClock(5.0)
    guest = Guest(f'{ASK} (func (export "f") (result i32) (call $ask (i32.const 1)))', imports(nap), clock=here)
    ctx = guest.start("f")
    interrupt = Interrupt()
    interrupt.set()
    control.run(ctx, interrupt)  # at the function's entry
    interrupt.set()
    assert isinstance(control.run(ctx, interrupt), Suspended)  # before the host function
    interrupt.set()
    assert isinstance(control.run(ctx, interrupt), Suspended)
    here.advance(4.0)
    restored, _ = reload(ctx, guest.instance, lookup(nap), engine=Engine(EngineConfig(clock=there)))
    running = in_thread(lambda: control.run(restored))
    there.wait_for_alarms(1)
    there.advance(5.75)
    there.wait_for_alarms(1)
    assert not running.done()
    there.advance(0.25)
    assert running.result(PATIENCE) == Returned((1,))


# What can't be saved, or loaded


def test_what_can_not_be_saved_is_named() -> None:
    """Objects of the host's, exceptions that are no traps, a finished execution: SnapshotError, and the execution can
    go on."""
    guest = Guest(f'{ASK} (global (export "g") (mut externref) (ref.null extern)) '
                  '(func (export "f") (param externref) (result i32) (local.get 0) (call $ask (i32.const 1)) '
                  "(ref.is_null) drop (i32.const 4))".replace("(ref.is_null) drop", "drop drop"),
                  imports(ask))  # fmt: skip
    ctx = guest.start("f", object())
    control.run(ctx)
    with pytest.raises(SnapshotError, match="external reference to a object"):
        snapshot.save(ctx, guest.instance)
    control.throw(ctx, KeyError("x"))
    with pytest.raises(SnapshotError, match="KeyError"):
        snapshot.save(guest_suspended_with_throw(), None)
    control.answer(ctx, 1)
    with pytest.raises(SnapshotError, match="Notifier"):
        snapshot.save(asking(), None, {"extra": Notifier()})
    with pytest.raises(SnapshotError, match="can't be saved"):
        snapshot.save(asking(), None, "half a surrogate pair: \ud800")


def asking() -> Any:
    """A host function suspended in a question."""
    ctx = Func(ask.func, Store()).start(5)
    control.run(ctx)
    return ctx


def guest_suspended_with_throw() -> Any:
    ctx = asking()
    control.throw(ctx, KeyError("x"))
    return ctx


def test_a_pending_trap_is_saved() -> None:
    """`throw` of a trap before saving: the loaded execution raises it."""
    ctx = asking()
    control.throw(ctx, Trap(TrapCode.HOST, "mine"))
    restored = snapshot.load(snapshot.save(ctx, None), {}, lookup(ask), Store())
    outcome = control.run(restored.ctx)
    assert isinstance(outcome, Trapped)
    assert (outcome.trap.code, outcome.trap.message) == (TrapCode.HOST, "mine")


def test_results_in_place_of_a_call_are_saved() -> None:
    """`resume_with` before saving: guest frames get their values by type, host functions as they are."""
    text = """(import "h" "give" (func $give (result i32 f32 f64 funcref)))
      (func $f (export "f") (result i32 i32 i64 i32) (local funcref f64 f32)
        (call $give) (local.set 0) (local.set 1) (local.set 2)
        (i32.reinterpret_f32 (local.get 2)) (i64.reinterpret_f64 (local.get 1)) (ref.is_null (local.get 0)))"""
    give = host("h", "give", "-> i32 f32 f64 funcref")(lambda call: call.ask("?"))
    guest = Guest(text, imports(give))
    ctx = guest.start("f")
    control.run(ctx)
    nan = f64_from_bits(0x7FF8_0000_0000_0123)
    control.resume_with(ctx, (-1, 0.5, nan, guest.func("f")))
    restored, _ = reload(ctx, guest.instance, lookup(give))
    assert control.run(restored) == Returned((0xFFFF_FFFF, 0x3F00_0000, 0x7FF8_0000_0000_0123, 0))


def test_results_for_a_host_function_are_saved() -> None:
    """The same where a host function waits for them: it gets them as they are, also the outermost one's caller."""
    inner = host("h", "inner", "-> i32 f64 funcref")(lambda call: call.ask("?"))
    outer = host("h", "outer", "-> i32 f64 funcref")(lambda call: call.call(inner.func))
    guest = Guest('(func (export "f"))')
    ctx = Func(outer.func, guest.store).start()
    control.run(ctx)
    control.resume_with(ctx, (7, f64_from_bits(0x7FF8_0000_0000_0123), guest.func("f")))
    restored = snapshot.load(
        snapshot.save(ctx, guest.instance), modules_of(guest.instance), lookup(inner, outer), Store()
    )
    outcome = control.run(restored.ctx)
    assert isinstance(outcome, Returned)
    number, nan, func = outcome.values
    assert (number, repr(nan), func) == (7, "nan", restored.instances[0].exports["f"])


def test_what_is_missing_is_named() -> None:
    """A module or host functions that are not given: the error names the module by name and hash, and every host
    function; also one of another type."""
    other = host("h", "other", "-> i32")(lambda call: (1,))
    text = f"""(module $mine {ASK} (import "h" "other" (func (result i32)))
      (func (export "f") (param i32) (result i32) (call $ask (local.get 0))))"""
    guest = Guest(text, imports(ask, other))
    ctx = guest.start("f", 1)
    control.run(ctx)
    data = snapshot.save(ctx, guest.instance)
    modules = modules_of(guest.instance)
    with pytest.raises(SnapshotError, match=f"module mine with hash {guest.module.hash}"):
        snapshot.load(data, {}, lookup(ask, other), Store())
    with pytest.raises(UnlinkableError, match=r"h\.ask, h\.other") as caught:
        snapshot.load(data, modules, lookup(), Store())
    assert caught.value.missing == (("h", "ask"), ("h", "other"))
    wrong = host("h", "ask", "i64 -> i32")(lambda call: (1,))
    with pytest.raises(UnlinkableError, match=r"h\.ask") as caught:
        snapshot.load(data, modules, lookup(wrong, other), Store())
    assert caught.value.missing == (("h", "ask"),)


def test_versions_of_host_functions() -> None:
    """Behaviour 35: a record of another version is refused, unless the function says that it accepts it."""
    ctx = asking()
    data = snapshot.save(ctx, None)
    for version, accepts, ok in ((2, (), False), (2, (1,), True), (3, (2,), False), (1, (), True)):
        newer = host("h", "ask", "i32 -> i32", version=version, accepts=accepts)(ask.fn)
        find: Callable[..., HostFunc | None] = lookup(newer)
        if ok:
            snapshot.load(data, {}, find, Store())
        else:
            with pytest.raises(SnapshotError, match=r"h\.ask was saved as version 1 and is now version"):
                snapshot.load(data, {}, find, Store())


def test_the_loaders_limits_hold() -> None:
    """What exceeds the loader's limits is refused: memories and tables by instance, frames, cells, journals."""
    text = f"""{ASK} (memory 2) (table 5 funcref)
      (func $deep (param i32) (result i32) (if (result i32) (local.get 0)
        (then (call $deep (i32.sub (local.get 0) (i32.const 1)))) (else (call $ask (i32.const 1)))))
      (func (export "f") (result i32) (call $deep (i32.const 10)))"""
    guest = Guest(text, imports(ask))
    ctx = guest.start("f")
    control.run(ctx)
    reload(ctx, guest.instance, lookup(ask), limits=Limits(memory=2 * 65536, table=5, frames=13, journal=1, cells=60))
    for limits in (Limits(memory=65536), Limits(table=4), Limits(frames=12), Limits(cells=20), Limits(journal=0)):
        with pytest.raises(SnapshotError, match="limit"):
            reload(ctx, guest.instance, lookup(ask), limits=limits)


def test_each_instance_has_a_budget_of_its_own() -> None:
    """Two linked instances that each use most of what an instance may have can be loaded under the same limits."""
    limits = Limits(memory=3 * 65536)
    below = Guest('(memory 2) (func (export "x"))', limits=limits)
    above = Guest(f'{ASK} (import "m" "x" (func)) (memory 2) (func (export "f") (param i32) (result i32) '
                  "(drop (call $ask (local.get 0))) (i32.add (memory.grow (i32.const 1)) (memory.grow (i32.const 1))))",
                  {**imports(ask), "m": below.instance.exports}, limits=limits)  # fmt: skip
    ctx = above.start("f", 1)
    control.run(ctx)
    restored, _ = reload(ctx, above.instance, lookup(ask), limits=limits)
    control.answer(restored, 1)
    assert control.run(restored) == Returned((1,))


def test_a_loaded_execution_keeps_others_out() -> None:
    """The restored instance is in the middle of its call, as the saved one was; dropped, it is free."""
    guest = Guest(f'{ASK} (func (export "f") (param i32) (result i32) (call $ask (local.get 0)))', imports(ask))
    ctx = guest.start("f", 1)
    control.run(ctx)
    restored, instance = reload(ctx, guest.instance, lookup(ask))
    func = instance.exports["f"]
    assert isinstance(func, WasmFunc)
    with pytest.raises(Exception, match="in the middle of another call"):
        Func(func, Store()).call(1)
    control.drop(restored)
    assert isinstance(control.run(Func(func, Store()).start(1)), Suspended)
    assert ctx.state is State.SUSPENDED


def test_a_loaded_execution_can_be_timed_out() -> None:
    """Requests reach a restored execution like any other."""
    clock = FakeClock()
    guest = Guest('(func (export "f") (loop (br 0)))', injector=At((3,)))
    ctx = guest.start("f")
    control.run(ctx)
    restored, _ = reload(ctx, guest.instance, engine=Engine(EngineConfig(clock=clock)))
    outcome = run_through(restored, timeout=0.0)
    assert isinstance(outcome, Suspended)
    assert outcome.reason == TimedOut()
