"""Bytes that are no snapshot, or a damaged one: SnapshotError and nothing else, before anything has been entered."""

from __future__ import annotations

import copy
import datetime as dt
import random
import re
import zlib
from collections.abc import Callable
from typing import Any

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime import (
    At,
    Failed,
    Limits,
    Module,
    Outcome,
    SnapshotError,
    StateError,
    Store,
    Suspended,
    UnlinkableError,
    WasmError,
    control,
    snapshot,
)
from runtime.saving.form import FORMAT, VERSION
from tests.support.guests import Guest, modules_of
from tests.support.hosts import Call, Host, Results, host, imports, lookup

BELOW = """
  (import "h" "ask" (func $ask (param i32) (result i32 f64)))
  (type $t (func (param i32) (result i32)))
  (table (export "table") 4 8 funcref) (memory (export "memory") 1 2)
  (global (export "__stack_pointer") (mut i32) (i32.const 500))
  (global (export "x") (mut externref) (ref.null extern))
  (data "passive") (elem funcref (ref.func $id) (ref.null func))
  (func $id (param i32) (result i32) (local.get 0))
  (elem (i32.const 1) $id)
  (func (export "down") (param i32) (result i32) (local f32 i64 funcref f64)
    (local.set 1 (f32.const 1.5)) (local.set 2 (i64.const -1)) (local.set 3 (ref.func $id))
    (f64.const 2.5)
    (call $ask (local.get 0)) (local.set 4) (local.set 0) (f64.add (local.get 4)) drop
    (drop (i32.trunc_sat_f32_s (local.get 1))) (drop (i32.wrap_i64 (local.get 2))) (drop (ref.is_null (local.get 3)))
    (i32.add (call_indirect (type $t) (local.get 0) (i32.const 1))
      (loop (result i32) (call_indirect (type $t) (i32.const 5) (i32.const 1)))))
"""
ABOVE = """
  (import "m" "down" (func $down (param i32) (result i32)))
  (import "m" "table" (table 4 funcref)) (import "m" "memory" (memory 1))
  (func (export "f") (param i32) (result i32) (i32.add (local.get 0) (call $down (local.get 0))))
"""


@host("h", "ask", "i32 -> i32 f64")
def ask(call: Call) -> Results:
    call.once(lambda: (1, [2.5, b"x"], {"k": None}))
    call.check()
    call.sleep(0.0)
    call.call(inner.func, 1)
    return (call.ask("?"), 1.5)


inner: Host = host("h", "inner", "i32 -> i32")(lambda call: (call.ask("??"),))


def saved(checks: tuple[int, ...], resumes: int) -> tuple[bytes, dict[str, Module]]:
    """A snapshot with frames of two instances and of host functions, and the modules that it needs."""
    below = Guest(BELOW, imports(ask))
    below.instance.globals[1].value = "external"
    above = Guest(ABOVE, {"m": below.instance.exports}, injector=At(checks))
    ctx = above.start("f", 3)
    for _ in range(resumes):
        assert isinstance(control.run(ctx), Suspended)
    return snapshot.save(ctx, above.instance, {"mine": 1}), modules_of(above.instance)


#: Fresh; at a function's entry; before a host function; in two host functions.
PLACES = [((), 0), ((2,), 1), ((3,), 1), ((), 1)]
SAVED = [saved(*place) for place in PLACES]


def body_of(data: bytes) -> Any:
    return cbor2.loads(zlib.decompress(data))


def bytes_of(body: object) -> bytes:
    return zlib.compress(cbor2.dumps(body), 1)


def attempt(data: bytes, modules: dict[str, Module]) -> str:
    """Load, and where that works run: whatever happens, it is orderly."""
    store = Store(limits=Limits(memory=1 << 20, table=1000, frames=100))
    try:
        restored = snapshot.load(data, modules, lookup(ask, inner), store)
    except SnapshotError:
        return "refused"
    except UnlinkableError:
        return "unlinkable"
    ctx = restored.ctx
    first: str | None = None
    outcome: Outcome | None = None
    for _ in range(5):
        try:
            if outcome is not None:
                control.answer(ctx, 7)
        except StateError:
            pass
        try:
            outcome = control.run(ctx)
        except StateError:
            return "state"
        first = first or type(outcome).__name__
        if not isinstance(outcome, Suspended):
            break
    if isinstance(outcome, Failed):
        # Data may make a host function diverge, or hand it nonsense; the engine itself must not stumble.
        assert isinstance(outcome.error, (WasmError, TypeError, ValueError, KeyError, AttributeError)), outcome
        assert ctx.trace[0].kind == "host", (outcome, ctx.trace)
    if isinstance(outcome, Suspended):
        control.drop(ctx)
    return first or ""


