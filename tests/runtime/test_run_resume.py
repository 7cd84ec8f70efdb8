"""Ways of going on after a suspension: an answer, results in place of a call, an exception; and dropping."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runtime import (
    At,
    Dropped,
    ExecContext,
    Failed,
    HostFrame,
    Returned,
    State,
    StateError,
    Status,
    Suspended,
    WasmFrame,
    control,
)
from tests.support.asking import ASKING, ask, asking, picture
from tests.support.guests import Guest
from tests.support.hosts import Call, Host, Results, host, imports

# Going on


def test_answering() -> None:
    """The function goes on with the answer; resumed without one it asks again."""
    _, ctx = asking()
    for _ in range(3):
        assert control.run(ctx) == Suspended(Status.ETOYWASMRESTART, "how much?")
    control.answer(ctx, 23)
    assert control.run(ctx) == Returned((123,))


def test_resume_with_takes_the_place_of_the_host_call() -> None:
    """Values replace the results, after the function's cleanup and without entering it again; they are checked."""
    code = host("h", "ask", "i32 -> i32")(lambda call: (call.ask("?"),))
    guest = Guest(ASKING, imports(code))
    ctx = guest.start("f", 1)
    control.run(ctx)
    before = picture(ctx)
    for bad in ((), (1, 2), ("x",), (1 << 32,)):
        with pytest.raises((TypeError, OverflowError)):
            control.resume_with(ctx, bad)
    assert picture(ctx) == before
    control.resume_with(ctx, (-1,))
    assert (code.entries, code.drops) == (1, 1)
    assert control.run(ctx) == Returned((99,))
    assert (code.entries, ctx.depth, ctx.hosts) == (1, 0, 0)


def test_resume_with_after_a_cleanup_that_fails() -> None:
    """The cleanup's error is raised, and the values are in place all the same: the cleanup isn't run twice."""

    def broken(frame: HostFrame) -> None:
        raise ValueError("cleanup")

    code = host("h", "ask", "i32 -> i32", on_drop=broken)(lambda call: (call.ask("?"),))
    ctx = Guest(ASKING, imports(code)).start("f", 1)
    control.run(ctx)
    with pytest.raises(ValueError, match="cleanup"):
        control.resume_with(ctx, (5,))
    assert control.run(ctx) == Returned((105,))
    assert (code.entries, code.drops) == (1, 1)


def test_throw_reaches_the_waiting_host_function() -> None:
    """The exception is raised at the pending operation, where it can be handled; else it ends the call."""

    @host("h", "ask", "i32 -> i32")
    def catching(call: Call) -> Results:
        try:
            return (call.ask("?"),)
        except KeyError:
            return (5,)

    for code, want in ((catching, Returned((105,))), (ask, None)):
        ctx = Guest(ASKING, imports(code)).start("f", 1)
        control.run(ctx)
        error = KeyError("thrown")
        control.throw(ctx, error)
        outcome = control.run(ctx)
        if want is None:
            assert isinstance(outcome, Failed)
            assert outcome.error is error
        else:
            assert outcome == want


def test_throw_unwinds_webassembly_to_the_next_host_function() -> None:
    """Frames of WebAssembly above the host function are left; the host function sees the error at its callback."""
    seen: list[object] = []

    @host("h", "ask", "i32 -> i32")
    def calling(call: Call) -> Results:
        try:
            call.call(spinning.raw("spin"))
        except KeyError as error:
            seen.append(error)
        return (1,)

    spinning = Guest('(func $in (loop (br 0))) (func (export "spin") (call $in))')
    guest = Guest(ASKING, imports(calling), injector=At((6,)))
    ctx = guest.start("f", 0)
    assert isinstance(control.run(ctx), Suspended)
    assert [type(f) for f in ctx.frames] == [WasmFrame, HostFrame, WasmFrame, WasmFrame]
    error = KeyError("thrown")
    control.throw(ctx, error)
    assert control.run(ctx) == Returned((101,))
    assert seen == [error]
    assert (ctx.depth, ctx.cells, ctx.hosts) == (0, 0, 0)


