"""The guest's own stack pointer, put right after calls that end in the middle."""

from __future__ import annotations

import pytest

from runtime import At, Outcome, State, Suspended, control, run_through
from tests.support.guests import Guest, reload
from tests.support.hosts import Call, Host, Results, host, imports, lookup

#: Like C: a function takes 16 bytes of its stack while it runs.
BODY = """
  (import "h" "work" (func $work (param i32) (result i32)))
  (memory 1)
  (global $__stack_pointer {sp} (mut i32) (i32.const 65536))
  (func $inner (param i32) (result i32) (local i32)
    (global.set $__stack_pointer (local.tee 1 (i32.sub (global.get $__stack_pointer) (i32.const 16))))
    (local.set 0 (call $work (local.get 0)))
    (global.set $__stack_pointer (i32.add (local.get 1) (i32.const 16)))
    (local.get 0))
  (func (export "f") (param i32) (result i32) (call $inner (local.get 0)))
  (func (export "sp") (result i32) (global.get $__stack_pointer))
"""
EXPORTED = BODY.format(sp='(export "__stack_pointer")').replace("$__stack_pointer", "$sp")
NAMED = BODY.format(sp="")
HIDDEN = NAMED.replace("$__stack_pointer", "$hidden")
FULL = 65536


def trap(call: Call) -> Results:
    return call.call(boom.raw("f"))


boom = Guest('(func (export "f") unreachable)')


def fail(call: Call) -> Results:
    raise KeyError("mine")


def ask(call: Call) -> Results:
    return (call.ask("?"),)


def leave(call: Call) -> Results:
    call.ctx.requests.exit(3)
    call.check()
    raise AssertionError("it was told to exit")


def end(how: str, text: str) -> Guest:
    """A guest, one call of which has ended in the middle."""
    fns = {"trap": trap, "fail": fail, "drop": ask, "exit": leave, "throw": ask}
    guest = Guest(text, imports(of(fns[how])))
    ctx = guest.start("f", 1)
    outcome: Outcome = control.run(ctx)
    if isinstance(outcome, Suspended):
        if how == "drop":
            control.drop(ctx)
        else:
            control.throw(ctx, KeyError())
            control.run(ctx)
    assert ctx.state in (State.TRAPPED, State.FAILED, State.DROPPED, State.EXITED)
    return guest


def of(fn: object) -> Host:
    return host("h", "work", "i32 -> i32")(fn)  # type: ignore[arg-type]


ENDS = ["trap", "fail", "drop", "exit", "throw"]


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("text", [EXPORTED, NAMED], ids=["exported", "named"])
def test_the_pointer_is_restored(text: str, how: str) -> None:
    """DESIGN 4: after a trap, a failure, a drop, an exit or a throw the guest's stack is as it was, where the pointer
    is a global exported or named `__stack_pointer`."""
    guest = end(how, text)
    assert guest.call("sp") == FULL
    assert guest.instance.abandoned is None


@pytest.mark.parametrize("how", ENDS)
def test_an_instance_whose_pointer_cannot_be_told_is_abandoned(how: str) -> None:
    """DESIGN 4: where there may be a stack pointer and nobody can tell which global it is, the instance is marked, with
    the reason."""
    guest = end(how, HIDDEN)
    assert guest.instance.abandoned is not None
    assert "ended in the middle" in guest.instance.abandoned


@pytest.mark.parametrize(
    "text",
    [
        NAMED.replace("(memory 1)", "").replace("$__stack_pointer", "$hidden"),
        '(import "h" "work" (func $work (param i32) (result i32))) (memory 1) (global i32 (i32.const 1)) '
        '(global (mut f64) (f64.const 1)) (func (export "f") (param i32) (result i32) (call $work (local.get 0)))',
    ],
    ids=["no memory", "no mutable integer"],
)
def test_where_there_is_no_such_stack_nothing_is_abandoned(text: str) -> None:
    """Without a memory or a mutable integer global there is no stack to lose."""
    assert end("trap", text).instance.abandoned is None


