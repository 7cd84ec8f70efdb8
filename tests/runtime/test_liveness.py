"""Which locals a frame record holds: see `runtime/validate/layout.py`."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from runtime.binary.code import decode_body
from runtime.binary.sections import decode
from runtime.declarations import Code, Declarations
from runtime.features import AVAILABLE
from runtime.instr.index import BY_NAME
from runtime.instr.model import Op
from runtime.types import F64, I32, I64, FuncType
from runtime.validate import liveness
from runtime.validate.function import check_function
from runtime.validate.layout import Layout
from runtime.validate.liveness import Layouts, layouts
from tests.support.build import wat


def _layouts(body: str) -> list[Layout]:
    """Layouts of a function that may call `$f`, in order of their check points."""
    data = wat(f"(module (func {body}) (func $f (param i32) (result i32) unreachable) (table 1 funcref))")
    decls = decode(data, AVAILABLE, bodies=False)
    ops = decode_body(data, decls.codes[0], AVAILABLE, False)
    made = layouts(ops, check_function(decls, decls.codes[0], ops, collect=True))
    return [made[index] for index in sorted(made)]


def _live(body: str) -> list[tuple[int, ...]]:
    return [layout.live for layout in _layouts(body)]


def test_a_layout_is_locals_then_operands() -> None:
    """A record's slots are the live locals in ascending order, then the operands beneath the arguments."""
    entry, call, loop = _layouts("""
      (param f64 i32 i64) (local i32)
      f64.const 1 local.get 1 call $f local.set 3
      i64.const 1 loop (param i64) local.get 2 i64.add local.get 3 drop drop end
      drop local.get 0 drop
    """)
    assert entry == Layout("entry", entry.pc, -1, (0, 1, 2), (F64, I32, I64))
    assert call == Layout("call", entry.pc + 1 + 9 + 2, 2, (0, 2), (F64, I64, F64))
    assert loop.kind == "loop"
    assert (loop.live, loop.types, loop.operands) == ((0, 2, 3), (F64, I64, I32, F64, I64), 2)


def test_arguments_of_a_call_are_not_kept() -> None:
    """At a call the live locals are those needed behind it: the callee has its arguments."""
    assert _live("(param i32) local.get 0 call $f drop") == [(0,), ()]


def test_a_result_stored_in_a_local_makes_it_dead() -> None:
    """A local that is written before it is read is not recorded."""
    assert _live("(param i32) local.get 0 call $f local.set 0 local.get 0 drop") == [(0,), ()]
    assert _live("(param i32) i32.const 1 call $f local.tee 0 drop local.get 0 drop") == [(), ()]


def test_a_loop_needs_what_its_next_turn_reads() -> None:
    """A local read at a loop's start is live at every point from which the loop is reached again."""
    body = "(param i32) loop local.get 0 call $f br_if 0 end"
    assert _live(body) == [(0,), (0,), (0,)]
    assert _live(body.replace("br_if 0", "drop")) == [(0,), (0,), ()]


def test_the_ends_of_an_if_are_joined() -> None:
    """Before an `if` both branches count; within one the other does not."""
    assert _live("""(param i32 i32 i32 i32)
      i32.const 0 call $f
      if local.get 1 drop i32.const 1 call $f drop else i32.const 1 call $f drop local.get 2 drop end
      local.get 3 drop
    """) == [(1, 2, 3), (1, 2, 3), (3,), (2, 3)]
    assert _live("(param i32) i32.const 0 call $f if i32.const 1 local.set 0 end local.get 0 drop")[1] == (0,)


def test_branch_tables_join_all_their_labels() -> None:
    """Every label of a br_table counts, the default included."""
    assert _live("""(param i32 i32 i32)
      block block i32.const 0 call $f br_table 0 1 0 2 end local.get 0 drop return end local.get 1 drop
    """)[1] == (0, 1)


def test_ways_out_need_nothing() -> None:
    """Behind return, unreachable and tail calls nothing is live; a tail call has no record."""
    for leave in ("return", "unreachable", "i32.const 0 return_call $f"):
        result = "(result i32)" if "call" in leave else ""
        body = f"(param i32) {result} i32.const 0 call $f drop {leave} local.get 0 drop unreachable"
        assert _live(body) == [(), ()]


def test_dead_code_has_no_layouts() -> None:
    """Check points that can't be reached have no layout, and reads there keep nothing alive."""
    assert _live("(param i32) return loop local.get 0 call $f drop br 0 end") == [()]


def test_layouts_are_made_on_demand() -> None:
    """A body's layouts are a mapping that makes each one once, and knows all of them."""
    data = wat("(module (func loop end))")
    decls = decode(data, AVAILABLE, bodies=False)
    ops = decode_body(data, decls.codes[0], AVAILABLE, False)
    made = layouts(ops, check_function(decls, decls.codes[0], ops, collect=True))
    assert (sorted(made), len(made)) == ([-1, 0], 2)
    assert made[0] is made[0]
    assert (made[-1].pc, made[0].pc) == (decls.codes[0].start - 1, decls.codes[0].start)
    with pytest.raises(KeyError):
        made[1]


# The oracle: every way on from a check point is walked, instruction by instruction.

_LOCALS = 4
_DECLS = Declarations(types=(FuncType(),), codes=(Code(0, 0, ((_LOCALS, I32),), 0, 0),))


