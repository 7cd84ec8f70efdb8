"""Exceptions as they were before WebAssembly 3.0 (proposal "Legacy Exception Handling"): rewritten when a body is
decoded, and like any others from then on."""

from __future__ import annotations

import pytest

from runtime import (
    Every,
    Failed,
    InvalidError,
    MalformedError,
    Module,
    Returned,
    Trap,
    UnsupportedError,
    WasmException,
    control,
)
from runtime.engine import interpreted
from runtime.features import AVAILABLE, WASM_3_0, Feature
from tests.support.build import BuildError, run_tool, wasm_tools, wat
from tests.support.guests import Guest, reload, resume_all
from tests.support.native import TIERS, Tier, needs_native
from tests.support.raw import CODE, FUNC, ONE_TYPE, TYPE, module, one_body, section, sized

_TAG = 13

#: What throws by its argument: 0 nothing, 1 `$a`, 2 `$b`, else `$c`; over loops, so that there are check points.
HEAD = """
    (tag $a (param i32)) (tag $b (param i64 f64)) (tag $c) (type $pair (func (param i32 i64) (result i64)))
    (func $spin (param $n i32) (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
    (func $t (param $k i32)
      (call $spin (i32.const 2))
      (block $no (block $one (block $two (block $three
        (br_table $no $one $two $three (local.get $k)))
        (throw $c))
        (throw $b (i64.const 20) (f64.const 0.5)))
        (throw $a (i32.const 10))))
"""
CATCHES = """
    (func (export "f") (param $k i32) (result i32)
      try (result i32)
        (call $t (local.get $k)) (i32.const 1)
      catch $a
        (i32.add (i32.const 100))
      catch $b
        drop (call $spin (i32.const 2)) i32.wrap_i64
      catch_all
        (i32.const 3)
      end)"""
RETHROWN = """
    (func $inner (param $k i32) (result i32)
      try (result i32)
        (call $t (local.get $k)) (i32.const 1)
      catch $a
        (call $spin (i32.const 2))
        (if (param i32) (result i32) (local.get $k)
          (then (drop) (rethrow 1))
          (else))
      catch_all
        try
          (call $t (i32.const 1))
        catch $a
          (drop) (call $spin (i32.const 1)) (rethrow 1)
        end
        (i32.const 4)
      end)
    (func (export "f") (param $k i32) (result i32)
      try (result i32)
        (call $inner (local.get $k))
      catch $a
        (i32.const 1000) (i32.add)
      catch $b
        (drop) (i32.wrap_i64) (i32.const 2000) (i32.add)
      catch_all
        (i32.const 3000)
      end)"""
DELEGATED = """
    (func $through (param $k i32) (result i32)
      try (result i32)
        try (result i32)
          (call $t (local.get $k)) (i32.const 1)
        delegate 1
      catch_all
        (i32.const -1)
      end)
    (func (export "f") (param $k i32) (result i32)
      try $outer (result i32)
        (block $far (result i32)
          try (result i32)
            try (result i32)
              (if (i32.eq (local.get $k) (i32.const 3)) (then (return (call $through (local.get $k)))))
              (call $spin (i32.const 2)) (call $t (local.get $k)) (i32.const 5)
            delegate $far
          catch_all
            (i32.const -2)
          end)
      catch $a
        (i32.const 50) (i32.add)
      catch $b
        (drop) (drop) (i32.const 60)
      end)"""
CHAIN = """
    (func (export "f") (param $k i32) (result i32)
      try $a (result i32)
        try $b (result i32)
          try (result i32)
            try (result i32)
              (call $t (local.get $k)) (i32.const 7)
            delegate $b
          catch_all
            (i32.const -3)
          end
        delegate $a
      catch_all
        (i32.const 70)
      end)"""
VALUES = """
    (func $g (param $k i32) (result i64)
      (i32.const 6) (i64.const 7)
      try (type $pair)
        (call $t (local.get $k))
        (br_if 0 (i64.const 40) (i32.eqz (local.get $k)))
        drop drop drop (i64.const -4)
      catch $a
        (drop) (br 0 (i64.const 41))
      catch $b
        (drop)
      catch $c
        (br 1 (i64.const 43))
      end)
    (func (export "f") (param $k i32) (result i32)
      (i32.wrap_i64 (call $g (local.get $k)))
      (loop $again (param i32) (result i32)
        try (param i32) (result i32)
          (call $t (local.get $k))
        catch_all
          (local.set $k (i32.const 0)) (br $again (i32.const 9))
        end))"""
