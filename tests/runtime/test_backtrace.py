"""Behaviour 79: where an execution stands, or an error has been: frames in true order, names and offsets."""

from __future__ import annotations

import pytest

from runtime import At, Failed, Suspended, TraceLine, TrapCode, Trapped, control, render, trace_of
from tests.support.guests import Guest
from tests.support.hosts import Call, Results, host, imports

#: Each instruction that can be in a backtrace is marked by a constant before it.
TEXT = """(module $outer
  (import "h" "work" (func $work (param i32 i64) (result i32)))
  (func $divide (param i32) (result i32) (i32.div_u (i32.const 0x11111) (local.get 0)))
  (func $spin (param i32) (loop (drop (i32.const 0x22222)) (br 0)))
  (func $middle (param i32) (result i32)
    (i32.add (i32.const 0x33333) (call $work (local.get 0) (i64.const -5))))
  (func (export "divide") (result i32) (call $divide (i32.const 0)))
  (func (export "spin") (call $spin (i32.const 7)))
  (func $top (export "work") (param i32) (result i32) (call $middle (i32.add (local.get 0) (i32.const 1)))))
"""


def at(guest: Guest, marker: int, opcode: bytes) -> int:
    """The offset of the first instruction with this opcode behind the constant `marker`."""
    data = guest.module.data
    coded = bytes([0x41, marker & 0x7F | 0x80, marker >> 7 & 0x7F | 0x80, marker >> 14])
    return data.index(opcode, data.index(coded) + len(coded))


def code_of(guest: Guest, index: int) -> range:
    """The bytes of a function's body."""
    code = next(c for c in guest.module.decls.codes if c.index == index)
    return range(code.start, code.end)


def guest(work: object = None, injector: At | None = None) -> Guest:
    code = host("h", "work", "i32 i64 -> i32")(work or (lambda call: (call.ask("?"),)))  # type: ignore[arg-type]
    return Guest(TEXT, imports(code), injector=injector)


def test_of_a_trap() -> None:
    """A trap carries its frames, innermost first, each with the function's name and the byte of its instruction."""
    g = guest()
    outcome = control.run(ctx := g.start("divide"))
    assert isinstance(outcome, Trapped)
    inner, outer = outcome.trap.backtrace
    assert inner == TraceLine("wasm", "outer", "divide", at(g, 0x11111, b"\x6e"))
    assert isinstance(outer, TraceLine)
    assert (outer.kind, outer.module, outer.name) == ("wasm", "outer", "func[4]")
    assert g.module.data[outer.offset or 0] == 0x10
    assert outer.offset in code_of(g, 4)
    assert outcome.trap.backtrace == ctx.trace


def test_of_a_suspension_in_a_loop() -> None:
    """Suspended at a loop's header, the innermost line is the loop, the next one the call; arguments are told."""
    g = guest(injector=At((3,)))
    ctx = g.start("spin")
    assert isinstance(control.run(ctx), Suspended)
    inner, outer = trace_of(ctx.frames)
    assert (inner.name, inner.kind, outer.name) == ("spin", "wasm", "func[5]")
    offset = inner.offset
    assert offset is not None
    assert g.module.data[offset] == 0x03
    assert at(g, 0x22222, b"\x1a") - offset < 10
    assert g.module.data[outer.offset or 0] == 0x10


def test_of_a_suspension_in_a_host_function() -> None:
    """Guest and host frames in true order, with the host function's arguments as Python has them."""
    g = guest()
    ctx = g.start("work", 41)
    assert isinstance(control.run(ctx), Suspended)
    work, middle, top = trace_of(ctx.frames)
    assert work == TraceLine("host", "h", "work", None, (42, -5))
    assert (middle.name, middle.offset) == ("middle", at(g, 0x33333, b"\x10"))
    assert (top.name, top.module) == ("top", "outer")
    text = render(trace_of(ctx.frames)).splitlines()
    assert text[0] == "    0 host  h.work(42, -5)"
    assert text[1].startswith("    1 wasm  outer.middle")
    assert text[1].endswith(f"at byte {middle.offset}")


