"""Saving: a suspended execution, or several that share memories, with all that they can reach, as bytes.

Each of several has a *home*: its place among them, by which host functions and instances are told apart that belong to
one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from ..errors import SnapshotError, Trap
from ..exec.atomic import builtin, waiter_of
from ..exec.context import ExecContext
from ..exec.frames import Frame, HostFrame, WasmFrame
from ..exec.groups import elsewhere
from ..exec.restart import Entry, Record
from ..exec.state import State
from ..instances.exception import ExnInst, TagInst, WasmException
from ..instances.func import FuncInst, HostFunc, WasmFunc
from ..instances.instance import Instance
from ..instances.memory import MemInst
from ..instances.objects import Array, Struct
from ..instances.shared import SharedMemInst
from ..instances.small import ElemInst, GlobalInst
from ..instances.table import TableInst
from ..module import Module
from ..types import F32, F64, ValType
from ..values import I31Int, Value, f32_to_bits, f64_to_bits
from . import objects
from .form import FORMAT, VERSION, dumps, packed
from .types import TypeWriter

#: The place of the execution to which a host function belongs.
Home: TypeAlias = "Callable[[HostFunc], int | None]"


class _World:
    """Everything that an execution can reach, numbered as it is found."""

    def __init__(self, roots: Sequence[Instance | None], home: Home) -> None:
        self.home = home
        #: By the instances that are linked to one another, the first execution of theirs.
        self._groups = {root.group.root(): n for n, root in reversed(list(enumerate(roots))) if root is not None}
        self._alone = len(roots) == 1
        self.instances: list[Instance] = []
        self.memories: list[MemInst] = []
        self.tables: list[TableInst] = []
        self.globals: list[GlobalInst] = []
        self.tags: list[TagInst] = []
        self.exceptions: list[ExnInst] = []
        self.modules: list[Module] = []
        self.objects: list[Struct | Array] = []
        self.types = TypeWriter()
        self._numbers: dict[int, int] = {}

    def number(self, thing: Any, among: list[Any]) -> int:
        """The number of `thing` in its list, which it joins if it is new."""
        known = self._numbers.get(id(thing))
        if known is None:
            known = self._numbers[id(thing)] = len(among)
            among.append(thing)
        return known

    def ref(self, value: Value) -> object:
        """A reference as data. Raises SnapshotError for an object of the host's."""
        if value is None:
            return None
        if isinstance(value, WasmFunc):
            return ["w", self.number(value.instance, self.instances), value.code.index]
        if isinstance(value, HostFunc):
            name, number = (value.code.module, value.code.name), self._home_of(value)
            return ["h", *name, self.types.func(value.type), number]
        if isinstance(value, (Struct, Array)):
            return ["o", self.number(value, self.objects)]
        if isinstance(value, I31Int):
            return ["i", int(value)]
        if isinstance(value, ExnInst):
            return ["e", self.number(value, self.exceptions)]
        if type(value) in (bool, int, float, str, bytes):
            return ["x", packed(value)]
        raise SnapshotError(f"an external reference to a {type(value).__name__} can't be saved")

    def _home_of(self, func: HostFunc) -> int:
        """The home of a host function; the engine's own are at home everywhere."""
        if self._alone or builtin(func.code.module, func.code.name, func.type) is func:
            return 0
        found = self.home(func)
        if found is None:
            raise SnapshotError(f"{func.name} belongs to an instance that is not saved, and can't be told from others")
        return found

    def home_of(self, instance: Instance) -> int:
        """The home of an instance: that of the execution whose instance it is linked to, else the first."""
        return self._groups.get(instance.group.root(), 0)

    def value(self, type_: ValType, value: Value) -> object:
        """A canonical value as data: bits for numbers."""
        if type_ is F32 and isinstance(value, float):
            return f32_to_bits(value)
        if type_ is F64 and isinstance(value, float):
            return f64_to_bits(value)
        return self.ref(value) if type_.is_ref else value

    def values(self, types: Sequence[ValType], values: Sequence[Value]) -> list[object]:
        """Several of them."""
        return [self.value(t, v) for t, v in zip(types, values, strict=True)]

    def told(self, values: Sequence[Value] | None) -> object:
        """Results for a host function that alone knows their types: each says what it is."""
        if values is None:
            return None
        return [
            v if type(v) in (int, bytes) else ["f", f64_to_bits(v)] if isinstance(v, float) else ["r", self.ref(v)]
            for v in values
        ]


