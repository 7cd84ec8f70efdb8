"""Executions from start to outcome: states and their moves, outcomes, and the ways to go on after a suspension."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest

from runtime import (
    At,
    Dropped,
    Every,
    ExecContext,
    Exited,
    Failed,
    HostFrame,
    Injected,
    Interrupt,
    Interrupted,
    RecordError,
    ReentrancyError,
    Returned,
    SnapshotError,
    State,
    StateError,
    Status,
    Suspended,
    TailCall,
    Trap,
    TrapCode,
    Trapped,
    Unwind,
    WasmFrame,
    control,
    is_restartable,
    make_exit,
    snapshot,
)
from runtime.exec.state import MOVES, STATE_OF, ExitSignal, move
from tests.support.asking import ASKING, ask, asking, picture
from tests.support.guests import Guest, resume_all
from tests.support.hosts import Call, Results, host, imports

# States


def test_the_table_of_moves_is_what_move_does() -> None:
    """A move is legal if and only if the table has it; all else raises StateError. Five states are final."""
    for old, new in product(State, State):
        if new in MOVES.get(old, ()):
            assert move(old, new) is new
        else:
            with pytest.raises(StateError, match=rf"{old.value} can't become {new.value}"):
                move(old, new)
    assert State.READY not in {new for news in MOVES.values() for new in news}
    final = {STATE_OF[outcome] for outcome in (Returned, Trapped, Failed, Exited, Dropped)}
    assert {state for state, news in MOVES.items() if not news} == final


def _ready() -> ExecContext:
    return Guest(ASKING, imports(ask)).start("f", 1)


def _suspended() -> ExecContext:
    return asking()[1]


def _ending(fn: Callable[[Call], Results], state: State) -> ExecContext:
    code = host("h", "ask", "i32 -> i32")(fn)
    ctx = Guest(ASKING, imports(code)).start("f", 1)
    control.run(ctx)
    assert ctx.state is state
    return ctx


def _raise(error: BaseException) -> Callable[[Call], Results]:
    def fn(call: Call) -> Results:
        raise error

    return fn


def _dropped() -> ExecContext:
    ctx = _suspended()
    control.drop(ctx)
    return ctx


MAKERS: dict[State, Callable[[], ExecContext]] = {
    State.READY: _ready,
    State.SUSPENDED: _suspended,
    State.RETURNED: lambda: _ending(lambda call: (1,), State.RETURNED),
    State.TRAPPED: lambda: _ending(_raise(Trap(TrapCode.HOST)), State.TRAPPED),
    State.FAILED: lambda: _ending(_raise(KeyError("x")), State.FAILED),
    State.EXITED: lambda: _ending(_raise(make_exit(3)), State.EXITED),
    State.DROPPED: _dropped,
}
VERBS: dict[str, Callable[[ExecContext], object]] = {
    "run": control.run,
    "answer": lambda ctx: control.answer(ctx, 5),
    "resume_with": lambda ctx: control.resume_with(ctx, (5,)),
    "throw": lambda ctx: control.throw(ctx, KeyError("thrown")),
    "drop": control.drop,
    "save": lambda ctx: snapshot.save(ctx, None),
}
LEGAL = {
    State.READY: {"run", "drop", "save"},
    State.SUSPENDED: set(VERBS),
}


def refused(ctx: ExecContext, verb: str) -> None:
    """`verb` raises and changes nothing."""
    before = picture(ctx)
    with pytest.raises(SnapshotError if verb == "save" else StateError, match=ctx.state.value):
        VERBS[verb](ctx)
    assert picture(ctx) == before


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("state", MAKERS, ids=lambda state: state.value)
def test_each_verb_in_each_state(state: State, verb: str) -> None:
    """Behaviours 8 and 9: a verb that the state doesn't allow is an error, and nothing has changed or run."""
    ctx = MAKERS[state]()
    assert ctx.state is state
    if verb in LEGAL.get(state, ()):
        VERBS[verb](ctx)
    else:
        refused(ctx, verb)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_while_running(verb: str) -> None:
    """An execution that runs refuses every verb, and goes on unharmed."""
    seen: list[ExecContext] = []

    def fn(call: Call) -> Results:
        refused(call.ctx, verb)
        seen.append(call.ctx)
        return (7,)

    code = host("h", "ask", "i32 -> i32")(fn)
    assert Guest(ASKING, imports(code)).call("f", 1) == 107
    assert len(seen) == 1


