"""What all bindings of a host function have in common: the end of a call, and the short way through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from ._adaptor import Adapted, adapt
from ._callback import TailCallRequest
from ._engine import Record, RecordError, StateError, TailCall, Value
from ._messages import Text
from ._restart import Manner
from ._signature import FunctionSpec, Style

if TYPE_CHECKING:
    from ._context import Context

Results: TypeAlias = "tuple[Value, ...] | TailCall"


class Ending:
    """How calls of a function end. It knows no instance."""

    def __init__(self, spec: FunctionSpec) -> None:
        self.spec = spec
        self.where = f"{spec.module}.{spec.name}"
        plain = spec.style in (Style.PLAIN, Style.PURE)
        self.manner = Manner(self.where, not plain, spec.catch_traps, spec.callbacks == "scheduled")
        #: The short way in, for a signature of numbers.
        self.short: Adapted | None = None
        if spec.style not in (Style.GENERATOR, Style.COROUTINE):
            finish = self.plain if plain else self.restartable
            context = spec.style is not Style.PURE
            self.short = adapt(spec.fn, spec.signature, finish, context=context, recorded=not plain)

    def plain(self, value: object, plain: tuple[Any, ...], ctx: Context[Any]) -> Results:
        """Results of a plain function."""
        if isinstance(value, TailCallRequest):
            raise StateError(Text.PLAIN_TAIL(where=self.where))
        return self.spec.signature.encode(value, plain, ctx)

    def restartable(self, value: object, plain: tuple[Any, ...], ctx: Context[Any]) -> Results:
        """The function has returned: its results, unless its record says that it can't have."""
        call = ctx._now
        if call.record is not None:
            if call.record.throw is not None:  # a commit let it come to its end before the operation thrown into
                raise call.record.throw
            self._check_done(call.record)
            if call.record.trapped is not None:
                raise call.record.trapped
        if isinstance(value, TailCallRequest):
            func, args = value.resolve(ctx, self.spec.signature.type)
            return TailCall(func, args)
        with call.atomic():
            return self.spec.signature.encode(value, plain, ctx)

    def _check_done(self, record: Record) -> None:
        """A success with the record still pending is a mistake that must not pass silently."""
        if record.pending is not None:
            raise RecordError(f"{self.where} returned while its {record.pending.kind} was pending")
        if record.replaying:
            raise RecordError(Text.SHORT_REPLAY(where=self.where, done=record.cursor, all=len(record.entries)))


def ending_of(spec: FunctionSpec) -> Ending:
    """That of a function, made when it is first asked for. Any thread may ask."""
    kept = spec.kept
    return kept[0] if kept else _keep(kept, Ending(spec))


def _keep(kept: list[Any], made: Ending) -> Ending:
    kept.append(made)
    first: Ending = kept[0]
    return first
