"""Random bodies with exceptions from before WebAssembly 3.0, beside V8, which runs them as they are."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime import Engine, EngineConfig, Every, Injector, Module, Returned
from tests.support.build import wat
from tests.support.hosts import Call, Results, host, imports
from tests.support.native import TIERS, Native, Tier, engine

NODE = shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="node is not installed: no V8 to compare with")
MODULES, RUNS = 40, 4
#: Functions of a module; each calls those behind it.
FUNCTIONS = 4
#: Runs every module with every seed, and prints results and what was told.
SCRIPT = """
const fs = require('fs');
const found = [];
for (const file of process.argv.slice(2)) {
  const module = new WebAssembly.Module(fs.readFileSync(file)), runs = [];
  for (let seed = 0; seed < RUNS; seed++) {
    const told = [];
    const { run } = new WebAssembly.Instance(module, { h: { tell: (x) => { told.push(x); } } }).exports;
    runs.push([run(seed * 7919 + 1), told]);
  }
  found.push(runs);
}
console.log(JSON.stringify(found));
"""
HEAD = """
  (import "h" "tell" (func $tell (param i32)))
  (tag $a (param i32)) (tag $b (param i32 f64)) (tag $c) (global $state (mut i32) (i32.const 1))
  (func $next (result i32)
    (global.set $state (i32.add (i32.mul (global.get $state) (i32.const 1664525)) (i32.const 1013904223)))
    (i32.shr_u (global.get $state) (i32.const 9)))
  (func $pick (result i32) (i32.and (call $next) (i32.const 3)))
  (func $coin (result i32) (i32.eqz (call $pick)))
  (func $maybe (local $which i32)
    (local.set $which (i32.rem_u (call $next) (i32.const 6)))
    (if (i32.eq (local.get $which) (i32.const 0)) (then (throw $a (call $pick))))
    (if (i32.eq (local.get $which) (i32.const 1)) (then (throw $b (call $pick) (f64.const 1.5))))
    (if (i32.eq (local.get $which) (i32.const 2)) (then (throw $c))))
  (func (export "run") (param i32) (result i32)
    (global.set $state (local.get 0))
    try (result i32)
      (call $f0) (i32.const 100)
    catch $a
    catch $b
      drop (i32.const 10) (i32.add)
    catch_all
      (i32.const 20)
    end)
"""
#: What the handler of each tag does with the values: tells the first, or leaves all.
VALUES = {"$a": ("(call $tell)", "drop"), "$b": ("(drop) (call $tell)", "drop drop"), "$c": ("", "")}


class Writer:
    """The text of one module, drawn from a seed. Labels are a string, the innermost first: `b` a block, `t` the body of
    a `try`, `c` one of its handlers; large letters have a result."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.told = 0

    def module(self) -> str:
        functions = [
            f"(func $f{index} {self.tell()}\n{self.statements(4, 'b', index)}\n{self.tell()})"
            for index in range(FUNCTIONS)
        ]
        return f"(module {HEAD}\n" + "\n".join(functions) + ")"

    def tell(self) -> str:
        self.told += 1
        return f"(call $tell (i32.const {self.told}))"

    def statements(self, depth: int, labels: str, function: int) -> str:
        return "\n".join([self.statement(depth, labels, function) for _ in range(self.random.randint(1, 4))])

    def statement(self, depth: int, labels: str, function: int) -> str:
        drawn = self.random.random()
        if drawn < 0.2:
            return self.tell()
        if drawn < 0.42:
            return "(call $maybe)"
        if drawn < 0.5:
            last = FUNCTIONS - 1
            return f"(call $f{self.random.randint(function + 1, last)})" if function < last else self.tell()
        if drawn < 0.73:
            return self.branch(drawn, labels)
        if not depth:
            return ""
        if drawn < 0.8:
            return f"block\n{self.statements(depth - 1, 'b' + labels, function)}\nend"
        return self.try_(depth - 1, labels, function)

    def branch(self, drawn: float, labels: str) -> str:
        if drawn < 0.58:
            to = self.random.randrange(len(labels))
            branch = f"br_if {to}" if labels[to].islower() else f"br_if {to} (call $pick)"
            return f"({branch} (call $coin))" if labels[to].islower() else f"(drop ({branch} (call $coin)))"
        if drawn < 0.62:
            ways = [0] + [to for to, label in enumerate(labels, 1) if label.islower()]
            return f"(block (br_table {' '.join(str(self.random.choice(ways)) for _ in range(3))} (call $pick)))"
        handlers = [to for to, label in enumerate(labels, 1) if label in "cC"]
        if drawn < 0.7 and handlers:
            return f"(if (call $coin) (then {self.tell()} (rethrow {self.random.choice(handlers)})))"
        return "(if (call $coin) (then (return)))"

    def try_(self, depth: int, labels: str, function: int) -> str:
        result, takes, end = self.random.random() < 0.3, self.random.random() < 0.2, self.random.random()
        types = f"{'(param i32) ' if takes else ''}{'(result i32)' if result else ''}"
        value, after = ("(call $pick)", "(call $tell)") if result else ("", "")

        def part(label: str) -> str:
            return f"{self.statements(depth, (label.upper() if result else label) + labels, function)}\n{value}"

        begin = f"{'(call $pick) ' if takes else ''}try {types} {'drop' if takes else ''}\n{part('t')}\n"
        if end < 0.25:
            return f"{begin}delegate {self.random.randrange(len(labels))}\n{after}"
        clauses = [] if end < 0.3 else [self.random.choice("abc") for _ in range(self.random.randint(0, 2))]
        for tag in clauses:
            begin += f"catch ${tag} {self.random.choice(VALUES['$' + tag])}\n{part('c')}\n"
        if end > 0.6 or (end > 0.3 and not clauses):
            begin += f"catch_all\n{part('c')}\n"
        return f"{begin}end\n{after}"


TOLD: list[object] = []


@host("h", "tell", "i32 ->")
def telling(call: Call) -> Results:
    TOLD.append(call.args[0])
    return ()


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Module, list[tuple[int, list[int]]]]]:
    """Modules, and what V8 makes of each run: the result, and what is told."""
    folder = tmp_path_factory.mktemp("legacy")
    files = [folder / str(seed) for seed in range(MODULES)]
    for seed, file in enumerate(files):
        file.write_bytes(wat(Writer(seed).module()))
    script = Path(folder, "run.js")
    script.write_text(SCRIPT.replace("RUNS", str(RUNS)))
    done = subprocess.run([str(NODE), str(script), *map(str, files)], capture_output=True, check=True)
    found = json.loads(done.stdout)
    return [
        (Module.load(file.read_bytes()), [(int(result), told) for result, told in runs])
        for file, runs in zip(files, found, strict=True)
    ]


@needs_node
@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("every", [None, 1, 3])
def test_random_bodies_do_what_they_do_in_v8(
    tier: Tier, every: int | None, programs: list[tuple[Module, list[tuple[int, list[int]]]]]
) -> None:
    """Caught, thrown again, handed on and branched across alike, on both tiers; BEHAVIOURS 16: with restarts, too."""
    injector: Injector | None = None if every is None else Every(every)
    using = engine() if tier == "native" else Engine(EngineConfig(tier="interpreter"))
    for seed, (module, runs) in enumerate(programs):
        for run, (result, told) in enumerate(runs):
            TOLD.clear()
            outcome = Native(module, imports(telling), using=using, injector=injector).outcome("run", run * 7919 + 1)
            assert (outcome, TOLD) == (Returned((result,)), told), f"module {seed}, run {run}"
