"""One activation at a time in whatever is linked; several instances in one execution."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from runtime import (
    At,
    Every,
    Failed,
    Func,
    Instance,
    ReentrancyError,
    Returned,
    State,
    Store,
    Suspended,
    Table,
    Trapped,
    control,
)
from tests.support.asking import ASKING, ask
from tests.support.guests import Guest, resume_all
from tests.support.hosts import Call, Results, host, imports
from tests.support.waits import PATIENCE, in_thread

MORE = ASKING + ' (func (export "one") (result i32) (i32.const 1))'


def test_a_suspended_call_keeps_others_out() -> None:
    """Behaviour 31: while a call is suspended another one into the instance is refused, and says why; nothing changes,
    and once the first has ended others may come."""
    guest = Guest(MORE, imports(ask))
    ctx = guest.start("f", 1)
    control.run(ctx)
    other = guest.start("one")
    with pytest.raises(ReentrancyError, match="in the middle of another call, which is suspended"):
        control.run(other)
    assert other.state is State.READY
    control.answer(ctx, 5)
    assert control.run(ctx) == Returned((105,))
    assert control.run(other) == Returned((1,))


@pytest.mark.parametrize("end", ["drop", "trap", "fail"])
def test_whatever_ends_a_call_lets_others_in(end: str) -> None:
    """Dropped, trapped or failed: the instance is free again."""
    guest = Guest(MORE, imports(ask))
    ctx = guest.start("f", 1)
    control.run(ctx)
    if end == "drop":
        control.drop(ctx)
    else:
        control.throw(ctx, KeyError())
        control.run(ctx)
    assert guest.call("one") == 1


def test_another_thread_is_kept_out() -> None:
    """Behaviour 31: an instance that runs on one thread refuses a second; the first isn't disturbed."""
    inside, go = threading.Event(), threading.Event()

    @host("h", "ask", "i32 -> i32")
    def stay(call: Call) -> Results:
        inside.set()
        assert go.wait(PATIENCE)
        return (1,)

    guest = Guest(MORE, imports(stay))
    running = in_thread(lambda: guest.call("f", 1))
    assert inside.wait(PATIENCE)
    with pytest.raises(ReentrancyError, match="another thread"):
        guest.call("one")
    go.set()
    assert running.result(PATIENCE) == 101
    assert guest.call("one") == 1


def test_a_suspended_call_may_go_on_in_another_thread() -> None:
    """What is suspended belongs to no thread; a nested call made there is its own."""
    found: list[Guest] = []

    @host("h", "ask", "i32 -> i32")
    def work(call: Call) -> Results:
        answer = call.ask("?")
        return (answer + found[0].call("one"),)

    found.append(Guest(MORE, imports(work)))
    ctx = found[0].start("f", 1)
    control.run(ctx)
    control.answer(ctx, 4)
    assert in_thread(lambda: control.run(ctx)).result(PATIENCE) == Returned((105,))


def test_nested_entry_last_in_first_out_is_fine() -> None:
    """A host function may call back into the very instance that called it, by a plain call, several deep."""
    found: list[Guest] = []

    @host("h", "ask", "i32 -> i32")
    def work(call: Call) -> Results:
        left = call.args[0]
        return (found[0].call("f", left - 1) if left else found[0].call("one"),)

    found.append(Guest(MORE, imports(work)))
    assert found[0].call("f", 3) == 401


LINKS: dict[str, tuple[str, str]] = {
    "function": ('(func (export "x"))', '(import "m" "x" (func))'),
    "table": ('(table (export "x") 1 funcref)', '(import "m" "x" (table 1 funcref))'),
    "memory": ('(memory (export "x") 1)', '(import "m" "x" (memory 1))'),
    "mutable global": (
        '(global (export "x") (mut i32) (i32.const 0))', '(import "m" "x" (global (mut i32)))',
    ),
    "global of a function": (
        '(global (export "x") funcref (ref.func $f)) (func $f)', '(import "m" "x" (global funcref))',
    ),
}  # fmt: skip


@pytest.mark.parametrize("link", LINKS)
def test_linked_instances_are_one(link: str) -> None:
    """DESIGN 4: what is linked by a function, a table, a memory or a mutable global is entered by one call at a
    time, from either side."""
    gives, takes = LINKS[link]
    giver = Guest(ASKING + gives + '(func (export "one") (result i32) (i32.const 1))', imports(ask))
    given = {**imports(ask), "m": dict(giver.instance.exports)}
    taker = Guest(MORE.replace('(func (export "f")', takes + '(func (export "f")', 1), given)
    for first, second in ((giver, taker), (taker, giver)):
        ctx = first.start("f", 1)
        control.run(ctx)
        with pytest.raises(ReentrancyError):
            second.call("one")
        control.drop(ctx)
        assert second.call("one") == 1


def test_instances_that_only_share_constants_are_not_linked() -> None:
    """An immutable number connects nobody."""
    giver = Guest(ASKING + '(global (export "x") i32 (i32.const 1))', imports(ask))
    taker = Guest(
        '(import "m" "x" (global i32)) (func (export "one") (result i32) (i32.const 1))', {"m": giver.instance.exports}
    )
    ctx = giver.start("f", 1)
    control.run(ctx)
    assert taker.call("one") == 1
    control.drop(ctx)


