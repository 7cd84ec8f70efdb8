"""Each promised behaviour has a test that names it: `BEHAVIOURS 8`, `BEHAVIOURS 11 and 14`, `BEHAVIOURS 45 to 49`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
_NAMED = re.compile(r"BEHAVIOURS?\s+((?:\d+(?:\s*(?:,|and|to|-|–)\s*)?)+)", re.IGNORECASE)
#: The short form, at a docstring's beginning: `17: …`, `16, 22: …`.
_HEADED = re.compile(r"^((?:\d+(?:\s*(?:,|and|to|-|–)\s*)?)+):")
_PART = re.compile(r"(\d+)\s*(?:to|-|–)\s*(\d+)|(\d+)")

#: Numbers whose promise can be kept with what there is.
PROMISED = {*range(1, 81)}


def _docstrings() -> Iterator[str]:
    for path in TESTS.rglob("test_*.py"):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield " ".join((ast.get_docstring(node) or "").split())


def named() -> set[int]:
    """The numbers that some test's docstring names."""
    found: set[int] = set()
    for text in _docstrings():
        for group in (*_NAMED.findall(text), *_HEADED.findall(text)):
            for low, high, single in _PART.findall(group):
                found |= set(range(int(low), int(high) + 1)) if low else {int(single)}
    return found


def test_every_promise_is_shown_by_a_test_that_names_it() -> None:
    """No promised behaviour is without a test."""
    assert sorted(PROMISED - named()) == []
