"""Memories and tables with 64-bit addresses, and pages of one byte (spec 3.2.11, 3.2.12; custom page sizes)."""

from __future__ import annotations

import pytest

from runtime import (
    Every,
    InvalidError,
    LimitError,
    Limits,
    Module,
    Returned,
    SnapshotError,
    Trap,
    TrapCode,
    UnlinkableError,
    control,
    snapshot,
)
from runtime.saving.form import dumps, loads
from runtime.store import Store
from tests.support.build import wat
from tests.support.guests import Guest, modules_of, nothing, reload, resume_all
from tests.support.native import TIERS, Tier

#: All that addresses, sizes and indexes go through, with a check point at each round.
WORK = """
    (memory $m i64 1 8) (memory $small i64 3 10 (pagesize 1)) (memory $narrow 1 2)
    (table $t i64 4 8 funcref) (type $f (func (result i64)))
    (func $one (type $f) (i64.const 1)) (func $two (type $f) (i64.const 2)) (elem $e func $one $two)
    (func (export "work") (param $n i64) (result i64) (local $i i64) (local $sum i64)
      (table.init $t $e (i64.const 1) (i32.const 0) (i32.const 2))
      (loop $again
        (i64.store $m offset=8 (i64.shl (local.get $i) (i64.const 3)) (local.get $i))
        (memory.copy $narrow $m (i32.const 0) (i64.const 8) (i32.const 16))
        (memory.copy $m $m (i64.const 4096) (i64.const 8) (i64.const 16))
        (memory.fill $small (i64.const 0) (i32.const 7) (memory.size $small))
        (local.set $sum (i64.add (local.get $sum) (i64.load32_u $narrow (i32.const 8))))
        (local.set $sum (i64.add (local.get $sum) (i64.load8_u $small (i64.sub (memory.size $small) (i64.const 1)))))
        (local.set $sum (i64.add (local.get $sum)
          (call_indirect $t (type $f) (i64.add (i64.const 1) (i64.and (local.get $i) (i64.const 1))))))
        (local.set $sum (i64.add (local.get $sum) (memory.grow $small (i64.const 1))))
        (local.set $sum (i64.add (local.get $sum) (table.grow $t (ref.null func) (i64.const 1))))
        (br_if $again (i64.lt_u (local.tee $i (i64.add (local.get $i) (i64.const 1))) (local.get $n))))
      (i64.add (local.get $sum) (i64.add (table.size $t) (memory.size $m))))"""


def _expected(rounds: int) -> int:
    total, small, table = 0, 3, 4
    for i in range(rounds):
        total += (1 if i else 0) + 7 + (2 if i & 1 else 1)
        total += small if small < 10 else -1
        small += small < 10
        total += table if table < 8 else -1
        table += table < 8
    return total + table + 1


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("every", [None, 1, 3])
def test_everything_with_wide_addresses_gives_the_same(tier: Tier, every: int | None) -> None:
    """BEHAVIOURS 16: whatever takes an address or an index works with 64 bits, interrupted or not."""
    injector = None if every is None else Every(every)
    assert resume_all(Guest(WORK, tier=tier, injector=injector).start("work", 9)) == Returned((_expected(9),))


def test_what_is_saved_keeps_its_addresses_and_pages() -> None:
    """BEHAVIOURS 75: a memory's address type and page size, and a table's, come back; growing goes on where it was."""
    guest = Guest(WORK, injector=Every(1))
    outcome = resume_all(guest.start("work", 9), lambda ctx: reload(ctx, guest.instance, injector=Every(1))[0])
    assert outcome == Returned((_expected(9),))


