"""`hostsdk run` as a process: timeouts, signals, and what becomes of its streams.

Tests wait for what the process says, and never for time to pass: whether a signal finds the guest already blocked or
just about to be, it has to end in the same way.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.build import wat
from tests.support.process import COMMAND, Process, hostsdk, start, start_in_terminal

HOST = '''
"""Functions that say where they are, and block in every way that there is."""
from __future__ import annotations

import os
import sys
import threading
import time

from hostsdk import BlockingContext, Context, FuncRef, HostModule, Steps, block_until, call, i32, sleep, tail_call

host = HostModule("env", state=list, close=lambda state: say(*state))
ping_ = host.guest("ping", FuncRef[[], i32])
pong_ = host.guest("pong", FuncRef[[], i32])
spin_ = host.guest("spin", FuncRef[[], None])

def say(*words: object) -> None:
    if words:
        print(*words, flush=True)

@host.function
def ready(ctx: Context[list]) -> None:
    ctx.state.append("closed")
    say("ready")

@host.restartable
def asleep(ctx: Context[list]) -> Steps[i32]:
    try:
        say("asleep")
        yield from sleep(100_000)
    finally:
        say("cleaned")
    return 0

@host.restartable
def read(ctx: BlockingContext[list]) -> i32:
    ctx.acquire(lambda: None, release=lambda _: say("cleaned"))
    say("reading")
    ctx.block_until(readable=0)
    data = os.read(0, 100)
    say("read", data)
    return len(data)

@host.restartable
def attempt(ctx: BlockingContext[list]) -> i32:
    ctx.acquire(lambda: None, release=lambda _: say("cleaned"))
    say("trying")
    return len(ctx.block_until(lambda: os.read(0, 100), readable=0))

@host.restartable
def polled(ctx: BlockingContext[list]) -> i32:
    ctx.acquire(lambda: None, release=lambda _: say("cleaned"))
    say("polling")
    ctx.block_until(lambda: None)
    return 0

def guarded(block):
    try:
        say("blocked")
        block()
    finally:
        say("cleaned")
    return 0

@host.function
def plain_sleep(ctx: Context[list]) -> i32:
    return guarded(lambda: time.sleep(100_000))

@host.function
def plain_read(ctx: Context[list]) -> i32:
    return guarded(sys.stdin.readline)

@host.function
def plain_lock(ctx: Context[list]) -> i32:
    return guarded(threading.Event().wait)

@host.function
def plain_loop(ctx: Context[list]) -> i32:
    def forever():
        while True:
            pass
    return guarded(forever)

@host.function
def deaf(ctx: Context[list]) -> i32:
    try:
        return guarded(lambda: time.sleep(100_000))
    except BaseException:
        return 0

@host.restartable
def callback(ctx: Context[list]) -> Steps[i32]:
    try:
        yield from call(spin_)
    finally:
        say("cleaned")
    return 0

@host.restartable
def ping(ctx: BlockingContext[list]) -> i32:
    return tail_call(pong_)

@host.restartable
def pong(ctx: BlockingContext[list]) -> i32:
    return tail_call(ping_)

@host.restartable
def stuck(ctx: Context[list]) -> Steps[i32]:
    try:
        say("asleep")
        yield from sleep(100_000)
    finally:
        say("cleaning")
        time.sleep(100_000)
    return 0

@host.restartable
def tidy(ctx: BlockingContext[list]) -> i32:
    try:
        say("blocked")
        ctx.sleep(100_000)
    finally:
        time.sleep(0.3)
        say("cleaned")
    return 0

@host.function
def talk(ctx: Context[list]) -> i32:
    print("word", flush=True)
    return 0

@host.function
def broken_pipe(ctx: Context[list]) -> i32:
    r, w = os.pipe()
    os.close(r)
    try:
        os.write(w, b"x")
    except BrokenPipeError:
        say("broken")
    return 0

@host.function
def modules(ctx: Context[list]) -> i32:
    say(*sys.modules)
    return 0

slow_to_close = HostModule("env", state=int, close=lambda state: guarded(lambda: time.sleep(100_000)))
'''
FUNCTIONS = {
    "asleep", "read", "attempt", "polled", "plain_sleep", "plain_read", "plain_lock", "plain_loop", "deaf", "callback",
    "stuck", "tidy", "talk", "broken_pipe", "modules",
}  # fmt: skip
GUEST = f"""
(module
  (import "env" "ready" (func $ready))
  {"".join(f'(import "env" "{name}" (func ${name} (result i32)))' for name in sorted(FUNCTIONS))}
  (import "env" "ping" (func $ping (result i32)))
  (import "env" "pong" (func $pong (result i32)))
  (export "ping" (func $ping))
  (export "pong" (func $pong))
  (type $void (func))
  (table 1 funcref)
  (elem (i32.const 0) $indirect)
  {"".join(f'(func (export "{name}") (drop (call ${name})))' for name in sorted(FUNCTIONS))}
  (func $spin (export "spin") (call $ready) (loop $on (br $on)))
  (func $recursion (export "recursion") (call $ready) (return_call $again))
  (func $again (return_call $again))
  (func (export "recursion_indirect") (call $ready) (return_call $indirect))
  (func $indirect (return_call_indirect (type $void) (i32.const 0)))
  (func (export "trampoline") (call $ready) (drop (call $ping)))
  (func (export "deaf_and_on") (drop (call $deaf)) (loop $on (br $on)))
  (func (export "talk_on") (loop $on (drop (call $talk)) (br $on)))
  (func (export "_start") (call $ready))
)
"""
STARTING = """
(module
  (import "env" "ready" (func $ready))
  (import "env" "asleep" (func $asleep (result i32)))
  (start $begin)
  (func $begin (call $ready) %s)
  (func (export "_start") unreachable))
