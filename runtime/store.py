"""A store (spec 4.2.3): owns what an embedder made together, under one set of limits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import lean
from .engine import Engine
from .errors import Trap, TrapCode
from .exec.context import ExecContext
from .exec.counters import Counters
from .exec.here import current
from .exec.poll import Requests
from .exec.stack import CALLBACK, near_end
from .instances.door import Terms
from .instances.group import Word
from .instances.instance import Instance
from .limits import Limits

if TYPE_CHECKING:
    from .exec.inject import Injector

#: Contexts that a store keeps: more than one only for several threads.
_SPARE = 4


@lean.define(eq=False)
class Store:
    """Limits, counters and the engine for a number of instances. Executions of one store may run on several threads,
    each instance on one at a time."""

    engine: Engine
    limits: Limits
    counters: Counters
    instances: list[Instance]
    #: Not 0 while calls need more than a short way in gives; see `terms`.
    hold: Word | None
    _injector: Injector | None
    #: Contexts of calls that have returned, for the next ones: making one costs as much as a short call.
    _spare: list[ExecContext]

    def __init__(
        self, engine: Engine | None = None, limits: Limits | None = None, injector: Injector | None = None
    ) -> None:
        self.engine = engine or Engine()
        self.limits = limits or Limits()
        self.counters = Counters(count_wasm_calls=self.engine.config.count_wasm_calls)
        self.instances = []
        self.hold = None
        self._injector = injector or self.engine.config.injector
        self._spare = []

    @property
    def injector(self) -> Injector | None:
        """Restarts to inject into executions that begin from now on; at first the engine's."""
        return self._injector

    @injector.setter
    def injector(self, value: Injector | None) -> None:
        self._injector = value
        if self.hold is not None:
            self.hold.value = value is not None

    def context(self) -> ExecContext:
        """A fresh execution. Made inside a host function, it is nested in the one that runs there: it inherits its
        limits, requests and depth.

        Raises Trap where such calls are nested too deeply: each takes its share of the Python stack.
        """
        above = current()
        if above is None and self._spare and self.limits.steps is None:
            spare = self._spare.pop()
            spare.requests.injector = self.injector
            return spare
        config = self.engine.config
        if above is not None:
            if above.nesting >= above.limits.nesting or near_end(CALLBACK):
                raise Trap(TrapCode.STACK_OVERFLOW, f"{TrapCode.STACK_OVERFLOW.value}: plain calls in host functions")
            requests = Requests.nested(above.requests)
            return ExecContext(
                above.tier, above.limits, requests, above.driver, self.counters, config.callbacks,
                depth=above.depth, nesting=above.nesting + 1, cells=above.cells,
            )  # fmt: skip
        requests = Requests(config.clock, self.injector, signals=config.signals)
        if self.limits.steps is not None:
            requests.steps = [self.limits.steps]
        return ExecContext(self.engine.tier, self.limits, requests, self.engine.driver, self.counters, config.callbacks)

    def terms(self) -> Terms | None:
        """What a short way into machine code has to know of the executions that it stands for; None where calls have
        to go the long way."""
        config = self.engine.config
        if self.limits.steps is not None or config.signals or self.counters.count_wasm_calls:
            return None
        if self.hold is None:
            import ctypes

            self.hold = ctypes.c_uint64(self.injector is not None)
        return Terms(self.limits, self.hold)

    def recycle(self, ctx: ExecContext) -> None:
        """Take back the context of a call that has returned. Nobody may hold it any more."""
        requests = ctx.requests
        if requests.parent is None and requests.exit_code is None and requests.steps is None:
            ctx.reuse()
            # Two threads at once may leave one more than enough.
            if len(self._spare) < _SPARE and not ctx.parked:
                self._spare.append(ctx)
