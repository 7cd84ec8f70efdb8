"""Installed packages that tests make up: a folder on `sys.path` with a module and its metadata."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest


def install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, package: str, version: str, entries: dict[str, str], **modules: str
) -> None:
    """Put a distribution into `folder`, which is found from now on: host modules by name and target, and its
    Python files by name and text."""
    info = folder / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = "".join(f"{name} = {target}\n" for name, target in entries.items())
    (info / "entry_points.txt").write_text(f"[hostsdk.modules]\n{lines}")
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
    if str(folder) not in sys.path:
        monkeypatch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
