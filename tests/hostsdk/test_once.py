"""`ctx.once` and the clock: what a restarted call is given again instead of being done again."""

from __future__ import annotations

from functools import partial

import pytest

from hostsdk import BlockingContext, Context, Failed, FuncRef, HostModule, Ptr, Returned, Steps, call, i32, sleep, u32
from hostsdk.testing import explore
from tests.support.inject import MEMORY, STYLES, everywhere, finish, guest, reload, restartable, run_to, scene, table

CALL = f"""(import "h" "f" (func $f (param i32) (result i32))) {MEMORY} {table("$id", "$twice")}
  (func $id (param i32) (result i32) (local.get 0))
  (func $twice (param i32) (result i32) (i32.mul (i32.const 2) (local.get 0)))
  (data (i32.const 64) "\\01\\00\\00\\00\\07\\00\\00\\00")
  (func (export "run") (result i32) (call $f (i32.const 64)))"""


def _noted(seen: list[int], value: int) -> int:
    seen.append(value)
    return len(seen)


@pytest.mark.parametrize("style", STYLES)
def test_an_effect_happens_once(style: str) -> None:
    """Whatever restarts come, `once` runs its function once and gives the same value again."""
    host = HostModule("h", state=list[int])
    host.save(list)
    host.load(list)

    @restartable(host, style)
    def f(ctx: Context[list[int]], n: i32) -> Steps[i32]:
        total = 0
        for k in range(3):
            total += ctx.once(partial(_noted, ctx.state, k))
            yield from sleep(1)
        return total

    found = explore(scene(CALL, host, observe=lambda inst: list(inst.state(host))))
    found.exhaustive()
    found.every(1)
    found.mixed(range(3))


@pytest.mark.parametrize("style", STYLES)
def test_an_exception_is_kept_too(style: str) -> None:
    """What `once` raised is raised again, the same exception; the function isn't run again."""
    host = HostModule("h", state=list[str])

    @restartable(host, style)
    def f(ctx: Context[list[str]], n: i32) -> Steps[i32]:
        def fails() -> None:
            ctx.state.append("ran")
            raise LookupError("once")

        try:
            ctx.once(fails)
        except LookupError as error:
            yield from sleep(1)
            return len(str(error))
        return 0

    inst = everywhere(CALL, host)
    assert finish(inst.start("run")) == Returned((4,))
    assert inst.state(host) == ["ran"]


@pytest.mark.parametrize("style", STYLES)
def test_pointers_and_function_references_are_kept(style: str) -> None:
    """A Ptr or FuncRef that `once` gives is usable after a restart, and after save and load."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context, pp: Ptr[Ptr[FuncRef[[i32], i32]]]) -> Steps[i32]:
        total = 0
        for _ in range(2):
            p = ctx.once(lambda: _next(pp))
            yield from sleep(1)
            total += yield from call(p.load(), 5)
        return total

    text = f"""(import "h" "f" (func $f (param i32) (result i32))) {MEMORY} {table("$id", "$twice")}
      (func $id (param i32) (result i32) (local.get 0))
      (func $twice (param i32) (result i32) (i32.mul (i32.const 2) (local.get 0)))
      (data (i32.const 0) "\\40\\00\\00\\00") (data (i32.const 64) "\\00\\00\\00\\00\\01\\00\\00\\00")
      (func (export "run") (result i32) (call $f (i32.const 0)))"""
    found = explore(scene(text, host))
    assert "returned (15)" in {ending.outcome for ending in found.undisturbed.values()}
    found.exhaustive()
    found.every(1, 3)


def _next(pp: Ptr[Ptr[FuncRef[[i32], i32]]]) -> Ptr[FuncRef[[i32], i32]]:
    p = pp.load()
    pp.store(p.offset(1))
    return p


@pytest.mark.parametrize("style", STYLES)
def test_memory_is_read_and_written_once(style: str) -> None:
    """Reads are answered from the journal and writes are skipped in a replay: what the guest has changed meanwhile is
    neither seen nor undone."""
    host = HostModule("h")

    @restartable(host, style)
    def f(ctx: Context, p: Ptr[u32]) -> Steps[i32]:
        first = p.load()
        p.store(100)
        yield from sleep(1)
        return first + p.load()

    inst = everywhere(CALL, host)
    execution = inst.start("run")
    run_to(execution, "in wait")
    memory = inst._raw.memories[0]
    assert memory.data[64] == 100
    memory.data[64] = 50
    assert finish(reload(execution, [host], CALL)) == Returned((51,))
    assert finish(execution) == Returned((51,))
    assert memory.data[64] == 50


@pytest.mark.parametrize("style", STYLES)
def test_time_stands_in_the_journal(style: str) -> None:
    """`ctx.time` and `ctx.wall_time` give a restarted call what they gave before."""
    host = HostModule("h", state=list[float])

    @restartable(host, style)
    def f(ctx: Context[list[float]], n: i32) -> Steps[i32]:
        begun, wall = ctx.time, ctx.wall_time
        yield from sleep(2)
        yield from sleep(3)
        ctx.once(lambda: ctx.state.extend([ctx.time - begun, ctx.wall_time - wall]))
        return 1

    inst = everywhere(CALL, host)
    finish(inst.start("run"))
    assert inst.state(host) == [5, 5]


def test_a_once_in_a_once_is_one_step() -> None:
    """An inner `once` belongs to the outer step: both are done once."""
    host = HostModule("h", state=list[str])

    @host.restartable
    def f(ctx: BlockingContext[list[str]], n: i32) -> i32:
        def outer() -> int:
            ctx.state.append("outer")
            return ctx.once(inner) + 1

        def inner() -> int:
            ctx.state.append("inner")
            return 1

        got = ctx.once(outer)
        ctx.sleep(1)
        return got

    inst = everywhere(CALL, host)
    assert finish(inst.start("run")) == Returned((2,))
    assert inst.state(host) == ["outer", "inner"]


def test_a_step_that_is_no_step_shows() -> None:
    """What a function does without ctx is done again by a restart: the harness finds it."""
    from hostsdk.testing import InjectionFailure

    host = HostModule("h", state=list[int])

    @host.restartable
    def f(ctx: BlockingContext[list[int]], n: i32) -> i32:
        ctx.state.append(n)
        ctx.sleep(1)
        return len(ctx.state)

    found = explore(scene(CALL, host, saves=False))
    with pytest.raises(InjectionFailure, match=r"returned \(2\)"):
        found.exhaustive()
    outcome = finish(guest(CALL, host).start("run"))
    assert not isinstance(outcome, Failed)
