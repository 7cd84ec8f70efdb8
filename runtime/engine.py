"""The engine's configuration, and the only file that names concrete tiers."""

from __future__ import annotations

import logging
from typing import Literal

import attrs

from .exec.clock import SYSTEM_CLOCK, Clock
from .exec.inject import Injector
from .exec.tier import Tier
from .exec.wait import Driver, ThreadDriver
from .features import AVAILABLE, Feature
from .interp.tier import Interpreter
from .module import Module


@attrs.frozen
class EngineConfig:
    """How an engine works. Immutable; use `attrs.evolve`."""

    #: Which tiers may run functions. "native" makes machine code of every function that it can, at its first call, and
    #: takes longer to begin; where there is no native tier, the interpreter runs everything. "auto" weighs.
    tier: Literal["auto", "interpreter", "native"] = "auto"
    #: Proposals that modules may use.
    features: Feature = AVAILABLE
    #: Whether host functions' callbacks run nested while depth allows, or always on the run loop.
    callbacks: Literal["nested", "scheduled"] = "nested"
    #: Whether a shared memory has addresses for its maximum from the beginning and grows in place; if not, it is moved
    #: when it grows, and all threads that use it are held still meanwhile.
    prealloc_shared_memory: bool = True
    #: What timeouts and deadlines are measured on.
    clock: Clock = SYSTEM_CLOCK
    #: Who carries out a wait; None for a driver that lets the calling thread sleep.
    driver: Driver | None = None
    #: Count calls of WebAssembly functions, too, which costs a little at each.
    count_wasm_calls: bool = False
    #: Restarts injected on purpose, for tests: asked at every check point of every execution.
    injector: Injector | None = None


@attrs.frozen(eq=False)
class Engine:
    """Tiers, clock and driver, shared by any number of stores and threads."""

    config: EngineConfig = EngineConfig()
    driver: Driver = attrs.field(init=False)
    tier: Tier = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        driver = self.config.driver
        object.__setattr__(self, "driver", ThreadDriver(self.config.clock) if driver is None else driver)
        object.__setattr__(self, "tier", _tier(self.config.tier))


def interpreted(module: Module) -> dict[int, str]:
    """The module's own functions that the native tier leaves to the interpreter, by index, and why. Needs no LLVM."""
    from .llvm.abi import BlockLayout, Unsupported
    from .llvm.function import emit

    layout, kept = BlockLayout(module), {}
    for code in module.decls.codes:
        try:
            emit(layout, code.index)
        except Unsupported as error:
            kept[code.index] = str(error)
    return kept


def _tier(name: str) -> Tier:
    if name == "native":
        from .llvm.backend import unavailable
        from .llvm.tier import NativeTier

        reason = unavailable()
        if reason is None:
            return NativeTier(Interpreter)
        logging.getLogger(__name__).warning("no native tier: %s; the interpreter runs everything", reason)
    return Interpreter()
