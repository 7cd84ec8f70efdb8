"""`hostsdk new`: a package with a host module of one's own, with tests that pass."""

from __future__ import annotations

import keyword
import re
from importlib.metadata import version
from pathlib import Path

import click

from .new_files import files


@click.command("new")
@click.argument("name")
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Where to; hostsdk-NAME if left out.")
def command(name: str, folder: Path | None) -> None:
    """Make the package hostsdk-NAME, with a host module NAME: what guests import, and others get by --host NAME.

    It is whole: functions that wait, tests that interrupt and save them at every check point, types, CI. Nothing that
    is there is written over.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise click.BadParameter(f"{name!r} must be a Python name in lower case: letters, digits and _")
    folder = folder or Path(f"hostsdk-{name.replace('_', '-')}")
    texts = files(name, version("hostsdk"))
    there = [path for path in texts if (folder / path).exists()]
    if there:
        raise click.ClickException(f"{folder / there[0]} is there already; nothing has been written")
    try:
        for path, text in texts.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    except OSError as error:
        raise click.ClickException(f"{error.filename or folder}: {error.strerror or error}") from None
    click.echo(f"{folder}: {len(texts)} files. Next:")
    click.echo(f"  cd {folder} && python3 -m venv .venv && .venv/bin/pip install -e '.[dev]'")
    click.echo("  .venv/bin/python -m pytest")
