"""WebAssembly's own test scripts: where they are, and each as JSON commands with its modules."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from .build import run_tool, wasm_tools, wasm_tools_version
from .cache import ROOT, cached_dir

#: Why tests of the scripts are skipped where there are none.
NO_SCRIPTS = "no spec scripts: set WASM_SPEC_TESTS to a checkout of WebAssembly/testsuite, or put one in ../shared/spec"
#: Name of the property by which a spec test reports its counts: (mode, {what became of the commands: how many}).
SPEC_COUNTS = "spec-counts"


def spec_dir() -> Path | None:
    """The folder with the scripts: `WASM_SPEC_TESTS`, or `../shared/spec` beside the project; None if there is none.

    A folder that `WASM_SPEC_TESTS` names has to be there: a mistyped name must not look like a pass.
    """
    named = os.environ.get("WASM_SPEC_TESTS")
    if named:
        path = Path(named)
        if not any(path.glob("*.wast")):
            raise FileNotFoundError(f"WASM_SPEC_TESTS names {named}, which holds no .wast files")
        return path
    path = ROOT.parent / "shared" / "spec"
    return path if path.is_dir() else None


#: Proposals that the engine has and the specification hasn't yet; the scripts of each lie in a folder of its own.
PROPOSALS = ("custom-page-sizes",)


def spec_scripts() -> list[Path]:
    """The scripts of the specification itself, and of `PROPOSALS`."""
    folder = spec_dir()
    if folder is None:
        return []
    merged = sorted(folder.glob("*.wast"))
    return merged + [path for name in PROPOSALS for path in sorted(folder.joinpath("proposals", name).glob("*.wast"))]


def script_id(script: Path | None) -> str:
    """The name of a script's test: with the proposal that it belongs to, where that is not merged."""
    if script is None:
        return "none"
    parent = script.parent.name
    return f"{parent}/{script.stem}" if parent in PROPOSALS else script.stem


#: Beside a script's JSON: the lines of its commands that wasm-tools has judged to be right about text.
_TEXT = "text-lines.json"
_FAILED = re.compile(rb"failed directive on .*?:(\d+):\d+")


def _text_commands(script: Path, made: Path) -> list[int]:
    """Lines of the assertions whose modules are text, where wasm-tools refuses them as the script says. It is the only
    judge of them: the engine reads no text."""
    commands = json.loads(made.read_bytes())["commands"]
    lines = [c["line"] for c in commands if c.get("module_type") == "text" and "binary_filename" not in c]
    if not lines:
        return []
    judge = [wasm_tools(), "wast", "--ignore-error-messages", str(script)]
    done = subprocess.run(judge, capture_output=True, check=False)
    failed = {int(line) for line in _FAILED.findall(done.stderr)}
    return [] if done.returncode and not failed else [line for line in lines if line not in failed]


def text_refused(made: Path) -> Callable[[int], bool]:
    """For `run_script`: of a script's JSON, whether the text at a line was refused."""
    return frozenset(json.loads(made.with_name(_TEXT).read_bytes())).__contains__


def spec_json(script: Path) -> Path:
    """The JSON form of `script`, its modules beside it."""

    def build(folder: Path) -> None:
        output = str(folder / f"{script.stem}.json")
        run_tool([wasm_tools(), "json-from-wast", str(script), "--output", output, "--wasm-dir", str(folder)])
        folder.joinpath(_TEXT).write_text(json.dumps(_text_commands(script, folder / f"{script.stem}.json")))

    key = ("text", wasm_tools_version(), script.name, script.read_bytes())
    return cached_dir("spec", key, build) / f"{script.stem}.json"
