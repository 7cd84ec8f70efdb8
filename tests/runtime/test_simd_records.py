"""Vectors in what is kept of a suspended execution: records, snapshots, host calls."""

from __future__ import annotations

import pytest

from runtime import V128, V128_TYPE, Every, ExecContext, HostFrame, Returned, Suspended, WasmFrame, control
from runtime.exec.frames import pack, unpack
from runtime.types import EXTERNREF, F32, F64, I32, I64
from runtime.types import V128 as VECTOR
from runtime.validate.layout import Layout
from runtime.values import f32_from_bits
from tests.support.guests import Guest, reload, resume_all
from tests.support.hosts import Call, Results, host, imports, lookup

ONE = V128.from_lanes("u32x4", [0x7F80_0001, 0xFFC0_0001, 0x8000_0000, 1])
#: Vectors live across a loop, across calls, on the operand stack, in a global and in results.
GUEST = """
    (global $g (export "g") (mut v128) (v128.const i64x2 0 0))
    (func $step (param v128 i32) (result v128 v128)
      (global.set $g (i32x4.add (global.get $g) (i32x4.splat (local.get 1))))
      (i32x4.add (local.get 0) (i32x4.splat (local.get 1)))
      (v128.xor (local.get 0) (global.get $g)))
    (func (export "f") (param v128 i32) (result v128 f32 v128)
      (local $n i32) (local $mask v128) (local $x f32)
      (v128.not (local.get 0))
      (loop $again (param v128) (result v128)
        (local.set $x (f32.add (local.get $x) (f32.const 0.5)))
        (call $step (local.get 0) (local.get $n))
        (local.set $mask)
        (local.set 0)
        (v128.xor (local.get $mask))
        (local.tee $n (i32.add (local.get $n) (i32.const 1)))
        (br_if $again (i32.lt_u (local.get 1))))
      (local.get $x)
      (local.get 0))
"""


def test_slots_of_vectors() -> None:
    """DESIGN 4: a vector takes 16 bytes of a record, beside any other slots, every bit as it was."""
    vector = ONE.raw
    for types, values in (
        ((VECTOR, I32, VECTOR), [vector, 7, bytes(16)]),
        ((I64, F64, VECTOR), [1 << 63, 2.5, vector]),
        ((F32, VECTOR, EXTERNREF, VECTOR), [f32_from_bits(0x7F80_0001), vector, "host", vector]),
    ):
        layout = Layout("loop", 5, 1, tuple(range(len(types))), types)
        raw, handles = pack(layout, values)
        assert len(raw) == 8 + sum(16 if t is VECTOR else 8 for t in types)
        assert vector in raw
        assert list(map(repr, unpack(raw, types, handles))) == list(map(repr, values))


@pytest.mark.parametrize("every", [1, 2, 3, 7])
def test_suspended_is_as_good_as_not(every: int) -> None:
    """Resumed at every k-th check point, also from a snapshot each time, the results are the same."""
    want = Guest(GUEST).call("f", ONE, 9)
    guest = Guest(GUEST, injector=Every(every))
    ctx = guest.start("f", ONE, 9)
    outcome = resume_all(ctx)
    assert isinstance(outcome, Returned)
    assert outcome.values == tuple(v.raw if isinstance(v, V128) else v for v in want)

    guest = Guest(GUEST, injector=Every(every))
    last = [guest.instance]

    def saved(ctx: ExecContext) -> ExecContext:
        ctx, last[0] = reload(ctx, last[0], injector=Every(every))
        return ctx

    assert resume_all(saved(guest.start("f", ONE, 9)), saved) == outcome
    reference = Guest(GUEST)
    reference.call("f", ONE, 9)
    assert last[0].globals[0].value == reference.instance.globals[0].value


ASKING = """
    (import "h" "ask" (func $ask (param v128 i32) (result v128)))
    (func (export "f") (param v128) (result v128)
      (i8x16.add (local.get 0) (call $ask (local.get 0) (i32.const 5))))
"""


def test_vectors_in_a_host_call_that_is_saved() -> None:
    """Arguments of a waiting host function, and values put in place of its results, are kept bit by bit."""
    code = host("h", "ask", "v128 i32 -> v128")(lambda call: (call.ask("?"),))
    guest = Guest(ASKING, imports(code))
    ctx = guest.start("f", ONE)
    assert isinstance(control.run(ctx), Suspended)
    ctx, root = reload(ctx, guest.instance, lookup(code))
    frame = ctx.frames[-1]
    assert isinstance(frame, HostFrame)
    assert frame.args == (ONE.raw, 5)
    assert isinstance(ctx.frames[0], WasmFrame)
    with pytest.raises(TypeError, match="v128"):
        control.resume_with(ctx, (5,))
    control.resume_with(ctx, (V128.from_lanes("i8x16", [1] * 16),))
    ctx, _ = reload(ctx, root, lookup(code))
    assert control.run(ctx) == Returned((bytes(b + 1 & 0xFF for b in ONE.raw),))


def test_host_functions_take_and_give_vectors() -> None:
    """BEHAVIOURS 25: a canonical vector is 16 bytes, both ways."""
    seen: list[object] = []

    def reverse(call: Call) -> Results:
        seen.append(call.args)
        return (call.args[0][::-1],)

    code = host("h", "ask", "v128 i32 -> v128")(reverse)
    assert code.func.type.params[0] is V128_TYPE
    guest = Guest(ASKING, imports(code))
    assert guest.call("f", V128(bytes(range(16)))).u8x16 == (15,) * 16
    assert seen == [(bytes(range(16)), 5)]
