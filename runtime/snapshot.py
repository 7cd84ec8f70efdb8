"""Saving a suspended execution with all that it can reach, and restoring it, in another process if need be.

What is saved is the linked group of instances (memories, tables, globals, dropped segments), the frames, and through
the owner whatever host modules want kept. Modules are named by the hash of their bytes and host functions by module,
name and version; no class and no address of ours is in the data. The form is CBOR (RFC 8949), compressed by zlib; it
is not durable yet, and reading it is for data that the reader trusts.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import attrs
import cbor2

from .declarations import ExternKind, Mode
from .errors import SnapshotError, Trap, TrapCode, UnlinkableError
from .exec.context import ExecContext
from .exec.frames import Frame, HostFrame, WasmFrame, unpack
from .exec.restart import Entry, Record
from .exec.shadow import pointer_of as shadow_pointer
from .exec.state import State
from .instances.budget import Budget
from .instances.func import FuncInst, HostFunc, WasmFunc
from .instances.instance import Extern, Instance
from .instances.memory import MemInst
from .instances.small import DataInst, ElemInst, GlobalInst
from .instances.table import TableInst
from .limits import PAGE
from .linking.constexpr import evaluate
from .linking.instantiate import join_groups
from .module import Module
from .store import Store
from .types import F32, F64, VALTYPES, FuncType, GlobalType, ValType
from .validate.layout import Layout
from .values import Value, f32_from_bits, f32_to_bits, f64_from_bits, f64_to_bits

FORMAT = "hostsdk snapshot"
VERSION = 1
#: CBOR tag of a Python tuple, from the range that RFC 8949 leaves to first come, first served.
_TUPLE = 40961
#: Finds the host function for a name, given the type that the guest wants.
HostLookup: TypeAlias = Callable[[str, str, FuncType], "HostFunc | None"]


# ---- saving ----------------------------------------------------------------------------------------------------------


class _World:
    """Everything that an execution can reach, numbered as it is found."""

    def __init__(self) -> None:
        self.instances: list[Instance] = []
        self.memories: list[MemInst] = []
        self.tables: list[TableInst] = []
        self.globals: list[GlobalInst] = []
        self.modules: list[Module] = []
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
            return ["h", value.code.module, value.code.name]
        if type(value) in (bool, int, float, str, bytes):
            return ["x", value]
        raise SnapshotError(f"an external reference to a {type(value).__name__} can't be saved")

    def value(self, type_: ValType, value: Value) -> object:
        """A canonical value as data: bits for numbers."""
        if type_ is F32 and isinstance(value, float):
            return f32_to_bits(value)
        if type_ is F64 and isinstance(value, float):
            return f64_to_bits(value)
        return self.ref(value) if type_.is_ref else value


def save(ctx: ExecContext, root: Instance | None, extra: object = None) -> bytes:
    """A suspended or fresh execution as bytes. `root` is the embedder's instance, `extra` plain data of the owner's.

    Raises StateError-like SnapshotError for an execution in another state, and SnapshotError naming what can't be
    saved; the execution is unchanged and can go on.
    """
    if ctx.state not in (State.SUSPENDED, State.READY):
        raise SnapshotError(f"an execution that is {ctx.state.value} can't be saved")
    world = _World()
    if root is not None:
        world.number(root, world.instances)
    body = {
        "format": FORMAT,
        "version": VERSION,
        "state": ctx.state.value,
        "frames": [_frame(world, ctx, frame) for frame in ctx.frames],
        "call": None if ctx.next_call is None else _call(world, *ctx.next_call),
        "inbox": _inbox(world, ctx),
        "throw": None if ctx.throw is None else _error(ctx.throw, "a pending throw"),
        "touched": [
            [world.number(instance, world.instances), None if pointer is None else pointer[1]]
            for instance, pointer in ctx.touched.items()
        ],
        "extra": extra,
    }
    done = 0
    instances: list[object] = []
    while done < len(world.instances):  # describing one may reach others
        instances.append(_instance(world, world.instances[done]))
        done += 1
    body["instances"] = instances
    body["tables"] = [_table(world, table) for table in world.tables]
    body["globals"] = [_global(world, global_) for global_ in world.globals]
    while done < len(world.instances):
        instances.append(_instance(world, world.instances[done]))
        done += 1
    body["memories"] = [{"max": m.max, "data": bytes(m.data)} for m in world.memories]
    body["modules"] = [{"hash": m.hash, "name": m.name} for m in world.modules]
    return zlib.compress(cbor2.dumps(body, default=_encode), 1)


def _encode(encoder: Any, value: object) -> None:
    raise SnapshotError(f"a {type(value).__name__} can't be saved")


def _tuples(value: object) -> object:
    """Plain data with its tuples marked, which CBOR would give back as lists."""
    if isinstance(value, tuple):
        return cbor2.CBORTag(_TUPLE, [_tuples(v) for v in value])
    if isinstance(value, list):
        return [_tuples(v) for v in value]
    if isinstance(value, dict):
        return {_tuples(k): _tuples(v) for k, v in value.items()}
    return value


def _frame(world: _World, ctx: ExecContext, frame: Frame) -> object:
    if isinstance(frame, WasmFrame):
        return {"func": world.ref(frame.func), "raw": frame.raw, "refs": [world.ref(h) for h in frame.handles]}
    return {
        "func": world.ref(frame.func),
        "host": frame.func.code.version,
        "type": _type(frame.func.type),
        "caller": None if frame.caller is None else world.number(frame.caller, world.instances),
        "args": [world.value(t, v) for t, v in zip(frame.func.type.params, frame.args, strict=True)],
        "record": None if frame.record is None else _record(ctx, frame.func, frame.record),
    }


def _record(ctx: ExecContext, func: HostFunc, record: Record) -> object:
    if record.throw is not None:
        raise SnapshotError(f"{func.name} has an exception pending, which can't be saved; resume it first")
    return {
        "args": None if record.args is None else _tuples(record.args),
        "entries": [_entry(ctx, func, entry) for entry in record.entries],
        "inbox": None if record.inbox is None else _tuples(record.inbox),
        "restarts": record.restarts,
    }


def _entry(ctx: ExecContext, func: HostFunc, entry: Entry) -> object:
    value = entry.value
    if entry.kind == "acquire" and value is not None:
        raise SnapshotError(f"{func.name} holds what it acquired by {entry.label!r}, a live object that can't be saved")
    if entry.pending and entry.kind == "wait" and isinstance(value, tuple) and value[0] == "monotonic":
        value = ("left", value[1] - ctx.requests.clock.monotonic())
    error = None if entry.error is None else _error(entry.error, f"what {func.name} was told at {entry.kind}")
    return [entry.kind, entry.label, _tuples(value), entry.pending, error]


def _error(error: BaseException, what: str) -> object:
    if not isinstance(error, Trap):
        raise SnapshotError(f"{what} is a {type(error).__name__}, and of exceptions only traps can be saved")
    return [error.code.name, error.message]


def _inbox(world: _World, ctx: ExecContext) -> object:
    """Results put in place of a host call's by `resume_with`: the frame beneath knows their types."""
    if ctx.inbox is None:
        return None
    return [f64_to_bits(v) if isinstance(v, float) else world.ref(v) if not isinstance(v, int) else v
            for v in ctx.inbox]  # fmt: skip


