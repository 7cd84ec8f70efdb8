"""`hostsdk inspect`, `hostsdk repl` with the line protocol, and shell completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hostsdk.cli.main import main
from tests.support.build import wat
from tests.support.cache import ROOT

HOST = """
from __future__ import annotations
import signal
from hostsdk import BlockingContext, HostModule, Question, i32

host = HostModule("env")

class Sure(Question[i32]):
    def __repr__(self) -> str:
        return "sure?"

@host.restartable
def nap(ctx: BlockingContext, ms: i32) -> None:
    ctx.sleep(ms / 1000)

@host.restartable
def strike(ctx: BlockingContext) -> None:
    ctx.once(lambda: signal.raise_signal(signal.SIGINT))
    ctx.sleep(0.01)

@host.restartable
def ask(ctx: BlockingContext) -> i32:
    return ctx.ask(Sure())
"""
GUEST = """
(module $tools
  (import "env" "nap" (func $nap (param i32)))
  (import "env" "ask" (func $ask (result i32)))
  (import "env" "strike" (func $strike))
  (memory (export "memory") 1)
  (data (i32.const 16) "hello")
  (func $add (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func $work (export "work") (result i32) (call $nap (i32.const 1)) (i32.const 7))
  (func (export "struck") (call $strike))
  (func (export "asks") (result i32) (call $ask))
  (func $deep (export "deep") (unreachable))
)
"""
PLAIN = """
(module
  (import "spectest" "print_i32" (func $print (param i32)))
  (global (export "g") i64 (i64.const 9))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "half") (param f32) (result f32) (f32.mul (local.get 0) (f32.const 0.5)))
  (func (export "two") (result i64 f64) (i64.const -1) (f64.const 1))
  (func (export "say") (call $print (i32.const 1)))
  (func (export "div") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "stop") (unreachable))
  (func $r (export "runaway") (call $r))
  (func (export "odd name\\22") (result i32) (i32.const 3))
)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with guests and a host module."""
    (tmp_path / "tools_host.py").write_text(HOST)
    (tmp_path / "guest.wasm").write_bytes(wat(GUEST))
    (tmp_path / "plain.wasm").write_bytes(wat(PLAIN))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "tools_host", raising=False)
    return tmp_path


def hostsdk(*args: str, says: str = "") -> Result:
    """The command, told `says` by its standard input."""
    return CliRunner().invoke(main, args, input=says)


def talk(*lines: str) -> list[str]:
    """What the conversation about the guest answers."""
    done = hostsdk("repl", "--host", "tools_host:host", "guest.wasm", says="".join(f"{line}\n" for line in lines))
    assert (done.exit_code, done.stderr) == (0, "")
    return [line for part in done.stdout.split("hostsdk> ") for line in part.splitlines() if line]


# inspect -----------------------------------------------------------------------------------------------------------


def test_what_a_module_needs_and_offers(folder: Path) -> None:
    """Imports with the host modules that have them, exports, features, sizes, and what stays in the interpreter."""
    done = hostsdk("inspect", "guest.wasm")
    assert done.exit_code == 1
    assert "          env.nap  (i32) -> ()  NOT INSTALLED\n" in done.stdout
    assert "          add  (i32 i32) -> (i32)\n" in done.stdout
    assert "tiers     0 of 5 functions stay in the interpreter\n" in done.stdout
    done = hostsdk("inspect", str(ROOT / "examples" / "wasi" / "count.wasm"))
    assert done.exit_code == 0
    assert "wasi_snapshot_preview1.fd_read  (i32 i32 i32 i32) -> (i32)  hostsdk " in done.stdout


def test_the_same_as_data(folder: Path) -> None:
    """`--json` has the same for programs; a function that the native tier leaves is told with the reason."""
    body = '(func $v (result v128) (v128.const i64x2 1 2)) (func (export "f") (drop (call $v)))'
    Path("vector.wasm").write_bytes(wat(f"(module (memory i64 2 5) {body})"))
    done = hostsdk("inspect", "--json", "vector.wasm")
    found = json.loads(done.stdout)
    assert (done.exit_code, found["file"], found["imports"]) == (0, "vector.wasm", [])
    assert {"simd", "memory64"} <= set(found["features"])
    assert found["sizes"]["functions"] == 2
    assert all(each["reason"] for each in found["interpreted"])


@pytest.mark.parametrize(("data", "code"), [(b"\0asm\1\0\0", 126), (b"text", 126), (None, 127)])
def test_what_is_no_module(folder: Path, data: bytes | None, code: int) -> None:
    """What can't be loaded is told as by `run`."""
    if data is not None:
        Path("bad.wasm").write_bytes(data)
    for name in ("inspect", "repl"):
        done = hostsdk(name, "bad.wasm")
        assert (done.exit_code, done.stdout) == (code, "")
        assert done.stderr.startswith("bad.wasm: ")


# repl --------------------------------------------------------------------------------------------------------------


def test_exports_are_called(folder: Path) -> None:
    """A line with a name and arguments is a call; its results, a trap with its backtrace, or what is wrong is told."""
    assert talk("add 2 0x10", "work", "deep", "add 1", "nothing", ":nothing", ":save", ":run") == [
        "18",
        "7",
        "trap: unreachable",
        "  wasm  tools.deep at byte 157",
        "add takes 2 arguments (i32, i32), not 1",
        "no function nothing; :exports lists them",
        "no command :nothing; :help lists them",
        ":save: wrong arguments; see :help",
        "the call is trapped; begin another",
    ]


