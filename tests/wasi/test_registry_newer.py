"""Real programs that need what came after WebAssembly 2.0, or vectors: MicroPython (exceptions), zstd and libpng of ITK
(C++ with SIMD). Each runs on both tiers, undisturbed and restarted at random; MicroPython is saved on its way, too."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest

from hostsdk import (
    Engine,
    EngineConfig,
    Execution,
    Exited,
    Instance,
    Limits,
    Module,
    Returned,
    Suspended,
)
from hostsdk.testing import World
from hostsdk.wasi import MemoryTree, WasiConfig, preview1
from runtime import FakeClock
from runtime.exec.inject import Injector, Never
from tests.support.micropython import DISTRIBUTION, FILE, PRINTED, SCRIPT, host
from tests.support.native import Tier, engine, needs_native, on_both
from tests.support.registry import located, packaged
from tests.support.running import Gaps, call, end, instance

pytestmark = pytest.mark.slow
ENDED = (Returned(()), Exited(0))


def program(distribution: str, file: str) -> Module:
    """A module out of a distribution; where that isn't installed the test is skipped, but in CI."""
    located(distribution, file)
    return packaged(distribution, file, lazy=True)


# MicroPython ----------------------------------------------------------------------------------------------------------


def _micropython(tier: Tier, out: bytearray, injector: Injector) -> tuple[Instance, FakeClock]:
    """An instance about to run the script, and the clock that it lives by."""
    module = program(DISTRIBUTION, FILE)
    world = World.make()
    driver = world.engine.driver
    using = Engine(EngineConfig(tier="interpreter", clock=world.clock, driver=driver, injector=injector))
    if tier == "native":
        using = engine(clock=world.clock, driver=driver, injector=injector)
    config = WasiConfig(args=["micropython", "-c", SCRIPT], stdin=b"one\ntwo\n", stdout=out, stderr=out)
    return Instance(module, [preview1(config), host], limits=Limits(journal=100_000), engine=using), world.clock


@on_both
def test_micropython_throws_sleeps_reads_and_calls(tier: Tier) -> None:
    """BEHAVIOURS 16: MicroPython raises and catches by WebAssembly's exceptions, sleeps, reads, and calls a
    host function that waits; restarted at random it prints the same and takes the same time on the clock."""
    injectors: list[Injector] = [Never(), Gaps(1, 400), Gaps(2, 400), Gaps(3, 4_000)]
    for injector in injectors:
        out = bytearray()
        inst, clock = _micropython(tier, out, injector)
        with inst:
            before = clock.monotonic()
            assert end(inst.start("_start")) in ENDED
        assert clock.monotonic() - before == pytest.approx(4 * 0.25 + 2 * 0.5, abs=0.01)
        assert out.decode() == PRINTED
        assert not isinstance(injector, Gaps) or injector.hits > 20


@on_both
def test_micropython_goes_on_in_another_instance(tier: Tier) -> None:
    """BEHAVIOURS 75: saved at every 10th restart, with exceptions' handlers waiting in its frames, and gone on with."""
    out = bytearray()
    inst, _ = _micropython(tier, out, Gaps(4, 1_500))
    execution, count = inst.start("_start"), 0
    while isinstance(outcome := execution.run(), Suspended):
        count += 1
        if count % 10 == 0:
            other, _ = _micropython(tier, out, Gaps(count, 1_500))
            old, hosts = execution, [binding.module for binding in other._bindings]
            execution = Execution.load(
                old.save(), inst.module, hosts, trusted=True, limits=Limits(journal=100_000), engine=other._store.engine
            )
            old.drop()
    assert outcome in ENDED
    assert count > 30
    assert out.decode() == PRINTED


# ITK ------------------------------------------------------------------------------------------------------------------


#: Compiling these large programs takes longest: undisturbed they run in `test_programs_command.py`.
restarted = pytest.mark.parametrize(
    ("tier", "injector"), [pytest.param("native", Gaps(7, 3_000), marks=needs_native)], ids=["native"]
)


def _pipeline(distribution: str, file: str, tier: Tier, injector: Injector, tree: MemoryTree, *args: str) -> None:
    """Run one of ITK's pipelines on files."""
    module = program(distribution, file)
    options: dict[str, Any] = {"args": [file, *args], "preopens": {"/": tree.root}, "stdin": b""}
    with instance(module, injector, tier, **options) as inst:
        call(inst, "_initialize")
        assert call(inst, "itk_wasm_delayed_exit", call(inst, "itk_wasm_delayed_start")) == 0


@restarted
def test_zstd_there_and_back(tier: Tier, injector: Injector) -> None:
    """ITK's zstd, C++ with SIMD: what is compressed is what wasmtime's guest makes, and comes back as it was."""
    data = b"".join([b"%d squared is %d\n" % (n, n * n) for n in range(200)])
    tree = MemoryTree({"in": data})
    package = "itkwasm-compress-stringify-wasi"
    _pipeline(package, "compress-stringify.wasi.wasm", tier, injector, tree, "/in", "/packed")
    packed = tree.as_dict()["packed"]
    assert isinstance(packed, bytes)
    assert packed[:4] == b"\x28\xb5\x2f\xfd"
    assert len(packed) < len(data) // 2
    _pipeline(package, "parse-string-decompress.wasi.wasm", tier, injector, tree, "/packed", "/back")
    assert tree.as_dict()["back"] == data


def png(width: int, height: int) -> tuple[bytes, bytes]:
    """A grey picture, and its pixels."""
    rows = [bytes([(x * 7 + y * 3) & 0xFF for x in range(width)]) for y in range(height)]

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"".join([b"\0" + row for row in rows])))
    return b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""), b"".join(rows)


@restarted
def test_a_png_is_read(tier: Tier, injector: Injector) -> None:
    """ITK's libpng, C++ with SIMD: the pixels of a picture."""
    picture, pixels = png(33, 10)
    tree = MemoryTree({"in.png": picture})
    package = "itkwasm-image-io-wasi"
    _pipeline(package, "png-read-image.wasi.wasm", tier, injector, tree, "/in.png", "/ok.json", "/image")
    assert pixels in _files(tree.as_dict())


def pixels_of(picture: bytes, width: int) -> bytes:
    """The pixels of a grey picture, 8 bits each (PNG specification, section 9)."""
    at, body = 8, b""
    while at < len(picture):
        size = int.from_bytes(picture[at : at + 4])
        if picture[at + 4 : at + 8] == b"IDAT":
            body += picture[at + 8 : at + 8 + size]
        at += 12 + size
    raw, rows, above = zlib.decompress(body), b"", bytes(width)
    for start in range(0, len(raw), width + 1):
        row = bytearray()
        for x, byte in enumerate(raw[start + 1 : start + 1 + width]):
            a, b, c = row[x - 1] if x else 0, above[x], above[x - 1] if x else 0
            near = min((a, b, c), key=lambda near: abs(a + b - c - near))
            row.append(byte + (0, a, b, (a + b) // 2, near)[raw[start]] & 0xFF)
        above = bytes(row)
        rows += above
    return rows


def _files(tree: Any) -> list[bytes]:
    """The contents of all files of a tree."""
    found: list[bytes] = []
    for entry in tree.values():
        found += _files(entry) if isinstance(entry, dict) else [entry]
    return found
