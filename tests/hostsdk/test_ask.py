"""Questions to the embedder, and other ways for it to decide what a waiting host function gives."""

from __future__ import annotations

import attrs
import pytest

from hostsdk import (
    BlockingContext,
    Context,
    ConversionError,
    FuncRef,
    HostModule,
    Question,
    Returned,
    SignatureError,
    StateError,
    Steps,
    Suspended,
    Unanswered,
    ask,
    call,
    f32,
    f64,
    i32,
    i64,
    sleep,
)
from hostsdk.testing import explore
from tests.support.inject import STYLES, everywhere, finish, guest, reload, restartable, run_to, scene, table


@attrs.frozen
class Approval(Question[i32]):
    """What the tests ask."""

    text: str


@attrs.frozen
class HowMuch(Question[f64]):
    """A question with another type of answer."""


ASKING = """(import "h" "f" (func $f (param i32) (result i32)))
  (func (export "run") (result i32) (i32.add (call $f (i32.const 1)) (i32.const 100)))"""


def _asking(style: str) -> HostModule[list[object]]:
    host = HostModule("h", state=list[object])
    host.save(list)
    host.load(list)

    @restartable(host, style)
    def f(ctx: Context[list[object]], n: i32) -> Steps[i32]:
        yield from sleep(1)
        first = yield from ask(Approval("first"))
        ctx.once(lambda: ctx.state.append(first))
        yield from sleep(1)
        second = yield from ask(Approval(f"after {first}"))
        ctx.once(lambda: ctx.state.append(second))
        return first * 10 + second

    return host


@pytest.mark.parametrize("style", STYLES)
def test_a_question_suspends_until_it_is_answered(style: str) -> None:
    """`ask` hands the question out; `answer` gives it its value, and the function goes on."""
    host = _asking(style)
    execution = guest(ASKING, host).start("run")
    outcome = execution.run()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == Approval("first")
    execution.answer(4)
    outcome = execution.run()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == Approval("after 4")
    execution.answer(2)
    assert execution.run() == Returned((142,))
    assert execution.instance.state(host) == [4, 2]


@pytest.mark.parametrize("style", STYLES)
def test_an_unanswered_question_is_asked_again(style: str) -> None:
    """Resumed without an answer, it asks again; what was done before isn't done again."""
    execution = guest(ASKING, _asking(style)).start("run")
    for _ in range(3):
        outcome = execution.run()
        assert isinstance(outcome, Suspended)
        assert outcome.reason == Approval("first")
    execution.answer(1)
    outcome = execution.run()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == Approval("after 1")
    execution.drop()


@pytest.mark.parametrize("style", STYLES)
def test_answered_days_later_elsewhere(style: str) -> None:
    """75: a pending question is saved and loaded, asked again there, and answered; so is one that was answered before
    it was saved (cookbook 7)."""
    host = _asking(style)
    execution = guest(ASKING, host).start("run")
    execution.run()
    loaded = reload(execution, [host], ASKING)
    outcome = loaded.run()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == Approval("first")
    loaded.answer(4)
    again = reload(loaded, [host], ASKING)
    outcome = again.run()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == Approval("after 4")
    again.answer(2)
    assert again.run() == Returned((142,))
    assert again.instance.state(host) == [4, 2]
    for left in (execution, loaded):
        left.drop()


@pytest.mark.parametrize("style", STYLES)
def test_questions_under_faults(style: str) -> None:
    """16: the answers given are the answers got, whatever happens in between."""
    host = _asking(style)
    answers = {"first": 4, "after 4": 2}

    def answer(question: object) -> int:
        assert isinstance(question, Approval)
        return answers[question.text]

    found = explore(scene(ASKING, host, observe=lambda inst: list(inst.state(host)), answer=answer))
    found.exhaustive()
    found.pairs(most=50)
    found.mixed(range(5))


def test_answers_are_checked_by_type() -> None:
    """An answer that is not of the question's type is refused, and the question stays."""
    execution = guest(ASKING, _asking("generator")).start("run")
    execution.run()
    for wrong in (1 << 31, -(1 << 31) - 1, 1.5, "1", None):
        with pytest.raises((ConversionError, TypeError)):
            execution.answer(wrong)  # type: ignore[arg-type]
    execution.answer(-(1 << 31))
    outcome = execution.run()
    assert isinstance(outcome, Suspended)
    assert outcome.reason == Approval(f"after {-(1 << 31)}")
    execution.drop()


def test_an_answer_has_a_question() -> None:
    """9: to answer twice, or what has not asked, is an error, and changes nothing."""
    execution = guest(ASKING, _asking("generator")).start("run")
    with pytest.raises(StateError):
        execution.answer(1)
    execution.run()
    execution.answer(4)
    with pytest.raises(StateError):
        execution.answer(5)
    execution.run()
    execution.answer(2)
    assert execution.run() == Returned((142,))
    with pytest.raises(StateError):
        execution.answer(2)
    waiting = everywhere(ASKING, _asking("function")).start("run")
    run_to(waiting, "in wait")
    with pytest.raises(StateError):
        waiting.answer(1)


