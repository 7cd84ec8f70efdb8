"""The engine as spec scripts need it: the one file of `hostsdk wast` that touches `runtime`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

from runtime import (
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    Array,
    Budget,
    Engine,
    EngineConfig,
    Every,
    Extern,
    FuncType,
    GlobalInst,
    GlobalType,
    HostFunc,
    I31Int,
    Injector,
    Instance,
    InvalidError,
    MalformedError,
    MemInst,
    MemoryType,
    Module,
    Store,
    Struct,
    TableInst,
    TableType,
    Trap,
    TrapCode,
    UnlinkableError,
    UnsupportedError,
    ValType,
    Value,
    WasmException,
    WasmFunc,
    begin_instantiation,
    control,
    f32_from_bits,
    f32_to_bits,
    f64_from_bits,
    f64_to_bits,
    finish,
    is_a,
    lean,
)

from .wast_script import Category, Failure, ScriptHost
from .wast_values import FuncRef, HostRef, Null, Number, Object, ScriptError, Val

#: To a script, an instance is its exports.
Exports: TypeAlias = dict[str, Extern]
Tier: TypeAlias = Literal["auto", "interpreter", "native"]
#: Names for `--tier`, the usual one first.
TIERS: Final[tuple[Tier, ...]] = ("auto", "interpreter", "native")

_PARAMS: Final[dict[str, tuple[ValType, ...]]] = {
    "print": (),
    "print_i32": (I32,),
    "print_i64": (I64,),
    "print_f32": (F32,),
    "print_f64": (F64,),
    "print_i32_f32": (I32, F32),
    "print_f64_f64": (F64, F64),
}
_GLOBALS: Final[dict[str, tuple[ValType, Value]]] = {
    "global_i32": (I32, 666),
    "global_i64": (I64, 666),
    "global_f32": (F32, f32_from_bits(0x4426_A666)),
    "global_f64": (F64, 666.6),
}


@lean.frozen
class _Print:
    """A function of module `spectest`. It prints nothing: scripts never look."""

    name: str
    module: str = "spectest"
    version: int = 1
    accepts: tuple[int, ...] = ()

    def enter(self, border: Any, caller: Instance | None, args: tuple[Value, ...], frame: Any) -> tuple[Value, ...]:
        """The protocol of host code; there is nothing to wait for."""
        return ()

    def drop(self, border: Any, frame: Any) -> None:
        """The protocol of host code; there is nothing to clean up."""


class ScriptEngine(ScriptHost[Module, Exports, Extern]):
    """A store for one script. With `suspend_every` K, each call is suspended at every K-th check point and resumed;
    an `injector` says for itself where. With `signals`, machine code has guard pages where they work."""

    def __init__(
        self,
        tier: Tier = "interpreter",
        suspend_every: int | None = None,
        injector: Injector | None = None,
        *,
        signals: bool = False,
    ) -> None:
        if suspend_every is not None:
            injector = Every(suspend_every)
        self.store = Store(Engine(EngineConfig(tier=tier, signals=signals)), injector=injector)

    def load(self, data: bytes) -> Module:
        return Module.load(data)

    def instantiate(self, module: Module, lookup: Callable[[str, str], Extern | None]) -> Exports:
        made = begin_instantiation(self.store, module, lookup)
        if made.start is not None:
            finish(made.start)
        return made.instance.exports

    def spectest(self) -> Exports:
        exports: Exports = {}
        for name, params in _PARAMS.items():
            exports[name] = HostFunc(FuncType(params), _Print(name))
        for name, (type_, value) in _GLOBALS.items():
            exports[name] = GlobalInst(GlobalType(type_), value)
        exports["table"] = TableInst.allocate(TableType(FUNCREF, 10, 20), None, Budget(self.store.limits.table))
        table64 = TableType(FUNCREF, 10, 20, I64)
        exports["table64"] = TableInst.allocate(table64, None, Budget(self.store.limits.table))
        exports["memory"] = MemInst.allocate(MemoryType(1, 2), Budget(self.store.limits.memory))
        return exports

    def export(self, instance: Exports, name: str) -> Extern | None:
        return instance.get(name)

    def invoke(self, instance: Exports, name: str, args: Sequence[Val]) -> tuple[Val, ...]:
        func = instance.get(name)
        if not isinstance(func, WasmFunc | HostFunc):
            raise ScriptError(f"there is no function '{name}'")
        if len(args) != len(func.type.params):
            raise ScriptError(f"'{name}' takes {len(func.type.params)} arguments, not {len(args)}")
        context = control.prepare(self.store.context(), func, tuple(map(_canonical, func.type.params, args)))
        values = finish(context)
        return tuple(map(_from_canonical, func.type.results, values))

    def get(self, instance: Exports, name: str) -> Val:
        found = instance.get(name)
        if not isinstance(found, GlobalInst):
            raise ScriptError(f"there is no global '{name}'")
        return _from_canonical(found.type.content, found.value)

    def failure(self, error: Exception) -> Failure | None:
        match error:
            case MalformedError():
                return Failure(Category.MALFORMED, error.message)
            case UnsupportedError():
                return Failure(Category.UNSUPPORTED, error.feature)
            case InvalidError():
                return Failure(Category.INVALID, error.message)
            case UnlinkableError():
                return Failure(Category.UNLINKABLE, str(error))
            case Trap(code=TrapCode.STACK_OVERFLOW):
                return Failure(Category.EXHAUSTION, error.code.value)
            case WasmException():
                return Failure(Category.EXCEPTION, "uncaught exception")
            case Trap():
                return Failure(Category.TRAP, error.code.value)
            case _:
                return None


def _canonical(type_: ValType, value: Val) -> Value:
    """The engine's form of an argument. Raises ScriptError where it isn't of the type."""
    match value:
        case Number(name, bits) if name == type_.name:
            if type_ is F32:
                return f32_from_bits(bits)
            if name == "v128":
                return bits.to_bytes(16, "little")
            return f64_from_bits(bits) if type_ is F64 else bits
        case Null() if type_.is_ref:
            return None
        case HostRef() if is_a(value, type_):
            return value
        case _:
            raise ScriptError(f"an argument is {value}, the parameter {type_}")


def _from_canonical(type_: ValType, value: Value) -> Val:
    if type_ is F32 and isinstance(value, float):
        return Number("f32", f32_to_bits(value))
    if type_ is F64 and isinstance(value, float):
        return Number("f64", f64_to_bits(value))
    if isinstance(value, bytes):
        return Number(type_.name, int.from_bytes(value, "little"))
    if isinstance(value, I31Int):
        return Object("i31")
    if isinstance(value, Struct | Array):
        return Object("struct" if isinstance(value, Struct) else "array")
    if isinstance(value, int):
        return Number(type_.name, value)
    if value is None:
        return Null()
    if isinstance(value, WasmFunc | HostFunc):
        return FuncRef()
    if isinstance(value, HostRef):
        return value
    raise ScriptError(f"a result of type {type_} is {value!r}")
