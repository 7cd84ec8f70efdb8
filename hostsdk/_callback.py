"""Calling guest functions from host functions: `call`, and `tail_call` in place of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs

from ._engine import FuncType, HostFunc, Trap, WasmFunc, call_back
from ._ops import Operation
from ._restart import answer
from ._types import FuncRef, Op, P, W

if TYPE_CHECKING:
    from ._context import Context


class CallOp(Operation[W]):
    """One callback. Its results come back once, however often the callee is interrupted."""

    def __init__(self, func: FuncRef[Any, W], args: tuple[object, ...]) -> None:
        super().__init__()
        self.func = func
        self.args = args

    @property
    def label(self) -> str:
        return f"call({self.func!r})"

    def perform(self, ctx: Context[Any]) -> W:
        call = ctx._now
        record = call.must_journal("call")
        callee = self.func.callee
        entry = record.next("call", self.func.name or "")
        try:
            if entry is None:
                func = ctx._binding.target(ctx._caller, self.func)
                args = callee.lower(self.args)
                entry = record.append("call", self.func.name or "", None, pending=True)
                record.settle(entry, call_back(ctx._ctx, func, args, call.manner.scheduled))
            elif entry.pending:
                if record.throw is not None:
                    error, record.throw = record.throw, None
                    raise error
                values, record.inbox = record.inbox, None
                record.settle(entry, values or ())
        except Exception as error:
            if isinstance(error, Trap) and not call.manner.catch_traps:
                call.trapped = error
            if entry is not None:
                record.fail(entry, error)
            raise
        values = answer(entry)
        return cast("W", callee.lift(tuple(cast("tuple[object, ...]", values)), ctx))


def call(func: FuncRef[P, W], *args: P.args, **kw: P.kwargs) -> Op[W]:
    """For a generator: `value = yield from call(func, …)`. Suspends if the callee does."""
    return CallOp(func, args)


@attrs.frozen
class TailCallRequest:
    """What `tail_call` gives; the function must return it at once."""

    func: FuncRef[Any, Any]
    args: tuple[object, ...]

    def resolve(self, ctx: Context[Any], results: FuncType) -> tuple[WasmFunc | HostFunc, tuple[object, ...]]:
        """The function and its canonical arguments. Traps as `call` does; raises TypeError where its results are
        not those of the function that it is called in place of."""
        if self.func.callee.type.results != results.results:
            raise TypeError(
                f"tail_call: {self.func!r} gives {self.func.callee.type.results}, but the function that it is called "
                f"in place of gives {results.results}"
            )
        return ctx._binding.target(ctx._caller, self.func), self.func.callee.lower(self.args)


def tail_call(func: FuncRef[P, W], *args: P.args, **kw: P.kwargs) -> W:
    """`return tail_call(func, …)`: `func` is called in place of this function, which is done. Any number of such calls
    takes constant depth."""
    return cast("W", TailCallRequest(func, args))
