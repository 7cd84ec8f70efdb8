"""The cookbook's pages and files belong together, and its guests are what their sources say."""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import sys
from pathlib import Path

import pytest

from examples.cookbook import sort
from hostsdk import Instance
from tests.support.build import run_tool, wat
from tests.support.cache import ROOT, cache_dir

FILES = sorted((ROOT / "examples" / "cookbook").glob("*.py"))
SOURCES = sorted((ROOT / "examples").rglob("*.wat"))
PAGES = ROOT / "docs" / "cookbook"
RUN = re.compile(r"^```sh\npython (\S+)\n```\n\n```text\n(.*?)^```\n", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_a_page_shows_its_recipe_and_what_it_prints(file: Path) -> None:
    """Each recipe has a page that includes it, and what the page says that it prints is what it prints."""
    page = (PAGES / f"{file.stem}.md").read_text()
    assert f"examples/cookbook/{file.name}\n:language: python" in page
    ((command, output),) = RUN.findall(page)
    assert ROOT / command == file
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        importlib.import_module(f"examples.cookbook.{file.stem}").main()
    assert printed.getvalue() == output


def test_every_part_of_a_recipe_is_shown() -> None:
    """Each part that a recipe's file marks, `# [name]`, is an excerpt of its page; only the last is left out."""
    for file in FILES:
        page = (PAGES / f"{file.stem}.md").read_text()
        marks = re.findall(r"^# \[(\w+)\]$", file.read_text(), re.MULTILINE)
        assert marks[-1] == "embedding"
        assert re.findall(r':start-after: "# \[(\w+)\]"', page) == marks[:-1]
        assert re.findall(r':end-before: "# \[(\w+)\]"', page) == marks[1:]


def test_every_page_is_listed() -> None:
    """The cookbook's first page links to all others, in its table and in its tree."""
    index = (PAGES / "index.md").read_text()
    for file in FILES:
        assert f"({file.stem}.md)" in index
        assert f"\n{file.stem}\n" in index


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_guests_are_built_from_their_sources(source: Path) -> None:
    """The module beside a text is what the text stands for."""
    assert source.with_suffix(".wasm").read_bytes() == wat(source.read_text())


@pytest.mark.slow
def test_the_c_guest_is_built_as_it_says(tmp_path: Path) -> None:
    """The guest in C, built by the command that its text tells, does what the one beside it does."""
    source = ROOT / "examples" / "cookbook" / "sort.c"
    (command,) = re.findall(r"Built by: zig cc (.*?) -o sort\.wasm sort\.c \*/", source.read_text(), re.DOTALL)
    built = tmp_path / "sort.wasm"
    zig = [sys.executable, "-m", "ziglang", "cc", *command.replace("\n *", " ").split()]
    caches = {"ZIG_GLOBAL_CACHE_DIR": str(cache_dir() / "zig"), "ZIG_LOCAL_CACHE_DIR": str(tmp_path)}
    run_tool([*zig, "-o", str(built), str(source)], env=caches)
    with Instance.from_file(built, [sort.lib]) as inst:
        assert inst.exports.sort_numbers() == 27
        assert [inst.exports.number(i) for i in range(4)] == [3, 4, 6, 9]