"""
#: Exports that never end, with what they say when they have begun.
ENDLESS = {
    "asleep": "asleep", "read": "reading", "attempt": "trying", "polled": "polling", "tidy": "blocked",
    "plain_sleep": "blocked", "plain_read": "blocked", "plain_lock": "blocked", "plain_loop": "blocked",
    "deaf_and_on": "blocked", "callback": "ready", "spin": "ready", "recursion": "ready",
    "recursion_indirect": "ready", "trampoline": "ready",
}  # fmt: skip
#: Those that hold nothing.
BARE = {"spin", "recursion", "recursion_indirect", "trampoline"}


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guests and the host module."""
    folder = tmp_path_factory.mktemp("room")
    (folder / "blocking.py").write_text(HOST)
    (folder / "guest.wasm").write_bytes(wat(GUEST))
    (folder / "computes.wasm").write_bytes(wat(STARTING % "(loop $on (br $on))"))
    (folder / "sleeps.wasm").write_bytes(wat(STARTING % "(drop (call $asleep))"))
    return folder


def options(*more: str, host: str = "host") -> list[str]:
    return ["run", "--host", f"blocking:{host}", *more]


def follow(process: Process, first: str) -> None:
    """Wait for the line `first`, whatever other lines come before."""
    while process.line() != first:
        pass


@pytest.mark.parametrize("name", ENDLESS)
def test_a_timeout_ends_everything(room: Path, pipe: tuple[int, int], name: str) -> None:
    """BEHAVIOURS 11, 12: `--timeout` ends loops, endless tail calls, host functions that wait, block, compute or call
    one another: 124, after their cleanup, with the place on standard error."""
    with start(*options("--timeout", "100ms", "--invoke", name, "guest.wasm"), cwd=room, stdin=pipe[0]) as process:
        done = process.finish()
    assert done.status == 124
    assert done.err.startswith("guest.wasm: timed out after 0.1 s\n")
    assert done.out.splitlines().count("cleaned") == (name not in BARE and ENDLESS[name] in done.out)


@pytest.mark.parametrize("file", ["computes.wasm", "sleeps.wasm"])
def test_a_timeout_ends_a_start_function(room: Path, file: str) -> None:
    """BEHAVIOURS 11: the start function is under the timeout, too; its frames are shown."""
    done = hostsdk(*options("--timeout", "100ms", file), cwd=room)
    assert done.status == 124
    assert done.err.startswith(f"{file}: timed out after 0.1 s\n")
    assert "cleaned" in done.out or file == "computes.wasm" or "asleep" not in done.out


@pytest.mark.parametrize("name", ENDLESS)
def test_ctrl_c_wherever_it_is(room: Path, pipe: tuple[int, int], name: str) -> None:
    """Ctrl-C ends a guest that computes, reads, sleeps or is inside a host function: cleanup runs once, and the
    process has died of SIGINT, without a word."""
    with start(*options("--invoke", name, "guest.wasm"), cwd=room, stdin=pipe[0]) as process:
        follow(process, ENDLESS[name])
        process.send(signal.SIGINT)
        done = process.finish()
    assert (done.status, done.err) == (-signal.SIGINT, "")
    assert done.out.splitlines().count("cleaned") == (name not in BARE)


@pytest.mark.parametrize(("file", "first"), [("computes.wasm", "ready"), ("sleeps.wasm", "asleep")])
def test_ctrl_c_in_a_start_function(room: Path, file: str, first: str) -> None:
    """Ctrl-C during instantiation does the same, and host modules are closed."""
    with start(*options(file), cwd=room) as process:
        follow(process, first)
        process.send(signal.SIGINT)
        done = process.finish()
    assert (done.status, done.err) == (-signal.SIGINT, "")
    assert done.out.splitlines()[-1] == "closed"
    assert ("cleaned" in done.out) == (first == "asleep")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("name", ["asleep", "plain_sleep", "spin"])
