"""As much of Node-API as a native module of npm's needs that was compiled to WebAssembly with threads (napi-rs with
emnapi): JavaScript's values by handle, functions, promises, and the loop of the main thread.

    with Addon(module) as addon:
        addon.call("hashSync", "secret")
        addon.settled(addon.call("hash", "secret"))     # worked out by the guest's own threads
"""

from __future__ import annotations

import inspect
import queue
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Self

from hostsdk import Context, FuncRef, FuncType, HostModule, Module, Process, Steps, call, f64, i64, u32
from hostsdk.wasi import threads, wasi
from runtime import Func

from .waits import PATIENCE

ALL = 0xFFFF_FFFF
UNDEFINED = SimpleNamespace()
#: Statuses of the interface.
OK, STRING_EXPECTED, NUMBER_EXPECTED = 0, 3, 6
_KINDS: tuple[tuple[type, int], ...] = ((bool, 2), (int, 3), (float, 3), (str, 4))
_LETTERS: dict[str, Any] = {"i32": u32, "i64": i64, "f64": f64}


class JsError(Exception):
    """An error of JavaScript's."""


class Function(SimpleNamespace):
    """A function of the guest's: its place in the table, and what it is called with."""

    cb: int
    data: int


class Promise:
    """What the guest promised, once it has kept or broken that."""

    kept: object = UNDEFINED
    broken: JsError | None = None
    open = True


