"""`hostsdk repl`: a module at hand: its exports are called, stopped, stepped through and looked at."""

from __future__ import annotations

import sys
from contextlib import ExitStack

import click

from .run_options import complete_hosts, directories, host_names, settings
from .run_plan import Advertised, Directory, HostName, Plan


@click.command("repl")
@click.option("--env", multiple=True, callback=settings, metavar="K=V|K", help="A variable for the guest.")
@click.option("--dir", "dirs", multiple=True, callback=directories, metavar="HOST[::GUEST]", help="A directory.")
@click.option(
    "--host",
    "hosts",
    multiple=True,
    callback=host_names,
    shell_complete=complete_hosts,
    metavar="NAME[=OPTION]|MODULE:NAME",
    help="A host module to import from.",
)
@click.option("--repl", "lines", is_flag=True, help="Speak the line protocol of wasm3's test harness instead.")
@click.argument("file", type=click.Path(), required=False)
def command(
    env: tuple[tuple[str, str], ...],
    dirs: tuple[Directory, ...],
    hosts: tuple[HostName | Advertised, ...],
    lines: bool,
    file: str | None,
) -> None:
    """Load FILE and call its exports: `NAME ARGS`, and `:help` for the rest.

    A call that is interrupted by Ctrl-C is suspended, wherever it is, and can be looked at, resumed, stepped on and
    saved.
    With --repl, the prompt is `wasm3> ` and answers are as that program's, so that harnesses made for it run unchanged:
    `run-spec-test.py --exec "hostsdk repl"`.
    """
    if lines:
        from .repl_lines import Lines

        Lines(sys.stdin, sys.stdout, sys.stderr).run(file)
        return
    if file is None:
        raise click.UsageError("Missing argument 'FILE'.")
    from .repl_session import Session
    from .run_process import Ended, opened
    from .run_report import tell

    with ExitStack() as open_:
        try:
            module, given = opened(Plan(file, (), env, dirs, (), hosts), open_)
            session = Session(module, given)
            open_.callback(session.close)
        except Ended as end:
            tell(file, end.message, end.trace)
            raise click.exceptions.Exit(end.status) from None
        session.talk(sys.stdin, sys.stdout)