@pytest.mark.parametrize("verb", ["answer", "resume_with"])
def test_where_webassembly_is_innermost_nothing_can_be_answered(verb: str) -> None:
    """With a wasm frame innermost `answer` and `resume_with` raise StateError and change nothing."""
    guest = Guest('(func (export "f") (loop (br 0)))', injector=At((3,)))
    ctx = guest.start("f")
    assert isinstance(control.run(ctx), Suspended)
    before = picture(ctx)
    with pytest.raises(StateError, match="not a host function"):
        VERBS[verb](ctx)
    assert picture(ctx) == before


def test_only_a_question_can_be_answered() -> None:
    """`answer` where the host function was stopped before it asked is a StateError; a second answer is one, too."""
    guest = Guest(ASKING, imports(ask), injector=At((2,)))
    ctx = guest.start("f", 1)
    assert isinstance(control.run(ctx), Suspended)
    assert isinstance(ctx.frames[-1], HostFrame)
    with pytest.raises(StateError, match=r"h\.ask has not asked"):
        control.answer(ctx, 5)
    assert isinstance(control.run(ctx), Suspended)
    control.answer(ctx, 5)
    with pytest.raises(StateError, match="has not asked"):
        control.answer(ctx, 6)
    assert control.run(ctx) == Returned((105,))


# Outcomes


def test_status_codes_are_toywasms() -> None:
    """OK 0, trap -1, restart -2, user interrupt -3; what is at or below -2 can be resumed."""
    assert [(s.name, s.value) for s in Status] == [
        ("OK", 0), ("ETOYWASMTRAP", -1), ("ETOYWASMRESTART", -2), ("ETOYWASMUSERINTERRUPT", -3),
    ]  # fmt: skip
    assert [code for code in range(-5, 3) if is_restartable(code)] == [-5, -4, -3, -2]
    restart = Suspended(Status.ETOYWASMRESTART, Injected(1))
    interrupted = Suspended(Status.ETOYWASMUSERINTERRUPT, Interrupted(Interrupt()))
    assert control.status(Returned(())) == 0
    assert control.status(Trapped(Trap(TrapCode.HOST))) == control.status(Exited(0)) == -1
    assert (control.status(restart), control.status(interrupted)) == (-2, -3)


def test_a_call_that_returns() -> None:
    """Behaviour 1: the result is right, and the number of suspensions is told: none."""
    guest = Guest('(func (export "f") (param i32 i32) (result i32) (i32.sub (local.get 0) (local.get 1)))')
    ctx = guest.start("f", 3, 5)
    assert control.run(ctx) == Returned((0xFFFF_FFFE,))
    assert (ctx.state, ctx.depth, ctx.cells, ctx.hosts) == (State.RETURNED, 0, 0, 0)
    assert sum(guest.store.counters.suspensions.values()) == 0