def _call(world: _World, func: FuncInst, args: Sequence[Value]) -> object:
    values = [world.value(t, v) for t, v in zip(func.type.params, args, strict=True)]
    return {"func": world.ref(func), "type": _type(func.type), "args": values}


def _type(type_: FuncType) -> object:
    return [[t.code for t in type_.params], [t.code for t in type_.results]]


def _instance(world: _World, instance: Instance) -> object:
    imported = instance.module.imported_funcs
    return {
        "module": world.number(instance.module, world.modules),
        "funcs": [[world.ref(f), _type(f.type)] for f in instance.funcs[:imported]],
        "memories": [world.number(m, world.memories) for m in instance.memories],
        "tables": [world.number(t, world.tables) for t in instance.tables],
        "globals": [world.number(g, world.globals) for g in instance.globals],
        "elems": [bool(e.items) for e in instance.elems],
        "datas": [bool(d.data) for d in instance.datas],
        "abandoned": instance.abandoned,
    }


def _table(world: _World, table: TableInst) -> object:
    return {"elem": table.elem.code, "max": table.max, "elems": [world.ref(v) for v in table.elems]}


def _global(world: _World, global_: GlobalInst) -> object:
    content = global_.type.content
    return {"type": content.code, "mutable": global_.type.mutable, "value": world.value(content, global_.value)}


# ---- restoring -------------------------------------------------------------------------------------------------------


