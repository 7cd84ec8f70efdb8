"""The examples in README and docs run as they stand.

The Python blocks of a page run in order in one namespace, as a reader would try them. A `text` block directly behind
a Python block is what that block prints. A block that can't run says why, in a comment before it:
`<!-- not run: reason -->`.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from tests.support.cache import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
#: A fenced block, with the comment before it and the output behind it.
BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>.+?) -->\n)?"
    r"```python\n(?P<code>.*?)^```\n"
    r"(?:\n?```text\n(?P<output>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


@attrs.frozen
class Example:
    """One block: its code, the line it starts at, and what it prints (None: not said)."""

    code: str
    line: int
    output: str | None


def examples(text: str) -> Iterator[Example]:
    """The blocks of a page that run."""
    for match in BLOCK.finditer(text):
        if match["reason"] is None:
            yield Example(match["code"], text.count("\n", 0, match.start("code")), match["output"])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_examples_run_and_print_what_they_say(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's examples run, one after the other, from the project's root, and print what stands below them."""
    monkeypatch.chdir(ROOT)
    namespace: dict[str, object] = {"__name__": "example", "tmp_path": tmp_path}
    for example in examples(page.read_text()):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            # The lines in front keep the page's numbers in a traceback.
            exec(compile("\n" * example.line + example.code, str(page), "exec"), namespace)
        if example.output is not None:
            assert printed.getvalue() == example.output, f"{page.name}:{example.line}"


def test_blocks_are_found() -> None:
    """The runner sees blocks, their output, and the comment that excuses one."""
    text = "a\n```python\nprint(1)\n```\n\n```text\n1\n```\n<!-- not run: needs a server -->\n```python\n1/0\n```\n"
    assert list(examples(text)) == [Example("print(1)\n", 2, "1\n")]