def test_a_call_is_stepped_through(folder: Path) -> None:
    """BEHAVIOURS 79: check point by check point, with backtraces, what is waited for, memory, saving and going on."""
    steps = [":step"] * 3
    said = talk(":start work", *steps, ":bt", ":explain", ":save s", "add 1 2", ":run", ":load s", ":run")
    assert said[0].startswith("wasm  tools.work()")
    assert said[1] == said[2] == "host  env.nap(1)"
    assert said[3:5] == ["  0 host  env.nap(1)", said[4]]
    assert "blocked for 0.0 s in env.nap(ms=1)" in said[5]
    rest = "\n".join(said)
    assert "a call is under way: :run, :step or :drop it first" in rest
    assert said[-1] == "7"


def test_a_call_is_interrupted(folder: Path) -> None:
    """BEHAVIOURS 2: Ctrl-C suspends the call that runs, and it goes on when it is told to."""
    said = talk("struck", ":explain", ":run")
    assert said[0] == "interrupted; :bt, :explain, :run, :step, :drop, :save"
    assert said[1].startswith("struck() blocked for 0.0 s in env.strike(): sleep: waits for a deadline in 0.0")
    assert said[-1] == "returned"


def test_memory_and_questions(folder: Path) -> None:
    """Memory is shown as bytes and text; a question is answered by hand; a call may be given up."""
    said = talk(":mem 16 8", "asks", ":answer 5", "asks", ":drop", ":mem 99999999", ":exports", ":help")
    assert said[0] == "00000010  68 65 6c 6c 6f 00 00 00                          hello..."
    assert said[1:5] == ["asks: sure?; :answer VALUE", "5", "asks: sure?; :answer VALUE", "dropped"]
    assert "out of bounds" in said[5]
    assert "memory  MemoryType" in said[6]


# The line protocol --------------------------------------------------------------------------------------------------


def protocol(*lines: str) -> tuple[str, list[str]]:
    """What is written to standard output, and the lines about calls."""
    done = hostsdk("repl", "--repl", says="".join(f"{line}\n" for line in lines))
    assert done.exit_code == 0
    return done.stdout, done.stderr.splitlines()


def test_a_harness_is_answered(folder: Path) -> None:
    """A prompt for each line; numbers go by their bits; traps have the names that harnesses know."""
    out, said = protocol(
        ":load plain.wasm", "add 1 4294967295", "half 1073741824", "two", "say", "div 0", "stop", "runaway",
        r"odd\x20name\x22", ":invoke add 2 3", ":get-global g", "nothing", "add 1", "add x 1", ":what", ":exit",
    )  # fmt: skip
    assert out == "wasm3> " * 16
    assert said[:5] == [
        "Result: 0",
        "Result: 1065353216",
        "Result: 18446744073709551615:i64, 4607182418800017408:f64",
        "Result: <Empty Stack>",
        "Error: [trap] integer divide by zero (integer divide by zero)",
    ]
    assert [line.partition(" (")[0] for line in said[5:7]] == [
        "Error: [trap] unreachable executed",
        "Error: [trap] stack overflow",
    ]
    assert said[7:10] == ["Result: 3", "Result: 5:i32", "Result: 9:i64"]
    assert [line.startswith("Error: ") for line in said[10:]] == [True] * 4


def test_a_module_by_hexadecimal(folder: Path) -> None:
    """`:load-hex` reads the module from the lines that follow, and says what is wrong with one that is none."""
    data = Path("plain.wasm").read_bytes()
    lines = [data.hex()[i : i + 60] for i in range(0, 2 * len(data), 60)]
    wrong = [":load-hex 8", "00" * 8, ":load nowhere", ":load-hex 4"]
    _, said = protocol(f":load-hex {len(data)}", *lines, "add 20 22", *wrong)
    assert said[0] == "Result: 42"
    assert all(line.startswith("Error: ") for line in said[1:])
    assert len(said) == 4


def test_it_answers_before_it_is_told_more(folder: Path) -> None:
    """The prompt comes without waiting for the next line, as a harness that waits for it needs."""
    command = [sys.executable, "-m", "hostsdk", "repl", "--repl"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.STDOUT, env=env) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for line, says in ((b":load plain.wasm\n", b""), (b"add 2 2\n", b"Result: 4\n")):
            assert process.stdout.read(7) == b"wasm3> "
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.read(len(says)) == says
        process.stdin.close()


# Completion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_told_how(shell: str) -> None:
    """What each shell evaluates names the command and the variable by which it asks."""
    done = hostsdk("completion", shell)
    assert done.exit_code == 0
    assert "_HOSTSDK_COMPLETE" in done.stdout


def test_words_are_completed() -> None:
    """Subcommands, options and installed host modules are offered."""

    def offered(*words: str) -> list[str]:
        env = {"_HOSTSDK_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(words), "COMP_CWORD": str(len(words) - 1)}
        done = CliRunner().invoke(main, [], env=env, prog_name="hostsdk")
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert offered("hostsdk", "ins") == ["inspect"]
    assert "--timeout" in offered("hostsdk", "run", "--t")
    assert offered("hostsdk", "run", "--host", "wasi_u") == ["wasi_unstable"]
