"""Lowerings by the name of their row: registration, which refuses doubles, and look-up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from ..emitter import Emitter

#: Turns one instruction into IR. The immediate's form belongs to the row.
Lowering: TypeAlias = Callable[[Emitter, Any], None]

LOWERINGS: dict[str, Lowering] = {}


def register(name: str, lowering: Lowering) -> None:
    """Say how `name` is lowered. Raises ValueError where somebody has."""
    if name in LOWERINGS:
        raise ValueError(f"two lowerings of {name}")
    LOWERINGS[name] = lowering


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """The same, as a decorator."""

    def note(lowering: Lowering) -> Lowering:
        for name in names:
            register(name, lowering)
        return lowering

    return note
