"""Instantiation as an execution: the start function can be interrupted, timed out and resumed like any call."""

from __future__ import annotations

from functools import partial

from . import lean
from .calls import finish
from .exec import run as running
from .exec.context import ExecContext
from .exec.interrupt import Interrupt
from .externs import Func
from .instances.instance import Instance
from .linking.imports import Imports
from .linking.instantiate import instantiate as link
from .module import Module
from .store import Store


@lean.frozen
class Instantiation:
    """A linked instance, and the execution of its start function where it has one.

    The instance must not be called before that execution has returned.
    """

    instance: Instance
    start: ExecContext | None


def begin_instantiation(store: Store, module: Module, imports: Imports) -> Instantiation:
    """Link, allocate and fill; the start function is left to be run.

    Raises UnlinkableError or LimitError (nothing has happened), or Trap from an active segment.
    """
    engine = store.engine
    engine.tier.expect(module)
    places = engine.tier.places(module)
    prepared = link(module, imports, store.limits, engine.config.prealloc_shared_memory, places)
    store.instances.append(prepared.instance)
    prepared.instance.shown = partial(Func, store=store)
    if prepared.start is None:
        return Instantiation(prepared.instance, None)
    return Instantiation(prepared.instance, running.prepare(store.context(), prepared.start, ()))


def instantiate(
    store: Store,
    module: Module,
    imports: Imports,
    interrupt: Interrupt | None = None,
    timeout: float | None = None,
) -> Instance:
    """Instantiate and run the start function to its end.

    Raises what `begin_instantiation` raises, and what a plain call of the start function raises.
    """
    begun = begin_instantiation(store, module, imports)
    if begun.start is not None:
        finish(begun.start, interrupt, timeout)
    return begun.instance
