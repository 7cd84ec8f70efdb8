"""The published suite of suspending, saving and dropping: this engine passes it, and one that differs is noticed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.build import wat
from tests.support.cache import ROOT

SUITE = ROOT / "suite"
CASES = sorted((SUITE / "cases").glob("*.json"))

WRONG = """
import sys
sys.path[:0] = [{suite!r}, {root!r}]
import hostsdk_engine as engine

class Forgetful(engine.Adapter):
    def restore(self, data, module):
        answer = super().restore(data, module)
        self.clock.advance(1.0)
        return answer

engine.Adapter = Forgetful
engine.main()
"""


def run(*args: str) -> subprocess.CompletedProcess[str]:
    """Run the suite."""
    command = [sys.executable, str(SUITE / "run.py"), *args]
    env = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


@pytest.mark.slow
def test_this_engine_passes() -> None:
    """BEHAVIOURS 16, 22, 33, 36 and 75: every case, at each check point, resumed, saved, and dropped."""
    done = run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == f"{len(CASES)} passed, 0 failed"
    counts = [int(n) for n in re.findall(r": (\d+) runs", done.stdout)]
    assert len(counts) == len(CASES)
    assert min(counts) > 10


def test_an_engine_that_differs_is_noticed(tmp_path: Path) -> None:
    """An engine in which time passes when it loads fails the cases that look at the clock, and the run says where."""
    script = tmp_path / "wrong.py"
    script.write_text(WRONG.format(suite=str(SUITE), root=str(ROOT)))
    done = run("--engine", f"{sys.executable} {script}", "sleep", "loop")
    assert done.returncode == 1
    loop, sleep, last = done.stdout.splitlines()
    assert loop.startswith("passed  loop")
    assert sleep == "FAILED  sleep, save at [1]: time_ms: expected 400, found 1400"
    assert last == "1 passed, 1 failed"


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_cases_are_whole(path: Path) -> None:
    """A case says what it shows, and its module is what the text beside it stands for."""
    case = json.loads(path.read_text())
    assert case["format"] == 1
    assert len(case["about"].split()) > 3
    module = SUITE / "modules" / case["module"]
    assert module.read_bytes() == wat(module.with_suffix(".wat").read_text())
