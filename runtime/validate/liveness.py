"""Which locals are still needed at each check point: what a frame record holds (see `layout.py`).

A backward data flow over the structured control, with sets of locals as ints, one bit a local. A branch forward goes
to a label whose set is known already when the body is read from its end; a branch to a loop goes to one that isn't.
So loops begin with the empty set, and the whole body is read again until no loop's set grows. The sets only grow, and
what needs many rounds is contrived: after `_ROUNDS` every local counts as needed at every loop, which is safe. In a
body of absurdly many locals and instructions (`_BITS`, `_KEPT`) every local counts as needed everywhere. All of it
depends on the code alone, as a record's layout must.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

from .. import lean
from ..instr.index import BY_NAME
from ..instr.model import Catch, Instr, Op
from ..types import ValType
from .layout import Layout
from .sidetable import SideTable

#: Readings of a body before loops are given up on. Real code takes as many as its loops are deep, and one or two.
_ROUNDS = 40
#: Locals times instructions of one body: what one reading moves about.
_BITS = 1 << 29
#: Locals times check points, beyond so many for each instruction: what the sets take up that are kept.
_KEPT, _KEPT_PER_OP = 1 << 22, 1 << 11
#: Slots of the layouts that are kept after they have been made.
_CACHED = 1 << 18

#: What reading backwards meets: a kind, and a local, a check point or a label. A label has the name of the block that
#: it belongs to, the index of its opening instruction, so that the depth of branches matters in one reading only.
_Event: TypeAlias = "tuple[int, int]"
_USE, _KILL, _POINT, _FORK, _JUMP, _END, _LOOP_END, _ELSE, _IF, _LOOP, _LEAVE, _BLOCK, _TABLE = range(13)
#: Of `try_table`: its end, its beginning, and what throws in it.
_TRY_END, _TRY, _THROW = range(13, 16)
#: A branch whose label is one of several immediates.
_CAST = 16

_KINDS = {
    BY_NAME[name]: kind
    for name, kind in {
        "local.get": _USE,
        "local.set": _KILL,
        "local.tee": _KILL,
        "br_if": _FORK,
        "br_on_null": _FORK,
        "br_on_non_null": _FORK,
        "br_on_cast": _CAST,
        "br_on_cast_fail": _CAST,
        "br": _JUMP,
        "br_table": _TABLE,
        "end": _END,
        "else": _ELSE,
        "block": _BLOCK,
        "if": _IF,
        "loop": _LOOP,
        "unreachable": _LEAVE,
        "return": _LEAVE,
        "return_call": _LEAVE,
        "return_call_indirect": _LEAVE,
        "return_call_ref": _LEAVE,
        "try_table": _TRY,
        "throw": _THROW,
        "throw_ref": _THROW,
    }.items()
}


@lean.define(eq=False)
class Layouts(Mapping[int, Layout]):
    """Layouts of the check points of one body, by the instruction's index (-1 is the function's entry). Each is made
    when it is asked for, and kept while they don't get too many."""

    ops: Sequence[Op]
    side: SideTable
    #: Live locals at each check point.
    masks: dict[int, int]
    _made: dict[int, Layout] = lean.field(factory=dict)
    _locals: dict[int, tuple[int, ...]] = lean.field(factory=dict)
    _slots: int = 0

    def __getitem__(self, index: int) -> Layout:
        layout = self._made.get(index)
        if layout is None:
            layout = self._make(index, self.masks[index])
            self._slots += len(layout.types)
            if self._slots > _CACHED:
                self._made.clear()
                self._locals.clear()
                self._slots = len(layout.types)
            self._made[index] = layout
        return layout

    def __iter__(self) -> Iterator[int]:
        return iter(self.masks)

    def __len__(self) -> int:
        return len(self.masks)

    def _make(self, index: int, mask: int) -> Layout:
        live = self._locals.get(mask)
        if live is None:
            live = self._locals[mask] = tuple(i for i, bit in enumerate(reversed(bin(mask))) if bit == "1")
        types = self.side.locals
        operands: tuple[ValType, ...] = () if index < 0 else self.side.operands[index]
        kind: Literal["entry", "loop", "call"] = "call"
        if index < 0 or index in self.side.blocks:
            kind = "entry" if index < 0 else "loop"
        # The byte before the first instruction is the entry's own: that instruction may be a check point, too.
        pc = self.ops[0][0] - 1 if index < 0 else self.ops[index][0]
        return Layout(kind, pc, index, live, (*[types[i] for i in live], *operands))


