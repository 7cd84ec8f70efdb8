"""`Context`: all that a host function may see of its guest and its world; the recorder of a restartable one.

There is one context for an execution and a module's state, not one a call. It serves the call at hand and is refused
outside of one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, Literal, NoReturn, Protocol, cast, overload

from ._binding import Binding
from ._blocking import BlockUntil, CheckInterrupt, NotYet
from ._callback import CallOp
from ._engine import (
    Budget,
    Clock,
    Entry,
    ExecContext,
    FuncType,
    MemInst,
    Record,
    RuntimeInstance,
    State,
    StateError,
    TagInst,
    ValType,
    Value,
    WaitSet,
    lean,
    make_exit,
    value_out,
)
from ._memory import GuestMemory
from ._question import Ask, Question
from ._resources import Resources
from ._restart import Call
from ._types import FuncRef, P, S, T, T_co, W
from ._wake import Fd, Wake


class HasState(Protocol[T_co]):
    """A host module, by the state that it makes."""

    def make_state(self) -> T_co: ...


class Progress(Generic[T]):
    """How far a computation has come. Writing `value` commits: the journal made since `ctx.progress` is forgotten, and
    a restarted function goes on from this value."""

    def __init__(self, ctx: Context[Any], entry: Entry | None, value: T) -> None:
        self._ctx = ctx
        self._entry = entry
        self._value = value

    @property
    def value(self) -> T:
        """How far it has come. Setting it commits; raises StateError inside an attempt or a `once`, and RecordError for
        what is not plain data."""
        return self._value

    @value.setter
    def value(self, value: T) -> None:
        call = self._ctx._now
        if call.direct:
            raise StateError(f"{call.manner.where}: a commit inside an attempt or a once: that step is atomic")
        journal = call.journal
        if journal is not None and self._entry is not None:
            journal.commit(self._entry, _pack(value))
        self._value = value


def _pack(value: object) -> object:
    if not lean.is_record(type(value)):
        return value
    import attrs  # only by those who have such classes

    return attrs.asdict(value)  # type: ignore[arg-type]  # one of them


class _Serving:
    """Which call a context serves (None outside of one), and who made it, or the last one. Machine code that calls a
    host function uses them, too, so they are slots."""

    __slots__ = ("_call", "_caller")
    _call: Call | None
    _caller: RuntimeInstance | None


class Context(_Serving, Generic[S]):
    """What every host function sees. Nothing on it ever suspends."""

    def __init__(self, binding: Binding, execution: ExecContext) -> None:
        self._binding = binding
        self._execution = execution
        self._call = None
        self._caller = None
        self._resources = Resources(binding.resources, self._step, self._turn, self._record, binding.module.name)
        self._memory = GuestMemory(self)

    @property
    def _now(self) -> Call:
        if self._call is None:
            raise StateError("ctx belongs to a call of a host function, and is used outside of one")
        return self._call

    def _step(self, kind: str, label: str, perform: Callable[[], T]) -> T:
        return self._now.step(kind, label, perform)

    def _record(self) -> Record | None:
        call = self._now
        return call.recorded() if call.manner.restartable else None

    def _turn(self, error: Exception) -> None:
        journal = self._now.journal
        if journal is not None:
            journal.turn(error)

    # What authors use ----------------------------------------------------------------------------------------------

    @property
    def state(self) -> S:
        """The module's state for this instance."""
        state: S = self._binding.state
        return state

    @property
    def memory(self) -> GuestMemory:
        """The guest's memory, by checked copies. Raises StateError outside of the guest's turn."""
        self._now  # noqa: B018  # the check is the point
        return self._memory

    @property
    def resources(self) -> Resources:
        """Live objects under numbers that the guest holds."""
        return self._resources

    def tag(self, name: str) -> TagInst:
        """A tag that the guest exports: `raise WasmException(ctx.tag("error"), 42)`, or to compare with `error.tag`.
        Raises MissingExport."""
        return self._binding.tag(self._caller, name)

    def peer(self, other: HasState[T]) -> T:
        """Another host module's state for this instance: `ctx.peer(kv)`. Raises KeyError where the instance was not
        given that module."""
        owner: Any = self._binding.owner
        state: T = owner.state(other)
        return state

    def once(self, fn: Callable[[], T]) -> T:
        """Run `fn` once, whatever restarts come: its result, plain data, is kept in the record.

        A Ptr or FuncRef counts as plain. An exception is kept, too, and raised again. Raises RecordError for a result
        that is not plain data.
        """
        from ._frozen import freeze, thaw  # most programs keep nothing so

        frozen = self._now.step("once", getattr(fn, "__name__", ""), lambda: freeze(fn()))
        return cast("T", thaw(frozen, self))

    def acquire(self, fn: Callable[[], T], *, release: Callable[[T], object]) -> T:
        """Get a live object once and hold it for the whole call, over restarts; `release` is called with it, once,
        when the call ends: returned, failed or dropped. A call that holds one can't be saved. Raises what `fn`
        raises, and StateError in a plain function."""
        table = self._binding.resources
        call = self._now
        if not call.manner.restartable:
            raise StateError(f"{call.manner.where}: acquire in a plain function, which has no record; use `with`")

        name = getattr(fn, "__name__", "")

        def get() -> int:
            identity = table.find(table.add(fn(), close=release, owner=self._binding.module.name), object).identity
            call.recorded().held.append((identity, name))
            return identity

        value: T = table.pinned(call.step("acquire", name, get)).value
        return value

    def progress(self, initial: T) -> Progress[T]:
        """How far this call has come, from `initial`: plain data or an attrs instance of plain fields."""
        journal = self._now.journal
        if journal is None:
            return Progress(self, None, initial)
        entry = journal.next("progress", type(initial).__name__)
        if entry is None:
            entry = journal.append("progress", type(initial).__name__, _pack(initial))
        stored: Any = entry.value
        value: T = type(initial)(**stored) if lean.is_record(type(initial)) else stored
        return Progress(self, entry, value)

    def exit(self, code: int) -> NoReturn:
        """End the whole execution with an exit code; never returns. The embedder sees `Exited(code)`."""
        raise make_exit(code)

    def spawn(self, name: str, arg: int) -> int:
        """Begin a thread of the guest: an instance of its own, made in that thread, whose export `name` is called with
        the thread's number and `arg`. The number, above 0; journaled. Raises BlockingIOError where there can be no more
        threads, MissingExport, and StateError for a guest that no `Process` runs."""
        owner: Any = self._binding.owner
        process = owner._process
        if process is None:
            raise StateError("ctx.spawn: the guest has no threads; run it by `Process(module, hosts).run()`")
        number: int = self._step("spawn", name, lambda: process.spawn(name, arg))
        return number

    @property
    def clock(self) -> Clock:
        """The engine's clock itself, for a state that has to tell the time outside of a call. Not journaled."""
        return self._execution.requests.clock

    @property
    def time(self) -> float:
        """Monotonic seconds on the engine's clock, journaled: a restarted function sees the same."""
        return self._step("time", "", self._execution.requests.clock.monotonic)

    @property
    def wall_time(self) -> float:
        """Seconds since the epoch on the engine's clock, journaled."""
        return self._step("wall", "", self._execution.requests.clock.wall)

    # `Access`: the SDK's objects reach the guest through these ------------------------------------------------------

    def read(self, addr: int, size: int) -> bytes:
        """For pointers and buffers: a copy, journaled."""
        memory = self._guest_memory()
        return self._now.step("read", "", lambda: memory.read(addr, size))

    def write(self, addr: int, data: bytes) -> None:
        """For pointers and buffers: written now, and not again in a replay."""
        memory = self._guest_memory()
        self._now.step("write", "", lambda: memory.write(addr, data))

    def size(self) -> int:
        """The memory's size in bytes, journaled; 0 where the guest exports none."""
        memory = self._guest_memory()
        return self._now.step("size", "", lambda: len(memory.data))

    @contextmanager
    def view(self, addr: int, size: int) -> Iterator[memoryview]:
        """For `ctx.memory`: the bytes themselves, pinned."""
        memory, call = self._guest_memory(), self._now
        memory.check(addr, size)
        call.pins += 1
        memory.pin()
        view = memoryview(memory.data)[addr : addr + size]
        try:
            yield view
        finally:
            view.release()
            memory.unpin()
            call.pins -= 1

    @property
    def wide(self) -> bool:
        """Whether the guest's memory has 64-bit addresses."""
        return self._binding.wide(self._caller)

    def reference(self, type_: ValType, value: Value) -> object:
        """What Python has of a reference."""
        owner: Any = self._binding.owner
        return value_out(type_, value, owner._store)

    def function(self, index: int, type_: FuncType) -> object:
        """The function at an index of the guest's function table. Traps in four ways; see `Access`."""
        return self._binding.table_function(self._caller, index, type_)

    def _guest_memory(self) -> MemInst:
        return self._binding.memory(self._caller) or _NO_MEMORY

    # For operations ------------------------------------------------------------------------------------------------

    @property
    def _ctx(self) -> ExecContext:
        if self._execution.state not in (State.RUNNING, State.DROPPED):
            raise StateError("the execution is not running")
        return self._execution


