"""Guests with host functions of the SDK, in a world whose clock stands still, and ways of driving them to a place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias

from hostsdk import BlockingContext, Execution, HostModule, Instance, Limits, Module, Suspended
from hostsdk._types import Step
from hostsdk.testing import Every, Injector, Never, Scenario, World

from .build import wat

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
#: A memory under the name that C gives it.
MEMORY = '(memory (export "memory") 1)'


@functools.cache
def module(text: str) -> Module:
    """The module of `text`, what stands inside of `(module …)`."""
    return Module.from_bytes(wat(f"(module {text})"))


def table(*functions: str) -> str:
    """The function table of C, holding these functions from index 0."""
    return (
        f'(table (export "__indirect_function_table") {len(functions) + 1} funcref) '
        f"(elem (i32.const 0) func {' '.join(functions)})"
    )


def guest(
    text: str, *hosts: HostModule[Any], injector: Injector | None = None, limits: Limits | None = None, **world: Any
) -> Instance:
    """An instance in a world of its own; `world` as for `World.make`."""
    engine = World.make(injector or Never(), **world).engine
    return Instance(module(text), hosts, engine=engine, limits=limits or Limits())


def everywhere(text: str, *hosts: HostModule[Any], **world: Any) -> Instance:
    """An instance that is suspended at every check point."""
    return guest(text, *hosts, injector=Every(1), **world)


def place_of(execution: Execution) -> str:
    """What a suspended execution is in: `in func[1]`, `in h.nap, in wait sleep`."""
    top = execution._context.frames[-1]
    record = getattr(top, "record", None)
    pending = None if record is None else record.pending
    return f"in {top.func.name}" + ("" if pending is None else f", in {pending.kind} {pending.label}")


def run_to(execution: Execution, place: str) -> Suspended:
    """Resume at every check point until what it is suspended in has `place`."""
    for _ in range(1000):
        outcome = execution.run()
        if not isinstance(outcome, Suspended):
            raise AssertionError(f"never came to {place!r}, but: {outcome!r}")
        if place in place_of(execution):
            return outcome
    raise AssertionError(f"never came to {place!r}")


def finish(execution: Execution) -> Any:
    """Resume to the end: the outcome."""
    for _ in range(100_000):
        outcome = execution.run()
        if not isinstance(outcome, Suspended):
            return outcome
    raise AssertionError("it doesn't end")


def reload(execution: Execution, hosts: Sequence[HostModule[Any]], text: str, **options: Any) -> Execution:
    """Saved and loaded again."""
    engine = options.pop("engine", execution.instance._store.engine)
    return Execution.load(execution.save(), module(text), hosts, trusted=True, engine=engine, **options)


def scene(text: str, *hosts: HostModule[Any], limits: Limits | None = None, **options: Any) -> Scenario:
    """A scenario of this guest; `options` as for `Scenario`."""

    def make(world: World) -> Instance:
        return Instance(module(text), hosts, engine=world.engine, limits=limits or Limits())

    return Scenario(make, **options)


# One body in two styles ---------------------------------------------------------------------------------------------

STYLES = ("function", "generator")


def restartable(host: HostModule[Any], style: str, **options: Any) -> Decorator:
    """Decorator: registers a generator as it is, or, for the style "function", as a function that does the same steps
    by its context: entered again from the top, and left through its `finally` blocks when it suspends."""

    def register(fn: Callable[..., Any]) -> Callable[..., Any]:
        form = fn if style == "generator" else _as_function(fn)
        made: Callable[..., Any] = host.restartable(**{"name": fn.__name__, **options})(form)
        return made

    return register


def _as_function(fn: Callable[..., Any]) -> Callable[..., Any]:
    names = list(inspect.signature(fn).parameters)
    listed = ", ".join(names)
    scope: dict[str, Any] = {**fn.__globals__, "_fn": fn, "_drive": _drive, "BlockingContext": BlockingContext}
    # A variable of the enclosing function that an annotation may name.
    scope |= inspect.getclosurevars(fn).nonlocals
    exec(f"def function({listed}):\n    return _drive(_fn({listed}), {names[0]})\n", scope)
    function: Callable[..., Any] = scope["function"]
    hints = dict(fn.__annotations__)
    hints["return"] = hints["return"].removeprefix("Steps[").removesuffix("]")
    hints[names[0]] = hints[names[0]].replace("Context", "BlockingContext", 1)
    function.__annotations__ = hints
    return function


def _drive(steps: Generator[Step, Any, Any], ctx: BlockingContext[Any]) -> Any:
    try:
        step = next(steps)
        while True:
            try:
                value = step.op.now(ctx)  # type: ignore[attr-defined]  # every operation has it
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(value)
    except StopIteration as end:
        return end.value
