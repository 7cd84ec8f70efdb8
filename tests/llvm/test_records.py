"""Records that machine code has left: kept as they are, shared by suspensions, made frames when looked at."""

from __future__ import annotations

import ctypes
import os
import sys
from types import FrameType
from typing import Any

import pytest

from runtime import Engine, EngineConfig, Every, ExecContext, Interrupt, Returned, Store, Trapped, control, snapshot
from runtime.exec.frames import WasmFrame
from runtime.exec.state import Suspended
from runtime.llvm import driver
from runtime.llvm.area import give_area, take_area
from runtime.llvm.driver import Doors
from runtime.llvm.frames import Points
from runtime.llvm.records import Records
from tests.llvm.kernels import SOURCE
from tests.support.guests import modules_of, nothing, resume_all
from tests.support.hosts import Call, Results, host, imports
from tests.support.native import Native, c, needs_native, text

pytestmark = needs_native

#: Goes down, comes by a check point that may suspend, and comes back with values of several kinds; at depth 700 it
#: traps if it is told to.
DEEP = """(import "h" "poke" (func $poke))
    (func $f (export "f") (param $n i32) (param $trap i32) (result i64 v128 f32) (local $i i32)
      (if (i32.eqz (local.get $n))
        (then
          (call $poke)
          (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 9))))
          (return (i64.const 1) (v128.const i64x2 1 2) (f32.const 0.5))))
      (call $f (i32.sub (local.get $n) (i32.const 1)) (local.get $trap))
      (if (i32.and (local.get $trap) (i32.eq (local.get $n) (i32.const 700))) (then unreachable))
      (f32.add (f32.const 1)) (local.set $i (i32.reinterpret_f32)) (v128.const i64x2 3 5) i64x2.add
      (f32.reinterpret_i32 (local.get $i)))"""


def guest(stop: Interrupt, using: Engine | None = None) -> Native:
    @host("h", "poke", "")
    def poke(call: Call) -> Results:
        stop.set()
        return ()

    return Native(text(DEEP), imports(poke), using=using)


def suspended(stop: Interrupt, made: Native, depth: int, trap: int = 0) -> ExecContext:
    """A call at its innermost check point."""
    ctx = made.func("f").start(depth, trap)
    assert isinstance(control.run(ctx, stop), Suspended)
    stop.clear()
    return ctx


def expected(depth: int, trap: int = 0) -> object:
    stop = Interrupt()
    return resume_all(guest(stop, Engine(EngineConfig(tier="interpreter"))).func("f").start(depth, trap))


def test_a_further_suspension_keeps_what_lies_below() -> None:
    """DESIGN.md 7: it costs the new frames only; the others stay where they are, unread."""
    stop = Interrupt()
    made = guest(stop)
    for turn in range(4):
        ctx = suspended(stop, made, 900)
        below = ctx.frames.parts[0]
        assert isinstance(below, Records)
        for _ in range(3):
            stop.set()
            assert isinstance(control.run(ctx, stop), Suspended)
            stop.clear()
            assert turn < 2 or (len(ctx.frames.parts) == 2 and ctx.frames.parts[0] is below)
        assert control.run(ctx) == expected(900)
        assert (ctx.depth, ctx.cells, list(ctx.frames)) == (0, 0, [])


def test_the_books_agree_with_the_frames() -> None:
    """Frames and cells are counted without looking at a record, and are what the records say."""
    stop = Interrupt()
    made = guest(stop)
    for depth in (0, 1, 50, 50, 50):
        ctx = suspended(stop, made, depth)
        frames = list(ctx.frames)
        assert len(frames) == ctx.depth == depth + 1
        assert sum(f.cells for f in frames if isinstance(f, WasmFrame)) == ctx.cells
        control.drop(ctx)
        assert (ctx.depth, ctx.cells) == (0, 0)


@pytest.mark.parametrize("looked", [False, True])
def test_a_trap_on_the_way_back_has_the_backtrace_of_the_interpreter(looked: bool) -> None:
    """Also where the records had been turned into frames before."""
    wanted = expected(1000, 1)
    assert isinstance(wanted, Trapped)
    stop = Interrupt()
    made = guest(stop)
    for _ in range(4):
        ctx = suspended(stop, made, 1000, 1)
        if looked:
            assert repr(ctx.frames[0]).startswith("<WasmFrame f at byte")
        outcome = control.run(ctx)
        assert isinstance(outcome, Trapped)
        assert [str(line) for line in outcome.trap.backtrace] == [str(line) for line in wanted.trap.backtrace]
        assert (ctx.depth, ctx.cells) == (0, 0)


