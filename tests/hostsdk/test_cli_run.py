"""`hostsdk run`: what a command line means, how a run ends, and what is said about it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hostsdk.cli.main import main
from runtime import without_guard_pages, without_native
from runtime.llvm import kit
from runtime.llvm.loader import LoadError
from tests.support.build import wat

HOST = '''
"""Functions that fail in several ways."""
from __future__ import annotations

from hostsdk import Context, BlockingContext, HostModule, Question, Steps, call, i32, FuncRef, Trap, TrapCode

closed = []
state = HostModule("env", state=lambda: "s", close=closed.append)
host = HostModule("env", state=list)
table = {"inner": host}
not_one = 3
cycle = host.guest("cycle", FuncRef[[], i32])

@host.function
def add(ctx: Context[list], a: i32, b: i32) -> i32:
    return a + b

@host.function
def fail(ctx: Context[list]) -> i32:
    raise ValueError("first line\\nsecond \\x1b[31m")

@host.function
def leave(ctx: Context[list]) -> i32:
    raise SystemExit(3)

@host.function
def trap(ctx: Context[list]) -> i32:
    raise Trap(TrapCode.HOST, "no more \\x1b[31m")

@host.function
def end(ctx: Context[list], code: i32) -> None:
    ctx.exit(code)

class Doubt(Question[i32]):
    def __repr__(self) -> str:
        return "really?"

@host.restartable
def ask(ctx: BlockingContext[list]) -> i32:
    return ctx.ask(Doubt())

@host.restartable
def again(ctx: Context[list]) -> Steps[i32]:
    return (yield from call(cycle))

broken = HostModule("env", state=lambda: 1 // 0)
unclosable = HostModule("env", state=list, close=lambda state: state.missing)

@unclosable.function
def nothing(ctx: Context[list]) -> i32:
    return 0
'''
GUEST = """
(module
  (import "env" "add" (func $add (param i32 i32) (result i32)))
  (import "env" "fail" (func $fail (result i32)))
  (import "env" "leave" (func $leave (result i32)))
  (import "env" "trap" (func $trap (result i32)))
  (import "env" "end" (func $end (param i32)))
  (import "env" "ask" (func $ask (result i32)))
  (import "env" "again" (func $again (result i32)))
  (memory (export "memory") 2)
  (global $ready (mut i32) (i32.const 0))
  (func (export "_initialize") (global.set $ready (i32.const 1)))
  (func (export "ready") (result i32) (global.get $ready))
  (func $_start (export "_start"))
  (func (export "add") (param i32 i32) (result i32) (call $add (local.get 0) (local.get 1)))
  (func $caller (export "fail") (result i32) (call $fail))
  (func (export "leave") (result i32) (call $leave))
  (func (export "trap") (result i32) (call $trap))
  (func (export "end") (param i32) (call $end (local.get 0)))
  (func (export "ask") (result i32) (call $ask))
  (func (export "cycle") (result i32) (call $again))
  (func $div (export "div") (param i64 i64) (result i64) (i64.div_s (local.get 0) (local.get 1)))
  (func $outer (export "outer") (drop (call $div (i64.const 1) (i64.const 0))))
  (func $deep (export "deep") (call $deep))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "halves") (param f32 f64) (result f32 f64)
    (f32.mul (local.get 0) (f32.const 0.5)) (f64.mul (local.get 1) (f64.const 0.5)))
  (func (export "reference") (param externref) (result externref) (local.get 0))
  (func (export "references") (result externref funcref) (ref.null extern) (ref.func $_start))
)
"""


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module beside the host module that it needs."""
    (tmp_path / "cli_run_host.py").write_text(HOST)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "cli_run_host", raising=False)
    (tmp_path / "guest.wasm").write_bytes(wat(GUEST))
    return "guest.wasm"


def run(*args: str) -> Result:
    """`hostsdk run ARGS`."""
    return CliRunner().invoke(main, ["run", *args])


def invoke(guest: str, *args: str, options: tuple[str, ...] = (), host: str = "host") -> Result:
    """`hostsdk run --host … --invoke ARGS`, the export's name first."""
    name, *rest = args
    return run("--host", f"cli_run_host:{host}", *options, "--invoke", name, guest, *rest)


