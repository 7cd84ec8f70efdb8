"""What is known of a body before any of it is emitted: one reading, forwards."""

from __future__ import annotations

from typing import Any

from .. import lean
from ..instr.control import OPENING
from ..instr.index import BY_NAME
from ..module import Body
from ..types import F32, F64

_SET, _TEE, _GET = BY_NAME["local.set"], BY_NAME["local.tee"], BY_NAME["local.get"]
_LOOP, _END = BY_NAME["loop"], BY_NAME["end"]
_TABLE = BY_NAME["br_table"]
_BRANCHES = (BY_NAME["br"], BY_NAME["br_if"], _TABLE)
_OPENING = tuple(map(BY_NAME.__getitem__, OPENING))
_CONSTS = (BY_NAME["f32.const"], BY_NAME["f64.const"])
_CALLS = tuple([
    BY_NAME[name] for name in
    "call call_indirect return_call return_call_indirect memory.atomic.wait32 memory.atomic.wait64".split()
])  # fmt: skip
#: What gives a NaN only as arithmetic does: the canonical one, once it is settled.
_ARITHMETIC = frozenset(
    [BY_NAME[f"{t}.{name}"] for t in ("f32", "f64") for name in
     "add sub mul div min max ceil floor trunc nearest sqrt "
     "convert_i32_s convert_i32_u convert_i64_s convert_i64_u".split()]
    + [BY_NAME["f32.demote_f64"], BY_NAME["f64.promote_f32"]]
)  # fmt: skip


@lean.frozen
class Scan:
    """`assigned`: the locals that each loop sets, as bits, by the loop's place. `loose`: the locals that hold nothing
    but what arithmetic gave. `leaf`: no loop and no call. `forks`: the loops, by their place, that more than one branch
    leads back to."""

    assigned: dict[int, int]
    loose: frozenset[int]
    leaf: bool
    forks: frozenset[int] = frozenset()


def scan(body: Body, params: int) -> Scan:
    """Read a body."""
    types = body.side.locals
    # Locals that may be loose, with the locals that they are copied from.
    sources: dict[int, set[int]] = {i: set() for i in range(params, len(types)) if types[i] in (F32, F64)}
    assigned: dict[int, int] = {}
    loops: list[int] = []
    leaf = True
    #: The blocks around, and how many branches lead to each.
    around: list[int] = []
    ways: dict[int, int] = {}
    blocks, dead = body.side.blocks, body.side.dead
    immediate: Any  # its form belongs to the row
    for index, (_, row, immediate) in enumerate(body.ops):
        if dead[index]:
            continue
        if row is _SET or row is _TEE:
            if loops:
                assigned[loops[-1]] |= 1 << immediate
            if immediate in sources:
                _assigned_from(sources, immediate, body.ops[index - 1])
        elif row in _OPENING:
            around.append(index)
            if row is _LOOP:
                leaf = False
                loops.append(index)
                assigned[index] = 0
        elif row in _BRANCHES:
            while around and blocks[around[-1]].end < index:
                around.pop()
            for depth in {*immediate[0], immediate[1]} if row is _TABLE else (immediate,):
                if depth < len(around):
                    target = around[-1 - depth]
                    ways[target] = ways.get(target, 0) + 1
        elif row is _END:
            if loops and blocks[loops[-1]].end == index:
                inner = loops.pop()
                if loops:
                    assigned[loops[-1]] |= assigned[inner]
        elif row in _CALLS:
            leaf = False
    forks = frozenset([place for place in assigned if ways.get(place, 0) > 1])
    return Scan(assigned, _loose(sources), leaf, forks)


def _assigned_from(sources: dict[int, set[int]], local: int, before: tuple[int, Any, Any]) -> None:
    """`local` is set to what the instruction `before` gave."""
    _, row, immediate = before
    if row is _GET or row is _TEE:
        sources[local].add(immediate)
    elif row in _CONSTS:
        if immediate != immediate:
            del sources[local]
    elif row not in _ARITHMETIC:
        del sources[local]


def _loose(sources: dict[int, set[int]]) -> frozenset[int]:
    """Those whose sources are all loose themselves."""
    while True:
        out = [local for local, froms in sources.items() if not froms <= sources.keys()]
        if not out:
            return frozenset(sources)
        for local in out:
            del sources[local]
