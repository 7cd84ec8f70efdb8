"""`hostsdk run --save` and `--load`: what is stopped is kept in a file, and goes on from there."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.build import wat
from tests.support.process import hostsdk, start

TEXT = """(module (import "env" "nap" (func $nap (param i32)))
  (func (export "nap") (call $nap (i32.const 0)))
  (func (export "hold") (call $nap (i32.const 1))))"""
HOST = """
from hostsdk import BlockingContext, HostModule
host = HostModule("env")

@host.restartable
def nap(ctx: BlockingContext, hold: bool) -> None:
    if hold:
        ctx.acquire(object, release=lambda it: None)
    print("asleep", flush=True)
    ctx.sleep(100_000)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "nap.wasm").write_bytes(wat(TEXT))
    (tmp_path / "kept_host.py").write_text(HOST)
    return tmp_path


def command(*args: str, invoke: str = "nap") -> tuple[str, ...]:
    """A run of the guest."""
    return ("run", "--host", "kept_host:host", *args, "--invoke", invoke, "nap.wasm")


def stopped(folder: Path, *args: str, invoke: str = "nap") -> str:
    """What such a run says that Ctrl-C ends once the guest is asleep."""
    with start(*command(*args, invoke=invoke), cwd=folder) as process:
        assert process.line() == "asleep"
        process.send(signal.SIGINT)
        done = process.finish()
    assert done.status == -signal.SIGINT
    return done.err


def test_what_is_stopped_goes_on(folder: Path) -> None:
    """BEHAVIOURS 75: what Ctrl-C stops is kept, and goes on in another process, which may keep it, too."""
    assert stopped(folder, "--save", "first") == ""
    assert stopped(folder, "--load", "first", "--save", "second") == ""
    assert (folder / "second").stat().st_size > 100
    assert not list(folder.glob("*.tmp"))


def test_what_cannot_be_kept_is_told(folder: Path) -> None:
    """A live object that a host function holds: named, and the run ends as if nothing had been asked."""
    said = stopped(folder, "--save", "kept", invoke="hold")
    assert "not saved: resource 0, a object of host module env, is open" in said
    assert not (folder / "kept").exists()


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file or directory"), (b"x" * 100, "corrupt")], ids=["none", "other"]
)
def test_what_cannot_go_on_is_told(folder: Path, content: bytes | None, message: str) -> None:
    """A file that isn't there, or isn't one of these: one line, status 126, and nothing has run."""
    if content is not None:
        (folder / "kept").write_bytes(content)
    done = hostsdk(*command("--load", "kept"), cwd=folder)
    assert (done.status, done.out) == (126, "")
    assert message in done.err
    assert len(done.err.splitlines()) == 1
