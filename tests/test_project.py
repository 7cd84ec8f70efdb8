"""The project's own papers agree with each other: packages, typing markers, commands."""

from __future__ import annotations

import tomllib

from tests.support.cache import ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_package_is_shipped() -> None:
    """The explicit package list names exactly the packages that there are."""
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for package in ("hostsdk", "runtime")
        for path in (ROOT / package).rglob("*.py")
    }
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found


def test_both_packages_are_typed() -> None:
    """A type checker finds the annotations of both packages."""
    for package, files in PYPROJECT["tool"]["setuptools"]["package-data"].items():
        assert files == ["py.typed"]
        assert (ROOT / package / "py.typed").exists()


def test_the_readme_has_one_test_command() -> None:
    """`.ci/run` takes the test command from the README, by the only line of it that runs pytest."""
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if "-m pytest" in line]
    assert len(lines) == 1
    assert lines[0].startswith("python3 -m venv .venv && ")
    assert "'-m pytest'" in (ROOT / ".ci" / "run").read_text()
