"""Host functions as the engine enters them: the first time, again after a suspension, and to be dropped."""

from __future__ import annotations

import sys
from collections.abc import Coroutine, Generator
from typing import TYPE_CHECKING, Any

from ._adaptor import Adapted
from ._binding import Binding
from ._context import BlockingContext, Context
from ._ending import Results, ending_of
from ._engine import (
    Dropped,
    ExecContext,
    HostFrame,
    HostFunc,
    MemInst,
    Record,
    RecordError,
    RuntimeInstance,
    StateError,
    Unwind,
    Value,
    lean,
    make_dropped,
)
from ._errors import ResultError
from ._explain import line_of
from ._messages import Text
from ._ops import Operation
from ._restart import Call
from ._signature import FunctionSpec, Style
from ._types import Step

if TYPE_CHECKING:
    from ._coroutine import Desk

#: Refusals during a drop before a generator that goes on asking is given up.
_PATIENCE = 1000


@lean.define(eq=False)
class Live:
    """A generator that waits, and the operation that it yielded."""

    generator: Generator[Step, Any, Any]
    op: Operation[Any]


class BoundFunction:
    """A registered function, bound to an instance: what stands behind the engine's `HostFunc`."""

    __slots__ = (
        "__weakref__", "_ending", "_enter_first", "_last", "_manner", "_plain", "accepts", "binding", "direct", "fn",
        "func", "module", "name", "now", "shape", "spec", "takes_context", "version", "where",
    )  # fmt: skip

    def __init__(self, spec: FunctionSpec, binding: Binding) -> None:
        self.spec = spec
        self.binding = binding
        self.module = spec.module
        self.name = spec.name
        self.version = spec.version
        self.accepts = spec.accepts
        self.func = HostFunc(spec.signature.type, self)
        self._plain = plain = spec.style in (Style.PLAIN, Style.PURE)
        #: What it has in common with those of other instances.
        self._ending = ending = ending_of(spec)
        self._manner = ending.manner
        self.where = ending.where
        #: The short way in, for a signature of numbers; or the long one.
        self._enter_first: Adapted = ending.short or (self._plain_generic if plain else self._first)
        #: What every plain call is to its context: nothing is journaled.
        self.now: Any = Call(ending.manner) if plain else None
        #: The execution that was here last, and its context: nearly always the next one's, too.
        self._last: tuple[ExecContext | None, Context[Any] | None] = None, None
        #: For machine code, which may call a plain function by itself: see `runtime.instances.direct`.
        self.direct = self if self._plain and type(self) is BoundFunction else None
        self.fn = spec.fn
        self.shape = spec.signature.shape
        self.takes_context = spec.style is not Style.PURE

    # The engine's protocol -----------------------------------------------------------------------------------------

    def enter(
        self, border: ExecContext, caller: RuntimeInstance | None, args: tuple[Value, ...], frame: HostFrame | None
    ) -> Results:
        """Run the function, or go on with it. May suspend where it is restartable."""
        last, ctx = self._last
        if last is not border or ctx is None:
            ctx = self._context(border)
            self._last = border, ctx
        last = None  # a traceback keeps this frame: each execution that failed would keep the one before
        call, where = ctx._call, ctx._caller
        ctx._caller = caller
        try:
            if self._plain:
                ctx._call = self.now
                results: Results = self._enter_first(ctx, args)
                return results
            return self._run_restartable(ctx, border, caller, args, frame)
        except Exception as error:
            if self._plain:
                return self._mapped(error)
            raise
        finally:
            ctx._call, ctx._caller = call, where

    def drop(self, border: ExecContext, frame: HostFrame) -> None:
        """Clean up after a call that will not go on: the generator sees `Dropped`, what was acquired is released."""
        record = frame.record
        if record is None or (self.spec.style is Style.FUNCTION and not record.held):
            return  # it had not been entered yet, or has left the stack with nothing in its hands
        ctx = self._context(border)
        outer = ctx._call, ctx._caller
        ctx._call = call = Call(self._manner, border.limits.journal, record, border)
        ctx._caller = frame.caller
        if self.spec.style is Style.COROUTINE and frame.live is not None:
            ctx._call, ctx._caller = outer
            coroutine: Desk = frame.live  # type: ignore[assignment]  # what `_run_coroutine` kept there
            coroutine.drop(lambda: self._release(record))
            return
        try:
            if self.spec.style is Style.GENERATOR:
                generator = self._standing(ctx, record, frame)
                call.dropped = True
                _refuse(generator)
        finally:
            ctx._call, ctx._caller = outer
            self._release(record)

    # What machine code leaves over -----------------------------------------------------------------------------------

    def context(self, border: ExecContext) -> Context[Any]:
        """The context that calls in an execution are given."""
        return self._context(border)

    def memory(self, caller: RuntimeInstance) -> MemInst | None:
        """The memory that addresses are in."""
        return self.binding.memory(caller)

    def results(self, border: ExecContext, value: object) -> Results:
        """Canonical results of what the function gave. Raises what the call is to raise."""
        ctx = self._context(border)
        call, ctx._call = ctx._call, self.now
        try:
            return self._ending.plain(value, (), ctx)
        except Exception as error:
            return self._mapped(error)
        finally:
            ctx._call = call

    def failed(self, error: BaseException) -> Results:
        """The results that tell the guest of what the function raised, or that."""
        if isinstance(error, Exception):
            return self._mapped(error)
        raise error

    # Inside --------------------------------------------------------------------------------------------------------

    def _context(self, border: ExecContext) -> Context[Any]:
        """The one context that this execution and this binding share."""
        contexts = border.owner
        if not isinstance(contexts, dict):
            contexts = border.owner = {}
        kind = BlockingContext if self.spec.style is Style.FUNCTION else Context
        found = contexts.get((self.binding, kind))
        if found is None:
            found = contexts[self.binding, kind] = kind(self.binding, border)
        return found

    def _plain_generic(self, ctx: Context[Any], args: tuple[Value, ...]) -> Results:
        spec, signature = self.spec, self.spec.signature
        plain = signature.decode(args, ctx)
        bound = signature.bind(plain, ctx)
        value = spec.fn(*bound) if spec.style is Style.PURE else spec.fn(ctx, *bound)
        return self._ending.plain(value, plain, ctx)

    def _run_restartable(
        self,
        ctx: Context[Any],
        border: ExecContext,
        caller: RuntimeInstance | None,
        args: tuple[Value, ...],
        frame: HostFrame | None,
    ) -> Results:
        record = None if frame is None else frame.record
        call = ctx._call = Call(self._manner, border.limits.journal, record, border)
        try:
            if frame is None:
                results: Results = self._enter_first(ctx, args)
            else:
                call.recorded().restarts += 1
                results = self._again(ctx, call, args, frame.live)
        except Unwind:
            self._spill(ctx, call, border, caller, args, frame)
            raise
        except BaseException as error:
            record = call.record
            if record is None:
                return self._mapped(error)
            try:
                self._release(record)
            except Exception as second:  # what came first is what the caller should know
                error.add_note(f"and then a release= of {self.where} raised {second!r}")
            if record.trapped is None:
                return self._mapped(error)
            if record.trapped is error:
                raise
            raise record.trapped from error
        if call.record is not None:
            self._release(call.record)
        return results

    def _first(self, ctx: Context[Any], args: tuple[Value, ...]) -> Results:
        """The first entry, the long way."""
        return self._again(ctx, ctx._now, args, None)

    def _again(self, ctx: Context[Any], call: Call, args: tuple[Value, ...], live: object) -> Results:
        """An entry with a record: from the top, answered from the journal, or into the generator that stayed alive."""
        record = call.recorded()
        plain = self._arguments(ctx, call, record, args)
        if self.spec.style is Style.GENERATOR:
            value = self._run_generator(ctx, record, plain, live)
        elif self.spec.style is Style.COROUTINE:
            value = self._run_coroutine(ctx, call, record, plain, live)
        else:
            record.rewind()
            value = self.spec.fn(ctx, *self.spec.signature.bind(plain, ctx))
        return self._ending.restartable(value, plain, ctx)

    def _spill(
        self,
        ctx: Context[Any],
        call: Call,
        border: ExecContext,
        caller: RuntimeInstance | None,
        args: tuple[Value, ...],
        frame: HostFrame | None,
    ) -> None:
        """The function has left the stack: its frame, with all that it needs to be entered again."""
        record = call.recorded()
        self._arguments(ctx, call, record, args)
        if frame is None:
            frame = HostFrame(self.func, caller, args)
        record.leave()
        if self.spec.style is Style.FUNCTION:
            record.source = line_of(sys.exc_info()[2], self.spec.fn.__code__)
        frame.record, frame.live = record, record.live
        border.spilled.append(frame)

    def _arguments(self, ctx: Context[Any], call: Call, record: Record, args: tuple[Value, ...]) -> Any:
        """The plain arguments: decoded once, since memory may change under a suspended call."""
        if record.args is None:
            with call.atomic():
                record.args = self.spec.signature.decode(args, ctx)
        return record.args

    def _run_generator(self, ctx: Context[Any], record: Record, plain: Any, live: object) -> object:
        """Drive the generator to its end. Kept alive while it waits; without it (after a load), it is made anew and
        answered from the journal."""
        try:
            if isinstance(live, Live):
                record.stand()
                generator, op = live.generator, live.op
            else:
                record.rewind()
                generator = self.spec.fn(ctx, *self.spec.signature.bind(plain, ctx))
                op = self._operation(generator, next(generator))
            while True:
                # What would have to be kept if it suspended now.
                record.live = Live(generator, op)
                op = self._step(ctx, generator, op)
        except StopIteration as end:
            record.live = None
            return end.value

    def _run_coroutine(self, ctx: Context[Any], call: Call, record: Record, plain: Any, live: object) -> object:
        """Go on with the coroutine that stayed alive on its loop; without one, begin at its first line."""
        from . import _coroutine  # brings asyncio, which is for those who use it

        border = ctx._ctx
        caller = ctx._caller

        def make(desk: Desk) -> Coroutine[Any, Any, Any]:
            own = Call(self._manner, call.limit, record, border)
            own.direct = 1  # it stays alive, so that nothing has to be journaled
            context = _coroutine.LiveContext(desk, self.binding, border, own)
            context._caller = caller
            coroutine: Coroutine[Any, Any, Any] = self.spec.fn(context, *self.spec.signature.bind(plain, context))
            return coroutine

        if isinstance(live, _coroutine.Desk):
            desk = live
        else:
            _coroutine.renew(record)
            desk = _coroutine.begin(border, self.where, make)
        record.live = desk
        try:
            return _coroutine.carry_out(ctx, border, record, desk, self.spec.repeat)
        except Unwind:
            raise
        except BaseException:
            if not desk.ended.is_set():  # the execution has to exit
                desk.drop(_nothing)
            raise

    def _step(
        self, ctx: Context[Any], generator: Generator[Step, Any, Any], op: Operation[Any]
    ) -> Operation[Any]:
        """Carry out what the generator asked for, and run it up to the next operation. Raises StopIteration at its
        end. It sees whatever the operation raises, so that its `finally` blocks run; only an Unwind leaves it be."""
        try:
            value = op.perform(ctx)
        except Unwind:
            raise
        except BaseException as error:
            step = generator.throw(error)
        else:
            step = generator.send(value)
        return self._operation(generator, step)

    def _operation(self, generator: Generator[Step, Any, Any], step: object) -> Operation[Any]:
        if isinstance(step, Step) and isinstance(step.op, Operation):
            return step.op
        generator.close()
        raise StateError(Text.BARE_YIELD(where=self.where, value=type(step).__name__))

    def _standing(self, ctx: Context[Any], record: Record, frame: HostFrame) -> Generator[Step, Any, Any]:
        """The generator of a suspended call, at its yield; made anew by replay if it is not alive in this process."""
        if isinstance(frame.live, Live):
            return frame.live.generator
        record.rewind()
        plain = self._arguments(ctx, ctx._now, record, frame.args)
        generator: Generator[Step, Any, Any] = self.spec.fn(ctx, *self.spec.signature.bind(plain, ctx))
        op = self._operation(generator, next(generator))
        while record.replaying and not record.entries[record.cursor].pending:
            op = self._step(ctx, generator, op)
        return generator

    def _mapped(self, error: BaseException) -> Results:
        """Results that tell the guest of `error`, or the error itself."""
        results = None if isinstance(error, ResultError) else self.spec.signature.errno(error)
        if results is None:
            raise error
        return results

    def _release(self, record: Record) -> None:
        """The call has ended: let go of what it acquired, newest first. All are released; the first error is raised."""
        errors: list[Exception] = []
        table = self.binding.resources
        while record.held:
            identity, _ = record.held.pop()
            try:
                table.close(table.handle_of(identity))
            except Exception as error:  # the others are to be released all the same
                errors.append(error)
        if errors:
            raise errors[0]


def _nothing() -> None:
    """What is held is released by whoever sees the error."""


def _refuse(generator: Generator[Step, Any, Any]) -> None:
    """Raise Dropped at the generator's yield, and again at whatever it asks for meanwhile."""
    for _ in range(_PATIENCE):
        try:
            generator.throw(make_dropped())
        except StopIteration:
            return
        except Dropped:
            return
    generator.close()
    raise RecordError("a host function went on waiting although it had been dropped a thousand times")
