"""The name section (appendix "Name Section"). It is for people, so nothing in it makes a module malformed: what can't
be read is left out."""

from __future__ import annotations

import contextlib

from ..declarations import Names
from ..errors import MalformedError
from .reader import Reader

_MODULE, _FUNCS, _LOCALS, _GLOBALS, _TAGS = 0, 1, 2, 7, 11


def decode_names(reader: Reader) -> Names:
    """The names in the rest of `reader`, as far as they can be read. Never raises."""
    module: list[str] = []
    funcs: dict[int, str] = {}
    locals_: dict[int, dict[int, str]] = {}
    globals_: dict[int, str] = {}
    tags: dict[int, str] = {}
    with contextlib.suppress(MalformedError):
        while reader.pos < reader.end:
            kind = reader.byte()
            part = reader.part()
            # What is wrong inside one subsection does not hide the next.
            with contextlib.suppress(MalformedError):
                if kind == _MODULE:
                    module.append(part.name())
                elif kind == _FUNCS:
                    _map(part, funcs)
                elif kind == _GLOBALS:
                    _map(part, globals_)
                elif kind == _TAGS:
                    _map(part, tags)
                elif kind == _LOCALS:
                    for _ in range(part.count()):
                        _map(part, locals_.setdefault(part.u32(), {}))
    return Names(module[0] if module else None, funcs, locals_, globals_, tags)


def _map(reader: Reader, names: dict[int, str]) -> None:
    for _ in range(reader.count()):
        index = reader.u32()
        names[index] = reader.name()
