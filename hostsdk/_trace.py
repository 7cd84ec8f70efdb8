"""What happens, as lines and on a time line: host calls with their arguments, waits, suspensions, restarts.

An instance that is not traced pays nothing: tracing is another class of bound functions and exports, chosen when the
instance is made.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from ._engine import (
    Driver,
    Engine,
    ExecContext,
    FuncType,
    HostFrame,
    RuntimeInstance,
    Unwind,
    Value,
    WaitSet,
    Waker,
    lean,
    to_python,
)
from ._enter import BoundFunction
from ._signature import FunctionSpec
from ._types import OutBuffer

if TYPE_CHECKING:
    from ._binding import Binding

#: Takes a line.
Sink: TypeAlias = Callable[[str], object]
#: Characters of a value that are shown.
_MOST = 60


@lean.frozen
class TraceEvent:
    """Something that took time. `start` and `seconds` are on the engine's clock; `kind` is "guest", "host", or "wait";
    `row` tells threads apart."""

    kind: str
    name: str
    start: float
    seconds: float
    row: int
    details: dict[str, str]


class Trace:
    """Records what an instance does: `Instance(module, hosts, trace=Trace(print))`.

    `sink` is called with a line for each host call, when it has returned, failed, or left the stack, and for each end
    or suspension of a call from the embedder. Events are kept for `chrome`, unless `keep` is false. May be shared by
    instances and threads.
    """

    def __init__(self, sink: Sink | None = None, *, keep: bool = True) -> None:
        self._sink = sink
        self._keep = keep
        #: What took time, in the order in which it ended.
        self.events: list[TraceEvent] = []
        self._began: float | None = None
        self._lock = threading.Lock()

    def chrome(self) -> dict[str, object]:
        """The events in Chrome's trace format, as plain data for JSON; Perfetto reads it, too. Times are in
        microseconds."""
        rows = sorted({event.row for event in self.events})
        names = [
            {"ph": "M", "name": "thread_name", "pid": 1, "tid": row, "args": {"name": f"thread {number}"}}
            for number, row in enumerate(rows, 1)
        ]
        slices = [
            {
                "ph": "X",
                "name": event.name,
                "cat": event.kind,
                "ts": (event.start - (self._began or 0.0)) * 1e6,
                "dur": event.seconds * 1e6,
                "pid": 1,
                "tid": event.row,
                "args": event.details,
            }
            for event in self.events
        ]
        return {"traceEvents": [*names, *slices], "displayTimeUnit": "ms"}

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `chrome()` to a file, for chrome://tracing or ui.perfetto.dev. Raises OSError."""
        import json

        with open(path, "w", encoding="utf-8") as file:
            json.dump(self.chrome(), file)

    # For the SDK ---------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> float:
        """Note that something begins now."""
        if self._began is None:
            self._began = now
        return now

    def note(self, kind: str, name: str, start: float, now: float, text: str, **details: str) -> None:
        """Note that something ended; `text` is its line, if it has one."""
        if self._keep:
            event = TraceEvent(kind, name, start, now - start, threading.get_ident(), details)
            with self._lock:
                self.events.append(event)
        if text and self._sink is not None:
            self._sink(f"{start - (self._began or 0.0):12.6f}  {text}  ({(now - start) * 1000:.3f} ms)")

    def engine(self, engine: Engine) -> Engine:
        """The same engine with waits that are noted."""
        config = engine.config
        return Engine(lean.evolve(config, driver=_TracedDriver(engine.driver, self, config.clock.monotonic)))

    def bind(self, spec: FunctionSpec, binding: Binding) -> BoundFunction:
        """A host function whose calls are noted."""
        return _TracedFunction(spec, binding, self)


def short(text: str) -> str:
    """Text, cut, without line ends."""
    text = text.replace("\n", " ")
    return text if len(text) <= _MOST else text[: _MOST - 1] + "…"


def _shown(value: object) -> str:
    if isinstance(value, OutBuffer):
        return f"<room for {len(value)} bytes at {value.addr:#x}>"
    return short(repr(value))


class _Noted:
    """Stands for an author's function, and notes what it is called with."""

    def __init__(self, spec: FunctionSpec, calls: list[list[str]]) -> None:
        self._fn = spec.fn
        self._names = spec.signature.names
        self._skip = 0 if spec.style.value == "pure" else 1
        self._calls = calls
        self.__code__ = spec.fn.__code__
        self.__name__ = getattr(spec.fn, "__name__", spec.name)

    def __call__(self, *args: Any) -> Any:
        shown = zip(self._names, args[self._skip :], strict=False)
        self._calls[-1].append(", ".join(f"{name}={_shown(value)}" for name, value in shown))
        return self._fn(*args)


class _TracedFunction(BoundFunction):
    """A host function whose calls are noted."""

    def __init__(self, spec: FunctionSpec, binding: Binding, trace: Trace) -> None:
        #: What the calls in progress were made with, the innermost last; empty before the function itself is called.
        self._in_progress: list[list[str]] = []
        super().__init__(lean.evolve(spec, fn=_Noted(spec, self._in_progress)), binding)
        self._trace = trace

    def enter(
        self, border: ExecContext, caller: RuntimeInstance | None, args: tuple[Value, ...], frame: HostFrame | None
    ) -> Any:
        clock = border.requests.clock.monotonic
        start = self._trace.begin(clock())
        record = None if frame is None else frame.record
        known = None if record is None else record.args
        self._in_progress.append([] if known is None else [self.spec.signature.show(known)])
        again = "" if record is None else f", restart {record.restarts + 1}"
        ended = "left the stack"
        try:
            results = super().enter(border, caller, args, frame)
            ended = _results(self.spec.signature.type, results)
            return results
        except Unwind:
            raise
        except BaseException as error:
            ended = f"raised {type(error).__name__}: {short(str(error))}"
            raise
        finally:
            said = self._in_progress.pop()
            given = said[0] if said else ", ".join(map(str, args))
            text = f"{self.where}({given}){again} {ended}"
            self._trace.note("host", self.where, start, clock(), text, arguments=given, ended=ended + again)


def _results(type_: FuncType, results: object) -> str:
    if not isinstance(results, tuple):
        return "-> a tail call"
    values = [to_python(kind, value) for kind, value in zip(type_.results, results, strict=True)]
    return "-> " + (", ".join(map(repr, values)) or "nothing")


class _TracedDriver:
    """A driver whose waits are noted."""

    def __init__(self, driver: Driver, trace: Trace, clock: Callable[[], float]) -> None:
        self._driver = driver
        self._trace = trace
        self._clock = clock

    @property
    def in_place(self) -> bool:
        """As the driver beneath."""
        return self._driver.in_place

    def wait(self, waits: WaitSet, waker: Waker, word: list[int]) -> None:
        """As the driver beneath."""
        start = self._trace.begin(self._clock())
        try:
            self._driver.wait(waits, waker, word)
        finally:
            self._trace.note("wait", waits.label or "wait", start, self._clock(), "", waits=short(waits.explain()))
