"""A store (spec 4.2.3): owns what an embedder made together, under one set of limits."""

from __future__ import annotations

import attrs

from .engine import Engine
from .exec.context import ExecContext
from .exec.counters import Counters
from .exec.inject import Injector
from .exec.poll import Requests
from .exec.run import current
from .instances.instance import Instance
from .limits import Limits

#: Contexts that a store keeps: more than one only for several threads.
_SPARE = 4


@attrs.define(eq=False)
class Store:
    """Limits, counters and the engine for a number of instances. Executions of one store may run on several threads,
    each instance on one at a time."""

    engine: Engine = attrs.field(factory=Engine)
    limits: Limits = attrs.field(factory=Limits)
    counters: Counters = attrs.field(factory=Counters)
    instances: list[Instance] = attrs.field(factory=list)
    #: Restarts to inject into executions that begin from now on.
    injector: Injector | None = None
    #: Contexts of calls that have returned, for the next ones: making one costs as much as a short call.
    _spare: list[ExecContext] = attrs.field(factory=list, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.counters.count_wasm_calls = self.engine.config.count_wasm_calls

    def context(self) -> ExecContext:
        """A fresh execution. Made inside a host function, it is nested in the one that runs there: it inherits its
        limits, requests and depth."""
        above = current()
        config = self.engine.config
        if above is not None:
            requests = Requests.nested(above.requests)
            return ExecContext(
                above.tier, above.limits, requests, above.driver, self.counters, config.callbacks,
                depth=above.depth, nesting=above.nesting + 1, cells=above.cells,
            )  # fmt: skip
        if self._spare:
            spare = self._spare.pop()
            spare.requests.injector = self.injector
            return spare
        requests = Requests(config.clock, self.injector)
        return ExecContext(self.engine.tier, self.limits, requests, self.engine.driver, self.counters, config.callbacks)

    def recycle(self, ctx: ExecContext) -> None:
        """Take back the context of a call that has returned. Nobody may hold it any more."""
        requests = ctx.requests
        if requests.parent is None and requests.exit_code is None and len(self._spare) < _SPARE:
            ctx.reuse()
            self._spare.append(ctx)
