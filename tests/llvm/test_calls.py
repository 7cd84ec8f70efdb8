"""Values on their way into machine code, out of it and through it; calls that it can't make alone."""

from __future__ import annotations

import struct
import threading

import pytest

from runtime import (
    I32,
    Func,
    GlobalInst,
    GlobalType,
    Interrupt,
    Interrupted,
    Suspended,
    TableInst,
    TailCall,
    Trap,
    Unwind,
    control,
)
from runtime.instances.small import SharedGlobal
from runtime.llvm.image import Image
from tests.support.hosts import Call, Results, host, imports
from tests.support.native import Native, engine, native_only, needs_native, text

pytestmark = needs_native


def test_values_of_all_types_go_through() -> None:
    """Integers of either sign, floats, references and several results are what they were."""
    guest = Native(
        text("""
        (func $swap (param i32 i64 f32 f64 externref funcref) (result funcref externref f64 f32 i64 i32)
          (local.get 5) (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0))
        (func (export "swap") (param i32 i64 f32 f64 externref funcref) (result funcref externref f64 f32 i64 i32)
          (call $swap (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4) (local.get 5)))""")
    )
    func, thing = guest.func("swap"), object()
    args = (-5, -(1 << 63), 1.5, -0.0, thing, func)
    assert func.call(*args) == tuple(reversed(args))
    assert isinstance(guest.instance.native, Image)
    assert func.call(0, 0, 0.0, 0.0, None, None) == (None, None, 0.0, 0.0, 0, 0)


@pytest.mark.parametrize("bits", [0x7F80_0001, 0xFFC0_0000, 0x7FFF_FFFF, 0xFF80_0001])
def test_bits_of_a_nan_are_kept_by_moves(bits: int) -> None:
    """Moves, stores and sign operations keep a NaN's payload, also a signalling one's (spec 4.3.3)."""
    guest = Native(
        text("""(memory 1)
        (func $id (param f32) (result f32) (local.get 0))
        (func (export "f") (param i32) (result i32)
          (f32.store (i32.const 8) (f32.neg (f32.neg (call $id (f32.reinterpret_i32 (local.get 0))))))
          (i32.load (i32.const 8)))""")
    )
    assert guest.call("f", bits) & 0xFFFF_FFFF == bits


def test_arithmetic_gives_the_canonical_nan() -> None:
    """What arithmetic makes is the positive canonical NaN wherever its bits can be seen, loops included."""
    guest = Native(
        text("""(memory 1) (global $g (mut f64) (f64.const 0))
        (func (export "f") (param f64 f64) (result i64 i64 f64) (local f64)
          (local.set 2 (f64.div (local.get 0) (local.get 1)))
          (loop $l
            (local.set 2 (f64.add (local.get 2) (f64.const 1)))
            (br_if $l (f64.lt (local.get 2) (f64.const 0))))
          (f64.store (i32.const 0) (local.get 2))
          (global.set $g (local.get 2))
          (i64.reinterpret_f64 (f64.neg (local.get 2)))
          (i64.load (i32.const 0))
          (f64.sqrt (f64.const -1)))""")
    )
    negated, stored, root = guest.call("f", 0.0, 0.0)
    canonical = 0x7FF8_0000_0000_0000
    assert (negated & (1 << 64) - 1, stored) == (canonical | 1 << 63, canonical)
    assert struct.pack("<d", root) == struct.pack("<Q", canonical)
    value = guest.instance.globals[0].value
    assert isinstance(value, float)
    assert struct.pack("<d", value) == struct.pack("<Q", canonical)


def test_a_mutable_global_is_one_for_all() -> None:
    """Machine code of two instances, the interpreter and the embedder see the same global."""
    a = Native(
        text("""(global $g (export "g") (mut i32) (i32.const 5))
        (func (export "add") (param i32) (global.set $g (i32.add (global.get $g) (local.get 0))))""")
    )
    shared = a.instance.exports["g"]
    assert isinstance(shared, GlobalInst)
    b = Native(
        text("""(import "a" "g" (global $g (mut i32)))
        (func (export "get") (result i32) (global.get $g))"""),
        {"a": {"g": shared}},
    )
    assert b.call("get") == 5
    a.call("add", -7)
    assert b.call("get") == -2
    assert type(shared) is SharedGlobal
    shared.value = 40
    assert b.call("get") == 40


def test_an_immutable_global_may_be_anybodys() -> None:
    """An import that never changes needs no cell."""
    module = text('(import "a" "g" (global $g i32)) (func (export "get") (result i32) (global.get $g))')
    plain = GlobalInst(GlobalType(I32), 7)
    assert Native(module, {"a": {"g": plain}}).call("get") == 7
    assert type(plain) is GlobalInst


