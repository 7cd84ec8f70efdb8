"""Running one module in several ways, and what came of it in a form that can be compared."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import wasmtime

from runtime import (
    Array,
    Engine,
    EngineConfig,
    ExecContext,
    Failed,
    Func,
    FuncType,
    GlobalInst,
    GlobalType,
    I31Int,
    Injector,
    Instance,
    Limits,
    MemInst,
    Module,
    Outcome,
    Returned,
    Store,
    Struct,
    Suspended,
    TableInst,
    TableType,
    Trap,
    Trapped,
    ValType,
    WasmException,
    WasmFunc,
    control,
    f32_to_bits,
    f64_to_bits,
    instantiate,
)

from .guests import reload
from .hosts import Call, Host, Results, host, imports, lookup

#: A value that can be compared: bits of numbers, whether a reference is null, one NaN for all where engines differ.
Plain = object
M64 = (1 << 64) - 1
#: The suspended execution and its instance: what to go on with.
Between = Callable[[ExecContext, Instance], "tuple[ExecContext, Instance]"]


@attrs.frozen
class Seen:
    """What one run has left behind."""

    results: tuple[tuple[str, tuple[Plain, ...]], ...]
    memories: tuple[bytes, ...]
    globals: tuple[Plain, ...]
    tables: tuple[tuple[bool, ...], ...]

    @property
    def cramped(self) -> bool:
        """Whether a limit was met, which another engine hasn't got."""
        return any(NO_ROOM in kind for kind, _ in self.results)


@attrs.frozen
class Plan:
    """The calls that are made of a module's exports, and its fuel global, set anew before each."""

    calls: tuple[tuple[str, tuple[Any, ...]], ...]
    fuel: str | None = None
    amount: int = 0


def plan(module: Module, seed: int, *, fuel: str | None = None, amount: int = 60, rounds: int = 1) -> Plan:
    """Calls of every exported function with random numbers."""
    pick = random.Random(seed)
    calls = []
    for _ in range(rounds):
        for name, type_ in module.export_types():
            if isinstance(type_, FuncType) and _comparable(*type_.params, *type_.results):
                calls.append((name, tuple(_argument(t.name, pick) for t in type_.params)))
    return Plan(tuple(calls), fuel, amount)


#: What a guest may have: some ask for arrays of any size.
ROOM = Limits(memory=1 << 26)
#: What a guest is told that asks for more than there is: each engine has limits of its own.
NO_ROOM = "no room"
#: What wasmtime's Python has values of.
_COMPARED = ("i32", "i64", "f32", "f64", "funcref", "externref")


def _comparable(*types: ValType) -> bool:
    return all(type_.name in _COMPARED for type_ in types)


def _argument(type_: str, pick: random.Random) -> Any:
    if type_ == "i32":
        return pick.choice((0, 1, -1, pick.randrange(-(1 << 31), 1 << 31)))
    if type_ == "i64":
        return pick.choice((0, 1, -1, pick.randrange(-(1 << 63), 1 << 63)))
    if type_ in ("f32", "f64"):
        return pick.choice((0.0, -1.5, 1e9, float("inf")))
    return None


# Ours -----------------------------------------------------------------------------------------------------------------


def mixer(scheduled: bool = False) -> Host:
    """The host function `h.mix`: it journals, looks for requests, and calls the guest's last function back."""

    @host("h", "mix", "i32 i64 -> i64", scheduled=scheduled)
    def mix(call: Call) -> Results:
        number, long = call.args
        salt = call.once(lambda: 0x9E37_79B9)
        call.check()
        found = call.caller.exports[_last(call.caller)] if call.caller is not None else None
        if not isinstance(found, WasmFunc):
            raise AssertionError("it is called by guests only")
        (back,) = call.call(found, number ^ 1)
        call.check()
        return ((long * salt + back) & M64,)

    return mix


def _last(instance: Instance) -> str:
    return max((n for n, e in instance.exports.items() if isinstance(e, WasmFunc)), key=lambda n: (len(n), n))


def ours(
    module: Module,
    plan: Plan,
    *,
    injector: Injector | None = None,
    between: Between | None = None,
    scheduled: bool = False,
    engine: Engine | None = None,
) -> Seen:
    """Run the plan; at every suspension, `between` says what to go on with."""
    mix = mixer(scheduled)
    usual = Engine(EngineConfig(callbacks="scheduled" if scheduled else "nested"))
    store = Store(engine or usual, limits=ROOM, injector=injector)
    try:
        instance = instantiate(store, module, imports(mix))
    except Trap as trap:
        return Seen(((f"no instance: {_trap(trap.code.value)}", ()),), (), (), ())
    except WasmException:
        return Seen((("no instance: exception", ()),), (), (), ())
    results = []
    for name, args in plan.calls:
        if plan.fuel is not None:
            fuel = instance.exports[plan.fuel]
            assert isinstance(fuel, GlobalInst)
            fuel.value = plan.amount
        func = instance.exports[name]
        assert isinstance(func, WasmFunc)
        ctx = Func(func, store).start(*args)
        outcome = control.run(ctx)
        while isinstance(outcome, Suspended):
            if between is not None:
                ctx, instance = between(ctx, instance)
            outcome = control.run(ctx)
        assert (ctx.depth, ctx.cells, ctx.hosts, list(ctx.frames)) == (0, 0, 0, [])
        results.append(_outcome(outcome, func.type))
    externs = list(instance.exports.values())
    return Seen(
        tuple(results),
        tuple(bytes(e.data) for e in externs if isinstance(e, MemInst)),
        tuple(
            _plain(e.type.content.name, e.value)
            for e in externs
            if isinstance(e, GlobalInst) and _comparable(e.type.content)
        ),
        tuple(
            tuple(bool(_plain("ref", v)) for v in e.elems)
            for e in externs
            if isinstance(e, TableInst) and _comparable(e.elem)
        ),
    )