@attrs.frozen
class Restored:
    """What `load` rebuilt: the context, suspended as it was, its instances (the embedder's first), the owner's data."""

    ctx: ExecContext
    instances: tuple[Instance, ...]
    extra: Any


def load(data: bytes, modules: Mapping[str, Module], hosts: HostLookup, store: Store) -> Restored:
    """Rebuild what `save` made. `modules` by hash; `hosts` finds host functions.

    Raises SnapshotError for data that is no snapshot, is corrupt, or needs a module that is not given, and where a
    host function is of a version that does not accept the record; UnlinkableError naming every host function that is
    missing. Nothing has been entered then.
    """
    try:
        body: Any = cbor2.loads(_inflate(data, store), tag_hook=_decode)
        if not isinstance(body, dict) or body.get("format") != FORMAT:
            raise SnapshotError("this is not a snapshot of hostsdk")
        if body.get("version") != VERSION:
            raise SnapshotError(f"this snapshot has version {body.get('version')!r}; this is for version {VERSION}")
        return _Restorer(body, modules, hosts, store).run()
    except (SnapshotError, UnlinkableError):
        raise
    except RecursionError:
        raise SnapshotError("the snapshot is corrupt: nested too deeply") from None
    except Exception as error:
        raise SnapshotError(f"the snapshot is corrupt: {error}") from error


def _inflate(data: bytes, store: Store) -> bytes:
    inflater = zlib.decompressobj()
    out = inflater.decompress(data, store.limits.memory + (1 << 28))
    if not inflater.eof:
        raise SnapshotError("the snapshot is incomplete, or larger than the limit on memory allows")
    return out


def _decode(tag: cbor2.CBORTag, immutable: bool) -> object:
    if tag.tag == _TUPLE:
        return tuple(tag.value)
    raise SnapshotError(f"the snapshot is corrupt: unknown tag {tag.tag}")


