"""Runs the cases against an engine: `python suite/run.py [--engine COMMAND] [CASE…]`.

An engine is a process that answers one JSON object a line; README.md tells what it is asked. Nothing here knows of any
engine in particular.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).resolve().parent
#: Pairs of check points that are tried, at most, for each case and action.
PAIRS = 60


class Difference(Exception):
    """A run that is not as the case says."""


class Engine:
    """An engine's process, and the conversation with it."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """What the engine answers. Raises Difference for an error of its."""
        if self.process.stdin is None or self.process.stdout is None:
            raise Difference("the engine's pipes are closed")
        self.process.stdin.write(json.dumps({"do": do, **more}) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise Difference(f"the engine ended at {do}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise Difference(f"{do}: {answer['error']}")
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self.process.wait()


class Case:
    """One case, from its file."""

    def __init__(self, path: Path) -> None:
        self.data: dict[str, Any] = json.loads(path.read_text())
        self.name = path.stem
        if self.data["format"] != 1:
            raise SystemExit(f"{path}: format {self.data['format']} is not known")
        self.module = HERE / "modules" / self.data["module"]
        self.actions: list[str] = self.data.get("actions", ["resume", "save", "drop"])

    def begin(self, engine: Engine, hits: list[int], every: int | None = None) -> None:
        """A fresh instance, and the call in it."""
        call = self.data["call"]
        engine.ask(
            "begin",
            module=str(self.module),
            export=call["export"],
            args=call.get("args", []),
            feed=self.data.get("feed", []),
            hits=hits,
            every=every,
        )

    def run(self, engine: Engine, action: str, hits: list[int], every: int | None = None) -> int:
        """One run: at each check point in `hits`, or at each `every`-th, `action`. The number of suspensions."""
        self.begin(engine, hits, every)
        suspensions = 0
        while True:
            outcome = engine.ask("run")
            if outcome["outcome"] != "suspended":
                self.judge(engine, outcome)
                return suspensions
            suspensions += 1
            if action == "save":
                data = engine.ask("save")["data"]
                engine.ask("restore", data=data, module=str(self.module))
            elif action == "drop":
                engine.ask("drop")
                self.judge_dropped(engine)
                return suspensions

    def judge(self, engine: Engine, outcome: dict[str, Any]) -> None:
        """Compare a run that came to its end with what is expected. Raises Difference."""
        expect = self.data["expect"]
        for key, value in expect["outcome"].items():
            if outcome.get(key) != value:
                raise Difference(f"{key}: expected {value}, found {outcome.get(key)}")
        seen = engine.ask("look")
        for key in ("log", "time_ms"):
            if key in expect and seen[key] != expect[key]:
                raise Difference(f"{key}: expected {expect[key]}, found {seen[key]}")
        for piece in expect.get("memory", []):
            found = engine.ask("read", at=piece["at"], size=len(piece["hex"]) // 2)["hex"]
            if found != piece["hex"]:
                raise Difference(f"memory at {piece['at']}: expected {piece['hex']}, found {found}")

    def judge_dropped(self, engine: Engine) -> None:
        """After a drop: what was logged is the beginning of what is expected, and what was opened (2000 + n in the log)
        has been closed (3000 + n), innermost first. Raises Difference."""
        log = engine.ask("look")["log"]
        stack = []
        for entry in log:
            if 2000 <= entry < 3000:
                stack.append(entry)
            elif 3000 <= entry < 4000 and (not stack or stack.pop() != entry - 1000):
                raise Difference(f"closed out of turn: {log}")
        if stack:
            raise Difference(f"left open: {log}")
        plain = [entry for entry in log if not 3000 <= entry < 4000]
        wanted = [entry for entry in self.data["expect"].get("log", []) if not 3000 <= entry < 4000]
        if plain != wanted[: len(plain)]:
            raise Difference(f"log: expected the beginning of {wanted}, found {log}")

    def runs(self, engine: Engine) -> Iterator[tuple[str, list[int], int | None]]:
        """All runs of the case: an undisturbed one first, which counts the check points."""
        yield "resume", [], None
        checks = engine.ask("look")["checks"]
        for action in self.actions:
            for check in range(1, checks + 1):
                yield action, [check], None
        for action in (each for each in self.actions if each != "drop"):
            pairs = list(itertools.combinations(range(1, checks + 1), 2))
            for pair in pairs[:: max(1, len(pairs) // PAIRS)]:
                yield action, list(pair), None
            for every in (1, 2, 3):
                yield action, [], every


def run_case(case: Case, engine: Engine) -> str:
    """All runs of a case, up to the first that differs; a line about it."""
    count = suspensions = 0
    where = "at first"
    try:
        for action, hits, every in case.runs(engine):
            where = f"{action} at {hits or every or 'no check point'}"
            suspensions += case.run(engine, action, hits, every)
            count += 1
    except Difference as difference:
        return f"FAILED  {case.name}, {where}: {difference}"
    return f"passed  {case.name}: {count} runs, {suspensions} suspensions"


def main() -> int:
    """Run the cases; 1 where one differs."""
    parser = argparse.ArgumentParser(description="Cases of suspending, resuming, saving and dropping.")
    own = f"{shlex.quote(sys.executable)} {shlex.quote(str(HERE / 'hostsdk_engine.py'))}"
    parser.add_argument("--engine", default=own, help="the command of an engine's adapter")
    parser.add_argument("cases", nargs="*", help="names; all of them if none is given")
    options = parser.parse_args()
    wanted: list[str] = options.cases
    paths = [path for path in sorted((HERE / "cases").glob("*.json")) if not wanted or path.stem in wanted]
    passed = failed = 0
    with Engine(shlex.split(options.engine)) as engine:
        for path in paths:
            text = run_case(Case(path), engine)
            failed += text.startswith("FAILED")
            passed += text.startswith("passed")
            print(text)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
