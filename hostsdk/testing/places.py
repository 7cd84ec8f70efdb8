"""Where host functions stand in their sources, with the lines themselves, for reports."""

from __future__ import annotations

import linecache
import os
from collections.abc import Iterator, Sequence
from typing import Any

from .._engine import HostFrame


def sources(frames: Sequence[object]) -> tuple[str, ...]:
    """A line for each host function in `frames` (outermost first) that has been entered, innermost first:
    `queue.py:31, in queue.pop: item = ctx.block_until(take)`."""
    found = []
    for frame in reversed(frames):
        if isinstance(frame, HostFrame):
            found += [f"{where}, in {frame.func.name}: {text}" for where, text in _places(frame)]
    return tuple(found)


def _places(frame: HostFrame) -> Iterator[tuple[str, str]]:
    spec: Any = getattr(frame.func.code, "spec", None)
    place = _generator(frame.live)
    if place is None and frame.record is not None and frame.record.source is not None and spec is not None:
        _, _, line = frame.record.source.rpartition(":")
        place = spec.fn.__code__.co_filename, int(line)
    if place is not None:
        file, number = place
        yield f"{os.path.basename(file)}:{number}", linecache.getline(file, number).strip()


def _generator(live: object) -> tuple[str, int] | None:
    """The innermost `yield` of a generator that waits, in its author's code."""
    generator: Any = getattr(live, "generator", None)
    place = None
    while generator is not None and (frame := getattr(generator, "gi_frame", None)) is not None:
        if generator.__name__ not in ("_steps", "__iter__"):
            place = frame.f_code.co_filename, frame.f_lineno
        generator = generator.gi_yieldfrom
    return place
