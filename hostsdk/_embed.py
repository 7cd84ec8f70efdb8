"""`Instance`: what an embedder calls."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

from ._annotations import Place, guest_type
from ._binding import Binding
from ._engine import (
    ByType,
    Clock,
    Counters,
    Engine,
    ExitRequested,
    Func,
    FuncType,
    Global,
    HostFunc,
    InstanceAbandoned,
    Interrupt,
    Limits,
    Log,
    Memory,
    RuntimeInstance,
    SnapshotError,
    StateError,
    Store,
    Table,
    TagInst,
    Unfinished,
    WasmError,
    WasmException,
    WasmFunc,
    begin_instantiation,
    conclude,
    control,
    render,
    run_through,
    unshare,
)
from ._engine import Returned as RuntimeReturned
from ._errors import MissingExport
from ._execution import Execution
from ._exports import Export, Exports
from ._functions import Functions
from ._loaded import Module
from ._messages import Text
from ._module import HostModule
from ._outcomes import Returned, stopped
from ._resource_kinds import load_resources
from ._resources import ResourceTable
from ._types import Argument, FuncRef, P, W, Wasm

if TYPE_CHECKING:
    from ._engine import snapshot
    from ._trace import Trace

#: What an import may be given as: another instance's exports, or the like by name.
Imports: TypeAlias = Mapping[str, Mapping[str, object]]
_LIMITS = Limits()
_calls = Log("hostsdk.calls")
#: Seconds after which a guest that computes gives up its turn in an event loop.
TURN = 0.005


class Instance:
    """A module made ready to run, with the host modules that it imports from.

    A context manager: closing it ends the host modules' states and resources. One thread at a time.
    """

    # What `close` looks at: Ctrl-C may end the making of an instance before its first step.
    _closed: bool = False
    _sharing: Instance | None = None
    _bindings: Sequence[Binding] = ()

    def __init__(
        self,
        module: Module,
        hosts: Sequence[HostModule[Any]] = (),
        *,
        limits: Limits = _LIMITS,
        engine: Engine | None = None,
        imports: Imports | None = None,
        interrupt: Interrupt | None = None,
        timeout: float | None = None,
        trace: Trace | None = None,
    ) -> None:
        """Link, and run the start function; `interrupt` and `timeout` (seconds) hold for that. `trace` is told what the
        instance does.

        Raises UnlinkableError naming every import that is missing, LimitError, Trap, and what a plain call raises.
        """
        try:
            execution = self._link(module, hosts, limits, engine, imports, trace)
            if execution is not None:
                outcome = run_through(execution._context, interrupt, timeout)
                if not isinstance(outcome, RuntimeReturned):
                    self._unusual(execution, outcome)
        except BaseException:
            self.close()
            raise

    @classmethod
    def begin(
        cls,
        module: Module,
        hosts: Sequence[HostModule[Any]] = (),
        *,
        limits: Limits = _LIMITS,
        engine: Engine | None = None,
        imports: Imports | None = None,
        trace: Trace | None = None,
    ) -> tuple[Self, Execution | None]:
        """Link only: the instance, and the execution of its start function where it has one, to be run step by step.
        Nothing else may be called before that has returned.

        Raises UnlinkableError, LimitError, and Trap for an active segment that doesn't fit.
        """
        self = cls.__new__(cls)
        try:
            return self, self._link(module, hosts, limits, engine, imports, trace)
        except BaseException:
            self.close()
            raise

    @classmethod
    async def create(
        cls,
        module: Module,
        hosts: Sequence[HostModule[Any]] = (),
        *,
        limits: Limits = _LIMITS,
        engine: Engine | None = None,
        imports: Imports | None = None,
        interrupt: Interrupt | None = None,
        timeout: float | None = None,
    ) -> Self:
        """An instance, whose start function runs as `call_async` runs a call. Raises what making an instance raises."""
        self, execution = cls.begin(module, hosts, limits=limits, engine=engine, imports=imports)
        try:
            if execution is not None:
                await _in_loop()(execution, interrupt, timeout, TURN)
        except BaseException:
            self.close()
            raise
        return self

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], hosts: Sequence[HostModule[Any]] = (), *, limits: Limits = _LIMITS
    ) -> Self:
        """An instance of the module in a file. Raises OSError, what `Module.from_bytes` raises, and what making an
        instance raises."""
        return cls(Module.from_file(path), hosts, limits=limits)

    def _link(
        self,
        module: Module,
        hosts: Sequence[HostModule[Any]],
        limits: Limits,
        engine: Engine | None,
        imports: Imports | None,
        trace: Trace | None,
    ) -> Execution | None:
        self._begin(module, hosts, limits, engine, trace)
        return self._linking(imports or {})

    def _linking(self, imports: Imports) -> Execution | None:
        self._given = imports
        begun = begin_instantiation(self._store, self.module._raw, self._look_up(imports))
        self._linked(begun.instance)
        return None if begun.start is None else Execution(self, "(start)", (), begun.start)

    def _again(self) -> tuple[Instance, Execution | None]:
        """The module once more, for another thread: with the same imports and limits, and with this instance's states
        and resources, which stay this one's. As `begin` gives it; raises what that raises."""
        other = type(self).__new__(type(self))
        try:
            hosts = [binding.module for binding in self._bindings]
            other._begin(self.module, hosts, self._store.limits, self._store.engine, self._trace, self)
            return other, other._linking(self._given)
        except BaseException:
            other.close()
            raise

    def _begin(
        self,
        module: Module,
        hosts: Sequence[HostModule[Any]],
        limits: Limits,
        engine: Engine | None,
        trace: Trace | None,
        sharing: Instance | None = None,
    ) -> None:
        self.module = module
        self._sharing = sharing
        self._trace = trace = trace or _implied()
        engine = engine or _default_engine()
        #: Live objects under numbers that the guest holds, shared by the host modules.
        self.resources: ResourceTable = ResourceTable() if sharing is None else sharing.resources
        #: The process whose thread this instance belongs to.
        self._process: Any = None if sharing is None else sharing._process
        self._bindings = bindings = list[Binding]()
        self._store: Store = Store(engine if trace is None or sharing is not None else trace.engine(engine), limits)
        #: Of all host modules.
        self._functions = Functions(trace)
        self._tags: dict[tuple[str, str], TagInst] = {}
        for host in hosts:
            state = host.make_state() if sharing is None else sharing.state(host)
            binding = Binding(host, state, self.resources, self)
            bindings.append(binding)
            for name, tag in host.tags.items():
                self._tags[host.name, name] = tag
            self._functions.add(binding)

    def _look_up(self, imports: Imports) -> ByType:
        def find(module: str, name: str, type_: object) -> Any:
            bound = self._functions.find(module, name, type_)
            if bound is not None:
                return bound.func
            if (module, name) in self._tags:
                return self._tags[module, name]
            given = imports.get(module, {}).get(name)
            if isinstance(given, Export):
                return given.func.inst
            return given.inst if isinstance(given, (Func, Memory, Table, Global)) else given

        return ByType(find)

    def _linked(self, raw: RuntimeInstance) -> None:
        self._raw = raw
        raw.owner = self
        for binding in self._bindings:
            binding.guest = raw
        #: Exported functions.
        self.exports = Exports(self)

    # Calling -------------------------------------------------------------------------------------------------------

    def call(
        self,
        name: str,
        *args: Argument,
        interrupt: Interrupt | None = None,
        timeout: float | None = None,
        steps: int | None = None,
    ) -> Any:
        """Call an export to its end: None, the result, or a tuple of several. Integers are signed.

        `steps` is a budget of WebAssembly instructions, the same on every machine; using it up is a trap.

        Raises Trap; a host function's own exception; `Timeout`, `CallInterrupted` or `Unanswered`, after dropping the
        execution; `ExitRequested` where the guest asked to exit; MissingExport, TypeError, OverflowError for a call
        that can't begin; ReentrancyError and InstanceAbandoned.
        """
        export = self.exports._find(name)
        if export is None:
            raise MissingExport(Text.NO_EXPORT(name=name))
        if interrupt is None and timeout is None and steps is None:
            return export(*args)
        return export(*args, interrupt=interrupt, timeout=timeout, steps=steps)

    def start(self, name: str, *args: Argument) -> Execution:
        """A call to be run step by step, kept and saved. Nothing has run yet. Raises MissingExport, TypeError,
        OverflowError and InstanceAbandoned."""
        self._check_usable()
        return Execution(self, name, args, self._function(name).start(*args))

    async def call_async(
        self,
        name: str,
        *args: Argument,
        interrupt: Interrupt | None = None,
        timeout: float | None = None,
        steps: int | None = None,
        turn: float = TURN,
    ) -> Any:
        """`call`, for the running event loop. What the guest waits for, the loop waits for, and others have their turn
        meanwhile; where the guest computes, they have it after each `turn` seconds. Cancelled, the call is dropped, and
        its host functions have cleaned up when this raises CancelledError.

        Raises what `call` raises.
        """
        execution = self.start(name, *args)
        if steps is not None:
            execution._context.allow(steps)
        return await _in_loop()(execution, interrupt, timeout, turn)

    async def main_async(
        self, *, interrupt: Interrupt | None = None, timeout: float | None = None, turn: float = TURN
    ) -> int:
        """`main`, for the running event loop. Raises what `call_async` raises."""
        try:
            await self.call_async("_start", interrupt=interrupt, timeout=timeout, turn=turn)
        except ExitRequested as exit_:
            return exit_.code
        return 0

    def func(self, name: str, kind: type[FuncRef[P, W]]) -> Callable[P, W]:
        """An export under a type that is checked now and known to type checkers:
        `inst.func("run", FuncRef[[i32], i32])`. Raises MissingExport where there is none of this type."""
        callee = guest_type(kind, Place("Instance", f"func({name!r})"))
        have = self._function(name).type
        if have != callee.type:
            raise MissingExport(Text.EXPORT_TYPE(name=name, have=have, want=callee.type))
        return cast("Callable[P, W]", self.exports[name])

    def main(self, *, interrupt: Interrupt | None = None, timeout: float | None = None) -> int:
        """Run a command, the export `_start`; its exit code, 0 where it returns. Raises what `call` raises."""
        try:
            self.call("_start", interrupt=interrupt, timeout=timeout)
        except ExitRequested as exit_:
            return exit_.code
        return 0

    def _unusual(self, execution: Execution, outcome: object) -> Wasm:
        """A plain call that has not returned: raises what it is to raise."""
        context = execution._context
        execution._outcome = execution._convert(outcome)
        try:
            return conclude(context, outcome)  # type: ignore[arg-type,return-value]  # it never returns values here
        except Unfinished as unfinished:
            suspended = unfinished.outcome
        except Exception as error:
            if context.trace and (isinstance(error, WasmException) or not isinstance(error, WasmError)):
                error.add_note("WebAssembly backtrace, innermost first:\n" + render(context.trace))
            raise
        from ._explain import Moment  # most calls return

        explanation = Moment(execution)
        execution.drop()
        raise stopped(execution, suspended.reason, explanation)

    def _conclude(self, execution: Execution, outcome: object) -> Any:
        """What a plain call gives or raises for the outcome that `execution` came to."""
        if not isinstance(outcome, RuntimeReturned):
            return self._unusual(execution, outcome)
        execution._outcome = returned = execution._convert(outcome)
        values = returned.values if isinstance(returned, Returned) else ()
        return values[0] if len(values) == 1 else values or None

    @contextmanager
    def _noted(self, call: str) -> Iterator[list[str]]:
        """For the trace: a call from the embedder, or a run of one; what it came to is to be put into the list."""
        trace, clock = self._trace, self._store.engine.config.clock.monotonic
        ended: list[str] = []
        if trace is None:
            yield ended
            return
        start = trace.begin(clock())
        try:
            yield ended
        except BaseException as error:
            ended.append(f"raised {type(error).__name__}")
            raise
        finally:
            text = "".join(ended)
            trace.note("guest", call, start, clock(), f"{call} {text}", ended=text)

    def _function(self, name: str) -> Func:
        if name == "(start)":
            start = self._raw.module.decls.start
            return Func(self._raw.funcs[start or 0], self._store)
        func = self.exports._func(name)
        if func is None:
            raise MissingExport(Text.NO_EXPORT(name=name))
        return func

    def _check_usable(self) -> None:
        if self._closed:
            raise StateError("the instance is closed")
        if self._raw.abandoned is not None:
            raise InstanceAbandoned(
                f"{self._raw.abandoned}, and its stack pointer can't be told: make a new instance, or export "
                f"__stack_pointer from the guest"
            )

    # Looking -------------------------------------------------------------------------------------------------------

    @property
    def stats(self) -> Counters:
        """What has been done so far, exactly counted."""
        control.current()  # what machine code on this thread has not told yet is told
        self.exports._told()
        return self._store.counters

    @property
    def memory(self) -> Memory:
        """The export `memory`. Raises MissingExport where there is none."""
        found: Memory = self.extern("memory", Memory)
        return found

    def extern(self, name: str, kind: type[Any]) -> Any:
        """An exported `Memory`, `Table`, `Global` or `ExceptionTag`. Raises MissingExport where there is none of this
        kind."""
        extern: Any = self._raw.exports.get(name)
        made: object = None
        if kind is TagInst or isinstance(extern, TagInst):
            made = extern if kind is TagInst and isinstance(extern, TagInst) else None
        elif kind is Memory and hasattr(extern, "data"):
            made = Memory(extern)
        elif kind in (Table, Global) and extern is not None and not isinstance(extern, (WasmFunc, HostFunc)):
            made = kind(extern, self._store)
        if made is None:
            raise MissingExport(f"the guest has no {kind.__name__.lower()} {name!r} among its exports")
        return made

    def state(self, host: HostModule[Any]) -> Any:
        """A host module's state for this instance. Raises KeyError for one that was not given to it."""
        for binding in self._bindings:
            if binding.module is host:
                return binding.state
        raise KeyError(host.name)

    # Ending --------------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Drop what is suspended here, close resources and the host modules' states, each once. Further calls raise
        StateError. The first error of a cleanup is raised when all is done. Raises ReentrancyError, and does nothing,
        while a call runs, on whichever thread."""
        if self._closed:
            return
        if hasattr(self, "_raw"):
            control.shut(self._raw)
        self._closed = True
        if hasattr(self, "exports"):
            self.exports._shut()
        errors: list[BaseException] = []
        raw = getattr(self, "_raw", None)
        for context in reversed(raw.group.root().active) if raw is not None else ():
            _attempt(errors, partial(control.drop, context))
        if self._sharing is not None:
            self._bindings = ()
            if raw is not None:
                unshare(raw)
        elif hasattr(self, "resources"):
            _attempt(errors, self.resources.close_all)
        for binding in reversed(self._bindings):
            _attempt(errors, partial(binding.module.close_state, binding.state))
        if errors:
            raise errors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # Saving --------------------------------------------------------------------------------------------------------

    def _save_hosts(self) -> dict[str, object]:
        saved: dict[str, object] = {}
        for binding in self._bindings:
            hook = binding.module.save_hook
            if hook is not None:
                saved[binding.module.name] = hook(binding.state)
            elif binding.state is not None:
                raise SnapshotError(
                    f"the state of host module {binding.module.name} can't be saved: it has no @save hook"
                )
        return saved

    @classmethod
    def _adopt(
        cls,
        data: bytes,
        modules: Sequence[Module],
        hosts: Sequence[HostModule[Any]],
        limits: Limits | None,
        engine: Engine | None,
        trace: Trace | None,
    ) -> tuple[Instance, Any]:
        from ._engine import snapshot  # few guests are loaded

        self = cls.__new__(cls)
        try:
            self._begin(modules[0], hosts, limits or _LIMITS, engine, trace)
            home = self._home()
            restored = snapshot.load(data, {m.hash: m._raw for m in modules}, home.hosts, home.store, home.tags)
            if not isinstance(restored.extra, dict) or "hosts" not in restored.extra:
                raise SnapshotError("this is a snapshot of a process: Process.load goes on with it")
            self._linked(restored.instances[0])
            self._load_hosts(restored.extra, self._store.engine.config.clock)
        except BaseException:
            self.close()
            raise
        return self, restored

    def _home(self) -> snapshot.Home:
        """What an execution of this instance, which has begun, is restored into."""
        from ._engine import snapshot

        def find(module: str, name: str, type_: FuncType) -> HostFunc | None:
            bound = self._functions.find(module, name, type_)
            return None if bound is None else bound.func

        return snapshot.Home(self._store, find, lambda module, name, type_: self._tags.get((module, name)))

    def _load_hosts(self, extra: Any, clock: Clock) -> None:
        """Make the host modules' states and the resources again that were saved."""
        for binding in self._bindings:
            module, name = binding.module, binding.module.name
            if module.load_hook is not None and name in extra["hosts"]:
                module.close_state(binding.state)
                binding.state = module.load_state(extra["hosts"][name], clock)
        load_resources(self.resources, extra["resources"], self._bindings)


_engines: dict[str, Engine] = {}


def _default_engine() -> Engine:
    """The one for all who give none, whichever thread comes first."""
    return _engines.get("") or _engines.setdefault("", Engine())


def _implied() -> Trace | None:
    """The trace of instances for which none was asked: to the logger `hostsdk.calls`, where that is at DEBUG."""
    if not _calls.detailed:
        return None
    from ._trace import Trace

    return Trace(_calls.debug, keep=False)


def _in_loop() -> Callable[..., Awaitable[Any]]:
    """What runs an execution in an event loop. Who doesn't use asyncio doesn't wait for its import."""
    from ._drivers.aio import finish

    return finish


def _attempt(errors: list[BaseException], step: Callable[[], object]) -> None:
    try:
        step()
    except BaseException as error:  # every other cleanup is to run all the same, Ctrl-C or not
        errors.append(error)


Execution._adopt = Instance._adopt
__all__ = ["Export", "Exports", "Instance"]
