"""What `@host.function` and `@host.restartable` are called with, and their types.

The types say what a checker can: that the context carries the module's state, that only a restartable `def` may wait
by it, that results are numbers. A decorated function keeps its type.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Concatenate, Literal, Protocol, TypeAlias, overload

from ._annotations import Place
from ._context import BlockingContext, Context
from ._engine import lean
from ._messages import Text
from ._types import P, R, S, Steps

Callbacks: TypeAlias = Literal["nested", "scheduled"]


@lean.frozen
class Options:
    """The note that a decorator takes."""

    name: str | None = None
    version: int = 1
    accepts: Sequence[int] = ()
    repeat: bool = False
    callbacks: Callbacks = "nested"
    catch_traps: bool = False

    def judge(self, place: Place, coroutine: bool = False) -> None:
        """Raises SignatureError for what can't be meant."""
        for value in (self.version, *_each(self.accepts)):
            if type(value) is not int:
                raise place.error(Text.VERSION, value=repr(value))
        if self.callbacks not in ("nested", "scheduled"):
            raise place.error(Text.CALLBACKS, value=repr(self.callbacks))
        if self.repeat and not coroutine:
            raise place.error(Text.REPEAT)


def _each(accepts: object) -> Sequence[object]:
    return accepts if isinstance(accepts, Sequence) else (accepts,)


class Plain(Protocol[S]):
    """`@host.function(...)`."""

    def __call__(self, fn: Callable[Concatenate[Context[S], P], R], /) -> Callable[Concatenate[Context[S], P], R]:
        """Register `fn`; gives it back."""


class Restartable(Protocol[S]):
    """`@host.restartable(...)`."""

    @overload
    def __call__(
        self, fn: Callable[Concatenate[Context[S], P], Steps[R]], /
    ) -> Callable[Concatenate[Context[S], P], Steps[R]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[Context[S], P], Coroutine[Any, Any, R]], /
    ) -> Callable[Concatenate[Context[S], P], Coroutine[Any, Any, R]]: ...
    @overload
    def __call__(
        self, fn: Callable[Concatenate[BlockingContext[S], P], R], /
    ) -> Callable[Concatenate[BlockingContext[S], P], R]: ...
