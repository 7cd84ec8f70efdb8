"""The file with what a run of the command imports: used as long as the sources are what they were, and never missed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from hostsdk.cli import shelf as shelves
from hostsdk.cli.shelf import Shelf
from tests.support.cache import ROOT

NAMES = [f"shelved.m{number}" for number in range(12)]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of twelve modules and one inside, none of them imported, and Python's files written."""
    folder = tmp_path / "shelved"
    (folder / "inner").mkdir(parents=True)
    for path in (folder / "__init__.py", folder / "inner" / "__init__.py", folder / "inner" / "deep.py"):
        path.write_text("VALUE = __name__\n")
    for name in NAMES:
        (tmp_path / f"{name.replace('.', '/')}.py").write_text("VALUE = __name__\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "meta_path", sys.meta_path[:])
    yield folder
    forget()


def forget() -> None:
    """Whatever of the package has been imported is imported anew."""
    for name in [each for each in sys.modules if each.partition(".")[0] == "shelved"]:
        del sys.modules[name]
    importlib.invalidate_caches()


def imported(shelf: Shelf | None) -> dict[str, ModuleType]:
    """All modules, imported by way of the shelf if there is one."""
    forget()
    if shelf is not None:
        sys.meta_path.insert(0, shelf)
    try:
        return {name: importlib.import_module(name) for name in (*NAMES, "shelved.inner", "shelved.inner.deep")}
    finally:
        if shelf is not None:
            sys.meta_path.remove(shelf)


def by_shelf(module: ModuleType) -> bool:
    """Whether a module came from the file."""
    return type(module.__loader__).__name__ == Shelf.__name__


def kept(package: Path) -> Shelf:
    """A shelf with all of them, read from its file."""
    file = str(package / "file")
    imported(None)
    Shelf(file, ["shelved"]).keep()
    return Shelf(file, ["shelved"])


def test_modules_come_from_the_file(package: Path) -> None:
    """What was kept is imported from there, packages too, and looks like any module."""
    usual = {name: (each.__file__, each.__spec__ and each.__spec__.cached) for name, each in imported(None).items()}
    shelf = kept(package)
    for name, module in imported(shelf).items():
        assert module.__spec__ is not None
        assert (module.VALUE, by_shelf(module)) == (name, True)
        assert (module.__file__, module.__spec__.cached) == usual[name]
    assert list(sys.modules["shelved.inner"].__path__) == [str(package / "inner")]


@pytest.mark.parametrize("how", ["longer", "touched", "gone"])
def test_a_source_that_was_changed_is_read(package: Path, how: str) -> None:
    """Another size or time of the source, and its code is not taken from the file; the others' is."""
    shelf, source = kept(package), package / "m3.py"
    if how == "gone":
        source.unlink()
        forget()
        sys.meta_path.insert(0, shelf)
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module("shelved.m3")
        return
    if how == "longer":
        source.write_text("VALUE = 'another'\n")
    else:
        os.utime(source, ns=(1, 1))
    found = imported(shelf)
    assert (by_shelf(found["shelved.m3"]), by_shelf(found["shelved.m4"])) == (False, True)
    wanted = "another" if how == "longer" else "shelved.m3"
    assert wanted == found["shelved.m3"].VALUE


def test_a_package_found_elsewhere_is_not_mixed_up(package: Path, tmp_path: Path) -> None:
    """Modules are taken for the folder that they were found in, not for another package of the name."""
    shelf = kept(package)
    other = tmp_path / "other" / "shelved"
    other.mkdir(parents=True)
    assert shelf.find_spec("shelved.m1", [str(other)]) is None
    assert shelf.find_spec("shelved.m1", [str(package)]) is not None
    assert shelf.find_spec("shelved.unknown", [str(package)]) is None


@pytest.mark.parametrize("data", [b"", b"garbage", shelves._MAGIC, shelves._MAGIC + b"\xff", shelves._MAGIC + b"N"])
def test_a_file_that_is_none_is_none(package: Path, data: bytes) -> None:
    """A damaged file, or one of another Python, is as good as none, and is written anew."""
    file = package / "file"
    file.write_bytes(data)
    shelf = Shelf(str(file), ["shelved"])
    assert not any(map(by_shelf, imported(shelf).values()))
    shelf.keep()
    assert all(map(by_shelf, imported(Shelf(str(file), ["shelved"])).values()))


def test_nothing_is_written_where_python_writes_nothing(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither where it is told not to, nor for a few modules, nor where the folder isn't there."""
    imported(None)
    shelf = Shelf(str(package / "file"), ["shelved"])
    with monkeypatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        shelf.keep()
    Shelf(str(package / "nowhere" / "file"), ["shelved"]).keep()
    Shelf(str(package / "file"), ["shelved.inner"]).keep()
    assert not list(package.glob("file*"))
    shelf.keep()
    assert [path.name for path in package.glob("file*")] == ["file"]


def test_the_command_uses_it(tmp_path: Path) -> None:
    """The second run of a program imports from what the first one has kept, and says the same."""
    path = tmp_path / "empty.wasm"
    path.write_bytes(b"\0asm\1\0\0\0")
    script = (
        "import sys\nfrom hostsdk.cli.start import start\ntry: start()\n"
        "finally:\n  loaders = [type(vars(m).get('__loader__')).__name__ for m in sys.modules.values()]\n"
        "  print(loaders.count('Shelf'), file=sys.stderr)"
    )
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env["PYTHONPYCACHEPREFIX"] = str(tmp_path / "compiled")
    command = [sys.executable, "-c", script, "run", str(path)]
    done = [subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False) for _ in range(2)]
    said = [each.stderr.splitlines() for each in done]
    assert said[0][:-1] == said[1][:-1] != []
    assert (said[0][-1], int(said[1][-1]) > 100) == ("0", True)
