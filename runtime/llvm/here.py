"""Whether there is a native tier on this system."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from typing import Final

#: Systems that the code's loader and the records of threads' stacks are made for.
_SYSTEMS: Final = {("linux", "x86_64")}
#: The oldest llvmlite whose LLVM reads the emitter's IR.
OLDEST: Final = (0, 45)


def _machine() -> str:
    """The processor's family. `platform` would start a process to find more."""
    return os.uname().machine if hasattr(os, "uname") else ""


def unavailable() -> str | None:
    """Why there is no machine code here; None where there may be."""
    if (sys.platform, _machine()) not in _SYSTEMS:
        import platform

        return f"no loader of machine code for {platform.system()} on {platform.machine()}"
    if sys.implementation.name != "cpython":
        return f"machine code works with CPython, not with {sys.implementation.name}"
    found = importlib.util.find_spec("llvmlite")
    if found is None or found.origin is None:
        return "llvmlite is not installed"
    version = _version(os.path.dirname(found.origin))
    if version < OLDEST:
        return f"llvmlite {'.'.join(map(str, version))} is too old: {'.'.join(map(str, OLDEST))} is needed"
    return None


def _version(folder: str) -> tuple[int, ...]:
    """Of llvmlite, read where it says so itself: importing it, or its metadata, takes longer than all the rest. One
    that says nothing passes for new enough."""
    try:
        with open(os.path.join(folder, "_version.py"), "rb", buffering=0) as file:
            text = file.read(4096) or b""
    except OSError:
        return OLDEST
    said = re.search(rb"version\s*=\s*['\"](\d+)\.(\d+)", text)
    return OLDEST if said is None else (int(said[1]), int(said[2]))
