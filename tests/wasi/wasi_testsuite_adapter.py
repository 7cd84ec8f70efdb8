"""For the runner of the public wasi-testsuite: its tests, run by `hostsdk run`.

    python3 test-runner/wasi_test_runner.py -t ./tests/... -r .../tests/wasi/wasi_testsuite_adapter.py

`HOSTSDK` may name another command than `python -m hostsdk run`.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys


def command_line(given: argparse.Namespace) -> list[str]:
    """What runs one test."""
    command = shlex.split(os.environ.get("HOSTSDK", "")) or [sys.executable, "-m", "hostsdk", "run"]
    for option in ("env", "dir"):
        for value in getattr(given, option):
            command += [f"--{option}", value]
    return [*command, given.test_file, *given.arg]


def main(arguments: list[str] | None = None) -> int:
    """Run one test, or tell the version; the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--test-file")
    for option in ("--arg", "--env", "--dir"):
        parser.add_argument(option, action="append", default=[])
    given = parser.parse_args(arguments)
    if given.version:
        print("hostsdk", installed())  # noqa: T201  # the runner reads it
        return 0
    return subprocess.run(command_line(given), check=False).returncode


def installed() -> str:
    """The version that is installed, or the one of the sources."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("hostsdk")
    except PackageNotFoundError:
        return "0"


if __name__ == "__main__":
    sys.exit(main())
