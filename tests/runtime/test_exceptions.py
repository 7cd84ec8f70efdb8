"""Exceptions in the guest (spec 4.4.10): thrown, caught, handed on, in records and snapshots."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import (
    I32,
    Every,
    Failed,
    FuncType,
    InvalidError,
    Module,
    Returned,
    SnapshotError,
    TagInst,
    TagType,
    Trap,
    TrapCode,
    UnlinkableError,
    WasmException,
    control,
    snapshot,
)
from runtime.saving.form import dumps, loads
from runtime.store import Store
from tests.support.build import wat
from tests.support.guests import Guest, modules_of, nothing, reload, resume_all
from tests.support.hosts import Call, Results, host, imports
from tests.support.native import TIERS, Tier

#: Exceptions through several frames, by tag and of any, references kept in locals, a table and a global over loops,
#: handlers inside handlers, and locals that only a handler reads.
WORK = """
    (tag $a (param i64)) (tag $b (param f32 v128)) (tag $c)
    (table $kept 4 exnref) (global $last (mut exnref) (ref.null exn)) (type $thrower (func (param i64)))
    (table $ways funcref (elem $raise))
    (func $spin (param $n i32) (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func $raise (type $thrower)
      (call $spin (i32.const 2))
      (if (i64.eqz (i64.rem_u (local.get 0) (i64.const 3))) (then (throw $a (i64.mul (local.get 0) (i64.const 10)))))
      (if (i64.eqz (i64.rem_u (local.get 0) (i64.const 2)))
        (then (throw $b (f32.const 1.5) (i64x2.splat (local.get 0)))))
      (throw $c))
    (func $down (param $depth i32) (param i64)
      (if (i32.eqz (local.get $depth)) (then (call_indirect $ways (type $thrower) (local.get 1) (i32.const 0)))
        (else (call $down (i32.sub (local.get $depth) (i32.const 1)) (local.get 1))))
      (call $spin (i32.const 1)))
    (func $one (param $i i64) (result i64) (local $only i64) (local $e exnref) (local $v v128)
      (local.set $only (i64.add (local.get $i) (i64.const 1000)))
      (block $a (result i64)
        (block $all (result exnref)
          (try_table (catch $a $a) (catch_all_ref $all)
            (block $b (result f32 v128 exnref)
              (try_table (catch_ref $b $b) (call $down (i32.const 3) (local.get $i)))
              unreachable)
            (local.set $e) (local.set $v) drop
            (table.set $kept (i32.const 1) (local.get $e))
            (call $spin (i32.const 2))
            (if (i64.lt_u (local.get $i) (i64.const 6)) (then (throw_ref (local.get $e))))
            (local.set $only (i64.add (local.get $only) (i64x2.extract_lane 0 (local.get $v)))))
          (return (i64.add (local.get $only) (i64.const 7))))
        (global.set $last)
        (call $spin (i32.const 1))
        (return (i64.add (local.get $only) (i64.extend_i32_u (ref.is_null (table.get $kept (i32.const 1)))))))
      (i64.add (local.get $only)))
    (func $again (param i64) (result i64)
      (block $h (result i64)
        (try_table (catch $a $h)
          (block $n (try_table (catch_all $n) (throw_ref (global.get $last))))
          (throw_ref (table.get $kept (i32.const 1))))
        unreachable))
    (func (export "f") (param $n i64) (result i64) (local $i i64) (local $sum i64)
      (loop $l
        (local.set $sum (i64.add (local.get $sum) (call $one (local.get $i))))
        (br_if $l (i64.lt_u (local.tee $i (i64.add (local.get $i) (i64.const 1))) (local.get $n))))
      (local.get $sum))
    (func (export "thrown") (param $n i64) (call $spin (i32.const 1)) (call $down (i32.const 2) (local.get $n)))"""


def _one(i: int, kept: bool) -> int:
    if i % 3 == 0:
        return i + 1000 + i * 10
    if i % 2 == 0 and i >= 6:
        return i + 1000 + i + 7
    return i + 1000 + (not kept)


def _expected(n: int) -> int:
    total, kept = 0, False
    for i in range(n):
        kept = kept or (i % 3 != 0 and i % 2 == 0)
        total += _one(i, kept)
    return total


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("every", [None, 1, 2, 5])
def test_exceptions_are_caught_wherever_the_execution_was_interrupted(tier: Tier, every: int | None) -> None:
    """BEHAVIOURS 16: the handler found is the same whether frames are live or have been records, on both tiers."""
    injector = None if every is None else Every(every)
    assert resume_all(Guest(WORK, tier=tier, injector=injector).start("f", 11)) == Returned((_expected(11),))


def test_exceptions_and_references_to_them_are_saved() -> None:
    """BEHAVIOURS 75: saved and loaded at every check point, exceptions in locals, tables and globals come back, and
    what only a handler reads is in the record."""
    guest = Guest(WORK, injector=Every(1))
    outcome = resume_all(guest.start("f", 7), lambda ctx: reload(ctx, guest.instance, injector=Every(1))[0])
    assert outcome == Returned((_expected(7),))


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(("n", "name", "payload"), [(3, "a", (30,)), (4, "b", (1.5,)), (5, "c", ())])
def test_what_nobody_catches_reaches_the_embedder(tier: Tier, n: int, name: str, payload: tuple[Any, ...]) -> None:
    """An uncaught exception is an error with tag and payload, and the frames that it left are told."""
    guest = Guest(WORK, tier=tier)
    ctx = guest.start("thrown", n)
    outcome = control.run(ctx)
    assert isinstance(outcome, Failed)
    assert isinstance(outcome.error, WasmException)
    assert outcome.error.tag.name == name
    assert outcome.error.payload[:1] == payload
    assert [line.name for line in ctx.trace] == ["raise", "down", "down", "down", "func[6]"]
    with pytest.raises(WasmException, match="uncaught exception"):
        guest.call("thrown", n)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("unreachable", TrapCode.UNREACHABLE),
        ("(drop (i32.div_u (i32.const 1) (i32.const 0)))", TrapCode.INTEGER_DIVIDE_BY_ZERO),
        ("(throw_ref (ref.null exn))", TrapCode.NULL_REFERENCE),
        ("(call $deep)", TrapCode.STACK_OVERFLOW),
    ],
)
def test_traps_are_not_caught(tier: Tier, body: str, code: TrapCode) -> None:
    """A trap is no exception: `catch_all` lets it pass."""
    text = f"""(func $deep (call $deep)) (func (export "f") (block $h (try_table (catch_all $h) {body})))"""
    with pytest.raises(Trap) as caught:
        Guest(text, tier=tier).call("f")
    assert caught.value.code is code


@pytest.mark.parametrize("tier", TIERS)
def test_a_tag_is_the_same_by_identity(tier: Tier) -> None:
    """Spec 4.2.12: a tag that is imported is the same in both instances; one of equal type is another."""
    given = Guest(
        """(tag (export "e") (param i32)) (func (export "f") (throw 0 (i32.const 42)))""", tier=tier
    ).instance.exports
    text = """(import "m" "e" (tag $e (param i32))) (import "m" "f" (func $f)) (tag $mine (param i32))
        (func (export "g") (result i32)
          (block $yes (result i32) (block $no (result i32)
            (try_table (catch $mine $no) (catch $e $yes) (call $f)) unreachable)
            (return (i32.const -1))))"""
    assert Guest(text, {"m": given}, tier=tier).call("g") == 42


def test_the_type_of_an_imported_tag_is_checked() -> None:
    """Linking refuses a tag of another type, and says what is wanted; a tag with results is invalid."""
    with pytest.raises(UnlinkableError, match=r"tag \(i32\).*tag \(i64\)"):
        Guest('(import "m" "e" (tag (param i32)))', {"m": Guest('(tag (export "e") (param i64))').instance.exports})
    with pytest.raises(UnlinkableError, match=r"tag \(i32\)"):
        Guest('(import "m" "e" (tag (param i32)))')
    with pytest.raises(InvalidError, match="non-empty tag result type"):
        Module.load(b"\0asm\1\0\0\0\x01\x05\x01\x60\0\x01\x7f\x0d\x03\x01\0\0")


@pytest.mark.parametrize("tier", TIERS)
def test_a_tail_call_leaves_its_try_table(tier: Tier) -> None:
    """A frame that is no more catches nothing: what its successor throws goes to the caller's handler."""
    text = """(tag $e) (func $t (throw $e))
        (func $inner (result i32) (block $h (try_table (catch $e $h) (return_call $u))) (i32.const 1))
        (func $u (result i32) (call $t) (i32.const 3))
        (func (export "f") (result i32) (block $h (try_table (catch $e $h) (return (call $inner)))) (i32.const 2))"""
    assert Guest(text, tier=tier).call("f") == 2


@pytest.mark.parametrize("tier", TIERS)
def test_a_thousand_frames_are_left_at_once(tier: Tier) -> None:
    """Depth and cells are given back by what an exception leaves: it can be thrown again and again within limits."""
    text = """(tag $e) (func $d (param i32)
          (if (i32.eqz (local.get 0)) (then (throw $e))) (call $d (i32.sub (local.get 0) (i32.const 1))) (nop))
        (func (export "f") (param i32) (result i32) (local $n i32)
          (loop $l (block $h (try_table (catch $e $h) (call $d (local.get 0))))
            (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 20))))
          (local.get $n))"""
    guest = Guest(text, tier=tier)
    assert [guest.call("f", 9000) for _ in range(2)] == [20, 20]


@pytest.mark.parametrize("tier", TIERS)
def test_a_branch_to_a_loop_and_out_of_the_function(tier: Tier) -> None:
    """A clause may name any label: a loop, which takes the values as its parameters, or the function itself."""
    text = """(tag $e (param i32)) (func $t (param i32) (throw $e (local.get 0)))
        (func (export "g") (param $n i32) (result i32) (local $i i32)
          (loop $l (result i32)
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (block $k (result i32)
              (try_table (catch $e $k) (call $t (local.get $i)))
              unreachable)
            (br_if $l (i32.lt_u (i32.const 0) (i32.sub (local.get $n) (local.get $i))))))
        (func (export "h") (param i32) (result i32)
          (try_table (catch $e 0) (call $t (local.get 0)))
          unreachable)
        (func (export "k") (param $n i32) (result i32)
          (local.get $n)
          (loop $l (param i32) (result i32)
            (if (param i32) (result i32) (i32.eqz (local.tee $n (i32.sub (local.get $n) (i32.const 1))))
              (then) (else
                (try_table (param i32) (catch $e $l) (i32.add (i32.const 1)) (call $t)) unreachable))))"""
    guest = Guest(text, tier=tier)
    assert guest.call("g", 7) == 7
    assert guest.call("h", 9) == 9
    assert guest.call("k", 5) == 9
    assert resume_all(Guest(text, tier=tier, injector=Every(1)).start("k", 6)) == Returned((11,))


@host("h", "throw", "i32 ->")
def throwing(call: Call) -> Results:
    raise WasmException(TAG, *call.args)


TAG = TagInst(TagType(FuncType((I32,))), "e", "h")


@pytest.mark.parametrize("tier", TIERS)
def test_a_host_function_throws_by_tag(tier: Tier) -> None:
    """BEHAVIOURS 30, at the engine's own border: called, tail-called and called through a table."""
    text = """(import "h" "e" (tag $e (param i32))) (import "h" "throw" (func $f (param i32)))
        (table funcref (elem $f))
        (func $tail (param i32) (return_call $f (local.get 0)))
        (func (export "f") (param i32) (result i32)
          (block $h (result i32)
            (try_table (catch $e $h)
              (if (i32.eq (local.get 0) (i32.const 1)) (then (call $tail (i32.const 10))))
              (if (i32.eq (local.get 0) (i32.const 2))
                (then (call_indirect (param i32) (i32.const 20) (i32.const 0))))
              (call $f (i32.const 30)))
            unreachable))"""
    guest = Guest(text, {"h": {**imports(throwing)["h"], "e": TAG}}, tier=tier)
    assert [guest.call("f", n) for n in range(3)] == [30, 10, 20]


def test_a_payload_fits_its_tag() -> None:
    """What doesn't fit a tag is refused before anything is thrown, and the message names the tag."""
    for wrong, error in (((), TypeError), ((1, 2), TypeError), (("x",), TypeError), ((1 << 40,), OverflowError)):
        with pytest.raises(error):
            WasmException(TAG, *wrong)
    thrown = WasmException(TAG, 0xFFFF_FFFF)
    assert thrown.payload == (-1,)
    assert str(thrown) == "uncaught exception <h.e (i32)>(-1,)"


def _saved(name: str = "f") -> tuple[Guest, dict[str, Any]]:
    guest = Guest(
        """(tag $e (param i32)) (global $g (mut exnref) (ref.null exn))
        (func $spin (loop))
        (func (export "f")
          (block $h (result i32 exnref) (try_table (catch_ref $e $h) (throw $e (i32.const 7))) unreachable)
          (global.set $g) drop (call $spin))""",
        injector=Every(1),
    )
    ctx = guest.start(name)
    while guest.instance.globals[0].value is None:
        control.run(ctx)
    return guest, loads(snapshot.save(ctx, guest.instance), 1 << 28)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("exceptions", 0, "tag"), 9),
        (("exceptions", 0, "values"), []),
        (("exceptions", 0, "values"), [1 << 40]),
        (("exceptions", 0, "values"), [["e", 0]]),
        (("tags", 0, "type"), [[0x7E], []]),
        (("tags", 0, "name"), 7),
        (("globals", 0, "value"), ["e", 5]),
        (("globals", 0, "value"), ["w", 0, 0]),
        (("instances", 0, "tags"), []),
        (("instances", 0, "tags"), [3]),
    ],
)
def test_exceptions_of_a_snapshot_are_checked(path: tuple[Any, ...], value: object) -> None:
    """Tags and exceptions that the module doesn't declare, or that carry something else, are corrupt data."""
    guest, body = _saved()
    spot: Any = body
    for step in path[:-1]:
        spot = spot[step]
    spot[path[-1]] = value
    with pytest.raises(SnapshotError, match="corrupt"):
        snapshot.load(dumps(body), modules_of(guest.instance), nothing, Store())


