"""Vectors in the SDK: parameters and results of host functions, callbacks, pointers, the journal, the command."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from hostsdk import (
    V128,
    BlockingContext,
    Context,
    Execution,
    FuncRef,
    HostModule,
    Instance,
    Module,
    Ptr,
    Question,
    ResultError,
    SignatureError,
    Steps,
    Suspended,
    ask,
    call,
    i32,
)
from hostsdk.cli.main import main
from tests.support.build import wat

ONE = V128.from_lanes("u32x4", [0x7F80_0001, 0xFFC0_0001, 0x8000_0000, 1])
TWO = V128.from_lanes("i64x2", [-1, 5])
h = HostModule("h")


@attrs.frozen
class GoOn(Question[i32]):
    """Something to wait for."""


@attrs.frozen
class Which(Question[V128]):
    """A question whose answer no one can give."""


@h.function
def swap(ctx: Context, a: V128, b: V128) -> tuple[V128, i32, V128]:
    return b, 7, a


@h.function
def at(ctx: Context, place: Ptr[V128]) -> V128:
    old = place.load()
    place.store(TWO)
    return old


@h.restartable
def twice(ctx: BlockingContext, step: FuncRef[[V128], V128], v: V128) -> V128:
    kept = ctx.once(lambda: v)
    return ctx.call(step, ctx.call(step, kept))


@h.restartable
def asking(ctx: Context, step: FuncRef[[V128], V128], v: V128) -> Steps[V128]:
    yield from ask(GoOn())
    return (yield from call(step, v))


@h.function
def wrong(ctx: Context) -> V128:
    return 5  # type: ignore[return-value]  # on purpose


GUEST = """(module
    (import "h" "swap" (func $swap (param v128 v128) (result v128 i32 v128)))
    (import "h" "at" (func $at (param i32) (result v128)))
    (import "h" "twice" (func $twice (param i32 v128) (result v128)))
    (import "h" "asking" (func $asking (param i32 v128) (result v128)))
    (import "h" "wrong" (func $wrong (result v128)))
    (memory (export "memory") 1) (table (export "__indirect_function_table") funcref (elem $step))
    (data (i32.const 32) "0123456789abcdef")
    (func $step (param v128) (result v128) (i8x16.add (local.get 0) (i8x16.splat (i32.const 1))))
    (func (export "swap") (param v128 v128) (result v128 i32 v128) (call $swap (local.get 0) (local.get 1)))
    (func (export "at") (param i32) (result v128 v128)
      (call $at (local.get 0)) (v128.load (local.get 0)))
    (func (export "twice") (param v128) (result v128) (call $twice (i32.const 0) (local.get 0)))
    (func (export "asking") (param v128) (result v128) (call $asking (i32.const 0) (local.get 0)))
    (func (export "wrong") (result v128) (call $wrong)))"""


@pytest.fixture
def guest() -> Instance:
    return Instance(Module.from_bytes(wat(GUEST)), [h])


def _plus(vector: V128, n: int) -> V128:
    return V128(bytes(b + n & 0xFF for b in vector.raw))


def test_vectors_across_the_border(guest: Instance) -> None:
    """BEHAVIOURS 25: a V128 is what a host function sees, gives and what an embedder passes; every bit arrives."""
    assert guest.call("swap", ONE, TWO) == (TWO, 7, ONE)
    assert guest.exports.swap(TWO, ONE) == (ONE, 7, TWO)
    with pytest.raises(TypeError, match="v128 takes a V128"):
        guest.call("swap", ONE, 5)


def test_vectors_in_guest_memory(guest: Instance) -> None:
    """A pointer to a vector reads and writes 16 bytes, at a multiple of 16."""
    assert guest.call("at", 32) == (V128(b"0123456789abcdef"), TWO)
    with pytest.raises(Exception, match="align"):
        guest.call("at", 40)


def test_vectors_in_callbacks_and_the_journal(guest: Instance) -> None:
    """Arguments and results of callbacks, and what `once` keeps, may be vectors."""
    assert guest.call("twice", ONE) == _plus(ONE, 2)


def test_vectors_in_a_saved_execution(guest: Instance) -> None:
    """A waiting call with vectors among its arguments and in its caller's frame is saved and goes on elsewhere."""
    for saved in (False, True):
        execution = guest.start("asking", ONE)
        assert isinstance(execution.run(), Suspended)
        if saved:
            execution = Execution.load(execution.save(), [guest.module], [h], trusted=True)
            assert execution.args == (ONE,)
        execution.answer(1)
        outcome = execution.run()
        assert getattr(outcome, "values", outcome) == (_plus(ONE, 1),)


def test_a_result_that_is_no_vector(guest: Instance) -> None:
    """The error names the function and what was wanted."""
    with pytest.raises(ResultError, match="a V128"):
        guest.call("wrong")


def test_questions_are_answered_by_numbers() -> None:
    """An answer is a number: a vector is refused where the question is asked."""
    with pytest.raises(SignatureError):
        Which.answer_type()


def test_vectors_of_the_command(tmp_path: Path) -> None:
    """`--invoke` takes a vector as one number and shows it as one."""
    path = tmp_path / "v.wasm"
    path.write_bytes(wat('(module (func (export "f") (param v128) (result v128) (v128.not (local.get 0))))'))
    done = CliRunner().invoke(main, ["run", "--invoke", "f", str(path), "0xff"])
    assert done.output == "0xffffffffffffffffffffffffffffff00\n"
