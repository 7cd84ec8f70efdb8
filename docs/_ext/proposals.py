"""The table in `docs/proposals.md`, from the engine's own tables: `python docs/_ext/proposals.py` writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from runtime.features import AVAILABLE, MVP, PRESETS, WASM_2_0, WASM_3_0, Feature
from runtime.instr import legacy
from runtime.instr.index import DECODED
from runtime.interp import numeric as _numeric
from runtime.interp import prepare as _prepare
from runtime.interp.prepare import STEPS
from runtime.interp.registry import known
from runtime.llvm import function as _function
from runtime.llvm.lower.registry import LOWERINGS

PAGE = Path(__file__).resolve().parents[1] / "proposals.md"
BEGIN, END = "<!-- from the tables: begin -->\n", "<!-- from the tables: end -->\n"
#: The files whose import fills the tables.
FILLED = (_numeric, _prepare, _function)
#: Instructions that become others when a body is decoded, all of which both tiers have.
REWRITTEN = {row.name for row in legacy.ROWS}
#: Features without instructions of their own, or with more to them than those, that machine code does not have.
NOT_COMPILED: frozenset[Feature] = frozenset()


def edition(feature: Feature) -> str:
    """The first edition of WebAssembly that has the feature."""
    for name, preset in (("1.0", MVP), ("2.0", WASM_2_0), ("3.0", WASM_3_0)):
        if feature in preset:
            return name
    return "proposal"


def coverage(have: list[bool], whole: bool) -> str:
    """In a few words: how much of it there is."""
    if not have:
        return "yes" if whole else "no"
    if all(have):
        return "yes"
    return f"{sum(have)} of {len(have)}" if any(have) else "no"


def rows() -> Iterator[str]:
    """One line a feature."""
    for feature in Feature:
        group = [row for row in DECODED.values() if row.feature is feature]
        names = [row.name for row in group]
        there = feature in AVAILABLE
        interpreter = coverage([row.name in REWRITTEN or known(row) or row.name in STEPS for row in group], there)
        native = coverage(
            [name in REWRITTEN or name in LOWERINGS for name in names], there and feature not in NOT_COMPILED
        )
        count = str(len(names)) if names else ""
        if not there:
            interpreter = native = "no"
        yield f"| `{feature.text}` | {edition(feature)} | {count} | {interpreter} | {native} |"


def table() -> str:
    """The table, and the presets."""
    head = "| feature | since | instructions | interpreter | machine code |\n|---|---|---|---|---|\n"
    presets = "".join([
        f"* `{name}`: {', '.join(f'`{feature.text}`' for feature in preset)}\n" for name, preset in PRESETS.items()
    ])  # fmt: skip
    return head + "\n".join(rows()) + "\n\n## Presets\n\n" + presets


def page(text: str) -> str:
    """The page with the table as it is now."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table() + END + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
