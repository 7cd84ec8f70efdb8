"""The words of `hostsdk run`'s command line."""

from __future__ import annotations

import os
import re
from typing import Final

import click

from hostsdk import ExtensionError, Feature, find_host, installed_hosts, parse_features

from .run_plan import Advertised, Directory, HostName

_DURATION: Final = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h)?")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE: Final = re.compile(r"(\d+)\s*(B|KiB|MiB|GiB)?")
_BYTES: Final = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


# What follows reads an option's text; click calls each with the option that it is for, for the error's sake.


def duration(ctx: click.Context, param: click.Parameter, text: str | None) -> float | None:
    """`500ms`, `5s`, `2m`, `1h`; seconds where there is no unit."""
    if text is None:
        return None
    found = _DURATION.fullmatch(text)
    seconds = 0.0 if found is None else float(found[1]) * _SECONDS[found[2] or "s"]
    if not seconds > 0:
        raise click.BadParameter(f"{text!r} is no duration above zero; write 500ms, 5s, 2m or 1h", ctx, param)
    return seconds


def size(ctx: click.Context, param: click.Parameter, text: str | None) -> int | None:
    """`64MiB`, `1GiB`; bytes where there is no unit."""
    if text is None:
        return None
    found = _SIZE.fullmatch(text)
    if found is None:
        raise click.BadParameter(f"{text!r} is no size; write 4096, 512KiB, 64MiB or 1GiB", ctx, param)
    return int(found[1]) * _BYTES[found[2] or "B"]


def features(ctx: click.Context, param: click.Parameter, text: str | None) -> Feature | None:
    """`3.0`, `mvp,simd`, `-threads`; everything where there is no text."""
    if text is None:
        return None
    try:
        return parse_features(text)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def settings(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """`NAME=VALUE`, or `NAME` for a variable as it is here, if it is."""
    found: dict[str, str] = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not name:
            raise click.BadParameter(f"{text!r} names no variable; write NAME=VALUE or NAME", ctx, param)
        if given:
            found[name] = value
        elif name in os.environ:
            found[name] = os.environ[name]
    return tuple(found.items())


def host_names(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[HostName | Advertised, ...]:
    """`NAME` or `NAME=OPTION` for a host module of an installed package, `package.module:attribute` for any other."""
    found: list[HostName | Advertised] = []
    for text in texts:
        name, given, option = text.partition("=")
        module, colon, attribute = name.partition(":")
        if not colon and name:
            found.append(_advertised(name, option if given else None, ctx, param))
            continue
        if given or not all(part.isidentifier() for part in [*module.split("."), *attribute.split(".")]):
            says = f"{text!r} is no host module; write NAME, NAME=OPTION or package.module:attribute"
            raise click.BadParameter(says, ctx, param)
        found.append(HostName(module, attribute))
    return tuple(found)


def complete_hosts(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The installed host modules that a shell offers."""
    return [host.name for host in installed_hosts() if host.name.startswith(incomplete)]


def _advertised(name: str, option: str | None, ctx: click.Context, param: click.Parameter) -> Advertised:
    try:
        return Advertised(find_host(name), option)
    except ExtensionError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def directories(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[Directory, ...]:
    """`HOST` or `HOST::GUEST`, each; the guest's name is the host's where none is given."""
    found = []
    for text in texts:
        path, given, guest = text.partition("::")
        if not os.path.isdir(path):
            raise click.BadParameter(f"{path!r} is no directory", ctx, param)
        if given and not guest:
            raise click.BadParameter(f"{text!r} leaves the guest's name out; write HOST::GUEST or HOST", ctx, param)
        found.append(Directory(path, guest or path, param.name == "ro_dirs"))
    return tuple(found)


def addresses(ctx: click.Context, param: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, int], ...]:
    """`HOST:PORT`, each; an address of IPv6 in brackets."""
    found = []
    for text in texts:
        host, _, port = text.rpartition(":")
        if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise click.BadParameter(f"{text!r} is no address; write 127.0.0.1:8080 or [::1]:8080", ctx, param)
        found.append((host.removeprefix("[").removesuffix("]"), int(port)))
    return tuple(found)
