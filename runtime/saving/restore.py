"""Restoring: what `capture` made becomes instances and executions again.

Nothing of the data is believed: instances have what their modules declare, frames fit their check points and one
another, values fit their types. Data that doesn't is corrupt, and nothing has been made of it then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

from .. import lean
from ..declarations import ExternKind, Mode
from ..errors import SnapshotError, Trap, UnlinkableError
from ..exec.atomic import Wait, builtin
from ..exec.clock import Clock
from ..exec.cluster import Cluster
from ..exec.context import ExecContext
from ..exec.frames import Frame, Frames, HostFrame, WasmFrame
from ..exec.restart import Entry, Record
from ..exec.shadow import pointer_of
from ..exec.state import State
from ..externs import Func
from ..instances.budget import Budget
from ..instances.exception import ExnInst, TagInst, WasmException
from ..instances.func import FuncInst, HostFunc, WasmFunc
from ..instances.instance import Extern, Instance
from ..instances.memory import MemInst
from ..instances.objects import Objects, is_a
from ..instances.small import DataInst, ElemInst, GlobalInst
from ..instances.table import TableInst
from ..limits import PAGE
from ..linking.constexpr import evaluate
from ..linking.instantiate import join_groups, make_memory, share
from ..module import Module
from ..store import Store
from ..types import F32, F64, FuncType, GlobalType, MemoryType, TagType, ValType, func_matches
from ..values import Value, f32_from_bits, f64_from_bits, i31
from . import check, objects
from .check import field, pick, same_length
from .form import corrupt, loads, unpacked
from .types import TypeReader

#: Finds the host function for a name, given the type that the guest wants.
HostLookup: TypeAlias = Callable[[str, str, FuncType], "HostFunc | None"]
#: Finds the host's tag for a name; absent, a snapshot has none of the host's.
TagLookup: TypeAlias = Callable[[str, str, TagType], "TagInst | None"]
#: What the frames, journals and names of a snapshot may take besides the memories.
_ROOM = 1 << 28


@lean.frozen
class Home:
    """What one execution is restored into: a store, and what finds the host functions and tags of its instances."""

    store: Store
    hosts: HostLookup
    tags: TagLookup = lambda module, name, type_: None


@lean.frozen
class Restored:
    """What `load` rebuilt: the context, suspended as it was, its instances (the embedder's first), the owner's data."""

    ctx: ExecContext
    instances: tuple[Instance, ...]
    extra: Any


@lean.frozen
class RestoredAll:
    """What `load_all` rebuilt: the contexts, each with the embedder's instance where there was one, all instances, and
    the owner's data."""

    executions: tuple[tuple[ExecContext, Instance | None], ...]
    instances: tuple[Instance, ...]
    extra: Any


def load(
    data: bytes | bytearray | memoryview,
    modules: Mapping[str, Module],
    hosts: HostLookup,
    store: Store,
    tags: TagLookup = lambda module, name, type_: None,
) -> Restored:
    """Rebuild what `save` made. `modules` by hash; `hosts` finds host functions, `tags` tags of the host's.

    Raises SnapshotError for data that is no snapshot, is corrupt, exceeds a limit, or needs a module that is not given,
    and where a host function is of a version that does not accept the record; UnlinkableError naming every host
    function and tag that is missing or of another type. Nothing has been entered then.
    """

    def home(count: int) -> Sequence[Home]:
        if count != 1:
            raise SnapshotError(f"this is a snapshot of {count} executions, not of one")
        return [Home(store, hosts, tags)]

    restored = load_all(data, modules, home, store.limits.memory)
    return Restored(restored.executions[0][0], restored.instances, restored.extra)


def load_all(
    data: bytes | bytearray | memoryview,
    modules: Mapping[str, Module],
    homes: Callable[[int], Sequence[Home]],
    room: int,
    clock: Clock | None = None,
) -> RestoredAll:
    """Rebuild what `save_all` made. `homes` gives a home for each of so many executions, or raises; they have the same
    limits. The memories may take `room` bytes. Deadlines are on `clock`, the engine's if not given. Raises what `load`
    raises."""
    body = loads(data, room + _ROOM)
    try:
        return _Restorer(body, modules, homes, clock).run()
    except (SnapshotError, UnlinkableError):
        raise
    except RecursionError:
        raise corrupt("nested too deeply") from None
    except Exception as error:  # a net: whatever the checks have overlooked
        raise corrupt(error) from error


class _Restorer:
    """One restore: instances first, without their contents, so that references find them."""

    def __init__(
        self,
        body: dict[str, Any],
        modules: Mapping[str, Module],
        homes: Callable[[int], Sequence[Home]],
        clock: Clock | None,
    ) -> None:
        self.body = body
        self.saved = field(body, "executions", list)
        self.homes = homes(len(self.saved))
        if not self.homes:
            raise corrupt("no execution")
        self.store = self.homes[0].store
        self.clock = clock or self.store.engine.config.clock
        self.missing: dict[tuple[str, str], None] = {}
        self.found: dict[tuple[str, str, FuncType, int], HostFunc] = {}
        self.modules = [self._module(m, modules) for m in field(body, "modules", list)]
        self.instances = [
            Instance(pick(self.modules, field(i, "module", int), "module")) for i in field(body, "instances", list)
        ]

    def _module(self, saved: Any, modules: Mapping[str, Module]) -> Module:
        hash_ = field(saved, "hash", str)
        found = modules.get(hash_)
        if found is None:
            name = field(saved, "name", str, type(None))
            raise SnapshotError(f"the snapshot needs the module {name or '(unnamed)'} with hash {hash_}")
        return found

    def run(self) -> RestoredAll:
        saved = self.body["instances"]
        self.types = TypeReader(field(self.body, "types", list))
        for instance in self.instances:
            decls = instance.module.decls
            own = [WasmFunc(decls.functype(code.type_index), instance, code) for code in decls.codes]
            instance.funcs = [*[None] * instance.module.imported_funcs, *own]  # type: ignore[list-item]  # filled below
        self.home = {
            instance: pick(range(len(self.homes)), field(data, "home", int), "home")
            for instance, data in zip(self.instances, saved, strict=True)
        }
        for instance, data in zip(self.instances, saved, strict=True):
            count = instance.module.imported_funcs
            for index, ref in enumerate(same_length(field(data, "funcs", list), count, "imported functions")):
                instance.funcs[index] = self._func(ref, self.home[instance])  # type: ignore[assignment]  # None only with a name missing
        self._exceptions()
        self._stores()
        begun = [self._begun(number, data) for number, data in enumerate(self.saved)]
        self._refuse_missing()
        for instance, data in zip(self.instances, saved, strict=True):
            check.links(instance)
            self._segments(instance, data)
            _exports(instance)
        contexts = [
            self._context(number, data, *each)
            for number, (data, each) in enumerate(zip(self.saved, begun, strict=True))
        ]
        for instance in self.instances:
            join_groups(instance)
            share(instance)
        roots = same_length(field(self.body, "roots", list), len(contexts), "embedder's instances")
        found = [None if number is None else pick(self.instances, number, "instance") for number in roots]
        self._claim(contexts)
        self._line_up(contexts)
        for instance, home in self.home.items():
            self.homes[home].store.instances.append(instance)
        extra = unpacked(self.body.get("extra"), self._ref)
        return RestoredAll(tuple(zip(contexts, found, strict=True)), tuple(self.instances), extra)

    def _begun(self, home: int, data: Any) -> tuple[list[Frame], tuple[FuncInst, tuple[Value, ...]] | None]:
        frames = [self._frame(f, home) for f in field(data, "frames", list)]
        return frames, None if field(data, "call", dict, type(None)) is None else self._call(data["call"], home)

    def _claim(self, contexts: Sequence[ExecContext]) -> None:
        """Each execution has the groups of linked instances that it has come to, and no other has them."""
        for ctx in contexts:
            worlds: dict[Cluster, None] = {}
            for instance in ctx.touched:
                active = instance.group.root().active
                if ctx.state is State.SUSPENDED and ctx not in active:
                    active.append(ctx)
                if active != [ctx] and len(contexts) > 1:
                    raise corrupt("two executions in the same instance")
                worlds |= dict.fromkeys(cast("tuple[Cluster, ...]", instance.worlds))
            ctx.clusters = tuple(worlds)

    def _line_up(self, contexts: Sequence[ExecContext]) -> None:
        """Whoever waited in a memory waits there again, in the order of before."""
        for number in field(self.body, "waiting", list):
            if not _rejoin(pick(contexts, number, "execution")):
                raise corrupt("an execution that waits in no memory")
        if any(map(_rejoin, contexts)):
            raise corrupt("an execution that has no place among those who wait")

    def _exceptions(self) -> None:
        """Objects, tags, and exceptions, whose values may refer to one another in any order."""
        self.tags = [self._tag(t) for t in field(self.body, "tags", list)]
        made = field(self.body, "objects", list)
        # Made empty: what they hold and what they are accounted to comes later.
        self.objects = [objects.empty(data, self.types) for data in made]
        saved = field(self.body, "exceptions", list)
        self.exceptions = [ExnInst(pick(self.tags, field(e, "tag", int), "tag"), ()) for e in saved]
        for exn, data in zip(self.exceptions, saved, strict=True):
            exn.values = self._values(exn.tag.type.params, data.get("values"))
        for instance, data in zip(self.instances, self.body["instances"], strict=True):
            instance.tags = [pick(self.tags, i, "tag") for i in field(data, "tags", list)]

    def _tag(self, data: Any) -> TagInst:
        type_ = TagType(self.types.func(field(data, "type", list)))
        name, module = field(data, "name", str), field(data, "module", str, type(None))
        if module is None:
            return TagInst(type_, name)
        found = self.homes[0].tags(module, name, type_)
        if found is None or found.type != type_:
            self.missing[module, name] = None
            return TagInst(type_, name, module)
        return found

    # Instances -----------------------------------------------------------------------------------------------------

    def _stores(self) -> None:
        """Memories, tables and globals. Each instance has a budget for those that it brought; what nobody here did
        has one of its own."""
        memories: dict[int, Budget] = {}
        tables: dict[int, Budget] = {}
        limits = self.store.limits
        for instance, data in zip(self.instances, self.body["instances"], strict=True):
            decls = instance.module.decls
            budget = Budget.of_memories(limits)
            instance.budget = budget
            instance.shown = partial(Func, store=self.homes[self.home[instance]].store)
            _own(field(data, "memories", list), decls.imported(ExternKind.MEMORY), memories, budget)
            _own(field(data, "tables", list), decls.imported(ExternKind.TABLE), tables, Budget.of_tables(limits))
        made = [self._memory(m, memories.get(i)) for i, m in enumerate(field(self.body, "memories", list))]
        lists = [self._table(t, tables.get(i)) for i, t in enumerate(field(self.body, "tables", list))]
        self._fill_objects()
        globals_ = [self._global(g) for g in field(self.body, "globals", list)]
        for instance, data in zip(self.instances, self.body["instances"], strict=True):
            instance.memories = [pick(made, i, "memory") for i in data["memories"]]
            instance.tables = [pick(lists, i, "table") for i in data["tables"]]
            instance.globals = [pick(globals_, i, "global") for i in field(data, "globals", list)]
            instance.mem = instance.memories[0] if instance.memories else None
            instance.abandoned = field(data, "abandoned", str, type(None))

    def _fill_objects(self) -> None:
        owners = same_length(field(self.body, "owners", list), len(self.objects), "owners of objects")
        stray = Objects(Budget.of_memories(self.store.limits))
        for made, data, number in zip(self.objects, self.body["objects"], owners, strict=True):
            owner = stray if number is None else pick(self.instances, number, "instance").objects
            objects.fill(made, data, owner, self._value)

    def _memory(self, data: Any, budget: Budget | None) -> MemInst:
        content = field(data, "data", bytes)
        page = field(data, "page", int)
        if page not in (1, PAGE) or len(content) % page:
            raise corrupt("a memory that is not whole pages")
        budget = budget or Budget.of_memories(self.store.limits)
        if not budget.take(len(content)):
            raise SnapshotError(f"the snapshot's memories exceed the limit of {budget.limit} bytes")
        maximum = field(data, "max", int, type(None))
        address = check.address(data)
        check.size(maximum, len(content) // page, MemoryType(0, None, address, page).most, "memory")
        if not field(data, "shared", bool):
            return MemInst(bytearray(content), maximum, budget, address=address, page=page)
        budget.give(len(content))
        type_ = MemoryType(len(content) // page, maximum, address, page, True)
        shared = make_memory(type_, budget, self.store.engine.config.prealloc_shared_memory)
        shared.write(0, content)
        return shared

    def _table(self, data: Any, budget: Budget | None) -> TableInst:
        elem = self.types.value(field(data, "elem", int, list))
        refs = field(data, "elems", list)
        budget = budget or Budget.of_tables(self.store.limits)
        if not elem.is_ref:
            raise corrupt(f"a table of {elem}")
        if not budget.take(len(refs)):
            raise SnapshotError(f"the snapshot's tables exceed the limit of {budget.limit} entries")
        maximum = check.entries(field(data, "max", int, type(None)), len(refs))
        entries = [self._value(elem, r) for r in refs]
        return TableInst(entries, elem, maximum, budget, address=check.address(data))

    def _global(self, data: Any) -> GlobalInst:
        content = self.types.value(field(data, "type", int, list))
        type_ = GlobalType(content, field(data, "mutable", bool))
        return GlobalInst(type_, self._value(content, data.get("value")))

    def _segments(self, instance: Instance, data: Any) -> None:
        decls = instance.module.decls
        elems = same_length(field(data, "elems", list), len(decls.elems), "element segments")
        datas = same_length(field(data, "datas", list), len(decls.datas), "data segments")
        for elem, kept in zip(decls.elems, elems, strict=True):
            keep = kept is True and elem.mode is Mode.PASSIVE
            items: Sequence[Value] = [evaluate(expr, instance) for expr in elem.init] if keep else ()
            if type(kept) is list and elem.mode is Mode.PASSIVE:
                given = same_length(kept, len(elem.init), "items of a segment")
                items = [self._value(elem.type, item) for item in given]
            instance.elems.append(ElemInst(elem.type, tuple(items)))
        for segment, kept in zip(decls.datas, datas, strict=True):
            keep = kept is True and segment.mode is Mode.PASSIVE
            instance.datas.append(DataInst(instance.module.data[segment.start : segment.end] if keep else b""))

    # Values --------------------------------------------------------------------------------------------------------

    def _func(self, ref: Any, home: int | None = None) -> FuncInst | None:
        """The function that a reference names; None for one of the host's that is missing, which is noted. With a
        `home`, one of the host's belongs there."""
        match ref:
            case ["w", number, index]:
                instance = pick(self.instances, number, "instance")
                func = pick(instance.funcs, index, "function")
                if index < instance.module.imported_funcs:
                    raise corrupt("a function that is imported as its own")
                return func
            case ["h", str(module), str(name), type_, number]:
                pick(self.homes, number, "home")
                wanted = self.types.func(type_)
                own = builtin(module, name, wanted)
                if own is None and home not in (None, number):
                    raise corrupt("a host function that belongs to another execution")
                return own or self._host(module, name, wanted, number)
        raise corrupt("a reference to no function")

    def _host(self, module: str, name: str, type_: FuncType, home: int) -> HostFunc | None:
        known = self.found.get((module, name, type_, home))
        if known is None:
            known = self.homes[home].hosts(module, name, type_)
            if known is None or not func_matches(known.type, type_):
                self.missing[module, name] = None
                return None
            self.found[module, name, type_, home] = known
        return known

    def _refuse_missing(self) -> None:
        if self.missing:
            names = ", ".join(f"{module}.{name}" for module, name in self.missing)
            raise UnlinkableError(
                f"the snapshot needs host functions or tags that are not given, or of another type: {names}",
                tuple(self.missing),
            )

    def _value(self, type_: ValType, value: Any) -> Value:
        if type_.is_ref:
            found = self._ref(value)
            # A function of the host's that is missing is reported with all others.
            missing = found is None and value is not None
            if not missing and not is_a(found, type_):
                raise corrupt(f"something else in place of a {type_}")
            return found
        number = check.bits(type_, value)
        if type_ is F32:
            return f32_from_bits(number)
        return f64_from_bits(number) if type_ is F64 else number

    def _ref(self, ref: Any) -> Value:
        match ref:
            case None:
                return None
            case ["x", value]:
                return unpacked(value)
            case ["e", number]:
                return pick(self.exceptions, number, "exception")
            case ["o", number]:
                return pick(self.objects, number, "object")
            case ["i", int(value)]:
                return i31(value)
        return self._func(ref)

    def _error(self, data: Any) -> Trap | WasmException:
        match data:
            case ["e", number]:
                return WasmException.of(pick(self.exceptions, number, "exception"))
        return check.trap(data)

    def _values(self, types: Sequence[ValType], values: Any) -> tuple[Value, ...]:
        given = same_length(values, len(types), "values")
        return tuple([self._value(t, v) for t, v in zip(types, given, strict=True)])

    def _told(self, values: Any) -> tuple[Value, ...] | None:
        """Results for a host function, each of which says what it is."""
        if values is None:
            return None
        out: list[Value] = []
        for value in same_length(values, len(values), "values"):
            match value:
                case ["f", int(number)]:
                    out.append(f64_from_bits(number))
                case ["r", ref]:
                    out.append(self._ref(ref))
                case int() | bytes():
                    out.append(value)
                case _:
                    raise corrupt(f"{value!r} is no result")
        return tuple(out)

    # The execution -------------------------------------------------------------------------------------------------

    def _context(
        self, home: int, body: dict[str, Any], frames: list[Frame], call: tuple[FuncInst, tuple[Value, ...]] | None
    ) -> ExecContext:
        limits = self.store.limits
        ctx = self.homes[home].store.context()
        ctx.requests.clock = self.clock
        ctx.frames = Frames(frames)
        ctx.next_call = call
        ctx.state = _state(body, frames, call)
        ctx.reported = field(body, "reported", bool)
        ctx.depth = len(frames)
        ctx.hosts = sum(isinstance(f, HostFrame) for f in frames)
        ctx.cells = sum(f.cells for f in frames if isinstance(f, WasmFrame))
        if ctx.depth > limits.frames or ctx.cells > limits.cells:
            raise SnapshotError(f"the snapshot's {ctx.depth} frames with {ctx.cells} cells exceed the limits")
        throw = field(body, "throw", list, type(None))
        ctx.throw = None if throw is None else self._error(throw)
        inbox = field(body, "inbox", list, type(None))
        check.chain(frames, inbox is not None)
        if inbox is not None:
            top = frames[-1] if frames else None
            ctx.inbox = self._values(top.awaited, inbox) if isinstance(top, WasmFrame) else self._told(inbox)
        for each in field(body, "touched", list):
            number, pointer = same_length(each, 2, "parts of an instance")
            instance = pick(self.instances, number, "instance")
            ctx.touched[instance] = None if pointer is None else _pointer(instance, pointer)
        if not {f.func.instance for f in frames if isinstance(f, WasmFrame)} <= ctx.touched.keys():
            raise corrupt("a frame of an instance that was not entered")
        callers = {f.caller for f in frames if isinstance(f, HostFrame) and f.caller is not None}
        if len(self.homes) > 1 and not callers <= ctx.touched.keys():
            raise corrupt("a host function that was called by another execution's instance")
        steps = field(body, "steps", int, type(None))
        if steps is not None:
            ctx.allow(steps)
        return ctx

    def _frame(self, data: Any, home: int) -> Frame:
        func = self._func(field(data, "func", list), home)
        if isinstance(func, WasmFunc):
            refs = tuple([self._ref(r) for r in field(data, "refs", list)])
            frame = WasmFrame(func, field(data, "raw", bytes), refs, check.layout_of(func, data["raw"]))
            check.slots(frame)
            return frame
        if func is None:
            self._refuse_missing()
        host: HostFunc = func  # type: ignore[assignment]  # it isn't missing
        version = field(data, "host", int)
        if host.code.version != version and version not in host.code.accepts:
            raise SnapshotError(
                f"{host.name} was saved as version {version} and is now version {host.code.version}, which "
                f"doesn't accept it; add accepts=({version},) if it can go on with the old record"
            )
        number = field(data, "caller", int, type(None))
        caller = None if number is None else pick(self.instances, number, "instance")
        args = self._values(host.type.params, data.get("args"))
        record = field(data, "record", dict, type(None))
        return HostFrame(host, caller, args, None if record is None else self._record(record))

    def _record(self, data: dict[str, Any]) -> Record:
        limit = self.store.limits.journal
        entries = field(data, "entries", list)
        if len(entries) > limit:
            raise SnapshotError(f"a journal of {len(entries)} entries exceeds the limit of {limit}")
        inbox = self._told(field(data, "inbox", list, type(None)))
        args = unpacked(data.get("args"), self._ref)
        if args is not None and type(args) is not tuple:
            raise corrupt("arguments that are no tuple")
        record = Record(limit, args, inbox=inbox, restarts=field(data, "restarts", int))
        record.entries = [self._entry(entry, number + 1 == len(entries)) for number, entry in enumerate(entries)]
        trapped = field(data, "trapped", list, type(None))
        record.trapped = None if trapped is None else check.trap(trapped)
        record.leave()
        return record

    def _entry(self, data: Any, last: bool) -> Entry:
        kind, label, saved, pending, error = same_length(data, 5, "parts of a journal's entry")
        value = unpacked(saved, self._ref)
        if type(kind) is not str or type(label) is not str or type(pending) is not bool or (pending and not last):
            raise corrupt("no entry of a journal")
        if kind == "check" and type(value) is not int:
            raise corrupt("no count of check points")
        if pending and kind == "wait" and value is not None:
            value = self._deadline(value)
        return Entry(kind, label, value, pending, None if error is None else self._error(error))

    def _deadline(self, value: Any) -> tuple[str, float]:
        match value:
            case ("left", float() | int() as left):
                return "monotonic", self.clock.monotonic() + left
            case ("wall", float() | int() as wall):
                return "wall", float(wall)
        raise corrupt(f"{value!r} is no deadline")

    def _call(self, data: Any, home: int) -> tuple[FuncInst, tuple[Value, ...]]:
        func = self._func(field(data, "func", list), home)
        if func is None:
            self._refuse_missing()
        callee: FuncInst = func  # type: ignore[assignment]  # it isn't missing
        return callee, self._values(callee.type.params, data.get("args"))


def _own(numbers: list[Any], imported: int, owners: dict[int, Budget], budget: Budget) -> None:
    """Those behind the imported ones are the instance's own: charged to its budget."""
    for number in numbers[imported:]:
        if type(number) is not int or owners.setdefault(number, budget) is not budget:
            raise corrupt("two instances own the same thing")


def _rejoin(ctx: ExecContext) -> bool:
    """Whether the execution waits in a memory and has a place in its line now that it hadn't."""
    frame = ctx.frames[-1] if ctx.frames else None
    if not isinstance(frame, HostFrame) or not isinstance(frame.func.code, Wait):
        return False
    return frame.func.code.rejoin(frame)


def _state(body: dict[str, Any], frames: list[Frame], call: object) -> State:
    """Suspended, with something to go on with, or fresh, with a call to make."""
    value = field(body, "state", str)
    if value == State.SUSPENDED.value and call is None and (frames or body.get("inbox") is not None):
        return State.SUSPENDED
    untouched = not frames and body.get("inbox") is None and body.get("throw") is None
    if value == State.READY.value and call is not None and untouched:
        return State.READY
    raise corrupt(f"an execution that is {value!r} and has nothing to do")


def _pointer(instance: Instance, value: Any) -> tuple[GlobalInst, Value]:
    pointer = pointer_of(instance)
    if pointer is None or pointer.type.content.is_ref:
        raise corrupt("a stack pointer that the module doesn't have")
    check.bits(pointer.type.content, value)
    return pointer, value


def _exports(instance: Instance) -> None:
    spaces: dict[ExternKind, Sequence[Extern]] = {
        ExternKind.FUNC: instance.funcs,
        ExternKind.TABLE: instance.tables,
        ExternKind.MEMORY: instance.memories,
        ExternKind.GLOBAL: instance.globals,
        ExternKind.TAG: instance.tags,
    }
    for export in instance.module.decls.exports:
        instance.exports[export.name] = spaces[export.kind][export.index]
