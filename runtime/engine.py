"""The engine's configuration, and the only file that names concrete tiers."""

from __future__ import annotations

from typing import Literal

import attrs

from .exec.clock import SYSTEM_CLOCK, Clock
from .exec.tier import Tier
from .exec.wait import Driver, ThreadDriver
from .features import AVAILABLE, Feature
from .interp.tier import Interpreter


@attrs.frozen
class EngineConfig:
    """How an engine works. Immutable; use `attrs.evolve`."""

    #: Which tiers may run functions. "auto" takes the fastest that works here.
    tier: Literal["auto", "interpreter"] = "auto"
    #: Proposals that modules may use.
    features: Feature = AVAILABLE
    #: Whether host functions' callbacks run nested while depth allows, or always on the run loop.
    callbacks: Literal["nested", "scheduled"] = "nested"
    #: What timeouts and deadlines are measured on.
    clock: Clock = SYSTEM_CLOCK
    #: Who carries out a wait; None for a driver that lets the calling thread sleep.
    driver: Driver | None = None
    #: Count calls of WebAssembly functions, too, which costs a little at each.
    count_wasm_calls: bool = False


@attrs.frozen(eq=False)
class Engine:
    """Tiers, clock and driver, shared by any number of stores and threads."""

    config: EngineConfig = EngineConfig()
    driver: Driver = attrs.field(init=False)
    tier: Tier = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        driver = self.config.driver
        object.__setattr__(self, "driver", ThreadDriver(self.config.clock) if driver is None else driver)
        object.__setattr__(self, "tier", Interpreter())
