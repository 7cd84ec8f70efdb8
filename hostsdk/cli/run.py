"""`hostsdk run`: runs a program, and ends as a program of the system's own would."""

from __future__ import annotations

import sys

import click

from hostsdk import Feature, Limits

from .run_options import addresses, complete_hosts, directories, duration, features, host_names, settings, size
from .run_plan import TIERS, Advertised, Directory, HostName, Plan, Tier
from .run_process import run

_LIMITS = Limits()
_COUNT = click.IntRange(min=0)


@click.command("run", context_settings={"allow_interspersed_args": False})
@click.option(
    "--env", multiple=True, callback=settings, metavar="K=V|K", help="A variable for the guest; K alone passes ours on."
)
@click.option(
    "--dir", "dirs", multiple=True, callback=directories, metavar="HOST[::GUEST]", help="A directory for the guest."
)
@click.option(
    "--ro-dir", "ro_dirs", multiple=True, callback=directories, metavar="HOST[::GUEST]", help="One only to be read."
)
@click.option(
    "--listen", multiple=True, callback=addresses, metavar="HOST:PORT", help="A listening socket for the guest."
)
@click.option(
    "--host",
    "hosts",
    multiple=True,
    callback=host_names,
    shell_complete=complete_hosts,
    metavar="NAME[=OPTION]|MODULE:NAME",
    help="A host module to import from; `hostsdk hosts` lists the installed ones.",
)
@click.option(
    "--invoke", metavar="NAME", help="Call this export with ARGS (if it takes any); print its results, one a line."
)
@click.option("--trace", is_flag=True, help="Say on standard error what host functions do, a line a call.")
@click.option("--trace-file", type=click.Path(), metavar="FILE", help="Write a time line, for Chrome or Perfetto.")
@click.option("--threads", type=click.Choice(["os", "green"]), default="os", help="The system's, or all on one.")
@click.option("--save", type=click.Path(), metavar="FILE", help="Where to keep what --timeout or Ctrl-C stops.")
@click.option(
    "--load", type=click.Path(), metavar="FILE", help="Go on with what --save kept, given the same program and options."
)
@click.option("--timeout", callback=duration, metavar="TIME", help="Stop after 500ms, 5s, 2m …, whatever it is doing.")
@click.option("--max-memory", callback=size, metavar="SIZE", help="Of all linear memories together: 64MiB, say.")
@click.option("--max-disk", callback=size, metavar="SIZE", help="By how much files in --dir may grow, all together.")
@click.option("--max-table", type=_COUNT, default=_LIMITS.table, metavar="N", help="Entries of all tables together.")
@click.option("--max-frames", type=_COUNT, default=_LIMITS.frames, metavar="N", help="Depth of calls.")
@click.option("--max-cells", type=_COUNT, default=_LIMITS.cells, metavar="N", help="Locals and operands of all frames.")
@click.option("--max-journal", type=_COUNT, default=_LIMITS.journal, metavar="N", help="Steps that a host call notes.")
@click.option(
    "--features", callback=features, metavar="LIST", help="What the program may use: mvp, 2.0, 3.0, all, NAME, -NAME."
)
@click.option("--lazy", is_flag=True, help="Check each function when it is first called: large programs start at once.")
@click.option("--tier", type=click.Choice(TIERS), default=TIERS[0], show_default=True, help="What executes functions.")
@click.argument("file", type=click.Path())
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def command(
    env: tuple[tuple[str, str], ...],
    dirs: tuple[Directory, ...],
    ro_dirs: tuple[Directory, ...],
    listen: tuple[tuple[str, int], ...],
    hosts: tuple[HostName | Advertised, ...],
    invoke: str | None,
    trace: bool,
    trace_file: str | None,
    threads: str,
    save: str | None,
    load: str | None,
    timeout: float | None,
    max_memory: int | None,
    max_disk: int | None,
    max_table: int,
    max_frames: int,
    max_cells: int,
    max_journal: int,
    features: Feature | None,
    lazy: bool,
    tier: Tier,
    file: str,
    args: tuple[str, ...],
) -> None:
    """Run the WebAssembly program in FILE. Everything after FILE is the program's own.

    The exit status is the program's, or: 124 timed out, 125 a host module failed, 126 the file can't be run
    (malformed, invalid or unlinkable), 127 there is no such file, 134 a trap, 2 a wrong command line. Ctrl-C lets
    host functions clean up; a second one ends at once.

    With --save, what is stopped can go on: in another process, on another machine, by --load. A file of --save's says
    what the program's memory holds: load one that you made yourself.
    """
    limits = Limits(
        memory=_LIMITS.memory if max_memory is None else max_memory,
        table=max_table,
        frames=max_frames,
        cells=max_cells,
        journal=max_journal,
    )
    folders = (*dirs, *ro_dirs)
    plan = Plan(
        file, args, env, folders, listen, hosts, invoke, timeout, limits, features,
        tier=tier, trace=trace, trace_file=trace_file, lazy=lazy, threads=threads,
        save=save, load=load, disk=max_disk,
    )  # fmt: skip
    sys.exit(run(plan))
