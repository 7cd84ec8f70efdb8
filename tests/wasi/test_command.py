"""`hostsdk run` with WASI: directories, variables, sockets; and the adapter for the public test suite."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from tests.support.build import cc
from tests.support.cache import ROOT

HERE = Path(__file__).parent
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}


def program(tmp_path: Path, name: str) -> str:
    """A C program, on disk."""
    path = tmp_path / name.replace(".c", ".wasm")
    path.write_bytes(cc((HERE / "programs" / name).read_text(), "-s"))
    return str(path)


def run(*args: str, **options: object) -> CompletedProcess[str]:
    """`hostsdk run`."""
    command = [sys.executable, "-m", "hostsdk", "run", *args]
    return subprocess.run(command, capture_output=True, text=True, env=ENV, check=False, **options)  # type: ignore[call-overload,no-any-return]  # options of subprocess.run


COUNT = str(ROOT / "examples" / "wasi" / "count.wasm")


@pytest.mark.slow
def test_a_directory_is_given_under_a_name(tmp_path: Path) -> None:
    """--dir HOST::GUEST: the program finds its files, and may create some."""
    (tmp_path / "text").write_text("one two three")
    done = run("--dir", f"{tmp_path}::/", COUNT, "/text")
    assert (done.stdout, done.stderr, done.returncode) == ("3 words\n", "", 0)
    assert (tmp_path / "counts.txt").read_text() == "3\n"


@pytest.mark.slow
def test_a_directory_has_its_own_name_by_default(tmp_path: Path) -> None:
    """--dir HOST: the same name; --ro-dir: nothing changes there."""
    (tmp_path / "text").write_text("one two three")
    done = run("--dir", str(tmp_path), COUNT, f"{tmp_path}/text")
    assert (done.stdout, done.returncode) == ("3 words\n", 0)
    done = run("--ro-dir", f"{tmp_path}::/", COUNT, "/text")
    assert (done.stdout, done.returncode) == ("3 words\n", 0)
    assert not (tmp_path / "counts.txt").exists()
    done = run("--dir", str(tmp_path / "none"), COUNT)
    assert done.returncode == 2
    assert "no directory" in done.stderr


@pytest.mark.slow
def test_standard_input_from_a_file_a_pipe_and_nothing(tmp_path: Path) -> None:
    """The process's own standard input: a file, a pipe, the null device."""
    (tmp_path / "text").write_text("one two")
    with open(tmp_path / "text") as file:
        assert run(COUNT, stdin=file).stdout == "2 words\n"
    assert run(COUNT, input="a b c").stdout == "3 words\n"
    assert run(COUNT, stdin=subprocess.DEVNULL).stdout == "0 words\n"


def connected(process: subprocess.Popen[str], port: int) -> socket.socket:
    """A connection to a process, as soon as it listens."""
    while process.poll() is None:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except ConnectionRefusedError:
            pass
    raise ConnectionError(f"the process ended with {process.returncode}")


@pytest.mark.slow
def test_a_socket_is_listened_on(tmp_path: Path) -> None:
    """--listen HOST:PORT: the program's descriptor 3 accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "hostsdk", "run", "--listen", f"127.0.0.1:{port}", program(tmp_path, "echo.c")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=ENV) as process:
        with connected(process, port) as far:
            far.sendall(b"hello")
            assert far.recv(10) == b"HELLO"
        assert process.communicate()[0] == "served\n"
        assert process.returncode == 0
    assert run("--listen", "nowhere", COUNT).returncode == 2


@pytest.mark.slow
def test_the_adapter_runs_a_test(tmp_path: Path) -> None:
    """wasi_testsuite_adapter.py takes what the public runner passes, and gives the program's output and exit code."""
    adapter = [sys.executable, str(HERE / "wasi_testsuite_adapter.py")]
    version = subprocess.run([*adapter, "--version"], capture_output=True, text=True, env=ENV, check=True).stdout
    assert version.split()[0] == "hostsdk"
    assert len(version.split()) == 2
    (tmp_path / "text").write_text("one two three four")
    args = ["--test-file", COUNT, "--arg", "text/text", "--dir", "text", "--env", "A=b"]
    (tmp_path / "dir").mkdir()
    (tmp_path / "dir" / "text").mkdir()
    (tmp_path / "text").rename(tmp_path / "dir" / "text" / "text")
    done = subprocess.run([*adapter, *args], capture_output=True, text=True, env=ENV, cwd=tmp_path / "dir", check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("4 words\n", "", 0)
