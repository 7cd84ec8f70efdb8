"""Stops a call, saves it to a file, and finishes it in another process.

    python snapshot.py                     both, the second half in a process of its own
    python snapshot.py save FILE [CHECK]   stop at check point CHECK (if not given, 20) and save to FILE
    python snapshot.py load FILE           go on with what is in FILE

The exit status is 0 if the guest was stopped, or came to its end with 136.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from hostmod import host

from hostsdk import Execution, Instance, Interrupt, Module, Returned, Suspended

HERE = Path(__file__).resolve().parent
GUEST = Module.from_file(HERE / "guest7.wasm")
CHECK = 20


def save(file: Path, check: int) -> int:
    """The first half."""
    # In the level form, an interrupt with a delay lets that many check points pass.
    interrupt = Interrupt(level=True, delay=check - 1)
    interrupt.set()
    with Instance(GUEST, [host]) as instance:
        execution = instance.start("main")
        outcome = execution.run(interrupt=interrupt)
        if not isinstance(outcome, Suspended):
            print(f"The guest came to its end before check point {check}: {outcome}", file=sys.stderr)
            return 1
        print(execution.explain())
        data = execution.save()
        execution.drop()
    file.write_bytes(data)
    print(f"Saved: {len(data)} bytes.", flush=True)
    return 0


def load(file: Path) -> int:
    """The second half."""
    execution = Execution.load(file.read_bytes(), GUEST, [host], trusted=True)
    print("Loaded:", execution.explain())
    with execution.instance:
        outcome = execution.run()
    print(f"Finished: {outcome}")
    return 0 if outcome == Returned((136,)) else 1


def both() -> int:
    """Both halves, the second one in another process."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "saved")
        status = save(file, CHECK)
        if status:
            return status
        print("\nIn another process:", flush=True)
        return subprocess.run([sys.executable, __file__, "load", file], check=False).returncode


def main() -> int:
    parser = argparse.ArgumentParser(description="Stop a call, save it, finish it in another process.")
    verbs = parser.add_subparsers(dest="verb")
    first = verbs.add_parser("save", help="stop at a check point and save")
    first.add_argument("file", type=Path)
    first.add_argument("check", type=int, nargs="?", default=CHECK, help=f"where to stop (default: {CHECK})")
    second = verbs.add_parser("load", help="go on with what was saved")
    second.add_argument("file", type=Path)
    asked = parser.parse_args()
    match asked.verb:
        case "save":
            if asked.check < 1:
                parser.error("the first check point has the number 1")
            return save(asked.file, asked.check)
        case "load":
            if not asked.file.is_file():
                parser.error(f"there is no file {asked.file}")
            return load(asked.file)
    return both()


if __name__ == "__main__":
    raise SystemExit(main())
