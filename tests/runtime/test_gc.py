"""Structs, arrays and typed references: what scripts can't show of limits, records, snapshots and the border."""

from __future__ import annotations

import copy
import gc
import weakref
import zlib
from collections.abc import Callable
from typing import Any

import cbor2
import pytest

from runtime import (
    Array,
    Every,
    ExecContext,
    Feature,
    Func,
    I31Int,
    InvalidError,
    Limits,
    MalformedError,
    Module,
    Returned,
    SnapshotError,
    Store,
    Struct,
    Suspended,
    Trap,
    TrapCode,
    UnlinkableError,
    UnsupportedError,
    WasmError,
    WasmFunc,
    control,
    snapshot,
)
from runtime.features import AVAILABLE
from runtime.saving.form import FORMAT
from runtime.types import ANYREF, EQREF, FUNC, FUNCREF, I31, NOFUNC, STRUCTREF, DefType, type_matches
from tests.support.build import wat
from tests.support.guests import Guest, modules_of, reload, resume_all
from tests.support.hosts import Call, Results, host, imports, lookup
from tests.support.raw import TYPE, leb, module, section

#: A list that grows, with a ring at its end; bytes, floats and references in arrays; a table and globals of typed
#: references; calls through them; all live across loops, calls and a host function's wait.
GUEST = """
  (rec (type $node (sub (struct (field $value (mut i32)) (field $next (mut (ref null $node))) (field $tag i8)))))
  (type $wide (sub $node (struct (field (mut i32)) (field (mut (ref null $node))) (field i8) (field f64) (field v128))))
  (type $bytes (array (mut i8)))
  (type $floats (array (mut f32)))
  (type $nodes (array (mut (ref null $node))))
  (type $fn (func (param (ref null $node)) (result i32)))
  (import "h" "ask" (func $ask (param i32) (result i32)))
  (table $t (ref null $fn) (elem $sum))
  (table $any 3 anyref)
  (global $first (export "first") (mut (ref null $node)) (ref.null $node))
  (global $const (ref $bytes) (array.new_fixed $bytes 3 (i32.const 1) (i32.const 2) (i32.const 300)))
  (elem $segment (ref $node) (item (struct.new $node (i32.const 40) (ref.null $node) (i32.const -1))))
  (func $sum (type $fn) (local $s i32) (local $start (ref null $node))
    (local.set $start (local.get 0))
    (block $out
      (loop $more
        (local.set $s (i32.add (local.get $s) (struct.get $node $value (br_on_null $out (local.get 0)))))
        (local.set 0 (struct.get $node $next (local.get 0)))
        (br_if $more (i32.eqz (ref.eq (local.get 0) (local.get $start))))))
    (local.get $s))
  (func (export "run") (param $n i32) (result i32 anyref)
    (local $list (ref null $node)) (local $b (ref $bytes)) (local $f (ref $floats)) (local $k i32)
    (local $a (ref $nodes))
    (local.set $b (array.new $bytes (i32.const 200) (local.get $n)))
    (local.set $f (array.new $floats (f32.const nan:0x200001) (i32.const 2)))
    (local.set $a (array.new_elem $nodes $segment (i32.const 0) (i32.const 1)))
    (table.set $any (i32.const 0) (local.get $b))
    (table.set $any (i32.const 1) (ref.i31 (i32.const -5)))
    (loop $again
      (local.set $list (struct.new $wide (local.get $k) (local.get $list) (local.get $k) (f64.const 1.5)
        (v128.const i64x2 1 2)))
      (array.set $bytes (local.get $b) (local.get $k) (local.get $k))
      (local.set $k (i32.add (local.get $k) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $k) (local.get $n))))
    (global.set $first (local.get $list))
    ;; The last node refers to the first one: a ring.
    (loop $find
      (if (ref.is_null (struct.get $node $next (local.get $list)))
        (then (struct.set $node $next (local.get $list) (global.get $first)))
        (else (local.set $list (struct.get $node $next (local.get $list))) (br $find))))
    (i32.add
      (i32.add
        (call_ref $fn (global.get $first) (table.get $t (i32.const 0)))
        (call_indirect $t (type $fn) (array.get $nodes (local.get $a) (i32.const 0)) (i32.const 0)))
      (i32.add
        (call $ask (array.get_u $bytes (local.get $b) (i32.const 1)))
        (i32.add (array.get_u $bytes (global.get $const) (i32.const 2))
          (i31.get_s (ref.cast i31ref (table.get $any (i32.const 1)))))))
    (i32.add (i32.reinterpret_f32 (array.get $floats (local.get $f) (i32.const 1))))
    (ref.cast (ref $wide) (global.get $first)))
"""