def test_a_call_that_returns_restores_nothing() -> None:
    """A guest that moves its pointer on purpose keeps it there, and a suspended call keeps what it has."""
    guest = Guest(EXPORTED + '(func (export "move") (global.set $sp (i32.const 4096)))', imports(of(ask)))
    guest.call("move")
    assert guest.call("sp") == 4096
    ctx = guest.start("f", 1)
    control.run(ctx)
    assert guest.get("__stack_pointer") == 4080
    control.drop(ctx)
    assert guest.get("__stack_pointer") == 4096


def test_dropped_before_it_began() -> None:
    """A fresh execution that is dropped has moved nothing, and nothing is abandoned."""
    guest = Guest(HIDDEN, imports(of(ask)))
    control.drop(guest.start("f", 1))
    assert guest.instance.abandoned is None


def test_nested_activations_restore_their_own_part() -> None:
    """A nested call that traps gives back what it took, and not what the outer one still uses."""
    pointers: list[int] = []

    def work(call: Call) -> Results:
        if call.args[0]:
            with pytest.raises(KeyError):
                guests[0].call("f", 0)
            pointers.append(guests[0].get("__stack_pointer"))
            return (5,)
        pointers.append(guests[0].get("__stack_pointer"))
        raise KeyError

    guests = [Guest(EXPORTED, imports(of(work)))]
    assert guests[0].call("f", 1) == 5
    assert pointers == [FULL - 32, FULL - 16]
    assert guests[0].call("sp") == FULL


@pytest.mark.parametrize("scheduled", [False, True])
def test_every_instance_that_was_entered_is_restored(scheduled: bool) -> None:
    """A guest reached only by a host function's callback is put right as well."""
    inner = Guest(EXPORTED, imports(of(fail)))
    outer = Guest(EXPORTED, imports(of(lambda call: call.call(inner.raw("f"), 1, scheduled=scheduled))))
    ctx = outer.start("f", 1)
    control.run(ctx)
    assert ctx.state is State.FAILED
    assert (outer.call("sp"), inner.call("sp")) == (FULL, FULL)


def test_a_timeout_that_is_dropped_restores() -> None:
    """Interrupted in the midst of the guest and dropped, again and again: the stack is never used up."""
    guest = Guest(EXPORTED, imports(of(ask)), injector=At((2,)))
    for _ in range(5000):
        ctx = guest.start("f", 1)
        run_through(ctx, faults=True)
        control.drop(ctx)
    assert guest.call("sp") == FULL


def test_saved_and_restored_the_pointer_is_still_known() -> None:
    """A restored execution that is dropped puts the pointer back to where its own call began."""
    code = of(ask)
    guest = Guest(EXPORTED + '(func (export "move") (global.set $sp (i32.const 4096)))', imports(code))
    guest.call("move")
    ctx = guest.start("f", 1)
    control.run(ctx)
    restored, instance = reload(ctx, guest.instance, lookup(code))
    pointer = instance.exports["__stack_pointer"]
    assert pointer.value == 4080  # type: ignore[union-attr]
    control.drop(restored)
    assert pointer.value == 4096  # type: ignore[union-attr]


def test_instances_that_share_a_pointer() -> None:
    """Linked instances of one C program have one stack pointer: it goes back to where the first of them was entered."""
    giver = Guest('(global (export "__stack_pointer") (mut i32) (i32.const 65536)) (memory 1)')
    library = """(import "m" "__stack_pointer" (global $__stack_pointer (mut i32))) (memory 1)
      (func (export "deep") unreachable)"""
    below = Guest(library, {"m": giver.instance.exports})
    program = """(import "m" "__stack_pointer" (global $__stack_pointer (mut i32))) (memory 1)
      (import "l" "deep" (func $deep))
      (func (export "f") (global.set $__stack_pointer (i32.const 60000)) (call $deep))"""
    above = Guest(program.replace("(memory 1)\n", "").replace("(call $deep))", "(call $deep)) (memory 1)"),
                  {"m": giver.instance.exports, "l": below.instance.exports})  # fmt: skip
    control.run(above.start("f"))
    assert giver.get("__stack_pointer") == FULL