@pytest.mark.parametrize(
    ("args", "out"),
    [
        (["add", "2", "-3"], "-1\n"),
        (["add", "0xffff_ffff", "+1"], "0\n"),
        (["div", "-9223372036854775808", "2"], "-4611686018427387904\n"),
        (["halves", "0.2", "0.2"], "0.1\n0.1\n"),
        (["halves", "0x1p-1", "inf"], "0.25\ninf\n"),
        (["halves", "nan", "-0"], "nan\n-0.0\n"),
        (["halves", "3.4028235e38", "1e400"], "1.7014117e+38\ninf\n"),
        (["references"], "null\nfuncref\n"),
        (["outer"], ""),
    ],
)
def test_invoke_prints_results(guest: str, args: list[str], out: str) -> None:
    """`--invoke` reads the arguments by the function's type, and prints each result on a line."""
    done = invoke(guest, *args)
    assert done.stdout == out
    assert done.exit_code == (0 if out else 134)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["add", "1"], "takes 2 arguments (i32, i32), not 1"),
        (["add", "1", "1.5"], "'1.5' is no integer, as i32 needs"),
        (["add", "1", "4294967296"], "4294967296 does not fit i32"),
        (["halves", "1", "one"], "'one' is no number, as f64 needs"),
        (["reference", "1"], "of type externref"),
        (["nowhere"], "no function nowhere to invoke"),
        (["memory"], "no function memory to invoke"),
    ],
)
def test_arguments_that_do_not_fit(guest: str, args: list[str], says: str) -> None:
    """What can't be called as the command line says is a usage error, 2, before anything runs."""
    done = invoke(guest, *args, host="broken")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("guest.wasm: ")
    assert says in done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ["--timeout", "0"], ["--timeout", "5x"], ["--max-memory", "64XB"], ["--max-frames", "-1"], ["--env", "=x"],
        ["--dir", "nowhere"], ["--dir", "/::"], ["--ro-dir", "nowhere"], ["--listen", "8080"], ["--listen", ":1"],
        ["--listen", "a:65536"], ["--host", "module"], ["--host", "module:"], ["--host", "a..b:c"], ["--nonsense"],
    ],
)  # fmt: skip
def test_usage_errors(guest: str, options: list[str]) -> None:
    """A wrong option is status 2, and nothing runs."""
    done = run(*options, guest)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("Usage: ")


def test_a_file_is_needed() -> None:
    """No FILE is a usage error."""
    assert run().exit_code == run("--timeout", "1s").exit_code == 2


def test_what_follows_the_file_is_the_guests(guest: str) -> None:
    """Options after FILE, and `--`, are arguments of the guest."""
    assert run("--host", "cli_run_host:host", guest, "--timeout", "0", "--nonsense", "--").exit_code == 0
    assert run("--host", "cli_run_host:host", "--", guest, "--help").stdout == ""


@pytest.mark.parametrize("code", [0, 1, 3, 124, 255, 256 + 7])
def test_the_guests_exit_code_is_the_status(guest: str, code: int) -> None:
    """The status is the guest's own code, its lowest eight bits as for any process."""
    done = invoke(guest, "end", str(code))
    assert (done.exit_code, done.stdout, done.stderr) == (code & 0xFF, "", "")


@pytest.mark.parametrize("module", ["wasi_snapshot_preview1", "wasi_unstable"])
def test_wasi_is_there_for_who_imports_it(tmp_path: Path, module: str) -> None:
    """WASI, under its present and its older name, needs no option."""
    path = tmp_path / "x.wasm"
    text = f"""(module (import "{module}" "proc_exit" (func $exit (param i32))) (memory (export "memory") 1)
      (func (export "_start") (call $exit (i32.const 9))))"""
    path.write_bytes(wat(text))
    done = run(str(path))
    assert (done.exit_code, done.stderr) == (9, "")


def test_a_reactor_is_initialized_first(guest: str) -> None:
    """`--invoke` calls `_initialize` before the export, if there is one."""
    assert invoke(guest, "ready").stdout == "1\n"


def test_a_trap(guest: str) -> None:
    """A trap is 134, with the frames and their names on standard error."""
    done = invoke(guest, "outer")
    assert done.exit_code == 134
    first, *frames = done.stderr.splitlines()
    assert first == "guest.wasm: trap: integer divide by zero"
    assert [line.split()[:3] for line in frames] == [["0", "wasm", "div"], ["1", "wasm", "outer"]]


def test_a_host_functions_trap(guest: str) -> None:
    """A trap raised by a host function shows it among the frames; its text can't command a terminal."""
    done = invoke(guest, "trap")
    assert done.exit_code == 134
    assert done.stderr.splitlines()[:2] == ["guest.wasm: trap: no more \\x1b[31m", "    0 host  env.trap"]
    assert "\x1b" not in done.stderr


def test_a_long_backtrace_is_cut(guest: str) -> None:
    """BEHAVIOURS 13: too deep is a trap; of its thousands of frames both ends are shown, and the others counted."""
    done = invoke(guest, "deep", options=("--max-frames", "1000"))
    lines = done.stderr.splitlines()
    assert done.exit_code == 134
    assert lines[0] == "guest.wasm: trap: call stack exhausted"
    assert lines[17] == "      … 976 more …"
    assert len(lines) == 1 + 16 + 1 + 8


