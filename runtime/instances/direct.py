"""What machine code has to know of a host function to call it without asking the engine each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..hostabi import Shape
from ..values import Value
from .memory import MemInst


class Direct(Protocol):
    """A function that never waits and never calls back: nothing of its calls has to be kept."""

    @property
    def fn(self) -> Callable[..., Any]:
        """Called with the context, if it takes one, and the arguments that the shape says."""

    @property
    def shape(self) -> Shape: ...

    @property
    def takes_context(self) -> bool: ...

    @property
    def now(self) -> object:
        """What the context's slot `_call` holds during a call; `_caller` holds the instance that called, or was the
        last to do so."""

    def context(self, border: Any) -> Any:
        """The context for an execution."""

    def memory(self, caller: Any) -> MemInst | None:
        """The memory that addresses from a calling instance are in."""

    def results(self, border: Any, value: object) -> tuple[Value, ...]:
        """Canonical results of what `fn` gave. Raises what the call is to raise."""

    def failed(self, error: BaseException) -> tuple[Value, ...]:
        """The results that tell the guest of what `fn` raised. Raises that, where there are none."""
