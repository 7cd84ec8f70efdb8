"""What is ordered of a compiler, and what it gives: plain data, for pipes and files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from .. import lean
from .digest import SIZE, checksum

#: Levels of the code generator: quick to compile, quick to run.
QUICK: Final = 0
GOOD: Final = 2
_MAGIC: Final = b"hostsdk code\n"


class Damaged(Exception):
    """Bytes that are no product."""


@lean.frozen
class Order:
    """Functions of a module by their index, check points as (function, byte offset), and keys of support code."""

    level: int
    functions: tuple[int, ...] = ()
    points: tuple[tuple[int, int], ...] = ()
    support: tuple[str, ...] = ()
    #: Guard pages stand for bounds checks.
    guard: bool = False

    @property
    def parts(self) -> int:
        """How many functions and check points."""
        return len(self.functions) + len(self.points)

    def also(self, support: tuple[str, ...]) -> Order:
        """The order, with more support code."""
        return lean.evolve(self, support=tuple(dict.fromkeys((*support, *self.support))))


@lean.frozen
class Product:
    """Machine code. `refused` are the parts of the order that stay with the interpreter."""

    order: Order
    #: The object file that defines `f<index>` and `r<offset>`; empty where there is nothing in it.
    code: bytes = b""
    #: The object files of the support code.
    support: tuple[bytes, ...] = ()
    #: Functions whose code has no check point.
    leaves: frozenset[int] = frozenset()
    refused: Order = lean.field(factory=lambda: Order(0))
    #: Why, for the log; empty where it is the usual reason, an instruction that this tier lacks.
    fault: str = ""

    def pack(self) -> bytes:
        """As bytes."""
        order, refused = self.order, self.refused
        head = json.dumps(
            [
                [order.level, order.functions, order.points, order.support, order.guard],
                [refused.functions, refused.points, refused.support],
                sorted(self.leaves), len(self.code), list(map(len, self.support)), self.fault,
            ],
            separators=(",", ":"),
        ).encode()  # fmt: skip
        body = len(head).to_bytes(4, "little") + b"".join([head, self.code, *self.support])
        return _MAGIC + checksum(body) + body


def unpack(data: bytes) -> Product:
    """The opposite of `pack`. Raises Damaged."""
    start = len(_MAGIC) + SIZE
    if data[: len(_MAGIC)] != _MAGIC or checksum(memoryview(data)[start:]) != data[len(_MAGIC) : start]:
        raise Damaged("not machine code of ours")
    try:
        size = int.from_bytes(data[start : start + 4], "little")
        at = start + 4 + size
        order, refused, leaves, code, support, fault = json.loads(data[start + 4 : at])
        parts = []
        for part in (code, *support):
            parts.append(data[at : at + part])
            at += part
        if len(data) != at:
            raise Damaged("its parts don't fill it")
        lost = order_of(0, *refused)
        return Product(order_of(*order), parts[0], tuple(parts[1:]), frozenset(leaves), lost, str(fault))
    except (ValueError, TypeError) as error:
        raise Damaged(str(error)) from None


def order_of(level: int, functions: list[int], points: list[Any], support: list[str], guard: bool = False) -> Order:
    """An order out of what JSON gives."""
    return Order(level, tuple(functions), tuple([(index, pc) for index, pc in points]), tuple(support), guard)


def needed(products: Sequence[Product], best: int) -> list[Product]:
    """These products without those of which all is there in the best form, too."""
    made: set[int | tuple[int, int]] = set()
    for each in products:
        if each.order.level == best and each.code:
            made.update(each.order.functions, each.order.points)
            made.difference_update(each.refused.functions, each.refused.points)
    return [
        each for each in products
        if each.order.level == best or each.support or not made.issuperset([*each.order.functions, *each.order.points])
    ]  # fmt: skip
