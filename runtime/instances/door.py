"""An exported function as an embedder holds it, to which a tier may give a shorter way in."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from ..limits import Limits
from ..types import FuncType
from .group import Word


class Terms(NamedTuple):
    """What is the same for all executions that calls begin."""

    limits: Limits
    #: Not 0 while calls have to go the long way.
    hold: Word


class Door(Protocol):
    """Whoever opens a shorter way keeps what it needs in `way`, and closes it when told to."""

    #: The tier's own.
    way: Any

    @property
    def callable(self) -> Any:
        """What the embedder calls. Its own `__call__` is the long way."""

    @property
    def type(self) -> FuncType: ...

    def terms(self) -> Terms | None:
        """None where calls always go the long way."""

    def fresh(self) -> Any:
        """A fresh execution for a call from here. May raise."""

    def ended(self, ctx: Any, outcome: Any, args: tuple[Any, ...]) -> object:
        """What the call gives, or raises, for the outcome that its execution came to."""

    def shut(self) -> None:
        """There is no shorter way from now on."""


class Picture(Protocol):
    """What a tier has made of an instance."""

    def open(self, index: int) -> None:
        """There is a new door to the function `index`."""