class _Restorer:
    """One restore: instances first, without their contents, so that references find them."""

    def __init__(self, body: dict[str, Any], modules: Mapping[str, Module], hosts: HostLookup, store: Store) -> None:
        self.body = body
        self.hosts = hosts
        self.store = store
        self.missing: list[tuple[str, str]] = []
        self.modules = [self._module(m, modules) for m in body["modules"]]
        self.instances = [Instance(self.modules[i["module"]]) for i in body["instances"]]

    def _module(self, saved: Any, modules: Mapping[str, Module]) -> Module:
        found = modules.get(saved["hash"])
        if found is None:
            raise SnapshotError(
                f"the snapshot needs the module {saved['name'] or '(unnamed)'} with hash {saved['hash']}"
            )
        return found

    def run(self) -> Restored:
        saved = self.body["instances"]
        memory, table = Budget(self.store.limits.memory), Budget(self.store.limits.table)
        for instance, data in zip(self.instances, saved, strict=True):
            self._functions(instance, data)
        if self.missing:
            names = ", ".join(f"{module}.{name}" for module, name in self.missing)
            raise UnlinkableError(f"the snapshot needs host functions that are not given: {names}", tuple(self.missing))
        memories = [self._memory(m, memory) for m in self.body["memories"]]
        tables = [self._table(t, table) for t in self.body["tables"]]
        globals_ = [self._global(g) for g in self.body["globals"]]
        for instance, data in zip(self.instances, saved, strict=True):
            instance.memories = [memories[i] for i in data["memories"]]
            instance.tables = [tables[i] for i in data["tables"]]
            instance.globals = [globals_[i] for i in data["globals"]]
            instance.mem = instance.memories[0] if instance.memories else None
            instance.abandoned = data["abandoned"]
            self._segments(instance, data)
            _exports(instance)
        for instance in self.instances:
            join_groups(instance)
        return Restored(self._context(), tuple(self.instances), self.body["extra"])

    # Instances -----------------------------------------------------------------------------------------------------

    def _functions(self, instance: Instance, data: Any) -> None:
        decls = instance.module.decls
        own = [WasmFunc(decls.types[code.type_index], instance, code) for code in decls.codes]
        instance.funcs = [*[None] * len(data["funcs"]), *own]  # type: ignore[list-item]  # filled below
        for index, (ref, type_) in enumerate(data["funcs"]):
            func = self._func(ref, _functype(type_))
            if func is not None:
                instance.funcs[index] = func

    def _func(self, ref: Any, type_: FuncType | None) -> FuncInst | None:
        kind, *rest = ref
        if kind == "w":
            instance = self.instances[rest[0]]
            own = rest[1] - instance.module.imported_funcs
            code = instance.module.decls.codes[own] if own >= 0 else None
            if code is None:
                raise SnapshotError("the snapshot is corrupt: a function that is imported as its own")
            if instance.funcs:
                found: FuncInst = instance.funcs[rest[1]]
                return found
            return WasmFunc(instance.module.decls.types[code.type_index], instance, code)
        return self._host(rest[0], rest[1], type_)

    def _host(self, module: str, name: str, type_: FuncType | None) -> HostFunc | None:
        func = self.hosts(module, name, type_ or FuncType())
        if func is None or (type_ is not None and func.type != type_):
            self.missing.append((module, name))
            return None
        return func

    def _memory(self, data: Any, budget: Budget) -> MemInst:
        content = data["data"]
        if len(content) % PAGE:
            raise SnapshotError("the snapshot is corrupt: a memory that is not whole pages")
        budget.require(len(content), "linear memory")
        return MemInst(bytearray(content), data["max"], budget)

    def _table(self, data: Any, budget: Budget) -> TableInst:
        budget.require(len(data["elems"]), "table")
        return TableInst([self._ref(r) for r in data["elems"]], VALTYPES[data["elem"]], data["max"], budget)

    def _global(self, data: Any) -> GlobalInst:
        content = VALTYPES[data["type"]]
        return GlobalInst(GlobalType(content, data["mutable"]), self._value(content, data["value"]))

    def _segments(self, instance: Instance, data: Any) -> None:
        decls = instance.module.decls
        for elem, kept in zip(decls.elems, data["elems"], strict=True):
            items = tuple([evaluate(expr, instance) for expr in elem.init]) if kept else ()
            instance.elems.append(ElemInst(elem.type, items))
        for segment, kept in zip(decls.datas, data["datas"], strict=True):
            keep = kept and segment.mode is Mode.PASSIVE
            instance.datas.append(DataInst(instance.module.data[segment.start : segment.end] if keep else b""))

    # Values --------------------------------------------------------------------------------------------------------

    def _ref(self, ref: Any) -> Value:
        if ref is None:
            return None
        if ref[0] == "x":
            return ref[1]
        func = self._func(ref, None)
        if func is None:
            raise UnlinkableError(f"the snapshot refers to the host function {ref[1]}.{ref[2]}, which is not given")
        return func

    def _value(self, type_: ValType, value: Any) -> Value:
        if type_.is_ref:
            return self._ref(value)
        if not isinstance(value, int) or not 0 <= value < 1 << 8 * _size(type_):
            raise SnapshotError(f"the snapshot is corrupt: {value!r} is no {type_}")
        if type_ is F32:
            return f32_from_bits(value)
        return f64_from_bits(value) if type_ is F64 else value

    # The execution -------------------------------------------------------------------------------------------------

    def _context(self) -> ExecContext:
        body = self.body
        ctx = self.store.context()
        ctx.frames = [self._frame(ctx, f) for f in body["frames"]]
        ctx.state = State(body["state"])
        ctx.depth = len(ctx.frames)
        ctx.hosts = sum(isinstance(f, HostFrame) for f in ctx.frames)
        ctx.cells = sum(f.cells for f in ctx.frames if isinstance(f, WasmFrame))
        if body["call"] is not None:
            ctx.next_call = self._call(body["call"])
        if body["inbox"] is not None:
            top = ctx.frames[-1]
            ctx.inbox = tuple(body["inbox"]) if not isinstance(top, WasmFrame) else self._inbox(top, body["inbox"])
        if body["throw"] is not None:
            ctx.throw = _trap(body["throw"])
        for number, pointer in body["touched"]:
            instance = self.instances[number]
            ctx.touched[instance] = None if pointer is None else (_pointer(instance), pointer)
        if ctx.state is State.SUSPENDED:
            for instance in ctx.touched:
                active = instance.group.root().active
                if ctx not in active:
                    active.append(ctx)
        return ctx

    def _frame(self, ctx: ExecContext, data: Any) -> Frame:
        if "raw" in data:
            func = self._func(data["func"], None)
            if not isinstance(func, WasmFunc):
                raise SnapshotError("the snapshot is corrupt: a frame of no function")
            refs = tuple([self._ref(r) for r in data["refs"]])
            frame = WasmFrame(func, data["raw"], refs, _layout(func, data["raw"]))
            _check_slots(frame)
            return frame
        host = self._func(data["func"], _functype(data["type"]))
        if not isinstance(host, HostFunc):
            names = ", ".join(f"{module}.{name}" for module, name in self.missing)
            raise UnlinkableError(f"the snapshot needs host functions that are not given: {names}", tuple(self.missing))
        if host.code.version != data["host"] and data["host"] not in host.code.accepts:
            raise SnapshotError(
                f"{host.name} was saved as version {data['host']} and is now version {host.code.version}, which "
                f"doesn't accept it; add accepts=({data['host']},) if it can go on with the old record"
            )
        caller = None if data["caller"] is None else self.instances[data["caller"]]
        args = tuple([self._value(t, v) for t, v in zip(host.type.params, data["args"], strict=True)])
        return HostFrame(host, caller, args, _record_of(ctx, data["record"]))

    def _inbox(self, frame: WasmFrame, values: Sequence[Any]) -> tuple[Value, ...]:
        body = frame.func.instance.module.body(frame.func.code.index)
        _, row, immediate = body.ops[frame.layout.index]
        types = frame.func.instance.module.decls.types
        immediates: Any = immediate
        module = frame.func.instance.module
        called = module.func_type(immediates) if row.name == "call" else types[immediates[1]]
        return tuple([self._value(t, v) for t, v in zip(called.results, values, strict=True)])

    def _call(self, data: Any) -> tuple[FuncInst, tuple[Value, ...]]:
        type_ = _functype(data["type"])
        func = self._func(data["func"], type_)
        if func is None:
            raise UnlinkableError("the snapshot's call needs a host function that is not given", tuple(self.missing))
        return func, tuple([self._value(t, v) for t, v in zip(type_.params, data["args"], strict=True)])


