"""Looking at saved data: each piece is of the type that it should be, or the snapshot is corrupt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from ..declarations import ExternKind
from ..errors import Trap, TrapCode
from ..exec.frames import PASSED, Frame, HostFrame, WasmFrame, unpack
from ..instances.func import WasmFunc
from ..instances.instance import Extern, Instance
from ..instances.objects import is_a
from ..limits import MAX_TABLE
from ..types import (
    I32,
    I64,
    V128,
    ExternType,
    MemoryType,
    TableType,
    ValType,
    describe,
    matches,
    types_match,
)
from ..validate.layout import Layout
from .form import corrupt

T = TypeVar("T")


def field(data: Any, name: str, *types: type) -> Any:
    """The entry `name` of a dictionary, which is exactly of one of these types."""
    value = data.get(name) if type(data) is dict else None
    if type(value) not in types:
        raise corrupt(f"{name} is a {type(value).__name__}")
    return value


def pick(among: Sequence[T], number: Any, what: str) -> T:
    """What a number stands for."""
    if type(number) is not int or not 0 <= number < len(among):
        raise corrupt(f"no {what} {number!r}")
    return among[number]


def same_length(values: Any, count: int, what: str) -> list[Any]:
    """A list of `count` entries."""
    if type(values) is not list or len(values) != count:
        raise corrupt(f"not {count} {what}")
    return values


def bits(type_: ValType, value: Any) -> Any:
    """A number's bits, or a vector's bytes."""
    if type_ is V128:
        fits = type(value) is bytes and len(value) == 16
    else:
        fits = type(value) is int and 0 <= value < 1 << (32 if type_.name in ("i32", "f32") else 64)
    if not fits:
        raise corrupt(f"{value!r} is no {type_}")
    return value


def size(maximum: Any, now: int, ceiling: int, what: str) -> int | None:
    """The maximum of a memory or table that is `now` large."""
    if maximum is not None and (type(maximum) is not int or not now <= maximum):
        raise corrupt(f"a {what} that is larger than its maximum")
    if now > ceiling:
        raise corrupt(f"a {what} that is larger than any")
    return maximum


def address(data: Any) -> ValType:
    """The address type of a memory or table."""
    code = field(data, "address", int)
    if code not in (I32.code, I64.code):
        raise corrupt(f"addresses of type {code}")
    return I32 if code == I32.code else I64


def entries(maximum: Any, now: int) -> int | None:
    """The maximum of a table of `now` entries."""
    return size(maximum, now, MAX_TABLE, "table")


def trap(data: Any) -> Trap:
    """A trap, as name and message."""
    name, message = same_length(data, 2, "parts of a trap")
    if type(name) is not str or name not in TrapCode.__members__ or type(message) is not str:
        raise corrupt(f"no trap {name!r}")
    return Trap(TrapCode[name], message)


def layout_of(func: WasmFunc, raw: Any) -> Layout:
    """The layout that a frame's bytes name, and fit: what the tiers rely on."""
    if type(raw) is not bytes or len(raw) < 8:
        raise corrupt(f"a frame of {func.name} without a head")
    pc, flags = int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:8], "little")
    layouts = func.instance.module.body(func.code.index).by_pc
    if pc not in layouts or flags != PASSED:
        raise corrupt(f"{func.name} has no check point at byte {pc}")
    layout = layouts[pc]
    if len(raw) != 8 + sum(t.slot for t in layout.types):
        raise corrupt(f"a frame of {func.name} has the wrong size")
    return layout


def slots(frame: WasmFrame) -> None:
    """Each value of a frame is one of its slot's type."""
    types = frame.layout.types
    values = unpack(frame.raw, types, range(len(frame.handles)))
    for place, (type_, value) in enumerate(zip(types, values, strict=True)):
        if type_.is_ref:
            found = None if value is None else frame.handles[value]  # type: ignore[call-overload]  # an index
            # A local may have no value yet, whatever its type is.
            unset = found is None and place < len(frame.layout.live)
            if not unset and not is_a(found, type_):
                raise corrupt(f"a frame of {frame.func.name} with something else in place of a {type_}")
        elif type(value) is int:
            bits(type_, value)


def links(instance: Instance) -> None:
    """What an instance has is what its module declares."""
    env = instance.module.env
    spaces: list[tuple[ExternKind, Sequence[Extern], Sequence[ExternType]]] = [
        (ExternKind.FUNC, instance.funcs, env.funcs),
        (ExternKind.TABLE, instance.tables, env.tables),
        (ExternKind.MEMORY, instance.memories, env.memories),
        (ExternKind.GLOBAL, instance.globals, env.globals),
        (ExternKind.TAG, instance.tags, env.tags),
    ]
    for kind, have, want in spaces:
        if len(have) != len(want):
            raise corrupt(f"{len(have)} of what an instance has {len(want)} of")
        imported = instance.module.decls.imported(kind)
        for index, (extern, type_) in enumerate(zip(have, want, strict=True)):
            found = extern.type
            own = index >= imported and isinstance(found, (TableType, MemoryType))
            if not matches(found, type_) or (own and found.max != type_.max):  # type: ignore[union-attr]  # both have one
                raise corrupt(f"a {describe(found)} in place of a {describe(type_)}")


def chain(frames: Sequence[Frame], answered: bool) -> None:
    """Each frame but the innermost waits for the next one's results. The innermost one is in a call only if it has
    been `answered`."""
    for number, frame in enumerate(frames):
        inner = frames[number + 1] if number + 1 < len(frames) else None
        if isinstance(frame, HostFrame):
            if frame.record is None and (inner is not None or answered):
                raise corrupt(f"{frame.func.name} waits without having been entered")
        elif (frame.layout.kind == "call") != (inner is not None or answered):
            raise corrupt(f"a frame of {frame.func.name} that is in no call, or in one to nowhere")
        elif inner is not None and not types_match(inner.func.type.results, frame.awaited):
            raise corrupt(f"a frame of {frame.func.name} waits for other results than {inner.func.name} gives")
