"""The reference: every public name is in it, and its docstring says what one has to know before calling it."""

from __future__ import annotations

import ast
import enum
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import hostsdk
import hostsdk.testing
import hostsdk.wasi
from tests.support.cache import ROOT

REFERENCE = (ROOT / "docs" / "reference.md").read_text()
PUBLIC = {name: getattr(hostsdk, name) for name in hostsdk.__all__}
CLASSES = {name: obj for name, obj in PUBLIC.items() if inspect.isclass(obj)}
FUNCTIONS = {name: obj for name, obj in PUBLIC.items() if inspect.isfunction(obj)}

#: What may suspend (the "code" that calls it, that is), and nothing else.
SUSPENDING = {"block_until", "sleep", "call", "ask", "check_interrupt"}
#: Parameters in seconds, whose unit a docstring has to say.
SECONDS = {"timeout", "seconds", "deadline"}


def members() -> Iterator[tuple[str, Any]]:
    """Every public function, and every public method and property that a public class defines itself."""
    yield from FUNCTIONS.items()
    for name, cls in CLASSES.items():
        if issubclass(cls, enum.Enum):
            continue
        for attribute, value in vars(cls).items():
            if attribute.startswith("_"):
                continue
            if isinstance(value, property):
                yield f"{name}.{attribute}", value.fget
            elif isinstance(value, (classmethod, staticmethod)):
                yield f"{name}.{attribute}", value.__func__
            elif inspect.isfunction(value):
                yield f"{name}.{attribute}", value


MEMBERS = dict(members())


def said(name: str) -> str:
    """A member's docstring; that of the protocol's where the class keeps to one."""
    owner, _, last = name.rpartition(".")
    doc = MEMBERS[name].__doc__
    if doc is None and owner in ("SystemClock", "FakeClock"):
        doc = MEMBERS[f"Clock.{last}"].__doc__
    return doc or ""


def words(name: str) -> str:
    """A member's docstring and its class's: what is said of all methods need not be said of each."""
    cls = CLASSES.get(name.partition(".")[0])
    head = "" if cls is None else f"{cls.__doc__} {cls.__init__.__doc__}"
    return f"{head} {said(name)}"


def test_every_public_name_is_in_the_reference() -> None:
    """A name on the door has an entry, or a row in one of the tables."""
    shown = set(re.findall(r"auto(?:class|function):: hostsdk\.(\w+)|`(?:hostsdk\.)?(\w+)`", REFERENCE))
    assert sorted(set(PUBLIC) - {name for names in shown for name in names}) == []


def test_every_name_for_tests_is_in_its_reference() -> None:
    """A name on the door `hostsdk.testing` has an entry, and a docstring."""
    page = (ROOT / "docs" / "reference-testing.md").read_text()
    shown = set(re.findall(r"auto(?:class|function):: hostsdk\.testing\.(\w+)$", page, re.MULTILINE))
    assert shown == set(hostsdk.testing.__all__)
    assert [name for name in shown if not getattr(hostsdk.testing, name).__doc__] == []


def test_every_name_of_wasi_is_in_its_reference() -> None:
    """A class or function on the door `hostsdk.wasi` has an entry."""
    page = (ROOT / "docs" / "reference-wasi.md").read_text()
    shown = set(re.findall(r"auto(?:class|function):: hostsdk\.wasi\.(\w+)$", page, re.MULTILINE))
    named = {name for name in hostsdk.wasi.__all__ if callable(getattr(hostsdk.wasi, name))}
    assert named - shown <= {"Name"}
    assert shown <= set(hostsdk.wasi.__all__)


def test_the_reference_has_nothing_else() -> None:
    """What the reference shows is on the door."""
    assert set(re.findall(r"auto(?:class|function):: hostsdk\.(\w+)", REFERENCE)) <= set(PUBLIC)


def test_every_class_says_its_promise() -> None:
    """A public class has a docstring of its own, which attrs and Protocol didn't write."""
    assert [name for name, cls in CLASSES.items() if len((vars(cls).get("__doc__") or "").split()) < 3] == []


def test_every_function_says_its_promise() -> None:
    """A public function, method or property has a docstring."""
    assert [name for name in MEMBERS if not said(name)] == []


def test_what_may_suspend_says_so() -> None:
    """Whether a host function's own call may suspend it stands in the docstring; its name says it, too."""
    named = {name for name in MEMBERS if re.fullmatch(r"(BlockingContext\.)?(\w+)", name)}
    named = {name for name in named if name.removeprefix("BlockingContext.") in SUSPENDING}
    assert {name for name in MEMBERS if re.search(r"\b(May suspend|Suspends)\b", said(name))} == named


def test_times_say_their_unit() -> None:
    """A parameter that is a time is in seconds, and the docstring says so."""
    timed = [name for name, fn in MEMBERS.items() if SECONDS & set(inspect.signature(fn).parameters)]
    assert [name for name in timed if not re.search(r"(?i)seconds|Raises what `call` raises", words(name))] == []


def raised(fn: Callable[..., object]) -> set[str]:
    """The classes of exceptions that `fn` itself raises by name; those of functions inside it are their own."""
    tree: ast.AST = ast.parse(textwrap.dedent(inspect.getsource(fn))).body[0]
    found = set()
    todo = [*ast.iter_child_nodes(tree)]
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.Lambda)):
            continue
        todo += ast.iter_child_nodes(node)
        if isinstance(node, ast.Raise) and node.exc is not None:
            error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            if isinstance(error, ast.Name) and error.id[0].isupper():
                found.add(error.id)
    return found


def test_errors_are_named() -> None:
    """What a public function raises itself stands in its docstring, or in its class's."""
    missing = {name: sorted(e for e in raised(fn) if e not in words(name)) for name, fn in MEMBERS.items()}
    assert {name: errors for name, errors in missing.items() if errors} == {}
