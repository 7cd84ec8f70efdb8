"""The record of a restartable call: what it may hold, and what it refuses to be used for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from hostsdk import (
    BlockingContext,
    Context,
    DivergenceError,
    Failed,
    FuncRef,
    HostModule,
    Limits,
    RecordError,
    Returned,
    StateError,
    Steps,
    Suspended,
    block_until,
    call,
    i32,
    sleep,
)
from hostsdk.testing import Kind, explore
from tests.support.inject import STYLES, everywhere, finish, guest, reload, restartable, run_to, scene, table

CALL = '(import "h" "f" (func $f (result i32))) (func (export "run") (result i32) (call $f))'
#: A function that gets a callback, and one that only runs on.
BACK = f"""(import "h" "f" (func $f (param i32) (result i32))) {table("$id", "$slow")}
  (func $id (param i32) (result i32) (local.get 0))
  (func $slow (param i32) (result i32)
    (local.set 0 (i32.const 3))
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.const 5))
  (func (export "run") (result i32) (call $f (i32.const 1)))"""


def _host(fn: Callable[..., Any]) -> HostModule[list[object]]:
    host = HostModule("h", state=list[object])
    host.restartable(name="f")(fn)
    return host


def _failure(inst_text: str, fn: Callable[..., Any], make: Callable[..., Any] = everywhere) -> BaseException:
    inst = make(inst_text, _host(fn))
    execution = inst.start("run")
    outcome = finish(execution)
    assert isinstance(outcome, Failed), outcome
    context = execution._context
    assert (context.depth, context.hosts, context.cells, context.spilled, context.unwinding) == (0, 0, 0, [], False)
    # Nothing of it bleeds into what is done next.
    assert inst._raw.group.root().active == []
    return outcome.error


# Misuse that is told


def test_a_swallowed_unwind_is_told() -> None:
    """18: a function that catches what takes it off the stack, by a bare `except:`, and returns: told at once, for
    each kind of wait."""

    def waits(ctx: BlockingContext[list[object]]) -> i32:
        try:
            ctx.sleep(1)
        except:  # noqa: E722
            pass
        return 1

    def polls(ctx: BlockingContext[list[object]]) -> i32:
        try:
            ctx.check_interrupt()
        except BaseException:
            return 2
        return 1

    for fn in (waits, polls):
        error = _failure(CALL, fn)
        assert isinstance(error, RecordError)
        assert "h.f" in str(error)


@pytest.mark.parametrize("callbacks", ["nested", "scheduled"])
def test_a_swallowed_unwind_of_a_callee_is_told(callbacks: str) -> None:
    """18: the same around a callback, nested or scheduled: the callee's frames are cleaned up, and the callee that was
    to be scheduled is never run."""

    def f(ctx: BlockingContext[list[object]], f: FuncRef[[i32], i32]) -> i32:
        try:
            return ctx.call(f, 1)
        except BaseException:
            return 2

    def make(text: str, *hosts: HostModule[Any]) -> Any:
        return everywhere(text, *hosts, callbacks=callbacks)

    assert isinstance(_failure(BACK, f, make), RecordError)


def test_an_error_in_place_of_unwind_is_told() -> None:
    """18: a `finally` that raises while its function leaves the stack has put an error in place of the unwinding:
    the call fails, with that error named."""

    def f(ctx: BlockingContext[list[object]]) -> i32:
        try:
            ctx.sleep(1)
        finally:
            raise LookupError("in the way")

    error = _failure(CALL, f)
    chain = [error, error.__cause__, error.__context__]
    assert any(isinstance(each, LookupError) for each in chain)


def test_a_finally_that_asks_ctx_for_something_leaves_on() -> None:
    """18: a `finally` may use ctx freely: while the function leaves the stack, whatever it asks for ends the leaving
    no sooner and leaves no trace; at the end of the call it is done, once."""

    def f(ctx: BlockingContext[list[object]]) -> i32:
        try:
            ctx.sleep(1)
            return 1
        finally:
            ctx.sleep(1)
            ctx.once(lambda: ctx.state.append("cleaned"))
            ctx.progress(0).value = 1

    host = _host(f)
    host.save(list)
    host.load(list)
    found = explore(scene(CALL, host, observe=lambda inst: list(inst.state(host))))
    found.exhaustive()
    found.every(1)


def test_an_unwind_swallowed_on_the_way_to_another_wait_does_no_harm() -> None:
    """18: a function that swallows the unwinding and asks for something else leaves all the same, and is found in its
    first wait."""

    def f(ctx: BlockingContext[list[object]]) -> i32:
        try:
            ctx.sleep(1)
        except BaseException:
            ctx.sleep(2)
            raise
        return 1

    inst = everywhere(CALL, _host(f))
    execution = inst.start("run")
    assert finish(execution) == Returned((1,))
    found = explore(scene(CALL, _host(f), saves=False), kinds=[Kind.RESTART])
    assert found.undisturbed.popitem()[1].elapsed == 1
    found.every(1)


def test_a_return_with_a_wait_pending_is_told() -> None:
    """18: a replay that returns before it comes to the operation that is pending is an error that says so."""
    entries: list[int] = []

    def f(ctx: BlockingContext[list[object]]) -> i32:
        entries.append(1)
        if len(entries) < 2:
            ctx.sleep(1)
        return 1

    error = _failure(CALL, f)
    assert isinstance(error, RecordError)
    assert "pending" in str(error) or "before" in str(error)


# Divergence


def _diverging(second: Callable[[BlockingContext[list[object]]], object]) -> BaseException:
    """What comes of a function that does another step when it is entered again."""
    entries: list[int] = []

    def f(ctx: BlockingContext[list[object]]) -> i32:
        entries.append(1)
        if len(entries) == 1:
            ctx.once(first)
        else:
            second(ctx)
        ctx.sleep(1)
        return 1

    def first() -> int:
        return 1

    return _failure(CALL, f)


def test_a_replay_that_does_something_else_diverges() -> None:
    """19: an operation that finds a record of another kind, or of another label, is an error before any effect, which
    names both."""
    done: list[str] = []

    def other() -> None:
        done.append("other")

    for second, name in (
        (lambda ctx: ctx.once(other), "once 'other'"),
        (lambda ctx: ctx.acquire(lambda: done.append("acquired"), release=print), "acquire"),
        (lambda ctx: ctx.sleep(1), "wait 'sleep'"),
        (lambda ctx: ctx.block_until(lambda: done.append("tried")), "wait"),
        (lambda ctx: ctx.call(HostModule("h").guest("run", FuncRef[[], i32])), "call 'run'"),
        (lambda ctx: ctx.progress(0), "progress 'int'"),
        (lambda ctx: ctx.check_interrupt(), "check"),
        (lambda ctx: ctx.time, "time"),
    ):
        error = _diverging(second)
        assert isinstance(error, DivergenceError), name
        assert "step 1 was once 'first'" in str(error)
        assert f"is now {name}" in str(error)
    assert done == []


def test_a_divergence_isnt_an_errno() -> None:
    """19: no mapping of `Exception` to an error number hides it from the embedder."""
    from hostsdk import Errors

    entries: list[int] = []
    host = HostModule("h", errors=Errors({Exception: 5}))

    @host.restartable
    def f(ctx: BlockingContext) -> i32:
        entries.append(1)
        ctx.once(lambda: 1) if len(entries) % 2 else ctx.time
        ctx.sleep(1)
        return 1

    outcome = finish(everywhere(CALL, host).start("run"))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, DivergenceError)


@pytest.mark.parametrize("style", STYLES)
def test_a_record_belongs_to_one_call(style: str) -> None:
    """19: a call that ended early leaves no record that the next call of the same function could find."""
    host = HostModule("h", state=list[object])

    @restartable(host, style)
    def f(ctx: Context[list[object]]) -> Steps[i32]:
        n = ctx.once(lambda: len(ctx.state))
        ctx.once(lambda: ctx.state.append(n))
        yield from sleep(1 + n)
        return n

    text = CALL.replace("(call $f))", "(drop (call $f)) (drop (call $f)) (call $f))")
    inst = everywhere(text, host)
    assert finish(inst.start("run")) == Returned((2,))
    assert inst.state(host) == [0, 1, 2]


# Data


LIVE = [object(), {1, 2}, lambda: 1, [object()], {"a": object()}, 1j]


@pytest.mark.parametrize("value", LIVE, ids=["object", "set", "function", "list", "dict", "complex"])
def test_a_record_holds_plain_data_only(value: object) -> None:
    """What `once` or an attempt gives must be plain data, or the error says what to do instead."""

    def by_once(ctx: BlockingContext[list[object]]) -> i32:
        ctx.once(lambda: value)
        return 1

    def by_wait(ctx: BlockingContext[list[object]]) -> i32:
        ctx.block_until(lambda: value)
        return 1

    for fn in (by_once, by_wait):
        for make in (guest, everywhere):
            error = _failure(CALL, fn, make)
            assert isinstance(error, RecordError)
            assert "plain data" in str(error)


def test_plain_data_comes_back_as_it_was() -> None:
    """75: containers, bytes and numbers in a record are the same after save and load, down to tuple and list."""
    value = {"a": (1, [2, (3,)], b"x"), 2: None, "f": -0.0, "big": 1 << 80, "t": True, "s": "ü"}
    value |= {"nan": [float("nan")], "empty": ((), [], {}), (1, (2,)): "key"}  # type: ignore[dict-item]
    seen: list[object] = []

    @restartable(host := HostModule("h"), "generator")
    def f(ctx: Context) -> Steps[i32]:
        got = ctx.once(lambda: value)
        yield from sleep(1)
        seen.append(repr(got))
        return 1

    execution = everywhere(CALL, host).start("run")
    run_to(execution, "in wait")
    assert finish(reload(execution, [host], CALL)) == Returned((1,))
    assert finish(execution) == Returned((1,))
    assert seen == [repr(value)] * 2


def test_what_is_kept_isnt_changed_from_outside() -> None:
    """A list that was given to `once` is copied: changing it later doesn't reach the record."""
    host = HostModule("h", state=list[object])

    @host.restartable
    def f(ctx: BlockingContext[list[object]]) -> i32:
        mine = ctx.once(lambda: [1])
        mine.append(2)
        ctx.sleep(1)
        return len(mine)

    assert finish(everywhere(CALL, host).start("run")) == Returned((2,))


