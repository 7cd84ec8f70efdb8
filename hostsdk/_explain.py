"""`Execution.explain`: what a suspended execution is blocked in, on what and since when, and how it got there."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from ._engine import Entry, HostFrame, State, WaitSet, render, trace_of

if TYPE_CHECKING:
    from ._execution import Execution


def explain(execution: Execution) -> str:
    """A line about the innermost frame, then the backtrace: WebAssembly's functions with byte offsets, host functions
    with arguments, source lines and how often they were entered again."""
    return str(Moment(execution))


class Moment:
    """Where an execution is now. Put into words when somebody asks, and the same ones after it was dropped: a thousand
    calls that are ended at once need not all be told of."""

    __slots__ = ("_entry", "_execution", "_frames", "_lines", "_now", "_outcome", "_state", "_times")

    def __init__(self, execution: Execution) -> None:
        context = execution._context
        self._execution = execution
        self._state = context.state
        self._frames = frames = context.frames.copy()
        self._lines: dict[int, str | None] | None = None
        for frame in frames.parts:
            # A generator is no more when the call has been dropped.
            if type(frame) is HostFrame and frame.live is not None:
                self._lines = (self._lines or {}) | {id(frame): _generator_line(frame.live)}
        last = frames[-1] if frames else None
        self._entry = None if type(last) is not HostFrame or last.record is None else last.record.pending
        self._now = context.requests.clock.monotonic()
        self._times = execution.suspensions
        self._outcome = execution.outcome

    def __str__(self) -> str:
        execution, frames = self._execution, self._frames[::-1]
        call = f"{execution.name}({', '.join(map(repr, execution.args))})"
        if self._state is not State.SUSPENDED:
            return f"{call} is {self._state.value}"
        lines = [
            f"{line}{self._about(frame)}" if isinstance(frame, HostFrame) else str(line)
            for line, frame in zip(trace_of(self._frames), frames, strict=True)
        ]
        times = self._times
        head = f"{call} {self._blocked()} (suspended {times} {'time' if times == 1 else 'times'} so far)"
        return f"{head}\n{render(lines)}"

    def _blocked(self) -> str:
        frames = self._frames[::-1]
        top, reason = frames[0], getattr(self._outcome, "reason", None)
        why = "" if reason is None else f"; {_name(reason)}"
        if not isinstance(top, HostFrame):
            return f"suspended in {top.func.name}{why}"
        where = f"{top.func.name}({_arguments(top)})"
        entry = self._entry
        if entry is None:
            return f"suspended in {where}{why}"
        since = "" if entry.since is None else f" for {max(0.0, self._now - entry.since):.1f} s"
        return f"blocked{since} in {where}: {_waits_for(entry, self._now)}{_caller(frames)}{why}"

    def _about(self, frame: HostFrame) -> str:
        """Where in its source a host function waits, and how often it was gone on with."""
        record = frame.record
        if record is None:
            return " (not entered yet)"
        place = (self._lines or {}).get(id(frame)) or record.source
        parts = [] if place is None else [f"at {place}"]
        if record.restarts:
            parts.append(f"restarts {record.restarts}")
        return f" ({', '.join(parts)})" if parts else ""


def _caller(frames: list[Any]) -> str:
    return f", called from {frames[1].func.name}" if len(frames) > 1 else ""


def _name(reason: object) -> str:
    return type(reason).__name__ if type(reason).__module__.startswith("runtime") else repr(reason)


def _waits_for(entry: Entry, now: float) -> str:
    if isinstance(entry.waits, WaitSet):
        return entry.waits.explain(now)
    if entry.kind == "ask":
        return f"asks {entry.label}"
    return f"{entry.kind} {entry.label}".rstrip()


def _arguments(frame: HostFrame) -> str:
    """A host function's arguments as its author names them."""
    record, spec = frame.record, getattr(frame.func.code, "spec", None)
    if record is None or record.args is None or spec is None:
        return ", ".join(map(repr, frame.args))
    shown: str = spec.signature.show(record.args)
    return shown


def _generator_line(live: object) -> str | None:
    """The line of the innermost `yield` of a generator that waits."""
    generator: Any = getattr(live, "generator", None)
    line = None
    while generator is not None and (frame := getattr(generator, "gi_frame", None)) is not None:
        if generator.__name__ not in ("_steps", "__iter__"):
            line = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        generator = generator.gi_yieldfrom
    return line


def line_of(traceback: TracebackType | None, code: object) -> str | None:
    """The line at which a function of this code stands in a traceback."""
    for step in _steps(traceback):
        if step.tb_frame.f_code is code:
            return f"{_base(step.tb_frame.f_code.co_filename)}:{step.tb_lineno}"
    return None


#: The last part of a path; every suspension asks for one of a few.
_base = functools.lru_cache(64)(os.path.basename)


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next
