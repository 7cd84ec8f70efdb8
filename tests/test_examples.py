"""The example hostfunc: its scripts say and return what its README tells, and its guests are what its source gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hostmod import host

from hostsdk import Instance, Module
from tests.support.build import wasm_tools
from tests.support.cache import ROOT, cache_dir
from tests.support.hostfunc import EXPECTED, FOLDER, VARIANTS
from tests.support.waits import PATIENCE

README = (FOLDER / "README.md").read_text()


def run(*command: str | Path, folder: Path = FOLDER) -> subprocess.CompletedProcess[str]:
    """Run a command with the project's packages at hand."""
    env = os.environ | {"PYTHONPATH": str(ROOT), "ZIG_GLOBAL_CACHE_DIR": str(cache_dir() / "zig")}
    return subprocess.run(
        command, cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip


def script(name: str, *args: str | Path) -> list[str]:
    """The lines that a script writes. It must end well, and without a complaint."""
    done = run(sys.executable, FOLDER / name, *args)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "checks"), [(7, 42), (0, 84)])
def test_the_main_job(variant: int, checks: int) -> None:
    """BEHAVIOURS 33 and 75: `main.py` interrupts at every check point, has each suspension finished by another
    process, and every result is 136."""
    lines = script("main.py", *([] if variant == 7 else [str(variant)]))
    assert lines[0].startswith(f"Undisturbed: {EXPECTED}, ")
    assert lines[-1] == f"{checks + 2} times {EXPECTED}, as expected."
    legs = [re.fullmatch(r" *(\d+) +\d+ bytes from process (\d+), (\d+) by process (\d+)", line) for line in lines]
    found = [leg.groups() for leg in legs if leg is not None]
    assert [(int(number), int(result)) for number, _, result, _ in found] == [(n + 1, EXPECTED) for n in range(checks)]
    assert all(here != there for _, here, _, there in found)


def test_the_main_job_refuses_a_variant_that_is_not_there() -> None:
    """A wrong command line is answered with usage and status 2."""
    done = run(sys.executable, FOLDER / "main.py", "8")
    assert done.returncode == 2
    assert "invalid choice" in done.stderr


@pytest.mark.slow
def test_interrupted_by_another_thread() -> None:
    """BEHAVIOURS 2: `interrupted.py` comes to its end with 136, however often the other thread gets through."""
    assert script("interrupted.py")[-1] == f"Finished: Returned(values=({EXPECTED},))"


@pytest.mark.slow
def test_a_snapshot_in_two_halves(tmp_path: Path) -> None:
    """BEHAVIOURS 75: `snapshot.py` finishes in another process what it saved, with both halves in one or each alone."""
    finished = f"Finished: Returned(values=({EXPECTED},))"
    assert script("snapshot.py")[-1] == finished
    file = tmp_path / "saved"
    for check in ("1", "42"):
        assert script("snapshot.py", "save", file, check)[-1] == f"Saved: {file.stat().st_size} bytes."
        assert script("snapshot.py", "load", file)[-1] == finished


@pytest.mark.slow
def test_a_snapshot_that_cannot_be(tmp_path: Path) -> None:
    """A guest that ends before it is to be stopped is status 1; a file that isn't there, and a check point that can't
    be, are status 2."""
    done = run(sys.executable, FOLDER / "snapshot.py", "save", tmp_path / "saved", "43")
    assert done.returncode == 1
    assert f"came to its end before check point 43: Returned(values=({EXPECTED},))" in done.stderr
    assert not (tmp_path / "saved").exists()
    file = str(tmp_path / "saved")
    for wrong in (["load", file], ["save", file, "0"]):
        assert run(sys.executable, FOLDER / "snapshot.py", *wrong).returncode == 2


def test_the_command_of_the_readme() -> None:
    """The README's command runs the guest with the host module from the folder."""
    found = re.search(r"^hostsdk (run .*)$", README, re.MULTILINE)
    assert found is not None
    done = run(sys.executable, "-m", "hostsdk", *found[1].split())
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{EXPECTED}\n", "")


def test_the_readme_shows_the_code_as_it_is() -> None:
    """The functions in the README are those of the modules, letter by letter."""
    blocks = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block, name in zip(blocks, ("hostmod.py", "hostmod_function.py"), strict=True):
        assert block in (FOLDER / name).read_text()


@pytest.mark.slow
def test_the_guests_are_what_their_source_gives(tmp_path: Path) -> None:
    """`build.py` rebuilds the eight guests: each imports and exports what the kept one does, and gives 136."""
    assert len(script("build.py", tmp_path)) == len(VARIANTS)
    for variant in VARIANTS:
        built, kept = (Module.from_file(folder / f"guest{variant}.wasm") for folder in (tmp_path, FOLDER))
        assert set(built.imports) == set(kept.imports)
        assert set(map(repr, built.exports)) == set(map(repr, kept.exports))
        with Instance(built, [host]) as instance:
            assert instance.exports.main() == EXPECTED


def test_the_guests_hold_nothing_of_the_machine_they_were_built_on() -> None:
    """The only custom section is the one with the functions' names."""
    for variant in VARIANTS:
        listed = run(wasm_tools(), "objdump", f"guest{variant}.wasm").stdout
        assert re.findall(r'custom "([^"]*)"', listed) == ["name"]
