"""Dropping: every waiting host function cleans up, innermost first, once; and nothing can be done afterwards."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import attrs
import pytest

from hostsdk import (
    BlockingContext,
    Context,
    Dropped,
    Execution,
    FuncRef,
    HostModule,
    Instance,
    RecordError,
    Returned,
    State,
    StateError,
    Steps,
    Suspended,
    Timeout,
    Trap,
    Trapped,
    call,
    i32,
    sleep,
)
from hostsdk.testing import Kind, explore
from tests.support.inject import MEMORY, everywhere, finish, guest, reload, restartable, run_to, scene, table


@attrs.define
class Log:
    """What the host functions have told."""

    lines: list[str] = attrs.field(factory=list)


def _take(ctx: Context[Any], log: list[str], name: str) -> None:
    ctx.acquire(partial(log.append, f"+{name}"), release=lambda _: log.append(f"-{name}"))


NESTED = f"""
  (import "h" "outer" (func $outer (param i32 i32) (result i32)))
  (import "h" "middle" (func $middle (param i32 i32) (result i32)))
  (import "h" "inner" (func $inner (param i32 i32) (result i32))) {MEMORY} {table("$one", "$two", "$three")}
  (func $one (param i32) (result i32) (call $middle (i32.const 1) (local.get 0)))
  (func $two (param i32) (result i32) (call $inner (i32.const 2) (local.get 0)))
  (func $three (param i32) (result i32) (local.get 0))
  (func (export "run") (result i32) (call $outer (i32.const 0) (i32.const 1)))
"""


def _nested() -> HostModule[Log]:
    """Three generators, each of which waits for the next; the innermost sleeps. All tell how they end."""
    host = HostModule("h", state=Log)
    host.save(lambda log: log.lines)
    host.load(lambda lines: Log(list(lines)))

    def add(name: str) -> None:
        @restartable(host, "generator", name=name)
        def f(ctx: Context[Log], f: FuncRef[[i32], i32], n: i32) -> Steps[i32]:
            try:
                total = yield from call(f, n)
                if name == "inner":
                    yield from sleep(1)
                return total + 1
            except BaseException as error:
                ctx.state.lines.append(f"{name}: {type(error).__name__}")
                raise
            finally:
                ctx.memory.write(16 * ("outer", "middle", "inner").index(name), b"cleaned")

    for name in ("outer", "middle", "inner"):
        add(name)
    return host


ALL = ["inner: Dropped", "middle: Dropped", "outer: Dropped"]


def _suspended(host: HostModule[Log]) -> tuple[Instance, Execution]:
    inst = everywhere(NESTED, host)
    execution = inst.start("run")
    run_to(execution, "h.inner, in wait")
    return inst, execution


def test_generators_see_dropped_innermost_first() -> None:
    """8: a drop raises Dropped at the yield of every waiting generator, innermost first, once; their `finally` blocks
    run, and reach the guest's memory."""
    host = _nested()
    inst, execution = _suspended(host)
    execution.drop()
    assert execution.state is State.DROPPED
    assert inst.state(host).lines == ALL
    assert [bytes(inst._raw.memories[0].data[at : at + 7]) for at in (0, 16, 32)] == [b"cleaned"] * 3


