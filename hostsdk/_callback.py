"""Calling guest functions from host functions: `call`, and `tail_call` in place of a result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ._engine import (
    Entry,
    FuncType,
    HostFunc,
    Record,
    Trap,
    Unwind,
    Value,
    WasmException,
    WasmFunc,
    call_back,
    lean,
    restore_stack_pointer,
    stack_pointer,
    types_match,
)
from ._errors import MissingExport
from ._ops import Operation
from ._references import check_references
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
        #: What `func` names, as it was looked up for the call made last.
        self._callee: WasmFunc | HostFunc | None = None

    @property
    def label(self) -> str:
        return f"call({self.func!r})"

    def perform(self, ctx: Context[Any]) -> W:
        call = ctx._now
        record = call.must_journal("call")
        name = self.func.name or ""
        entry = record.next("call", name)
        fresh = entry is None
        if entry is None:
            entry = record.append("call", name, self._pointer(ctx), pending=True)
        if entry.pending:
            try:
                record.settle(entry, self._results(ctx, record, entry, fresh))
            except Unwind:
                raise
            except BaseException as error:
                if isinstance(error, Trap) and not call.manner.catch_traps:
                    record.trapped = record.trapped or error
                elif isinstance(error, (Trap, WasmException)):
                    self._put_back(ctx, entry.value)
                record.fail(entry, error)
                raise
        values: tuple[Value, ...] = answer(entry)
        return cast("W", self.func.callee.on(ctx).lift(tuple(values), ctx))

    def _pointer(self, ctx: Context[Any]) -> Value:
        """Where the callee's stack stands before the call: nobody else puts it back if the function catches what the
        callee threw."""
        try:
            self._callee = _target(ctx, self.func)
        except (Trap, MissingExport):
            self._callee = None  # the call itself says so
            return None
        return stack_pointer(self._callee)

    def _put_back(self, ctx: Context[Any], pointer: Value) -> None:
        if pointer is not None:
            try:
                restore_stack_pointer(_target(ctx, self.func), pointer)
            except (Trap, MissingExport):
                return  # the guest has removed the function meanwhile, and what it was can't be told

    def _results(self, ctx: Context[Any], record: Record, entry: Entry, fresh: bool) -> tuple[Value, ...]:
        """The callee's results, canonical: of the call made now, or of the one that the record waited for."""
        error = record.thrown(entry)
        if error is not None:
            raise error
        if not fresh:
            values, record.inbox = record.inbox, None
            return values or ()
        func = self._callee or _target(ctx, self.func)
        args = _lower(ctx, self.func, self.args, func.type)
        return call_back(ctx._ctx, func, args, ctx._now.manner.scheduled)


def call(func: FuncRef[P, W], *args: P.args, **kw: P.kwargs) -> Op[W]:
    """For a generator: `value = yield from call(func, …)`. Suspends if the callee does."""
    return CallOp(func, args)


@lean.frozen
class TailCallRequest:
    """What `tail_call` gives; the function must return it at once."""

    func: FuncRef[Any, Any]
    args: tuple[object, ...]

    def resolve(self, ctx: Context[Any], results: FuncType) -> tuple[WasmFunc | HostFunc, tuple[object, ...]]:
        """The function and its canonical arguments. Traps as `call` does; raises TypeError where its results are
        not those of the function that it is called in place of."""
        func = _target(ctx, self.func)
        if not types_match(func.type.results, results.results):
            raise TypeError(
                f"tail_call: {self.func!r} gives {func.type.results}, but the function that it is called "
                f"in place of gives {results.results}"
            )
        return func, _lower(ctx, self.func, self.args, func.type)


def _target(ctx: Context[Any], ref: FuncRef[Any, Any]) -> WasmFunc | HostFunc:
    """What a reference names, as this guest has it."""
    return ctx._binding.target(ctx._caller, ref, ref.callee.on(ctx).type)


def _lower(
    ctx: Context[Any], ref: FuncRef[Any, Any], args: tuple[object, ...], type_: FuncType
) -> tuple[Value, ...]:
    """The arguments of a call, canonical. Raises ConversionError."""
    callee = ref.callee.on(ctx)
    made = callee.lower(args)
    check_references(type_, callee.type, made, callee.text)
    return made


def tail_call(func: FuncRef[P, W], *args: P.args, **kw: P.kwargs) -> W:
    """`return tail_call(func, …)`: `func` is called in place of this function, which is done. Any number of such calls
    takes constant depth."""
    return cast("W", TailCallRequest(func, args))