def test_a_callback_cycle_is_too_deep(guest: str) -> None:
    """BEHAVIOURS 13: a cycle of callbacks ends at the limit of frames."""
    done = invoke(guest, "cycle", options=("--max-frames", "300"))
    assert done.exit_code == 134
    assert done.stderr.startswith("guest.wasm: trap: call stack exhausted\n    0 ")


def test_an_error_of_a_host_function(guest: str) -> None:
    """A host function's exception is 125, with the frames and the traceback of its own code, in plain text."""
    done = invoke(guest, "fail")
    assert done.exit_code == 125
    lines = done.stderr.splitlines()
    assert lines[0] == "guest.wasm: host function env.fail failed: ValueError: first line"
    assert [line.split()[1:3] for line in lines[1:3]] == [["host", "env.fail"], ["wasm", "caller"]]
    assert lines[3] == "Traceback (most recent call last):"
    assert 'cli_run_host.py", line' in lines[4]
    assert "hostsdk/" not in done.stderr
    assert "\x1b" not in done.stderr


def test_a_host_function_does_not_end_the_command(guest: str) -> None:
    """SystemExit of a host function is an error like any other; `ctx.exit` is the way."""
    done = invoke(guest, "leave")
    assert done.exit_code == 125
    assert done.stderr.startswith("guest.wasm: host function env.leave failed: SystemExit: 3\n")


def test_a_question_that_nobody_answers(guest: str) -> None:
    """There is nobody to answer what a host function asks: 125."""
    done = invoke(guest, "ask")
    assert done.exit_code == 125
    assert done.stderr.startswith("guest.wasm: env.ask asked really?, and nobody")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cli_run_absent:host", "ModuleNotFoundError: No module named 'cli_run_absent'"),
        ("cli_run_host:absent", "AttributeError: "),
        ("cli_run_host:not_one", "it is a int, not a HostModule"),
        ("cli_run_bad:host", "ZeroDivisionError: "),
        ("cli_run_exit:host", "SystemExit: 9"),
    ],
)
def test_a_host_module_that_cannot_be_had(guest: str, name: str, says: str) -> None:
    """A host module that can't be imported, or is none, is 125, and named."""
    Path("cli_run_bad.py").write_text("def f():\n    1 // 0\nf()\n")
    Path("cli_run_exit.py").write_text("raise SystemExit(9)\n")
    done = run("--host", name, guest)
    assert done.exit_code == 125
    assert done.stderr.startswith(f"guest.wasm: host module {name}: {says}")


@pytest.mark.parametrize(
    ("host", "says"), [("broken", "starting a host module failed: "), ("unclosable", "closing a host module failed: ")]
)
def test_a_host_modules_state_that_fails(guest: str, host: str, says: str) -> None:
    """Making a host module's state, or closing it, may fail: 125."""
    Path("small.wasm").write_bytes(wat('(module (func (export "_start")))'))
    done = run("--host", f"cli_run_host:{host}", "small.wasm")
    assert done.exit_code == 125
    assert done.stderr.startswith(f"small.wasm: {says}")


def test_host_modules_are_closed_if_another_fails(guest: str) -> None:
    """Where a state can't be made, those made before it are closed."""
    done = run("--host", "cli_run_host:state", "--host", "cli_run_host:broken", guest)
    assert done.exit_code == 125
    assert sys.modules["cli_run_host"].closed == ["s"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "malformed: "),
        (b"\0asm\1\0\0", "malformed: "),
        (wat("(module (func (result i32)))"), "invalid: "),
        (wat("(module)"), "no command: it exports no _start"),
        (wat('(module (func (export "_start")) (memory 65536))'), "linear memory: "),
    ],
)
def test_files_that_cannot_run(tmp_path: Path, data: bytes, says: str) -> None:
    """Malformed, invalid, too large, no command: 126, in one line that is named after the file."""
    path = tmp_path / "x.wasm"
    path.write_bytes(data)
    done = run("--max-memory", "1MiB", str(path))
    assert (done.exit_code, done.stdout) == (126, "")
    assert done.stderr.startswith(f"{path}: {says}")
    assert done.stderr.count("\n") == 1


def test_a_feature_that_is_not_there(tmp_path: Path) -> None:
    """A module that needs more than this engine has is 126, and the message names the feature."""
    path = tmp_path / "x.wasm"
    path.write_bytes(wat("(module (memory 1) (memory 1))"))
    done = run("--features", "2.0", str(path))
    assert done.exit_code == 126
    assert done.stderr.startswith(f"{path}: not supported: ")
    assert "'multi-memory'" in done.stderr


