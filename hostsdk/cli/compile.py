"""`hostsdk compile`: fills the cache of machine code ahead of time."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from runtime import Module, StateError, WasmError, compile_ahead, kept_code


@click.command("compile")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
def command(files: tuple[Path, ...]) -> None:
    """Make machine code of all functions of each FILE, and keep it for the runs to come.

    A run does the same for what is hot; this does it for everything, before. The exit status is 1 if there is no
    machine code of some FILE.
    """
    failed = [path for path in files if not _compile(path)]
    sys.exit(1 if failed else 0)


def _compile(path: Path) -> bool:
    begun = time.perf_counter()
    try:
        module = Module.load(path.read_bytes())
        with _Bar(path.name) as bar:
            done = compile_ahead(module, bar.told)
    except (OSError, WasmError, StateError) as error:
        click.echo(f"{path}: {error}", err=True)
        return False
    cache = kept_code()
    parts = [f"{done.made} functions in machine code"]
    if done.before:
        parts.append(f"{done.before} were there before")
    if done.interpreted:
        parts.append(f"{done.interpreted} stay with the interpreter")
    where = "" if cache is None else f" in {cache.root}"
    took = time.perf_counter() - begun
    click.echo(f"{path}: {', '.join(parts)}; {done.size / 1024:.0f} KiB kept{where}; {took:.1f} s")
    return True


class _Bar:
    """A bar on a terminal; nothing elsewhere."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> _Bar:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        console = Console(stderr=True)
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(self._name, total=None)
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def told(self, done: int, count: int) -> None:
        """How far it is."""
        self._progress.update(self._task, completed=done, total=count)