def test_the_journal_has_a_limit() -> None:
    """A loop that journals without committing comes to an error, not to the end of memory; before the effect that
    there would be no room for."""
    host = HostModule("h", state=list[object])

    @host.restartable
    def f(ctx: BlockingContext[list[object]]) -> i32:
        while True:
            ctx.once(lambda: ctx.state.append(1))

    inst = guest(CALL, host, limits=Limits(journal=50))
    outcome = inst.start("run").run()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, RecordError)
    assert "Limits(journal=" in str(outcome.error)
    assert len(inst.state(host)) == 50


def test_nothing_is_acquired_past_the_limit() -> None:
    """8: where the journal has no room for it, nothing is acquired, so nothing is left unreleased."""
    host = HostModule("h", state=list[object])

    @host.restartable
    def f(ctx: BlockingContext[list[object]]) -> i32:
        while True:
            ctx.acquire(lambda: ctx.state.append("+"), release=lambda _: ctx.state.append("-"))

    inst = guest(CALL, host, limits=Limits(journal=3))
    assert isinstance(inst.start("run").run(), Failed)
    assert inst.state(host) == ["+", "+", "+", "-", "-", "-"]
    assert len(inst.resources) == 0


def test_polls_in_a_row_are_one_entry() -> None:
    """A computation that polls a hundred thousand times needs no journal for it."""
    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext) -> i32:
        for _ in range(20_000):
            ctx.check_interrupt()
        ctx.sleep(1)
        return 1

    inst = guest(CALL, host, limits=Limits(journal=2))
    assert inst.exports.run() == 1