def saving(injector: Injector | None = None, scheduled: bool = False) -> Between:
    """Save and load at each suspension."""
    engine = Engine(EngineConfig(callbacks="scheduled" if scheduled else "nested"))

    def between(ctx: ExecContext, instance: Instance) -> tuple[ExecContext, Instance]:
        checks = ctx.requests.checks
        ctx, instance = reload(ctx, instance, lookup(mixer(scheduled)), injector=injector, engine=engine)
        ctx.requests.checks = checks
        return ctx, instance

    return between


def _outcome(outcome: Outcome, type_: FuncType) -> tuple[str, tuple[Plain, ...]]:
    if isinstance(outcome, Trapped):
        return _trap(outcome.trap.code.value), ()
    if isinstance(outcome, Failed) and isinstance(outcome.error, WasmException):
        return "exception", ()
    assert isinstance(outcome, Returned), outcome
    return "returned", tuple(_plain(t.name, v) for t, v in zip(type_.results, outcome.values, strict=True))


def _plain(type_: str, value: Any) -> Plain:
    if type_ in ("f32", "f64"):
        if value != value:
            return "nan"
        return f32_to_bits(value) if type_ == "f32" else f64_to_bits(value)
    if type_ in ("i32", "i64"):
        return value & (0xFFFF_FFFF if type_ == "i32" else M64)
    # A null reference out of a table or global of wasmtime's is a value that holds None; and so is an external one to
    # what a guest has made, which wasmtime-py can't show.
    return isinstance(value, Array | I31Int | Struct) or value is None or getattr(value, "value", value) is None


# Theirs ---------------------------------------------------------------------------------------------------------------


def theirs(module: Module, plan: Plan) -> Seen:
    """The same by wasmtime."""
    config = wasmtime.Config()
    config.cranelift_nan_canonicalization = True
    config.wasm_tail_call = True
    config.wasm_exceptions = True
    config.wasm_function_references = config.wasm_gc = True
    config.wasm_memory64 = True
    config.wasm_relaxed_simd = True
    config.wasm_relaxed_simd_deterministic = True
    config.wasm_custom_page_sizes = True
    store = wasmtime.Store(wasmtime.Engine(config))
    store.set_limits(memory_size=ROOM.memory)
    linker = wasmtime.Linker(store.engine)
    names = [name for name, type_ in module.export_types() if isinstance(type_, FuncType)]
    last = max(names, key=lambda n: (len(n), n)) if names else ""

    def mix(caller: Any, number: int, long: int) -> int:
        back: int = caller[last](caller, number ^ 1)
        value = (long * 0x9E37_79B9 + (back & 0xFFFF_FFFF)) & M64
        return value - (1 << 64) if value >> 63 else value

    i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
    linker.define_func("h", "mix", wasmtime.FuncType([i32, i64], [i64]), mix, access_caller=True)
    try:
        exports: Any = linker.instantiate(store, wasmtime.Module(store.engine, module.data)).exports(store)
    except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
        return Seen(((f"no instance: {_trap(str(trap))}", ()),), (), (), ())
    results = []
    types = dict(module.export_types())
    for name, args in plan.calls:
        if plan.fuel is not None:
            exports[plan.fuel].set_value(store, plan.amount)
        type_ = types[name]
        assert isinstance(type_, FuncType)
        results.append(_theirs(lambda name=name, args=args: exports[name](store, *args), type_))  # type: ignore[misc]
    kinds = module.export_types()
    shown = [t for _, t in kinds if not isinstance(t, GlobalType | TableType) or _comparable(_content(t))]
    externs = [exports[name] for name, t in kinds if any(t is each for each in shown)]
    tables = [e for e in externs if isinstance(e, wasmtime.Table)]
    return Seen(
        tuple(results),
        tuple(bytes(e.read(store)) for e in externs if isinstance(e, wasmtime.Memory)),
        tuple(_plain(str(e.type(store).content), e.value(store)) for e in externs if isinstance(e, wasmtime.Global)),
        tuple(tuple(bool(_plain("funcref", e.get(store, i))) for i in range(e.size(store))) for e in tables),
    )


def _content(type_: GlobalType | TableType) -> ValType:
    return type_.content if isinstance(type_, GlobalType) else type_.elem


def _theirs(call: Callable[[], Any], type_: FuncType) -> tuple[str, tuple[Plain, ...]]:
    try:
        got = call()
    except (wasmtime.Trap, wasmtime.WasmtimeError) as trap:
        return _trap(str(trap)), ()
    values: Sequence[Any] = () if got is None and not type_.results else got if isinstance(got, list) else [got]
    return "returned", tuple(_plain(t.name, v) for t, v in zip(type_.results, values, strict=True))


_TRAPS = (
    "integer divide by zero", "integer overflow", "invalid conversion to integer", "out of bounds memory access",
    "undefined element", "out of bounds table access", "uninitialized element", "indirect call type mismatch",
    "unreachable", "call stack exhausted", "exception", "null reference", "cast failure",
    "out of bounds array access",
)  # fmt: skip


def _trap(message: str) -> str:
    if "null" in message and "reference" in message:
        return "null reference"
    if re.search("limit exceeded|allocation size|GC heap|out of memory", message):
        return NO_ROOM
    for known in _TRAPS:
        if known in message:
            # wasmtime has one message for every access to a table out of bounds.
            return "undefined element" if known == "out of bounds table access" else known
    raise AssertionError(f"a trap of another kind: {message}")
