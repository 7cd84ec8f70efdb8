"""Packages of extensions as a stranger has them: installed into a folder, and tried by other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from tests.support.cache import ROOT, cache_dir


def run(*command: str | Path, folder: Path, paths: tuple[Path, ...] = ()) -> str:
    """What a command writes, with packages from `paths` at hand, too. It must end well."""
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, (*paths, ROOT))),
        "XDG_CACHE_HOME": str(cache_dir()),
        "ZIG_GLOBAL_CACHE_DIR": str(cache_dir() / "zig"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    done = subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def install(project: Path, site: Path, copy: Path) -> None:
    """Install a project into the folder `site`, by pip, from a copy, so that nothing is left in the project."""
    ignored = ["--exclude", "__pycache__", "--exclude", "*.egg-info", "--exclude", "build"]
    copy.mkdir()
    packed = subprocess.run(["tar", *ignored, "-C", str(project), "-cf", "-", "."], capture_output=True, check=True)
    subprocess.run(["tar", "-C", str(copy), "-xf", "-"], input=packed.stdout, check=True)
    alone = ["--no-build-isolation"] if _can_build() else []
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--disable-pip-version-check", *alone]
    run(*pip, "--target", str(site), ".", folder=copy)


def _can_build() -> bool:
    """Whether this environment builds packages without fetching what builds them."""
    try:
        return int(version("setuptools").partition(".")[0]) >= 77
    except PackageNotFoundError:
        return False