def test_other_signals_that_end(room: Path, number: signal.Signals, name: str) -> None:
    """SIGTERM and SIGHUP: cleanup, then the process has died of that signal."""
    with start(*options("--invoke", name, "guest.wasm"), cwd=room) as process:
        follow(process, ENDLESS[name])
        process.send(number)
        done = process.finish()
    assert (done.status, done.err) == (-number, "")
    assert ("cleaned" in done.out) == (name != "spin")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_at_once(room: Path, second: signal.Signals) -> None:
    """A cleanup that is stuck is ended by a second Ctrl-C."""
    with start(*options("--invoke", "stuck", "guest.wasm"), cwd=room) as process:
        follow(process, "asleep")
        process.send(signal.SIGINT)
        follow(process, "cleaning")
        process.send(second)
        assert process.finish().status == -second


def test_ctrl_c_while_closing(room: Path) -> None:
    """A host module that is stuck while it is closed is ended, too."""
    (room / "small.wasm").write_bytes(wat('(module (func (export "_start")))'))
    with start(*options("small.wasm", host="slow_to_close"), cwd=room) as process:
        follow(process, "blocked")
        process.send(signal.SIGINT)
        done = process.finish()
    assert (done.status, done.out, done.err) == (-signal.SIGINT, "cleaned\n", "")


@pytest.mark.parametrize("timeout", [True, False])
def test_before_anything_runs(room: Path, timeout: bool) -> None:
    """A file that is still being read, and a host module that is being imported, are ended, too."""
    fifo = room / f"fifo{timeout}"
    os.mkfifo(fifo)
    more = ["--timeout", "500ms"] if timeout else []
    # The second opens when the other side does.
    with start("run", *more, fifo, cwd=room) as process, open(fifo, "wb"):
        if not timeout:
            process.send(signal.SIGINT)
        done = process.finish()
    assert done.status == (124 if timeout else -signal.SIGINT)
    assert done.err == (f"{fifo}: timed out after 0.5 s\n" if timeout else "")


def test_while_a_host_module_is_imported(room: Path) -> None:
    """Ctrl-C in a host module's own import runs its `finally`."""
    (room / "slow.py").write_text(
        "import time\ntry:\n    print('importing', flush=True)\n    time.sleep(100_000)\n"
        "finally:\n    print('cleaned', flush=True)\n"
    )
    with start("run", "--host", "slow:host", "guest.wasm", cwd=room) as process:
        follow(process, "importing")
        process.send(signal.SIGINT)
        done = process.finish()
    assert (done.status, done.out, done.err) == (-signal.SIGINT, "cleaned\n", "")


def test_an_ignored_signal_stays_ignored(room: Path, pipe: tuple[int, int]) -> None:
    """Where Ctrl-C is ignored for whoever starts the command (nohup, a background job), it is ignored here, too."""
    shell = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", *COMMAND]
    args = options("--invoke", "read", "guest.wasm")
    with start(*args, cwd=room, stdin=pipe[0], command=shell) as process:
        follow(process, "reading")
        process.send(signal.SIGINT)
        os.write(pipe[1], b"on")
        follow(process, "read b'on'")
        assert process.finish().status == 0


@pytest.mark.parametrize("name", ["asleep", "read", "plain_sleep", "plain_read", "spin"])
def test_ctrl_c_at_a_terminal(room: Path, name: str) -> None:
    """The key at a terminal, which the kernel turns into SIGINT, does the same; also while the terminal is read."""
    with start_in_terminal(*options("--invoke", name, "guest.wasm"), cwd=room) as terminal:
        follow(terminal.process, ENDLESS[name])
        terminal.type(b"\x03")
        done = terminal.process.finish()
    assert done.status == -signal.SIGINT
    assert ("cleaned" in done.out) == (name != "spin")


def test_ctrl_c_with_a_file_as_input(room: Path) -> None:
    """The same with a regular file as standard input."""
    args = options("--invoke", "asleep", "guest.wasm")
    with open(room / "blocking.py", "rb") as file, start(*args, cwd=room, stdin=file) as process:
        follow(process, "asleep")
        process.send(signal.SIGINT)
        done = process.finish()
    assert (done.status, done.out.splitlines()) == (-signal.SIGINT, ["cleaned"])


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash leaves a loop if its command died of SIGINT")
def test_ctrl_c_leaves_a_shells_loop(room: Path) -> None:
    """A loop in a shell stops: that needs a process that has really died of the signal."""
    loop = ["bash", "-c", 'for i in 1 2 3; do "$@"; echo next; done', "bash", *COMMAND]
    with start_in_terminal(*options("--invoke", "asleep", "guest.wasm"), cwd=room, command=loop) as terminal:
        follow(terminal.process, "asleep")
        terminal.type(b"\x03")
        done = terminal.process.finish()
    assert done.status == -signal.SIGINT
    assert "cleaned" in done.out
    assert "next" not in done.out


