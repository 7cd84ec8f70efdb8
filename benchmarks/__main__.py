"""`python -m benchmarks [GROUP…]`: measures beside the peers and prints each ratio with its target."""

from __future__ import annotations

import platform
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from .measure import Row
from .rows import GROUPS

HEAD = """\
# Performance

Made by `python -m benchmarks --write` (extra `bench`), on {python}, {machine}. In each row all engines had the same
machine in the same minutes and took turns, and the least time of several counts. The ratios are what to look at: times
depend on the machine, and on what else it does.

"Compute" is the interpreter beside interpreters, "machine code" the native tier with interruption on, beside wasmtime
without and with epochs, which is what makes it interruptible. It has guard pages there, as with `hostsdk run`; what it
takes with bounds checks, as in a library that touches no signals, stands among the peers. A target that was not reached
says so.

"""
TAIL = """
What no table says: a function is interpreted until it is hot, so a program of some seconds isn't as fast as these rows;
a function that the native tier doesn't know stays in the interpreter, which is some thousand times slower (`hostsdk
inspect` names them); and a host call costs what its Python costs.
"""
PAGE = Path(__file__).parent.parent / "docs" / "performance.md"


def _verdict(row: Row) -> str:
    if row.target in (float("inf"), 0):
        return "measured"
    sign = "≤" if row.kind == "at most" else "≥"
    unit = "×" if row.kind == "faster" else f" {row.unit}"
    mark = "reached" if row.reached else "not reached"
    return f"{row.ratio:.2f}{unit} ({sign} {row.target:g}: {mark})"


def _cells(row: Row) -> list[str]:
    peers = ", ".join(f"{name} {value:.4g}" for name, value in row.peers.items())
    return [row.name, f"{row.ours:.4g} {row.unit}", peers or "no peer", _verdict(row)]


def _page(rows: list[Row]) -> str:
    head = HEAD.format(
        python=f"{platform.python_implementation()} {platform.python_version()}", machine=platform.machine()
    )
    lines = ["| what | hostsdk | peers | ratio and target |", "|---|---|---|---|"]
    # Where each millisecond of the import goes is for those who make it shorter.
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows if not row.name.startswith("import hostsdk: ")]
    return head + "\n".join(lines) + "\n" + TAIL


@click.command()
@click.argument("groups", nargs=-1, type=click.Choice(list(GROUPS)))
@click.option("--write", is_flag=True, help="Write the table to docs/performance.md, too.")
def main(groups: tuple[str, ...], write: bool) -> None:
    """Measure GROUPS, or all of them."""
    table = Table("what", "hostsdk", "peers", "ratio and target")
    rows: list[Row] = []
    for group in groups or GROUPS:
        for row in GROUPS[group]():
            rows.append(row)
            table.add_row(*_cells(row))
    Console(width=120).print(table)
    if write:
        PAGE.write_text(_page(rows))


if __name__ == "__main__":
    main()
