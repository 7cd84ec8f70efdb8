"""The comparison of `test_interrupted_equals.py` for as long as one likes, on one seed after the other:

    python -m tests.property.campaign --seconds 3600 --seed 1 --smith

Every seed's program runs alone, in wasmtime, on the native tier, suspended on several schedules, and saved and loaded
at each suspension. With `--smith` modules of wasm-smith do, too: of WebAssembly 2.0, with what came after but for
garbage collection, and with all of it at once.
A difference or an error is told with the seed that shows it; the exit status is 1 if there was one.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import sys
import time
import traceback
from collections.abc import Iterator

from runtime import Every, Injector, Module, Randomly
from runtime.llvm.here import unavailable
from tests.support.differential import Plan, Seen, ours, plan, saving, theirs
from tests.support.native import engine
from tests.support.programs import Program
from tests.support.smith import smith


def subjects(seed: int, with_smith: bool) -> Iterator[tuple[str, Module, Plan]]:
    """What is run for one seed."""
    module = Module.load(Program(seed).data)
    yield "program", module, plan(module, seed, fuel="g0", amount=80, rounds=2)
    if with_smith:
        data = smith(seed, size=1000 + seed % 7 * 1000)
        if data is not None:
            module = Module.load(data)
            yield "smith", module, plan(module, seed)
            data = smith(seed, size=1000 + seed % 7 * 1000, newer=True)
            if data is not None:
                module = Module.load(data)
                yield "smith, newer", module, plan(module, seed)
            data = smith(seed, size=1000 + seed % 7 * 1000, newer=True, gc=True)
            if data is not None:
                module = Module.load(data)
                yield "smith, all of 3.0", module, plan(module, seed)


def differences(module: Module, calls: Plan, seed: int) -> Iterator[str]:
    """Where running it in another way made a difference."""
    alone = ours(module, calls)
    schedules: list[tuple[str, Injector]] = [
        ("every check", Every(1)),
        ("some checks", Randomly(seed, 0.3)),
        ("many checks", Randomly(seed + 1, 0.8)),
    ]
    other = theirs(module, calls)
    runs: list[tuple[str, Seen]] = [] if alone.cramped or other.cramped else [("wasmtime", other)]
    for scheduled in (False, True):
        for name, injector in schedules:
            label = f"{name}, {'scheduled' if scheduled else 'nested'}"
            runs.append((label, ours(module, calls, injector=injector, scheduled=scheduled)))
    rare = Randomly(seed, 0.1)
    runs.append(("saved", ours(module, calls, injector=rare, between=saving(rare))))
    if unavailable() is None:
        runs.append(("native", ours(module, calls, engine=engine())))
        runs.append(("native, some checks", ours(module, calls, engine=engine(), injector=Randomly(seed, 0.4))))
    for name, seen in runs:
        if seen != alone:
            parts = [part for part in ("results", "memories", "globals", "tables")
                     if getattr(seen, part) != getattr(alone, part)]  # fmt: skip
            yield f"{name} differs in {', '.join(parts)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="for how long")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--smith", action="store_true", help="modules of wasm-smith, too")
    options = parser.parse_args()
    end = time.monotonic() + options.seconds
    bad = done = 0
    for seed in itertools.count(options.seed):
        if time.monotonic() > end:
            break
        try:
            for kind, module, calls in subjects(seed, options.smith):
                for difference in differences(module, calls, seed):
                    sys.stdout.write(f"seed {seed} ({kind}): {difference}\n")
                    bad += 1
        except Exception:  # told with its seed; the next one may show something else
            sys.stdout.write(f"seed {seed}:\n{traceback.format_exc()}\n")
            bad += 1
        done += 1
        gc.collect()  # what a seed's modules have made may be large
    sys.stdout.write(f"{done} seeds from {options.seed}, {bad} findings\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
