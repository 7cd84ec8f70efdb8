"""Rows: loads, stores, and the instructions on whole memories (spec 5.4.6).

None has fixed types: the type of an address is the memory's. What is loaded or stored is in `value` and `width`.
"""

from __future__ import annotations

from ..features import Feature
from ..types import F32, F64, I32, I64, ValType
from .model import Immediate, Instr


def _access(code: int, name: str, value: ValType, width: int) -> Instr:
    return Instr(code, name, Immediate.MEMARG, width=width, value=value)


def _bulk(sub: int, name: str, immediate: Immediate) -> Instr:
    return Instr(0xFC << 16 | sub, name, immediate, feature=Feature.BULK_MEMORY)


ROWS: tuple[Instr, ...] = (
    _access(0x28, "i32.load", I32, 4),
    _access(0x29, "i64.load", I64, 8),
    _access(0x2A, "f32.load", F32, 4),
    _access(0x2B, "f64.load", F64, 8),
    _access(0x2C, "i32.load8_s", I32, 1),
    _access(0x2D, "i32.load8_u", I32, 1),
    _access(0x2E, "i32.load16_s", I32, 2),
    _access(0x2F, "i32.load16_u", I32, 2),
    _access(0x30, "i64.load8_s", I64, 1),
    _access(0x31, "i64.load8_u", I64, 1),
    _access(0x32, "i64.load16_s", I64, 2),
    _access(0x33, "i64.load16_u", I64, 2),
    _access(0x34, "i64.load32_s", I64, 4),
    _access(0x35, "i64.load32_u", I64, 4),
    _access(0x36, "i32.store", I32, 4),
    _access(0x37, "i64.store", I64, 8),
    _access(0x38, "f32.store", F32, 4),
    _access(0x39, "f64.store", F64, 8),
    _access(0x3A, "i32.store8", I32, 1),
    _access(0x3B, "i32.store16", I32, 2),
    _access(0x3C, "i64.store8", I64, 1),
    _access(0x3D, "i64.store16", I64, 2),
    _access(0x3E, "i64.store32", I64, 4),
    Instr(0x3F, "memory.size", Immediate.MEMORY),
    Instr(0x40, "memory.grow", Immediate.MEMORY),
    _bulk(8, "memory.init", Immediate.MEMORY_DATA),
    _bulk(9, "data.drop", Immediate.DATA),
    _bulk(10, "memory.copy", Immediate.MEMORY_MEMORY),
    _bulk(11, "memory.fill", Immediate.MEMORY),
)
