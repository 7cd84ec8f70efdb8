"""What `hostsdk run` says on standard error: one line, and where it applies, where it happened."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from hostsdk import TraceLine, Trap

#: Lines of a backtrace from its inner and its outer end; what lies between is counted.
_INNER: Final = 16
_OUTER: Final = 8
_OURS: Final = {"hostsdk", "runtime", "importlib"}


def tell(file: str, message: str, trace: Sequence[object] = (), advice: Sequence[str] = ()) -> None:
    """Say that something is wrong with `file`, what to do about it, and the frames in which it happened, innermost
    first."""
    lines = [f"{file}: {message}", *advice, *_frames(trace)]
    _write("\n".join(map(plain, lines)))


def tell_line(text: str) -> None:
    """A line of a trace."""
    _write(plain(text))


def tell_traceback(error: BaseException) -> None:
    """The traceback of a host module's error, from where it leaves the SDK's own code; nothing where it never does."""
    place = _first_of_others(error.__traceback__)
    if place is None:
        return
    import traceback

    shown = traceback.TracebackException(type(error), error, place)
    _write("\n".join(plain(line) for line in "".join(shown.format()).splitlines()))


def describe(error: BaseException) -> str:
    """An exception in a few words, on one line."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def frames_of(trap: Trap) -> list[object]:
    """A trap's backtrace, innermost first."""
    return list(trap.backtrace)


def innermost_host(trace: Sequence[object]) -> str | None:
    """The name of the host function that is innermost in a backtrace."""
    for line in trace:
        if isinstance(line, TraceLine) and line.kind == "host":
            return f"{line.module}.{line.name}"
    return None


def plain(text: str) -> str:
    """`text` without anything that a terminal would obey: names in a module are the guest's words."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _frames(trace: Sequence[object]) -> list[str]:
    lines = [f"  {i:3} {entry}" for i, entry in enumerate(trace)]
    left_out = len(lines) - _INNER - _OUTER
    if left_out > 1:
        lines[_INNER : len(lines) - _OUTER] = [f"      … {left_out} more …"]
    return lines


def _first_of_others(place: TracebackType | None) -> TracebackType | None:
    # Code that the SDK has generated belongs to no module.
    while place is not None and str(place.tb_frame.f_globals.get("__name__", "hostsdk")).partition(".")[0] in _OURS:
        place = place.tb_next
    return place


def _write(text: str) -> None:
    if sys.stderr is None:
        return  # closed by whoever started us
    try:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()
    except OSError:
        pass  # nobody reads it; the exit status tells
