"""`hostsdk new`: the package that it makes is installed, found by its name, typed, and its tests pass as generated."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hostsdk.cli.main import main
from tests.support.extension import install, run


def new(*args: str) -> Result:
    """`hostsdk new ARGS`."""
    return CliRunner().invoke(main, ["new", *args])


@pytest.mark.slow
def test_a_new_package_is_whole(tmp_path: Path) -> None:
    """Generated, installed, and tried: its tests pass, its types hold, and the command finds it."""
    made, site = tmp_path / "made", tmp_path / "site"
    assert new("post_box", "--dir", str(made)).exit_code == 0
    install(made, site, tmp_path / "copy")
    tests = run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", folder=made, paths=(site,))
    assert "4 passed" in tests
    shown = run(sys.executable, "-m", "hostsdk", "hosts", "post_box", folder=tmp_path, paths=(site,))
    assert shown.splitlines() == [
        "post_box[=ROOM]  (hostsdk-post-box 0.1.0, 2 functions)",
        "    put(data: Bytes) -> i32  (i32 i32) -> (i32)",
        "    take(out: OutBuffer, ms: u32) -> i32  (i32 i32 i32) -> (i32); function, may wait",
    ]
    checked = run(
        sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), folder=made, paths=(made / "src",)
    )
    assert "Success" in checked


@pytest.mark.parametrize("name", ["Redis", "a-b", "1st", "class", "", "a.b", "../x"])
def test_names_that_can_be_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A name that can't be a Python module's is a usage error, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert new(name).exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_written_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder in which one of the files stands is left as it is."""
    monkeypatch.chdir(tmp_path)
    assert new("blob").exit_code == 0
    folder = tmp_path / "hostsdk-blob"
    (folder / "README.md").write_text("mine")
    (folder / "pyproject.toml").unlink()
    done = new("blob")
    assert done.exit_code == 1
    assert "README.md is there already" in done.stderr
    assert (folder / "README.md").read_text() == "mine"
    assert not (folder / "pyproject.toml").exists()