@host("h", "ask", "i32 -> i32")
def ask(call: Call) -> Results:
    return (call.once(lambda: 1000 + call.args[0]),)


def expected(n: int) -> int:
    return sum(range(n)) + 40 + 1001 + (300 & 0xFF) - 5 + 0x7FA0_0001


@pytest.mark.parametrize("tier", ["interpreter", "auto"])
def test_plain(tier: str) -> None:
    """The guest's sums, on both tiers; what uses typed references stays in the interpreter whole."""
    found, first = Guest(GUEST, imports(ask), tier=tier).call("run", 7)
    assert found == expected(7)
    assert isinstance(first, Struct)
    assert (first.get(0), first.get(2), first.get(3), len(first)) == (6, 6, 1.5, 5)


@pytest.mark.parametrize("every", [1, 2, 3, 7])
@pytest.mark.parametrize("saving", [False, True])
def test_suspended_is_as_good_as_not(every: int, saving: bool) -> None:
    """Resumed at every k-th check point, also from a snapshot each time, results, identity and circles are the same."""
    guest = Guest(GUEST, imports(ask), injector=Every(every))
    ctx = guest.start("run", 5)
    instance = guest.instance

    def between(ctx: ExecContext) -> ExecContext:
        nonlocal instance
        if not saving:
            return ctx
        restored, instance = reload(ctx, instance, lookup(ask), injector=Every(every))
        return restored

    outcome = resume_all(ctx, between)
    assert isinstance(outcome, Returned)
    total, first = outcome.values
    assert total == expected(5)
    assert isinstance(first, Struct)
    kind = first.type
    ring: list[Any] = [first]
    while (following := ring[-1].fields[1]) is not first:
        ring.append(following)
    assert [node.fields[0] for node in ring] == [4, 3, 2, 1, 0]
    assert instance.globals[0].value is first
    assert all(isinstance(node, Struct) and node.type is kind for node in ring)
    array, small, null = instance.tables[1].elems
    assert isinstance(array, Array)
    assert (bytes(array.data), small, null) == (bytes(range(5)), -5, None)
    assert isinstance(small, I31Int)


def suspended() -> tuple[bytes, dict[str, Module]]:
    """A snapshot with objects in frames, tables and globals."""
    guest = Guest(GUEST, imports(ask), injector=Every(9))
    ctx = guest.start("run", 5)
    assert isinstance(control.run(ctx), Suspended)
    return snapshot.save(ctx, guest.instance), modules_of(guest.instance)


def _body(data: bytes) -> dict[str, Any]:
    body: dict[str, Any] = cbor2.loads(zlib.decompress(data))
    assert body["format"] == FORMAT
    return body


def _load(body: object, modules: dict[str, Module], limits: Limits | None = None) -> None:
    data = zlib.compress(cbor2.dumps(body))
    snapshot.load(data, modules, lookup(ask), Store(limits=limits or Limits()))


def _wrong_field(body: dict[str, Any]) -> None:
    node = next(o for o in body["objects"] if type(o["content"]) is list)
    node["content"][1] = ["i", 3]


def _wrong_number(body: dict[str, Any]) -> None:
    body["objects"][0]["type"] = ["t", 0, 99]


def _packed_too_large(body: dict[str, Any]) -> None:
    node = next(o for o in body["objects"] if type(o["content"]) is list)
    node["content"][2] = 256


def _null_for_none(body: dict[str, Any]) -> None:
    body["globals"][1]["value"] = None


def _wrong_supertype(body: dict[str, Any]) -> None:
    member = next(m for g in body["types"] for m in g if m[1] is not None)
    member[3:] = []