class Napi:
    """The functions of `env`, by name; `e` is the environment, `r` where the result goes."""

    def __init__(self) -> None:
        self.handles: list[Any] = [None, UNDEFINED]
        self.thrown: JsError | None = None
        #: Calls for the main thread's loop, from any thread.
        self.jobs: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self.wrapped: dict[int, int] = {}
        self.process: Process = None  # type: ignore[assignment]  # given before anything is called

    def handle(self, value: object) -> int:
        self.handles.append(value)
        return len(self.handles) - 1

    def get(self, at: int) -> int:
        return int.from_bytes(self.process.instance.memory.read(at, 4), "little")

    def put(self, at: int, value: int, size: int = 4) -> int:
        if at:
            self.process.instance.memory.write(at, (value & ALL).to_bytes(4, "little")[:size])
        return OK

    def text(self, at: int, size: int = ALL) -> str:
        data = self.process.instance.memory.read(at, min(size, 4096))
        return data.split(b"\0")[0].decode() if size == ALL else data.decode()

    def give(self, r: int, value: object) -> int:
        return self.put(r, self.handle(value))

    # Values --------------------------------------------------------------------------------------------------------

    def napi_get_undefined(self, e: int, r: int) -> int:
        return self.put(r, 1)

    def napi_get_global(self, e: int, r: int) -> int:
        return self.give(r, {})

    def napi_create_string_utf8(self, e: int, at: int, size: int, r: int) -> int:
        return self.give(r, self.text(at, size))

    def napi_create_object(self, e: int, r: int) -> int:
        return self.give(r, {})

    def napi_create_int32(self, e: int, value: int, r: int) -> int:
        return self.give(r, value - (value >> 31 << 32))

    def napi_get_boolean(self, e: int, value: int, r: int) -> int:
        return self.give(r, bool(value))

    def napi_create_function(self, e: int, name: int, size: int, cb: int, data: int, r: int) -> int:
        return self.give(r, Function(cb=cb, data=data))

    def napi_define_class(self, e: int, n: int, size: int, cb: int, data: int, count: int, props: int, r: int) -> int:
        return self.give(r, Function(cb=cb, data=data))

    def napi_typeof(self, e: int, value: int, r: int) -> int:
        found = self.handles[value]
        if found is UNDEFINED or found is None:
            return self.put(r, int(found is None))
        kinds = (7,) if isinstance(found, Function) else (kind for type_, kind in _KINDS if isinstance(found, type_))
        return self.put(r, next(iter(kinds), 6))

    def napi_is_typedarray(self, e: int, value: int, r: int) -> int:
        return self.put(r, 0, 1)

    def napi_get_value_uint32(self, e: int, value: int, r: int) -> int:
        found = self.handles[value]
        return self.put(r, found) if isinstance(found, int) else NUMBER_EXPECTED

    napi_get_value_int32 = napi_get_value_uint32

    def napi_get_value_string_utf8(self, e: int, value: int, at: int, room: int, r: int) -> int:
        if not isinstance(self.handles[value], str):
            return STRING_EXPECTED
        data = self.handles[value].encode()
        if at:
            data = data[: room - 1]
            self.process.instance.memory.write(at, data + b"\0")
        return self.put(r, len(data))

    def napi_coerce_to_object(self, e: int, value: int, r: int) -> int:
        return self.put(r, value)

    def napi_coerce_to_string(self, e: int, value: int, r: int) -> int:
        found = self.handles[value]
        return self.give(r, "undefined" if found is UNDEFINED else str(found))

    # Objects -------------------------------------------------------------------------------------------------------

    def napi_set_named_property(self, e: int, target: int, name: int, value: int) -> int:
        self.handles[target][self.text(name)] = self.handles[value]
        return OK

    def napi_define_properties(self, e: int, target: int, count: int, at: int) -> int:
        for place in range(at, at + 32 * count, 32):
            text, name, cb, _, _, value, _, data = [self.get(place + offset) for offset in range(0, 32, 4)]
            key = self.text(text) if text else self.handles[name]
            self.handles[target][key] = Function(cb=cb, data=data) if cb else self.handles[value]
        return OK

    def napi_get_named_property(self, e: int, target: int, name: int, r: int) -> int:
        return self.give(r, self.handles[target].get(self.text(name), UNDEFINED))

    def napi_has_own_property(self, e: int, target: int, key: int, r: int) -> int:
        return self.put(r, self.handles[key] in self.handles[target], 1)

    def napi_get_cb_info(self, e: int, info: int, count: int, argv: int, this: int, data: int) -> int:
        function, args = self.handles[info]
        for place in range(self.get(count) if count else 0):
            self.put(argv + 4 * place, self.handle(args[place]) if place < len(args) else 1)
        self.put(count, len(args))
        self.put(this, 1)
        return self.put(data, function.data)

    def napi_wrap(self, e: int, target: int, native: int, finalize: int, hint: int, r: int) -> int:
        self.wrapped[id(self.handles[target])] = native
        return self.put(r, target)

    def napi_unwrap(self, e: int, target: int, r: int) -> int:
        return self.put(r, self.wrapped[id(self.handles[target])])

    def napi_create_reference(self, e: int, value: int, count: int, r: int) -> int:
        return self.put(r, value)

    def napi_get_reference_value(self, e: int, reference: int, r: int) -> int:
        return self.put(r, reference)

    # Errors and promises -------------------------------------------------------------------------------------------

    def napi_create_error(self, e: int, code: int, text: int, r: int) -> int:
        return self.give(r, JsError(self.handles[text]))

    def napi_throw(self, e: int, error: int) -> int:
        self.thrown = self.handles[error]
        return OK

    def napi_throw_error(self, e: int, code: int, text: int) -> int:
        self.thrown = JsError(self.text(text))
        return OK

    def napi_is_exception_pending(self, e: int, r: int) -> int:
        return self.put(r, self.thrown is not None, 1)

    def napi_is_error(self, e: int, value: int, r: int) -> int:
        return self.put(r, isinstance(self.handles[value], JsError), 1)

    def napi_create_promise(self, e: int, deferred: int, r: int) -> int:
        self.give(r, Promise())
        return self.put(deferred, len(self.handles) - 1)

    def napi_resolve_deferred(self, e: int, deferred: int, value: int) -> int:
        promise = self.handles[deferred]
        promise.kept, promise.open = self.handles[value], False
        return OK

    def napi_reject_deferred(self, e: int, deferred: int, value: int) -> int:
        promise = self.handles[deferred]
        promise.broken, promise.open = self.handles[value], False
        return OK

    # Threads -------------------------------------------------------------------------------------------------------

    def _emnapi_async_send_js(self, kind: int, cb: int, data: int) -> None:
        self.jobs.put((cb, data))

    def _emnapi_async_work_pool_size(self) -> int:
        return 3

    def _emnapi_get_now(self) -> float:
        return time.time() * 1000

    def host(self, module: Module) -> HostModule[None]:
        """What `module` imports from `env`."""
        host = HostModule("env")
        for room, name, type_ in module.imports:
            if room == "env" and isinstance(type_, FuncType) and name not in ("_emnapi_callback_into_module", MAIN):
                host.function(name=name)(_typed(name, type_, getattr(self, name, None) or _other(name, type_)))

        @host.restartable
        def _emnapi_callback_into_module(
            ctx: Context, force: u32, e: u32, cb: FuncRef[[u32, u32], None], data: u32, close: u32
        ) -> Steps[None]:
            yield from call(cb, e, data)

        @host.function(name=MAIN)
        def is_main(ctx: Context) -> u32:
            return int(ctx._caller is self.process.instance._raw)

        return host


