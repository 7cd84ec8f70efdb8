"""The directive `states`: the states of an execution, and the moves between them, drawn from the table in the code.
With the argument `tasks` those of a scheduler's task, with `members` of a thread that shares a memory, with `clusters`
of all such threads together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from typing import TYPE_CHECKING, Any, TypeAlias

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

from hostsdk._drivers.tasks import MOVES as TASK_MOVES
from hostsdk._drivers.tasks import TaskState
from runtime.exec.cluster import CLUSTER_MOVES, MEMBER_MOVES, Phase, Place
from runtime.exec.state import MOVES, State

if TYPE_CHECKING:
    from sphinx.application import Sphinx

AnyState: TypeAlias = State | TaskState | Place | Phase
Moves: TypeAlias = Mapping[Any, Set[Any]]

#: By the directive's argument. A table that names what happens leads to the same states without it.
TABLES: dict[str, Moves] = {
    "": MOVES,
    "tasks": TASK_MOVES,
    "members": {place: frozenset(events.values()) for place, events in MEMBER_MOVES.items()},
    "clusters": {phase: frozenset(events.values()) for phase, events in CLUSTER_MOVES.items()},
}

#: Size of a box, and the room between two.
WIDTH, HEIGHT, GAP, DROP = 104, 34, 56, 96


def _states(moves: Moves) -> list[AnyState]:
    return list(type(next(iter(moves))))


def places(moves: Moves) -> dict[AnyState, tuple[int, int]]:
    """The upper left corner of each state's box: those that can be left in a row above, final ones below."""
    lasting = [state for state in _states(moves) if moves.get(state)]
    final = [state for state in _states(moves) if not moves.get(state)]
    above = {state: (column * (WIDTH + GAP), 0) for column, state in enumerate(lasting)}
    step = WIDTH + 12
    return above | {state: (column * step, HEIGHT + DROP) for column, state in enumerate(final)}


def arrows(moves: Moves) -> Iterator[tuple[AnyState, AnyState]]:
    """Every move, in the order of the states."""
    for old in _states(moves):
        for new in _states(moves):
            if new in moves.get(old, ()):
                yield old, new


def draw(moves: Moves) -> str:
    """The picture, as SVG in the text's own colour."""
    where = places(moves)
    lines = [_arrow(where[old], where[new], f"{old.value} to {new.value}") for old, new in arrows(moves)]
    boxes = [_box(corner, state.value) for state, corner in where.items()]
    wide = max(x for x, _ in where.values()) + WIDTH + 4
    high = max(y for _, y in where.values()) + HEIGHT + 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-2 -2 {wide} {high}" style="max-width: {wide}px" '
        'role="img" aria-label="states and moves" fill="none" stroke="currentColor">'
        '<marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L8 4L0 8z" fill="currentColor" stroke="none"/></marker>'
        f"{''.join(lines)}{''.join(boxes)}</svg>"
    )


def _box(corner: tuple[int, int], text: str) -> str:
    x, y = corner
    return (
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6"/>'
        f'<text x="{x + WIDTH // 2}" y="{y + HEIGHT // 2 + 5}" text-anchor="middle" fill="currentColor" '
        f'stroke="none" font-size="14">{text}</text>'
    )


def _arrow(old: tuple[int, int], new: tuple[int, int], title: str) -> str:
    (x, y), (to_x, to_y) = old, new
    if y == to_y:  # along the row, the way back below the way there
        there = to_x > x
        shift = HEIGHT // 3 if there else 2 * HEIGHT // 3
        ends = (x + WIDTH, y + shift, to_x, to_y + shift) if there else (x, y + shift, to_x + WIDTH, to_y + shift)
    else:
        lean = (to_x - x) * WIDTH // 1200
        ends = (x + WIDTH // 2 + lean, y + HEIGHT, to_x + WIDTH // 2 - lean, to_y)
    a, b, c, d = ends
    return f'<line x1="{a}" y1="{b}" x2="{c}" y2="{d}" marker-end="url(#tip)"><title>{title}</title></line>'


class States(SphinxDirective):
    """`{states}`: no content."""

    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        moves = TABLES["".join(self.arguments)]
        text = "; ".join(f"{old.value} → {new.value}" for old, new in arrows(moves))
        return [
            nodes.raw("", draw(moves), format="html"),
            # For builders that know no SVG.
            nodes.raw("", text, format="text"),
        ]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("states", States)
    return {"parallel_read_safe": True}
