"""Whether there is a native tier on this system."""

from __future__ import annotations

import importlib.util
import platform
import sys
from typing import Final

#: Systems that the code's loader and the records of threads' stacks are made for.
_SYSTEMS: Final = {("linux", "x86_64")}


def unavailable() -> str | None:
    """Why there is no machine code here; None where there may be."""
    if (sys.platform, platform.machine()) not in _SYSTEMS:
        return f"no loader of machine code for {platform.system()} on {platform.machine()}"
    if sys.implementation.name != "cpython":
        return f"machine code works with CPython, not with {platform.python_implementation()}"
    if importlib.util.find_spec("llvmlite") is None:
        return "llvmlite is not installed"
    return None