IN_HANDLERS = """
    (func (export "f") (param $k i32) (result i32) (local $n i32)
      (loop $l
        try
          (call $t (local.get $k))
        catch $a
          try
            (call $t (i32.const 2))
          catch $b
            (drop) (drop) (local.set $n (i32.add (local.get $n) (i32.const 1)))
          end
          (local.set $n (i32.add (local.get $n)))
        catch_all
          try
            (throw $c)
          catch $a
            drop
          catch_all
            try (rethrow 1) catch_all end
          end
          (local.set $n (i32.add (local.get $n) (i32.const 2)))
        end
        try (local.set $n (i32.add (local.get $n) (i32.const 1))) end
        (br_if $l (i32.lt_u (local.get $n) (i32.const 30))))
      (local.get $n))"""
GUESTS: dict[str, tuple[str, list[int | str]]] = {
    "catches": (CATCHES, [1, 110, 20, 3]),
    "rethrown": (RETHROWN, [1, 1010, 2020, 3000]),
    "delegated": (DELEGATED, [5, 60, 60, "c"]),
    "chain": (CHAIN, [7, 70, 70, 70]),
    "values": (VALUES, [40, 9, 9, 9]),
    "in handlers": (IN_HANDLERS, [30, 36, 30, 30]),
}
CASES = [(text, k, want) for text, wants in GUESTS.values() for k, want in enumerate(wants)]
IDS = [f"{name}-{k}" for name, (_, wants) in GUESTS.items() for k in range(len(wants))]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("every", [None, 1, 3])
@pytest.mark.parametrize(("text", "k", "want"), CASES, ids=IDS)
def test_legacy_exceptions_go_where_the_proposal_says(
    tier: Tier, every: int | None, text: str, k: int, want: int | str
) -> None:
    """`catch`, `catch_all`, `rethrow` and `delegate`, and branches across them, on both tiers; BEHAVIOURS 16: the same
    when the execution is interrupted at each check point."""
    injector = None if every is None else Every(every)
    outcome = resume_all(Guest(HEAD + text, tier=tier, injector=injector).start("f", k))
    if isinstance(want, int):
        assert outcome == Returned((want,))
    else:
        assert isinstance(outcome, Failed)
        assert isinstance(outcome.error, WasmException)
        assert outcome.error.tag.name == want


@pytest.mark.parametrize("k", [1, 2])
def test_what_a_handler_may_throw_again_is_saved(k: int) -> None:
    """BEHAVIOURS 75: saved and loaded at every check point, a handler still throws what it has caught."""
    guest = Guest(HEAD + RETHROWN, injector=Every(1))
    outcome = resume_all(guest.start("f", k), lambda ctx: reload(ctx, guest.instance, injector=Every(1))[0])
    assert outcome == Returned((GUESTS["rethrown"][1][k],))


