"""A guest's descriptors as plain data, and back.

Standard streams and preopened directories are those of whoever restores: only where they stand is saved. Files beneath
a directory of the host's are opened again by their paths, and can't be saved when they have been moved or removed.
Trees in memory are saved whole, with their open files, named or not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hostsdk import Clock, SnapshotError

from .config import WasiConfig
from .fdtable import Descriptor
from .fs.base import Directory, File, Name, Opening
from .path import resolved
from .state import SeededRandom, WasiState
from .types import FdFlags, FileType, Rights


def save(state: WasiState) -> dict[str, Any]:
    """The state as plain data. Raises SnapshotError naming the descriptor that can't be saved, and why."""
    items = state.fds.items()
    beneath = {id(descriptor.file): part for _, part, descriptor in _saved_beneath(state, items)}
    found = []
    for number, descriptor in items:
        try:
            found.append(_descriptor(state, number, descriptor, beneath.get(id(descriptor.file))))
        except (OSError, SnapshotError) as error:
            raise SnapshotError(f"descriptor {number}: {error}") from None
    return {
        "reached": state.now(),
        "random": state.random.at if isinstance(state.random, SeededRandom) else None,
        "last": state.fds.last,
        "descriptors": found,
        "trees": [_tree(state, items, place) for place in range(len(state.config.preopens))],
    }


def _opened(items: Sequence[tuple[int, Descriptor]], place: int) -> list[tuple[int, Descriptor]]:
    """Descriptors of what was opened beneath a preopened directory."""
    return [
        (number, descriptor)
        for number, descriptor in items
        if descriptor.origin[:2] == ("preopen", place) and len(descriptor.origin) > 2
    ]


def _tree(state: WasiState, items: Sequence[tuple[int, Descriptor]], place: int) -> object:
    """What a preopened directory keeps itself; None for one of the host's."""
    with _root(state, place) as root:
        parts = root.save_beneath([descriptor.file for _, descriptor in _opened(items, place)])
    return None if parts is None else list(parts)


@contextmanager
def _root(state: WasiState, place: int) -> Iterator[Directory]:
    """A preopened directory for a moment: the guest may have closed its own."""
    root = state.root(place)
    try:
        yield root
    finally:
        if not isinstance(state.config.preopens[place][1].source, Directory):
            root.close()


def _saved_beneath(state: WasiState, items: Sequence[tuple[int, Descriptor]]) -> list[tuple[int, int, Descriptor]]:
    """Which descriptors a tree saves, and as its how manyth."""
    found = []
    for place in range(len(state.config.preopens)):
        source = state.config.preopens[place][1].source
        if isinstance(source, Directory) and source.save_beneath(()) is not None:
            found += [(place, at, descriptor) for at, (_, descriptor) in enumerate(_opened(items, place))]
    return found


def _descriptor(state: WasiState, number: int, descriptor: Descriptor, part: int | None) -> dict[str, Any]:
    origin = descriptor.origin
    kept = descriptor.file.save() if part is None else None
    if not origin:
        raise SnapshotError("nobody can tell where it came from")
    opened = origin[0] == "preopen" and len(origin) > 2
    if opened and part is None:
        _require_place(state, descriptor)
    listing = descriptor.listing
    return {
        "number": number,
        "identity": descriptor.identity,
        "origin": list(origin),
        "part": part,
        "state": kept,
        "rights": descriptor.rights,
        "able": descriptor.file.rights,
        "inheriting": descriptor.inheriting,
        "flags": descriptor.flags,
        "directory": isinstance(descriptor.file, Directory),
        "listing": None if listing is None else [[name.name, name.ino, int(name.type)] for name in listing],
    }


def _path(origin: Sequence[Any]) -> bytes:
    return b"/".join(bytes(part) for part in origin[2:])