@pytest.mark.parametrize("k", [1, 2, 3])
def test_suspensions_are_counted(k: int) -> None:
    """Behaviour 1: driven by the resume loop the result is the same, and the suspensions are counted exactly."""
    text = """(func (export "f") (param i32) (result i32) (local $sum i32)
      (loop (local.set $sum (i32.add (local.get $sum) (local.get 0)))
        (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (local.get $sum))"""
    guest = Guest(text, injector=Every(k))
    ctx = guest.start("f", 10)
    assert resume_all(ctx) == Returned((55,))
    # Check points: the entry, and the loop's header each time it is branched to.
    assert guest.store.counters.suspensions == {"Injected": 10 // k}
    assert (ctx.depth, ctx.cells, ctx.hosts) == (0, 0, 0)


def test_a_trap_keeps_its_code_and_ends_the_call() -> None:
    """Trapped holds the trap; frames are gone, and the guest can be called again."""
    guest = Guest('(func (export "f") (param i32) (result i32) (i32.div_u (i32.const 7) (local.get 0)))')
    ctx = guest.start("f", 0)
    outcome = control.run(ctx)
    assert isinstance(outcome, Trapped)
    assert outcome.trap.code is TrapCode.INTEGER_DIVIDE_BY_ZERO
    assert (list(ctx.frames), ctx.depth, ctx.cells) == ([], 0, 0)
    assert guest.call("f", 7) == 1


def test_a_host_functions_own_exception_is_no_trap() -> None:
    """Behaviour 10: the embedder gets the very error; nothing is left behind."""
    error = KeyError("mine")
    guest = Guest(ASKING, imports(host("h", "ask", "i32 -> i32")(_raise(error))))
    ctx = guest.start("f", 1)
    outcome = control.run(ctx)
    assert isinstance(outcome, Failed)
    assert outcome.error is error
    assert (list(ctx.frames), ctx.spilled, ctx.depth, ctx.hosts) == ([], [], 0, 0)
    with pytest.raises(KeyError) as caught:
        guest.call("f", 1)
    assert caught.value is error


def test_an_error_that_looks_like_one_of_a_handler_is_the_hosts() -> None:
    """An IndexError of host code is not mistaken for an access out of bounds."""
    guest = Guest(ASKING, imports(host("h", "ask", "i32 -> i32")(_raise(IndexError("mine")))))
    outcome = control.run(guest.start("f", 1))
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, IndexError)


def test_exit_from_a_host_function() -> None:
    """An exit signal ends the execution with its code, through guest and host frames; only the engine makes one."""
    code = host("h", "ask", "i32 -> i32")(_raise(make_exit(3)))
    outer = host("h", "outer", "i32 -> i32")(lambda call: call.call(inner.raw("f"), 1))
    inner = Guest(ASKING, imports(code))
    guest = Guest(ASKING.replace('"ask"', '"outer"'), imports(outer))
    assert control.run(guest.start("f", 1)) == Exited(3)
    with pytest.raises(TypeError):
        ExitSignal(3)


def test_an_exit_request_reaches_a_suspended_execution_when_it_runs() -> None:
    """Behaviour 6: asked for while suspended, an exit ends the execution as soon as it is run, whatever it waits in,
    with the cleanup of its host functions; the first code wins."""
    cleaned: list[str] = []

    @host("h", "ask", "i32 -> i32")
    def careful(call: Call) -> Results:
        try:
            return (call.ask("?"),)
        except ExitSignal as signal:
            cleaned.append(f"exit {signal.code}")
            raise

    ctx = Guest(ASKING, imports(careful)).start("f", 1)
    control.run(ctx)
    ctx.requests.exit(9)
    ctx.requests.exit(10)
    assert control.run(ctx) == Exited(9)
    assert cleaned == ["exit 9"]


# Misuse of the border


def test_the_engines_signals_have_no_public_constructor() -> None:
    """`Unwind` can't be raised or subclassed by anybody but the engine."""
    with pytest.raises(TypeError):
        Unwind()
    with pytest.raises(TypeError):
        type("Mine", (Unwind,), {})


def _swallow_and_return(call: Call) -> Results:
    try:
        call.call(call.args[0], 1, scheduled=True)
    except BaseException:
        pass
    return (1,)


def _swallow_and_raise(call: Call) -> Results:
    try:
        call.call(call.args[0], 1, scheduled=True)
    except BaseException:
        raise KeyError("something else") from None
    raise AssertionError("the callback is scheduled")


@pytest.mark.parametrize("swallow", [_swallow_and_return, _swallow_and_raise])
def test_a_swallowed_unwind_is_told(swallow: Callable[[Call], Results]) -> None:
    """Behaviour 18: a host function that swallows the engine's signal fails by name, the callee isn't run behind its
    back, and the host function beneath can still go on."""
    ran: list[int] = []

    @host("h", "ask", "i32 -> i32")
    def callee(call: Call) -> Results:
        ran.append(1)
        return (1,)

    swallower = host("h", "bad", "funcref -> i32")(swallow)

    @host("h", "ask", "i32 -> i32")
    def outer(call: Call) -> Results:
        call.ask("first")  # so that this one is on the run loop when the other one fails
        with pytest.raises(RecordError, match=r"h\.bad swallowed"):
            call.call(swallower.func, callee.func)
        return (call.ask("second"),)

    guest = Guest(ASKING, imports(outer))
    ctx = guest.start("f", 1)
    control.run(ctx)
    control.answer(ctx, 0)
    assert control.run(ctx) == Suspended(Status.ETOYWASMRESTART, "second")
    assert [type(f) for f in ctx.frames] == [WasmFrame, HostFrame]
    assert (ctx.depth, ctx.hosts, ctx.unwinding) == (2, 1, False)
    control.answer(ctx, 2)
    assert control.run(ctx) == Returned((102,))
    assert ran == []


