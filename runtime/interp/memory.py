"""Handlers of memories: loads, stores, size and growth, bulk operations (spec 4.4.7).

A load or store is not preceded by a check: `unpack_from`, `pack_into` and indexing make it, before they touch
anything. What they raise (struct.error, IndexError, and OverflowError for an address that is no machine word) leaves
the handler and means exactly an access out of bounds, as no handler does anything else that could raise these:
registers exist, addresses are never negative (an address plus an offset, both unsigned; past 2**32 or 2**64 they are
simply too large), and a stored value fits its width. The run loop makes the trap of it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from .. import lean
from ..errors import Trap, TrapCode
from ..instr.model import Instr
from ..values import f32_from_bits, f32_to_bits
from . import inline
from .registry import Const, Handler, Operand, handles, register

if TYPE_CHECKING:
    from ..instances.instance import Instance

_UNPACK = {code: struct.Struct("<" + code).unpack_from for code in "BHIQfd"}
_PACK = {code: struct.Struct("<" + code).pack_into for code in "BHIQfd"}
#: Where the bytes are, and its cells. Nearly every access is to memory 0, which the instance keeps at hand.
_FIRST = "r[0].mem.data"
_OTHER = "r[0].memories[m].data"


@lean.frozen
class Access:
    """A load or store: format of the bytes, and the text of what is made of them.

    For a load the text is over `{v}`, the number read; for a store it is over `{v}`, the operand. `format` "B" means
    one byte, which is read and written by index.
    """

    format: str
    text: str = "{v}"


def _sign_extended(width: int, bits: int) -> str:
    return f"x if (x := {{v}}) < {hex(1 << width - 1)} else x + {hex((1 << bits) - (1 << width))}"


LOADS: dict[str, Access] = {
    "i32.load": Access("I"),
    "i64.load": Access("Q"),
    "f64.load": Access("d"),
    "i32.load8_u": Access("B"),
    "i64.load8_u": Access("B"),
    "i32.load16_u": Access("H"),
    "i64.load16_u": Access("H"),
    "i64.load32_u": Access("I"),
    "i32.load8_s": Access("B", _sign_extended(8, 32)),
    "i32.load16_s": Access("H", _sign_extended(16, 32)),
    "i64.load8_s": Access("B", _sign_extended(8, 64)),
    "i64.load16_s": Access("H", _sign_extended(16, 64)),
    "i64.load32_s": Access("I", _sign_extended(32, 64)),
}
STORES: dict[str, Access] = {
    "i32.store": Access("I"),
    "i64.store": Access("Q"),
    "f64.store": Access("d"),
    "i32.store8": Access("B", "{v} & 0xFF"),
    "i64.store8": Access("B", "{v} & 0xFF"),
    "i32.store16": Access("H", "{v} & 0xFFFF"),
    "i64.store16": Access("H", "{v} & 0xFFFF"),
    "i64.store32": Access("I", "{v} & 0xFFFFFFFF"),
}


def locate(immediate: object, operand: Operand) -> tuple[str, str, str, list[object]]:
    """Texts of the bytes and of the address, the names of their cells, and what these are bound to.

    The sum of a constant and the offset is made here. A cell that the text does not use is bound all the same: three
    fixed cells make fewer factories than their combinations would.
    """
    _, offset, index = cast("tuple[int, int, int]", immediate)
    data = _OTHER if index else _FIRST
    if isinstance(operand, Const):
        return data, "p", "p, o, m", [cast("int", operand.value) + offset, None, index]
    return data, "r[p] + o" if offset else "r[p]", "p, o, m", [operand, offset, index]


def _load(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    data, address, cells, bound = locate(immediate, operands[0])
    access = LOADS[row.name]
    read = f"{data}[{address}]" if access.format == "B" else f"u({data}, {address})[0]"
    body = "r[d] = " + access.text.format(v=read)
    made: Handler = inline.factory(f"d, u, {cells}", body)(dest, _UNPACK[access.format], *bound)
    return made


def _store(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    data, address, cells, bound = locate(immediate, operands[0])
    access = STORES[row.name]
    (_, source), (_, value) = inline.place(operands)
    text = access.text.format(v=source)
    body = f"{data}[{address}] = {text}" if access.format == "B" else f"u({data}, {address}, {text})"
    made: Handler = inline.factory(f"u, b, {cells}", body)(_PACK[access.format], value, *bound)
    return made


@handles("f32.load")
def _f32_load(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    """A NaN is read again as bits: the way to a double would quieten it."""
    data, address, cells, bound = locate(immediate, operands[0])
    body = f"x = u({data}, {address})[0]\nr[d] = x if x == x else coded(bits({data}, {address})[0])"
    made: Handler = inline.factory(f"d, u, bits, coded, {cells}", body)(
        dest, _UNPACK["f"], _UNPACK["I"], f32_from_bits, *bound
    )
    return made


@handles("f32.store")
def _f32_store(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    """A NaN is written as bits, for the same reason."""
    data, address, cells, bound = locate(immediate, operands[0])
    (_, source), (_, value) = inline.place(operands)
    body = f"x = {source}\nif x == x: u({data}, {address}, x)\nelse: bits({data}, {address}, coded(x))"
    made: Handler = inline.factory(f"u, bits, coded, b, {cells}", body)(
        _PACK["f"], _PACK["I"], f32_to_bits, value, *bound
    )
    return made


def _init(instance: Instance, memory: int, segment: int, to: int, start: int, size: int) -> None:
    """memory.init: both ranges are checked before anything is written."""
    data = instance.datas[segment].data
    if start + size > len(data):
        raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY)
    instance.memories[memory].write(to, data[start : start + size])


@handles("memory.size")
def _size(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    made: Handler = inline.factory("d, m", "r[d] = r[0].memories[m].pages")(dest, immediate)
    return made


@handles("memory.grow")
def _grow(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    texts, bound = inline.place(operands)
    body = f"r[d] = r[0].memories[m].grown({texts[0]})"
    made: Handler = inline.factory("d, m, a", body)(dest, immediate, *bound)
    return made


@handles("memory.fill")
def _fill(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    texts, bound = inline.place(operands)
    made: Handler = inline.factory("m, a, b, c", f"r[0].memories[m].fill({', '.join(texts)})")(immediate, *bound)
    return made


@handles("memory.copy")
def _copy(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    to, source = cast("tuple[int, int]", immediate)
    (a, b, c), bound = inline.place(operands)
    body = f"i = r[0]\ni.memories[m].copy({a}, i.memories[s], {b}, {c})"
    made: Handler = inline.factory("m, s, a, b, c", body)(to, source, *bound)
    return made


@handles("memory.init")
def _memory_init(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    memory, segment = cast("tuple[int, int]", immediate)
    texts, bound = inline.place(operands)
    body = f"init(r[0], m, s, {', '.join(texts)})"
    made: Handler = inline.factory("init, m, s, a, b, c", body)(_init, memory, segment, *bound)
    return made


@handles("data.drop")
def _data_drop(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    made: Handler = inline.factory("s", "r[0].datas[s].drop()")(immediate)
    return made


for _name in LOADS:
    register(_name, _load)
for _name in STORES:
    register(_name, _store)
