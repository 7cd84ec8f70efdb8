"""Calls between Python and machine code, in nanoseconds: exports, and host functions of nothing, of two ints and of a
text, beside wasmtime-py, wasm3 and wasmext. Ours with Python's lock released around machine code, as usual, and
kept."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from functools import partial
from time import thread_time
from typing import Any, Literal, NamedTuple

from hostsdk import Context, HostModule, Instance, Module, Str, i32
from runtime import Engine, EngineConfig

from .build import extension, wat
from .measure import Row, in_turns

_LOOP = """(func (export "{}") (param i32)
    loop {} local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end)"""
_GUEST = f"""(module
  (import "h" "nothing" (func $nothing)) (import "h" "add" (func $add (param i32 i32) (result i32)))
  (import "h" "text" (func $text (param i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 16) "{"A text of 16 b. " * 4}")
  {_LOOP.format("empty", "")}
  {_LOOP.format("nothings", "call $nothing")}
  {_LOOP.format("adds", "local.get 0 i32.const 2 call $add drop")}
  {_LOOP.format("texts", "i32.const 16 i32.const 64 call $text drop")}
  (func (export "nop") (param i32 i32) (result i32) local.get 0))"""
#: Loops, what their rows are called, and the targets with the lock released and kept, if there are any.
_LOOPS = {
    "nothings": ("host call of nothing", 0, 0),
    "adds": ("host call (i32, i32) -> i32", 60, 100),
    "texts": ("host call taking a text of 64 bytes", 50, 50),
}


class _Peer(NamedTuple):
    name: str
    #: Exports as a user of the engine holds them.
    exports: Callable[[str], Callable[..., Any]]


def _ours(gil: Literal["release", "keep"]) -> _Peer:
    host = HostModule("h")

    @host.function
    def nothing(ctx: Context) -> None:
        pass

    @host.function
    def add(ctx: Context, a: i32, b: i32) -> i32:
        return a + b

    @host.function
    def text(ctx: Context, value: Str) -> i32:
        return 1

    engine = Engine(EngineConfig(tier="native", gil=gil))
    instance = Instance(Module.from_bytes(wat(_GUEST)), [host], engine=engine)
    return _Peer("hostsdk", instance.exports.__getitem__)


def _wasmtime() -> _Peer:
    import wasmtime

    def text(caller: Any, start: int, size: int) -> int:
        caller["memory"].read(caller, start, start + size).decode()
        return 1

    store, word = wasmtime.Store(), wasmtime.ValType.i32()
    imports = [
        wasmtime.Func(store, wasmtime.FuncType([], []), lambda: None),
        wasmtime.Func(store, wasmtime.FuncType([word, word], [word]), lambda a, b: a + b),
        wasmtime.Func(store, wasmtime.FuncType([word, word], [word]), text, access_caller=True),
    ]
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, wat(_GUEST)), imports)
    exports: Any = instance.exports(store)
    return _Peer("wasmtime", lambda name: partial(exports[name], store))


def _wasm3() -> _Peer:
    import wasm3

    runtime = wasm3.Environment().new_runtime(1 << 20)
    module = wasm3.Environment().parse_module(wat(_GUEST))
    runtime.load(module)

    def text(start: int, size: int) -> int:
        bytes(runtime.get_memory(0)[start : start + size]).decode()
        return 1

    module.link_function("h", "nothing", "v()", lambda: None)
    module.link_function("h", "add", "i(ii)", lambda a, b: a + b)
    module.link_function("h", "text", "i(ii)", text)
    return _Peer("wasm3", runtime.find_function)


def _wasmext() -> _Peer:
    def text(start: int, size: int) -> int:
        bytes(instance.memory[start : start + size]).decode()
        return 1

    given = {"nothing": lambda: None, "add": lambda a, b: a + b, "text": text}
    instance: Any = extension(wat(_GUEST)).Instance({"h": given})
    return _Peer("wasmext", lambda name: getattr(instance, name))


def calling() -> Iterator[Row]:
    """Calls of host functions and of exports."""
    # Few enough for a peer's run to be undisturbed now and then.
    count = 5000
    makers = (_wasmtime, _wasm3, _wasmext)
    peers = [make() for make in makers if importlib.util.find_spec(make.__name__[1:]) is not None]
    engines = [_ours("release"), _ours("keep"), *peers]
    loops = _least(engines, "empty", count)
    for name, (what, released, kept) in _LOOPS.items():
        times = [t - base for t, base in zip(_least(engines, name, count), loops, strict=True)]
        yield from _rows(f"machine code: {what}", peers, times, count, (released, kept))
    works = [partial(_repeat, engine.exports("nop"), count) for engine in engines]
    times = in_turns(works, 40, thread_time)
    yield from _rows("machine code: export (i32, i32) -> i32", peers, times, count, (200, 200))


def _least(engines: list[_Peer], name: str, count: int) -> list[float]:
    return in_turns([partial(engine.exports(name), count) for engine in engines], 40, thread_time)


def _repeat(function: Callable[..., object], count: int) -> None:
    for _ in range(count):
        function(1, 2)


def _rows(what: str, peers: list[_Peer], times: list[float], count: int, targets: tuple[int, int]) -> Iterator[Row]:
    nanos = [t / count * 1e9 for t in times]
    others = {peer.name: t for peer, t in zip(peers, nanos[2:], strict=True)}
    for how, ours, target in zip(("released", "kept"), nanos, targets, strict=False):
        name = f"{what}, GIL {how}"
        goal: Any = ("wasmtime", target) if target else ("", math.inf, "at most")
        yield Row(name, ours, "ns", others, *goal)