def test_the_snapshots_are_sound() -> None:
    """What the mutations below begin with loads and runs."""
    assert [attempt(*each) for each in SAVED] == ["Suspended"] * 4
    for data, modules in SAVED:
        assert attempt(bytes_of(body_of(data)), modules) == "Suspended"


@pytest.mark.parametrize("which", range(len(SAVED)))
def test_every_truncation_is_refused(which: int) -> None:
    """A snapshot cut short anywhere, compressed or inside, is a SnapshotError; so is one with bytes behind its end."""
    data, modules = SAVED[which]
    for end in range(len(data)):
        assert attempt(data[:end], modules) == "refused"
    inside = zlib.decompress(data)
    head = inside.index(b"\0" * 100)  # the memory: thousands of cuts in it would all be alike
    for end in [*range(head + 100), *range(len(inside) - 300, len(inside))]:
        assert attempt(zlib.compress(inside[:end], 1), modules) == "refused"
    assert attempt(data + b"x", modules) == "refused"


@pytest.mark.parametrize(
    "data",
    [b"", b"\0", b"not zlib", zlib.compress(b""), zlib.compress(b"\xff"), bytes_of([]), bytes_of({}), bytes_of(None),
     bytes_of({"format": "other", "version": VERSION}), bytes_of({"format": FORMAT}),
     bytes_of({"format": FORMAT, "version": VERSION + 1}), bytes_of({"format": FORMAT, "version": VERSION}),
     zlib.compress(b"\x81" * 100_000), zlib.compress(b"\x9b" + b"\xff" * 8), zlib.compress(b"\x5b" + b"\x7f" * 8),
     zlib.compress(bytes(1 << 22) * 400)],
    ids=lambda data: f"{len(data)} bytes",
)  # fmt: skip
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    """Anything else: another format or version, nesting without end, sizes that nobody has, a bomb."""
    assert attempt(data, SAVED[0][1]) == "refused"


def test_another_version_is_named() -> None:
    """The message tells both versions."""
    data, modules = SAVED[0]
    body = body_of(data) | {"version": 99}
    with pytest.raises(SnapshotError, match=f"version 99; this is for version {VERSION}"):
        snapshot.load(bytes_of(body), modules, lookup(ask), Store())


def test_other_things_than_bytes_are_refused() -> None:
    """A caller's mistake is a SnapshotError, too."""
    others: list[Any] = ["text", None, 5, []]
    for data in others:
        with pytest.raises(SnapshotError):
            snapshot.load(data, {}, lookup(), Store())


def test_tags_and_circles_are_refused() -> None:
    """CBOR can say dates, patterns, shared values and circles; no snapshot does."""
    circle: list[object] = []
    circle.append(circle)
    data, modules = SAVED[3]
    shared: list[object] = [1]
    for odd in (dt.datetime.now(dt.UTC), re.compile("x"), {1, 2}, cbor2.CBORSimpleValue(9)):
        assert attempt(bytes_of(body_of(data) | {"extra": odd}), modules) == "refused"
    for twice in (circle, [shared, shared]):
        inside = cbor2.dumps(body_of(data) | {"extra": twice}, value_sharing=True)
        assert attempt(zlib.compress(inside), modules) == "refused"


# Mutations of what is inside


def paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to everything in a structure."""
    found = [path]
    if isinstance(value, dict):
        for key in value:
            found += paths(value[key], (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += paths(item, (*path, index))
    return found


def get(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2, 7, 1 << 31, 1 << 63, 1 << 64, -(1 << 70), 0.5, float("nan"), "", "x", b"",
    b"\1" * 24, [], [[]], [None], ["w", 0, 0], ["w", 1, 2], ["h", "h", "ask", [[127], [127]]], ["x", "y"], ["t"],
    ["d", [1, 2]], ["d", [["l"], 1]], ["n", -1], ["f", 5], ["r", None], {}, {"func": None}, ["left", 1e300], "ready",
    b"\0" * 8, ["t", 1], "suspended", "running", "returned", 112, 111, 127, ["UNREACHABLE", "x"], ["NOTHING", "x"],
]  # fmt: skip


def mutated(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of `body` with something else at `path`."""
    out = copy.deepcopy(body)
    if not path:
        return value
    get(out, path[:-1])[path[-1]] = value
    return out


