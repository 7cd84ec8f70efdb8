"""What a wait can be woken by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ._engine import Notifier

if TYPE_CHECKING:
    from concurrent.futures import Future


class HasFileno(Protocol):
    """A socket, a pipe, an open file."""

    def fileno(self) -> int: ...


#: A descriptor's number or an object that has one, or several.
Fd: TypeAlias = int | HasFileno | Iterable[int | HasFileno]
#: What another thread wakes a waiter by, or several.
Wake: TypeAlias = "Notifier | Future[Any] | Iterable[Notifier | Future[Any]]"