def _body(chance: random.Random, depth: int) -> Iterator[tuple[str, object]]:
    """Random code that is valid, dead code included."""
    for _ in range(chance.randrange(5)):
        kind = chance.choice(("get", "set", "tee", "call", "block", "loop", "if", "br", "br_if", "br_table", "leave"))
        local, label = chance.randrange(_LOCALS), chance.randrange(depth)
        match kind:
            case "get":
                yield from (("local.get", local), ("drop", None))
            case "set":
                yield from (("i32.const", 0), ("local.set", local))
            case "tee":
                yield from (("i32.const", 0), ("local.tee", local), ("drop", None))
            case "call":
                yield "call", 0
            case "block" | "loop" | "if" if depth < 6:
                if kind == "if":
                    yield "local.get", local
                yield kind, None
                yield from _body(chance, depth + 1)
                if kind == "if" and chance.random() < 0.5:
                    yield "else", None
                    yield from _body(chance, depth + 1)
                yield "end", None
            case "br":
                yield "br", label
            case "br_if":
                yield from (("local.get", local), ("br_if", label))
            case "br_table":
                labels = tuple(chance.randrange(depth) for _ in range(3))
                yield from (("local.get", local), ("br_table", (labels, label)))
            case "leave" if chance.random() < 0.3:
                yield chance.choice((("return", None), ("unreachable", None), ("return_call", 0)))


def _random_ops(seed: int) -> list[Op]:
    code = [*_body(random.Random(seed), 1), ("end", None)]
    return [(place, BY_NAME[name], immediate) for place, (name, immediate) in enumerate(code)]


def _ways(ops: list[Op]) -> list[list[int]]:
    """Where each instruction may be followed by which; places past the end are left out."""
    starts: list[int] = [-1]
    enclosing: list[list[int]] = []
    end_of: dict[int, int] = {}
    else_of: dict[int, int] = {}
    for index, (_, row, _) in enumerate(ops):
        if row.name in ("block", "loop", "if"):
            starts.append(index)
        enclosing.append(list(starts))
        if row.name == "else":
            else_of[starts[-1]] = index
        elif row.name == "end":
            end_of[starts.pop()] = index

    def target(index: int, depth: int) -> int:
        start = enclosing[index][-1 - depth]
        return start if start >= 0 and ops[start][1].name == "loop" else end_of[start] + 1

    ways: list[list[int]] = []
    for index, (_, row, immediate) in enumerate(ops):
        following = [index + 1]
        match row.name, immediate:
            case "br", int(depth):
                following = [target(index, depth)]
            case "br_if", int(depth):
                following.append(target(index, depth))
            case "br_table", (tuple(depths), default):
                following = [target(index, depth) for depth in (*depths, default)]
            case ("return" | "unreachable" | "return_call"), _:
                following = []
            case "if", _:
                following.append(else_of.get(index, end_of[index]) + 1)
            case "else", _:
                following = [end_of[enclosing[index][-1]]]
        ways.append([way for way in following if way < len(ops)])
    return ways


def _needed(ops: list[Op], ways: list[list[int]], start: int, local: int) -> bool:
    """Whether some way on from `start` reads the local before writing it."""
    seen: set[int] = set()
    todo = [start]
    while todo:
        index = todo.pop()
        if index in seen or index >= len(ops):
            continue
        seen.add(index)
        _, row, immediate = ops[index]
        if immediate == local and row.name == "local.get":
            return True
        if not (immediate == local and row.name in ("local.set", "local.tee")):
            todo.extend(ways[index])
    return False


def _oracle(ops: list[Op], points: Iterator[int]) -> dict[int, tuple[int, ...]]:
    ways = _ways(ops)
    answer = {}
    for point in points:
        start = point if point >= 0 and ops[point][1].name == "loop" else point + 1
        answer[point] = tuple(local for local in range(_LOCALS) if _needed(ops, ways, start, local))
    return answer


def _both(seed: int) -> tuple[dict[int, tuple[int, ...]], dict[int, tuple[int, ...]]]:
    """What liveness says about a random body, and what the oracle says."""
    ops = _random_ops(seed)
    made: Layouts = layouts(ops, check_function(_DECLS, _DECLS.codes[0], ops, collect=True))
    return {index: layout.live for index, layout in made.items()}, _oracle(ops, iter(made))


def test_liveness_agrees_with_walking_every_path() -> None:
    """A local is recorded exactly where some path needs it (DESIGN 4: the layout depends on the code alone)."""
    points = 0
    for seed in range(1500):
        have, want = _both(seed)
        assert have == want, f"seed {seed}"
        points += len(have)
    assert points > 2000


@pytest.mark.parametrize("rounds", [1, 2])
def test_giving_up_on_loops_is_safe(rounds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that would take too many readings keeps more locals than it needs, never fewer."""
    monkeypatch.setattr(liveness, "_ROUNDS", rounds)
    for seed in range(500):
        have, want = _both(seed)
        assert have.keys() == want.keys()
        assert all(set(have[point]) >= set(want[point]) for point in want), f"seed {seed}"


def test_bodies_beyond_measure_keep_every_local(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the sets would not fit in memory every local counts as needed."""
    monkeypatch.setattr(liveness, "_BITS", 0)
    assert _live("(param i32 i64) loop call $g end) (func $g") == [(0, 1)] * 3
    assert _layouts("(param i32 i64) loop end")[1].types == (I32, I64)