def _require_place(state: WasiState, descriptor: Descriptor) -> None:
    """Raises SnapshotError unless the file still has the name that it was opened by."""
    place, path = int(str(descriptor.origin[1])), _path(descriptor.origin)
    own = descriptor.file.stat()
    try:
        with _root(state, place) as root, resolved(root, path, follow=True) as found:
            now = found.directory.find(found.name)
    except OSError as error:
        raise SnapshotError(f"the file {path!r} can't be found again: {error}") from None
    if (now.dev, now.ino) != (own.dev, own.ino):
        raise SnapshotError(f"the file {path!r} has been moved or replaced")


def load(config: WasiConfig, data: dict[str, Any], clock: Clock) -> WasiState:
    """What `save` made, with the streams, directories and sockets of `config`; the guest's monotonic clock goes on from
    now, on `clock`. Raises SnapshotError."""
    state = WasiState(config)
    state.reached = data["reached"]
    state.attend(clock)
    state.random = SeededRandom(config.random) if isinstance(config.random, int) else config.random
    if isinstance(state.random, SeededRandom) and data["random"] is not None:
        state.random.at = data["random"]
    try:
        _restore(state, data)
    except OSError as error:
        state.close()
        raise SnapshotError(f"the guest's files can't be opened again: {error}") from error
    except BaseException:
        state.close()
        raise
    return state


def _restore(state: WasiState, data: dict[str, Any]) -> None:
    if len(data["trees"]) != len(state.config.preopens):
        raise SnapshotError(f"the guest had {len(data['trees'])} preopened directories, not as many as it is given now")
    trees: list[list[File]] = []
    for place, tree in enumerate(data["trees"]):
        trees.append([] if tree is None else state.root(place).load_beneath(tree))
    made: list[tuple[int, Descriptor]] = []
    try:
        for saved in data["descriptors"]:
            number = saved["number"]
            made.append((number, _made(state, saved, trees)))  # what was made is closed if one fails
    finally:
        state.fds.restore(made, data["last"])


def _made(state: WasiState, saved: dict[str, Any], trees: Sequence[Sequence[File]]) -> Descriptor:
    origin = tuple(saved["origin"])
    kind, place = origin[0], origin[1]
    preopen, read_only, owned = None, False, True
    if kind == "preopen":
        name, given = state.config.preopens[place]
        read_only = given.read_only
        if len(origin) == 2:
            preopen, owned = name, not isinstance(given.source, Directory)
    file = _file(state, saved, origin, trees)
    if saved["part"] is None:
        file.load(saved["state"])
    listing = saved["listing"]
    return Descriptor(
        file,
        saved["rights"],
        saved["inheriting"],
        saved["flags"],
        preopen,
        read_only,
        None if listing is None else [Name(bytes(name), ino, FileType(type_)) for name, ino, type_ in listing],
        origin,
        owned,
        saved["identity"],
    )


def _file(state: WasiState, saved: dict[str, Any], origin: tuple[Any, ...], trees: Sequence[Sequence[File]]) -> File:
    if saved["part"] is not None:
        part: int = saved["part"]
        return trees[int(origin[1])][part]
    match origin:
        case ("stream", number):
            return state.stream(number)
        case ("listen", place) if place < len(state.config.listen):
            return state.listener(place)
        case ("preopen", place):
            return state.root(place)
        case ("preopen", place, *_):
            return _reopened(state, int(place), _path(origin), saved)
    raise SnapshotError(f"what descriptor {saved['number']} was is not given now")


def _reopened(state: WasiState, place: int, path: bytes, saved: dict[str, Any]) -> File:
    able = saved["able"]
    how = Opening(
        read=bool(able & Rights.FD_READ),
        write=bool(able & Rights.FD_WRITE),
        directory=saved["directory"],
        flags=saved["flags"] & ~FdFlags.NONBLOCK,
    )
    with _root(state, place) as root, resolved(root, path, follow=True) as found:
        file: File = found.directory.open(found.name, how)
        return file
