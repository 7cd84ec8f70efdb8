"""The arrows between the rooms: who may import whom, through which door, and never in a circle.

A room imports lower floors only, never another room of its own floor. Imports inside functions and those that only
a type checker sees count too; the latter may close a circle, but only inside a room.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.support.cache import ROOT
from tests.support.imports import Import, cycles, imports_of, module_name, source_files

#: Rooms of `runtime` from the ground up, one line a floor.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("doors", "lean", "log"),
    ("limits", "features", "errors"),
    ("types", "v128"),
    ("values", "typedefs"),
    ("instr", "semantics"),
    ("declarations", "hostabi"),
    ("binary", "validate"),
    ("module",),
    ("instances",),
    ("exec",),
    ("interp", "llvm"),
    ("engine", "linking"),
    ("store", "calls"),
    ("externs",),
    ("instantiation", "saving"),
    ("control", "snapshot"),
    ("",),
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

#: What a room may not import although it lies lower, and what it alone may.
FORBIDDEN = {
    "exec": {"instr", "semantics"},
    "binary": {"semantics"},
    "validate": {"semantics"},
    "semantics": {"limits", "features", "types"},
}
ONLY_BY = {"interp": {"engine"}, "llvm": {"engine"}}
#: Foreign packages that only these modules may import.
FOREIGN = {"llvmlite": {"runtime.llvm.backend", "runtime.llvm.builder"}}
#: What the rooms below need besides the standard library.
PLAIN_ROOMS = {"doors", "lean", "limits", "features", "errors", "types", "typedefs", "v128", "values", "semantics"}

#: Where strangers come in: packages, and modules that a door hands out whole (`from runtime import control`).
PACKAGES = {"runtime", "hostsdk", "hostsdk.testing", "hostsdk.wasi"}
DOORS = PACKAGES | {"runtime.control", "runtime.doors", "runtime.lean", "runtime.snapshot"}

FILES = source_files("runtime", "hostsdk")
MODULES = {module_name(path) for path in FILES}
IMPORTS = [each for path in FILES for each in imports_of(path, MODULES)]


def room(module: str) -> str:
    """The room of `runtime` that a module belongs to; the door's is the empty name."""
    return module.partition(".")[2].partition(".")[0]


def part(module: str) -> str:
    """The part of the project that a module belongs to."""
    first, _, rest = module.partition(".")
    if first == "hostsdk":
        name = rest.partition(".")[0]
        return f"hostsdk.{name}" if name in ("cli", "testing", "wasi", "__main__") else "hostsdk"
    return first


def by_door(i: Import) -> bool:
    """Whether an import is what a stranger may write."""
    return not i.relative and (i.target in PACKAGES or (i.target in DOORS and i.name is None))


def wrong(imports: list[Import]) -> str:
    """A message with a line for each of `imports`."""
    return "\n".join(map(str, imports))


def inside(package: str) -> list[Import]:
    """Imports from one module of `package` to another."""
    return [i for i in IMPORTS if i.source.split(".")[0] == package == i.target.split(".")[0]]


def test_every_room_has_a_floor() -> None:
    """A new room of `runtime` can't stand outside of the rules."""
    assert {room(module) for module in MODULES if module.partition(".")[0] == "runtime"} <= FLOOR.keys()


def test_rooms_import_lower_floors_only() -> None:
    """Arrows inside `runtime` point down."""
    assert not (
        bad := [
            i
            for i in inside("runtime")
            if room(i.source) != room(i.target) and FLOOR[room(i.target)] >= FLOOR[room(i.source)]
        ]
    ), wrong(bad)


def test_rooms_keep_their_further_limits() -> None:
    """Some rooms may not know what lies beneath them, and only `engine` names concrete tiers."""
    bad = [i for i in inside("runtime") if room(i.target) in FORBIDDEN.get(room(i.source), ())]
    for i in inside("runtime"):
        allowed = ONLY_BY.get(room(i.target))
        if allowed is not None and room(i.source) not in allowed | {room(i.target)}:
            bad.append(i)
    assert not bad, wrong(bad)


