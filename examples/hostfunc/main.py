"""The main job: a guest is interrupted wherever it may be, saved there, and finished in another process.

    python main.py [VARIANT]

VARIANT is 0 to 7, the guest to take (see build.py); 7, if not given, whose three functions are all written in Python.
The exit status is 0 if every way gave 136, the sum of the numbers from 1 to 16.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from hostmod import host

from hostsdk import Execution, Instance, Interrupt, Module, Returned, Suspended

HERE = Path(__file__).resolve().parent
EXPECTED = 136


def main() -> int:
    parser = argparse.ArgumentParser(description="A guest is interrupted, saved, and finished in another process.")
    parser.add_argument("variant", nargs="?", type=int, default=7, choices=range(8), help="which guest (default: 7)")
    path = HERE / f"guest{parser.parse_args().variant}.wasm"
    module = Module.from_file(path)

    results = [undisturbed(module), interrupted(module), *moved(module, path)]
    print()
    right = all(result == EXPECTED for result in results)
    print(f"{len(results)} times {EXPECTED}, as expected." if right else f"Something is wrong: {results}")
    return 0 if right else 1


# The three ways ------------------------------------------------------------------------------------------------------


def undisturbed(module: Module) -> int:
    """A plain call."""
    with Instance(module, [host]) as instance:
        result: int = instance.exports.main()
        print(f"Undisturbed: {result}, with {instance.stats.host_calls} calls of host functions.")
    return result


def interrupted(module: Module) -> int:
    """A call that is interrupted at every check point, and resumed each time."""
    print("\nInterrupted at every check point, here:")
    with Instance(module, [host]) as instance:
        execution = instance.start("main")
        for number in suspensions(execution):
            print(f"{number:5}  {where(execution)}")
        print(f"and still {result_of(execution)}, with {instance.stats.host_calls} calls of host functions.")
        return result_of(execution)


def moved(module: Module, path: Path) -> Iterator[int]:
    """The same, but wherever the call is suspended it is also saved, and another process finishes it from there."""
    print("\nSaved at every check point, and finished by another process:")
    # "spawn" makes a fresh process, which shares nothing with this one.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as pool, Instance(module, [host]) as instance:
        execution = instance.start("main")
        for number in suspensions(execution):
            data = execution.save()
            result, process = pool.submit(finish, data, path).result()
            print(f"{number:5}  {len(data):5} bytes from process {os.getpid()}, {result} by process {process}")
            yield result


def finish(data: bytes, path: Path) -> tuple[int, int]:
    """In the other process: load what was saved, run it to its end; the result and this process's number."""
    execution = Execution.load(data, Module.from_file(path), [host], trusted=True)
    with execution.instance:
        execution.run()
        return result_of(execution), os.getpid()


# What they share -----------------------------------------------------------------------------------------------------


def suspensions(execution: Execution) -> Iterator[int]:
    """Run the execution to its end, with a suspension at every check point; their numbers, while it is suspended."""
    # An interrupt in the level form stands until it is cleared: each check point reports it. A resume always makes
    # progress, so that the call comes to its end all the same.
    interrupt = Interrupt(level=True)
    interrupt.set()
    number = 0
    while isinstance(execution.run(interrupt=interrupt), Suspended):
        number += 1
        yield number


def where(execution: Execution) -> str:
    """The functions that wait, outermost first."""
    return " > ".join(line.name for line in reversed(execution.backtrace))


def result_of(execution: Execution) -> int:
    """What the guest has returned. Raises RuntimeError where it hasn't."""
    if not isinstance(execution.outcome, Returned):
        raise RuntimeError(f"the guest should have returned: {execution.outcome}")
    return int(execution.outcome.values[0])


if __name__ == "__main__":
    raise SystemExit(main())