# Where ctx may be used


def test_ctx_outside_of_its_call_is_refused() -> None:
    """A context that was kept serves nobody once its call is over, nor while the guest has the turn."""
    kept: list[Any] = []
    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext, f: FuncRef[[i32], i32]) -> i32:
        kept.append((ctx, ctx.memory, ctx.progress(0)))
        ctx.sleep(1)
        return 1

    inst = everywhere(BACK + '(memory (export "memory") 1)', host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    ctx, memory, progress = kept[0]
    uses: list[Callable[[], object]] = [
        lambda: ctx.memory, lambda: memory.read(0, 1), lambda: memory.write(0, b"x"), lambda: ctx.once(int),
        lambda: ctx.sleep(1), ctx.check_interrupt, lambda: ctx.progress(0), lambda: ctx.time,
        lambda: ctx.acquire(int, release=print), lambda: setattr(progress, "value", 2),
        lambda: ctx.resources.get(0, object),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(StateError):
            use()
    assert finish(execution) == Returned((1,))
    for use in uses:
        with pytest.raises(StateError):
            use()


def test_nothing_suspends_inside_an_atomic_step() -> None:
    """An attempt or a `once` is one step: what would suspend in it is an error before any effect."""
    tried: list[str] = []

    def inside(step: Callable[[BlockingContext[list[object]]], object], place: str) -> Callable[..., Any]:
        def f(ctx: BlockingContext[list[object]]) -> i32:
            if place == "once":
                ctx.once(lambda: step(ctx))
            else:
                ctx.block_until(lambda: step(ctx))
            return 1

        return f

    for place in ("once", "attempt"):
        for step in (
            lambda ctx: ctx.sleep(1),
            lambda ctx: ctx.block_until(lambda: tried.append("x")),
            lambda ctx: ctx.check_interrupt(),
            lambda ctx: ctx.call(HostModule("h").guest("run", FuncRef[[], i32])),
            lambda ctx: setattr(ctx.progress(0), "value", 1),
        ):
            error = _failure(CALL, inside(step, place), guest)
            assert isinstance(error, StateError)
            assert "atomic" in str(error)
    assert tried == []


def test_a_plain_function_neither_waits_nor_calls() -> None:
    """A plain function has no record: what needs one is refused, and says which decorator has it."""
    host = HostModule("h")

    @host.function
    def f(ctx: Context) -> i32:
        ctx.acquire(int, release=print)
        return 1

    outcome = guest(CALL, host).start("run").run()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, StateError)


def test_a_generator_yields_operations_only() -> None:
    """A bare `yield` is no operation: told before anything is done, and the generator is closed."""
    host = HostModule("h", state=list[object])

    @host.restartable
    def f(ctx: Context[list[object]]) -> Steps[i32]:
        try:
            yield 5  # type: ignore[misc]
        finally:
            ctx.state.append("closed")
        return 1

    inst = guest(CALL, host)
    outcome = inst.start("run").run()
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, StateError)
    assert inst.state(host) == ["closed"]