@pytest.mark.parametrize("tier", TIERS)
def test_traps_pass_legacy_handlers(tier: Tier) -> None:
    """A trap is no exception, and says at which byte of the module it was, as it is in the file."""
    text = '(module (func (export "f") try nop unreachable catch_all end))'
    guest = Guest(text[8:-1], tier=tier)
    ctx = guest.start("f")
    control.run(ctx)
    with pytest.raises(Trap):
        guest.call("f")
    at = wat(text).index(b"\x06\x40\x01\x00\x19") + 3
    assert ctx.trace[0].offset == at


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("try (result i32) (i32.const 1) catch_all (i32.const 1) (i32.const 1) end drop", "values remain"),
        ("try (result i32) (i32.const 1) catch $a end drop", None),
        ("try (result i32) (i32.const 1) catch_all end drop", "type mismatch"),
        ("try (i32.const 1) catch_all end", "values remain"),
        ("try (i32.const 1) delegate 0", "values remain"),
        ("(block (result i32) try  delegate 0)", "type mismatch"),
        ("try (rethrow 0) catch_all end", "invalid rethrow label"),
        ("try  catch_all (block (rethrow 0)) end", "invalid rethrow label"),
        ("(block (rethrow 1))", "invalid rethrow label"),
        ("(rethrow 5)", "invalid rethrow label"),
        ("try  catch_all (rethrow 0) end", None),
        ("try  delegate 1", "unknown label"),
        ("try (br 2) catch_all end", "unknown label"),
        ("try  catch_all (br 2) end", "unknown label"),
        ("try (br_table 0 1 2 (i32.const 0)) catch_all end", "unknown label"),
        ("try (br 1) catch_all (br 1) end", None),
        ("try  catch 1 end", "unknown tag"),
        ("(unreachable) try (param i32) (result i64) drop (i64.const 1) catch_all (i64.const 2) end drop", None),
        ("(i32.const 1) try (param i32) drop catch_all drop end", "type mismatch"),
    ],
)
def test_legacy_bodies_are_valid_as_the_proposal_says(body: str, message: str | None) -> None:
    """Another validator agrees about each, so that the rewriting hides no mistake."""
    data = wat(f"(module (tag $a (param i32)) (func {body}))")
    judge = [wasm_tools(), "validate", "--features", "all,legacy-exceptions", "-"]
    if message is None:
        run_tool(judge, stdin=data)
        Module.load(data)
    else:
        with pytest.raises(BuildError):
            run_tool(judge, stdin=data)
        with pytest.raises(InvalidError, match=message):
            Module.load(data)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        (b"\x07\0\x0b", "catch without try"),
        (b"\x19\x0b", "catch_all without try"),
        (b"\x18\0\x0b", "delegate without try"),
        (b"\x02\x40\x07\0\x0b\x0b", "catch without try"),
        (b"\x06\x40\x19\x19\x0b\x0b", "catch_all without try"),
        (b"\x06\x40\x19\x07\0\x0b\x0b", "catch without try"),
        (b"\x06\x40\x19\x18\0\x0b", "delegate without try"),
        (b"\x06\x40\x18\0\x0b\x0b", "bytes follow"),
        (b"\x06\x40\x19\x0b", "unexpected end"),
    ],
    ids=lambda value: value.hex() if isinstance(value, bytes) else "",
)
def test_parts_of_a_legacy_try_stand_in_their_order(code: bytes, message: str) -> None:
    """What divides or closes a block that isn't there is malformed, as `else` without `if` is (spec 5.4.1)."""
    with pytest.raises(MalformedError, match=message):
        Module.load(one_body(code))


def test_legacy_exceptions_are_a_feature() -> None:
    """Off, the error names what is missing; they are in `all`, and in no edition of WebAssembly."""
    data = one_body(b"\x06\x40\x19\x0b\x0b")
    Module.load(data)
    assert Feature.LEGACY_EXCEPTIONS in AVAILABLE
    with pytest.raises(UnsupportedError, match="legacy-exceptions"):
        Module.load(data, WASM_3_0)
    with pytest.raises(UnsupportedError, match="'exceptions'"):
        Module.load(data, AVAILABLE & ~Feature.EXCEPTIONS)


def test_many_clauses_and_deep_tries_end() -> None:
    """A body made to grow in the rewriting has the limits that any other has, and an ordinary one is far from them."""
    catches = "catch $a drop " * 60
    deep = "try " * 100 + "delegate 0 " * 100
    Module.load(wat(f"(module (tag $a (param i32)) (func try {catches} end) (func {deep}))"))
    wide = sized(b"\0\x06\x40" + b"\x07\0" * 100_000 + b"\x0b\x0b")
    tagged = module(
        section(TYPE, ONE_TYPE), section(FUNC, b"\0"), section(_TAG, b"\0\0"), section(CODE, wide)
    )  # fmt: skip
    with pytest.raises(InvalidError, match="nested more than"):
        Module.load(tagged)


@needs_native
@pytest.mark.parametrize("text", [text for text, _ in GUESTS.values()], ids=GUESTS)
def test_rewritten_functions_have_machine_code(text: str) -> None:
    """What is put in is nothing that only the interpreter knows."""
    assert interpreted(Module.load(wat(f"(module {HEAD} {text})"))) == {}
