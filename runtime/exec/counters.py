"""What an execution has done, counted exactly: a restart is never counted as another call."""

from __future__ import annotations

from collections import Counter

from .. import lean


def _nothing() -> Counter[str]:
    """An empty one. What `Counter()` does besides takes as long as all the rest of a `Counters`."""
    return Counter.__new__(Counter)


@lean.define
class Counters:
    """Shared by all executions of one store."""

    #: Host functions called; entering one again is not a call.
    host_calls: int = 0
    #: Host functions entered, the first time and every time after.
    host_entries: int = 0
    #: The most host functions that waited for a callee at once, as one that is entered sees it: itself not counted.
    host_depth: int = 0
    #: Functions of modules called; counted only where asked for, since it costs.
    wasm_calls: int = 0
    count_wasm_calls: bool = False
    #: Suspensions by cause: interrupted, timed out, waiting, asked, injected.
    suspensions: Counter[str] = lean.field(factory=_nothing)
    #: Frames gone on with after a suspension, by place: `entry`, `loop`, `call`, or the host function's name.
    restarts: Counter[str] = lean.field(factory=_nothing)
