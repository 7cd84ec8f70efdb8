"""Exceptions in machine code: thrown, caught and handed on between it, the interpreter and host functions."""

from __future__ import annotations

import pytest

from runtime import Engine, EngineConfig, Every, Outcome
from runtime.llvm.abi import BlockLayout
from runtime.llvm.function import emit
from runtime.llvm.image import Image
from tests.runtime.test_exceptions import WORK
from tests.runtime.test_legacy_exceptions import GUESTS, HEAD
from tests.support.guests import resume_all
from tests.support.hosts import Call, Results, host, imports
from tests.support.native import EAGER, Native, code_of, engine, native_only, needs_native, text

pytestmark = needs_native

#: Through a host function and back, with values of every kind, and a handler in each frame on the way.
THROUGH = """(import "h" "through" (func $through (param i32) (result i32)))
    (tag $e (param i32 v128 f64 externref)) (tag $other) (global $n (mut i32) (i32.const 0))
    (func $spin (loop $l (br_if $l (i32.lt_s (i32.const 5) (i32.const 3)))))
    (func $throws (export "back") (param i32) (result i32)
      (call $spin)
      (if (i32.and (local.get 0) (i32.const 1))
        (then (throw $e (local.get 0) (i32x4.splat (local.get 0)) (f64.const 0.25) (ref.null extern))))
      (if (i32.and (local.get 0) (i32.const 2)) (then (throw $other)))
      (local.get 0))
    (func $between (param i32) (result i32) (local $e exnref)
      (block $h (result exnref)
        (try_table (catch_all_ref $h) (return (call $through (local.get 0))))
        unreachable)
      (local.set $e)
      (global.set $n (i32.add (global.get $n) (i32.const 1)))
      (call $spin)
      (throw_ref (local.get $e)))
    (func (export "f") (result i32) (local $i i32) (local $sum i32)
      (loop $again
        (block $on
          (block $other
            (block $e (result i32 v128 f64 externref)
              (try_table (catch $e $e) (catch $other $other)
                (local.set $sum (i32.add (local.get $sum) (call $between (local.get $i)))))
              (br $on))
            ref.is_null (i32.add (local.get $sum)) (local.set $sum)
            (f64.mul (f64.const 400)) i32.trunc_f64_s (i32.add (local.get $sum)) (local.set $sum)
            i32x4.extract_lane 3 (i32.add (local.get $sum)) (local.set $sum)
            (i32.add (local.get $sum)) (local.set $sum)
            (br $on))
          (local.set $sum (i32.add (local.get $sum) (i32.const 10000))))
        (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 8))))
      (i32.add (local.get $sum) (i32.mul (global.get $n) (i32.const 1000000))))"""


@host("h", "through", "i32 -> i32")
def through(call: Call) -> Results:
    assert call.caller is not None
    func = call.caller.exports["back"]
    return call.call(func, call.args[0])  # type: ignore[arg-type]  # it is a function


def _outcome(using: Engine) -> Outcome:
    return resume_all(Native(text(THROUGH), imports(through), using=using).func("f").start())


@pytest.mark.parametrize("only", [None, (1, 2), (3,), (4,), (3, 4)], ids=str)
@pytest.mark.parametrize("every", [None, 1, 2, 3])
def test_an_exception_goes_through_code_of_any_kind(only: tuple[int, ...] | None, every: int | None) -> None:
    """BEHAVIOURS 29: whichever functions are machine code, and wherever the execution is interrupted, the same handlers
    take the same values."""
    expected = _outcome(Engine(EngineConfig(tier="interpreter")))
    assert "values=(" in repr(expected)
    injector = None if every is None else Every(every)
    assert _outcome(engine(None if only is None else native_only(only), injector=injector)) == expected


@pytest.mark.parametrize("source", [WORK, THROUGH], ids=["work", "through"])
def test_every_function_with_exceptions_is_compiled(source: str) -> None:
    """None stays with the interpreter for what it throws or catches."""
    module = text(source)
    for code in module.decls.codes:
        assert emit(BlockLayout(module), code.index).text


@pytest.mark.parametrize("every", [1, 2, 3, 5])
@pytest.mark.parametrize(
    ("source", "name", "args"),
    [(WORK, "f", (11,)), *[(HEAD + legacy, "f", (k,)) for legacy, _ in GUESTS.values() for k in (1, 2)]],
    ids=["work", *[f"{name} {k}" for name in GUESTS for k in (1, 2)]],
)
def test_machine_code_goes_on_inside_of_a_try(source: str, name: str, args: tuple[int, ...], every: int) -> None:
    """BEHAVIOURS 16: a record of a frame that stands in a `try_table`, in a loop there or in a call, is gone on with in
    machine code, which catches what is thrown from then on."""
    expected = Native(text(source), using=Engine(EngineConfig(tier="interpreter"))).outcome(name, *args)
    guest = Native(text(source), using=engine(policy=EAGER), injector=Every(every))
    assert guest.outcome(name, *args) == expected
    assert None not in code_of(guest).points.values()


#: Catches `n` exceptions one after the other, keeping one in a local and one in a frame beneath, and has `look` called.
MANY = """(import "h" "look" (func $look)) (tag $e (param i64))
    (func $all (param $n i64) (result i64) (local $sum i64) (local $last exnref)
      (loop $l
        (block $h (result i64 exnref) (try_table (catch_ref $e $h) (throw $e (local.get $n))) unreachable)
        (local.set $last)
        (local.set $sum (i64.add (local.get $sum)))
        (br_if $l (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))
      (call $look)
      (block $h (result i64) (try_table (catch $e $h) (throw_ref (local.get $last))) unreachable)
      (i64.mul (i64.const 1000))
      (i64.add (local.get $sum)))
    (func (export "f") (param $n i64) (result i64) (local $kept exnref)
      (block $h (result i64 exnref) (try_table (catch_ref $e $h) (throw $e (i64.const 7))) unreachable)
      (local.set $kept) drop
      (call $all (local.get $n))
      (block $h (result i64) (try_table (catch $e $h) (throw_ref (local.get $kept))) unreachable)
      (i64.add))"""


def test_exceptions_that_nobody_has_are_let_go() -> None:
    """What a guest throws and catches for as long as it runs takes no more and more memory; what it keeps, in whichever
    frame, is the same afterwards."""
    counts: list[int] = []

    @host("h", "look", "->")
    def look(call: Call) -> Results:
        image = guest.instance.native
        assert isinstance(image, Image)
        counts.append(len(image.refs))
        return ()

    guest = Native(text(MANY), imports(look))
    n = 60_000
    assert guest.call("f", n) == n * (n + 1) // 2 + 1000 + 7
    assert len(counts) == 1
    assert 0 < counts[0] < 20_000
