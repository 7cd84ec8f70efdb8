"""Other engines for Python, each with the same three verbs; one that is not installed is left out."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from typing import Any, Literal, Protocol


class Engine(Protocol):
    """A module, loaded and instantiated, whose only import is `h.add(i32, i32) -> i32` where it has one."""

    def call(self, name: str, *args: int) -> Any: ...

    def export(self, name: str) -> Callable[..., Any]:
        """The function as this engine's users hold it, to be called with arguments alone."""


class Pywasm:
    """pywasm: pure Python, like our interpreter."""

    name = "pywasm"

    def __init__(self, data: bytes) -> None:
        import pywasm

        self.runtime = pywasm.Runtime()
        kind = pywasm.FuncType([pywasm.ValType.i32(), pywasm.ValType.i32()], [pywasm.ValType.i32()])
        extern = self.runtime.allocate_func_host(kind, lambda machine, args: [args[0] + args[1]])
        self.runtime.imports["h"] = {"add": extern}
        self.instance = self.runtime.instance(pywasm.ModuleDesc.from_reader(io.BytesIO(data)))

    def call(self, name: str, *args: int) -> Any:
        return self.runtime.invocate(self.instance, name, list(args))[0]

    def export(self, name: str) -> Callable[..., Any]:
        return functools.partial(self.call, name)


class Wasm3:
    """pywasm3: an interpreter in C."""

    name = "wasm3"

    def __init__(self, data: bytes) -> None:
        import wasm3

        self.environment = wasm3.Environment()
        self.runtime = self.environment.new_runtime(1 << 20)
        module = self.environment.parse_module(data)
        self.runtime.load(module)
        try:
            module.link_function("h", "add", "i(ii)", lambda a, b: a + b)
        except RuntimeError:
            pass  # nothing to link
        self.functions: dict[str, Callable[..., Any]] = {}

    def call(self, name: str, *args: int) -> Any:
        found = self.functions.get(name)
        if found is None:
            found = self.functions[name] = self.runtime.find_function(name)
        return found(*args)

    def export(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = self.runtime.find_function(name)
        return found


class Wasmext:
    """wasmext: the module becomes an extension of CPython, compiled ahead of time."""

    name = "wasmext"

    def __init__(self, data: bytes) -> None:
        from .build import extension

        made = extension(data).Instance
        try:
            self.instance: Any = made({"h": {"add": lambda a, b: a + b}})
        except TypeError:  # there is nothing to link
            self.instance = made()

    def call(self, name: str, *args: int) -> Any:
        return getattr(self.instance, name)(*args)

    def export(self, name: str) -> Callable[..., Any]:
        found: Callable[..., Any] = getattr(self.instance, name)
        return found


class Wasmtime:
    """wasmtime-py: a compiler."""

    name = "wasmtime"

    def __init__(self, data: bytes, *, epochs: bool = False) -> None:
        import wasmtime

        config = wasmtime.Config()
        config.epoch_interruption = epochs
        self.store = wasmtime.Store(wasmtime.Engine(config))
        if epochs:
            self.store.set_epoch_deadline(1 << 60)
        module = wasmtime.Module(self.store.engine, data)
        i32 = wasmtime.ValType.i32()
        add = wasmtime.Func(self.store, wasmtime.FuncType([i32, i32], [i32]), lambda a, b: a + b)
        self.exports: Any = wasmtime.Instance(self.store, module, [add] * len(module.imports)).exports(self.store)

    def call(self, name: str, *args: int) -> Any:
        return self.exports[name](self.store, *args)

    def export(self, name: str) -> Callable[..., Any]:
        return functools.partial(self.exports[name], self.store)


class Hostsdk:
    """This engine."""

    name = "hostsdk"

    def __init__(
        self, data: bytes, tier: Literal["auto", "interpreter", "native"] = "interpreter", *, signals: bool = False
    ) -> None:
        from hostsdk import Context, HostModule, Instance, Module, i32
        from runtime import Engine, EngineConfig

        host = HostModule("h")

        @host.function
        def add(ctx: Context, a: i32, b: i32) -> i32:
            return a + b

        engine = Engine(EngineConfig(tier=tier, signals=signals))
        self.instance = Instance(Module.from_bytes(data), [host], engine=engine)

    def call(self, name: str, *args: int) -> Any:
        return self.instance.call(name, *args)

    def export(self, name: str) -> Callable[..., Any]:
        return self.instance.exports[name]
