"""`python -m tests.llvm.places SEED…`: random programs with guard pages trap where the interpreter says.

A process of its own, as it has a handler of SIGSEGV. Prints how many traps out of bounds were compared.
"""

from __future__ import annotations

import sys

from runtime import Engine, EngineConfig, Func, Limits, Module, Store, Trap, WasmFunc, control, instantiate
from runtime.exec.backtrace import TraceLine
from runtime.exec.state import Trapped
from runtime.llvm.tier import NativeTier, Policy
from tests.support.differential import Plan, mixer, plan
from tests.support.hosts import imports
from tests.support.native import INTERPRETERS
from tests.support.programs import Program
from tests.support.smith import smith


def traps(module: Module, calls: Plan, engine: Engine) -> list[object]:
    """Of each call how it ended, and where."""
    try:
        store = Store(engine, Limits(frames=300))
        instance = instantiate(store, module, imports(mixer()))
    except Exception as error:  # either way there is no instance
        return [type(error).__name__]
    found: list[object] = []
    for name, args in calls.calls:
        if calls.fuel is not None:
            instance.exports[calls.fuel].value = calls.amount  # type: ignore[union-attr]  # a global
        func = instance.exports[name]
        assert isinstance(func, WasmFunc)
        outcome = control.run(Func(func, store).start(*args))
        if isinstance(outcome, Trapped):
            trap: Trap = outcome.trap
            found.append(
                (trap.code, tuple([(line.name, line.offset) for line in trap.backtrace if isinstance(line, TraceLine)]))
            )
        else:
            found.append(type(outcome).__name__)
    found.append([bytes(memory.data) for memory in instance.memories])
    return found


def main(seeds: range) -> int:
    """How many traps there were, all of them in the same places."""
    count = 0
    usual = Engine(EngineConfig(tier="interpreter"))
    for seed in seeds:
        for fuel, data in (("g0", Program(seed).data), (None, smith(seed))):
            if data is None:
                continue
            module = Module.load(data)
            calls = plan(module, seed, fuel=fuel, rounds=3)
            expected = traps(module, calls, usual)
            for level in (0, 2):
                engine = Engine(EngineConfig(tier="interpreter"))
                tier = NativeTier(INTERPRETERS, Policy(levels=(level,)), guard=True)
                object.__setattr__(engine, "tier", tier)
                if traps(module, calls, engine) != expected:
                    raise SystemExit(f"seed {seed}, level {level}: other traps")
            count += sum("OUT_OF_BOUNDS_MEMORY" in str(each) for each in expected)
    return count


if __name__ == "__main__":
    sys.stdout.write(f"{main(range(int(sys.argv[1]), int(sys.argv[2])))}\n")
