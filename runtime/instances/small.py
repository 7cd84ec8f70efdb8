"""Globals and segments (spec 4.2.9 to 4.2.11)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import lean
from ..types import GlobalType, ValType
from ..values import Value
from .group import Group


@lean.define(eq=False)
class GlobalInst:
    """A global. `group` is that of the instances that have it, where they could reach one another through it."""

    type: GlobalType
    value: Value
    group: Group | None = None


class SharedGlobal(GlobalInst):
    """A global whose value stands in a cell that machine code has the address of. `share` makes one of a plain global
    in place: whoever holds it goes on holding it."""

    __slots__ = ()

    @property
    def value(self) -> Value:
        get: Callable[[], Value] = _value.__get__(self)[0]
        return get()

    @value.setter
    def value(self, value: Value) -> None:
        put: Callable[[Value], None] = _value.__get__(self)[1]
        put(value)

    @property
    def address(self) -> int:
        """Of the cell."""
        address: int = _value.__get__(self)[2]
        return address


#: Where the plain class keeps its value, and the shared one how to get at it.
_value: Any = GlobalInst.__dict__["value"]


def share(
    global_: GlobalInst, get: Callable[[], Value], put: Callable[[Value], None], address: int, keep: object
) -> SharedGlobal:
    """Have `global_` keep its value in the cell at `address` from now on, by `get` and `put`. `keep` is what keeps
    the cell alive."""
    value = global_.value
    put(value)
    _value.__set__(global_, (get, put, address, keep))
    global_.__class__ = SharedGlobal
    if not isinstance(global_, SharedGlobal):
        raise TypeError("the global is of a class that can't be shared")
    return global_


@lean.define(eq=False)
class ElemInst:
    """An element segment; dropping empties it."""

    type: ValType
    items: Sequence[Value]

    def drop(self) -> None:
        """elem.drop."""
        self.items = ()


@lean.define(eq=False)
class DataInst:
    """A data segment; dropping empties it."""

    data: bytes

    def drop(self) -> None:
        """data.drop."""
        self.data = b""
