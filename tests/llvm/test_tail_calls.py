"""Tail calls in machine code: constant stack, whoever is called; all else as in the interpreter."""

from __future__ import annotations

import random

import pytest

from runtime import Engine, EngineConfig, Every, Injector, Limits, Outcome, Returned, Trapped, control, lean
from runtime.llvm import backend
from runtime.llvm.abi import BlockLayout
from runtime.llvm.builder import PREAMBLE
from runtime.llvm.function import emit
from tests.support.guests import resume_all
from tests.support.hosts import Call, Results, host, imports
from tests.support.native import EAGER, Native, engine, native_only, needs_native, text

pytestmark = needs_native

#: A chain through functions of several signatures, directly, by a table, with more arguments than there are registers
#: and results that don't fit them either; `$spread` goes round a loop first, so that it is gone on with in its midst.
CHAIN = """(import "h" "last" (func $last (param i64 i64) (result i64 i64 f64 v128)))
    (type $b (func (param f32 v128 i64 i64) (result i64 i64 f64 v128)))
    (type $c (func (param i64 i64 i32 i32 i32 i32 i32 i32 i32 f64 f64 f64 f64 f64 f64 f64 f64 f64)
      (result i64 i64 f64 v128)))
    (type $other (func))
    (table 8 funcref) (elem (i32.const 1) $pair $spread $last $f)
    (global $n (mut i64) (i64.const 0))
    (func $f (export "f") (param i64 i64) (result i64 i64 f64 v128)
      (global.set $n (i64.add (global.get $n) (i64.const 1)))
      (if (i64.eqz (local.get 0)) (then (return_call $last (local.get 1) (global.get $n))))
      (return_call_indirect (type $b) (f32.const 1.5) (v128.const i64x2 7 9)
        (i64.sub (local.get 0) (i64.const 1)) (local.get 1) (i32.const 1)))
    (func $pair (type $b)
      (return_call_indirect (type $c) (local.get 2)
        (i64.add (local.get 3) (i64x2.extract_lane 1 (local.get 1))) (i32.const 1) (i32.const 2) (i32.const 3)
        (i32.const 4) (i32.const 5) (i32.const 6) (i32.trunc_f32_s (local.get 0))
        (f64.const 1) (f64.const 2) (f64.const 3) (f64.const 4) (f64.const 5) (f64.const 6) (f64.const 7) (f64.const 8)
        (f64.const 9) (i32.const 2)))
    (func $spread (type $c) (local $i i32)
      (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 3))))
      (return_call $f (local.get 0)
        (i64.add (local.get 1) (i64.trunc_f64_s (f64.add (local.get 17) (f64.convert_i32_s (local.get 8)))))))
    (func (export "plain") (param i64) (result i64)
      (local i64) (call $f (local.get 0) (i64.const 1)) drop (local.set 1 (i64.trunc_f64_s)) (i64.mul (i64.const 1000))
      (local.set 0) (i64.add (local.get 0)) (i64.add (local.get 1)))
    (func (export "fails") (param i32) (result i64 i64 f64 v128)
      (if (i32.eq (local.get 0) (i32.const 9)) (then (return_call $inner)))
      (return_call_indirect (type $b) (f32.const 0) (v128.const i64x2 0 0) (i64.const 0) (i64.const 0) (local.get 0)))
    (func $inner (result i64 i64 f64 v128) (drop (i32.div_s (i32.const 1) (i32.const 0))) (unreachable))
    (func (export "deeper") (param i32) (result i64 i64 f64 v128) (call 5 (local.get 0)))"""
FUNCTIONS = range(1, 8)


@host("h", "last", "i64 i64 -> i64 i64 f64 v128")
def last(call: Call) -> Results:
    call.check()
    return call.args[0], call.args[1], 2.5, bytes(range(16))


def interpreter(**config: Injector) -> Engine:
    return Engine(EngineConfig(tier="interpreter", **config))  # type: ignore[arg-type]  # an injector


def outcome(name: str, *args: int, using: Engine, limits: Limits | None = None) -> Outcome:
    return resume_all(Native(text(CHAIN), imports(last), using=using, limits=limits).func(name).start(*args))


