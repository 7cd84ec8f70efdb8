"""The verbs of an execution, for whoever holds one: run, answer, resume_with, throw, drop.

`exec.run` has them for contexts; this file adds what needs Python values and the store.
"""

from __future__ import annotations

from .exec.context import ExecContext
from .exec.groups import shut
from .exec.here import current
from .exec.run import answer, drop, pending_func, prepare, report, run, status, throw
from .exec.run import resume_with as _resume_with
from .externs import arguments
from .types import FuncType


def resume_with(ctx: ExecContext, values: tuple[object, ...]) -> None:
    """Replace the results of the pending host call by Python values, after that function's cleanup.

    Raises StateError where the innermost frame is not a host function that waits, and TypeError or OverflowError for
    values that are not its results; nothing has changed then.
    """
    func = pending_func(ctx)
    canonical = arguments(FuncType(func.type.results), values, f"resume_with in place of {func.name}")
    _resume_with(ctx, canonical)


__all__ = [
    "answer", "current", "drop", "pending_func", "prepare", "report", "resume_with", "run", "shut", "status", "throw",
]  # fmt: skip
