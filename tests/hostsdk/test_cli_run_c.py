"""C programs, compiled for WASI, under `hostsdk run`: they are run, and stopped, as programs of the system are."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.build import cc
from tests.support.process import Process, hostsdk, start, start_in_terminal

PROGRAM = r"""
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((import_module("env"), import_name("wait"))) int host_wait(int);

static int say(const char *what) { puts(what); fflush(stdout); return 0; }

int main(int argc, char **argv) {
    const char *mode = argc > 1 ? argv[1] : "";
    char line[100];
    if (!strcmp(mode, "args"))
        for (int i = 0; i < argc; i++) say(argv[i]);
    else if (!strcmp(mode, "env"))
        for (int i = 2; i < argc; i++) say(getenv(argv[i]) ? getenv(argv[i]) : "unset");
    else if (!strcmp(mode, "exit"))
        return atoi(argv[2]);
    else if (!strcmp(mode, "cat"))
        while (fgets(line, sizeof line, stdin)) fputs(line, stdout);
    else if (!strcmp(mode, "yes"))
        for (;;) puts("y");
    else if (!strcmp(mode, "error"))
        fputs("to standard error\n", stderr);
    else if (!strcmp(mode, "abort")) {
        printf("unwritten");
        abort();
    }
    else if (!strcmp(mode, "sleep"))
        say("sleep"), sleep(100000);
    else if (!strcmp(mode, "read"))
        say("read"), read(0, line, sizeof line), say("was read");
    else if (!strcmp(mode, "poll")) {
        struct pollfd fd = {0, POLLIN, 0};
        say("poll"), poll(&fd, 1, -1), say("was polled");
    }
    else if (!strcmp(mode, "loop")) {
        say("loop");
        for (volatile int i = 0;; i++) {}
    }
    else if (!strcmp(mode, "host"))
        host_wait(1);
    return 0;
}
"""
HOST = """
from hostsdk import Context, HostModule, Steps, i32, sleep

host = HostModule("env")

@host.restartable
def wait(ctx: Context[None], n: i32) -> Steps[i32]:
    try:
        print("host", flush=True)
        yield from sleep(100_000)
    finally:
        print("cleaned", flush=True)
    return n
"""
#: Ways to block, each of which says its name when it does, or is about to.
BLOCKS = ["sleep", "read", "poll", "loop", "host"]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the program and its host module."""
    folder = tmp_path_factory.mktemp("c")
    (folder / "prog.wasm").write_bytes(cc(PROGRAM))
    (folder / "chost.py").write_text(HOST)
    return folder


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe that stays open on both sides."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def prog(*args: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command line that runs the program with `args`."""
    return ["run", "--host", "chost:host", *options, "prog.wasm", *args]


def follow(process: Process, first: str) -> None:
    """Wait for the line `first`."""
    while process.line() != first:
        pass


def test_arguments(room: Path) -> None:
    """The program's name is FILE as it was given, and everything after it is an argument, options and `--` too."""
    done = hostsdk(*prog("args", "a b", "--timeout", "--", ""), cwd=room)
    assert (done.status, done.out, done.err) == (0, "prog.wasm\nargs\na b\n--timeout\n--\n\n", "")


def test_environment(room: Path) -> None:
    """The guest gets the variables that `--env` gives it, ours by name alone, and no others."""
    options = ("--env", "ONE=1", "--env", "TWO=a=b", "--env", "MINE", "--env", "ABSENT", "--env", "ONE=again")
    args = prog("env", "ONE", "TWO", "MINE", "ABSENT", "PATH", options=options)
    done = hostsdk(*args, cwd=room, env={"MINE": "ours"})
    assert done.out.splitlines() == ["again", "a=b", "ours", "unset", "unset"]


@pytest.mark.parametrize("code", [0, 1, 77, 255])
def test_exit_codes(room: Path, code: int) -> None:
    """The status is what main returned."""
    assert hostsdk(*prog("exit", str(code)), cwd=room).status == code


def test_streams(room: Path) -> None:
    """Standard input, output and error are the command's own."""
    assert hostsdk(*prog("cat"), cwd=room, stdin=b"one\ntwo\n").out == "one\ntwo\n"
    done = hostsdk(*prog("error"), cwd=room)
    assert (done.out, done.err) == ("", "to standard error\n")


def test_an_abort(room: Path) -> None:
    """abort() is a trap: 134, which is what a shell shows for SIGABRT, with the names of the functions."""
    done = hostsdk(*prog("abort"), cwd=room)
    lines = done.err.splitlines()
    assert (done.status, lines[0]) == (134, "prog.wasm: trap: unreachable")
    assert [name in line for name, line in zip(("abort", "main"), lines[1:], strict=False)] == [True, True]
    assert "_start" in lines[-1]


