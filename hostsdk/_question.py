"""`ask`: a question to the embedder, which nothing in this process can answer by waiting."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, get_args

from ._annotations import Place, results_of
from ._engine import suspend
from ._messages import Text
from ._numbers import Number, Vector
from ._ops import Operation
from ._restart import answer
from ._types import Op, W

if TYPE_CHECKING:
    from ._context import Context


class Question(Generic[W]):
    """What a host function asks its embedder. Subclass it with the type of the answer, and give it what the one who
    decides needs to know:

        @attrs.frozen
        class Approval(Question[i32]):
            text: str
    """

    @classmethod
    def answer_type(cls) -> Number:
        """The number type of the answer. Raises SignatureError where the subclass doesn't say one."""
        for base in getattr(cls, "__orig_bases__", ()):
            for arg in get_args(base):
                results, _ = results_of(arg, Place("Question", cls.__name__))
                cell = results[0].cell if results else None
                if isinstance(cell, Number) and not isinstance(cell, Vector):
                    return cell
        raise Place("Question", cls.__name__).error(Text.ANSWER_TYPE, name=cls.__name__)


class Ask(Operation[W]):
    """The question, pending in the record until it is answered."""

    def __init__(self, question: Question[W]) -> None:
        super().__init__()
        self.question = question

    @property
    def label(self) -> str:
        return f"ask({type(self.question).__name__})"

    def perform(self, ctx: Context[Any]) -> W:  # noqa: RET503  # `suspend` never returns
        record = ctx._now.must_journal("ask")
        name = type(self.question).__name__
        entry = record.next("ask", name)
        if entry is None:
            entry = record.append("ask", name, type(self.question).answer_type().text, pending=True)
            entry.since = ctx._ctx.requests.clock.monotonic()
        error = record.thrown(entry)
        if error is not None:
            record.fail(entry, error)
            raise error
        if not entry.pending:
            return answer(entry)
        suspend(ctx._ctx, self.question)


def ask(question: Question[W]) -> Op[W]:
    """For a generator: `decision = yield from ask(Approval(…))`. Suspends."""
    return Ask(question)