def test_throw_before_a_host_function_was_entered() -> None:
    """A host function stopped at its entry isn't entered for an exception: its caller is where it happens."""
    code = host("h", "ask", "i32 -> i32")(lambda call: (1,))
    ctx = Guest(ASKING, imports(code), injector=At((2,))).start("f", 1)
    control.run(ctx)
    assert repr(ctx.frames[-1]) == "<HostFrame h.ask>"
    control.throw(ctx, KeyError())
    assert isinstance(control.run(ctx), Failed)
    assert code.entries == 0


# Dropping


def _tower(codes: list[Host]) -> tuple[Guest, ExecContext]:
    """wasm → host → wasm → host → … one level a code, suspended in the innermost."""
    guests = [Guest(ASKING, imports(code)) for code in codes]
    ctx = guests[0].start("f", 0)
    for level, code in enumerate(codes[:-1]):
        below = guests[level + 1]
        code.fn = lambda call, below=below: call.call(below.raw("f"), 0)  # type: ignore[misc]
    codes[-1].fn = ask.fn
    assert isinstance(control.run(ctx), Suspended)
    return guests[0], ctx


def test_a_drop_cleans_up_innermost_first_once() -> None:
    """Behaviour 8: each waiting host function's cleanup runs once, innermost first; further resume is an error."""
    order: list[str] = []
    codes = [
        host("h", "ask", "i32 -> i32", on_drop=lambda frame, name=name: order.append(name))(ask.fn)
        for name in "abc"
    ]
    _, ctx = _tower(codes)
    control.drop(ctx)
    assert order == ["c", "b", "a"]
    assert (list(ctx.frames), ctx.depth, ctx.cells, ctx.hosts) == ([], 0, 0, 0)
    for verb in (control.run, control.drop):
        before = picture(ctx)
        with pytest.raises(StateError, match="dropped"):
            verb(ctx)
        assert picture(ctx) == before
    assert order == ["c", "b", "a"]


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()], ids=["error", "Ctrl-C"])
def test_a_broken_cleanup_does_not_keep_the_others_from_running(error: BaseException) -> None:
    """Every cleanup runs; then the first error is raised, and the guest is free."""
    order: list[str] = []

    def broken(frame: HostFrame) -> None:
        order.append("b")
        raise error

    codes = [
        host("h", "ask", "i32 -> i32", on_drop=lambda frame: order.append("a"))(ask.fn),
        host("h", "ask", "i32 -> i32", on_drop=broken)(ask.fn),
        host("h", "ask", "i32 -> i32", on_drop=lambda frame: order.append("c"))(ask.fn),
    ]
    guest, ctx = _tower(codes)
    with pytest.raises(type(error)):
        control.drop(ctx)
    assert order == ["c", "b", "a"]
    assert ctx.state is State.DROPPED
    assert isinstance(control.run(guest.start("f", 1)), Suspended)


def test_requests_during_a_drop_are_refused() -> None:
    """Whatever a cleanup asks of the engine is refused with `Dropped`, which nobody else can make."""
    refusals: list[str] = []

    @host("h", "ask", "i32 -> i32")
    def asking(call: Call) -> Results:
        calls.append(call)
        return (call.ask("?"),)

    def cleanup(frame: HostFrame) -> None:
        call = calls[-1]
        requests: list[Callable[[], object]] = [
            call.check,
            lambda: call.ask("again"),
            lambda: call.call(guest.raw("f"), 1),
        ]
        for request in requests:
            call.record.entries.clear()
            call.record.cursor = 0
            with pytest.raises(Dropped) as caught:
                request()
            refusals.append(str(caught.value))

    calls: list[Call] = []
    asking.on_drop = cleanup
    guest = Guest(ASKING, imports(asking))
    ctx = guest.start("f", 1)
    control.run(ctx)
    control.drop(ctx)
    assert refusals == ["the execution was dropped"] * 3
    with pytest.raises(TypeError):
        Dropped()


def test_a_fresh_execution_can_be_dropped() -> None:
    """Nothing has begun, so nothing is cleaned up, and the guest is as it was."""
    guest = Guest(ASKING, imports(ask))
    ctx = guest.start("f", 1)
    control.drop(ctx)
    assert ctx.state is State.DROPPED
    assert isinstance(control.run(guest.start("f", 1)), Suspended)


