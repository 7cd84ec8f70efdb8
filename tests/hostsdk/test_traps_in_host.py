"""Traps and host functions: those of function references, a callee's, and what a backtrace tells of them."""

from __future__ import annotations

import pytest

from hostsdk import (
    Context,
    Failed,
    FuncRef,
    HostModule,
    Returned,
    Steps,
    Str,
    Suspended,
    TraceLine,
    Trap,
    TrapCode,
    Trapped,
    call,
    f64,
    i32,
    sleep,
)
from hostsdk.testing import explore
from tests.support.inject import MEMORY, STYLES, everywhere, finish, guest, reload, restartable, run_to, scene, table

# Function references


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    ("setup", "index", "code"),
    [
        ("", 0, TrapCode.NO_TABLE),
        (table("$ok"), 99, TrapCode.UNDEFINED_ELEMENT),
        (table("$ok"), -1, TrapCode.UNDEFINED_ELEMENT),
        (table("$ok"), 1, TrapCode.UNINITIALIZED_ELEMENT),
        (table("$other"), 0, TrapCode.INDIRECT_CALL_TYPE),
    ],
)
def test_four_traps_for_function_references(style: str, setup: str, index: int, code: TrapCode) -> None:
    """24: no table, out of range, null, another type: four traps, before the call."""
    host = HostModule("h", state=list[str])

    @restartable(host, style)
    def f(ctx: Context[list[str]], f: FuncRef[[i32], i32]) -> Steps[i32]:
        try:
            return (yield from call(f, 1))
        finally:
            ctx.once(lambda: ctx.state.append("left"))

    text = f"""(import "h" "f" (func $f (param i32) (result i32))) {setup}
      (global $called (mut i32) (i32.const 0))
      (func $ok (param i32) (result i32) (global.set $called (i32.const 1)) (i32.const 0))
      (func $other (param f64) (result i32) (global.set $called (i32.const 1)) (i32.const 0))
      (func (export "run") (param i32) (result i32) (call $f (local.get 0)))"""
    inst = guest(text, host)
    with pytest.raises(Trap) as caught:
        inst.exports.run(index)
    assert caught.value.code is code
    assert inst._raw.globals[-1].value == 0
    assert inst.state(host) == ["left"]


# A callee's trap


TRAPPING = f"""
  (import "h" "f" (func $f (param i32) (result i32))) {MEMORY} {table("$bad")}
  (func $bad (param i32) (result i32) (i32.store (i32.const 0) (i32.const 1)) (unreachable))
  (func $run (export "run") (result i32) (call $f (i32.const 0)))
"""


def _catching(style: str, *, declared: bool, waits: bool) -> HostModule[list[str]]:
    host = HostModule("h", state=list[str])
    host.save(list)
    host.load(list)

    @restartable(host, style, catch_traps=declared)
    def f(ctx: Context[list[str]], f: FuncRef[[i32], i32]) -> Steps[i32]:
        try:
            yield from call(f, 1)
        except Trap:
            if waits:
                yield from sleep(1)
            ctx.once(lambda: ctx.state.append("caught"))
        finally:
            if waits:
                yield from sleep(1)
            ctx.memory.write(8, b"done")
            ctx.once(lambda: ctx.state.append("cleaned"))
        return -1

    return host


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("style", STYLES)
def test_a_trap_is_converted_only_if_declared(style: str, declared: bool, waits: bool) -> None:
    """28: a callee's trap is raised at the call, and `finally` runs. Only a function registered with
    `catch_traps=True` may turn it into something else, also if it waits meanwhile, is suspended, saved and loaded."""
    host = _catching(style, declared=declared, waits=waits)
    inst = guest(TRAPPING, host)
    outcome = inst.start("run").run()
    if declared:
        assert outcome == Returned((-1,))
    else:
        assert isinstance(outcome, Trapped)
        assert outcome.trap.code is TrapCode.UNREACHABLE
    assert inst.state(host) == ["caught", "cleaned"]
    assert inst._raw.memories[0].data[8:12] == b"done"
    found = explore(scene(TRAPPING, host, observe=lambda inst: list(inst.state(host)), catches=True))
    found.exhaustive()
    found.pairs(most=40)


@pytest.mark.parametrize("style", STYLES)
def test_a_bad_reference_that_is_caught_is_in_the_journal(style: str) -> None:
    """24, 28: a function that catches the trap of a bad reference and waits finds the same trap when it is replayed,
    whatever the table holds by then."""
    host = HostModule("h")

    @restartable(host, style, catch_traps=True)
    def f(ctx: Context, f: FuncRef[[i32], i32]) -> Steps[i32]:
        try:
            return (yield from call(f, 1))
        except Trap as trap:
            yield from sleep(1)
            return len(trap.message)

    text = f"""(import "h" "f" (func $f (param i32) (result i32))) {table("$ok")}
      (func $ok (param i32) (result i32) (i32.const 0))
      (func (export "run") (result i32) (call $f (i32.const 1)))"""
    inst = everywhere(text, host)
    want = guest(text, host).exports.run()
    execution = inst.start("run")
    run_to(execution, "in wait")
    inst._raw.tables[0].set(1, inst._raw.funcs[1])
    assert finish(reload(execution, [host], text)) == Returned((want,))
    assert finish(execution) == Returned((want,))