def test_thrown_into_and_saved() -> None:
    """What is thrown in leaves all of the frames; what is saved is gone on with by the interpreter."""
    stop = Interrupt()
    made = guest(stop)
    for _ in range(3):
        ctx = suspended(stop, made, 30)
        control.throw(ctx, ValueError("out"))
        assert "out" in repr(control.run(ctx))
        assert (ctx.depth, ctx.cells, ctx.frames.parts) == (0, 0, [])
    module = c(SOURCE)
    plain = Native(module).outcome("fib", 9)
    running = Native(module, injector=Every(40))
    ctx = running.func("fib").start(9)
    assert isinstance(control.run(ctx), Suspended)
    data = snapshot.save(ctx, running.instance)
    store = Store(Engine(EngineConfig(tier="interpreter")))
    assert control.run(snapshot.load(data, modules_of(running.instance), nothing, store).ctx) == plain


def test_the_table_of_check_points_grows() -> None:
    """Every entry is found by the way that machine code takes, before and after it has been replaced."""
    module = c(SOURCE)
    points = Points(module)
    doors = Doors()
    pcs = [layout.pc for code in module.decls.codes for layout in module.body(code.index).layouts.values()]
    for number, pc in enumerate(pcs):
        doors.add(pc, points.at(pc), number)
    assert len(pcs) > 32
    doors.replace(pcs[0], 12345)
    place, mask = doors.place
    table = (ctypes.c_uint64 * (4 * (mask + 1))).from_address(place)
    for number, pc in enumerate(pcs):
        at = pc * 0x9E37_79B9 & 0xFFFF_FFFF & mask
        while table[4 * at] & 0xFFFF_FFFF != pc:
            assert table[4 * at]
            at = at + 1 & mask
        assert table[4 * at + 1] == (number or 12345)
        assert table[4 * at] >> 32 == points.at(pc).size - 8


def test_a_table_that_grows_is_whole_whenever_somebody_looks() -> None:
    """Another thread goes on with its frames at any moment: it finds what was there before, in a table and a size that
    belong together."""
    module = c(SOURCE)
    points = Points(module)
    pcs = [pc for code in module.decls.codes for pc in module.body(code.index).by_pc]
    doors, looked = Doors(), 0

    def look(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal looked
        if frame.f_code.co_filename != driver.__file__:
            return None
        place, mask = doors.place
        table = (ctypes.c_uint64 * (4 * (mask + 1))).from_address(place)
        keys = {table[4 * at] & 0xFFFF_FFFF for at in range(mask + 1)}
        assert doors.points.keys() <= keys, "an entry that Python counts on is not there"
        looked += 1
        return look

    before = sys.gettrace()
    sys.settrace(look)
    try:
        for pc in pcs[:70]:
            doors.add(pc, points.at(pc), 1)
    finally:
        sys.settrace(before)
    assert doors.place[1] > 63
    assert looked > 500


#: `outer` has a record that fits into no room, `inner` a small one.
LARGE = f"""(import "h" "poke" (func $poke (param i32)))
    (func $inner (param i32) (result i64) (call $poke (local.get 0)) (i64.const 1))
    (func $outer (param i32) (result i64) {"(local i64)" * 2047}
      {"".join(f"(local.set {i} (i64.const {i}))" for i in range(1, 2048))}
      (call $inner (local.get 0))
      {"".join(f"(i64.add (local.get {i}))" for i in range(1, 2048))})
    (func (export "f") (param i32) (result i64) (i64.add (call $inner (local.get 0)) (call $outer (local.get 0))))"""


def test_a_record_that_is_too_large_stays_out_of_the_table() -> None:
    """What is gone on with in a row, behind a small record, is no larger than the room for it; and one large frame
    doesn't keep the others from being gone on with so."""
    stop = Interrupt()

    @host("h", "poke", "i32 ->")
    def poke(call: Call) -> Results:
        stop.set()
        call.check()
        return ()

    guest = Native(text(LARGE), imports(poke))
    wanted = 2 + sum(range(1, 2048))
    for _ in range(4):
        ctx = guest.func("f").start(0)
        outcome = control.run(ctx, stop)
        while isinstance(outcome, Suspended):
            outcome = control.run(ctx, stop)
        assert outcome == Returned((wanted,))
    image = guest.instance.native
    assert image is not None
    table = image.base.doors.points  # type: ignore[attr-defined]  # an image
    assert table, "small ones are there"
    assert all(point.size - 8 + point.awaited.size <= driver.ROOM_SIZE for point in table.values())


def test_results_go_from_one_record_to_the_next() -> None:
    """Values of all kinds, once all check points have code."""
    stop = Interrupt()
    made = guest(stop)
    wanted = expected(200)
    assert isinstance(wanted, Returned)
    for _ in range(4):
        assert control.run(suspended(stop, made, 200)) == wanted


def test_a_process_forked_off_has_areas_of_its_own() -> None:
    """BEHAVIOURS 75: what leaves the stack in one process is not written over by what does so in the other."""
    area = take_area()
    try:
        assert area.taken(area.address) == b""
        ctypes.memmove(area.address, b"ours", 4)
        pid = os.fork() if sys.version_info < (3, 12) else pytest.skip("Python warns of every fork beside threads")
        if pid == 0:
            ctypes.memmove(area.address, b"hers", 4)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
        assert area.taken(area.address + 4) == b"ours"
    finally:
        give_area(area)
