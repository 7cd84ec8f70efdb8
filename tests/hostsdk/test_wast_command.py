"""`hostsdk wast` as a person calls it, with the real engine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hostsdk.cli.main import main
from hostsdk.cli.wast_engine import ScriptEngine
from hostsdk.cli.wast_script import run_script
from tests.support.spec import spec_json

GOOD = """
(module $m
  (import "spectest" "print_i32" (func $print (param i32)))
  (import "spectest" "global_i64" (global i64))
  (import "spectest" "table" (table 10 funcref))
  (import "spectest" "memory" (memory 1 2))
  (func (export "sum") (param i32) (result i32) (local i32)
    (loop $again
      (call $print (local.get 0))
      (local.set 1 (i32.add (local.get 1) (local.get 0)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (global (export "seven") f32 (f32.const 7))
  (func (export "same") (param externref) (result externref) (local.get 0))
  (func $deep (export "deep") (call $deep))
  (func (export "bits") (param f32) (result f32) (local.get 0))
)
(assert_return (invoke "sum" (i32.const 10)) (i32.const 55))
(assert_return (get "seven") (f32.const 7))
(assert_return (invoke "same" (ref.extern 3)) (ref.extern 3))
(assert_return (invoke "bits" (f32.const nan:0x200001)) (f32.const nan:0x200001))
(assert_exhaustion (invoke "deep") "call stack exhausted")
(register "m" $m)
(module (import "m" "sum" (func (param i32) (result i32))) (start 1) (func (drop (call 0 (i32.const 3)))))
(assert_unlinkable (module (import "m" "sum" (func))) "incompatible import type")
(assert_trap (module (start 0) (func unreachable)) "unreachable")
(assert_invalid (module (func (result i32))) "type mismatch")
(assert_malformed (module binary "") "unexpected end")
(assert_malformed (module quote "(func") "unexpected end")
"""
BAD = """
(module (func (export "one") (result i32) (i32.const 1)) (func (export "two")))
(assert_return (invoke "one") (i32.const 2))
(assert_trap (invoke "two") "unreachable")
"""


def script(folder: Path, name: str, text: str) -> str:
    """The JSON form of a script in the text format."""
    path = folder / f"{name}.wast"
    path.write_text(text)
    return str(spec_json(path))


def wast(*args: str) -> Result:
    """`hostsdk wast ARGS`."""
    return CliRunner().invoke(main, ["wast", *args])


@pytest.mark.parametrize(
    "options",
    [[], ["--suspend-every", "1"], ["--suspend-every", "7"], ["--tier", "interpreter"], ["--guard-pages"]],
)
def test_a_good_script(tmp_path: Path, options: list[str]) -> None:
    """One line for the file, the skipped by reason, the totals last; status 0. Suspensions change nothing."""
    done = wast(*options, script(tmp_path, "good", GOOD))
    assert done.stdout.splitlines() == [
        "good.json: 12 passed, 0 failed, 1 skipped (1 text format)",
        "skipped 1: text format",
        "12 passed, 0 failed, 1 skipped",
    ]
    assert (done.stderr, done.exit_code) == ("", 0)


def test_suspensions_happen(tmp_path: Path) -> None:
    """`--suspend-every` suspends as often as it says: at each check point, at every seventh, or never."""
    path = Path(script(tmp_path, "good", GOOD))
    counts = []
    for every in (None, 7, 1):
        engine = ScriptEngine(suspend_every=every)
        run_script(path, engine)
        counts.append(engine.store.counters.suspensions["Injected"])
    assert counts[0] == 0 < counts[1] <= counts[2] / 7


def test_a_failed_command_is_shown(tmp_path: Path) -> None:
    """Each failed command is told on standard error, the others go on, and the status is 1."""
    done = wast(script(tmp_path, "bad", BAD), script(tmp_path, "good", GOOD))
    assert done.stdout.splitlines()[0] == "bad.json: 1 passed, 2 failed, 0 skipped"
    assert done.stdout.splitlines()[-1] == "13 passed, 2 failed, 1 skipped"
    assert done.stderr.splitlines() == [
        "bad.json:3: assert_return: expected i32 0x2; got i32 0x1",
        "bad.json:4: assert_trap: expected trap (unreachable); it succeeded",
    ]
    assert done.exit_code == 1


def test_a_file_that_is_no_script(tmp_path: Path) -> None:
    """A file that can't be read as a script counts as failed, and is named."""
    path = tmp_path / "x.json"
    path.write_text("?")
    done = wast(str(path))
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (1, "0 passed, 1 failed, 0 skipped")
    assert str(path) in done.stderr


@pytest.mark.parametrize("args", [[], ["nowhere.json"], ["--suspend-every", "0", __file__], ["--tier", "x", __file__]])
def test_usage_errors(args: list[str]) -> None:
    """A wrong command line is status 2, before anything runs."""
    assert wast(*args).exit_code == 2


def test_the_command_and_the_module_are_the_same() -> None:
    """`python -m hostsdk --help` lists the subcommands without importing them, nor what they need."""
    code = (
        "import runpy, sys; sys.argv[1:] = ['--help']\n"
        "try: runpy.run_module('hostsdk', run_name='__main__')\n"
        "finally: print(*[m for m in ('rich', 'asyncio', 'llvmlite', 'hostsdk.cli.wast') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("Usage: hostsdk ")
    assert "\n  wast " in done.stdout
    assert done.stdout.splitlines()[-1] == ""
