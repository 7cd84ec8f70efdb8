"""Vectors in machine code: in locals and operands over check points, as arguments and results, in globals."""

from __future__ import annotations

import pytest

from runtime import V128, Engine, EngineConfig, Every, ExecContext, Returned
from runtime.llvm import cpu
from runtime.llvm.abi import BlockLayout
from runtime.llvm.function import emit
from tests.support.guests import reload, resume_all
from tests.support.hosts import Call, Results, host, imports
from tests.support.native import Native, engine, native_only, needs_native, text

pytestmark = needs_native

#: Odd places for vectors among values of eight bytes, with check points where they are operands, locals and arguments.
WORK = """(import "h" "swap" (func $swap (param i32 v128 f32 v128) (result v128 i64 v128)))
    (memory 1) (global $g (mut v128) (v128.const i32x4 1 2 3 4)) (global $c v128 (v128.const f64x2 0.5 -0))
    (table funcref (elem $mix))
    (type $t (func (param i32 v128 i64 v128) (result i64 v128)))
    (func $mix (type $t)
      (loop $l (br_if $l (i32.lt_s (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 2))))
      (global.set $g (i32x4.add (global.get $g) (local.get 1)))
      (i64.add (local.get 2) (i64x2.extract_lane 1 (local.get 3)))
      (v128.xor (local.get 1) (v128.or (local.get 3) (global.get $c))))
    (func (export "f") (param $n i32) (result i64 v128 v128) (local $v v128) (local $i i32)
      (local $sum i64) (local $w v128)
      (local.set $v (v128.const i16x8 1 2 3 4 5 6 7 -1))
      (loop $l
        (v128.store offset=3 (i32.mul (local.get $i) (i32.const 16)) (local.get $v))
        (i32x4.splat (local.get $i))
        (call_indirect (type $t) (i32.const 0) (local.get $v) (i64.const 5)
          (v128.load (i32.mul (local.get $i) (i32.const 15))) (i32.const 0))
        (local.set $w) (i64.add (local.get $sum)) (local.set $sum)
        (i8x16.add (local.get $w)) (local.set $w)
        (call $swap (local.get $i) (local.get $v) (f32.const 1.5) (local.get $w))
        (local.set $v) (i64.add (local.get $sum)) (local.set $sum) (local.set $w)
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
      (local.get $sum) (local.get $v) (v128.xor (local.get $w) (global.get $g)))"""


@host("h", "swap", "i32 v128 f32 v128 -> v128 i64 v128")
def swap(call: Call) -> Results:
    n, a, x, b = call.args
    return b[1:] + b[:1], int(n * x), a[3:] + a[:3]


def _outcome(using: Engine) -> object:
    return resume_all(Native(text(WORK), imports(swap), using=using).func("f").start(6))


@pytest.mark.parametrize("only", [None, (1,), (2,)], ids=str)
@pytest.mark.parametrize("every", [None, 1, 2, 3])
def test_vectors_are_where_the_interpreter_has_them(only: tuple[int, ...] | None, every: int | None) -> None:
    """BEHAVIOURS 16: results are those of the interpreter, whichever of the functions are machine code and wherever the
    execution is interrupted."""
    injector = None if every is None else Every(every)
    expected = _outcome(Engine(EngineConfig(tier="interpreter")))
    assert isinstance(expected, Returned)
    using = engine(None if only is None else native_only(only), injector=injector)
    assert _outcome(using) == expected


def test_vectors_are_saved() -> None:
    """BEHAVIOURS 75: records with vectors that machine code left are loaded and gone on with."""
    made = Native(text(WORK), imports(swap), using=engine(injector=Every(1)))
    hosts = {("h", "swap"): imports(swap)["h"]["swap"]}

    def move(ctx: ExecContext) -> ExecContext:
        return reload(
            ctx, made.instance, lambda module, name, type_: hosts[module, name], engine=engine(), injector=Every(1)
        )[0]

    outcome = resume_all(made.func("f").start(4), move)
    plain = Native(text(WORK), imports(swap), using=Engine(EngineConfig(tier="interpreter")))
    assert outcome == resume_all(plain.func("f").start(4))


SWIZZLE = """(func (export "f") (param v128 v128) (result v128 v128)
  (i8x16.swizzle (local.get 0) (local.get 1)) (i8x16.relaxed_swizzle (local.get 1) (local.get 0)))"""


@pytest.mark.parametrize("features", [frozenset(), frozenset({"ssse3"})], ids=["any", "ssse3"])
def test_a_processor_without_shuffles(features: frozenset[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Spec 4.3.6 (swizzle): machine code for a processor that has no such instruction does the same."""
    if not features <= cpu.features():
        pytest.skip("this processor hasn't got it")
    monkeypatch.setattr(cpu, "features", lambda: features)
    source = text(SWIZZLE)
    assert ("ssse3" in emit(BlockLayout(source), 0).text) == bool(features)
    a, b = bytes(range(240, 256)), bytes([0, 1, 15, 16, 17, 127, 128, 255, 3, 3, 2, 200, 14, 8, 9, 31])
    plain = Native(source, {}, using=Engine(EngineConfig(tier="interpreter"))).func("f")
    assert Native(source, {}, using=engine()).func("f").call(V128(a), V128(b)) == plain.call(V128(a), V128(b))


def test_every_function_with_vectors_is_compiled() -> None:
    """None stays with the interpreter for its vectors."""
    module = text(WORK)
    for code in module.decls.codes:
        assert emit(BlockLayout(module), code.index).text
