"""What the tests build (modules, spec scripts as JSON) is kept on disk, named by everything that it was made from.

An entry is written beside its place and moved there in one step, so that several test processes may build the same
entry at once: the last one wins, and all are the same.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

#: The project's root.
ROOT = Path(__file__).resolve().parents[2]


def cache_dir() -> Path:
    """Where entries lie: `HOSTSDK_TEST_CACHE`, or `.cache/tests` in the project. Deleting it is always safe."""
    path = Path(os.environ.get("HOSTSDK_TEST_CACHE") or ROOT / ".cache" / "tests")
    path.mkdir(parents=True, exist_ok=True)
    return path


def key(parts: Iterable[str | bytes]) -> str:
    """A name for what is made from `parts`; no two lists of parts share one."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "little") + data)
    return digest.hexdigest()[:32]


def cached_file(kind: str, parts: Iterable[str | bytes], build: Callable[[Path], None]) -> Path:
    """The entry for `parts`, built by `build(path)` where it isn't there yet."""
    folder = cache_dir() / kind
    entry = folder / key(parts)
    if not entry.exists():
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="new-") as room:
            made = Path(room, "file")
            build(made)
            os.replace(made, entry)
    return entry


def cached_dir(kind: str, parts: Iterable[str | bytes], build: Callable[[Path], None]) -> Path:
    """Like `cached_file`, for a folder that `build(path)` fills."""
    folder = cache_dir() / kind
    entry = folder / key(parts)
    if not entry.exists():
        folder.mkdir(exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder, prefix="new-"))
        try:
            build(made)
            made.rename(entry)
        except OSError:
            if not entry.exists():
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return entry
