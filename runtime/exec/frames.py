"""Frames of a suspended execution: canonical, tier-free, heap data.

A `WasmFrame` holds the packed record that `validate.layout` describes; `slots()` is the lazy view of it. References
are kept beside the bytes, as indexes into `handles`, since they are not data. A `HostFrame` holds the record of
`restart`. Whoever made a frame, any tier can go on from it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, cast, overload

from .. import lean
from ..instances.exception import ExnInst
from ..instances.func import HostFunc, WasmFunc
from ..instances.instance import Instance
from ..module import Module
from ..types import F32, F64, I32, V128, ValType
from ..validate.layout import Layout
from ..values import Value, f32_from_bits, f32_to_bits
from .restart import Record

_HEAD = struct.Struct("<II")
_U64 = struct.Struct("<Q")
_F64 = struct.Struct("<d")
#: Flag: the check of this check point is behind us; a resume goes on without polling again.
PASSED = 1
#: Check points of instructions that wait, as a call does for its results.
_WAITS = ("memory.atomic.wait32", "memory.atomic.wait64")
#: Slot of a null reference.
NULL = 0xFFFF_FFFF_FFFF_FFFF


@lean.frozen(eq=False, repr=False)
class WasmFrame:
    """One function of a module, at a check point."""

    func: WasmFunc
    raw: bytes
    handles: tuple[Value, ...] = ()

    #: How `raw` is laid out; found by its check point where the maker doesn't say.
    layout: Layout = lean.field(factory=lean.of_self(lambda self: _layout_of(self.func, self.raw)))

    @property
    def instance(self) -> Instance:
        """That of the function."""
        return self.func.instance

    @property
    def pc(self) -> int:
        """Byte offset, in the module, of the check point."""
        return self.layout.pc

    @property
    def cells(self) -> int:
        """Registers that the frame needs while it runs; what `Limits.cells` counts."""
        side = self.func.instance.module.body(self.func.code.index).side
        return 1 + len(side.locals) + side.max_height

    @property
    def awaited(self) -> tuple[ValType, ...]:
        """Types of the results that the frame waits for, where it is in a call."""
        return awaits(self.func.instance.module, self.func.code.index, self.layout)

    def catches(self, exn: ExnInst) -> bool:
        """Whether an exception that comes out of the call which the frame waits in is caught by the frame."""
        instance = self.func.instance
        body = instance.module.body(self.func.code.index)
        start = body.side.guards.get(self.layout.index, -1)
        while start >= 0:
            clauses: Any = body.ops[start][2]  # its form belongs to the row
            if any(clause.tag is None or instance.tags[clause.tag] is exn.tag for clause in clauses[1]):
                return True
            start = body.side.blocks[start].guard
        return False

    def slots(self) -> list[Value]:
        """Live locals in ascending order, then operands, as canonical values."""
        layout = self.layout
        if layout.struct is not None:
            return list(layout.struct.unpack(self.raw)[2:])
        return unpack(self.raw, layout.types, self.handles)

    def __repr__(self) -> str:
        return f"<WasmFrame {self.func.name} at byte {self.pc}>"


def awaits(module: Module, index: int, layout: Layout) -> tuple[ValType, ...]:
    """Types of the results that a frame of the function `index` waits for at a check point: none unless that is a call
    or a wait."""
    if layout.kind != "call":
        return ()
    _, row, immediate = module.body(index).ops[layout.index]
    if row.name in _WAITS:
        return (I32,)
    target: Any = immediate  # its form belongs to the row
    if row.name == "call":
        return module.func_type(target).results
    return module.decls.functype(target if row.name == "call_ref" else target[1]).results


def _layout_of(func: WasmFunc, raw: bytes) -> Layout:
    pc: int = _HEAD.unpack_from(raw)[0]
    return func.instance.module.body(func.code.index).by_pc[pc]


@lean.define(eq=False, repr=False)
class HostFrame:
    """One host function that waits. Without `record` it has not been entered yet.

    `live` is what is kept alive in memory (a generator) and is lost, and rebuilt by replay, when saved.
    """

    func: HostFunc
    caller: Instance | None
    args: tuple[Value, ...]
    record: Record | None = None
    live: object = None

    def __repr__(self) -> str:
        return f"<HostFrame {self.func.name}>"


Frame: TypeAlias = WasmFrame | HostFrame


class Batch(Protocol):
    """Frames that a tier has put down one behind the other, in a form of its own, which it can go on with as they are.
    Each is made into a `WasmFrame` when somebody asks."""

    @property
    def instance(self) -> Instance:
        """That of all these frames."""

    @property
    def over(self) -> bool:
        """Whether none is left."""

    def take(self) -> WasmFrame:
        """The innermost, which is taken off."""

    def frames(self) -> list[WasmFrame]:
        """All of them, outermost first."""

    def copy(self) -> Batch:
        """The same frames, which stay when they are taken off here."""

    def go_on(self, ctx: Any, inbox: tuple[Value, ...] | None) -> tuple[Value, ...] | None:
        """Take the innermost frame off and finish it in the execution `ctx`, and those below for as long as that can be
        done with them as they are: the last one's results. None, and nothing has happened, where it can't be done with
        the innermost. Like `Tier.resume` otherwise. May suspend."""


class Frames(Sequence[Frame]):
    """The frames of a suspended execution, outermost first."""

    __slots__ = ("parts",)

    def __init__(self, parts: Iterable[Frame | Batch] = ()) -> None:
        self.parts: list[Frame | Batch] = list(parts)

    def pop(self) -> Frame:
        """Take the innermost frame off. Raises IndexError where there is none."""
        part = self.parts[-1]
        if isinstance(part, (WasmFrame, HostFrame)):
            self.parts.pop()
            return part
        frame = part.take()
        if part.over:
            self.parts.pop()
        return frame

    def trim(self) -> None:
        """Take away what has no frames any more: Ctrl-C may have come before somebody could."""
        parts = self.parts
        while parts and not isinstance(part := parts[-1], (WasmFrame, HostFrame)) and part.over:
            parts.pop()

    def copy(self) -> Frames:
        """The same frames, which stay when they are taken off here."""
        return Frames([part if isinstance(part, (WasmFrame, HostFrame)) else part.copy() for part in self.parts])

    def all(self) -> list[Frame]:
        """All of them, as frames from now on."""
        if not all(isinstance(part, (WasmFrame, HostFrame)) for part in self.parts):
            whole: list[Frame | Batch] = []
            for part in self.parts:
                whole.extend([part] if isinstance(part, (WasmFrame, HostFrame)) else part.frames())
            self.parts[:] = whole
        return cast("list[Frame]", self.parts)

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __len__(self) -> int:
        return len(self.all())

    def __iter__(self) -> Iterator[Frame]:
        return iter(self.all())

    def __reversed__(self) -> Iterator[Frame]:
        return reversed(self.all())

    @overload
    def __getitem__(self, at: int) -> Frame: ...
    @overload
    def __getitem__(self, at: slice) -> list[Frame]: ...
    def __getitem__(self, at: int | slice) -> Frame | list[Frame]:
        if at == -1 and isinstance(part := self.parts[-1], (WasmFrame, HostFrame)):
            return part
        return self.all()[at]

    def __eq__(self, other: object) -> bool:
        return list(self) == (list(other) if isinstance(other, Frames) else other)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return repr(self.all())


def pack(layout: Layout, values: Sequence[Value]) -> tuple[bytes, tuple[Value, ...]]:
    """The record of a frame at `layout`'s check point, and the references that it names."""
    if layout.struct is not None:
        return layout.struct.pack(layout.pc, PASSED, *values), ()
    out = bytearray(_HEAD.pack(layout.pc, PASSED))
    handles: list[Value] = []
    for type_, value in zip(layout.types, values, strict=True):
        _pack_slot(out, type_, value, handles)
    return bytes(out), tuple(handles)


def _pack_slot(out: bytearray, type_: ValType, value: Value, handles: list[Value]) -> None:
    if type_ is F64:
        out += _F64.pack(value)
    elif type_ is F32 and isinstance(value, float):
        out += _U64.pack(f32_to_bits(value))
    elif type_.is_ref:
        if value is None:
            out += _U64.pack(NULL)
        else:
            out += _U64.pack(len(handles))
            handles.append(value)
    elif type_ is V128 and isinstance(value, bytes):
        out += value
    else:
        out += _U64.pack(value)


def unpack(raw: bytes, types: Sequence[ValType], handles: Sequence[Value]) -> list[Value]:
    """The values of a record's slots."""
    at = _HEAD.size
    values: list[Value] = []
    for type_ in types:
        if type_ is V128:
            values.append(raw[at : at + 16])
        elif type_ is F64:
            values.append(_F64.unpack_from(raw, at)[0])
        else:
            bits = _U64.unpack_from(raw, at)[0]
            if type_ is F32:
                values.append(f32_from_bits(bits))
            elif type_.is_ref:
                values.append(None if bits == NULL else handles[bits])
            else:
                values.append(bits)
        at += type_.slot
    return values
