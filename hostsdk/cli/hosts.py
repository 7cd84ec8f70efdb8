"""`hostsdk hosts`: the host modules that installed packages have, with their functions."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import click

from hostsdk import ExtensionError, HostModule, InstalledHost, find_host, installed_hosts

from .run_report import plain


@click.command("hosts")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Show the host modules that installed packages have, or those called NAME with their functions.

    A guest gets one by `hostsdk run --host NAME`, or `--host NAME=OPTION` where it takes an option. Exit status 1:
    a package is broken, or there is no such host module.
    """
    found = [host for host in installed_hosts() if not names or host.name in names]
    rows = [_row(host) for host in found]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        click.echo("\n".join(line for row in rows for line in _lines(row, bool(names))) or "no host modules")
    absent = sorted(set(names) - {host.name for host in found})
    if absent:
        click.echo("\n".join(advice(absent)), err=True)
    if absent or any("error" in row for row in rows):
        raise click.exceptions.Exit(1)


def _row(host: InstalledHost) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": host.name,
        "package": host.package,
        "version": host.version,
        "target": host.target,
    }
    try:
        option = host.option
        if option is not None:
            row["option"] = {"name": option, "required": host.required}
        # Making it must have no effect: a host module only says how a state is made.
        if option is None or not host.required:
            row["functions"] = list(_functions(host.load()))
    except ExtensionError as error:
        row["error"] = str(error)
    return row


def _functions(module: HostModule[Any]) -> Iterator[dict[str, Any]]:
    for spec in module.functions.values():
        yield {
            "name": spec.name,
            "signature": spec.signature.text,
            "params": [str(kind) for kind in spec.signature.type.params],
            "results": [str(kind) for kind in spec.signature.type.results],
            "style": spec.style.value,
            "version": spec.version,
        }


def _lines(row: dict[str, Any], full: bool) -> Iterator[str]:
    option = row.get("option")
    takes = ""
    if option is not None:
        takes = f"={option['name'].upper()}" if option["required"] else f"[={option['name'].upper()}]"
    functions = row.get("functions")
    count = "" if functions is None else f", {len(functions)} functions"
    yield plain(f"{row['name']}{takes}  ({row['package']} {row['version']}{count})")
    if "error" in row:
        yield plain(f"    broken: {row['error']}")
    if functions is None or not full:
        return
    for each in functions:
        kinds = f"({' '.join(each['params'])}) -> ({' '.join(each['results'])})"
        waits = "" if each["style"] in ("plain", "pure") else f"; {each['style']}, may wait"
        yield plain(f"    {each['name']}{each['signature']}  {kinds}{waits}")


def advice(names: Iterable[str]) -> list[str]:
    """What to do so that guests find host modules of these names: which option to give, or what to install."""
    lines: list[str] = []
    for name in names:
        try:
            host = find_host(name)
        except ExtensionError as error:
            lines += map(plain, str(error).splitlines())
        else:
            lines.append(plain(f"{host.package} {host.version} has {name}: --host {name}"))
    return lines
