"""`hostsdk compile`, `hostsdk cache`, and what `hostsdk run` does with what they keep."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hostsdk.cli.main import main
from runtime import without_native
from tests.support.build import wat
from tests.support.cache import ROOT

pytestmark = pytest.mark.skipif(without_native() is not None, reason=str(without_native()))

SUM = """(module (func (export "sum") (param i32) (result i32) (local i32)
  (loop $l (local.set 1 (i32.add (local.get 1) (local.get 0)))
    (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1))
  (func (export "same") (param i64) (result i64) (local.get 0)))"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program, and a cache of its own."""
    monkeypatch.setenv("HOSTSDK_CACHE", str(tmp_path / "kept"))
    path = tmp_path / "sum.wasm"
    path.write_bytes(wat(SUM))
    return path


def test_compiled_ahead(program: Path) -> None:
    """`hostsdk compile` says what came of it, `hostsdk cache` what there is; a second time there is nothing to do."""
    first = CliRunner().invoke(main, ["compile", str(program)])
    assert first.exit_code == 0
    assert first.stdout.startswith(f"{program}: 2 functions in machine code; ")
    again = CliRunner().invoke(main, ["compile", str(program)])
    assert "2 were there before" in again.stdout
    assert "1 modules, 1 files" in CliRunner().invoke(main, ["cache"]).stdout
    assert CliRunner().invoke(main, ["cache", "clear"]).exit_code == 0
    assert "0 modules, 0 files" in CliRunner().invoke(main, ["cache", "show"]).stdout


@pytest.mark.slow
def test_the_next_run_has_it_without_llvm(program: Path) -> None:
    """`hostsdk run` of what was compiled runs machine code, and LLVM is never imported."""
    assert CliRunner().invoke(main, ["compile", str(program)]).exit_code == 0
    code = (
        "import sys; from hostsdk.cli.main import main; main(['run', '--invoke', 'sum', sys.argv[1], '100000'], "
        "standalone_mode=False)"
    )
    # One is the interpreter's alone, which imports nothing of the other's.
    script = f"import atexit, sys; atexit.register(lambda: print('llvmlite' in sys.modules, 'runtime.llvm.image' in sys.modules)); {code}"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", script, program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["705082704", "False", "True"]


@pytest.mark.slow
def test_the_second_run_has_what_the_first_left(program: Path) -> None:
    """A program that computes, run twice by the command: the first run is compiled on its way, and the second is in
    machine code from the start, without LLVM. The interpreter alone would take minutes for each."""
    script = (
        "import atexit, sys; from hostsdk.cli.main import main\n"
        "atexit.register(lambda: print('llvmlite' in sys.modules, 'runtime.llvm.image' in sys.modules))\n"
        "main(['run', '--invoke', 'sum', *sys.argv[1:]], standalone_mode=False)"
    )
    for _ in range(2):
        command = [sys.executable, "-c", script, str(program), "100000000"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        assert done.stdout.split() == ["987459712", "False", "True"]


def test_the_tier_can_be_chosen(program: Path) -> None:
    """`--tier` names it, and the result is the same."""
    for tier in ("interpreter", "native", "auto"):
        done = CliRunner().invoke(main, ["run", "--tier", tier, "--invoke", "sum", str(program), "1000"])
        assert (done.exit_code, done.stdout) == (0, "500500\n")


def test_what_is_no_module(program: Path) -> None:
    """A file that is no module is told, and the status is 1."""
    program.write_bytes(b"\0asm nonsense")
    done = CliRunner().invoke(main, ["compile", str(program)])
    assert done.exit_code == 1
    assert str(program) in done.stderr


def test_nothing_is_kept_where_that_is_off(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With HOSTSDK_CACHE=off the commands say so."""
    monkeypatch.setenv("HOSTSDK_CACHE", "off")
    assert "HOSTSDK_CACHE is off" in CliRunner().invoke(main, ["cache"]).stdout
    assert CliRunner().invoke(main, ["cache", "clear"]).exit_code == 1
    done = CliRunner().invoke(main, ["compile", str(program)])
    assert (done.exit_code, "HOSTSDK_CACHE is off" in done.stderr) == (1, True)
