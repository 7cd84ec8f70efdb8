"""From a module and its imports to an instance (spec 4.5.4).

In two steps. `allocate` makes everything and touches nothing that was there before: where it fails, nothing has
happened. `initialise` copies the active segments, in the order of the spec; a trap there ends the instantiation and
leaves what was copied before, in imported tables and memories too, as the spec says. The start function is a call like
any other, which may suspend: running it is left to whoever can.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import cast

from .. import lean
from ..declarations import Mode
from ..errors import LimitError
from ..instances.budget import Budget
from ..instances.exception import TagInst
from ..instances.func import FuncInst, HostFunc, WasmFunc
from ..instances.instance import Extern, Instance
from ..instances.memory import MemInst, Places
from ..instances.shared import SharedMemInst, World
from ..instances.small import DataInst, ElemInst, GlobalInst
from ..instances.table import TableInst
from ..limits import Limits
from ..module import Module
from ..types import MemoryType
from .constexpr import evaluate
from .imports import Imports, resolve


@lean.frozen
class Prepared:
    """An instance whose segments are in place, and the function that is to be called before it is used, if any."""

    instance: Instance
    start: FuncInst | None


def instantiate(
    module: Module, imports: Imports, limits: Limits, prealloc: bool = True, places: Places | None = None
) -> Prepared:
    """Link, allocate and initialise. With `prealloc`, a shared memory has room for its maximum from the beginning.

    Raises UnlinkableError, LimitError (for both, nothing has happened) or Trap.
    """
    instance = allocate(module, resolve(module, imports), limits, prealloc, places)
    return Prepared(instance, initialise(instance))


def allocate(
    module: Module, externs: Sequence[Extern], limits: Limits, prealloc: bool = True, places: Places | None = None
) -> Instance:
    """An instance of `module`, `externs` being what `imports.resolve` gave; active segments are not copied yet.

    Raises LimitError.
    """
    decls = module.decls
    instance = Instance(module, budget=Budget.of_memories(limits))
    for extern in externs:
        _add_import(instance, extern)
    types = islice(module.env.funcs, module.imported_funcs, None)
    instance.funcs += [WasmFunc(type_, instance, code) for type_, code in zip(types, decls.codes, strict=True)]
    for index in range(len(instance.tags), len(module.env.tags)):
        instance.tags.append(TagInst(module.env.tags[index], module.tag_name(index)))
    _allocate_memories(instance, prealloc, places)
    _allocate_tables(instance, limits)
    for global_ in decls.globals:
        instance.globals.append(GlobalInst(global_.type, evaluate(global_.init, instance)))
    for elem in decls.elems:
        # Once, and here: a segment holds values, so that a table.init while running evaluates nothing.
        items = () if elem.mode is Mode.DECLARATIVE else tuple([evaluate(expr, instance) for expr in elem.init])
        instance.elems.append(ElemInst(elem.type, items))
    for data in decls.datas:
        instance.datas.append(DataInst(module.data[data.start : data.end] if data.mode is Mode.PASSIVE else b""))
    spaces: tuple[Sequence[Extern], ...] = (
        instance.funcs, instance.tables, instance.memories, instance.globals, instance.tags,
    )  # fmt: skip
    for export in decls.exports:
        instance.exports[export.name] = spaces[export.kind][export.index]
    join_groups(instance)
    share(instance)
    return instance


def _add_import(instance: Instance, extern: Extern) -> None:
    match extern:
        case WasmFunc() | HostFunc():
            instance.funcs.append(extern)
        case TableInst():
            instance.tables.append(extern)
        case MemInst():
            instance.memories.append(extern)
        case GlobalInst():
            instance.globals.append(extern)
        case TagInst():
            instance.tags.append(extern)


def _allocate_memories(instance: Instance, prealloc: bool, places: Places | None) -> None:
    for memory in instance.module.decls.memories:
        try:
            instance.memories.append(make_memory(memory.type, instance.budget, prealloc, places))
        except MemoryError:
            raise LimitError(f"linear memory: no room for {memory.type.min} pages") from None
    instance.mem = instance.memories[0] if instance.memories else None


def make_memory(
    type_: MemoryType, budget: Budget, prealloc: bool = True, places: Places | None = None
) -> MemInst:
    """A memory, shared where its type says so. Raises LimitError."""
    if type_.shared:
        from ..exec.cluster import Cluster

        return SharedMemInst.make(type_, budget, Cluster(), prealloc)
    return MemInst.allocate(type_, budget, None if places is None else places(type_))


def share(instance: Instance) -> None:
    """Have the instance known to the shared memories that it has."""
    worlds: list[World] = []
    for memory in instance.memories:
        if isinstance(memory, SharedMemInst):
            memory.users.add(instance)
            if memory.world is not None and memory.world not in worlds:
                worlds.append(memory.world)
    instance.worlds = tuple(worlds)


def unshare(instance: Instance) -> None:
    """The instance will not run any more: its shared memories don't count it."""
    for memory in instance.memories:
        if isinstance(memory, SharedMemInst):
            memory.users.discard(instance)


def _allocate_tables(instance: Instance, limits: Limits) -> None:
    tables = instance.module.decls.tables
    if not tables:
        return
    budget = Budget.of_tables(limits)
    for table in tables:
        init = None if table.init is None else evaluate(table.init, instance)
        instance.tables.append(TableInst.allocate(table.type, init, budget))


def join_groups(instance: Instance) -> None:
    """Join the groups of all instances that this one can reach, and mark what nobody had before.

    An immutable global connects instances if there may be a function in it.
    """
    for func in instance.funcs[: instance.module.imported_funcs]:
        if isinstance(func, WasmFunc):
            instance.group.join(func.instance.group)
    reaching = [global_ for global_ in instance.globals if global_.type.mutable or global_.type.content.is_ref]
    # Threads have instances of their own, which run at the same time: a shared memory connects nobody.
    own = [memory for memory in instance.memories if not memory.shared]
    everything: list[TableInst | MemInst | GlobalInst] = [*instance.tables, *own, *reaching]
    for shared in everything:
        if shared.group is None:
            shared.group = instance.group
        else:
            instance.group.join(shared.group)


def initialise(instance: Instance) -> FuncInst | None:
    """Copy the active segments in order and drop them. The start function, which has still to be called, if any.

    Raises Trap where one does not fit.
    """
    decls = instance.module.decls
    for elem, elem_inst in zip(decls.elems, instance.elems, strict=True):
        if elem.mode is Mode.ACTIVE:
            at = cast("int", evaluate(elem.at or (), instance))
            instance.tables[elem.target].init(at, elem_inst.items, 0, len(elem_inst.items))
            elem_inst.drop()
    for data in decls.datas:
        if data.mode is Mode.ACTIVE:
            at = cast("int", evaluate(data.at or (), instance))
            memory = instance.memories[data.target]
            memory.check(at, data.end - data.start)
            memory.write(at, memoryview(instance.module.data)[data.start : data.end])
    return None if decls.start is None else instance.funcs[decls.start]