MAIN = "_emnapi_is_main_runtime_thread"
#: Scopes and counts of handles: here all are kept.
QUIET = (
    "napi_open_handle_scope", "napi_close_handle_scope", "napi_delete_reference", "napi_reference_unref",
    "napi_remove_wrap",
)  # fmt: skip


def _other(name: str, type_: FuncType) -> Callable[..., int | None]:
    """Where there is nothing to do, it went well; what else isn't here was not needed so far."""
    if not name.startswith("_emnapi") and name not in QUIET:

        def missing(*args: object) -> int:
            raise LookupError(name)

        return missing
    return lambda *args: OK if type_.results else None


def _typed(name: str, type_: FuncType, body: Callable[..., Any]) -> Callable[..., Any]:
    """`body` as a host function of this type."""

    def function(ctx: Any, *args: Any) -> Any:
        return body(*args)

    names = [f"a{place}" for place in range(len(type_.params))]
    hints = {"ctx": Context} | {name: _LETTERS[str(kind)] for name, kind in zip(names, type_.params, strict=True)}
    result = _LETTERS[str(type_.results[0])] if type_.results else None
    function.__name__, function.__annotations__ = name, {**hints, "return": result}
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=hints[each]) for each in hints]
    )
    return function


class Addon:
    """A native module, loaded; its functions are called from one thread, and have threads of their own."""

    def __init__(self, module: Module) -> None:
        self.napi = napi = Napi()
        emnapi = HostModule("emnapi")
        emnapi.function(name="emnapi_is_node_binding_available")(
            _typed("emnapi_is_node_binding_available", dict_of(module)["emnapi_is_node_binding_available"], lambda: 0)
        )
        self.process = napi.process = Process(module, [wasi(), threads(), napi.host(module), emnapi])
        if self.process._starting is not None:
            self.process._starting.run()
        self.exports: dict[str, Any] = {}
        export = self.process.instance.call
        for name in self.process.instance.exports:
            if str(name).startswith("__napi_register__"):
                export(str(name))
        export("_initialize")
        self.env = export("emnapi_create_env")
        export("napi_register_wasm_v1", self.env, napi.handle(self.exports))

    def _at(self, place: int) -> Func:
        raw = self.process.instance._raw
        return Func(raw.tables[0].get(place), self.process.instance._store)  # type: ignore[arg-type]

    def call(self, name: str, *args: object) -> Any:
        """What a function gives. Raises JsError where it throws."""
        function, napi = self.exports[name], self.napi
        found: Any = self._at(function.cb).call(self.env, napi.handle((function, args)))
        thrown, napi.thrown = napi.thrown, None
        if thrown is not None:
            raise thrown
        return napi.handles[found]

    def settled(self, *promises: Promise) -> list[object]:
        """What was promised: the loop of the main thread, until all is known."""
        while any(promise.open for promise in promises):
            cb, data = self.napi.jobs.get(timeout=PATIENCE)
            self._at(cb).call(data)
        return [promise.kept for promise in promises]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.close()


def dict_of(module: Module) -> dict[str, FuncType]:
    """The types of the functions that a module imports, by name."""
    return {name: type_ for _, name, type_ in module.imports if isinstance(type_, FuncType)}


__all__ = ["Addon", "JsError", "Promise"]