def _types_in_a_circle(body: dict[str, Any]) -> None:
    body["types"] += [[[True, None, "s", [[True, ["t", len(body["types"]) + 1, 0]], False]]]]
    body["types"] += [[[True, None, "s", [[True, ["t", len(body["types"]) - 1, 0]], False]]]]


def _owner(body: dict[str, Any]) -> None:
    body["owners"][0] = 7


def _too_few(body: dict[str, Any]) -> None:
    next(o for o in body["objects"] if type(o["content"]) is list)["content"].pop()


def _large_i31(body: dict[str, Any]) -> None:
    body["tables"][1]["elems"][1] = ["i", 1 << 30]


@pytest.mark.parametrize(
    "damage",
    [
        _wrong_field,
        _wrong_number,
        _packed_too_large,
        _null_for_none,
        _wrong_supertype,
        _types_in_a_circle,
        _owner,
        _too_few,
        _large_i31,
    ],
)
def test_damaged_snapshots_are_refused(damage: Callable[[dict[str, Any]], None]) -> None:
    """Objects, references and types of a snapshot are believed in nothing."""
    data, modules = suspended()
    body = _body(data)
    _load(body, modules)
    damaged = copy.deepcopy(body)
    damage(damaged)
    with pytest.raises(SnapshotError, match="corrupt"):
        _load(damaged, modules)


def test_objects_of_a_snapshot_count() -> None:
    """A snapshot's structs and arrays must keep within the limit of whoever loads it."""
    data, modules = suspended()
    with pytest.raises(SnapshotError, match="exceed the limit"):
        _load(_body(data), modules, Limits(memory=500))


ALLOCATING = """
  (type $cell (struct (field (ref null $cell)) (field i64)))
  (type $bytes (array (mut i8)))
  (global $keep (mut (ref null $cell)) (ref.null $cell))
  (memory (export "memory") 1)
  (func (export "garbage") (param i32) (result i32)
    (loop $again
      (drop (struct.new $cell (ref.null $cell) (i64.const 1)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 0))
  (func (export "kept") (param i32)
    (loop $again
      (global.set $keep (struct.new $cell (global.get $keep) (i64.const 1)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "forget") (global.set $keep (ref.null $cell)))
  (func (export "large") (param i32) (result i32) (array.len (array.new_default $bytes (local.get 0))))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
"""


def refused(guest: Guest, name: str, argument: int) -> TrapCode:
    """The trap's code. Its traceback would keep the guest's objects."""
    with pytest.raises(Trap) as caught:
        guest.call(name, argument)
    return caught.value.code


def test_garbage_costs_nothing_and_what_is_kept_counts() -> None:
    """DESIGN 8.3: structs and arrays count against the limit of memory as long as somebody refers to them."""
    guest = Guest(ALLOCATING, limits=Limits(memory=4 << 20))
    assert guest.call("garbage", 60_000) == 0
    assert refused(guest, "kept", 60_000) is TrapCode.LIMIT
    guest.call("forget")
    guest.call("kept", 5_000)
    assert refused(guest, "large", -1) is TrapCode.LIMIT
    assert guest.call("large", 1000) == 1000


def test_memory_gets_what_dead_objects_had() -> None:
    """One limit for memories and objects: growing a memory looks for objects that are gone."""
    guest = Guest(ALLOCATING, limits=Limits(memory=4 << 20))
    guest.call("kept", 8_000)
    assert guest.call("grow", 50) == -1
    guest.call("forget")
    assert guest.call("grow", 50) == 1


def test_long_lists_die_quietly() -> None:
    """A list of many links is freed without recursion in Python, and an object that nobody holds is freed at once."""
    guest = Guest(ALLOCATING)
    guest.call("kept", 200_000)
    last = weakref.ref(guest.instance.globals[0].value)
    guest.call("forget")
    gc.collect()
    assert last() is None