def test_every_missing_import_is_named(guest: str) -> None:
    """An unresolved import is 126, and the message has all of them."""
    done = run(guest)
    assert done.exit_code == 126
    assert done.stderr.startswith("guest.wasm: unlinkable: unknown import: ")
    for name in ("add", "fail", "leave", "trap", "end", "ask", "again"):
        assert f"env.{name} (function" in done.stderr


def test_an_import_of_another_type(guest: str) -> None:
    """An import that is there with another type is 126."""
    data = wat('(module (import "env" "add" (func (param i64))) (func (export "_start")))')
    Path("other.wasm").write_bytes(data)
    done = run("--host", "cli_run_host:host", "other.wasm")
    assert done.exit_code == 126
    assert done.stderr.startswith("other.wasm: unlinkable: incompatible import type: env.add ")


def test_no_such_file(tmp_path: Path) -> None:
    """A FILE that isn't there is 127; one that is there and can't be read as a file 126."""
    done = run("nowhere.wasm")
    assert (done.exit_code, done.stderr) == (127, "nowhere.wasm: no such file\n")
    done = run(str(tmp_path))
    assert (done.exit_code, done.stderr) == (126, f"{tmp_path}: Is a directory\n")


def test_a_name_of_the_guests_is_no_command_to_a_terminal(tmp_path: Path) -> None:
    """Export names are shown without what a terminal would obey."""
    path = tmp_path / "x.wasm"
    path.write_bytes(wat(r'(module (func (export "\1b[2J")))'))
    done = run(str(path))
    assert "\\x1b[2J" in done.stderr
    assert "\x1b" not in done.stderr


def test_limits_hold(guest: str) -> None:
    """`--max-memory` bounds what the guest may grow to."""
    assert invoke(guest, "grow", "14", options=("--max-memory", "1MiB")).stdout == "2\n"
    assert invoke(guest, "grow", "15", options=("--max-memory", "1024KiB")).stdout == "-1\n"


@pytest.mark.parametrize(
    ("start", "status", "says"),
    [
        ("unreachable", 134, "trap: unreachable\n    0 wasm  begin at byte "),
        ("(drop (call $fail))", 125, "host function env.fail failed: ValueError: first line\n"),
        ("(call $end (i32.const 5))", 5, ""),
        ("(drop (call $ask))", 125, "env.ask asked really?, and nobody"),
    ],
)
def test_a_start_function_that_does_not_return(guest: str, start: str, status: int, says: str) -> None:
    """What ends the start function ends the run in the same way."""
    text = f"""
      (module
        (import "env" "fail" (func $fail (result i32)))
        (import "env" "end" (func $end (param i32)))
        (import "env" "ask" (func $ask (result i32)))
        (func $begin {start})
        (start $begin)
        (func (export "_start") unreachable))
    """
    Path("start.wasm").write_bytes(wat(text))
    done = run("--host", "cli_run_host:host", "start.wasm")
    assert done.exit_code == status
    assert done.stderr.startswith(f"start.wasm: {says}" if says else "")
    assert bool(done.stderr) == bool(says)


def test_a_segment_that_does_not_fit(tmp_path: Path) -> None:
    """An active segment out of bounds is a trap of instantiation, 134."""
    path = tmp_path / "x.wasm"
    path.write_bytes(wat('(module (memory 1) (data (i32.const 65536) "x") (func (export "_start")))'))
    done = run(str(path))
    assert (done.exit_code, done.stderr) == (134, f"{path}: trap: out of bounds memory access\n")


def test_info() -> None:
    """`hostsdk info` tells versions, tiers, guard pages and features."""
    done = CliRunner().invoke(main, ["info"])
    rows = dict(re.split(r" {2,}", line, maxsplit=1) for line in done.stdout.splitlines())
    assert done.exit_code == 0
    assert rows["tiers"].startswith("interpreter")
    assert {"hostsdk", "python", "attrs", "cbor2", "click"} <= rows.keys()
    assert "multi-memory" in rows["features"]
    assert rows["guard pages"].startswith("on" if without_guard_pages() is None else "off")


@pytest.mark.skipif(without_native() is not None, reason=str(without_native()))
def test_info_tells_why_there_are_no_guard_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the trial of guard pages came to stands beside the tiers."""

    def failing() -> bytes:
        raise LoadError("the trial has failed (-11)")

    monkeypatch.setattr(kit, "_tried", failing)
    done = CliRunner().invoke(main, ["info"])
    assert done.exit_code == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("guard pages ")]
    assert line.endswith(" off, bounds are checked (the trial has failed (-11))")
