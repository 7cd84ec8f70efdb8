"""Host functions on the engine's bare protocol, without the SDK: function style, answered from a journal.

    @host("env", "twice", "i32 -> i32")
    def twice(call: Call) -> Results: ...

A function may be entered again from its top; whatever it does through `call` is then answered from its record.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, cast

import attrs

from runtime import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128_TYPE,
    Entry,
    ExecContext,
    FuncInst,
    FuncType,
    HostFrame,
    HostFunc,
    Instance,
    Record,
    TailCall,
    Unwind,
    ValType,
    Value,
    WaitSet,
    call_back,
    check_interrupt,
    suspend,
    wait,
)
from runtime.types import ANYREF

Results: TypeAlias = "tuple[Value, ...] | TailCall"

_TYPES: dict[str, ValType] = {t.name: t for t in (I32, I64, F32, F64, V128_TYPE, FUNCREF, EXTERNREF, ANYREF)}


def functype(text: str) -> FuncType:
    """`"i32 f64 -> i32"` as a type."""
    params, _, results = text.partition("->")
    return FuncType(tuple(_TYPES[t] for t in params.split()), tuple(_TYPES[t] for t in results.split()))


@attrs.define(eq=False)
class Call:
    """One entry of a host function."""

    code: Host
    ctx: ExecContext
    caller: Instance | None
    args: tuple[Any, ...]
    record: Record

    def call(self, func: FuncInst, *args: Value, scheduled: bool = False) -> tuple[Any, ...]:
        """Call a function of a module or of the host. May suspend."""
        entry = self.record.next("call", "")
        try:
            if entry is None:
                entry = self.record.append("call", "", None, pending=True)
                values = call_back(self.ctx, func, args, scheduled or self.code.scheduled)
            elif entry.pending:
                self._thrown(entry)
                inbox, self.record.inbox = self.record.inbox, None
                values = inbox or ()
            elif entry.error is not None:
                raise entry.error
            else:
                return entry.value  # type: ignore[return-value]  # what was put there below
        except Exception as error:
            if entry is not None:
                self.record.fail(entry, error)
            raise
        # References are not plain data; tests that save don't hand any back.
        entry.value, entry.pending = values, False
        return values

    def wait(self, attempt: Callable[[], Value], waits: Callable[[], WaitSet]) -> Any:
        """Try, look for requests, wait, until `attempt` gives something. May suspend."""
        entry = self.record.next("wait", "") or self.record.append("wait", "", None, pending=True)
        if entry.pending:
            self._thrown(entry)
            while True:
                made = waits()
                value = attempt()
                if value is not None:
                    self.record.settle(entry, value)
                    break
                check_interrupt(self.ctx)
                wait(self.ctx, made)
        return entry.value

    def sleep(self, seconds: float) -> None:
        """Wait for so long in all, however often it is interrupted. May suspend."""
        clock = self.ctx.requests.clock
        entry = self.record.next("wait", "sleep")
        if entry is None:
            entry = self.record.append("wait", "sleep", ("monotonic", clock.monotonic() + seconds), pending=True)
        if entry.pending:
            self._thrown(entry)
            _, until = cast("tuple[str, float]", entry.value)
            while clock.monotonic() < until:
                check_interrupt(self.ctx)
                wait(self.ctx, WaitSet.of(deadline=until))
            self.record.settle(entry, None)

    def ask(self, question: object) -> Any:
        """Suspend until the embedder has answered."""
        entry = self.record.next("ask", "")
        if entry is None:
            entry = self.record.append("ask", "", None, pending=True)
        if entry.pending:
            self._thrown(entry)
            suspend(self.ctx, question)
        return entry.value

    def check(self) -> None:
        """A check point. May suspend."""
        if not self.record.pass_check():
            self._thrown(None)
            check_interrupt(self.ctx)
            self.record.count_check()

    def once(self, step: Callable[[], Any]) -> Any:
        """A step with an effect: done once, however often the function is entered."""
        entry = self.record.next("once", "") or self.record.append("once", "", step())
        return entry.value

    def _thrown(self, entry: Entry | None) -> None:
        error = self.record.thrown(entry)
        if error is not None:
            raise error


@attrs.define(eq=False)
class Host:
    """The engine's `HostCode` around a function."""

    module: str
    name: str
    fn: Callable[[Call], Results]
    version: int = 1
    accepts: tuple[int, ...] = ()
    #: Callbacks run on the run loop, never nested.
    scheduled: bool = False
    #: Called instead of nothing when a waiting call is dropped.
    on_drop: Callable[[HostFrame], None] | None = None
    #: How often it was entered, and dropped.
    entries: int = 0
    drops: int = 0
    func: HostFunc = attrs.field(init=False)

    def enter(
        self, ctx: ExecContext, caller: Instance | None, args: tuple[Value, ...], frame: HostFrame | None
    ) -> Results:
        self.entries += 1
        record = None if frame is None else frame.record
        if record is None:
            record = Record(ctx.limits.journal, args)
        else:
            record.rewind()
        try:
            return self.fn(Call(self, ctx, caller, args, record))
        except Unwind:
            record.leave()
            if frame is None:
                frame = HostFrame(self.func, caller, args)
            frame.record = record
            ctx.spilled.append(frame)
            raise

    def drop(self, ctx: ExecContext, frame: HostFrame) -> None:
        self.drops += 1
        if self.on_drop is not None:
            self.on_drop(frame)


def host(module: str, name: str, type_: str, **options: Any) -> Callable[[Callable[[Call], Results]], Host]:
    """Decorator: the host code around a function of type `type_` (text)."""

    def make(fn: Callable[[Call], Results]) -> Host:
        code = Host(module, name, fn, **options)
        code.func = HostFunc(functype(type_), code)
        return code

    return make


def imports(*codes: Host) -> dict[str, dict[str, Any]]:
    """Externs of these functions, by module and name."""
    found: dict[str, dict[str, Any]] = {}
    for code in codes:
        found.setdefault(code.module, {})[code.name] = code.func
    return found


def lookup(*codes: Host) -> Callable[[str, str, FuncType], HostFunc | None]:
    """What `snapshot.load` finds host functions by."""
    known = {(code.module, code.name): code.func for code in codes}
    return lambda module, name, type_: known.get((module, name))