@pytest.mark.parametrize(("key", "value"), [("page", 2), ("page", 0), ("address", 0x7D), ("address", 0x70)])
def test_pages_and_addresses_of_a_snapshot_are_checked(key: str, value: int) -> None:
    """A page size or an address type that no memory has is corrupt data."""
    guest = Guest(WORK, injector=Every(1))
    ctx = guest.start("work", 2)
    control.run(ctx)
    body = loads(snapshot.save(ctx, guest.instance), 1 << 28)
    body["memories"][0][key] = value
    with pytest.raises(SnapshotError, match="corrupt"):
        snapshot.load(dumps(body), modules_of(guest.instance), nothing, Store())


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize(
    "access",
    [
        "(drop (i64.load8_u $wide (local.get 0)))",
        "(drop (i32.load $wide offset=0x7fffffff (local.get 0)))",
        "(drop (i32.load $wide offset=0xffffffffffffffff (i64.and (local.get 0) (i64.const 7))))",
        "(i32.store $wide offset=0xfffffffffffffffd (i64.const 2) (i32.const 1))",
        "(i64.store $wide (local.get 0) (i64.const 1))",
        "(memory.fill $wide (local.get 0) (i32.const 0) (i64.const 1))",
        "(memory.fill $wide (i64.const 1) (i32.const 0) (local.get 0))",
        "(memory.copy $wide $wide (i64.const 0) (local.get 0) (i64.const 1))",
        "(memory.copy $wide $narrow (local.get 0) (i32.const 0) (i32.const 1))",
        "(memory.init $wide $d (local.get 0) (i32.const 0) (i32.const 1))",
        "(drop (i64.load8_u $empty (i32.wrap_i64 (i64.and (local.get 0) (i64.const 0)))))",
        "(i64.store $empty (i32.wrap_i64 (i64.and (local.get 0) (i64.const 0))) (i64.const 1))",
        "(drop (i64.load8_u $tiny (i64.and (local.get 0) (i64.const 3))))",
    ],
)
@pytest.mark.parametrize("address", [1 << 40, (1 << 63) - 1, -(1 << 63), -1, -8])
def test_out_of_bounds_is_a_trap_for_any_address(tier: Tier, access: str, address: int) -> None:
    """No address and no offset reaches what lies outside, however large, nor an empty memory or one of a few bytes."""
    if "3)" in access and address & 3 != 3:
        address |= 3
    text = f"""(memory $narrow 1) (memory $wide i64 1) (memory $empty 0) (memory $tiny i64 3 (pagesize 1)) (data $d "x")
        (func (export "f") (param i64) {access})"""
    with pytest.raises(Trap) as caught:
        Guest(text, tier=tier).call("f", address)
    assert caught.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY


@pytest.mark.parametrize("tier", TIERS)
def test_growth_beyond_the_limits_gives_minus_one(tier: Tier) -> None:
    """A memory or table that may have 2^48 pages or 2^64 entries stays within the embedder's limits."""
    guest = Guest(
        """(memory i64 1) (table i64 1 externref)
        (func (export "memory") (param i64) (result i64) (memory.grow (local.get 0)))
        (func (export "table") (param i64) (result i64) (table.grow (ref.null extern) (local.get 0)))""",
        tier=tier,
        limits=Limits(memory=3 << 16, table=10),
    )
    assert [guest.call("memory", n) for n in (1 << 48, -1, 2, 0)] == [-1, -1, 1, 3]
    assert [guest.call("table", n) for n in (1 << 48, -1, 2, 0)] == [-1, -1, 1, 3]


def test_a_module_that_wants_more_than_there_is() -> None:
    """A memory of 2^48 pages is valid, and more than any limit when it is made."""
    with pytest.raises(LimitError):
        Guest(f"(memory i64 {1 << 48})")


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ("(memory {} i64 1)", "(memory 1)"),
        ("(memory {} 1)", "(memory i64 1)"),
        ("(memory {} 1 (pagesize 1))", "(memory 1)"),
        ("(table {} i64 1 funcref)", "(table 1 funcref)"),
    ],
)
def test_an_import_has_the_same_addresses_and_pages(have: str, want: str) -> None:
    """Spec 3.3.10: address type and page size of an import are those of what is given, and the message tells them."""
    given = Guest(have.format('(export "x")')).instance.exports
    with pytest.raises(UnlinkableError, match=r"64-bit|pages of 1 bytes"):
        Guest(f'(import "m" "x" {want})', {"m": given})


@pytest.mark.parametrize("page", [2, 512, 1 << 17])
def test_a_page_has_64_kib_or_one_byte(page: int) -> None:
    """Custom page sizes allow two; any other is invalid."""
    with pytest.raises(InvalidError, match="invalid custom page size"):
        Module.load(wat(f"(module (memory 0 (pagesize {page})))"))
