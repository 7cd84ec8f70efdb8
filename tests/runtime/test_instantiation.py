"""Instantiation is an execution: its start function is interrupted, suspended, saved and resumed like any call."""

from __future__ import annotations

import pytest

from runtime import (
    At,
    Engine,
    EngineConfig,
    Every,
    Failed,
    Interrupt,
    Interrupted,
    LimitError,
    Limits,
    Module,
    NestedSuspension,
    Returned,
    Store,
    Suspended,
    Trap,
    TrapCode,
    Unfinished,
    UnlinkableError,
    begin_instantiation,
    control,
    instantiate,
    run_through,
)
from tests.support.build import wat
from tests.support.guests import Guest, reload, resume_all
from tests.support.hosts import Call, Results, host, imports, lookup

#: The start function sums up in memory, by way of the host.
TEXT = """(module
  (import "h" "add" (func $add (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $start (local i32)
    (loop
      (i32.store (i32.const 0) (call $add (i32.load (i32.const 0)) (local.get 0)))
      (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 5)))))
  (func (export "get") (result i32) (i32.load (i32.const 0)))
  (start $start))
"""


@host("h", "add", "i32 i32 -> i32")
def add(call: Call) -> Results:
    return (call.args[0] + call.args[1],)


def test_the_start_function_runs_to_its_end() -> None:
    """`instantiate` gives an instance whose start function has returned."""
    assert Guest(TEXT, imports(add)).call("get") == 10


@pytest.mark.parametrize("k", [1, 2, 3])
def test_an_instantiation_that_is_suspended(k: int) -> None:
    """Suspended at every k-th check point, and saved and loaded there, the start function does its work once."""
    store = Store(injector=Every(k))
    begun = begin_instantiation(store, Module.load(wat(TEXT)), imports(add))
    assert begun.start is not None
    instance = begun.instance
    ctx = begun.start
    outcome = control.run(ctx)
    while isinstance(outcome, Suspended):
        ctx, instance = reload(ctx, instance, lookup(add), injector=Every(k))
        outcome = control.run(ctx)
    assert outcome == Returned(())
    assert instance.mem is not None
    assert instance.mem.data[0] == 10


def test_an_instantiation_that_is_interrupted() -> None:
    """An interrupt stops the start function, and the execution can be gone on with."""
    interrupt = Interrupt()
    interrupt.set()
    store = Store()
    with pytest.raises(Unfinished) as caught:
        instantiate(store, Module.load(wat(TEXT)), imports(add), interrupt=interrupt)
    assert caught.value.outcome.reason == Interrupted(interrupt)
    assert run_through(caught.value.ctx, interrupt) == Returned(())
    memory = store.instances[0].mem
    assert memory is not None
    assert memory.data[0] == 10


def test_while_the_start_function_is_suspended_nobody_else_enters() -> None:
    """The instance is in the middle of a call: calling an export is refused, and does no harm."""
    store = Store(injector=At((4,)))
    guest = Guest(TEXT, imports(add), store=store, start=False)
    begun = begin_instantiation(store, guest.module, imports(add))
    guest.instance = begun.instance
    assert begun.start is not None
    assert isinstance(control.run(begun.start), Suspended)
    with pytest.raises(Exception, match="in the middle of another call"):
        guest.call("get")
    assert resume_all(begun.start) == Returned(())
    assert guest.call("get") == 10


def test_a_start_function_that_traps() -> None:
    """The trap is raised as itself."""
    with pytest.raises(Trap) as caught:
        Guest("(func $f unreachable) (start $f)")
    assert caught.value.code is TrapCode.UNREACHABLE


