"""Globals and segments (spec 4.2.9 to 4.2.11)."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from ..types import GlobalType, ValType
from ..values import Value
from .group import Group


@attrs.define(eq=False)
class GlobalInst:
    """A global. `group` is that of the instances that have it, where they could reach one another through it."""

    type: GlobalType
    value: Value
    group: Group | None = None


@attrs.define(eq=False)
class ElemInst:
    """An element segment; dropping empties it."""

    type: ValType
    items: Sequence[Value]

    def drop(self) -> None:
        """elem.drop."""
        self.items = ()


@attrs.define(eq=False)
class DataInst:
    """A data segment; dropping empties it."""

    data: bytes

    def drop(self) -> None:
        """data.drop."""
        self.data = b""
