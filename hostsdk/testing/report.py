"""What a run came to, how two of them differ, and how that is told."""

from __future__ import annotations

import attrs

from .._engine import TraceLine, render
from .._outcomes import Returned, Suspended
from .faults import Kind


@attrs.frozen
class Hit:
    """A check point that was hit: its number, what was done there, and the backtrace, innermost first."""

    check: int
    kind: Kind
    backtrace: tuple[str, ...]
    #: Source lines of the host functions that were entered, innermost first.
    sources: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = f"{self.kind.value} at check point {self.check}"
        lines = [f"{head}, in", render(self.backtrace)] if self.backtrace else [head]
        return "\n".join([*lines, *(f"  at {line}" for line in self.sources)])


class InjectionFailure(AssertionError):
    """A run under faults differed from the undisturbed one, or left something behind. The message names the faults,
    the check points and where they lay."""

    def __init__(self, message: str, hits: tuple[Hit, ...] = (), case: str = "") -> None:
        super().__init__(message)
        #: What the run was made under, for `Case.parse`; empty where it was none in particular.
        self.case = case
        #: The check points that were hit, in order.
        self.hits = hits


@attrs.frozen
class Ending:
    """What a run came to, as data that can be compared and sent to another process."""

    #: The outcome in words: floats by their exact text, traps by code, exceptions by class.
    outcome: str
    memories: tuple[bytes, ...]
    globals: tuple[str, ...]
    tables: tuple[tuple[str, ...], ...]
    #: What the scenario observed.
    effects: object
    #: Seconds on the fake clock, and check points.
    elapsed: float
    checks: int
    #: Host functions called; None for a run that began in another store.
    host_calls: int | None

    def differences(self, other: Ending, *, timed: bool) -> list[str]:
        """In which respects `other`, a run under faults, differs from this one; a line each."""
        lines = [
            f"{what}: undisturbed {mine!r}, now {its!r}"
            for what, mine, its in (
                ("outcome", self.outcome, other.outcome),
                ("globals", self.globals, other.globals),
                ("tables", self.tables, other.tables),
                ("effects", self.effects, other.effects),
            )
            if mine != its
        ]
        lines += _memories(self.memories, other.memories)
        if None not in (self.host_calls, other.host_calls) and self.host_calls != other.host_calls:
            lines.append(f"host functions called: undisturbed {self.host_calls}, now {other.host_calls}")
        if timed and abs(self.elapsed - other.elapsed) > 1e-6:
            lines.append(f"time taken: undisturbed {self.elapsed} s, now {other.elapsed} s")
        return lines


def _memories(mine: tuple[bytes, ...], its: tuple[bytes, ...]) -> list[str]:
    lines = []
    for index, (a, b) in enumerate(zip(mine, its, strict=False)):
        if len(a) != len(b):
            lines.append(f"memory {index}: undisturbed {len(a)} bytes, now {len(b)}")
        elif a != b:
            at = next(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
            was, now = a[at : at + 16].hex(), b[at : at + 16].hex()
            lines.append(f"memory {index} from {at:#x}: undisturbed {was}, now {now}")
    return lines


def describe(outcome: object) -> str:
    """An outcome in words that are equal for equal outcomes; whatever is none stands for a call that was dropped."""
    match outcome:
        case Returned(values):
            return f"returned ({', '.join(map(_exact, values))})"
        case Suspended(reason):
            return f"suspended for {type(reason).__name__}"
    for attribute, text in (("trap", "trapped"), ("error", "failed"), ("code", "exited")):
        what = getattr(outcome, attribute, None)
        if what is not None:
            return f"{text} {what!r}"
    return "dropped"


def _exact(value: object) -> str:
    return value.hex() if isinstance(value, float) else repr(value)


def where(lines: list[TraceLine]) -> tuple[str, ...]:
    """A backtrace as text."""
    return tuple(map(str, lines))