def test_a_tag_of_the_hosts_is_found_by_its_name() -> None:
    """A tag that the host made is given again when a snapshot is loaded; a missing one is named."""
    guest = Guest('(import "h" "e" (tag (param i32))) (func (export "f") (loop))', {"h": {"e": TAG}}, injector=Every(1))
    ctx = guest.start("f")
    control.run(ctx)
    data, modules = snapshot.save(ctx, guest.instance), modules_of(guest.instance)
    with pytest.raises(UnlinkableError, match=r"h\.e"):
        snapshot.load(data, modules, nothing, Store())
    restored = snapshot.load(data, modules, nothing, Store(), lambda module, name, type_: TAG)
    assert restored.instances[0].tags == [TAG]


def test_a_pending_throw_of_an_exception_is_saved() -> None:
    """What an embedder throws into an execution goes to the handler of the frame that waits in a call."""
    guest = Guest(
        """(import "h" "e" (tag $e (param i32))) (import "h" "ask" (func $ask))
        (func (export "f") (result i32)
          (block $h (result i32) (try_table (catch $e $h) (call $ask)) unreachable))""",
        {"h": {"e": TAG, **imports(asking)["h"]}},
    )
    ctx = guest.start("f")
    control.run(ctx)
    control.throw(ctx, WasmException(TAG, 5))
    data = snapshot.save(ctx, guest.instance)
    restored = snapshot.load(
        data, modules_of(guest.instance), lambda *_: imports(asking)["h"]["ask"], Store(), lambda *_: TAG
    )
    assert control.run(restored.ctx) == Returned((5,))


