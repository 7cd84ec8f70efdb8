"""What a type checker says about host functions: everything in the cookbook passes, every mistake is flagged."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cache import ROOT

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, str]]:
    """mypy's errors by file and line, under the project's settings, the ignores of misuse.py taken out."""
    bare = tmp_path_factory.mktemp("typing") / "misuse_bare.py"
    bare.write_text(re.sub(r"  # type: ignore\[[^]]*\]", "", (HERE / "misuse.py").read_text()))
    files = [bare, HERE / "cookbook.py", HERE / "coroutines.py", HERE / "misuse.py"]
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, files)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    errors: dict[str, dict[int, str]] = {file.name: {} for file in files}
    for file, line, message in re.findall(r"^(.*?):(\d+): error: (.*)$", done.stdout, re.MULTILINE):
        errors.setdefault(Path(file).name, {})[int(line)] = message
    return errors


@pytest.mark.slow
@pytest.mark.parametrize("file", ["cookbook.py", "coroutines.py", "misuse.py"])
def test_right_code_passes(file: str, report: dict[str, dict[int, str]]) -> None:
    """Host functions and embedders as people write them need no cast and no ignore."""
    assert report[file] == {}


@pytest.mark.slow
def test_each_mistake_is_flagged_and_nothing_else(report: dict[str, dict[int, str]]) -> None:
    """The flagged lines of misuse.py are the numbered ones."""
    lines = (HERE / "misuse.py").read_text().splitlines()
    numbered = {n: mark[1] for n, line in enumerate(lines, 1) if (mark := re.search(r"# (E\d+):", line))}
    assert list(numbered.values()) == [f"E{n}" for n in range(1, len(numbered) + 1)]
    assert len(numbered) >= 13
    flagged = report["misuse_bare.py"]
    assert {numbered.get(line, line): message for line, message in flagged.items() if line not in numbered} == {}
    assert [number for line, number in numbered.items() if line not in flagged] == []


def test_the_cookbook_registers() -> None:
    """Importing the cookbook registers its functions, with the types that guests import them by."""
    from tests.typing import cookbook

    modules = (cookbook.kv, cookbook.clock, cookbook.net, cookbook.q, cookbook.lib, cookbook.human, cookbook.host)
    types = {f"{m.name}.{name}": repr(spec.signature.type) for m in modules for name, spec in m.functions.items()}
    assert types == {
        "kv.get": "(i32 i32 i32 i32) -> (i32)",
        "kv.size": "(i32) -> (i32)",
        "clock.nap": "(i32) -> ()",
        "clock.nap_steps": "(i32) -> ()",
        "net.recv": "(i32 i32 i32 i32) -> (i32)",
        "net.send_all": "(i32 i32 i32) -> (i32)",
        "q.pop": "(i32 i32) -> (i32)",
        "lib.qsort": "(i32 i32 i32 i32) -> ()",
        "lib.system": "(i32 i32) -> (i32)",
        "lib.greet": "() -> (i32)",
        "lib.greet_blocking": "() -> (i32)",
        "lib.gen_waits": "(i32) -> (i32)",
        "human.approve": "(i32 i32) -> (i32)",
        "my-host-func.load": "(i32) -> (i32)",
        "my-host-func.load_call": "(i32) -> (i32)",
        "my-host-func.load_call_add": "(i32) -> (i32)",
        "my-host-func.once": "(i32) -> (i32)",
        "my-host-func.gcd": "(i32 i32) -> (i32)",
        "my-host-func.touch": "(i32) -> ()",
    }
