"""QuickJS runs a script: in a process that has run it before, and in a new one with what the last one left. With guard
pages, as `hostsdk run` has them; what it takes with bounds checks stands among the peers.

`python -m benchmarks.javascript KIND` is such a process; it prints seconds."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from .build import quickjs
from .measure import Row, in_turns, seconds

#: Some of everything; it fails where the result is wrong.
SCRIPT: Final = r"""
function fib(n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
let seed = 1; const rnd = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff);
const list = Array.from({ length: 3000 }, rnd).sort((a, b) => a - b);
const text = JSON.stringify(list.map((v, i) => ({ v, s: "n" + i }))), back = JSON.parse(text);
const words = text.replace(/\d+/g, d => d.length).split(",");
const seen = new Map(); for (const w of words) seen.set(w, (seen.get(w) || 0) + 1);
let f = 0; for (let i = 1; i < 20000; i++) f += Math.sqrt(i) / i;
if (fib(21) !== 10946 || back.length !== 3000 || seen.size < 5 || Math.round(f) !== 281) throw new Error("wrong");
"""


def _play(call: Callable[..., Any], write: Callable[[int, bytes], object]) -> None:
    """A new instance runs the script."""

    def text(data: bytes) -> int:
        address: int = call("malloc", len(data) + 1)
        write(address, data + b"\0")
        return address

    call("_initialize")
    args = [text(each) for each in (b"qjs", b"-e", SCRIPT.encode())]
    argv = call("malloc", 16)
    write(argv, struct.pack("<4I", *args, 0))
    if call("qjs_init_argv", len(args), argv) != 0:
        raise RuntimeError("the script failed")


def _hostsdk(signals: bool = True) -> Callable[[], None]:
    """Loads QuickJS; each call is a run."""
    from hostsdk import Engine, EngineConfig, Instance, Module
    from hostsdk.wasi import WasiConfig, preview1

    module = Module.from_bytes(quickjs(), lazy=True)
    engine = Engine(EngineConfig(signals=signals))

    def run() -> None:
        inst = Instance(module, [preview1(WasiConfig())], engine=engine)
        _play(inst.call, inst.memory.write)
        inst.close()

    return run


def _wasmtime() -> Callable[[], None]:
    """The same by wasmtime-py."""
    import wasmtime

    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, quickjs())
    linker = wasmtime.Linker(engine)
    linker.define_wasi()

    def run() -> None:
        store = wasmtime.Store(engine)
        store.set_wasi(wasmtime.WasiConfig())
        exports = linker.instantiate(store, module).exports(store)
        memory: Any = exports["memory"]

        def call(name: str, *args: int) -> Any:
            function: Any = exports[name]
            return function(store, *args)

        _play(call, lambda address, data: memory.write(store, data, address))

    return run


def _once(load: Callable[[], Callable[[], None]]) -> None:
    """Load, and run once."""
    load()()


def _steady() -> list[float]:
    """Ours with guard pages and without and the other engine in turns, when all that is hot has become machine code."""
    from runtime import Engine
    from runtime.llvm.choice import Late
    from runtime.llvm.tier import NativeTier

    ours = [_hostsdk(), _hostsdk(False)]
    tier = Engine().tier
    for each in ours:
        for _ in range(6):
            each()
            if isinstance(tier, NativeTier) and isinstance(tier.maker, Late):
                tier.maker.maker.wait()  # type: ignore[attr-defined]  # it works in the background
    return in_turns([*ours, _wasmtime()], 15)


def _process(kind: str, env: dict[str, str]) -> list[float]:
    command = [sys.executable, "-m", __name__, kind]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    return [float(each) for each in done.stdout.split()]


def javascript() -> Iterator[Row]:
    """QuickJS beside wasmtime-py: warm, and in a new process."""
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"HOSTSDK_CACHE": folder}
        ours, bounds, theirs = _process("steady", env)
        peers = {"bounds checked": bounds * 1e3, "wasmtime": theirs * 1e3}
        yield Row("QuickJS, a script, steady", ours * 1e3, "ms", peers, "wasmtime", 1 / 0.8)
        kinds = ("hostsdk", "bounds", "wasmtime")
        best = [min(times) for times in zip(*[[_process(k, env)[0] for k in kinds] for _ in range(5)], strict=True)]
        peers = {"bounds checked": best[1] * 1e3, "wasmtime": best[2] * 1e3}
        yield Row("QuickJS, new process, from the cache", best[0] * 1e3, "ms", peers, "wasmtime", 1 / 0.3)


def main(kind: str) -> None:
    """Print the seconds that it takes."""
    match kind:
        case "steady":
            print(*_steady())
        case "hostsdk":
            print(seconds(partial(_once, _hostsdk)))
        case "bounds":
            print(seconds(partial(_once, partial(_hostsdk, False))))
        case _:
            print(seconds(partial(_once, _wasmtime)))


if __name__ == "__main__":
    main(sys.argv[1])
