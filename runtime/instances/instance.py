"""Module instances (spec 4.2.5): index spaces and exports, as data."""

from __future__ import annotations

from typing import TypeAlias

from .. import lean
from ..limits import Limits
from ..module import Module
from .budget import Budget
from .door import Door
from .exception import TagInst
from .func import FuncInst, HostFunc, WasmFunc
from .group import Group
from .memory import MemInst
from .objects import Objects
from .shared import World
from .small import DataInst, ElemInst, GlobalInst
from .table import TableInst

Extern: TypeAlias = WasmFunc | HostFunc | TableInst | MemInst | GlobalInst | TagInst


@lean.define(eq=False, repr=False)
class Instance:
    """One instance of a module. `mem` is memory 0 for the handlers, which touch little else."""

    module: Module
    funcs: list[FuncInst] = lean.field(factory=list)
    tables: list[TableInst] = lean.field(factory=list)
    memories: list[MemInst] = lean.field(factory=list)
    globals: list[GlobalInst] = lean.field(factory=list)
    tags: list[TagInst] = lean.field(factory=list)
    elems: list[ElemInst] = lean.field(factory=list)
    datas: list[DataInst] = lean.field(factory=list)
    exports: dict[str, Extern] = lean.field(factory=dict)
    #: Accounts for structs and arrays.
    objects: Objects = lean.field(factory=lambda: Objects(Budget(Limits().memory)))
    group: Group = lean.field(factory=Group)
    mem: MemInst | None = None
    #: Those who share a memory with it; see `exec.cluster`.
    worlds: tuple[World, ...] = ()
    #: Why the instance can't be used any more; see `exec.shadow`.
    abandoned: str | None = None
    #: The guest's stack pointer and whether it has been looked for; see `exec.shadow`.
    stack_pointer: GlobalInst | None = None
    stack_pointer_known: bool = False
    #: What is left of the budget of instructions of the execution that is inside; see `exec.poll.Requests.steps`.
    steps: list[int] = lean.field(factory=lambda: [0])
    #: A tier's picture of the instance; it alone knows the form.
    native: object = None
    #: Who wants to be told where there is machine code of an exported function, by its index; see `instances.door`.
    doors: dict[int, list[Door]] = lean.field(factory=dict)
    #: Owner's own data (hostsdk keeps its instance here); the engine never looks.
    owner: object = None

    def abandon(self, why: str) -> None:
        """It can't be used any more."""
        self.abandoned = why
        for doors in self.doors.values():
            for door in doors:
                door.shut()

    def __repr__(self) -> str:
        return f"<Instance of {self.module.name or 'module'}>"
