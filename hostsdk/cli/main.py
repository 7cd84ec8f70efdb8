"""The command `hostsdk`. A subcommand's file is imported only when it is called, so that none pays for the others."""

from __future__ import annotations

import importlib
from typing import Final

import click

#: Subcommands with the line that `hostsdk --help` shows. `NAME` is the object `command` in the file `NAME.py` here.
COMMANDS: Final = {
    "completion": "Print what makes a shell complete words.",
    "cache": "Show and clear the machine code that is kept.",
    "compile": "Make machine code of a program before it runs.",
    "hosts": "Show the installed host modules.",
    "info": "Show versions, and what is available here.",
    "inspect": "Show what a module needs and offers.",
    "new": "Make a package with a host module.",
    "repl": "Call a module's exports, and look at it.",
    "run": "Run a program.",
    "wast": "Run WebAssembly's own test scripts.",
}


class LazyGroup(click.Group):
    """A group that knows its commands by name alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = importlib.import_module(f".{cmd_name}", __package__).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{cmd_name}.command is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="hostsdk", prog_name="hostsdk")
def main() -> None:
    """Run WebAssembly modules that can be interrupted, saved and resumed at any point."""
