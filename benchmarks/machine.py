"""Machine code that is asked to leave, and the interpreter that counts what is hot."""

from __future__ import annotations

import math
import statistics
import threading
import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from hostsdk import Engine, EngineConfig, Instance, Interrupt, Module, Suspended
from runtime.interp.heat import Heat
from runtime.interp.tier import Interpreter
from runtime.llvm.choice import HOT
from runtime.llvm.code import ModuleCode
from runtime.llvm.product import Order
from runtime.llvm.tier import Interpreters, NativeTier

from .build import kernels
from .measure import Row, in_turns

#: Programs that take the interpreter some tens of milliseconds.
_PROGRAMS: Final = {"fib": 17, "collatz": 220, "crc": 4000, "quicksort": 600, "indirect": 6000, "matmul": 14}


def interrupting() -> Iterator[Row]:
    """From an interrupt in another thread to the embedder, out of a loop of machine code."""
    engine = Engine(EngineConfig(tier="native"))
    execution = Instance(Module.from_bytes(kernels()), engine=engine).start("mandelbrot", 1_000_000)
    laps = []
    for _ in range(200):
        stop = Interrupt()
        told: list[float] = []

        def tell(stop: Interrupt = stop, told: list[float] = told) -> None:
            time.sleep(0.002)
            told.append(time.perf_counter())
            stop.set()

        thread = threading.Thread(target=tell)
        thread.start()
        outcome = execution.run(interrupt=stop)
        laps.append(time.perf_counter() - told[0])
        thread.join()
        if not isinstance(outcome, Suspended):
            raise RuntimeError(f"it ended: {outcome}")
    yield Row("interrupt a loop of machine code (median)", statistics.median(laps) * 1e6, "µs", {}, "", 150, "at most")
    execution.drop()


class Nobody:
    """Makes no code, whatever is ordered."""

    def order(self, code: ModuleCode, order: Order) -> None:
        """Forget it."""


def counting() -> Iterator[Row]:
    """What it costs the interpreter to count calls and turns, as it does before there is machine code."""
    counted = Engine(EngineConfig(tier="interpreter"))
    tier = NativeTier(Interpreters(Interpreter(), Interpreter, Heat), HOT, Nobody())
    object.__setattr__(counted, "tier", tier)
    module = Module.from_bytes(kernels())
    engines = (counted, Engine(EngineConfig(tier="interpreter")))
    instances = [Instance(module, engine=engine) for engine in engines]
    ratios = []
    for name, amount in _PROGRAMS.items():
        ours, plain = in_turns([partial(inst.call, name, amount) for inst in instances], 12)
        ratios.append(math.log(ours / plain))
    mean = math.exp(statistics.fmean(ratios))
    yield Row("interpreter with counters, mean of 6 programs", mean, "× without", {}, "", 1.1, "at most")
