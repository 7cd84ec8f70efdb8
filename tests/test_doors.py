"""The doors: what type checkers are told and where names are found agree, and a room is opened when it is asked for."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from runtime import doors
from tests.support.cache import ROOT
from tests.support.imports import module_name, source_files

#: The packages that open their rooms late, and the SDK's port to the engine, which takes all its names from there.
DOORS = ("hostsdk", "hostsdk.wasi", "runtime")
PORT = "hostsdk._engine"
MODULES = {module_name(path) for path in source_files("runtime", "hostsdk")}


def source(door: str) -> ast.Module:
    """The door's file."""
    return ast.parse(Path(importlib.import_module(door).__file__ or "").read_text())


def told(door: str) -> dict[tuple[str, str], str]:
    """What type checkers are told: (room, name there) by the name here."""
    guarded = [
        each
        for node in source(door).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for each in node.body
    ]
    return {
        (f".{node.module}" if node.module and node.level else node.module or "", alias.name): alias.asname or alias.name
        for node in guarded
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def found(door: str) -> dict[tuple[str, str], str]:
    """What the door's table says, in the same form."""
    [call] = [
        node
        for node in ast.walk(source(door))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("door", "doors.door")
    ]
    rooms = ast.literal_eval(call.args[1])
    pairs = [(room, *name.partition(":")[::2]) for room, names in rooms.items() for name in names.split()]
    return {(room, there): here or there for room, there, here in pairs}


@pytest.mark.parametrize("door", DOORS)
def test_checkers_are_told_what_is_found(door: str) -> None:
    """HOUSE 3: a door's imports for type checkers and its table have the same names from the same rooms; what is not
    handed out is for annotations there."""
    offered = set(importlib.import_module(door).__all__)
    assert {key: name for key, name in told(door).items() if name in offered} == found(door)


@pytest.mark.parametrize("door", [*DOORS, PORT])
def test_a_door_has_what_it_offers(door: str) -> None:
    """Each name is there, listed, and the same each time; importing a module that is called so doesn't put it there."""
    module = importlib.import_module(door)
    assert set(module.__all__) <= set(dir(module))
    for name in module.__all__:
        thing = getattr(module, name)
        assert getattr(module, name) is thing
        if f"{door}.{name}" in MODULES:
            importlib.import_module(f"{door}.{name}")
            assert getattr(module, name) is thing


@pytest.mark.parametrize("door", [*DOORS, PORT])
def test_a_name_that_no_room_has_is_told(door: str) -> None:
    """A typing error in a name is an AttributeError that says whose name it is not, as without a door."""
    module = importlib.import_module(door)
    with pytest.raises(AttributeError, match=f"module '{door}' has no attribute 'Instanze'"):
        module.Instanze  # noqa: B018
    with pytest.raises(ImportError, match=f"cannot import name 'Instanze' from '{door}'"):
        exec(f"from {door} import Instanze")


def test_a_name_may_be_another_there() -> None:
    """`there:here` renames, a room may be of another package, and what was found stands in the package."""
    get, listed = doors.door("tests", {"math": "pi:circle", "": "support"}, ["circle", "support"])
    try:
        assert get("circle") == vars(sys.modules["tests"])["circle"] == 3.141592653589793
        assert get("support") is sys.modules["tests.support"]
        assert {"circle", "support"} <= set(listed())
    finally:
        vars(sys.modules["tests"]).pop("circle", None)


#: Threads that all ask at once, each beginning with another name.
CROWD = """
import sys, threading
import hostsdk, hostsdk.wasi
ready, failed = threading.Barrier(8), []
def ask(first):
    ready.wait()
    try:
        for door in (hostsdk, hostsdk.wasi):
            names = door.__all__
            for at in range(len(names)):
                getattr(door, names[(at + first * len(names) // 8) % len(names)])
        list(hostsdk.wasi.preview1().functions.values())
    except BaseException as error:
        failed.append(error)
threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
for each in threads: each.start()
for each in threads: each.join()
print(failed)
"""


def test_any_threads_may_ask_at_once() -> None:
    """Eight threads that open all rooms from different ends find everything, and so do the host module's functions that
    are registered late."""
    command = [sys.executable, "-c", CROWD]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
