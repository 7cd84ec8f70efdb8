"""The other process, in which a saved call goes on. It is started when first needed and kept for the next ones."""

from __future__ import annotations

import functools
import multiprocessing
import pickle
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

import attrs

from .._engine import Injector
from .faults import Kind
from .report import Ending, Hit
from .scenario import Scenario

if TYPE_CHECKING:
    from .driving import Setting


@attrs.frozen
class Leg:
    """What the other process needs to go on: all of it can be pickled, and functions go by their names."""

    scenario: Scenario
    setting: Setting
    schedule: Injector
    kinds: Sequence[Kind]
    count: int
    hit: int
    data: bytes


@attrs.frozen
class Done:
    """How far it came: saved again (`data`), or at the end (`ending`)."""

    hits: tuple[Hit, ...]
    elapsed: float
    count: int
    hit: int
    data: bytes
    ending: Ending | None
    #: What went wrong there, in words: not every exception can be sent between processes.
    error: str = ""


@functools.cache
def _pool() -> ProcessPoolExecutor:
    # A fresh interpreter: nothing of this process must be what makes a loaded call work.
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def carry_out(go_on: Callable[[Leg], Done], leg: Leg) -> Done:
    """Run `go_on(leg)` in the other process. Raises TypeError where the scenario can't be sent there."""
    try:
        pickle.dumps(leg)
    except Exception as error:
        raise TypeError(
            f"{leg.scenario.name} can't be sent to another process: its functions must be importable by name ({error})"
        ) from error
    return _pool().submit(_carefully, go_on, leg).result()


def _carefully(go_on: Callable[[Leg], Done], leg: Leg) -> Done:
    try:
        return go_on(leg)
    except Exception:
        return Done((), 0.0, leg.count, leg.hit, b"", None, traceback.format_exc())
