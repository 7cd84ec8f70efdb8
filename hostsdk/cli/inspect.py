"""`hostsdk inspect`: what a module needs, what it offers, and how large it is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import click

from hostsdk import ExtensionError, Feature, FuncType, HostModule, InstalledHost, installed_hosts
from runtime import Module, UnsupportedError, interpreted

from .run_plan import Plan
from .run_process import Ended, opened
from .run_report import plain, tell

#: Bytes of bodies up to which the functions are looked through unasked.
_SMALL = 1 << 18


@click.command("inspect")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--tiers", is_flag=True, help="Look through the functions of a large module, too.")
@click.argument("file", type=click.Path())
def command(as_json: bool, tiers: bool, file: str) -> None:
    """Show what FILE imports and which installed host modules have it, what it exports, which features it uses, its
    sizes, and which functions stay in the interpreter. Exit status 1: an import that no installed host module has.
    """
    with ExitStack() as open_:
        try:
            module: Any = opened(Plan(file), open_)[0]
        except Ended as end:
            tell(file, end.message, end.trace)
            raise click.exceptions.Exit(end.status) from None
    found = describe(module._raw, tiers=tiers)
    if as_json:
        click.echo(json.dumps({"file": file, **found}, indent=2))
    else:
        click.echo("\n".join(plain(line) for line in _lines(found)))
    if any(each["host"] is None for each in found["imports"]):
        sys.exit(1)


def describe(module: Module, *, tiers: bool) -> dict[str, Any]:
    """All that is said of a module, as plain data."""
    decls = module.decls
    code = sum(body.end - body.start for body in decls.codes)
    return {
        "name": module.name,
        "hash": module.hash,
        "features": _features(module.data),
        "imports": list(_imports(module)),
        "exports": [{"name": name, "type": repr(kind)} for name, kind in module.export_types()],
        "sizes": {
            "file": len(module.data),
            "code": code,
            "data": sum(each.end - each.start for each in decls.datas),
            "functions": len(decls.codes),
            "types": len(decls.types),
            "globals": len(decls.globals),
            "memories": [repr(kind) for kind in module.env.memories],
            "tables": [repr(kind) for kind in module.env.tables],
        },
        "interpreted": _interpreted(module) if tiers or code <= _SMALL else None,
    }


def _features(data: bytes) -> list[str]:
    """The features beyond WebAssembly 1.0 that the module needs: each is found by doing without it."""
    names = {feature.text: feature for feature in Feature}
    needed = Feature.MVP
    while True:
        try:
            Module.load(data, needed)
        except UnsupportedError as error:
            if error.feature not in names or names[error.feature] in needed:
                break
            needed |= names[error.feature]
        else:
            break
    return [feature.text for feature in needed if feature is not Feature.MVP]


def _imports(module: Module) -> Iterator[dict[str, Any]]:
    hosts = {host.name: host for host in installed_hosts()}
    made: dict[str, HostModule[Any] | None] = {}
    for name, item, kind in module.import_types():
        host = hosts.get(name)
        if host is not None and name not in made:
            made[name] = _made(host)
        has = host is not None and _has(made[name], item, kind)
        yield {
            "module": name,
            "name": item,
            "type": repr(kind),
            "host": f"{host.package} {host.version}" if host is not None and has else None,
        }


def _made(host: InstalledHost) -> HostModule[Any] | None:
    try:
        return None if host.required else host.load()
    except ExtensionError:
        return None


def _has(host: HostModule[Any] | None, name: str, kind: object) -> bool:
    """Whether a host module has the function; one that can't be made without an option is taken at its word."""
    if host is None:
        return True
    spec = host.functions.get(name)
    return spec is not None and isinstance(kind, FuncType) and spec.fitted(kind) is not None


def _interpreted(module: Module) -> list[dict[str, Any]]:
    return [
        {"index": index, "name": module.func_name(index), "reason": reason}
        for index, reason in interpreted(module).items()
    ]


def _lines(found: dict[str, Any]) -> Iterator[str]:
    sizes = found["sizes"]
    yield f"module    {found['name'] or '(no name)'}, {sizes['file']} bytes, sha256 {found['hash']}"
    yield f"features  {', '.join(found['features']) or 'WebAssembly 1.0'}"
    yield (
        f"sizes     {sizes['functions']} functions in {sizes['code']} bytes, {sizes['data']} bytes of data, "
        f"{sizes['globals']} globals, {sizes['types']} types"
    )
    for kind in ("memories", "tables"):
        for text in sizes[kind]:
            yield f"          {text}"
    yield f"imports   {len(found['imports'])}"
    for each in found["imports"]:
        yield f"          {each['module']}.{each['name']}  {each['type']}  {each['host'] or 'NOT INSTALLED'}"
    yield f"exports   {len(found['exports'])}"
    for each in found["exports"]:
        yield f"          {each['name']}  {each['type']}"
    kept = found["interpreted"]
    if kept is None:
        yield "tiers     a large module; --tiers looks through its functions"
        return
    yield f"tiers     {len(kept)} of {sizes['functions']} functions stay in the interpreter"
    for each in kept:
        yield f"          {each['name']}: {each['reason']}"
