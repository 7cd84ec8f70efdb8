"""Limits and traps: machine code keeps them where the interpreter does, and reports them alike."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from collections.abc import Callable

import pytest

from runtime import Engine, EngineConfig, Interrupt, Limits, Returned, Suspended, Trapped, control
from runtime.engine import interpreted
from runtime.llvm import area
from runtime.llvm.left import MAX_FRAMES, pack_left, unpack_left
from tests.support.guests import resume_all
from tests.support.hosts import Call, Results, host, imports
from tests.support.native import Native, engine, native_only, needs_native, text

pytestmark = needs_native

DEEP = """(func $f (export "f") (param i64) (result i64)
    (if (result i64) (i64.eqz (local.get 0)) (then (i64.const 0))
      (else (i64.add (i64.const 1) (call $f (i64.sub (local.get 0) (i64.const 1)))))))
    (func $leaf (export "leaf") (result i32) (i32.const 1))
    (func $g (export "g") (param i32) (result i32)
      (if (result i32) (local.get 0) (then (call $g (i32.sub (local.get 0) (i32.const 1)))) (else (call $leaf))))"""
TRAPS = """(memory 1) (table 3 funcref) (elem (i32.const 0) $ok $other) (type $t (func))
    (func $ok) (func $other (param i32)) (data $d "abc") (elem $e func $ok)
    (func $inner (param i32) (param f64)
      (if (i32.eq (local.get 0) (i32.const 0)) (then unreachable))
      (if (i32.eq (local.get 0) (i32.const 1)) (then (drop (i32.div_s (i32.const 1) (i32.const 0)))))
      (if (i32.eq (local.get 0) (i32.const 2))
        (then (drop (i32.div_s (i32.const 0x80000000) (i32.sub (i32.const 0) (i32.const 1))))))
      (if (i32.eq (local.get 0) (i32.const 3)) (then (drop (i32.trunc_f64_s (f64.const nan)))))
      (if (i32.eq (local.get 0) (i32.const 4)) (then (drop (i32.trunc_f64_u (local.get 1)))))
      (if (i32.eq (local.get 0) (i32.const 5)) (then (drop (i64.load offset=4 (i32.const 65525)))))
      (if (i32.eq (local.get 0) (i32.const 6)) (then (i32.store16 (i32.const -1) (i32.const 0))))
      (if (i32.eq (local.get 0) (i32.const 7)) (then (call_indirect (type $t) (i32.const 3))))
      (if (i32.eq (local.get 0) (i32.const 8)) (then (call_indirect (type $t) (i32.const 2))))
      (if (i32.eq (local.get 0) (i32.const 9)) (then (call_indirect (type $t) (i32.const 1))))
      (if (i32.eq (local.get 0) (i32.const 10)) (then (memory.fill (i32.const 65530) (i32.const 1) (i32.const 7))))
      (if (i32.eq (local.get 0) (i32.const 11)) (then (memory.copy (i32.const 0) (i32.const -4) (i32.const 5))))
      (if (i32.eq (local.get 0) (i32.const 12)) (then (memory.init $d (i32.const 0) (i32.const 2) (i32.const 2))))
      (if (i32.eq (local.get 0) (i32.const 13)) (then (drop (table.get (i32.const 3)))))
      (if (i32.eq (local.get 0) (i32.const 14)) (then (table.init $e (i32.const 0) (i32.const 1) (i32.const 1))))
      (if (i32.eq (local.get 0) (i32.const 15)) (then (drop (i64.rem_u (i64.const 1) (i64.const 0))))))
    (func $middle (param i32) (call $inner (local.get 0) (f64.const 1e300)))
    (func (export "f") (param i32) (loop (call $middle (local.get 0))))"""


def interpreter() -> Engine:
    return Engine(EngineConfig(tier="interpreter"))


@pytest.mark.parametrize("code", range(16))
def test_traps_and_their_backtraces(code: int) -> None:
    """A trap has the code, the message and the byte offsets of all frames that it has in the interpreter."""
    found = []
    for using in (interpreter(), engine(), engine(native_only([3])), engine(native_only([2, 4]))):
        outcome = control.run(Native(text(TRAPS), using=using).func("f").start(code))
        assert isinstance(outcome, Trapped)
        found.append((outcome.trap.code, outcome.trap.message, [str(line) for line in outcome.trap.backtrace]))
    assert len(found[0][2]) == 3
    assert found.count(found[0]) == len(found)


@pytest.mark.parametrize("frames", [1, 2, 3, 50, 10_000])
@pytest.mark.parametrize("export", ["f", "g"])
def test_recursion_goes_as_deep_as_in_the_interpreter(frames: int, export: str) -> None:
    """The limit of frames is exact, functions that call nobody included."""
    deepest = frames - 1 if export == "f" else frames - 2
    for using in (interpreter(), engine()):
        guest = Native(text(DEEP), using=using, limits=Limits(frames=frames))
        if deepest >= 0:
            assert isinstance(control.run(guest.func(export).start(deepest)), Returned)
        beyond = control.run(guest.func(export).start(deepest + 1))
        assert isinstance(beyond, Trapped)
        assert beyond.trap.message == "call stack exhausted"
        assert len(beyond.trap.backtrace) == frames


@pytest.mark.parametrize("cells", [20, 21, 22, 23, 24, 25, 26])
def test_the_limit_of_cells_is_exact(cells: int) -> None:
    """Operands and locals of all frames count as they do in the interpreter."""
    outcomes = []
    for using in (interpreter(), engine()):
        guest = Native(text(DEEP), using=using, limits=Limits(cells=cells))
        outcomes.append([type(control.run(guest.func("f").start(n))) for n in range(10)])
    assert outcomes[0] == outcomes[1]
    assert Trapped in outcomes[0]


def _on_small_stack(work: Callable[[], None], size: int) -> None:
    before = threading.stack_size(size)
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    try:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    if errors:
        raise errors[0]


@pytest.mark.parametrize("size", [128 << 10, 256 << 10, 1 << 20])
def test_a_small_stack_is_no_limit(size: int) -> None:
    """On a thread with little stack, deep recursion goes on from records, and endless recursion traps."""

    def work() -> None:
        guest = Native(text(DEEP))
        assert guest.call("f", 9_000) == 9_000
        outcome = control.run(guest.func("f").start(1 << 40))
        assert isinstance(outcome, Trapped)
        assert outcome.trap.message == "call stack exhausted"
        assert guest.call("f", 5) == 5

    _on_small_stack(work, size)


def test_frames_that_wait_count_after_a_suspension() -> None:
    """What was left of the limits before a suspension is left behind it, however often there is one."""
    from runtime import Every

    for every in (1, 3, 50):
        for frames, kind in ((60, Returned), (59, Trapped)):
            guest = Native(text(DEEP), limits=Limits(frames=frames), injector=Every(every))
            assert isinstance(resume_all(guest.func("f").start(59)), kind)


def test_records_of_a_deep_stack_are_kept_in_full() -> None:
    """More records than the spill area holds at once are all there, in order."""

    @host("h", "stop", "")
    def stop(call: Call) -> Results:
        assert call.ask("on?") == "yes"
        return ()

    guest = Native(text("""(import "h" "stop" (func $stop))
        (func $f (export "f") (param i64 i64 i64 i64 i64 i64) (result i64)
          (if (i64.eqz (local.get 0)) (then (call $stop)) (else
            (local.set 1 (call $f (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 1) (i64.const 1))
              (i64.mul (local.get 2) (i64.const 3)) (local.get 4) (local.get 5) (local.get 3)))))
          (i64.add (i64.mul (local.get 1) (i64.const 31)) (i64.xor (local.get 2)
            (i64.sub (local.get 3) (i64.add (local.get 4) (local.get 5))))))"""), imports(stop))  # fmt: skip
    ctx = guest.func("f").start(9_000, 1, 2, 3, 4, 5)
    assert isinstance(control.run(ctx), Suspended)
    assert len(ctx.frames) == 9_002
    plain = Native(guest.instance.module, imports(stop), using=interpreter())
    other = plain.func("f").start(9_000, 1, 2, 3, 4, 5)
    control.run(other)
    assert [f.slots() for f in ctx.frames[:-1]] == [f.slots() for f in other.frames[:-1]]  # type: ignore[union-attr]
    for each in (ctx, other):
        control.answer(each, "yes")
    assert control.run(ctx) == control.run(other)


def test_a_suspended_execution_takes_a_few_kilobytes() -> None:
    """DESIGN.md 7: at most 5 KB beyond its instance, in machine code, too: what frames leave the stack by is nobody's
    for longer than that takes."""

    @host("h", "stop", "")
    def stop(call: Call) -> Results:
        assert call.ask("on?") == "yes"
        return ()

    module = text("""(import "h" "stop" (func $stop)) (func (export "ready"))
        (func $f (export "f") (param i32)
          (if (local.get 0) (then (call $f (i32.sub (local.get 0) (i32.const 1)))) (else (call $stop))))""")
    using = engine()
    guests = [Native(module, imports(stop), using=using) for _ in range(200)]
    for guest in guests:
        guest.call("ready")
    gc.collect()
    tracemalloc.start(1)
    try:
        suspended = [guest.func("f").start(2) for guest in guests]
        assert all(isinstance(control.run(ctx), Suspended) for ctx in suspended)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 5 * 1024 * len(guests)
    finally:
        tracemalloc.stop()
    assert len(area.free) <= area.KEPT
    for ctx in suspended:
        control.answer(ctx, "yes")
        assert isinstance(control.run(ctx), Returned)


def test_what_is_left_is_one_number() -> None:
    """Frames and cells are packed without touching one another."""
    for frames in (0, 1, 10_000, MAX_FRAMES):
        for cells in (0, 5, 4_000_000):
            assert unpack_left(pack_left(frames, cells)) == (frames, cells)


def test_an_interrupt_set_before_stops_the_first_entry() -> None:
    """A request that stands before machine code is entered is seen at its first check point."""
    interrupt = Interrupt()
    interrupt.set()
    ctx = Native(text(DEEP)).func("f").start(3)
    assert isinstance(control.run(ctx, interrupt), Suspended)
    assert isinstance(control.run(ctx), Returned)


def test_a_body_that_would_be_too_much_code_stays_with_the_interpreter() -> None:
    """Check points in nested loops with a great many live locals take the square of the body's size: a small hostile
    body costs neither memory nor a compiler's time, and runs all the same."""
    count = 300
    add = "(local.set {0} (i32.add (local.get {0}) (local.get {1})))"
    loops = "".join([f"(loop $l{i} {add.format(i, i + 1)}" for i in range(count)])
    ends = "".join([f"(br_if $l{i} (i32.eq (local.get {i}) (i32.const 1))))" for i in reversed(range(count))])
    sums = "".join([add.format(0, i) for i in range(1, count)])
    head = f"(result i32) (local {'i32 ' * (count + 1)})"
    module = text(f"""(func (export "f") {head} {loops} {ends} {sums} (local.get 0))""")
    assert interpreted(module) == {0: "too much code for its size"}
    assert Native(module).call("f") == 0
