"""Handlers of vectors (spec 4.4.3, 4.4.7): operators by the generic adaptor, loads and stores.

A lane index, or the lanes of a shuffle, is an operand to the adaptor, behind the others and always a constant.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from types import FunctionType
from typing import cast

from ..instr.index import BY_NAME
from ..instr.model import Immediate, Instr
from ..semantics import lanes, lanes_float, lanes_int
from . import inline
from .memory import Access, locate
from .numeric import fuse
from .registry import Const, Handler, Operand, handles, register, register_condition

#: What each row computes, by its name.
FUNCTIONS = {**lanes.OPERATORS, **lanes_int.OPERATORS, **lanes_float.OPERATORS}
inline.offer({name.replace(".", "_"): function for name, function in FUNCTIONS.items()})
inline.offer({"from_bytes": int.from_bytes, "ZERO": lanes.ZERO, "PAD_ONE": lanes.PAD_ONE, "PAD_TWO": lanes.PAD_TWO})
_TRUTHS = frozenset(name for name in FUNCTIONS if name.endswith("_true"))


def _logic(expression: str) -> inline.Text:
    """A text on vectors as numbers; of a constant the number is made once."""
    views = tuple((letter, "from_bytes({x}, 'little')") for letter in "abc" if f"{{{letter}}}" in expression)
    return inline.Text(f"({expression}).to_bytes(16, 'little')", views=views)


#: The ones that are shorter than a call.
TEXTS: dict[str, inline.Text] = {
    "v128.and": _logic("{a} & {b}"),
    "v128.or": _logic("{a} | {b}"),
    "v128.xor": _logic("{a} ^ {b}"),
    "v128.bitselect": _logic("({a} ^ (y := {b})) & {c} ^ y"),
    "v128.any_true": inline.Text("{a} != ZERO", "truth"),
    "i8x16.shuffle": inline.Text("{c}.translate({a} + {b} + PAD_TWO)"),
    "i8x16.swizzle": inline.Text("{b}.translate({a} + PAD_ONE)"),
    "i8x16.extract_lane_u": inline.Text("{a}[{b}]"),
}


def _call(name: str) -> inline.Text:
    """A text that calls the function."""
    operands = ", ".join(("{a}", "{b}", "{c}")[: cast("FunctionType", FUNCTIONS[name]).__code__.co_argcount])
    return inline.Text(f"{BY_NAME[name].ident}({operands})", "truth" if name in _TRUTHS else "value")


_TEXTS = {name: _call(name) for name in FUNCTIONS} | TEXTS


def _make(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    if row.immediate is not Immediate.NONE:
        operands = (*operands, Const(immediate))
    return inline.handler(_TEXTS[row.name], dest, operands)


for _name, _text in _TEXTS.items():
    register(_name, _make)
    if _text.form == "truth":
        register_condition(_name, fuse(_text))


# Loads and stores

_UNPACK = {width: struct.Struct(f"<{width}s").unpack_from for width in (1, 2, 4, 8, 16)}
_PACK = {width: struct.Struct(f"<{width}s").pack_into for width in (1, 2, 4, 8, 16)}

#: What is made of the bytes that a load reads.
LOADS: dict[str, Access] = {
    "v128.load": Access("16s"),
    "v128.load8x8_s": Access("8s", "i16x8_extend_low_i8x16_s({v})"),
    "v128.load8x8_u": Access("8s", "i16x8_extend_low_i8x16_u({v})"),
    "v128.load16x4_s": Access("8s", "i32x4_extend_low_i16x8_s({v})"),
    "v128.load16x4_u": Access("8s", "i32x4_extend_low_i16x8_u({v})"),
    "v128.load32x2_s": Access("8s", "i64x2_extend_low_i32x4_s({v})"),
    "v128.load32x2_u": Access("8s", "i64x2_extend_low_i32x4_u({v})"),
    "v128.load8_splat": Access("1s", "{v} * 16"),
    "v128.load16_splat": Access("2s", "{v} * 8"),
    "v128.load32_splat": Access("4s", "{v} * 4"),
    "v128.load64_splat": Access("8s", "{v} * 2"),
    "v128.load32_zero": Access("4s", "{v}.ljust(16, b'\\0')"),
    "v128.load64_zero": Access("8s", "{v}.ljust(16, b'\\0')"),
}


def _load(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    data, address, cells, bound = locate(immediate, operands[0])
    body = "r[d] = " + LOADS[row.name].text.format(v=f"u({data}, {address})[0]")
    made: Handler = inline.factory(f"d, u, {cells}", body)(dest, _UNPACK[row.width], *bound)
    return made


@handles("v128.store")
def _store(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    data, address, cells, bound = locate(immediate, operands[0])
    (_, source), (_, value) = inline.place(operands)
    made: Handler = inline.factory(f"u, b, {cells}", f"u({data}, {address}, {source})")(_PACK[16], value, *bound)
    return made


def _lane_load(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    *memarg, lane = cast("tuple[int, int, int, int]", immediate)
    data, address, cells, bound = locate(memarg, operands[0])
    (_, source), (_, value) = inline.place(operands)
    body = f"x = {source}\nr[d] = x[:s] + u({data}, {address})[0] + x[e:]"
    start = lane * row.width
    made: Handler = inline.factory(f"d, u, s, e, b, {cells}", body)(
        dest, _UNPACK[row.width], start, start + row.width, value, *bound
    )
    return made


def _lane_store(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    *memarg, lane = cast("tuple[int, int, int, int]", immediate)
    data, address, cells, bound = locate(memarg, operands[0])
    (_, source), (_, value) = inline.place(operands)
    part = slice(lane * row.width, (lane + 1) * row.width)
    made: Handler = inline.factory(f"u, k, b, {cells}", f"u({data}, {address}, {source}[k])")(
        _PACK[row.width], part, value, *bound
    )
    return made


for _name in LOADS:
    register(_name, _load)
for _row in BY_NAME.values():
    if _row.immediate is Immediate.MEMARG_LANE:
        register(_row.name, _lane_load if ".load" in _row.name else _lane_store)