def test_an_answered_question_can_still_be_thrown_at() -> None:
    """The last word holds: thrown after the answer, it is raised where the question was asked."""
    for style in STYLES:
        host = HostModule("h")

        @restartable(host, style)
        def f(ctx: Context, n: i32) -> Steps[i32]:
            try:
                return (yield from ask(Approval("x")))
            except LookupError:
                yield from sleep(1)
                return -1

        execution = guest(ASKING, host).start("run")
        execution.run()
        execution.answer(1)
        execution.throw(LookupError())
        assert finish(execution) == Returned((99,))


def test_a_plain_call_cant_be_answered() -> None:
    """A plain call raises Unanswered, with the question, instead of spinning; it has been dropped then."""
    inst = guest(ASKING, _asking("generator"))
    with pytest.raises(Unanswered) as caught:
        inst.exports.run()
    assert caught.value.question == Approval("first")
    assert "Approval" in caught.value.explanation
    assert inst.start("run").run() == Suspended(Approval("first"))


def test_a_question_has_a_type() -> None:
    """A question that doesn't say what its answer is can't be asked."""

    class Vague(Question):  # type: ignore[type-arg]
        pass

    host = HostModule("h")

    @host.restartable
    def f(ctx: BlockingContext, n: i32) -> i32:
        return int(ctx.ask(Vague()))

    with pytest.raises(SignatureError):
        guest(ASKING, host).exports.run()


# Results put in place of a call's


@pytest.mark.parametrize("style", STYLES)
def test_resume_with_replaces_the_pending_call(style: str) -> None:
    """`resume_with` gives the guest other results than the function would have; that one cleans up, and doesn't go
    on. The values are checked first."""
    host = HostModule("h", state=list[str])

    @restartable(host, style)
    def f(ctx: Context[list[str]], n: i32) -> Steps[i32]:
        ctx.acquire(lambda: 1, release=lambda _: ctx.state.append("released"))
        try:
            return (yield from ask(Approval("x")))
        finally:
            if style == "generator":
                ctx.state.append("cleaned")

    inst = guest(ASKING, host)
    execution = inst.start("run")
    execution.run()
    for wrong in ((), (1, 2), ("x",), (1 << 40,)):
        with pytest.raises((TypeError, OverflowError)):
            execution.resume_with(*wrong)
    assert inst.state(host) == []
    execution.resume_with(5)
    assert inst.state(host) == (["cleaned", "released"] if style == "generator" else ["released"])
    with pytest.raises(StateError):
        execution.resume_with(5)
    assert execution.run() == Returned((105,))


def test_resume_with_and_save() -> None:
    """Results put in place by `resume_with`, of every number type, are saved and loaded as they are."""
    host = HostModule("h")

    @host.restartable
    def many(ctx: BlockingContext, n: i32) -> tuple[i64, f32, f64, i32]:
        ctx.ask(Approval("x"))
        return 1, 2.0, 3.0, 4

    text = """(import "h" "many" (func $many (param i32) (result i64 f32 f64 i32)))
      (func (export "run") (result i64 f32 f64 i32) (call $many (i32.const 1)))"""
    execution = guest(text, host).start("run")
    execution.run()
    execution.resume_with(-5, 0.5, 0.1, -6)
    loaded = reload(execution, [host], text)
    assert loaded.run() == Returned((-5, 0.5, 0.1, -6))
    assert execution.run() == Returned((-5, 0.5, 0.1, -6))


def test_resume_with_for_a_host_function_that_calls_another() -> None:
    """The same where the frame beneath is a host function's, and where there is none."""
    host = HostModule("h")

    @host.restartable
    def outer(ctx: Context, f: FuncRef[[i32], f32]) -> Steps[f64]:
        return 2.0 * (yield from call(f, 1))

    @host.restartable
    def half(ctx: Context, n: i32) -> Steps[f32]:
        yield from ask(Approval("x"))
        return 0.0

    text = f"""(import "h" "outer" (func $outer (param i32) (result f64)))
      (import "h" "half" (func $half (param i32) (result f32))) {table("$half")}
      (func (export "run") (result f64) (call $outer (i32.const 0))) (export "half" (func $half))"""
    for name, want in (("run", 0.5), ("half", 0.25)):
        execution = guest(text, host).start(name, *([1] if name == "half" else []))
        execution.run()
        execution.resume_with(0.25)
        loaded = reload(execution, [host], text)
        assert loaded.run() == Returned((want,))
        assert execution.run() == Returned((want,))