def _exports(instance: Instance) -> None:
    spaces: dict[ExternKind, Sequence[Extern]] = {
        ExternKind.FUNC: instance.funcs,
        ExternKind.TABLE: instance.tables,
        ExternKind.MEMORY: instance.memories,
        ExternKind.GLOBAL: instance.globals,
    }
    for export in instance.module.decls.exports:
        instance.exports[export.name] = spaces[export.kind][export.index]


def _layout(func: WasmFunc, raw: bytes) -> Layout:
    """The layout that a frame's bytes name, and fit: what the tiers rely on."""
    layouts = func.instance.module.body(func.code.index).by_pc
    pc = int.from_bytes(raw[:4], "little")
    if pc not in layouts:
        raise SnapshotError(f"the snapshot is corrupt: {func.name} has no check point at byte {pc}")
    layout = layouts[pc]
    if len(raw) != 8 + sum(t.slot for t in layout.types):
        raise SnapshotError(f"the snapshot is corrupt: a frame of {func.name} has the wrong size")
    return layout


def _check_slots(frame: WasmFrame) -> None:
    """Each value is one of its slot's type."""
    for type_, value in zip(frame.layout.types, unpack(frame.raw, frame.layout.types, frame.handles), strict=True):
        if isinstance(value, int) and not type_.is_ref and value >= 1 << 8 * _size(type_):
            raise SnapshotError(f"the snapshot is corrupt: {value} is no {type_}")


def _size(type_: ValType) -> int:
    return 4 if type_.name in ("i32", "f32") else type_.slot


def _functype(data: Any) -> FuncType:
    params, results = data
    return FuncType(tuple([VALTYPES[c] for c in params]), tuple([VALTYPES[c] for c in results]))


def _trap(data: Any) -> Trap:
    name, message = data
    return Trap(TrapCode[name], message)


def _pointer(instance: Instance) -> GlobalInst:
    pointer = shadow_pointer(instance)
    if pointer is None:
        raise SnapshotError("the snapshot is corrupt: a stack pointer that the module doesn't have")
    return pointer


def _record_of(ctx: ExecContext, data: Any) -> Record | None:
    if data is None:
        return None
    record = Record(ctx.limits.journal, data["args"], inbox=data["inbox"], restarts=data["restarts"])
    for kind, label, value, pending, error in data["entries"]:
        if pending and kind == "wait" and isinstance(value, tuple) and value[0] == "left":
            value = ("monotonic", ctx.requests.clock.monotonic() + value[1])
        record.entries.append(Entry(kind, label, value, pending, None if error is None else _trap(error)))
    return record
