"""Lowerings: tables and references (spec 4.4.2, 4.4.6). Python does all but the calls; see `call`."""

from __future__ import annotations

from typing import Any

from .. import abi
from ..emitter import Emitter
from .registry import Lowering, lowers, register


@lowers("ref.null")
def _null(e: Emitter, immediate: Any) -> None:
    e.push("i64", str(abi.NULL))


@lowers("ref.is_null")
def _is_null(e: Emitter, immediate: Any) -> None:
    e.push("i1", e.value(f"icmp eq i64 {e.pop()}, {abi.NULL}"))


def _asked(name: str, takes: int, gives: str | None) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        e.request(name, immediate, e.take(takes), gives)

    return lower


def _asked_size(name: str, takes: int) -> Lowering:
    def lower(e: Emitter, index: Any) -> None:
        e.request(name, index, e.take(takes), abi.ir_type(e.module.env.tables[index].address))

    return lower


def _asked_pair(name: str) -> Lowering:
    def lower(e: Emitter, immediate: Any) -> None:
        first, second = immediate
        e.request(name, first, [*e.take(3), ("i64", str(second))])

    return lower


for _name, _takes, _gives in (
    ("ref.func", 0, "i64"),
    ("table.get", 1, "i64"),
    ("table.set", 2, None),
    ("table.fill", 3, None),
    ("elem.drop", 0, None),
):
    register(_name, _asked(_name, _takes, _gives))
register("table.size", _asked_size("table.size", 0))
register("table.grow", _asked_size("table.grow", 2))
register("table.copy", _asked_pair("table.copy"))
register("table.init", _asked_pair("table.init"))