def save(ctx: ExecContext, root: Instance | None, extra: object = None) -> bytes:
    """A suspended or fresh execution as bytes. `root` is the embedder's instance, `extra` plain data of the owner's.

    Raises SnapshotError for an execution in another state, and naming what can't be saved; the execution is unchanged
    and can go on.
    """
    return save_all([(ctx, root)], lambda func: 0, extra)


def _still(instances: Sequence[Instance]) -> None:
    """Raises SnapshotError where another thread runs in one of them, and changes what is being saved."""
    for instance in instances:
        reason = elsewhere(instance)
        if reason is not None:
            raise SnapshotError(f"{reason}: what it changes meanwhile can't be saved")


def save_all(executions: Sequence[tuple[ExecContext, Instance | None]], home: Home, extra: object = None) -> bytes:
    """Several executions that share memories, each with its embedder's instance, as bytes. None of them runs meanwhile.
    `home` gives the place of the execution to which a host function belongs, None where it is none of theirs.

    Raises what `save` raises.
    """
    for ctx, _ in executions:
        if ctx.state not in (State.SUSPENDED, State.READY):
            raise SnapshotError(f"an execution that is {ctx.state.value} can't be saved")
    _still([root for _, root in executions if root is not None])
    roots = [root for _, root in executions]
    world = _World(roots, home)
    for root in roots:
        if root is not None:
            world.number(root, world.instances)
    body: dict[str, object] = {
        "format": FORMAT,
        "version": VERSION,
        "executions": [_execution(world, ctx) for ctx, _ in executions],
        "roots": [None if root is None else world.number(root, world.instances) for root in roots],
        "extra": packed(extra, world.ref),
        **_describe(world),
        "owners": _owners(world),
        "waiting": _waiting(world, [ctx for ctx, _ in executions]),
    }
    _still(world.instances)
    return dumps(body)


def _execution(world: _World, ctx: ExecContext) -> object:
    return {
        "state": ctx.state.value,
        "reported": ctx.reported,
        "frames": [_frame(world, ctx, frame) for frame in ctx.frames],
        "call": None if ctx.next_call is None else _call(world, *ctx.next_call),
        "inbox": _inbox(world, ctx),
        "throw": None if ctx.throw is None else _error(world, ctx.throw, "a pending throw"),
        "touched": [
            [world.number(instance, world.instances), None if pointer is None else pointer[1]]
            for instance, pointer in ctx.touched.items()
        ],
        "steps": None if ctx.requests.steps is None else ctx.requests.steps[0],
    }


def _waiting(world: _World, contexts: Sequence[ExecContext]) -> list[object]:
    """Those who wait in memories, in the order of their arrival: numbers of executions, as an execution waits for one
    thing at a time."""
    numbers = {}
    for number, ctx in enumerate(contexts):
        innermost = ctx.frames[-1] if ctx.frames else None
        waiter = waiter_of(innermost) if isinstance(innermost, HostFrame) else None
        if waiter is not None:
            numbers[id(waiter)] = number
    found: list[object] = []
    for memory in world.memories:
        if isinstance(memory, SharedMemInst):
            found += [numbers[id(w)] for w in memory.waiters.in_order() if id(w) in numbers]
    return found


def _describe(world: _World) -> dict[str, object]:
    """What the world consists of. Describing a thing may lead to others, so it ends when nothing new has come up."""
    parts: list[tuple[str, Sequence[Any], Callable[[_World, Any], object], list[object]]] = [
        ("instances", world.instances, _instance, []),
        ("tables", world.tables, _table, []),
        ("globals", world.globals, _global, []),
        ("exceptions", world.exceptions, _exception, []),
        ("tags", world.tags, _tag, []),
        ("memories", world.memories, _memory, []),
        ("objects", world.objects, lambda world, o: objects.describe(o, world.types, world.value), []),
        ("types", world.types.groups, lambda world, group: world.types.group(group), []),
        ("modules", world.modules, lambda world, m: {"hash": m.hash, "name": m.name}, []),
    ]
    while any(len(done) < len(things) for _, things, _, done in parts):
        for _, things, describe, done in parts:
            while len(done) < len(things):
                done.append(describe(world, things[len(done)]))
    for memory in world.memories:
        if isinstance(memory, SharedMemInst) and not memory.users <= set(world.instances):
            raise SnapshotError("a memory that other instances share, which the execution can't reach, can't be saved")
    return {name: done for name, _, _, done in parts}


def _frame(world: _World, ctx: ExecContext, frame: Frame) -> object:
    if isinstance(frame, WasmFrame):
        return {"func": world.ref(frame.func), "raw": frame.raw, "refs": [world.ref(h) for h in frame.handles]}
    return {
        "func": world.ref(frame.func),
        "host": frame.func.code.version,
        "caller": None if frame.caller is None else world.number(frame.caller, world.instances),
        "args": world.values(frame.func.type.params, frame.args),
        "record": None if frame.record is None else _record(world, ctx, frame.func, frame.record),
    }


