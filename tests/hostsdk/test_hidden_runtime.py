"""A user's own `runtime.py` that hides the engine is named in the error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]


def test_a_file_that_hides_the_engine_is_named(tmp_path: Path) -> None:
    """`import hostsdk` beside somebody's runtime.py is an ImportError that says which file to rename."""
    (tmp_path / "runtime.py").write_text("X = 1\n")
    (tmp_path / "main.py").write_text(f"import sys\nsys.path.append({str(PROJECT)!r})\nimport hostsdk\n")
    done = subprocess.run([sys.executable, "main.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ImportError" in done.stderr
    assert str(tmp_path / "runtime.py") in done.stderr
