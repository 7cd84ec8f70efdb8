"""Throwing into a suspended execution, and exceptions of host functions' own."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from hostsdk import (
    ERRNO_NEGATIVE,
    BlockingContext,
    Context,
    Exited,
    ExitRequested,
    Failed,
    FuncRef,
    HostModule,
    Instance,
    Question,
    Returned,
    State,
    StateError,
    Steps,
    Suspended,
    Trap,
    Trapped,
    ask,
    call,
    check_interrupt,
    i32,
    sleep,
)
from hostsdk.testing import explore
from tests.support.inject import STYLES, Decorator, everywhere, finish, guest, restartable, run_to, scene, table


class HowMany(Question[i32]):
    """A number, please."""


def _waiting(decorate: Decorator, where: str) -> None:
    """A function that waits in one way, and tells what is raised there."""

    @decorate
    def f(ctx: Context[list[str]], f: FuncRef[[i32], i32]) -> Steps[i32]:
        for _ in range(2):
            try:
                match where:
                    case "wait":
                        yield from sleep(1)
                    case "call":
                        yield from call(f, 1)
                    case "ask":
                        yield from ask(HowMany())
                    case "check":
                        yield from check_interrupt()
            except LookupError as error:
                ctx.once(partial(ctx.state.append, f"caught {error}"))
                yield from sleep(1)
        return 7


WAITING = f"""(import "h" "f" (func $f (param i32) (result i32))) {table("$slow")}
  (func $slow (param i32) (result i32)
    (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (i32.const 3))
  (func (export "run") (result i32) (call $f (i32.const 0)))"""


@pytest.mark.parametrize("where", ["wait", "call", "ask", "check"])
@pytest.mark.parametrize("style", STYLES)
def test_what_is_thrown_is_raised_at_the_pending_operation(style: str, where: str) -> None:
    """`throw` raises at the operation that the innermost host function waits in, whichever that is, and frames of the
    guest above it are left; a handler may itself wait, and the function goes on. The throw happens once."""
    host = HostModule("h", state=list[str])
    _waiting(restartable(host, style), where)
    inst = everywhere(WAITING, host)
    execution = inst.start("run")
    place = {"call": "in slow", "check": "in h.f"}.get(where, f"in {where}")
    run_to(execution, place)
    if where == "check":  # the first of its suspensions there is at its entry
        execution.run()
    execution.throw(KeyError("x"))
    run_to(execution, "in wait")
    assert inst.state(host) == ["caught 'x'"]
    outcome: object = execution.run()
    while isinstance(outcome, Suspended):
        if isinstance(outcome.reason, HowMany):
            execution.answer(2)
        outcome = execution.run()
    assert outcome == Returned((7,))
    assert inst.state(host) == ["caught 'x'"]


def test_thrown_where_no_host_function_waits() -> None:
    """An exception thrown into frames of the guest alone leaves them all, and reaches the embedder as itself."""
    text = """(func $inner (loop $l (br $l))) (func (export "run") (call $inner))"""
    execution = everywhere(text).start("run")
    for _ in range(5):
        assert isinstance(execution.run(), Suspended)
    error = LookupError("x")
    execution.throw(error)
    assert execution.state is State.SUSPENDED
    assert execution.run() == Failed(error)


def test_thrown_into_a_function_at_its_entry() -> None:
    """A host function suspended before it was entered isn't entered by a throw: its caller is left."""
    host = HostModule("h", state=list[str])

    @host.function
    def f(ctx: Context[list[str]]) -> None:
        ctx.state.append("entered")

    inst = everywhere('(import "h" "f" (func $f)) (func (export "run") (call $f))', host)
    execution = inst.start("run")
    run_to(execution, "in h.f")
    execution.throw(LookupError())
    assert isinstance(execution.run(), Failed)
    assert inst.state(host) == []


def test_throw_then_drop() -> None:
    """What was thrown but not raised yet is forgotten by a drop, which raises Dropped instead."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: Context[list[str]]) -> Steps[None]:
        try:
            yield from sleep(1)
        except BaseException as error:
            ctx.state.append(type(error).__name__)
            raise

    inst = everywhere('(import "h" "f" (func $f)) (func (export "run") (call $f))', host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    execution.throw(LookupError())
    execution.drop()
    assert inst.state(host) == ["Dropped"]


def test_throw_is_for_suspended_executions() -> None:
    """9: throwing into what has not begun or has ended is an error, and changes nothing."""
    execution = guest('(func (export "run"))').start("run")
    with pytest.raises(StateError):
        execution.throw(ValueError())
    assert execution.run() == Returned(())
    with pytest.raises(StateError):
        execution.throw(ValueError())


# Exceptions of host functions


NESTED = f"""(import "h" "outer" (func $outer (param i32) (result i32))) (import "h" "fails" (func $fails (result i32)))
  {table("$callback")}
  (func $callback (param i32) (result i32) (call $fails))
  (func (export "run") (result i32) (call $outer (i32.const 0)))"""


def _failing(style: str, error: Callable[[], BaseException]) -> HostModule[list[str]]:
    host = HostModule("h", state=list[str])

    @restartable(host, style)
    def outer(ctx: Context[list[str]], f: FuncRef[[i32], i32]) -> Steps[i32]:
        try:
            return (yield from call(f, 1))
        finally:
            yield from sleep(1)
            ctx.once(lambda: ctx.state.append("outer left"))

    @restartable(host, style)
    def fails(ctx: Context[list[str]]) -> Steps[i32]:
        yield from sleep(1)
        raise error()

    return host


@pytest.mark.parametrize("make", [guest, everywhere], ids=["plain", "interrupted"])
@pytest.mark.parametrize("style", STYLES)
def test_an_exception_reaches_the_embedder_as_itself(style: str, make: Callable[..., Instance]) -> None:
    """10: a host function's own exception is no trap: the very object comes out, behind the cleanup of the host
    functions on its way, and no record or frame is left."""
    error = ZeroDivisionError("mine")
    host = _failing(style, lambda: error)
    inst = make(NESTED, host)
    execution = inst.start("run")
    assert finish(execution) == Failed(error)
    assert inst.state(host) == ["outer left"]
    assert execution._context.frames == []
    with pytest.raises(ZeroDivisionError) as caught:
        guest(NESTED, host).exports.run()
    assert caught.value is error
    assert "WebAssembly backtrace" in "".join(error.__notes__)


@pytest.mark.parametrize("style", STYLES)
def test_an_exception_under_faults(style: str) -> None:
    """10, 16: and so it does with a fault at each check point, those of the cleanup included."""
    host = _failing(style, lambda: ZeroDivisionError("mine"))
    host.save(list)
    host.load(list)
    found = explore(scene(NESTED, host, observe=lambda inst: list(inst.state(host)), saves=False, catches=True))
    found.exhaustive()
    found.every(1, 2)


@pytest.mark.parametrize("make", [guest, everywhere], ids=["plain", "interrupted"])
@pytest.mark.parametrize("style", STYLES)
def test_keyboard_interrupt_in_a_host_function(style: str, make: Callable[..., Instance]) -> None:
    """10: KeyboardInterrupt and its like go the same way, and no `except Exception` on the way can eat them."""
    host = _failing(style, KeyboardInterrupt)
    inst = make(NESTED, host)
    outcome = finish(inst.start("run"))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, KeyboardInterrupt)
    assert inst.state(host) == ["outer left"]
    with pytest.raises(KeyboardInterrupt):
        guest(NESTED, host).exports.run()


@pytest.mark.parametrize("make", [guest, everywhere], ids=["plain", "interrupted"])
@pytest.mark.parametrize("style", STYLES)
def test_exit_runs_cleanup_on_its_way(style: str, make: Callable[..., Instance]) -> None:
    """A guest that exits deep inside ends the whole execution; the host functions that wait for it clean up, and may
    even wait in doing so."""
    host = HostModule("h", state=list[str])

    @restartable(host, style)
    def outer(ctx: Context[list[str]], f: FuncRef[[i32], i32]) -> Steps[i32]:
        try:
            return (yield from call(f, 1))
        except Exception:
            return -1
        finally:
            yield from sleep(1)
            ctx.once(lambda: ctx.state.append("outer left"))

    @host.function
    def fails(ctx: Context[list[str]]) -> i32:
        ctx.exit(3)

    inst = make(NESTED, host)
    assert finish(inst.start("run")) == Exited(3)
    assert inst.state(host) == ["outer left"]
    with pytest.raises(ExitRequested):
        guest(NESTED, host).exports.run()


def test_an_attempt_that_raises_is_in_the_journal() -> None:
    """What an attempt raised is raised again in a replay, and the attempt isn't made again."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: BlockingContext[list[str]]) -> i32:
        def attempt() -> int:
            ctx.state.append("tried")
            raise ConnectionResetError

        try:
            ctx.block_until(attempt)
        except ConnectionResetError:
            ctx.sleep(1)
        return 1

    inst = everywhere('(import "h" "f" (func $f (result i32))) (export "run" (func $f))', host)
    assert finish(inst.start("run")) == Returned((1,))
    assert inst.state(host) == ["tried"]


@pytest.mark.parametrize("style", STYLES)
def test_an_errno_a_trap_and_an_exception_never_mix(style: str) -> None:
    """10: a mapped exception is the guest's result, a trap stays a trap, anything else reaches the embedder; the same
    whether the function was suspended before or not."""
    host = HostModule("h", errors=ERRNO_NEGATIVE)

    @restartable(host, style)
    def f(ctx: Context, n: i32) -> Steps[i32]:
        yield from sleep(1)
        if n == 0:
            raise ConnectionResetError
        if n == 1:
            ctx.memory.read(1 << 20, 1)
        if n == 2:
            raise ArithmeticError
        return n

    text = """(import "h" "f" (func $f (param i32) (result i32))) (memory (export "memory") 1)
      (func (export "run") (param i32) (result i32) (call $f (local.get 0)))"""
    for make in (guest, everywhere):
        inst = make(text, host)
        assert finish(inst.start("run", 0)) == Returned((-15,))
        assert isinstance(finish(inst.start("run", 1)), Trapped)
        inst = make(text, host)
        assert isinstance(finish(inst.start("run", 2)), Failed)
    with pytest.raises(Trap):
        guest(text, host).exports.run(1)