BORDER = """
  (type $pair (struct (field (mut i32)) (field (mut i8))))
  (type $fn (func (param i32) (result i32)))
  (type $list (array (mut f32)))
  (import "h" "keep" (func $keep (param anyref) (result anyref)))
  (func $double (export "double") (type $fn) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "make") (param i32 i32) (result (ref $pair)) (struct.new $pair (local.get 0) (local.get 1)))
  (func (export "first") (param (ref $pair)) (result i32) (struct.get $pair 0 (local.get 0)))
  (func (export "list") (result (ref $list)) (array.new $list (f32.const 1.5) (i32.const 3)))
  (func (export "fn") (result (ref $fn)) (ref.func $double))
  (func (export "apply") (param (ref $fn) i32) (result i32) (call_ref $fn (local.get 1) (local.get 0)))
  (func (export "any") (param anyref) (result anyref) (call $keep (local.get 0)))
  (func (export "outside") (param anyref) (result externref) (extern.convert_any (local.get 0)))
  (func (export "inside") (param externref) (result anyref) (any.convert_extern (local.get 0)))
  (func (export "small") (param i31ref) (result i32) (i31.get_s (local.get 0)))
"""


@host("h", "keep", "anyref -> anyref")
def keep(call: Call) -> Results:
    return (call.args[0],)


def test_values_at_the_border() -> None:
    """Objects go out and come back as themselves; what doesn't fit a parameter is a TypeError that names both."""
    guest = Guest(BORDER, imports(keep))
    pair = guest.call("make", 7, -1)
    assert isinstance(pair, Struct)
    assert (pair.get(0), pair.get(1), "struct" in repr(pair)) == (7, -1, True)
    pair.set(0, -3)
    assert guest.call("first", pair) == -3
    for wrong in (None, 3, guest.call("list"), "pair", object()):
        with pytest.raises(TypeError, match=r"takes a Struct"):
            guest.call("first", wrong)
    for bad, error in ((2, IndexError), (-1, IndexError)):
        with pytest.raises(error):
            pair.get(bad)
    with pytest.raises(OverflowError):
        pair.set(0, 1 << 40)
    floats = guest.call("list")
    floats.set(1, 0.1)
    assert [floats.get(i) for i in range(len(floats))] == [1.5, 0.10000000149011612, 1.5]
    double = guest.call("fn")
    assert isinstance(double, Func)
    assert (double.call(4), guest.call("apply", double, 5)) == (8, 10)
    with pytest.raises(TypeError, match="takes a Func of that type"):
        guest.call("apply", guest.func("small"), 5)
    thing = object()
    for value in (pair, None, thing):
        assert guest.call("any", value) is value
        assert guest.call("outside", value) is value
        assert guest.call("inside", value) is value
    assert (guest.call("small", 5), guest.call("small", -(1 << 30))) == (5, -(1 << 30))
    with pytest.raises(OverflowError):
        guest.call("small", 1 << 30)
    found = guest.call("any", I31Int(9))
    assert isinstance(found, I31Int)


def test_linking_goes_by_type_identity() -> None:
    """Spec 4.5.4: a function matches an import of its type or of a supertype, never of a type that only looks alike."""
    giver = """
      (type $top (sub (func))) (type $below (sub $top (func)))
      (rec (type $one (func)) (type $two (func))) (type $plain (func))
      (func (export "below") (type $below)) (func (export "one") (type $one)) (func (export "plain") (type $plain))"""
    exports = {"m": Guest(giver).instance.exports}
    top = "(type $top (sub (func))) (type $below (sub $top (func)))"
    Guest(f'{top} (import "m" "below" (func (type $top))) (import "m" "below" (func (type $below)))', exports)
    Guest('(rec (type $a (func)) (type (func))) (import "m" "one" (func (type $a)))', exports)
    for text in (
        '(import "m" "one" (func))',
        '(import "m" "below" (func))',
        f'{top} (import "m" "plain" (func (type $top)))',
        '(rec (type (func)) (type $b (func))) (import "m" "one" (func (type $b)))',
    ):
        with pytest.raises(UnlinkableError):
            Guest(text, exports)


def test_types_are_canonical() -> None:
    """Spec 3.3.2: types of two modules with the same structure are one object; a place in another group is another."""
    text = "(rec (type $a (struct (field (ref null $b)))) (type $b (array (ref $a)))) (type (func (param (ref $a))))"
    one, two = (Module.load(wat(f'(module {text} (func (export "{name}")))')) for name in "xy")
    assert all(map(lambda a, b: a is b, one.decls.defs, two.decls.defs))
    other = Module.load(wat("(module (rec (type $b (array (ref $a))) (type $a (struct (field (ref null $b))))))"))
    assert not set(one.decls.defs[:2]) & set(other.decls.defs)