def test_of_a_suspension_at_an_entry() -> None:
    """At a function's entry the offset is the byte before its first instruction."""
    g = guest(injector=At((2,)))
    ctx = g.start("work", 1)
    control.run(ctx)
    inner = trace_of(ctx.frames)[0]
    assert inner.name == "middle"
    assert inner.offset is not None
    assert inner.offset + 1 in code_of(g, 3)
    assert g.module.data[inner.offset + 1 : inner.offset + 2] == b"\x41"


@pytest.mark.parametrize("suspended", [False, True])
@pytest.mark.parametrize("scheduled", [False, True])
def test_of_an_error_through_guest_and_host(scheduled: bool, suspended: bool) -> None:
    """Behaviour 28: the backtrace of a callee's trap names guest and host frames in true order, whether the frames
    were on the stack or on the heap."""
    inner = Guest(TEXT.replace("$outer", "$inner"), imports(host("h", "work", "i32 i64 -> i32")(lambda call: (1,))))

    def work(call: Call) -> Results:
        return call.call(inner.raw("divide"), scheduled=scheduled)

    g = guest(work, At((3, 4, 5)) if suspended else None)
    ctx = g.start("work", 1)
    outcome = control.run(ctx)
    while isinstance(outcome, Suspended):
        outcome = control.run(ctx)
    assert isinstance(outcome, Trapped)
    assert outcome.trap.code is TrapCode.INTEGER_DIVIDE_BY_ZERO
    assert [(line.kind, line.module, line.name) for line in ctx.trace] == [
        ("wasm", "inner", "divide"), ("wasm", "inner", "func[4]"), ("host", "h", "work"),
        ("wasm", "outer", "middle"), ("wasm", "outer", "top"),
    ]  # fmt: skip
    assert ctx.trace[0].offset == at(inner, 0x11111, b"\x6e")
    assert ctx.trace[3].offset == at(g, 0x33333, b"\x10")
    assert outcome.trap.backtrace == ctx.trace


def test_of_a_host_functions_own_error() -> None:
    """What is no trap has its way out noted by the execution."""

    def work(call: Call) -> Results:
        raise KeyError("mine")

    ctx = (g := guest(work)).start("work", 1)
    assert isinstance(control.run(ctx), Failed)
    assert [(line.name, line.offset) for line in ctx.trace[:2]] == [("work", None), ("middle", at(g, 0x33333, b"\x10"))]


@pytest.mark.parametrize(
    ("body", "opcode"),
    [
        ("unreachable", b"\x00"),
        ("(drop (i32.load (i32.const -1)))", b"\x28"),
        ("(i64.store8 (i32.const -1) (i64.const 0))", b"\x3c"),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", b"\xa8"),
        ("(i32.const 0) (i32.const 9) (i32.const 70000) memory.fill", b"\xfc\x0b"),
        ("(call_indirect (i32.const 0))", b"\x11"),
        ("(return_call_indirect (i32.const 0))", b"\x13"),
        ("(if (i32.rem_s (i32.const 1) (i32.const 0)) (then))", b"\x6f"),
        ("(drop (i32.const 0)) (local.set 0 (i32.div_s (i32.const 1) (local.get 0)))", b"\x6d"),
    ],
)
def test_the_offset_is_that_of_the_instruction(body: str, opcode: bytes) -> None:
    """Whatever instruction traps, the backtrace points at its first byte."""
    g = Guest(f"""(memory 1) (table 1 funcref)
      (func (export "f") (local i32) (drop (i32.const 0x11111)) {body})""")
    outcome = control.run(g.start("f"))
    assert isinstance(outcome, Trapped)
    (line,) = outcome.trap.backtrace
    assert isinstance(line, TraceLine)
    assert line.offset == at(g, 0x11111, opcode)
    assert str(line) == f"wasm  func[0] at byte {line.offset}"