def layouts(ops: Sequence[Op], side: SideTable) -> Layouts:
    """The layouts of a body that `check_function` has described by `side`.

    A local is live at a point if some way on from there, in the code as it stands, reads it before writing it.
    """
    everything = (1 << len(side.locals)) - 1
    kept = len(side.locals) * (1 + len(side.operands))
    if len(side.locals) * len(ops) > _BITS or kept > _KEPT + _KEPT_PER_OP * len(ops):
        return Layouts(ops, side, dict.fromkeys((-1, *side.operands), everything))
    catches: dict[int, tuple[int, ...]] = {}
    events = list(_events(ops, side, catches))
    loops: dict[int, int] = {}
    for _ in range(_ROUNDS):
        masks, grown = _read(events, loops, catches)
        if not grown:
            return Layouts(ops, side, masks)
    masks, _ = _read(events, dict.fromkeys(loops, everything), catches)
    return Layouts(ops, side, masks)


def _events(ops: Sequence[Op], side: SideTable, catches: dict[int, tuple[int, ...]]) -> Iterator[_Event]:
    """What matters of a body's live code, from its end to its beginning. `catches` learns the labels that each
    `try_table` catches to."""
    ends = {block.end: block for block in (side.func, *side.blocks.values())}
    labels: list[int] = []
    dead, points = side.dead, side.operands
    row: Instr
    immediate: Any  # its form belongs to the row
    for index in range(len(ops) - 1, -1, -1):
        if dead[index]:
            continue
        _, row, immediate = ops[index]
        kind = _KINDS.get(row)
        if kind is None:
            if index in points:
                yield _POINT, index
        elif kind <= _KILL:
            yield kind, immediate
        elif kind <= _JUMP:
            yield kind, labels[-1 - immediate]
        elif kind == _END:
            block = ends[index]
            if block.kind == "try":
                _, clauses = cast("tuple[object, tuple[Catch, ...]]", ops[block.start][2])
                catches[block.start] = tuple({labels[-1 - clause.label] for clause in clauses})
                yield _TRY_END, block.start
            labels.append(block.start)
            yield _LOOP_END if block.kind == "loop" else _END, block.start
        elif kind == _ELSE:
            yield kind, labels[-1]
        elif kind == _TABLE:
            depths, default = immediate
            yield _JUMP, labels[-1 - default]
            for depth in set(depths):
                yield _FORK, labels[-1 - depth]
        elif kind == _CAST:
            yield _FORK, labels[-1 - immediate[0]]
        elif kind in (_LEAVE, _THROW):
            yield kind, index
        else:
            labels.pop()
            if kind != _BLOCK:
                yield kind, index


def _read(
    events: Sequence[_Event], loops: dict[int, int], catches: dict[int, tuple[int, ...]]
) -> tuple[dict[int, int], bool]:
    """The live locals at each check point, if `loops` is right about those at the loops' starts; and whether it was
    not. What was found there is added to it."""
    masks: dict[int, int] = {}
    at_label: dict[int, int] = {}
    at_else: dict[int, int] = {}
    #: What the handlers need of whatever throws here.
    guards = [0]
    live = 0
    grown = False
    for kind, which in events:
        if kind == _USE:
            live |= 1 << which
        elif kind == _KILL:
            live &= ~(1 << which)
        elif kind == _POINT:
            live |= guards[-1]
            masks[which] = live
        elif kind == _FORK:
            live |= at_label[which]
        elif kind == _JUMP:
            live = at_label[which]
        elif kind == _END:
            at_label[which] = at_else[which] = live
        elif kind == _LOOP_END:
            at_label[which] = loops.get(which, 0)
        elif kind == _ELSE:
            at_else[which], live = live, at_label[which]
        elif kind == _IF:
            live |= at_else[which]
        elif kind == _LOOP:
            masks[which] = live
            before = loops.get(which, 0)
            loops[which] = live | before
            grown = grown or loops[which] != before
        elif kind == _TRY_END:
            needed = guards[-1]
            for label in catches[which]:
                needed |= at_label[label]
            guards.append(needed)
        elif kind == _TRY:
            guards.pop()
        else:  # what comes behind is never reached from here
            live = guards[-1] if kind == _THROW else 0
    masks[-1] = live
    return masks, grown