def test_foreign_packages_stay_in_their_files() -> None:
    """Only the files that wrap a foreign package import it, and the lowest rooms need none."""
    bad = [i for i in IMPORTS if i.source not in FOREIGN.get(i.target.split(".")[0], {i.source})]
    known = sys.stdlib_module_names | {"runtime"}
    plain = [i for i in IMPORTS if i.source.startswith("runtime.") and room(i.source) in PLAIN_ROOMS]
    bad += [i for i in plain if i.target.split(".")[0] not in known]
    assert not bad, wrong(bad)


def test_runtime_has_never_heard_of_hostsdk() -> None:
    """The engine imports nothing of the SDK."""
    bad = [i for i in IMPORTS if part(i.source) == "runtime" and part(i.target).startswith("hostsdk")]
    assert not bad, wrong(bad)


def test_the_port_alone_imports_the_engine() -> None:
    """Inside the SDK only `hostsdk._engine` imports `runtime`, by its door; the command may, by the same door."""
    bad = [
        i
        for i in IMPORTS
        if part(i.target) == "runtime" != part(i.source)
        and not (by_door(i) and (i.source == "hostsdk._engine" or part(i.source) == "hostsdk.cli"))
    ]
    assert not bad, wrong(bad)


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("hostsdk", set()),
        ("hostsdk.testing", {"hostsdk"}),
        ("hostsdk.wasi", {"hostsdk"}),
        ("hostsdk.cli", {"hostsdk", "hostsdk.testing", "hostsdk.wasi"}),
        ("hostsdk.__main__", {"hostsdk.cli"}),
    ],
)
def test_parts_of_the_sdk_know_only_what_lies_below(source: str, allowed: set[str]) -> None:
    """wasi, testing and the command stand on the SDK; the SDK knows none of them, and nobody imports the command."""
    bad = [
        i
        for i in inside("hostsdk")
        if part(i.source) == source and part(i.target) != source and part(i.target) not in allowed
    ]
    assert not bad, wrong(bad)


def test_outsiders_come_by_the_doors() -> None:
    """wasi and the command are written as a stranger would write them, and examples are written by strangers."""
    examples = [i for path in source_files("examples") for i in imports_of(path, MODULES)]
    strangers = [i for i in IMPORTS if part(i.source) in ("hostsdk.wasi", "hostsdk.cli")] + examples
    bad = [
        i
        for i in strangers
        if i.target.split(".")[0] in ("runtime", "hostsdk")
        and part(i.target) != part(i.source)
        and not by_door(i)
    ]
    assert not bad, wrong(bad)


def test_insiders_import_the_sibling_that_defines_the_name() -> None:
    """Inside a package imports are relative, and never take its own door."""
    bad = [
        i
        for package in ("runtime", "hostsdk")
        for i in inside(package)
        if part(i.source) == part(i.target) and (not i.relative or (i.target in PACKAGES and i.source != i.target))
    ]
    assert not bad, wrong(bad)


def test_there_is_no_import_cycle() -> None:
    """No module needs itself, by however long a way."""
    edges: dict[str, set[str]] = {module: set() for module in MODULES}
    for i in IMPORTS:
        if not i.guarded and i.target in MODULES and i.target != i.source:
            edges[i.source].add(i.target)
    assert cycles(edges) == []


@pytest.mark.parametrize(
    "path",
    [p for p in FILES if p.name == "__init__.py" and module_name(p) not in PACKAGES],
    ids=module_name,
)
def test_rooms_have_no_door_of_their_own(path: Path) -> None:
    """What looks like a door inside is how cycles start: `__init__.py` files of rooms are empty."""
    assert path.read_text() == ""


EVERYTHING = source_files("runtime", "hostsdk", "examples", "tests", "benchmarks")


@pytest.mark.parametrize("path", EVERYTHING, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_short(path: Path) -> None:
    """No file is over 600 lines, and no function over 80, its docstring not counted."""
    text = path.read_text()
    assert text.count("\n") <= 600
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node, clean=False) is not None and node.body[1:] else node.body
            head = body[0].lineno - node.body[0].lineno
            assert (node.end_lineno or 0) - node.lineno + 1 - head <= 80, f"{path}:{node.lineno} {node.name}"


@pytest.mark.parametrize("path", source_files("tests"), ids=lambda path: str(path.relative_to(ROOT)))
def test_every_test_says_what_it_shows(path: Path) -> None:
    """Each test has a docstring that names its promise."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name}"


def test_a_cycle_is_seen() -> None:
    """The search for cycles finds one where there is one."""
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]