def test_a_host_function_as_start_function() -> None:
    """An imported function may be the start function, and may suspend."""
    ask = host("h", "ask", "")(lambda call: call.ask("?") and ())
    store = Store()
    begun = begin_instantiation(
        store, Module.load(wat('(module (import "h" "ask" (func $f)) (start $f))')), imports(ask)
    )
    assert begun.start is not None
    assert isinstance(control.run(begun.start), Suspended)
    control.answer(begun.start, 1)
    assert control.run(begun.start) == Returned(())


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('(import "h" "missing" (func)) (func $f unreachable) (start $f)', UnlinkableError),
        ("(memory 2) (func $f unreachable) (start $f)", LimitError),
        ('(memory 1) (data (i32.const 65536) "x") (func $f unreachable) (start $f)', Trap),
        ("(table 1 funcref) (elem (i32.const 1) $f) (func $f) (start $f)", Trap),
    ],
)
def test_what_fails_before_the_start_function(text: str, error: type[Exception]) -> None:
    """Unlinkable, over a limit, a segment that doesn't fit: the start function hasn't run."""
    with pytest.raises(error) as caught:
        Guest(text, limits=Limits(memory=65536))
    if isinstance(caught.value, Trap):
        assert caught.value.code in (TrapCode.OUT_OF_BOUNDS_MEMORY, TrapCode.OUT_OF_BOUNDS_TABLE)


def test_table_init_with_expressions_while_running() -> None:
    """Behaviour 34: element segments of expressions (ref.func, ref.null, global.get) are copied in the midst of a
    suspended and resumed execution; the outer function goes on."""
    text = """
      (global $g (import "m" "g") funcref)
      (table $t (export "t") 6 funcref)
      (type $r (func (result i32)))
      (elem $e funcref (ref.func $one) (ref.null func) (ref.func $two) (global.get $g))
      (func $one (result i32) (i32.const 1))
      (func $two (result i32) (i32.const 2))
      (func (export "f") (param i32) (result i32) (local i32)
        (loop
          (table.init $t $e (i32.const 1) (i32.const 0) (i32.const 4))
          (local.set 1 (i32.add (local.get 1) (call_indirect (type $r) (i32.const 3))))
          (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (elem.drop $e)
        (i32.add (local.get 1) (call_indirect (type $r) (i32.const 1))))
      (func (export "g") (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 1)))"""
    giver = Guest('(global (export "g") funcref (ref.func $f)) (func $f)')
    for k in (1, 2, 1000):
        guest = Guest(text, {"m": {"g": giver.instance.exports["g"]}}, injector=Every(k))
        assert resume_all(guest.start("f", 3)) == Returned((7,))
        table = guest.instance.tables[0].elems
        assert table[0] is table[2] is table[5] is None
        assert table[1:5:2] == [guest.instance.funcs[0], guest.instance.funcs[1]]
        assert table[4] is giver.instance.funcs[0]
        with pytest.raises(Trap, match="out of bounds table access"):
            guest.call("g")


def test_instantiating_inside_a_host_function() -> None:
    """A host function may instantiate: the start function is a nested activation, with the outer one's interrupts."""
    made: list[Guest] = []

    @host("h", "make", "-> i32")
    def make(call: Call) -> Results:
        made.append(Guest(TEXT, imports(add)))
        return (made[-1].call("get"),)

    text = '(import "h" "make" (func $m (result i32))) (func (export "f") (result i32) (call $m))'
    outer = Guest(text, imports(make))
    assert outer.call("f") == 10
    ctx = outer.start("f")
    interrupt = Interrupt()

    def endless(call: Call) -> Results:
        interrupt.set()
        Guest("(func $f (loop (br 0))) (start $f)")
        raise AssertionError("it never ends")

    make.fn = endless
    outcome = control.run(ctx, interrupt)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, NestedSuspension)


def test_the_engines_injector_reaches_instantiation() -> None:
    """An engine-wide injector is asked at the start function's check points, too."""
    store = Store(Engine(EngineConfig(injector=At((1,)))))
    begun = begin_instantiation(store, Module.load(wat("(module (func $f) (start $f))")), {})
    assert begun.start is not None
    assert isinstance(control.run(begun.start), Suspended)
    assert control.run(begun.start) == Returned(())
