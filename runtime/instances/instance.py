"""Module instances (spec 4.2.5): index spaces and exports, as data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from .. import lean
from ..limits import Limits
from ..module import Module
from .budget import Budget
from .door import Door, Picture
from .exception import TagInst
from .func import FuncHandle, FuncInst, HostFunc, WasmFunc
from .group import Group
from .memory import MemInst
from .objects import Objects
from .shared import World
from .small import DataInst, ElemInst, GlobalInst
from .table import TableInst

Extern: TypeAlias = WasmFunc | HostFunc | TableInst | MemInst | GlobalInst | TagInst

#: Where nobody counts.
_NO_STEPS: Final = [0]


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
    #: What it may allocate besides its tables.
    budget: Budget = lean.field(factory=lambda: Budget(Limits().memory))
    #: What Python code outside of the engine gets of a function of its own.
    shown: Callable[[FuncInst], object] = FuncHandle
    _objects: Objects | None = None
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
    steps: list[int] = lean.field(factory=lambda: _NO_STEPS)
    #: A tier's picture of the instance; it alone knows the form.
    native: Picture | None = None
    #: Who wants to be told where there is machine code of an exported function, by its index; see `instances.door`.
    doors: dict[int, list[Door]] = lean.field(factory=dict)
    #: Owner's own data (hostsdk keeps its instance here); the engine never looks.
    owner: object = None

    @property
    def objects(self) -> Objects:
        """Accounts for structs and arrays. Most instances never have any."""
        if self._objects is None:
            self._objects = Objects(self.budget, self.shown)
        return self._objects

    def open(self, index: int, door: Door) -> None:
        """Somebody holds a function of its own, and may be given a shorter way in, now or later."""
        self.doors.setdefault(index, []).append(door)
        if self.native is not None:
            self.native.open(index)

    def abandon(self, why: str) -> None:
        """It can't be used any more."""
        self.abandoned = why
        for doors in self.doors.values():
            for door in doors:
                door.shut()

    def __repr__(self) -> str:
        return f"<Instance of {self.module.name or 'module'}>"
