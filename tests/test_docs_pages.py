"""What the pages say of the project is so: files that they name, the picture of the states, the questions."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest

from runtime.exec.cluster import CLUSTER_MOVES, MEMBER_MOVES
from tests.support.cache import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
#: A path in the project as prose names it.
PATH = re.compile(r"`((?:runtime|hostsdk|tests|docs|examples|\.ci)/[\w./]*)`")


def load(name: str) -> Any:
    """An extension of the documentation's."""
    spec = importlib.util.spec_from_file_location(name, DOCS / "_ext" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(DOCS)))
def test_files_that_are_named_exist(page: Path) -> None:
    """A page names no file or folder that isn't there."""
    named = set(PATH.findall(page.read_text()))
    missing = {path for path in named if not (ROOT / path).exists()}
    assert missing == set()


def test_the_map_is_short() -> None:
    """The map from concepts to files is one page: about forty lines, each with a file."""
    design = (DOCS / "design.md").read_text()
    rows = [line for line in design.splitlines() if line.startswith("| ") and not line.startswith("| concept")]
    assert 35 <= len(rows) <= 50
    assert [row for row in rows if not PATH.search(row)] == []


@pytest.mark.parametrize("table", ["", "tasks", "members", "clusters"])
def test_every_move_is_drawn(table: str) -> None:
    """The picture of the states has a box for each state and an arrow for each legal move, and no other."""
    states = load("states")
    moves = states.TABLES[table]
    picture = states.draw(moves)
    assert set(re.findall(r">(\w+)</text>", picture)) == {state.value for state in type(next(iter(moves)))}
    drawn = set(re.findall(r"<title>(\w+) to (\w+)</title>", picture))
    assert drawn == {(old.value, new.value) for old, news in moves.items() for new in news}


def test_the_page_of_threads_has_the_events() -> None:
    """What happens to a thread that shares a memory, and to its cluster, stands on the page as in the tables."""
    page = (DOCS / "threads.md").read_text()
    rows = set(re.findall(r"^\| (\w+) \| ([\w ]+) \| (\w+) \|$", page, re.MULTILINE))
    wanted = {
        (old.value, event, new.value)
        for table in (MEMBER_MOVES, CLUSTER_MOVES)
        for old, events in table.items()
        for event, new in events.items()
    }
    assert rows - {("from", "event", "to")} == wanted


def test_rationale_asks() -> None:
    """Every heading of the rationale is a question."""
    headings = re.findall(r"^## (.*)$", (DOCS / "rationale.md").read_text(), re.MULTILINE)
    assert headings
    assert [heading for heading in headings if not heading.endswith("?")] == []


def test_the_glossary_is_in_order() -> None:
    """The glossary's words are in alphabetical order, each once."""
    words = re.findall(r"^(\w.*)\n: ", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    assert len(words) >= 40
    assert words == sorted(set(words), key=str.lower)


def test_docstrings_with_code_become_code() -> None:
    """An indented paragraph of a docstring is shown as code, up to the next line that isn't indented."""
    mark = load("docstrings").mark_code
    assert mark(["A:", "", "    x = 1", "", "    y = 2", "", "B."]) == [
        "A:", "", ".. code-block:: python", "", "    x = 1", "", "    y = 2", "", "B.",
    ]  # fmt: skip
    assert mark(["- a", "    b"]) == ["- a", "    b"]