@host("h", "ask", "->")
def asking(call: Call) -> Results:
    call.ask("?")
    return ()


def test_a_frame_at_a_loop_catches_nothing() -> None:
    """An embedder's throw leaves frames that are in no call, although they stand in a `try_table`; a caller of theirs
    catches."""
    text = """(tag $e (export "e")) (func $in (block $h (try_table (catch_all $h) (loop $l (br $l)))) unreachable)
        (func (export "f") (result i32) (block $h (try_table (catch_all $h) (call $in))) (i32.const 4))"""
    guest = Guest(text, injector=Every(3))
    ctx = guest.start("f")
    control.run(ctx)
    tag = guest.instance.exports["e"]
    assert isinstance(tag, TagInst)
    control.throw(ctx, WasmException(tag))
    assert resume_all(ctx) == Returned((4,))


def test_clauses_and_labels_are_checked() -> None:
    """Spec 3.4.10: a clause hands on what its label takes; tags and labels exist."""
    for body in (
        "(block $h (try_table (catch $e $h)))",
        "(block $h (result i32 i32) (try_table (catch $e $h)) unreachable) drop drop",
        "(block $h (result i32) (try_table (catch_ref $e $h)) unreachable) drop",
        "(block $h (result i32) (try_table (catch_all $h)) unreachable) drop",
        "(block $h (try_table (catch_all_ref $h)))",
        "(try_table (catch 3 0))",
        "(try_table (catch_all 5))",
        "(throw $e)",
        "(throw 3)",
        "(throw_ref (ref.null func))",
    ):
        with pytest.raises(InvalidError):
            Module.load(wat(f"(module (tag $e (param i32)) (func {body}))"))
