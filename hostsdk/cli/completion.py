"""`hostsdk completion`: what makes a shell complete the command's words."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what SHELL is to evaluate so that it completes commands, options and files.

    For bash, in ~/.bashrc: eval "$(hostsdk completion bash)". For fish, save it as
    ~/.config/fish/completions/hostsdk.fish.
    """
    complete = get_completion_class(shell)
    if complete is None:
        raise click.ClickException(f"there is no completion for {shell}")
    click.echo(complete(ctx.find_root().command, {}, "hostsdk", "_HOSTSDK_COMPLETE").source())