def test_types_that_nobody_holds_are_forgotten() -> None:
    """A process that loads many modules doesn't keep their types."""
    module = Module.load(wat("(module (type (struct (field i32 i64 f32 f64 i8 i16))))"))
    type_: weakref.ref[DefType] = weakref.ref(module.decls.defs[0])
    assert type_() is not None
    del module
    gc.collect()
    assert type_() is None


def test_subtypes() -> None:
    """Spec 3.3.3: the lattice of abstract heap types."""
    assert type_matches(I31.ref(False), EQREF)
    assert type_matches(NOFUNC.ref(), FUNCREF)
    assert not type_matches(FUNCREF, FUNC.ref(False))
    assert not type_matches(STRUCTREF, I31.ref())
    assert not type_matches(FUNCREF, ANYREF)


@pytest.mark.parametrize(
    "text",
    [
        # A line of supertypes without end, a struct of too many fields, an array made of too many operands.
        "(type $t0 (sub (struct)))" + "".join(f"(type $t{i} (sub $t{i - 1} (struct)))" for i in range(1, 70)),
        f"(type $a (array i8)) (func (unreachable) (drop (array.new_fixed $a {1 << 30})))",
    ],
    ids=["supertypes", "operands"],
)
def test_giants_are_refused(text: str) -> None:
    """Depth and counts in types have limits, as other engines have."""
    with pytest.raises(WasmError):
        Module.load(wat(f"(module {text})"))


def test_structs_have_a_limit_of_fields() -> None:
    """A few bytes each could declare any number of them."""
    fields = leb(10_001) + b"\x7f\x00" * 10_001
    with pytest.raises(MalformedError, match="too many fields"):
        Module.load(module(section(TYPE, b"\x5f" + fields)))


def test_features_can_be_off() -> None:
    """Each feature off is an error that names it; the rest works without."""
    for text, feature in (
        ("(type (struct))", Feature.GC),
        ("(func (param (ref func)))", Feature.FUNCTION_REFERENCES),
        ("(func (drop (ref.as_non_null (ref.null func))))", Feature.FUNCTION_REFERENCES),
    ):
        with pytest.raises(UnsupportedError) as caught:
            Module.load(wat(f"(module {text})"), AVAILABLE & ~feature)
        assert caught.value.feature == feature.text
    Module.load(wat("(module (func $f) (elem declare func $f) (func (drop (ref.func $f))))"), AVAILABLE & ~Feature.GC)


def test_unknown_types_are_invalid() -> None:
    """A reference to a type that isn't there has the place in its error."""
    with pytest.raises(InvalidError, match="unknown type 3"):
        Module.load(wat("(module (func (param (ref 3))))"))


def test_calls_between_the_tiers() -> None:
    """A function with typed references stays in the interpreter; code that calls it, or is called by it, need not."""
    guest = Guest(
        """(type $fn (func (param i32) (result i32)))
        (func $twice (type $fn) (i32.mul (local.get 0) (i32.const 2)))
        (elem declare func $twice)
        (func $by_ref (param (ref $fn) i32) (result i32) (call_ref $fn (local.get 1) (local.get 0)))
        (func $plain (param i32) (result i32) (call $mixed (i32.add (local.get 0) (i32.const 1))))
        (func $mixed (param i32) (result i32) (call $by_ref (ref.func $twice) (local.get 0)))
        (func (export "run") (param i32) (result i32) (call $plain (local.get 0)))""",
        tier="auto",
    )
    assert guest.call("run", 4) == 10


def test_functions_are_told_apart_in_frames() -> None:
    """A suspended frame gives its references back as they were."""
    guest = Guest(BORDER, imports(keep), injector=Every(1))
    ctx = guest.start("apply", guest.func("double"), 21)
    assert isinstance(control.run(ctx), Suspended)
    restored, instance = reload(ctx, guest.instance, lookup(keep))
    assert isinstance(instance.exports["double"], WasmFunc)
    assert resume_all(restored) == Returned((42,))