@pytest.mark.parametrize("end", ["data", "signal", "timeout"])
def test_standard_input_stays_blocking(room: Path, pipe: tuple[int, int], end: str) -> None:
    """BEHAVIOURS 45: the pipe that is standard input is shared with whoever started the command; its O_NONBLOCK is
    unset while the guest waits for it, and after any end."""
    more = ["--timeout", "500ms"] if end == "timeout" else []
    with start(*options(*more, "--invoke", "read", "guest.wasm"), cwd=room, stdin=pipe[0]) as process:
        if end != "timeout":
            follow(process, "reading")
        assert os.get_blocking(pipe[0])
        if end == "data":
            os.write(pipe[1], b"x")
        if end == "signal":
            process.send(signal.SIGINT)
        done = process.finish()
    assert os.get_blocking(pipe[0])
    assert done.status == {"data": 0, "signal": -signal.SIGINT, "timeout": 124}[end]


def test_nobody_reads_its_output(room: Path) -> None:
    """A program whose output nobody reads any more dies of SIGPIPE, as in `yes | head`, without a word."""
    with start(*options("--invoke", "talk_on", "guest.wasm"), cwd=room) as process:
        assert process.line() == "word"
        assert process.popen.stdout is not None
        process.popen.stdout.close()
        process.out = -1
        done = process.finish()
    assert (done.status, done.err) == (-signal.SIGPIPE, "")


def test_results_that_nobody_reads(room: Path, pipe: tuple[int, int]) -> None:
    """The same for results of `--invoke`."""
    (room / "one.wasm").write_bytes(wat('(module (func (export "one") (result i32) (i32.const 1)))'))
    os.close(pipe[0])
    with start("run", "--invoke", "one", "one.wasm", cwd=room, stdout=pipe[1]) as process:
        done = process.finish()
    assert (done.status, done.err) == (-signal.SIGPIPE, "")


def test_another_pipe_is_none_of_its_business(room: Path) -> None:
    """A host module's own broken pipe is an exception there, as in any Python."""
    done = hostsdk(*options("--invoke", "broken_pipe", "guest.wasm"), cwd=room)
    assert (done.status, done.out, done.err) == (0, "broken\n", "")


def test_output_that_cannot_be_written(room: Path) -> None:
    """A full disk is told, with status 1."""
    (room / "one.wasm").write_bytes(wat('(module (func (export "one") (result i32) (i32.const 1)))'))
    with open("/dev/full", "wb") as full, start("run", "--invoke", "one", "one.wasm", cwd=room, stdout=full) as process:
        done = process.finish()
    assert (done.status, done.err.splitlines()[0]) == (1, "one.wasm: standard output: No space left on device")


def test_it_starts_light(room: Path) -> None:
    """Running a program imports neither asyncio nor rich, multiprocessing, llvmlite or other commands' files."""
    done = hostsdk(*options("--invoke", "modules", "guest.wasm"), cwd=room)
    loaded = set(done.out.split())
    heavy = {"asyncio", "rich", "multiprocessing", "llvmlite", "email", "importlib.metadata", "hostsdk.cli.wast"}
    assert done.status == 0
    assert "hostsdk.cli.run" in loaded
    assert not loaded & heavy


def test_the_current_folder_comes_last(room: Path, tmp_path: Path) -> None:
    """A host module is found in the current folder, where files named like the standard library's do no harm."""
    (tmp_path / "blocking.py").write_text(HOST)
    (tmp_path / "string.py").write_text("raise RuntimeError('not me')\n")
    shutil.copy(room / "guest.wasm", tmp_path)
    script = "import sys; sys.path.remove(''); sys.argv[0] = 'hostsdk'; from hostsdk.cli.start import start; start()"
    with start(*options("guest.wasm"), cwd=tmp_path, command=[COMMAND[0], "-c", script]) as process:
        done = process.finish()
    assert (done.status, done.out, done.err) == (0, "ready\nclosed\n", "")


def test_no_standard_streams_at_all(room: Path) -> None:
    """With closed standard streams a program still runs, and its status is right."""
    script = 'exec 0<&- 1>&- 2>&-; exec "$@"'
    for file, status in (("one.wasm", 126), ("absent.wasm", 127)):
        (room / "one.wasm").write_bytes(wat("(module)"))
        done = subprocess.run(
            ["sh", "-c", script, "sh", *COMMAND, "run", file], cwd=room, check=False,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        )  # fmt: skip
        assert done.returncode == status
