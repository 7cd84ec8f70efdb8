"""Guests from text, ready to run, and the ways of driving their executions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from runtime import (
    Engine,
    EngineConfig,
    ExecContext,
    FakeClock,
    Func,
    Global,
    GlobalInst,
    HostFunc,
    Injector,
    Instance,
    Limits,
    MemInst,
    Module,
    Outcome,
    Store,
    Suspended,
    WasmFunc,
    control,
    instantiate,
    snapshot,
)
from runtime.types import FuncType

from .build import wat

#: Imports, by module and name.
Externs = Mapping[str, Mapping[str, Any]]


class Guest:
    """An instance of the module that `text` (what stands inside of `(module …)`) describes, in a store of its own."""

    def __init__(
        self,
        text: str,
        given: Externs | None = None,
        *,
        limits: Limits | None = None,
        injector: Injector | None = None,
        store: Store | None = None,
        start: bool = True,
        **config: Any,
    ) -> None:
        self.module = Module.load(wat(text if text.lstrip().startswith("(module") else f"(module {text})"))
        if store is None:
            store = Store(Engine(EngineConfig(**config)), limits or Limits(), injector=injector)
        self.store = store
        if start:
            self.instance = instantiate(store, self.module, given or {})

    def func(self, name: str) -> Func:
        """An exported function."""
        return Func(self.raw(name), self.store)

    def raw(self, name: str) -> WasmFunc | HostFunc:
        """The same, as the engine has it."""
        found = self.instance.exports[name]
        assert isinstance(found, (WasmFunc, HostFunc))
        return found

    def call(self, name: str, *args: object, **options: Any) -> Any:
        """A plain call."""
        return self.func(name).call(*args, **options)

    def start(self, name: str, *args: object) -> ExecContext:
        """A call to be run step by step."""
        return self.func(name).start(*args)

    def get(self, name: str) -> Any:
        """The value of an exported global."""
        found = self.instance.exports[name]
        assert isinstance(found, GlobalInst)
        return Global(found, self.store).get()

    @property
    def memory(self) -> MemInst:
        """Memory 0."""
        assert self.instance.mem is not None
        return self.instance.mem


def fake(**config: Any) -> tuple[FakeClock, dict[str, Any]]:
    """A fake clock, and a guest's configuration with it."""
    clock = FakeClock()
    return clock, {"clock": clock, **config}


def resume_all(ctx: ExecContext, between: Callable[[ExecContext], ExecContext] | None = None) -> Outcome:
    """Run to the end, resuming after every suspension; `between` may put another context in place of the suspended
    one (a restored one)."""
    outcome = control.run(ctx)
    while isinstance(outcome, Suspended):
        if between is not None:
            ctx = between(ctx)
        outcome = control.run(ctx)
    return outcome


def nothing(module: str, name: str, type_: FuncType) -> None:
    """There are no host functions."""


def reload(
    ctx: ExecContext, root: Instance, hosts: Callable[[str, str, FuncType], HostFunc | None] = nothing, **options: Any
) -> tuple[ExecContext, Instance]:
    """Save, and load into a store of its own: the restored execution and the instance in place of `root`."""
    data = snapshot.save(ctx, root)
    store = Store(options.get("engine", Engine()), options.get("limits", Limits()), injector=options.get("injector"))
    restored = snapshot.load(data, modules_of(root), hosts, store)
    return restored.ctx, restored.instances[0]


def modules_of(root: Instance) -> dict[str, Module]:
    """The modules, by hash, of `root` and of whatever it can reach."""
    seen: dict[int, Instance] = {}
    todo = [root]
    while todo:
        instance = todo.pop()
        if id(instance) in seen:
            continue
        seen[id(instance)] = instance
        reached: list[object] = [*instance.funcs]
        for table in instance.tables:
            reached += table.elems
        for global_ in instance.globals:
            reached.append(global_.value)
        todo += [func.instance for func in reached if isinstance(func, WasmFunc)]
    return {instance.module.hash: instance.module for instance in seen.values()}


__all__ = ["Externs", "Guest", "fake", "modules_of", "nothing", "reload", "resume_all"]
