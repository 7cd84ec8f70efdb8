"""The engine's configuration, and the only file that names concrete tiers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from . import lean
from .errors import StateError
from .exec.clock import SYSTEM_CLOCK, Clock
from .exec.wait import Driver, ThreadDriver
from .features import AVAILABLE, Feature
from .interp.heat import Heat
from .interp.tier import Interpreter
from .log import Log
from .module import Module

log = Log(__name__)

if TYPE_CHECKING:
    from .exec.inject import Injector
    from .exec.tier import Tier
    from .llvm.ahead import Compiled
    from .llvm.cache import Cache


@lean.frozen
class EngineConfig:
    """How an engine works. Immutable; use `lean.evolve`."""

    #: Which tiers may run functions. "auto" begins in the interpreter, and makes machine code of what is hot while the
    #: guest runs on. "native" makes machine code of every function that it can, at its first call, and waits for it.
    #: Where there is no native tier, the interpreter runs everything.
    tier: Literal["auto", "interpreter", "native"] = "auto"
    #: Machine code is made in a process of its own, as LLVM may end the process that it works in. Modules that come
    #: from somebody who can be trusted not to provoke that may be compiled in this one.
    trusted: bool = False
    #: Folder in which machine code is kept for the next process. "usual" is what HOSTSDK_CACHE says, or else a folder
    #: of the user's own; None, or HOSTSDK_CACHE=off, keeps nothing.
    cache: Path | Literal["usual"] | None = "usual"
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
    #: Whether Python's signal handlers are to run at once while the main thread is in machine code or waits. For that,
    #: the process's wake-up descriptor (`signal.set_wakeup_fd`) is taken for the length of each run; whoever had it
    #: gets every signal too, and has it back afterwards. If not, no signal state is touched: a handler runs within
    #: a fiftieth of a second in machine code, and a wait may miss a signal that comes in the moment it begins.
    #: Machine code may then use guard pages, too, which takes a handler of SIGSEGV that leaves alone what is not its
    #: own; if not, it checks the bounds of each access.
    signals: bool = False
    #: What becomes of Python's global lock (GIL) while machine code runs. "release": other threads run meanwhile.
    #: "keep": calls into the guest and of its host functions cost some thirty nanoseconds less, and no other thread
    #: runs until the guest returns or calls a host function; nor does a signal's handler. For guests known to be brief.
    #: A call with a timeout or an interrupt, one that shares a memory, and one whose waits suspend release it always.
    gil: Literal["release", "keep"] = "release"
    #: Count calls of WebAssembly functions, too, which costs a little at each.
    count_wasm_calls: bool = False
    #: Restarts injected on purpose, for tests: asked at every check point of every execution.
    injector: Injector | None = None


@lean.frozen(eq=False)
class Engine:
    """Tiers, clock and driver, shared by any number of stores and threads."""

    config: EngineConfig = EngineConfig()
    driver: Driver = lean.field(init=False)
    tier: Tier = lean.field(init=False)

    def __post_init__(self) -> None:
        driver = self.config.driver
        if driver is None:
            driver = ThreadDriver(self.config.clock, signals=self.config.signals)
        object.__setattr__(self, "driver", driver)
        object.__setattr__(self, "tier", _tier(self.config))


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


def compile_ahead(module: Module, told: Callable[[int, int], None]) -> Compiled:
    """Make machine code of all functions and keep it, so that the module's next run has it from its start. `told`
    learns of how many functions out of how many there is an answer.

    Raises StateError where there is no native tier or nothing is kept.
    """
    cache, reason = kept_code(), without_native()
    if cache is None or reason is not None:
        raise StateError(reason or "no machine code is kept: HOSTSDK_CACHE is off")
    from .llvm.ahead import compile_ahead as compile_

    return compile_(module, cache, told)


def kept_code() -> Cache | None:
    """The machine code that is kept in the usual folder; None where that is turned off."""
    from .llvm.cache import usual
    from .llvm.choice import cache_in

    folder = usual()
    return None if folder is None else cache_in(folder)


def without_native() -> str | None:
    """Why there is no native tier here; None where there is."""
    from .llvm.here import unavailable

    return unavailable()


def without_guard_pages() -> str | None:
    """Why machine code checks the bounds of each access even with `EngineConfig(signals=True)`; None where guard pages
    stand for that. The first time on a system it is tried, in a process of its own."""
    reason = without_native()
    if reason is None:
        from .llvm.kit import refused

        reason = refused(kept_code())
    return reason


def _tier(config: EngineConfig) -> Tier:
    if config.tier != "interpreter":
        reason = without_native()
        if reason is None:
            from .llvm.choice import choose
            from .llvm.tier import Interpreters

            interpreters = Interpreters(Interpreter(), Interpreter, Heat)
            tier = choose(interpreters, config.tier == "auto", config.trusted, config.cache, config.signals)
            tier.keep = config.gil == "keep"
            return tier
        say = log.info if config.tier == "auto" else log.warning
        say("no native tier: %s; the interpreter runs everything", reason)
    return Interpreter()