def test_tables_call_whoever_is_in_them() -> None:
    """A table may hold functions of this instance, of another one and of the host, and may change and grow."""

    @host("h", "f", "i32 -> i32")
    def triple(call: Call) -> Results:
        return (call.args[0] * 3,)

    other = Native(text('(func (export "f") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 10)))'))
    guest = Native(
        text("""(type $t (func (param i32) (result i32)))
        (table $t (export "t") 4 funcref) (elem (i32.const 0) $own)
        (func $own (type $t) (i32.add (local.get 0) (i32.const 1)))
        (func (export "call") (param i32 i32) (result i32)
          (call_indirect (type $t) (local.get 0) (local.get 1)))
        (func (export "grow") (result i32) (table.grow $t (ref.null func) (i32.const 3)))""")
    )
    table = guest.instance.exports["t"]
    assert isinstance(table, TableInst)
    table.set(1, other.func("f").inst)
    table.set(2, triple.func)
    assert [guest.call("call", 5, index) for index in range(3)] == [6, 50, 15]
    with pytest.raises(Trap, match="uninitialized element 3"):
        guest.call("call", 5, 3)
    assert guest.call("grow") == 4
    table.set(6, guest.instance.funcs[0])
    assert guest.call("call", 5, 6) == 6
    with pytest.raises(Trap, match="undefined element"):
        guest.call("call", 5, 7)


def test_memory_grows_in_place_for_all_who_have_it() -> None:
    """Growth by machine code, by the host and by another instance is seen at once; what lies beyond traps."""
    a = Native(
        text("""(memory (export "m") 1 4)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "put") (param i32 i32) (i32.store8 (local.get 0) (local.get 1)))""")
    )
    memory = a.instance.memories[0]
    b = Native(
        text('(import "a" "m" (memory 1)) (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0)))'),
        {"a": {"m": memory}},
    )
    with pytest.raises(Trap, match="out of bounds"):
        b.call("get", 65536)
    assert a.call("grow", 1) == 1
    a.call("put", 65536, 9)
    assert (b.call("get", 65536), memory.data[65536], len(memory.data)) == (9, 9, 2 * 65536)
    assert memory.grow(2) == 2
    assert b.call("get", 4 * 65536 - 1) == 0
    assert a.call("grow", 1) == -1


def test_errors_of_the_host_cross_machine_code_unchanged() -> None:
    """8, 9: an exception of a host function reaches the embedder as itself, through frames of both tiers."""
    error = KeyError("mine")

    @host("h", "fail", "")
    def fail(call: Call) -> Results:
        raise error

    module = text("""(import "h" "fail" (func $fail))
        (func $c (call $fail)) (func $b (call $c)) (func (export "a") (call $b))""")
    for native in ([1, 2, 3], [1, 3], [2], [1, 2]):
        guest = Native(module, imports(fail), using=engine(native_only(native)))
        ctx = guest.func("a").start()
        outcome = control.run(ctx)
        assert getattr(outcome, "error", None) is error
        names = [line.name for line in ctx.trace]
        assert names == ["fail", "c", "b", "func[3]"], native


def test_a_host_functions_tail_call_takes_no_stack() -> None:
    """A cycle by way of a host function's tail call runs as long as it likes, also through machine code."""
    guest: Native

    @host("h", "again", "i32 -> i32")
    def again(call: Call) -> Results:
        func = guest.instance.funcs[1]
        return TailCall(func, (call.args[0] - 1,)) if call.args[0] else (77,)

    guest = Native(
        text("""(import "h" "again" (func $again (param i32) (result i32)))
        (func $f (export "f") (param i32) (result i32) (call $again (local.get 0)))"""),
        imports(again),
    )
    assert guest.call("f", 100) == 77


def test_an_interrupt_from_another_thread_stops_a_loop() -> None:
    """1: a loop of machine code without any call is left at its next check point, and can be gone on with."""
    guest = Native(
        text("""(global $stop (export "stop") (mut i32) (i32.const 0))
        (func (export "spin") (result i32) (loop $l (br_if $l (i32.eqz (global.get $stop)))) (i32.const 3))""")
    )
    interrupt = Interrupt()
    ctx = guest.func("spin").start()
    thread = threading.Thread(target=interrupt.set)
    thread.start()
    outcome = control.run(ctx, interrupt)
    thread.join()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == Interrupted(interrupt)
    guest.instance.globals[0].value = 1
    assert control.run(ctx).values == (3,)  # type: ignore[union-attr]  # it returns


def test_a_signal_that_was_kept_is_no_suspension() -> None:
    """A host function that swallows the engine's signal gets its error, and the machine code beneath is left."""

    @host("h", "hold", "")
    def hold(call: Call) -> Results:
        try:
            call.check()
        except Unwind:
            pass
        return ()

    from runtime import Every, RecordError

    guest = Native(
        text('(import "h" "hold" (func $hold)) (func (export "f") (call $hold) (call $hold))'),
        imports(hold),
        injector=Every(3),
    )
    outcome = control.run(guest.func("f").start())
    while isinstance(outcome, Suspended):
        outcome = control.run(guest.func("f").start())
    assert isinstance(getattr(outcome, "error", None), RecordError)


def test_functions_of_other_instances_are_called() -> None:
    """An import from another instance runs with that instance's memory and globals, and its frames suspend."""
    a = text("""(global $n (mut i32) (i32.const 100))
        (func (export "next") (result i32) (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n))""")
    b = text("""(import "a" "next" (func $next (result i32)))
        (func (export "sum") (param i32) (result i32) (local i32)
          (loop $l
            (local.set 1 (i32.add (local.get 1) (call $next)))
            (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
          (local.get 1))""")
    first = Native(a)
    guest = Native(b, {"a": {"next": first.instance.exports["next"]}})
    assert Func(guest.instance.funcs[1], guest.store).call(4) == 101 + 102 + 103 + 104