def test_what_is_dropped_stays_dropped() -> None:
    """8, 9: after a drop every verb is refused, changes nothing, and no cleanup runs a second time."""
    host = _nested()
    inst, execution = _suspended(host)
    execution.drop()
    verbs: list[Callable[[], object]] = [
        execution.run, execution.resume, execution.drop, lambda: execution.answer(1),
        lambda: execution.resume_with(1), lambda: execution.throw(ValueError()),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(StateError):
            verb()
    assert execution.state is State.DROPPED
    assert inst.state(host).lines == ALL
    inst.close()
    assert inst.state(host).lines == ALL


def test_an_instance_serves_again_after_a_drop() -> None:
    """8: the drop gives the instance back: the next call runs as if there had been none."""
    host = _nested()
    inst, execution = _suspended(host)
    execution.drop()
    inst.state(host).lines.clear()
    assert finish(inst.start("run")) == Returned((4,))


def test_what_was_loaded_is_dropped_like_what_never_left() -> None:
    """8, 75: generators that were saved and loaded are not alive; a drop brings each to its place by a replay, and
    raises Dropped there."""
    host = _nested()
    _, execution = _suspended(host)
    loaded = reload(execution, [host], NESTED)
    loaded.drop()
    assert loaded.instance.state(host).lines == ALL
    assert [bytes(loaded.instance._raw.memories[0].data[at : at + 7]) for at in (0, 16, 32)] == [b"cleaned"] * 3
    assert execution.state is State.SUSPENDED
    execution.drop()


def test_a_fresh_execution_can_be_dropped() -> None:
    """An execution that has never run is dropped without a trace: there is nothing to clean up."""
    host = _nested()
    inst = guest(NESTED, host)
    execution = inst.start("run")
    execution.drop()
    assert execution.state is State.DROPPED
    assert inst.state(host).lines == []
    with pytest.raises(StateError):
        execution.run()
    assert inst.exports.run() == 4


def test_dropped_before_its_first_entry() -> None:
    """A host function suspended at its very entry hasn't begun: a drop has nothing to clean up in it."""
    host = _nested()
    inst = everywhere(NESTED, host)
    execution = inst.start("run")
    while execution.backtrace == [] or execution.backtrace[0].name != "outer":
        assert isinstance(execution.run(), Suspended)
    execution.drop()
    assert inst.state(host).lines == []


def test_every_request_of_a_cleanup_is_dropped_again() -> None:
    """8: a cleanup that waits, calls or polls gets Dropped at each try, and the drop comes to its end."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: Context[list[str]]) -> Steps[i32]:
        for attempt in range(3):
            try:
                yield from sleep(1)
            except Dropped:
                ctx.state.append(f"dropped {attempt}")
        return 0

    inst = everywhere('(import "h" "f" (func $f (result i32))) (export "run" (func $f))', host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    execution.drop()
    assert inst.state(host) == ["dropped 0", "dropped 1", "dropped 2"]


def test_a_generator_that_never_gives_up_is_given_up() -> None:
    """8: a drop ends even where a generator answers every Dropped with another wait."""
    host = HostModule("h")

    @host.restartable
    def f(ctx: Context) -> Steps[i32]:
        while True:
            try:
                yield from sleep(1)
            except Dropped:
                continue

    execution = everywhere('(import "h" "f" (func $f (result i32))) (export "run" (func $f))', host).start("run")
    run_to(execution, "in wait")
    with pytest.raises((RecordError, RuntimeError)):
        execution.drop()
    assert execution.state is State.DROPPED


def test_an_error_in_a_cleanup_keeps_none_from_running() -> None:
    """8: all cleanups run whatever one of them raises; the first error is raised at the end."""
    host = HostModule("h", state=Log)

    def add(name: str) -> None:
        @restartable(host, "generator", name=name)
        def f(ctx: Context[Log], f: FuncRef[[i32], i32], n: i32) -> Steps[i32]:
            try:
                yield from call(f, n)
                yield from sleep(1)
            finally:
                ctx.state.lines.append(name)
                raise LookupError(name)

    for name in ("outer", "middle", "inner"):
        add(name)
    inst, execution = _suspended(host)
    with pytest.raises(LookupError, match="inner"):
        execution.drop()
    assert execution.state is State.DROPPED
    assert inst.state(host).lines == ["inner", "middle", "outer"]


def _holding(style: str) -> HostModule[Log]:
    host = HostModule("h", state=Log)

    def released(ctx: Context[Log], name: str) -> Callable[[str], None]:
        return lambda thing: ctx.state.lines.append(f"released {thing}")

    @restartable(host, style)
    def f(ctx: Context[Log], n: i32) -> Steps[i32]:
        done = ctx.progress(0)
        ctx.acquire(lambda: "a", release=released(ctx, "a"))
        yield from sleep(1)
        ctx.acquire(lambda: "b", release=released(ctx, "b"))
        if n < 9:
            done.value = 1
        yield from sleep(1)
        if n == 1:
            raise LookupError
        if n == 2:
            raise RuntimeError
        if n == 3:
            ctx.exit(4)
        return n

    return host


HOLDING = """(import "h" "f" (func $f (param i32) (result i32)))
  (func (export "run") (param i32) (result i32) (call $f (local.get 0)))"""


@pytest.mark.parametrize("ending", ["return", "raise", "exit", "drop", "throw", "resume_with", "close", "timeout"])
@pytest.mark.parametrize("make", [guest, everywhere], ids=["plain", "interrupted"])
def test_what_is_acquired_is_released_once(make: Callable[..., Instance], ending: str) -> None:
    """8: in every ending what a call has acquired is released once, newest first."""
    host = _holding("generator")
    inst = make(HOLDING, host)
    execution = inst.start("run", {"return": 9, "raise": 1, "exit": 3}.get(ending, 9))
    if ending in ("return", "raise", "exit"):
        finish(execution)
    elif ending == "timeout":
        with pytest.raises(Timeout):
            inst.call("run", 9, timeout=1.5)
    else:
        inst = everywhere(HOLDING, host)
        execution = inst.start("run", 9)
        while len(inst.resources) < 2:
            run_to(execution, "in wait")
        match ending:
            case "drop":
                execution.drop()
            case "throw":
                execution.throw(ValueError())
                finish(execution)
            case "resume_with":
                execution.resume_with(5)
                assert inst.state(host).lines == ["released b", "released a"]
                assert finish(execution) == Returned((5,))
            case _:
                inst.close()
    assert inst.state(host).lines == ["released b", "released a"]
    inst.close()
    assert inst.state(host).lines == ["released b", "released a"]


@pytest.mark.parametrize("style", ["function", "generator"])
def test_faults_anywhere_release_once(style: str) -> None:
    """8, 16: whatever happens at whatever check point, what was acquired is released, once each."""
    host = HostModule("h", state=Log)

    @restartable(host, style)
    def f(ctx: Context[Log]) -> Steps[i32]:
        log = ctx.state.lines
        for name in ("a", "b"):
            _take(ctx, log, name)
            yield from sleep(1)
        return 5

    def settled(inst: Instance) -> None:
        log = inst.state(host).lines
        assert log in ([], ["+a", "-a"], ["+a", "+b", "-b", "-a"]), log

    text = '(import "h" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f))'
    found = explore(scene(text, host, observe=lambda inst: inst.state(host).lines, settled=settled, saves=False))
    found.exhaustive()
    found.pairs()


@pytest.mark.parametrize("style", ["function", "generator"])
def test_a_commit_doesnt_forget_what_was_acquired(style: str) -> None:
    """8: what was acquired behind a progress that has been committed since is still released at the end, once."""
    host = HostModule("h", state=Log)

    @restartable(host, style)
    def f(ctx: Context[Log]) -> Steps[i32]:
        log = ctx.state.lines
        done = ctx.progress(0)
        while done.value < 2:
            name = str(done.value)
            _take(ctx, log, name)
            yield from sleep(1)
            done.value += 1
        return 5

    for make in (guest, everywhere):
        inst = make('(import "h" "f" (func $f (result i32))) (export "run" (func $f))', host)
        assert finish(inst.start("run")) == Returned((5,))
        assert inst.state(host).lines == ["+0", "+1", "-1", "-0"]
        assert len(inst.resources) == 0


def test_a_trap_and_a_return_are_final() -> None:
    """9: a trapped or returned execution can't be resumed, and nothing of it runs."""
    text = """(func (export "trap") (unreachable)) (func (export "ok"))"""
    for name, state in (("trap", State.TRAPPED), ("ok", State.RETURNED)):
        execution = guest(text).start(name)
        outcome = execution.run()
        assert isinstance(outcome, Trapped if name == "trap" else Returned)
        for verb in (execution.run, execution.resume, execution.drop):
            with pytest.raises(StateError):
                verb()
        assert execution.state is state


def test_a_function_style_call_is_dropped_where_it_waits() -> None:
    """8: a function has left the stack already when it is dropped: its `finally` ran when it left, with what it asked
    ctx for undone, so it runs for good only where the call comes to an end."""
    host = HostModule("h", state=Log)

    @host.restartable
    def f(ctx: BlockingContext[Log]) -> i32:
        try:
            ctx.sleep(1)
            return 1
        finally:
            ctx.memory.write(0, b"end")
            ctx.once(lambda: ctx.state.lines.append("end"))

    text = f"""(import "h" "f" (func $f (result i32))) {MEMORY} (func (export "run") (result i32) (call $f))"""
    inst = everywhere(text, host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    assert inst.state(host).lines == []
    execution.drop()
    assert inst.state(host).lines == []
    assert finish(inst.start("run")) == Returned((1,))
    assert inst.state(host).lines == ["end"]
    found = explore(scene(text, host, observe=lambda inst: inst.state(host).lines), kinds=[Kind.RESTART])
    found.every(1, 2)
    found.exhaustive()


def test_a_trap_runs_the_cleanup_of_every_waiting_function() -> None:
    """28: a trap in the innermost frame is raised at every waiting generator's yield on its way out."""
    host = _nested()
    text = NESTED.replace("(func $three (param i32) (result i32) (local.get 0))",
                          "(func $three (param i32) (result i32) (unreachable))")  # fmt: skip
    for make in (guest, everywhere):
        inst = make(text, host)
        outcome = finish(inst.start("run"))
        assert isinstance(outcome, Trapped)
        assert isinstance(outcome.trap, Trap)
        assert inst.state(host).lines == ["inner: Trap", "middle: Trap", "outer: Trap"]


def test_an_exit_in_a_cleanup_is_too_late() -> None:
    """8: a cleanup that asks to exit while it is dropped ends like any other: the execution is over already."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: Context[list[str]]) -> Steps[i32]:
        try:
            yield from sleep(1)
        finally:
            ctx.state.append("exits")
            ctx.exit(3)

    inst = everywhere('(import "h" "f" (func $f (result i32))) (export "run" (func $f))', host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    execution.drop()
    assert execution.state is State.DROPPED
    assert inst.state(host) == ["exits"]
