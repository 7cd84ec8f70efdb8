"""`hostsdk cache`: the machine code that is kept on disk."""

from __future__ import annotations

import sys

import click

from runtime import kept_code


@click.group("cache", invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Show the machine code that is kept. Without a subcommand, show what there is."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(show)


@command.command("show")
def show() -> None:
    """Show the folder, and how much there is in it."""
    cache = kept_code()
    if cache is None:
        click.echo("no machine code is kept: HOSTSDK_CACHE is off")
        return
    modules = list(cache.modules())
    files, size = sum([count for _, count, _ in modules]), sum([size for _, _, size in modules])
    click.echo(f"{cache.root}: {len(modules)} modules, {files} files, {size / 1024:.0f} KiB")


@command.command("clear")
def clear() -> None:
    """Forget all machine code that is kept."""
    cache = kept_code()
    if cache is None:
        click.echo("no machine code is kept: HOSTSDK_CACHE is off", err=True)
        sys.exit(1)
    cache.clear()
    click.echo(f"{cache.root}: cleared")