def _record(world: _World, ctx: ExecContext, func: HostFunc, record: Record) -> object:
    if record.throw is not None:
        raise SnapshotError(f"{func.name} has an exception pending, which can't be saved; resume it first")
    if record.gone:
        raise SnapshotError(f"{func.name} has closed a resource that it looked up before, and a replay would need it")
    if record.stays is not None:
        raise SnapshotError(record.stays)
    for _, label in record.held:
        raise SnapshotError(f"{func.name} holds what it acquired by {label!r}, a live object that can't be saved")
    return {
        "args": None if record.args is None else packed(record.args, world.ref),
        "entries": [_entry(world, ctx, func, entry) for entry in record.entries],
        "inbox": world.told(record.inbox),
        "restarts": record.restarts,
        "trapped": None if record.trapped is None else _error(world, record.trapped, "a trap"),
    }


def _entry(world: _World, ctx: ExecContext, func: HostFunc, entry: Entry) -> object:
    value = entry.value
    if entry.pending and entry.kind == "wait" and isinstance(value, tuple) and value[0] == "monotonic":
        value = ("left", value[1] - ctx.requests.clock.monotonic())
    error = None if entry.error is None else _error(world, entry.error, f"what {func.name} was told at {entry.kind}")
    return [entry.kind, entry.label, packed(value, world.ref), entry.pending, error]


def _error(world: _World, error: BaseException, what: str) -> object:
    if isinstance(error, WasmException):
        return ["e", world.number(error.exn, world.exceptions)]
    if not isinstance(error, Trap):
        raise SnapshotError(
            f"{what} is a {type(error).__name__}, and of exceptions only traps and the guest's own can be saved"
        )
    return [error.code.name, error.message]


def _inbox(world: _World, ctx: ExecContext) -> object:
    """Results put in place of a host call's by `resume_with`. A frame of WebAssembly beneath knows their types."""
    if ctx.inbox is not None and ctx.frames and isinstance(frame := ctx.frames[-1], WasmFrame):
        return world.values(frame.awaited, ctx.inbox)
    return world.told(ctx.inbox)


def _call(world: _World, func: FuncInst, args: Sequence[Value]) -> object:
    return {"func": world.ref(func), "args": world.values(func.type.params, args)}


def _owners(world: _World) -> list[object]:
    """For each object the number of the instance that it is accounted to."""
    numbers = {id(instance.objects): number for number, instance in enumerate(world.instances)}
    return [numbers.get(id(value.owner)) for value in world.objects]


def _segment(world: _World, segment: ElemInst) -> object:
    """Whether a segment is still there; its items, where making them again would make others."""
    if any(isinstance(item, (Struct, Array)) for item in segment.items):
        return [world.ref(item) for item in segment.items]
    return bool(segment.items)


def _instance(world: _World, instance: Instance) -> object:
    return {
        "module": world.number(instance.module, world.modules),
        "home": world.home_of(instance),
        "funcs": [world.ref(f) for f in instance.funcs[: instance.module.imported_funcs]],
        "memories": [world.number(m, world.memories) for m in instance.memories],
        "tables": [world.number(t, world.tables) for t in instance.tables],
        "globals": [world.number(g, world.globals) for g in instance.globals],
        "tags": [world.number(t, world.tags) for t in instance.tags],
        "elems": [_segment(world, e) for e in instance.elems],
        "datas": [bool(d.data) for d in instance.datas],
        "abandoned": instance.abandoned,
    }


def _memory(world: _World, memory: MemInst) -> object:
    return {
        "max": memory.max, "data": bytes(memory.data), "address": memory.address.code, "page": memory.page,
        "shared": memory.shared,
    }  # fmt: skip


def _table(world: _World, table: TableInst) -> object:
    refs = [world.ref(v) for v in table.elems]
    return {"elem": world.types.value(table.elem), "max": table.max, "elems": refs, "address": table.address.code}


def _exception(world: _World, exn: ExnInst) -> object:
    return {"tag": world.number(exn.tag, world.tags), "values": world.values(exn.tag.type.params, exn.values)}


def _tag(world: _World, tag: TagInst) -> object:
    return {"type": world.types.func(tag.type.type), "name": tag.name, "module": tag.module}


def _global(world: _World, global_: GlobalInst) -> object:
    content = global_.type.content
    value = world.value(content, global_.value)
    return {"type": world.types.value(content), "mutable": global_.type.mutable, "value": value}
