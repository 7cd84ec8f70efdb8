"""What a short program doesn't wait for: rooms and packages that its start must not import, each with the reason."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from benchmarks.starting import HELLO
from tests.support.build import wat
from tests.support.cache import ROOT

#: Modules that hello world needs nothing of, and what imports them when it is needed.
LATER = {
    "ast": "loading",
    "asyncio": "event loops",
    "attr": "classes are made by lean",
    "cbor2": "saving and loading",
    "click": "options; `hostsdk run FILE` has none",
    "concurrent.futures": "futures of an embedder's",
    "ctypes": "machine code",
    "dataclasses": "classes are made by lean",
    "email": "nothing",
    "hashlib": "a module's hash; loads OpenSSL",
    "importlib.metadata": "host modules by their names",
    "inspect": "signatures of callables that are no plain functions",
    "ipaddress": "nothing",
    "llvmlite": "compiling, in a worker",
    "logging": "something to say",
    "multiprocessing": "nothing",
    "random": "nothing",
    "rich": "tables of other commands",
    "selectors": "the first wait",
    "shutil": "nothing",
    "socket": "sockets of a guest, and the first wait of a main thread with signals",
    "subprocess": "the worker that compiles",
    "sysconfig": "nothing",
    "tempfile": "keeping code",
    "traceback": "an error of a host module",
    "typing_extensions": "type checkers",
    "hostsdk._coroutine": "async host functions",
    "hostsdk._drivers.scheduler": "green threads",
    "hostsdk.cli.main": "options, and other commands",
    "hostsdk._threads": "guests with threads",
    "hostsdk._trace": "tracing",
    "hostsdk.testing": "tests",
    "hostsdk.wasi.fs.host": "preopened directories",
    "hostsdk.wasi.fs.mem": "trees in memory",
    "hostsdk.wasi.fs.sock": "sockets",
    "hostsdk.wasi.preview1.clock": "a guest that imports a clock",
    "hostsdk.wasi.preview1.path": "a guest that imports a function of paths",
    "hostsdk.wasi.saving": "saving and loading",
    "runtime.exec.place": "the first wait",
    "runtime.interp.atomic": "atomic instructions",
    "runtime.interp.simd": "vector instructions",
    "runtime.llvm.background": "a hot function",
    "runtime.llvm.builder": "compiling",
    "runtime.saving.restore": "loading",
    "runtime.validate.legacy": "exceptions from before 3.0",
    "runtime.semantics.lanes": "vector instructions",
}
SHOWN = "import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); "


def modules(code: str, *args: str) -> tuple[str, set[str]]:
    """What a program says, and the modules that it has imported beyond those of an empty one."""
    done = [
        subprocess.run(
            [sys.executable, "-c", SHOWN + each, *args], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for each in ("pass", code)
    ]
    empty, full = (set(each.stderr.split()) for each in done)
    return done[1].stdout, full - empty


def test_hello_world_imports_what_it_uses(tmp_path: Path) -> None:
    """DESIGN 7, hello world from the command: its path imports neither LLVM nor asyncio, and no room for what it
    doesn't do."""
    path = tmp_path / "hello.wasm"
    path.write_bytes(wat(HELLO))
    said, found = modules("from hostsdk.cli.start import start; start()", "run", str(path))
    assert said == "hello\n"
    assert {name: why for name, why in LATER.items() if name in found} == {}


def test_the_door_alone_is_imported() -> None:
    """`import hostsdk` opens no room: what is asked of it does."""
    _, found = modules("import hostsdk, hostsdk as door")
    assert {name for name in found if name.split(".")[0] in ("hostsdk", "runtime")} == {
        "hostsdk", "hostsdk._engine", "runtime", "runtime.doors",
    }  # fmt: skip