@pytest.mark.slow
@pytest.mark.parametrize("which", range(len(SAVED)))
def test_wrong_types_everywhere(which: int) -> None:
    """Each place of a snapshot, in turn, holds each of dozens of odd values, or is missing: refused, or sound enough to
    run in an orderly way."""
    data, modules = SAVED[which]
    body = body_of(data)
    small = [m | {"data": bytes(65536)} for m in body["memories"]]
    body["memories"] = small
    results: set[str] = set()
    for path in paths(body):
        for value in ODD:
            results.add(attempt(bytes_of(mutated(body, path, value)), modules))
        if path:
            out = copy.deepcopy(body)
            del get(out, path[:-1])[path[-1]]
            results.add(attempt(bytes_of(out), modules))
    assert "refused" in results


def swap(body: Any, chance: random.Random) -> Any:
    """A copy in which one part has been put in place of another."""
    ways = paths(body)
    source, target = chance.choice(ways), chance.choice(ways)
    return mutated(body, target, copy.deepcopy(get(body, source)))


def repeat(body: Any, chance: random.Random) -> Any:
    """A copy in which an entry of some list is there twice, or two have changed places."""
    out = copy.deepcopy(body)
    lists = [get(out, path) for path in paths(out) if isinstance(get(out, path), list) and get(out, path)]
    if not lists:
        return out
    chosen = chance.choice(lists)
    if chance.random() < 0.5:
        chosen.insert(chance.randrange(len(chosen) + 1), copy.deepcopy(chance.choice(chosen)))
    else:
        chance.shuffle(chosen)
    return out


def scratch(body: Any, chance: random.Random) -> Any:
    """A copy with a few bytes of some frame, number or name changed."""
    out = copy.deepcopy(body)
    leaves = [p for p in paths(out) if isinstance(get(out, p), (int, bytes, str)) and p[:1] != ("memories",)]
    if not leaves:
        return out
    path = chance.choice(leaves)
    value = get(out, path)
    if isinstance(value, bytes) and value:
        raw = bytearray(value)
        raw[chance.randrange(len(raw))] = chance.choice((0, 1, 2, 127, 128, 255, chance.randrange(256)))
        value = bytes(raw)
    elif isinstance(value, int):
        value = chance.choice((value + 1, value - 1, value ^ 1, -value, value << 32))
    elif isinstance(value, str):
        value = chance.choice((value[1:], value + "x", value.upper()))
    return mutated(out, path, value)


WAYS: list[Callable[[Any, random.Random], Any]] = [swap, repeat, scratch]


@settings(max_examples=300)
@given(which=st.integers(0, len(SAVED) - 1), seed=st.integers(0, 1 << 32), times=st.integers(1, 4))
def test_parts_in_wrong_places(which: int, seed: int, times: int) -> None:
    """Parts swapped, repeated, put elsewhere, scratched: refused, or sound enough to run in an orderly way."""
    data, modules = SAVED[which]
    body, chance = body_of(data), random.Random(seed)
    for _ in range(times):
        body = chance.choice(WAYS)(body, chance)
    try:
        encoded = bytes_of(body)
    except (cbor2.CBOREncodeError, OverflowError):
        return
    attempt(encoded, modules)


@settings(max_examples=300)
@given(which=st.integers(0, len(SAVED) - 1), flips=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255))))
def test_flipped_bytes_inside(which: int, flips: list[tuple[int, int]]) -> None:
    """Bytes changed after inflating, compressed again: refused, or sound enough to run in an orderly way."""
    data, modules = SAVED[which]
    raw = bytearray(zlib.decompress(data))
    memory = raw.index(b"\0" * 1000)
    rest = len(raw) - memory - 65536 + 700
    for place, byte in flips:
        at = place % (memory + rest)
        raw[at if at < memory else at - memory + len(raw) - rest] = byte
    attempt(zlib.compress(bytes(raw), 1), modules)


@settings(max_examples=200)
@given(st.binary(max_size=200))
def test_arbitrary_bytes(data: bytes) -> None:
    """Any bytes, also compressed ones."""
    modules = SAVED[0][1]
    assert attempt(data, modules) == "refused"
    assert attempt(zlib.compress(data), modules) == "refused"
