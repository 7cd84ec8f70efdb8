"""What the tests of WASI saw: error numbers by function, and check points at which it was restarted.

Kept in the tests' cache from run to run, for as long as the sources stay the same, and written to the docs as a table
once every function has been seen.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
from collections import defaultdict

from hostsdk import WASI_ERRNO

from .cache import ROOT, cache_dir

#: Error numbers that calls gave.
ERRNOS: dict[str, set[int]] = defaultdict(set)
#: Functions that trapped for a bad pointer.
TRAPS: set[str] = set()
#: Check points at which an execution of the function was restarted.
CHECKS: dict[str, int] = defaultdict(int)

TABLE = ROOT / "docs" / "wasi-observed.md"
_HEAD = """\
# WASI: what the tests observed

Written by the test run, from what happened: the errors that each function of `wasi_snapshot_preview1` was seen to give,
whether a bad pointer was seen to trap, and at how many check points it was interrupted and gave the same result.

| function | errors | bad pointers trap | check points |
|---|---|---|---|
"""


def _sources() -> str:
    digest = hashlib.sha256()
    for folder in ("hostsdk/wasi", "tests/wasi"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def keep(functions: dict[str, str]) -> None:
    """Add what this process saw to what is kept; write the table where nothing is missing any more."""
    file = cache_dir() / "wasi-observed.json"
    with open(file, "a+") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        stream.seek(0)
        content = stream.read()
        kept = json.loads(content) if content else {}
        if kept.get("sources") != _sources():
            kept = {"sources": _sources(), "errnos": {}, "traps": [], "checks": {}}
        for name, numbers in ERRNOS.items():
            kept["errnos"][name] = sorted(numbers.union(kept["errnos"].get(name, ())))
        kept["traps"] = sorted(TRAPS.union(kept["traps"]))
        for name, count in CHECKS.items():
            kept["checks"][name] = max(count, kept["checks"].get(name, 0))
        stream.seek(0)
        stream.truncate()
        json.dump(kept, stream)
        if kept["errnos"].keys() | {"proc_exit"} == functions.keys() == kept["checks"].keys():
            _write(kept, functions)


def _write(kept: dict[str, dict[str, list[int]]], functions: dict[str, str]) -> None:
    names = {number: name[1:] for name, number in WASI_ERRNO.items()}
    rows = []
    for name in sorted(functions):
        errors = ", ".join(names[number] for number in kept["errnos"].get(name, []) if number)
        trap = "yes" if name in kept["traps"] else ""
        rows.append(f"| `{name}` | {errors} | {trap} | {kept['checks'][name]} |\n")
    text = _HEAD + "".join(rows)
    if not TABLE.exists() or TABLE.read_text() != text:
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(text)