@pytest.mark.parametrize("style", STYLES)
def test_a_trap_in_place_of_another_error(style: str) -> None:
    """28: a callee's trap that a function answers with an exception of its own still reaches the embedder as the
    trap, with that exception behind it."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context, f: FuncRef[[i32], i32]) -> Steps[i32]:
        try:
            yield from call(f, 1)
        except Trap:
            raise ValueError("mine") from None
        return 0

    with pytest.raises(Trap) as caught:
        guest(TRAPPING, host).exports.run()
    assert isinstance(caught.value.__cause__, ValueError)


# Backtraces


NAMED = f"""
  (import "h" "outer" (func $outer (param i32 i32) (result i32)))
  (import "h" "inner" (func $inner (param i32 f64) (result i32))) {MEMORY} {table("$callback")}
  (func $callback (param $x i32) (result i32)
    (i32.add (call $inner (i32.const -3) (f64.const 2.5)) (local.get $x)))
  (func $middle (param $used i32) (param $unused i32) (result i32)
    (i32.sub (call $outer (i32.const 0) (local.get $unused)) (local.get $used)))
  (func $run (export "run") (param i32) (result i32) (call $middle (local.get 0) (i32.const 5)))
"""


def _named(style: str, ends: bool = False) -> HostModule[None]:
    host = HostModule("h")

    @restartable(host, style)
    def outer(ctx: Context, f: FuncRef[[i32], i32], n: i32) -> Steps[i32]:
        return (yield from call(f, n + 1))

    @restartable(host, style)
    def inner(ctx: Context, a: i32, b: f64) -> Steps[i32]:
        yield from sleep(1)
        if ends:
            raise LookupError("no luck")
        return a

    return host


@pytest.mark.parametrize("callbacks", ["nested", "scheduled"])
@pytest.mark.parametrize("style", STYLES)
def test_a_backtrace_while_suspended(style: str, callbacks: str) -> None:
    """79: the frames of guest and host in their true order, innermost first, each with its arguments; one that
    nothing reads any more stands as "…"."""
    execution = everywhere(NAMED, _named(style), callbacks=callbacks).start("run", 40)
    run_to(execution, "h.inner, in wait")
    shown = [(line.kind, line.name, str(line.args)) for line in execution.backtrace]
    assert shown == [
        ("host", "inner", "(-3, 2.5)"),
        ("wasm", "callback", "(6,)"),
        ("host", "outer", "(0, 5)"),
        ("wasm", "middle", "(40, …)"),
        ("wasm", "run", "(…,)"),
    ]
    assert all((line.offset is None) == (line.kind == "host") for line in execution.backtrace)
    text = execution.explain()
    assert "in h.inner" in text.splitlines()[0]
    assert "wasm  middle(40, …) at byte" in text
    saved = reload(execution, [_named(style)], NAMED)
    assert [str(line) for line in saved.backtrace] == [str(line) for line in execution.backtrace]


@pytest.mark.parametrize("callbacks", ["nested", "scheduled"])
@pytest.mark.parametrize("style", STYLES)
def test_a_backtrace_of_a_trap_names_both_worlds(style: str, callbacks: str) -> None:
    """28: a trap's backtrace names the frames of guest and host that it went through, innermost first."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context, f: FuncRef[[i32], i32]) -> Steps[i32]:
        return (yield from call(f, 1))

    with pytest.raises(Trap) as caught:
        guest(TRAPPING, host, callbacks=callbacks).exports.run()
    lines = [line for line in caught.value.backtrace if isinstance(line, TraceLine)]
    assert [(line.kind, line.name) for line in lines] == [("wasm", "bad"), ("host", "f"), ("wasm", "run")]


@pytest.mark.parametrize("callbacks", ["nested", "scheduled"])
@pytest.mark.parametrize("style", STYLES)
def test_a_backtrace_of_an_exception_names_both_worlds(style: str, callbacks: str) -> None:
    """28, 10: the exception of a host function says where it went through, also after it was suspended and resumed."""
    for make in (guest, everywhere):
        execution = make(NAMED, _named(style, ends=True), callbacks=callbacks).start("run", 40)
        outcome = finish(execution)
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, LookupError)
        assert [line.name for line in execution.backtrace] == ["inner", "callback", "outer", "middle", "run"]


@pytest.mark.parametrize("style", STYLES)
def test_a_caught_trap_isnt_in_the_backtrace_of_the_next_error(style: str) -> None:
    """28: what was caught and dealt with is not told as part of what happens later."""
    host = HostModule("h")

    @restartable(host, style, catch_traps=True)
    def f(ctx: Context, f: FuncRef[[i32], i32]) -> Steps[i32]:
        try:
            yield from call(f, 1)
        except Trap:
            ctx.once(lambda: None)
        yield from sleep(1)
        raise LookupError

    execution = guest(TRAPPING, host).start("run")
    assert isinstance(execution.run(), Failed)
    assert [(line.kind, line.name) for line in execution.backtrace] == [("host", "f"), ("wasm", "run")]


def test_explain_says_what_an_execution_is() -> None:
    """79: before it runs, suspended in the guest, and at its end, `explain` says so without raising."""
    host = HostModule("h")

    @host.function
    def shout(ctx: Context, text: Str) -> None:
        raise LookupError(text)

    text = f"""(import "h" "shout" (func $s (param i32 i32))) {MEMORY}
      (func (export "run") (call $s (i32.const 0) (i32.const 3)))"""
    execution = everywhere(text, host).start("run")
    assert execution.explain() == "run() is ready"
    assert isinstance(execution.run(), Suspended)
    assert "suspended in func[1]" in execution.explain()
    assert isinstance(finish(execution), Failed)
    assert execution.explain() == "run() is failed"
