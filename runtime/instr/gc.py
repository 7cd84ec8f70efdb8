"""Rows: structs, arrays, i31 and casts (spec 5.4.3, 5.4.6). Their types depend on the type that they name."""

from __future__ import annotations

from ..features import Feature
from ..types import EQREF, I31, I31REF, I32
from .model import Immediate, Instr


def _gc(sub: int, name: str, immediate: Immediate = Immediate.NONE) -> Instr:
    return Instr(0xFB << 16 | sub, name, immediate, feature=Feature.GC)


ROWS: tuple[Instr, ...] = (
    Instr(0xD3, "ref.eq", params=(EQREF, EQREF), results=(I32,), feature=Feature.GC),
    _gc(0, "struct.new", Immediate.TYPE),
    _gc(1, "struct.new_default", Immediate.TYPE),
    _gc(2, "struct.get", Immediate.TYPE_FIELD),
    _gc(3, "struct.get_s", Immediate.TYPE_FIELD),
    _gc(4, "struct.get_u", Immediate.TYPE_FIELD),
    _gc(5, "struct.set", Immediate.TYPE_FIELD),
    _gc(6, "array.new", Immediate.TYPE),
    _gc(7, "array.new_default", Immediate.TYPE),
    _gc(8, "array.new_fixed", Immediate.TYPE_COUNT),
    _gc(9, "array.new_data", Immediate.TYPE_DATA),
    _gc(10, "array.new_elem", Immediate.TYPE_ELEM),
    _gc(11, "array.get", Immediate.TYPE),
    _gc(12, "array.get_s", Immediate.TYPE),
    _gc(13, "array.get_u", Immediate.TYPE),
    _gc(14, "array.set", Immediate.TYPE),
    _gc(15, "array.len"),
    _gc(16, "array.fill", Immediate.TYPE),
    _gc(17, "array.copy", Immediate.TYPE_TYPE),
    _gc(18, "array.init_data", Immediate.TYPE_DATA),
    _gc(19, "array.init_elem", Immediate.TYPE_ELEM),
    # With and without null these are written alike in the text format; names must differ here.
    _gc(20, "ref.test", Immediate.REF_TYPE),
    _gc(21, "ref.test_null", Immediate.REF_TYPE),
    _gc(22, "ref.cast", Immediate.REF_TYPE),
    _gc(23, "ref.cast_null", Immediate.REF_TYPE),
    _gc(24, "br_on_cast", Immediate.CAST),
    _gc(25, "br_on_cast_fail", Immediate.CAST),
    _gc(26, "any.convert_extern"),
    _gc(27, "extern.convert_any"),
    Instr(0xFB_001C, "ref.i31", params=(I32,), results=(I31.ref(False),), feature=Feature.GC),
    Instr(0xFB_001D, "i31.get_s", params=(I31REF,), results=(I32,), feature=Feature.GC),
    Instr(0xFB_001E, "i31.get_u", params=(I31REF,), results=(I32,), feature=Feature.GC),
)
