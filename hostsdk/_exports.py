"""Exported functions as an embedder calls them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ._adaptor import lifting, lowering
from ._engine import (
    Engine,
    ExecContext,
    Func,
    FuncType,
    HostFunc,
    Interrupt,
    State,
    Terms,
    WasmFunc,
    arguments,
    control,
    handle_restart,
    python_results,
    run_through,
)
from ._engine import Returned as RuntimeReturned
from ._execution import Execution
from ._messages import Text
from ._types import Argument

if TYPE_CHECKING:
    from ._embed import Instance


class Export:
    """An exported function, to be called with positional arguments."""

    # Slots alone: a class derived from it has a place for machine code behind them.
    __slots__ = ("__weakref__", "_door", "_instance", "_lift", "_lower", "func", "name")

    def __init__(self, instance: Instance, name: str, func: Func) -> None:
        self._instance = instance
        self.name = name
        self.func = func
        self._lower = lowering(func.type)
        self._lift = lifting(func.type)
        self._door = _Door(self)

    def _listen(self) -> None:
        """From now on there may be a shorter way in."""
        inst = self.func.inst
        if isinstance(inst, WasmFunc) and inst.instance.owner is self._instance:
            inst.instance.open(inst.code.index, self._door)

    @property
    def type(self) -> FuncType:
        """Parameter and result types."""
        return self.func.type

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(
        self,
        *args: Argument,
        interrupt: Interrupt | None = None,
        timeout: float | None = None,
        steps: int | None = None,
    ) -> Any:
        """`Instance.call` of this export."""
        instance = self._instance
        if instance._closed or instance._raw.abandoned is not None:
            instance._check_usable()
        func, canonical = self.func, self._lower(args)
        if canonical is None:
            canonical = arguments(func.type, args, self.name)
        ctx = instance._store.context()
        ctx.next_call = func.inst, canonical
        if steps is not None:
            ctx.allow(steps)
        try:
            outcome = run_through(ctx, interrupt, timeout)
            if type(outcome) is not RuntimeReturned:
                return instance._unusual(Execution(instance, self.name, args, ctx), outcome)
        except BaseException:
            if ctx.state is State.SUSPENDED:  # Ctrl-C, after the guest had come back: nobody else can go on with it
                control.drop(ctx)
            raise
        instance._store.recycle(ctx)
        if self._lift is not None:
            return self._lift(outcome.values)
        return python_results(func.type, outcome.values, instance._store)

    def __repr__(self) -> str:
        return f"<Export {self.name} {self.type!r}>"


class _Door:
    """An export as the engine sees it, which may give it a shorter way into machine code: an `instances.door.Door`."""

    __slots__ = ("callable", "way")

    def __init__(self, export: Export) -> None:
        self.callable = export
        self.way: Any = None

    @property
    def type(self) -> FuncType:
        """Parameter and result types."""
        return self.callable.func.type

    def terms(self) -> Terms | None:
        """What the executions of its calls have in common."""
        instance = self.callable._instance
        return None if instance._closed or instance._raw.abandoned is not None else instance._store.terms()

    def fresh(self) -> ExecContext:
        """An execution for a call that is under way already."""
        return self.callable._instance._store.context()

    def ended(self, ctx: ExecContext, outcome: Any, args: tuple[Any, ...]) -> Any:
        """The end of a call that came in by the shorter way."""
        export, instance = self.callable, self.callable._instance
        if type(outcome) is not RuntimeReturned:
            outcome = handle_restart(ctx, outcome)
        if type(outcome) is not RuntimeReturned:
            return instance._unusual(Execution(instance, export.name, args, ctx), outcome)
        instance._store.recycle(ctx)
        return python_results(export.func.type, outcome.values, instance._store)

    def shut(self) -> None:
        """Every call goes the long way from now on."""
        if self.way is not None:
            self.way.close()


class _TracedExport(Export):
    """One whose calls are noted."""

    __slots__ = ()

    def __call__(
        self,
        *args: Argument,
        interrupt: Interrupt | None = None,
        timeout: float | None = None,
        steps: int | None = None,
    ) -> Any:
        with self._instance._noted(f"{self.name}({', '.join(map(repr, args))})") as ended:
            result = super().__call__(*args, interrupt=interrupt, timeout=timeout, steps=steps)
            ended.append(f"-> {result!r}")
        return result


def export_class(engine: Engine, traced: bool) -> type[Export]:
    """The class of an engine's exports."""
    return _TracedExport if traced else engine.tier.quick(Export)


class Exports(Mapping[str, Export]):
    """The functions that an instance exports, by attribute or by key. Each is made when it is first asked for."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._made: dict[str, Export] = {}

    def _find(self, name: str) -> Export | None:
        found = self._made.get(name)
        if found is None:
            instance = self._instance
            extern = instance._raw.exports.get(name)
            if isinstance(extern, (WasmFunc, HostFunc)):
                # Whoever comes first, all have the same.
                make = export_class(instance._store.engine, instance._trace is not None)
                found = self._made.setdefault(name, make(instance, name, Func(extern, instance._store)))
                found._listen()
        return found

    def _func(self, name: str) -> Func | None:
        """The function alone, for a call that is run step by step."""
        made, instance = self._made.get(name), self._instance
        if made is not None:
            return made.func
        extern = instance._raw.exports.get(name)
        return Func(extern, instance._store) if isinstance(extern, (WasmFunc, HostFunc)) else None

    def __getitem__(self, name: str) -> Export:
        found = self._find(name)
        if found is None:
            raise KeyError(name)
        return found

    def __getattr__(self, name: str) -> Export:
        found = self._find(name)
        if found is None:
            raise AttributeError(Text.NO_EXPORT(name=name))
        return found

    def __iter__(self) -> Iterator[str]:
        exports = self._instance._raw.exports
        return iter([name for name, extern in exports.items() if isinstance(extern, (WasmFunc, HostFunc))])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _told(self) -> None:
        """What machine code has done without telling is told."""
        for export in list(self._made.values()):
            if export._door.way is not None:
                export._door.way.told()
                return

    def _shut(self) -> None:
        """The instance is closed."""
        for export in list(self._made.values()):
            export._door.shut()
