"""`hostsdk wast`: runs WebAssembly's own test scripts, one line for each, and totals."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import click

from .wast_engine import TIERS, ScriptEngine, Tier
from .wast_script import Tally, run_script
from .wast_values import ScriptError


@click.command("wast")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--suspend-every", type=click.IntRange(min=1), metavar="K", help="Suspend at every K-th check point, and resume."
)
@click.option("--tier", type=click.Choice(TIERS), default=TIERS[0], show_default=True, help="What executes functions.")
@click.option("--guard-pages", is_flag=True, help="Have machine code trap at guard pages, where they work.")
def command(files: tuple[Path, ...], suspend_every: int | None, tier: Tier, guard_pages: bool) -> None:
    """Run spec scripts in the JSON form of `wasm-tools json-from-wast`.

    Prints one line for each FILE; each failed command goes to standard error. The exit status is 1 if any failed.
    """
    total = Tally()
    for path in files:
        try:
            tally = run_script(path, ScriptEngine(tier, suspend_every, signals=guard_pages))
        except (OSError, ScriptError) as error:
            tally = Tally(failed=[str(error)])
        for line in tally.failed:
            click.echo(line, err=True)
        click.echo(f"{path.name}: {_counts(tally)}{_reasons(tally.skipped)}")
        total.passed += tally.passed
        total.failed += tally.failed
        total.skipped.update(tally.skipped)
    for reason, count in total.skipped.most_common():
        click.echo(f"skipped {count}: {reason}")
    click.echo(_counts(total))
    sys.exit(1 if total.failed else 0)


def _counts(tally: Tally) -> str:
    return f"{tally.passed} passed, {len(tally.failed)} failed, {tally.skipped.total()} skipped"


def _reasons(skipped: Counter[str]) -> str:
    return f" ({', '.join(f'{count} {reason}' for reason, count in skipped.most_common())})" if skipped else ""
