"""Real programs of current compilers under `hostsdk run`: MicroPython with a host module of its own, ITK's pipelines,
and, on demand, CPython and Ruby."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest

from tests.support.micropython import DISTRIBUTION, FILE, PRINTED, SCRIPT
from tests.support.process import hostsdk, start
from tests.support.registry import located
from tests.wasi.test_registry_newer import pixels_of, png

HOST = ("--host", "tests.support.micropython:host")
WAITS = "print('begin')\ntry:\n  {}[1]\nexcept KeyError:\n  print(input() + '!')"
IMAGES = "itkwasm-image-io-wasi"
STRINGS = "itkwasm-compress-stringify-wasi"


@pytest.mark.slow
def test_micropython_from_the_command() -> None:
    """Exceptions, sleeps, a host module named on the command line, and standard input, which it waits for."""
    with start("run", *HOST, located(DISTRIBUTION, FILE), "-c", SCRIPT, stdin=subprocess.PIPE) as process:
        first = process.line()
        process.write(b"one\ntwo\n")
        done = process.finish()
    assert (done.status, first + "\n" + done.out, done.err) == (0, PRINTED, "")


@pytest.mark.slow
def test_it_is_stopped_and_goes_on(tmp_path: Path) -> None:
    """BEHAVIOURS 75: Ctrl-C while it waits for input in an exception's handler keeps it in a file; another process,
    which has the input, finishes it."""
    kept, python = str(tmp_path / "kept"), located(DISTRIBUTION, FILE)
    with start("run", *HOST, "--save", kept, python, "-c", WAITS, stdin=subprocess.PIPE) as process:
        assert process.line() == "begin"
        process.send(signal.SIGINT)
        assert process.finish().status == -signal.SIGINT
    done = hostsdk("run", *HOST, "--load", kept, python, "-c", WAITS, stdin=b"hello\n")
    assert (done.status, done.out) == (0, "hello!\n")


def pipeline(folder: Path, distribution: str, file: str, *args: str) -> None:
    """Run one of ITK's pipelines in a folder."""
    options = ("--lazy", "--dir", f"{folder}::/", "--invoke", "itk_wasm_delayed_start")
    done = hostsdk("run", *options, located(distribution, file), *args)
    assert (done.status, done.out, done.err) == (0, "0\n", "")


@pytest.mark.slow
def test_zstd_from_the_command(tmp_path: Path) -> None:
    """ITK's zstd packs a file of the system's, and unpacks it."""
    (tmp_path / "in").write_bytes(data := b"".join([b"%d squared is %d\n" % (n, n * n) for n in range(100)]))
    pipeline(tmp_path, STRINGS, "compress-stringify.wasi.wasm", "/in", "/packed")
    assert (tmp_path / "packed").stat().st_size < len(data) // 2
    pipeline(tmp_path, STRINGS, "parse-string-decompress.wasi.wasm", "/packed", "/back")
    assert (tmp_path / "back").read_bytes() == data


@pytest.mark.slow
def test_png_from_the_command(tmp_path: Path) -> None:
    """ITK's libpng reads a picture and writes it again."""
    picture, pixels = png(33, 10)
    (tmp_path / "in.png").write_bytes(picture)
    pipeline(tmp_path, IMAGES, "png-read-image.wasi.wasm", "/in.png", "/ok.json", "/image")
    pipeline(tmp_path, IMAGES, "png-write-image.wasi.wasm", "/image", "/ok.json", "/out.png")
    assert pixels_of((tmp_path / "out.png").read_bytes(), 33) == pixels
