"""Rows: atomic accesses, waiting and waking (threads proposal, "Atomic Memory Accesses").

None has fixed types: the type of an address is the memory's. `value` is the type on the stack and `width` the bytes
that are touched, which are also the alignment that every access must name, and its address must have. What a row does
with them is in `OPERATIONS`.
"""

from __future__ import annotations

from typing import Final

from ..features import Feature
from ..types import I32, I64, ValType
from .model import Immediate, Instr

#: The first code of each operation; the seven widths follow one another.
_CODES: Final = {
    "load": 0x10,
    "store": 0x17,
    "add": 0x1E,
    "sub": 0x25,
    "and": 0x2C,
    "or": 0x33,
    "xor": 0x3A,
    "xchg": 0x41,
    "cmpxchg": 0x48,
}
#: In the order of their codes: the type, and the bits that are accessed.
_WIDTHS: Final = ((I32, 32), (I64, 64), (I32, 8), (I32, 16), (I64, 8), (I64, 16), (I64, 32))
#: By row name: what is done, a key of `_CODES`; and `wait` and `notify`.
OPERATIONS: Final[dict[str, str]] = {}


def _name(operation: str, type_: ValType, bits: int) -> str:
    narrow = str(bits) if bits < 8 * type_.slot and not (type_ is I32 and bits == 32) else ""
    suffix = "_u" if narrow and operation != "store" else ""
    if operation in ("load", "store"):
        return f"{type_}.atomic.{operation}{narrow}{suffix}"
    return f"{type_}.atomic.rmw{narrow}.{operation}{suffix}"


def _row(code: int, name: str, operation: str, value: ValType, bits: int) -> Instr:
    OPERATIONS[name] = operation
    return Instr(
        0xFE << 16 | code, name, Immediate.MEMARG, feature=Feature.THREADS, width=bits // 8, value=value
    )  # fmt: skip


ROWS: tuple[Instr, ...] = (
    _row(0x00, "memory.atomic.notify", "notify", I32, 32),
    _row(0x01, "memory.atomic.wait32", "wait", I32, 32),
    _row(0x02, "memory.atomic.wait64", "wait", I64, 64),
    Instr(0xFE << 16 | 0x03, "atomic.fence", Immediate.FENCE, (), (), Feature.THREADS),
    *[
        _row(first + place, _name(operation, type_, bits), operation, type_, bits)
        for operation, first in _CODES.items()
        for place, (type_, bits) in enumerate(_WIDTHS)
    ],
)
#: Operands that each operation takes, the address included, and the results that it gives.
ARITY: Final[dict[str, tuple[int, int]]] = {
    **dict.fromkeys(_CODES, (2, 1)),
    "load": (1, 1),
    "store": (2, 0),
    "cmpxchg": (3, 1),
    "notify": (2, 1),
    "wait": (3, 1),
}
