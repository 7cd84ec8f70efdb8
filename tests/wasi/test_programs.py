"""C programs that clang made, with their exact output, each also under interruptions, on both tiers."""

from __future__ import annotations

import os
import socket
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from hostsdk import Exited, Instance, Module, Returned
from hostsdk.testing import Kind, Scenario, World, explore
from hostsdk.wasi import MemoryTree, WasiConfig, preview1
from runtime.exec.inject import At, Every, Injector, Never, Randomly
from tests.support.build import cc
from tests.support.native import Tier, on_both, steady_numbers
from tests.support.running import end, instance
from tests.support.waits import in_thread

HERE = Path(__file__).parent / "programs"
#: Without faults, at every so many check points, at random.
FAULTS: list[Injector] = [Never(), Every(997), Every(61), Randomly(5, 0.01)]


@cache
def program(name: str) -> Module:
    """A C program."""
    return Module.from_bytes(cc((HERE / name).read_text(), "-s"))


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


@on_both
@pytest.mark.parametrize("injector", FAULTS, ids=str)
@pytest.mark.parametrize("kind", ["host", "memory"])
def test_a_program_works_on_files(kind: str, injector: Injector, tier: Tier, tmp_path: Path) -> None:
    """A C program that walks, renames, links, seeks and truncates: exact output, nothing left behind."""
    (tmp_path / "before").write_bytes(b"there")
    tree = MemoryTree({"before": b"there"})
    out = bytearray()
    source = tree.root if kind == "memory" else tmp_path
    with instance(program("files.c"), injector, tier, preopens={"/": source}, stdout=out, stdin=b"") as inst:
        assert end(inst.start("_start")) in (Returned(()), Exited(0))
    assert out.decode() == FILES
    assert tree.as_dict() == {"before": b"there"}
    assert os.listdir(tmp_path) == ["before"]


@on_both
@pytest.mark.parametrize("injector", FAULTS, ids=str)
def test_a_program_sleeps_and_reads(injector: Injector, tier: Tier) -> None:
    """A C program that sleeps, polls and reads a pipe to its end; its exit code and both of its streams."""
    reader, writer = os.pipe()
    out, err = bytearray(), bytearray()
    options: dict[str, Any] = {"args": ["wait", "arg"], "env": {"NAME": "value"}, "stdout": out, "stderr": err}
    with instance(program("wait.c"), injector, tier, stdin=reader, **options) as inst:
        found = in_thread(lambda: end(inst.start("_start")))
        os.write(writer, b"x" * 50)
        os.close(writer)
        assert found.result(60) == Exited(7)
    os.close(reader)
    assert (bytes(out), bytes(err)) == (b"arg value slept enough\nread 50\n", b"done\n")


@on_both
@pytest.mark.parametrize("injector", FAULTS, ids=str)
def test_a_program_serves_a_socket(injector: Injector, tier: Tier) -> None:
    """A C program that accepts a connection on a preopened socket and answers."""
    out = bytearray()
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        instance(program("echo.c"), injector, tier, listen=[listener], stdout=out, stderr=out) as inst,
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


#: What the compiler needs to be told for exceptions, and for those from before WebAssembly 3.0.
THROWS = "-fno-rtti -fexceptions -mcpu=generic+exception_handling+multivalue+reference_types -mllvm -wasm-enable-eh"
LEGACY = "-mllvm -wasm-use-legacy-eh="
THROWN = "".join([
    f"~inner ~tried caught {k} ~outer {'thrown again' if k % 2 else 'returned'} {k if k % 2 else -k}\n"
    if k % 3 == 1 else f"~inner ~tried ~outer returned {k}\n" for k in range(8)
])  # fmt: skip


@on_both
@pytest.mark.parametrize("injector", [Never(), Every(1), Every(61)], ids=str)
@pytest.mark.parametrize("legacy", ["true", "false"])
def test_a_program_throws(legacy: str, injector: Injector, tier: Tier) -> None:
    """A C++ program with destructors, handlers and what they throw again: the same with the instructions that
    WebAssembly 3.0 has for it and with those from before."""
    source = (HERE / "thrown.cpp").read_text()
    data = cc(source, "-O1", "-s", *THROWS.split(), *(LEGACY + legacy).split(), language="c++")
    out = bytearray()
    with instance(Module.from_bytes(data), injector, tier, stdout=out) as inst:
        assert end(inst.start("_start")) in (Returned(()), Exited(0))
    assert out.decode() == THROWN


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
@on_both
def test_a_small_program_at_every_check_point(tier: Tier) -> None:
    """BEHAVIOURS 16: a C program restarted at each of its check points, one a run: the same output and exit code."""

    def run(injector: Injector) -> tuple[object, bytes]:
        out = bytearray()
        with instance(module, injector, tier, stdin=b"abcd", stdout=out, stderr=out) as inst:
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


def make_waiting(world: World) -> Instance:
    """The C program that sleeps, polls and reads."""
    options: dict[str, Any] = {"args": ["wait", "arg"], "env": {"NAME": "value"}, "stdin": b"x" * 50}
    config = WasiConfig(stdout=bytearray(), stderr=bytearray(), **options)
    return Instance(program("wait.c"), [preview1(config)], engine=world.engine)


def written(inst: Instance) -> object:
    """Both of its outputs."""
    config: Any = inst._bindings[0].state.config
    return bytes(config.stdout), bytes(config.stderr)


@steady_numbers
@pytest.mark.slow
def test_a_waiting_program_at_every_check_point() -> None:
    """BEHAVIOURS 16 and 36: a C program that sleeps, polls and reads, restarted at each of its check points: the same
    time, output and exit code; and interrupted at every one in one run."""
    exploration = explore(Scenario(make_waiting, "_start", observe=written), kinds=[Kind.RESTART], callbacks=["nested"])
    assert exploration.checks > 100
    exploration.exhaustive()
    exploration.every(1, 7)
