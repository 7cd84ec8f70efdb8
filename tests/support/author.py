"""What an author's file would hold, given as text: for signatures that a type checker refuses, or that need no body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hostsdk import _types
from hostsdk._context import BlockingContext, Context
from hostsdk._errors import Errors
from hostsdk._module import HostModule


def run(source: str, *, strings: bool = True, **names: object) -> dict[str, Any]:
    """Run `source` as a file that imports the SDK's words; its names. With `strings`, its annotations are strings."""
    known: dict[str, Any] = {
        **vars(_types), "HostModule": HostModule, "Context": Context, "BlockingContext": BlockingContext,
        "Errors": Errors, **names,
    }  # fmt: skip
    head = "from __future__ import annotations\n" if strings else ""
    exec(compile(head + source, "author.py", "exec", dont_inherit=True), known)
    return known


def define(source: str, *, strings: bool = True, **names: object) -> Callable[..., Any]:
    """The function `f` that `source` defines."""
    found: Callable[..., Any] = run(source, strings=strings, **names)["f"]
    return found
