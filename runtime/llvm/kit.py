"""Whether guard pages work on this system: tried in a process of its own, which a failure ends. What comes of it is the
handler's code, which is kept like other code, so that later processes need neither the trial nor LLVM."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Final

from .digest import name_of
from .loader import LoadError
from .process import NoProcess, starting

if TYPE_CHECKING:
    from .cache import Cache

#: Seconds that it may take.
_PATIENCE: Final = 60.0


def kit(cache: Cache | None) -> bytes:
    """The handler's code, tried out. Raises LoadError where it doesn't work, and OSError."""
    name = name_of(os.uname().release.encode())
    if cache is not None:
        kept = cache.extra(name)
        if kept is not None:
            return kept
    made = _tried()
    if cache is not None:
        cache.keep_extra(name, made)
    return made


def refused(cache: Cache | None) -> str | None:
    """Why guard pages don't work here; None where they do. Nothing is installed."""
    try:
        kit(cache)
    except (LoadError, OSError) as error:
        return str(error)
    return None


def _tried() -> bytes:
    try:
        done = subprocess.run(
            starting("trial", "0"), stdin=subprocess.DEVNULL, capture_output=True, timeout=_PATIENCE, cwd="/",
            process_group=0, check=False,
        )  # fmt: skip
    except NoProcess as error:
        raise LoadError(str(error)) from None
    except subprocess.TimeoutExpired:
        raise LoadError("the trial takes too long") from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise LoadError(f"the trial has failed ({done.returncode}){': ' if said else ''}{said}")
    return done.stdout
