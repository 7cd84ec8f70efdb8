"""Rows: references, tables and element segments (spec 5.4.3, 5.4.5). Their types depend on a table or a function."""

from __future__ import annotations

from ..features import Feature
from .model import Immediate, Instr


def _ref(code: int, name: str, immediate: Immediate = Immediate.NONE) -> Instr:
    return Instr(code, name, immediate, feature=Feature.REFERENCE_TYPES)


def _bulk(sub: int, name: str, immediate: Immediate) -> Instr:
    return Instr(0xFC << 16 | sub, name, immediate, feature=Feature.BULK_MEMORY)


ROWS: tuple[Instr, ...] = (
    _ref(0x25, "table.get", Immediate.TABLE),
    _ref(0x26, "table.set", Immediate.TABLE),
    _ref(0xD0, "ref.null", Immediate.REF_TYPE),
    _ref(0xD1, "ref.is_null"),
    _ref(0xD2, "ref.func", Immediate.FUNC),
    Instr(0xD4, "ref.as_non_null", feature=Feature.FUNCTION_REFERENCES),
    _bulk(12, "table.init", Immediate.TABLE_ELEM),
    _bulk(13, "elem.drop", Immediate.ELEM),
    _bulk(14, "table.copy", Immediate.TABLE_TABLE),
    _ref(0xFC << 16 | 15, "table.grow", Immediate.TABLE),
    _ref(0xFC << 16 | 16, "table.size", Immediate.TABLE),
    _ref(0xFC << 16 | 17, "table.fill", Immediate.TABLE),
)
