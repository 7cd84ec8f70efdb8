"""Doors that open a room when somebody asks for what is in it.

A door hands out the names of a package's rooms. Written as imports, all rooms are loaded with it, and a short program
needs a third of them; so a door imports for type checkers alone, and says where each name is for when it is asked for:

    if TYPE_CHECKING:
        from .room import Name, other
    else:
        __getattr__, __dir__ = door(__name__, {".room": "Name other"}, __all__)

tests/test_doors.py holds the two lists together.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence


def door(
    package: str, rooms: Mapping[str, str], offered: Sequence[str]
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """What a module needs to be a door: its `__getattr__` and `__dir__`. `rooms` has the names that are found in each
    module, with `there:here` for one that is called otherwise here; the empty module stands for modules that are
    handed out whole. Any thread may ask; a name is looked up once, then it stands in the package."""
    places = {}
    for room, names in rooms.items():
        whole = package + room if room[:1] in (".", "") else room
        for name in names.split():
            there, _, here = name.partition(":")
            places[here or there] = (whole, there) if room else (f"{whole}.{there}", "")

    def find(name: str) -> object:
        place = places.get(name)
        if place is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        room, there = place
        __import__(room)
        found: object = sys.modules[room]
        if there:
            found = getattr(found, there)
        setattr(sys.modules[package], name, found)
        return found

    def listed() -> list[str]:
        return sorted({*vars(sys.modules[package]), *offered})

    return find, listed
