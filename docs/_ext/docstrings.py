"""Docstrings for the reference: an indented paragraph is code, what only the engine makes has no constructor, and a
built-in type in a signature is not taken for a property of the same name."""

from __future__ import annotations

import builtins
import re
from typing import TYPE_CHECKING

from docutils import nodes
from sphinx.addnodes import pending_xref

if TYPE_CHECKING:
    from sphinx.application import Sphinx


def mark_code(lines: list[str]) -> list[str]:
    """The lines of a docstring with a directive in front of each indented paragraph that stands after a blank line."""
    marked: list[str] = []
    inside = False
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        if indented and not inside and (number == 0 or not lines[number - 1].strip()):
            marked += [".. code-block:: python", ""]
            inside = True
        elif inside and line.strip() and not indented:
            inside = False
        marked.append(line)
    return marked


#: Classes that users get from elsewhere, so that their constructors concern nobody.
NOT_MADE = frozenset(
    """
    BlockingContext CallCancelled CallInterrupted CallStopped Clock Context Counters Driver Dropped Execution Export
    Exports Feature FuncRef Global GuestMemory Memory Module OutBuffer Progress Ptr ResourceTable Rows State Status
    Table Task Timeout TraceLine TrapCode Unanswered
    """.split()
)
#: Defaults as autodoc finds them in what attrs writes.
_ATTRS_DEFAULT = re.compile(r"attr_dict\['\w+'\]\.default|\bNOTHING\b")


def process(app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    lines[:] = mark_code(lines)


def shorten(
    app: Sphinx, what: str, name: str, obj: object, options: object, signature: str | None, result: str | None
) -> tuple[str | None, str | None]:
    if what in ("class", "exception") and name.rpartition(".")[2] in NOT_MADE:
        return "", None
    return _ATTRS_DEFAULT.sub("…", signature or "") or signature, result


def unlink_builtins(app: Sphinx, doctree: nodes.document) -> None:
    """`type` in a signature is Python's, whatever has a `type` here."""
    for link in list(doctree.findall(pending_xref)):
        if link.get("refdomain") == "py" and hasattr(builtins, link["reftarget"]):
            link.replace_self(nodes.Text(link.children[0].astext()))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", process)
    app.connect("autodoc-process-signature", shorten)
    app.connect("doctree-read", unlink_builtins)
    return {"parallel_read_safe": True}