def test_an_instance_linked_while_another_is_suspended() -> None:
    """Linking to what is suspended is fine, and from then on both are in the middle of that call."""
    giver = Guest(ASKING + '(func (export "x"))', imports(ask))
    ctx = giver.start("f", 1)
    control.run(ctx)
    text = '(import "m" "x" (func)) (func (export "one") (result i32) (i32.const 1))'
    taker = Guest(text, {"m": giver.instance.exports})
    with pytest.raises(ReentrancyError):
        taker.call("one")
    control.drop(ctx)
    assert taker.call("one") == 1


# Instances that no link leads to


def by_callback(target: Guest) -> Guest:
    """A guest whose host function calls `target`'s export `f`."""
    return Guest(ASKING, imports(host("h", "ask", "i32 -> i32")(lambda call: call.call(target.raw("f"), 1))))


def by_table(target: Guest) -> Guest:
    """A guest into whose table the embedder has put `target`'s export `f`."""
    text = """(table (export "t") 1 funcref) (type $t (func (param i32) (result i32)))
      (func (export "f") (param i32) (result i32)
        (i32.add (i32.const 100) (call_indirect (type $t) (local.get 0) (i32.const 0))))"""
    guest = Guest(text)
    Table(guest.instance.tables[0], guest.store).set(0, Func(target.raw("f"), target.store))
    return guest


WAYS: list[Callable[[Guest], Guest]] = [by_callback, by_table]


@pytest.mark.parametrize("way", WAYS)
def test_what_is_reached_without_a_link_is_claimed_too(way: Callable[[Guest], Guest]) -> None:
    """Reached by a callback or a reference that the host put there, an instance is in the middle of that call like the
    others."""
    target = Guest(MORE, imports(ask))
    guest = way(target)
    ctx = guest.start("f", 1)
    assert isinstance(control.run(ctx), Suspended)
    with pytest.raises(ReentrancyError):
        target.call("one")
    control.answer(ctx, 5)
    assert control.run(ctx) == Returned((205,))
    assert target.call("one") == 1


@pytest.mark.parametrize("way", WAYS)
def test_what_is_suspended_is_not_entered_without_a_link(way: Callable[[Guest], Guest]) -> None:
    """A guest that would be led into a suspended instance fails instead; the suspended call is unharmed."""
    target = Guest(MORE, imports(ask))
    waiting = target.start("f", 1)
    control.run(waiting)
    outcome = control.run(way(target).start("f", 1))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, ReentrancyError)
    control.answer(waiting, 5)
    assert control.run(waiting) == Returned((105,))


def test_a_host_function_called_by_itself_claims_what_it_calls() -> None:
    """An execution whose first function is the host's holds the instance that its callback enters."""
    target = Guest(MORE, imports(ask))
    outer = host("h", "outer", "-> i32")(lambda call: call.call(target.raw("f"), 1))
    ctx = Func(outer.func, Store()).start()
    assert isinstance(control.run(ctx), Suspended)
    with pytest.raises(ReentrancyError):
        target.call("one")
    control.answer(ctx, 2)
    assert control.run(ctx) == Returned((102,))


# Several instances in one execution


def chain(depth: int, injector: object = None) -> list[Guest]:
    """Instances of modules that import the next one's function; the last one traps for 0."""
    last = Guest('(func (export "f") (param i64 f64) (result f64 i64) '
                 "(f64.div (local.get 1) (f64.const 2)) (i64.div_u (i64.const 100) (local.get 0)))")  # fmt: skip
    guests = [last]
    for level in range(depth):
        text = f"""(import "m" "f" (func $f (param i64 f64) (result f64 i64)))
          (global $calls (export "calls") (mut i32) (i32.const 0))
          (func (export "f") (param i64 f64) (result f64 i64) (local f64 i64)
            (call $f (i64.add (local.get 0) (i64.const 1)) (local.get 1))
            (local.set 3) (local.set 2)
            (global.set $calls (i32.add (global.get $calls) (i32.const {level + 1})))
            (f64.add (local.get 2) (f64.const 1)) (i64.add (local.get 3) (i64.const 1)))"""
        guests.append(Guest(text, {"m": guests[-1].instance.exports}, injector=injector))  # type: ignore[arg-type]
    return guests


@pytest.mark.parametrize("k", [1, 2, 5])
def test_frames_of_several_instances_are_suspended_together(k: int) -> None:
    """Calls across instances with several results, suspended at every k-th check point: each frame comes back to its
    own instance."""
    guests = chain(4, Every(k))
    ctx = guests[-1].start("f", 16, 3.0)
    deepest: list[Instance] = []
    outcome = control.run(ctx)
    while isinstance(outcome, Suspended):
        if len(ctx.frames) > len(deepest):
            deepest = [frame.func.instance for frame in ctx.frames if frame.func.instance is not None]
        outcome = control.run(ctx)
    assert outcome == Returned((5.5, 9))
    assert deepest == [guest.instance for guest in reversed(guests)][: len(deepest)]
    assert [guest.get("calls") for guest in guests[1:]] == [1, 2, 3, 4]


def test_a_trap_across_instances_leaves_them_all() -> None:
    """A trap in the innermost instance ends the call in each, and all can be entered again."""
    guests = chain(3, At((5,)))
    ctx = guests[-1].start("f", -3, 0.0)
    outcome = resume_all(ctx)
    assert isinstance(outcome, Trapped)
    assert len(outcome.trap.backtrace) == 4
    assert [guest.get("calls") for guest in guests[1:]] == [0, 0, 0]
    assert guests[-1].call("f", 1, 1.0) == (3.5, 28)
