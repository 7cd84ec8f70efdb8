"""`WasiConfig`: what a guest is given of the world."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from hostsdk import lean

from .fs.base import Directory, File, Listener
from .fs.stdio import ByteQueue

if TYPE_CHECKING:
    import socket

#: What may be given as a standard stream: "inherit" (the process's own), "null", bytes (input only), a ByteQueue, a
#: descriptor's number, an object with `fileno`, or with `read` or `write` of bytes, a callable, or a `File`.
Stream: TypeAlias = "str | bytes | bytearray | int | ByteQueue | File | Callable[..., Any] | Any"


@lean.frozen
class Preopen:
    """A directory for the guest: a path of the host's or a `Directory`; with `read_only`, nothing beneath it can be
    changed through it."""

    source: str | os.PathLike[str] | Directory
    read_only: bool = False


#: What may be given as a preopened directory.
PreopenSource: TypeAlias = "str | os.PathLike[str] | Directory | Preopen"


def _bytes(text: object) -> bytes:
    if isinstance(text, (str, bytes, os.PathLike)):
        data = os.fsencode(text)
        if b"\0" not in data:
            return data
    raise ValueError(f"{text!r} can't be handed to a guest: text without zero characters is wanted")


def _args(args: Iterable[str | bytes]) -> tuple[bytes, ...]:
    if isinstance(args, (str, bytes)):
        raise TypeError("args takes a sequence of arguments, the program's name first")
    return tuple(_bytes(arg) for arg in args)


def _env(env: Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    pairs = env.items() if isinstance(env, Mapping) else env
    made = tuple((_bytes(name), _bytes(value)) for name, value in pairs)
    for name, _ in made:
        if not name or b"=" in name:
            raise ValueError(f"{name!r} can't be the name of an environment variable")
    return made


def _preopens(
    given: Mapping[str, PreopenSource] | Iterable[tuple[str | bytes, PreopenSource]],
) -> tuple[tuple[bytes, Preopen], ...]:
    made = []
    for name, source in given.items() if isinstance(given, Mapping) else given:
        if not isinstance(source, (str, os.PathLike, Directory, Preopen)):
            raise TypeError(f"{source!r} can't be preopened: neither a path nor a Directory nor a Preopen")
        made.append((_bytes(name), source if isinstance(source, Preopen) else Preopen(source)))
    return tuple(made)


@lean.frozen
class WasiConfig:
    """What a guest is given. Immutable; use `lean.evolve`. Text is encoded as file names are."""

    #: The program's arguments, its name first.
    args: Sequence[bytes]
    #: Environment variables.
    env: Sequence[tuple[bytes, bytes]]
    #: Directories by the name that the guest knows them by; they get the descriptors from 3 on, in order.
    preopens: Sequence[tuple[bytes, Preopen]]
    #: Sockets that listen, and get the descriptors after the directories. They stay the embedder's to close.
    listen: Sequence[socket.socket | Listener]
    stdin: Stream
    stdout: Stream
    stderr: Stream
    #: Bytes by which files may grow in the directories that are given as paths, all together; each new name counts 4096
    #: of them, and what is removed isn't given back. A write past it is short, and then ENOSPC. None for no limit.
    disk: int | None
    #: Gives that many random bytes; or a seed, and then the guest gets the same bytes in each run.
    random: Callable[[int], bytes] | int

    def __init__(
        self,
        *,
        args: Iterable[str | bytes] = (),
        env: Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]] = (),
        preopens: Mapping[str, PreopenSource] | Iterable[tuple[str | bytes, PreopenSource]] = (),
        listen: Iterable[socket.socket | Listener] = (),
        stdin: Stream = "inherit",
        stdout: Stream = "inherit",
        stderr: Stream = "inherit",
        disk: int | None = None,
        random: Callable[[int], bytes] | int = os.urandom,
    ) -> None:
        fill = partial(object.__setattr__, self)
        fill("args", _args(args))
        fill("env", _env(env))
        fill("preopens", _preopens(preopens))
        fill("listen", tuple(listen))
        fill("stdin", stdin)
        fill("stdout", stdout)
        fill("stderr", stderr)
        fill("disk", disk)
        fill("random", random)
