"""`python -m benchmarks [GROUP…]`: measures beside the peers and prints each ratio with its target."""

from __future__ import annotations

import platform
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from .measure import Row
from .rows import GROUPS

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
    head = (
        "# Performance\n\nMeasured by `python -m benchmarks --write`, the engines taking turns in one run, on "
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}. Ratios are what "
        "counts; times depend on the machine.\n\n"
    )
    lines = ["| what | hostsdk | peers | ratio and target |", "|---|---|---|---|"]
    lines += [f"| {' | '.join(_cells(row))} |" for row in rows]
    return head + "\n".join(lines) + "\n"


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