@pytest.mark.parametrize("level", [0, 2])
def test_a_chain_takes_two_frames_however_long_it_is(level: int) -> None:
    """Functions of different signatures, called by name and by a table, that end in a host function."""
    for length in (0, 1, 50_000):
        ended = outcome("f", length, 5, using=engine(level=level), limits=Limits(frames=2))
        assert ended == Returned((5 + length * 19, length + 1, 2.5, bytes(range(16))))
    assert outcome("plain", 3, using=engine(level=level)) == outcome("plain", 3, using=interpreter())


def test_nothing_is_left_to_the_interpreter() -> None:
    """All of these functions are compiled, whole and from each of their check points."""
    module = text(CHAIN)
    parts = [PREAMBLE]
    for index in FUNCTIONS:
        parts.append(emit(BlockLayout(module), index).text)
        parts += [emit(BlockLayout(module), index, layout.pc).text for layout in module.body(index).layouts.values()]
    backend.verify("".join(parts))


@pytest.mark.parametrize("seed", range(6))
def test_interrupted_whoever_runs_what(seed: int) -> None:
    """1, 3: each function's tier is drawn, loops and frames change theirs, and every k-th check point suspends."""
    draw = random.Random(seed)
    native = [index for index in FUNCTIONS if seed == 0 or draw.random() < 0.6]
    policy = lean.evolve(EAGER, calls=draw.randint(1, 3), turns=draw.randint(1, 3), resumes=draw.randint(1, 2))
    using = engine(native_only(native), policy=policy, injector=Every(draw.randint(1, 5)))
    for name, args in (("f", (30, 4)), ("plain", (17,))):
        assert outcome(name, *args, using=using) == outcome(name, *args, using=interpreter())


@pytest.mark.parametrize("native", [None, [4], [6], [4, 5], [1, 6]], ids=str)
@pytest.mark.parametrize("code", [0, 1, 3, 4, 9, 100])
@pytest.mark.parametrize("name", ["fails", "deeper"])
def test_traps_and_their_backtraces(name: str, code: int, native: list[int] | None) -> None:
    """A frame that has been replaced is not in a backtrace; one that fails to be is."""
    found = []
    for using in (interpreter(), engine(None if native is None else native_only(native))):
        ended = outcome(name, code, using=using)
        if isinstance(ended, Trapped):
            found.append([ended.trap.message, *[str(line) for line in ended.trap.backtrace]])
        else:
            found.append([str(ended)])
    assert found[0] == found[1]


def test_a_tail_call_leaves_its_handlers() -> None:
    """What a tail call's callee throws isn't caught by the frame that it has replaced, but by the one below."""
    source = """(tag $e (param i32))
        (func $throws (param i32) (result i32) (throw $e (local.get 0)))
        (func $gone (param i32) (result i32)
          (block $h (result i32) (try_table (catch $e $h) (return_call $throws (local.get 0))) (i32.const 7)) drop
          (i32.const 8))
        (func (export "f") (param i32) (result i32)
          (block $h (result i32) (try_table (result i32) (catch $e $h) (call $gone (local.get 0)))
            drop (i32.const 9)))"""
    for only in (None, native_only([0, 2]), native_only([1]), native_only([1, 2])):
        assert Native(text(source), using=engine(only)).call("f", 41) == 41


def test_between_instances() -> None:
    """A chain that goes to and fro between two instances leaves the stack where it has to, and ends."""
    ping = Native(text("""(type $t (func (param i32) (result i32))) (table (export "t") 1 funcref)
        (func (export "ping") (param i32) (result i32)
          (if (i32.eqz (local.get 0)) (then (return (i32.const 42))))
          (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))"""))  # fmt: skip
    module = text("""(import "a" "ping" (func $ping (param i32) (result i32))) (import "a" "t" (table 1 funcref))
        (elem (i32.const 0) $pong)
        (func $pong (export "pong") (param i32) (result i32)
          (if (i32.eqz (local.get 0)) (then (return (i32.const 43))))
          (return_call $ping (i32.sub (local.get 0) (i32.const 1))))""")  # fmt: skip
    pong = Native(module, {"a": ping.instance.exports}, using=ping.store.engine)
    assert pong.call("pong", 3001) == 42
    assert ping.call("ping", 3001) == 43


def test_counted_in_no_frame_but_its_own() -> None:
    """The limit of cells holds for each frame of a chain by itself."""
    for cells in (16, 60):
        ended = control.run(
            Native(text(CHAIN), imports(last), limits=Limits(cells=cells)).func("f").start(20_000, 0)
        )  # fmt: skip
        assert isinstance(ended, Returned if cells == 60 else Trapped)