def test_an_operation_that_is_never_run_is_told() -> None:
    """`call(f)` without `yield from` is a warning, as an un-awaited coroutine is."""
    host = HostModule("h")

    @host.restartable
    def f(ctx: Context) -> Steps[i32]:
        sleep(1)  # type: ignore[unused-awaitable]  # the mistake that is to be told
        yield from block_until(lambda: 1)
        return 1

    with pytest.warns(RuntimeWarning, match="sleep"):
        guest(CALL, host).exports.run()


@pytest.mark.parametrize("style", STYLES)
def test_two_calls_share_a_context_not_a_record(style: str) -> None:
    """19: functions of one module that are nested in one another through the guest have one context and a record
    each: neither sees the other's steps, arguments or progress."""
    host = HostModule("h", state=list[object])
    host.save(list)
    host.load(list)

    @restartable(host, style)
    def f(ctx: Context[list[object]], n: i32) -> Steps[i32]:
        done = ctx.progress(n * 100)
        ctx.once(lambda: ctx.state.append(("in", n)))
        got = 0
        if n:
            got = yield from call(host.guest("again", FuncRef[[i32], i32]), n - 1)
        yield from sleep(1)
        if done.value != n * 100:
            raise AssertionError(f"{done.value} in {n}")
        ctx.once(lambda: ctx.state.append(("out", n)))
        return got + n

    text = """(import "h" "f" (func $f (param i32) (result i32)))
      (func (export "again") (param i32) (result i32) (call $f (local.get 0)))
      (func (export "run") (result i32) (call $f (i32.const 3)))"""
    found = explore(scene(text, host, observe=lambda inst: list(inst.state(host))))
    found.exhaustive()
    found.every(1, 2, 3)
    found.mixed(range(5))


@pytest.mark.parametrize("style", STYLES)
def test_a_commit_in_a_nested_call_is_its_own(style: str) -> None:
    """A commit forgets steps of its own call only: the caller's journal keeps them."""
    host = HostModule("h", state=list[object])
    host.save(list)
    host.load(list)

    @restartable(host, style)
    def f(ctx: Context[list[object]], n: i32) -> Steps[i32]:
        ctx.once(lambda: ctx.state.append(("in", n)))
        done = ctx.progress(0)
        while done.value < 2:
            if n:
                yield from call(host.guest("again", FuncRef[[i32], i32]), n - 1)
            ctx.once(lambda: ctx.state.append((n, done.value)))
            done.value += 1
        return 7

    text = """(import "h" "f" (func $f (param i32) (result i32)))
      (func (export "again") (param i32) (result i32) (call $f (local.get 0)))
      (func (export "run") (result i32) (call $f (i32.const 2)))"""
    found = explore(scene(text, host, observe=lambda inst: list(inst.state(host))))
    found.every(1, 2, 3)
    found.exhaustive()


def test_a_suspended_error_is_replayed() -> None:
    """28: what a callee raised is raised again by a replay, the same kind of error at the same place."""
    host = HostModule("h", state=list[object])

    @host.restartable
    def f(ctx: BlockingContext[list[object]], f: FuncRef[[i32], i32]) -> i32:
        seen = []
        for _ in range(2):
            try:
                ctx.call(host.guest("fails", FuncRef[[], i32]))
            except LookupError as error:
                seen.append(str(error))
            ctx.sleep(1)
        ctx.once(lambda: ctx.state.append(tuple(seen)))
        return len(seen)

    @host.function
    def fails(ctx: Context[list[object]]) -> i32:
        ctx.state.append("called")
        raise LookupError(len(ctx.state))

    text = BACK.replace("(import", '(import "h" "fails" (func $fails (result i32))) (import', 1)
    inst = everywhere(text + ' (export "fails" (func $fails))', host)
    outcome = finish(inst.start("run"))
    assert outcome == Returned((2,))
    assert inst.state(host) == ["called", "called", ("1", "2")]
    assert not isinstance(outcome, Suspended)