def test_an_address_that_is_taken(room: Path) -> None:
    """Where `--listen` can't be had, that is a usage error, and nothing runs."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = hostsdk(*prog("args", options=("--listen", f"127.0.0.1:{port}")), cwd=room)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"prog.wasm: can't listen on 127.0.0.1:{port}: Address already in use")


@pytest.mark.parametrize("mode", BLOCKS)
def test_timeout(room: Path, pipe: tuple[int, int], mode: str) -> None:
    """BEHAVIOURS 11: `--timeout` stops a program wherever it is, with 124 and the place."""
    with start(*prog(mode, options=("--timeout", "500ms")), cwd=room, stdin=pipe[0]) as process:
        done = process.finish()
    assert done.status == 124
    assert done.err.startswith("prog.wasm: timed out after 0.5 s\n")
    assert ("cleaned" in done.out) == (mode == "host" and "host" in done.out)


@pytest.mark.parametrize("mode", BLOCKS)
def test_ctrl_c(room: Path, pipe: tuple[int, int], mode: str) -> None:
    """Ctrl-C stops it, with cleanup, and the process has died of SIGINT."""
    with start(*prog(mode), cwd=room, stdin=pipe[0]) as process:
        follow(process, mode)
        process.send(signal.SIGINT)
        done = process.finish()
    assert (done.status, done.err) == (-signal.SIGINT, "")
    assert done.out == ("cleaned\n" if mode == "host" else "")


@pytest.mark.parametrize("mode", BLOCKS)
def test_ctrl_c_at_a_terminal(room: Path, mode: str) -> None:
    """The same by the key, where standard input is the terminal."""
    with start_in_terminal(*prog(mode), cwd=room) as terminal:
        follow(terminal.process, mode)
        terminal.type(b"\x03")
        done = terminal.process.finish()
    assert done.status == -signal.SIGINT
    assert ("cleaned" in done.out) == (mode == "host")


@pytest.mark.parametrize("mode", ["sleep", "loop", "host"])
def test_ctrl_c_with_a_file_as_input(room: Path, mode: str) -> None:
    """The same with a regular file as standard input."""
    with open(room / "chost.py", "rb") as file, start(*prog(mode), cwd=room, stdin=file) as process:
        follow(process, mode)
        process.send(signal.SIGINT)
        done = process.finish()
    assert (done.status, done.err) == (-signal.SIGINT, "")


@pytest.mark.parametrize("end", ["data", "signal", "trap", "kill"])
def test_a_pipe_stays_blocking(room: Path, pipe: tuple[int, int], end: str) -> None:
    """BEHAVIOURS 45: O_NONBLOCK of the pipes that the guest shares with us is unset before, during and after the run:
    the guest exits, is stopped, traps, or its process is killed."""
    mode = "abort" if end == "trap" else "read"
    with start(*prog(mode), cwd=room, stdin=pipe[0], stderr=pipe[1]) as process:
        assert os.get_blocking(pipe[0])
        if mode == "read":
            follow(process, "read")
        assert [os.get_blocking(fd) for fd in pipe] == [True, True]
        if end == "data":
            os.write(pipe[1], b"x\n")
            follow(process, "was read")
        elif end != "trap":
            process.send(signal.SIGINT if end == "signal" else signal.SIGKILL)
        status = process.finish().status
    assert [os.get_blocking(fd) for fd in pipe] == [True, True]
    assert status == {"data": 0, "signal": -signal.SIGINT, "trap": 134, "kill": -signal.SIGKILL}[end]


@pytest.mark.parametrize("mode", ["read", "poll"])
def test_a_terminal_stays_blocking(room: Path, mode: str) -> None:
    """BEHAVIOURS 45, 46: the same for a terminal, whose line the guest gets as soon as it is typed."""
    with start_in_terminal(*prog(mode), cwd=room) as terminal:
        assert os.get_blocking(terminal.shared)
        follow(terminal.process, mode)
        assert os.get_blocking(terminal.shared)
        terminal.type(b"x\n")
        done = terminal.process.finish()
        assert os.get_blocking(terminal.shared)
    assert done.status == 0
    assert {"read": "was read", "poll": "was polled"}[mode] in done.out


def test_a_file_stays_blocking(room: Path) -> None:
    """BEHAVIOURS 45: the same for a regular file."""
    with open(room / "chost.py", "rb") as file, start(*prog("cat"), cwd=room, stdin=file) as process:
        done = process.finish()
        assert os.get_blocking(file.fileno())
    assert done.out == HOST


def test_nobody_reads_its_output(room: Path) -> None:
    """`prog yes | head`: the program dies of SIGPIPE although it looks at no result, without a word."""
    with start(*prog("yes"), cwd=room) as process:
        assert process.line() == "y"
        assert process.popen.stdout is not None
        process.popen.stdout.close()
        process.out = -1
        done = process.finish()
    assert (done.status, done.err) == (-signal.SIGPIPE, "")


def test_missing_imports_beside_wasi(room: Path) -> None:
    """Without its host module, the program's missing import is named, and none of WASI's; then what to install."""
    done = hostsdk("run", "prog.wasm", cwd=room)
    assert done.status == 126
    first, hint = done.err.splitlines()[:2]
    assert first == "prog.wasm: unlinkable: unknown import: env.wait (function (i32) -> (i32))"
    assert hint.startswith("no installed package has a host module 'env'; install one that does (hostsdk-env ")


def test_it_starts_light(room: Path) -> None:
    """A program that uses WASI runs without asyncio, rich, multiprocessing or llvmlite being imported."""
    code = (
        "import sys\nfrom hostsdk.cli.main import main\n"
        "try: main(sys.argv[1:])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    with start(*prog("exit", "3"), cwd=room, command=[sys.executable, "-c", code]) as process:
        done = process.finish()
    loaded = set(done.err.split())
    assert done.status == 3
    assert "hostsdk.wasi" in loaded
    assert not loaded & {"asyncio", "rich", "multiprocessing", "llvmlite", "email", "importlib.metadata"}
