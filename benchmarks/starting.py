"""What it takes to begin: an import, an instance, a program of one line, the first result of a larger one."""

from __future__ import annotations

import functools
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .build import program, wat
from .measure import Row, in_turns, seconds

#: Imports a function and has a page.
SMALL = """(module (import "h" "add" (func (param i32 i32) (result i32))) (memory (export "memory") 1)
  (func (export "f") (result i32) (i32.const 1)))"""

#: Says hello.
HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00hello\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 64)))))"""
#: The same by wasmtime-py.
_PEER = """
import sys, wasmtime
engine = wasmtime.Engine()
store, linker, config = wasmtime.Store(engine), wasmtime.Linker(engine), wasmtime.WasiConfig()
linker.define_wasi()
config.inherit_stdout()
store.set_wasi(config)
linker.instantiate(store, wasmtime.Module.from_file(engine, sys.argv[1])).exports(store)["_start"](store)
"""


def making() -> Iterator[Row]:
    """An instance with a host import and a page, made and closed, beside wasmtime-py's, whose store is one for all."""
    import wasmtime

    from hostsdk import Context, Engine, EngineConfig, HostModule, Instance, Module, i32

    data, count, host = wat(SMALL), 200, HostModule("h")

    @host.function
    def add(ctx: Context, a: i32, b: i32) -> i32:
        return a + b

    def ours(engine: Engine, module: Module) -> None:
        for _ in range(count):
            Instance(module, [host], engine=engine).close()

    def theirs(engine: Any, module: Any) -> None:
        store, i32_ = wasmtime.Store(engine), wasmtime.ValType.i32()
        func = wasmtime.Func(store, wasmtime.FuncType([i32_, i32_], [i32_]), lambda a, b: a + b)
        for _ in range(count):
            wasmtime.Instance(store, module, [func])

    works: list[Callable[[], object]] = []
    for tier in ("interpreter", "auto"):
        engine = Engine(EngineConfig(tier=tier))
        works.append(functools.partial(ours, engine, Module.from_bytes(data)))
    peer = wasmtime.Engine()
    works.append(functools.partial(theirs, peer, wasmtime.Module(peer, data)))
    *times, other = [each / count * 1e6 for each in in_turns(works, 12, time.thread_time)]
    for tier, taken in zip(("interpreter", "auto"), times, strict=True):
        yield Row(f"making an instance ({tier})", taken, "µs", {"wasmtime": other}, "wasmtime", 1 / 1.5)


def hello() -> Iterator[Row]:
    """Hello world from the command, beside a script for wasmtime-py: processor time of the whole process."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hello.wasm"
        path.write_bytes(wat(HELLO))
        env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        env["HOSTSDK_CACHE"] = folder
        commands = [[sys.executable, "-m", "hostsdk", "run", str(path)], [sys.executable, "-c", _PEER, str(path)]]
        took = [min(_processor_time(command, env) for _ in range(20)) * 1e3 for command in commands]
    yield Row("hello world from the command", took[0], "ms", {"wasmtime": took[1]}, "wasmtime", 1 / 1.2)


def _processor_time(command: list[str], env: dict[str, str]) -> float:
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE)
    said, _ = process.stdout.read() if process.stdout else b"", process.stdout and process.stdout.close()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if said != b"hello\n" or process.returncode:
        raise RuntimeError(f"{command[:4]} said {said!r}")
    return used.ru_utime + used.ru_stime


def starting() -> Iterator[Row]:
    """Start-up of the import, and what it is made of."""
    best = min(seconds(_import_hostsdk) for _ in range(5)) - min(seconds(_import_nothing) for _ in range(5))
    yield Row("import hostsdk", best * 1e3, "ms", {}, "", math.inf, "at most")
    for module, millis in sorted(_by_module().items(), key=lambda item: -item[1]):
        if millis >= 1:
            yield Row(f"import hostsdk: {module}", millis, "ms", {}, "", math.inf, "at most")


def _by_module() -> dict[str, float]:
    """Milliseconds that each module takes by itself, measured by the interpreter (`-X importtime`), which slows all of
    them; ours by file, others by package."""
    command = [sys.executable, "-X", "importtime", "-c", "import hostsdk"]
    text = subprocess.run(command, check=True, stderr=subprocess.PIPE, text=True).stderr
    found: dict[str, float] = {}
    for line in text.splitlines()[1:]:
        own, _, name = line.removeprefix("import time:").split("|")
        module = name.strip()
        if not module.startswith(("hostsdk", "runtime")):
            module = f"{module.split('.')[0]} (package)"
        found[module] = found.get(module, 0) + int(own) / 1e3
    return found


def _import_hostsdk() -> None:
    subprocess.run([sys.executable, "-c", "import hostsdk"], check=True)


def _import_nothing() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def first_result() -> Iterator[Row]:
    """A new process that loads a program of 100 KB and computes for a moment: with nothing kept, and with what the last
    one left. The start of the worker that compiles counts."""
    code = (
        "import time; t=time.perf_counter()\nfrom benchmarks.build import program\nfrom benchmarks.peers import *\n"
        "e={}(program(){})\ne.call('mandelbrot', 600)\nprint(time.perf_counter()-t)"
    )
    program()
    ours, theirs = code.format("Hostsdk", ", 'auto'"), code.format("Wasmtime", "")
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"HOSTSDK_CACHE": folder}
        cold = _process(ours, env)
        _process(ours.replace("600", "4000"), env)
        warm, peer = (min(_process(each, env) for _ in range(3)) for each in (ours, theirs))
    peers = {"wasmtime": peer * 1e3}
    yield Row("first result, nothing kept", cold * 1e3, "ms", peers, "wasmtime", 1 / 3)
    yield Row("first result, from the cache", warm * 1e3, "ms", peers, "wasmtime", 1 / 1.2)


def _process(code: str, env: dict[str, str]) -> float:
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    return float(done.stdout)
