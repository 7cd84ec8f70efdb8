"""Values and records between the bytes that machine code works with and Python."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Final

from .. import lean
from ..exec.frames import WasmFrame, awaits
from ..instances.instance import Instance
from ..module import Module
from ..types import EXNREF, F32, F64, I32, I64, V128, ValType
from ..validate.layout import Layout
from ..values import Value, f32_from_bits, f32_to_bits
from . import abi
from .left import pack_left

_CODES: Final = {I32: "Q", I64: "Q", F64: "d", V128: "16s"}
_SLOT: Final = struct.Struct("<Q")
_REAL: Final = struct.Struct("<d")
_HEAD: Final = struct.Struct("<II")


class Row:
    """Values of certain types, eight bytes each, vectors sixteen: a function's arguments or results."""

    def __init__(self, types: Sequence[ValType]) -> None:
        self.types = tuple(types)
        self.size = room_of(self.types)
        self.places = tuple(accumulate([type_.slot for type_ in types[:-1]], initial=0))[: len(types)]
        codes = [_CODES.get(type_) for type_ in types]
        self._whole = None if None in codes else struct.Struct("<" + "".join(filter(None, codes)))

    def put(self, room: memoryview, values: Sequence[Value], refs: dict[int, object]) -> None:
        """Write canonical values. References are noted in `refs`."""
        if self._whole is not None:
            self._whole.pack_into(room, 0, *values)
            return
        for at, type_, value in zip(self.places, self.types, values, strict=True):
            put(room, at, type_, value, refs)

    def get(self, room: memoryview, refs: dict[int, object]) -> tuple[Value, ...]:
        """Read canonical values."""
        if self._whole is not None:
            return self._whole.unpack_from(room)
        return tuple([get(room, at, type_, refs) for at, type_ in zip(self.places, self.types, strict=True)])


def room_of(types: Sequence[ValType]) -> int:
    """How many bytes values of these types take up."""
    return sum([type_.slot for type_ in types])


def put_all(
    room: memoryview, at: int, types: Sequence[ValType], values: Sequence[Value], refs: dict[int, object]
) -> None:
    """Write values one behind the other."""
    for type_, value in zip(types, values, strict=True):
        put(room, at, type_, value, refs)
        at += type_.slot


def addressed(room: memoryview, frame: WasmFrame, refs: dict[int, object]) -> None:
    """Write the slots of a record as code has them: references by their address."""
    raw = frame.raw[_HEAD.size :]
    room[: len(raw)] = raw
    if not frame.handles:
        return
    at = 0
    for type_ in frame.layout.types:
        if type_.is_ref:
            handle = _SLOT.unpack_from(room, at)[0]
            put(room, at, type_, None if handle == abi.NULL else frame.handles[handle], refs)
        at += type_.slot


def put(room: memoryview, at: int, type_: ValType, value: Value, refs: dict[int, object]) -> None:
    """Write one value."""
    if type_ is F64:
        _REAL.pack_into(room, at, value)
    elif type_ is F32 and isinstance(value, float):
        _SLOT.pack_into(room, at, f32_to_bits(value))
    elif type_.is_ref:
        if value is None:
            _SLOT.pack_into(room, at, abi.NULL)
        else:
            refs[id(value)] = value
            _SLOT.pack_into(room, at, id(value))
    elif type_ is V128 and isinstance(value, bytes):
        room[at : at + 16] = value
    else:
        _SLOT.pack_into(room, at, value)


def get(room: memoryview, at: int, type_: ValType, refs: dict[int, object]) -> Value:
    """Read one value."""
    if type_ is F64:
        value: float = _REAL.unpack_from(room, at)[0]
        return value
    if type_ is V128:
        return bytes(room[at : at + 16])
    bits: int = _SLOT.unpack_from(room, at)[0]
    if type_ is F32:
        return f32_from_bits(bits)
    if type_.is_ref:
        return None if bits == abi.NULL else refs[bits]
    return bits


@lean.frozen(eq=False)
class Point:
    """A check point as records name it: the function, the layout, and the record's size."""

    index: int
    layout: Layout
    size: int
    refs: bool
    #: What the frame is counted by, as `left` packs it; its function's results; and those that it waits for.
    charge: int
    results: Row
    awaited: Row


class Points:
    """Check points of a module's own functions, by byte offset."""

    def __init__(self, module: Module) -> None:
        self._module = module
        self._starts = [code.start for code in module.decls.codes]
        self._known: dict[int, Point] = {}
        self._clauses: dict[int, tuple[tuple[int | None, bool, Row], ...]] = {}

    def function(self, pc: int) -> int:
        """The index of the function that has the byte `pc`. The byte before a body is its entry's."""
        from bisect import bisect_right

        own = bisect_right(self._starts, pc + 1) - 1
        return own + self._module.imported_funcs

    def at(self, pc: int) -> Point:
        """The check point with this offset."""
        point = self._known.get(pc)
        if point is None:
            index = self.function(pc)
            body = self._module.body(index)
            layout = body.by_pc[pc]
            size = _HEAD.size + room_of(layout.types)
            cells = 1 + len(body.side.locals) + body.side.max_height
            results = Row(self._module.func_type(index).results)
            awaited = Row(awaits(self._module, index, layout))
            refs = any(type_.is_ref for type_ in layout.types)
            point = self._known[pc] = Point(index, layout, size, refs, pack_left(1, cells), results, awaited)
        return point

    def clauses(self, pc: int) -> tuple[tuple[int | None, bool, Row], ...]:
        """The clauses of the `try_table` at this offset and of those around it, innermost first: the tag's index, or
        None for any; whether the exception goes along; and what is handed on."""
        found = self._clauses.get(pc)
        if found is None:
            body = self._module.body(self.function(pc))
            blocks, tags = body.side.blocks, self._module.env.tags
            start = next(at for at, block in blocks.items() if block.kind == "try" and body.ops[at][0] == pc)
            made: list[tuple[int | None, bool, Row]] = []
            while start >= 0:
                clauses: Any = body.ops[start][2]  # its form belongs to the row
                for clause in clauses[1]:
                    values = () if clause.tag is None else tags[clause.tag].params
                    made.append((clause.tag, clause.ref, Row((*values, EXNREF) if clause.ref else values)))
                start = blocks[start].guard
            found = self._clauses[pc] = tuple(made)
        return found


def frames(data: bytes, points: Points, instance: Instance, refs: dict[int, object]) -> list[WasmFrame]:
    """The records that lie one behind the other in `data`, innermost first."""
    found: list[WasmFrame] = []
    at = 0
    while at < len(data):
        point = points.at(_HEAD.unpack_from(data, at)[0])
        raw = data[at : at + point.size]
        handles: tuple[Value, ...] = ()
        if point.refs:
            raw, handles = _renumbered(raw, point.layout, refs)
        func = instance.funcs[point.index]
        found.append(WasmFrame(func, raw, handles, point.layout))  # type: ignore[arg-type]  # the module's own
        at += point.size
    return found


def _renumbered(raw: bytes, layout: Layout, refs: dict[int, object]) -> tuple[bytes, tuple[Value, ...]]:
    """A record names references by place in its own handles, code by their address."""
    out = bytearray(raw)
    handles: list[Value] = []
    at = _HEAD.size
    for type_ in layout.types:
        if type_.is_ref:
            bits = _SLOT.unpack_from(out, at)[0]
            if bits != abi.NULL:
                _SLOT.pack_into(out, at, len(handles))
                handles.append(refs[bits])
        at += type_.slot
    return bytes(out), tuple(handles)
