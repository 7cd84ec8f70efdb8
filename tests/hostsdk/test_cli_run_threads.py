"""`hostsdk run` of programs with threads, the system's and green ones."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.build import wat
from tests.support.process import hostsdk, start
from tests.support.waits import PATIENCE

_TEXT = """(module (import "env" "memory" (memory 1 4 shared)) (export "memory" (memory 0))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (data (i32.const 16) "\\20\\00\\00\\00\\03\\00\\00\\00") (data (i32.const 32) "on\\n")
  (func (export "wasi_thread_start") (param i32 i32)
    (if (i32.eq (local.get 1) (i32.const 1)) (then (call $exit (i32.const 3))))
    (if (i32.eq (local.get 1) (i32.const 2)) (then (unreachable)))
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24)))
    (if (i32.eq (local.get 1) (i32.const 4))
      (then (drop (memory.atomic.wait32 (i32.const 12) (i32.const 0) (i64.const -1)))))
    (loop $for_ever (br $for_ever)))
  (func $do (export "do") (param i32) (result i32)
    (drop (call $spawn (local.get 0)))
    (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1)))
  (func (export "five") (result i32) (drop (call $spawn (i32.const 3))) (i32.const 5))
  (func (export "_start") (drop (call $do (i32.const 1)))))"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "threads.wasm"
    path.write_bytes(wat(_TEXT))
    return str(path)


layouts = pytest.mark.parametrize("layout", ["os", "green"])


def _run(layout: str, *args: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hostsdk", "run", "--threads", layout, *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@layouts
@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        ((), 3, ""),
        (("--invoke", "do"), 134, "trap: unreachable"),
        (("--timeout", "0.2s", "--invoke", "do"), 124, "timed out after 0.2 s"),
        (("--invoke", "five"), 0, ""),
    ],
    ids=["exit", "trap", "timeout", "return"],
)
def test_how_a_program_with_threads_ends(
    program: str, args: tuple[str, ...], status: int, says: str, layout: str
) -> None:
    """Behaviours 14, 62, 64 and 65, at the terminal: the exit status is the process's, whoever ended it."""
    given = {"trap: unreachable": ("2",), "timed out after 0.2 s": ("3",)}.get(says, ())
    done = _run(layout, *args, program, *given)
    out, err = done.communicate(timeout=PATIENCE)
    assert (done.returncode, says in err) == (status, True), err
    assert ("thread 0: host  memory.atomic.wait32(" in err and "thread 1: wasm  " in err) is ("--timeout" in args), err
    assert ("5\n" in out) is (args == ("--invoke", "five"))


@layouts
@pytest.mark.parametrize("other", ["3", "4"], ids=["computing", "waiting"])
def test_ctrl_c_ends_all_threads(program: str, other: str, layout: str) -> None:
    """A signal ends the process, whatever its threads do."""
    done = _run(layout, "--invoke", "do", program, other)
    assert done.stdout is not None
    assert done.stdout.readline() == "on\n"
    done.send_signal(signal.SIGINT)
    done.communicate(timeout=PATIENCE)
    assert done.returncode == -signal.SIGINT


_KEPT = """(module (import "env" "memory" (memory 1 1 shared)) (export "memory" (memory 0))
  (import "wasi" "thread-spawn" (func $spawn (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (data (i32.const 16) "\\20\\00\\00\\00\\03\\00\\00\\00\\40\\00\\00\\00\\01\\00\\00\\00") (data (i32.const 32) "on\\n")
  (func (export "wasi_thread_start") (param i32 i32)
    (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 8)))
    (loop $l (br_if $l (i32.eqz (i32.atomic.load8_u (i32.const 64)))))
    (i32.atomic.store (i32.const 4) (i32.const 1))
    (drop (memory.atomic.notify (i32.const 4) (i32.const 1))))
  (func (export "do") (result i32)
    (drop (call $spawn (i32.const 0)))
    (drop (call $spawn (i32.const 0)))
    (drop (call $read (i32.const 0) (i32.const 24) (i32.const 1) (i32.const 8)))
    (drop (memory.atomic.wait32 (i32.const 4) (i32.const 0) (i64.const -1)))
    (i32.load8_u (i32.const 64))))"""


@layouts
def test_what_is_stopped_goes_on(tmp_path: Path, layout: str, pipe: tuple[int, int]) -> None:
    """Behaviour 75: a program whose threads compute and read is kept when Ctrl-C ends it, and another process goes on
    with all of them, in the other layout."""
    (tmp_path / "kept.wasm").write_bytes(wat(_KEPT))
    other = {"os": "green", "green": "os"}[layout]
    first = ("run", "--threads", layout, "--save", "kept", "--invoke", "do", "kept.wasm")
    with start(*first, cwd=tmp_path, stdin=pipe[0]) as running:
        assert [running.line(), running.line()] == ["on", "on"]
        running.send(signal.SIGINT)
        done = running.finish()
    assert (done.status, done.err) == (-signal.SIGINT, "")
    second = ("run", "--threads", other, "--load", "kept", "--invoke", "do", "kept.wasm")
    again = hostsdk(*second, cwd=tmp_path, stdin=b"*")
    assert (again.status, again.out, again.err) == (0, "42\n", "")