#: Stands for the memory of a guest that exports none: every access is out of bounds.
_NO_MEMORY = MemInst(bytearray(), 0, Budget(0))


class BlockingContext(Context[S]):
    """What a restartable `def` sees: adds everything that may suspend."""

    @overload
    def block_until(
        self,
        attempt: Callable[[], T | NotYet],
        *,
        readable: Fd | None = None,
        writable: Fd | None = None,
        wake: Wake | None = None,
    ) -> T: ...
    @overload
    def block_until(
        self,
        attempt: Callable[[], T | NotYet],
        *,
        readable: Fd | None = None,
        writable: Fd | None = None,
        wake: Wake | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        wall_deadline: float | None = None,
    ) -> T | None: ...
    @overload
    def block_until(
        self,
        *,
        readable: Fd | None = None,
        writable: Fd | None = None,
        wake: Wake | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        wall_deadline: float | None = None,
    ) -> bool: ...
    def block_until(self, attempt: Any = None, **options: Any) -> Any:
        """Try; check for requests; wait for an event; again. May suspend.

        "Not yet" is None, False or BlockingIOError; anything else that `attempt` gives is the result. It is one atomic
        step: what it does is done once. With a time limit (`timeout` seconds from now; `deadline` on the scale of
        `ctx.time`; `wall_deadline` on that of `ctx.wall_time`) the result is None when it has passed. Without an
        attempt, the result is whether a source was ready before the time was up.
        """
        return BlockUntil(attempt, **options).now(self)

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds` in all, however often it is interrupted; 0 gives up the turn: whoever else is ready goes
        first. May suspend."""
        BlockUntil(None, timeout=max(seconds, 0.0), name="sleep").now(self)

    def call(self, func: FuncRef[P, W], *args: P.args, **kw: P.kwargs) -> W:
        """Call a guest function. Suspends if it does. Raises what it raises: a Trap, or an error of a host function
        beneath; traps for an index that names no function of this type."""
        return CallOp(func, args).now(self)

    def ask(self, question: Question[W]) -> W:
        """Put a question to the embedder, who may save the execution and answer days later. Suspends."""
        return Ask(question).now(self)

    def check_interrupt(self) -> None:
        """Look for requests; for a long computation. May suspend. Polls that were passed are not polled again."""
        CheckInterrupt().now(self)


#: Kinds of contexts by style, for those who make them.
ContextKind = Literal["plain", "blocking"]
__all__ = ["BlockingContext", "Context", "Progress", "WaitSet"]