def test_frames_of_a_swallowed_suspension_are_cleaned_up() -> None:
    """Behaviour 18: host functions that waited above the one that swallowed the signal get their cleanup."""
    waiting = host("h", "ask", "i32 -> i32")(ask.fn)
    inner = Guest(ASKING, imports(waiting))

    @host("h", "ask", "i32 -> i32")
    def bad(call: Call) -> Results:
        try:
            call.call(inner.raw("f"), 1)
        except BaseException:
            pass
        return (1,)

    ctx = Guest(ASKING, imports(bad)).start("f", 1)
    outcome = control.run(ctx)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, RecordError)
    assert waiting.drops == 1
    assert (ctx.spilled, ctx.depth, ctx.cells, ctx.hosts) == ([], 0, 0, 0)


# Host functions on their own


def test_host_functions_call_one_another_without_a_guest() -> None:
    """Behaviour 23: host calls host directly, nested and scheduled; the result is delivered, no frame lies between."""

    @host("h", "inner", "i32 -> i32")
    def inner(call: Call) -> Results:
        return (call.ask("?") + call.args[0],)

    for scheduled in (False, True):
        outer = host("h", "ask", "i32 -> i32", scheduled=scheduled)(
            lambda call: (call.call(inner.func, call.args[0] + 1)[0] * 2,)
        )
        ctx = Guest(ASKING, imports(outer)).start("f", 10)
        control.run(ctx)
        assert [type(f) for f in ctx.frames] == [WasmFrame, HostFrame, HostFrame]
        control.answer(ctx, 4)
        assert control.run(ctx) == Returned((130,))


def test_a_return_call_to_a_host_function_leaves_no_frame() -> None:
    """Behaviour 27: suspended in a host function that was tail-called, the caller's frame is gone, and its caller
    gets the result."""
    text = """
      (import "h" "ask" (func $ask (param i32) (result i32)))
      (func $middle (param i32) (result i32) (return_call $ask (local.get 0)))
      (func (export "f") (param i32) (result i32) (i32.add (i32.const 100) (call $middle (local.get 0))))
    """
    ctx = Guest(text, imports(ask)).start("f", 1)
    control.run(ctx)
    assert [repr(f).split(" at ")[0] for f in ctx.frames] == ["<WasmFrame func[2]", "<HostFrame h.ask>"]
    assert (ctx.depth, ctx.hosts) == (2, 1)
    control.answer(ctx, 5)
    assert control.run(ctx) == Returned((105,))


def test_a_trampoline_hands_on_its_place() -> None:
    """A host function that tail-calls another one, or a guest function, is gone when that suspends."""
    hop = host("h", "ask", "i32 -> i32")(lambda call: TailCall(ask.func, (call.args[0],)))
    ctx = Guest(ASKING, imports(hop)).start("f", 1)
    control.run(ctx)
    assert [repr(f).split(" at ")[0] for f in ctx.frames] == ["<WasmFrame func[1]", "<HostFrame h.ask>"]
    control.answer(ctx, 5)
    assert control.run(ctx) == Returned((105,))


def test_reentering_the_suspended_execution_is_refused() -> None:
    """Behaviour 31: an execution can't be run from inside itself, whoever tries."""
    found: list[BaseException] = []

    @host("h", "ask", "i32 -> i32")
    def reenter(call: Call) -> Results:
        try:
            control.run(call.ctx)
        except StateError as error:
            found.append(error)
        return (1,)

    assert Guest(ASKING, imports(reenter)).call("f", 1) == 101
    assert [str(e) for e in found] == ["an execution that is running can't become running"]
    assert not isinstance(found[0], ReentrancyError)


