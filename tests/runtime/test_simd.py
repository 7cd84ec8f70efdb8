"""Vectors in the decoder, the validator and the interpreter: lanes, memory, branches."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest

from runtime import V128, InvalidError, Module, Trap, TrapCode
from runtime.instr.index import BY_NAME
from runtime.instr.model import Immediate, Instr
from runtime.interp import registry, simd
from runtime.interp.registry import Const, Operand, condition, make
from runtime.limits import PAGE
from runtime.types import F32, F64, I32, I64, ValType
from runtime.types import V128 as VECTOR
from tests.support.build import wat
from tests.support.guests import Guest

ROWS = [row for row in BY_NAME.values() if row.code >> 16 == 0xFD]
OPERATORS = [row for row in ROWS if row.params]
LOADS = [row for row in ROWS if ".load" in row.name]
STORES = [row for row in ROWS if ".store" in row.name]
COUNTING = V128(bytes(range(0x10, 0x20)))
#: Operands of each type that give different results from one another.
_VALUES: dict[ValType, Sequence[object]] = {
    VECTOR: (bytes(range(16)), b"\x80\x7f\xff\x01" * 4, struct.pack("<4f", 1.5, -2.5, 3e9, 0.0), bytes(16)),
    I32: (3, 0x8000_0081),
    I64: (5, 1 << 63),
    F32: (1.5, -0.0),
    F64: (-2.5, 1e300),
}
_IMMEDIATES: dict[Immediate, object] = {Immediate.NONE: None, Immediate.LANE: 1, Immediate.LANES: bytes(range(1, 17))}


def _operands(values: Sequence[object], constant: Sequence[bool]) -> tuple[list[Any], list[Operand]]:
    """Registers that hold `values` from register 2 on, and operands of this shape."""
    registers: list[Any] = [None, "unset", *values]
    return registers, [Const(v) if c else i for i, (v, c) in enumerate(zip(values, constant, strict=True), 2)]


def test_every_operator_has_a_function_and_every_row_a_handler() -> None:
    """House rule 3: rows, functions and handlers meet by name, and none is left over."""
    assert {row.name for row in OPERATORS} == set(simd.FUNCTIONS)
    assert {row.name for row in ROWS if not registry.known(row)} == {"v128.const"}
    assert set(simd.TEXTS) <= set(simd.FUNCTIONS)


@pytest.mark.parametrize("row", OPERATORS, ids=repr)
def test_handlers_compute_what_the_semantics_say(row: Instr) -> None:
    """Spec 4.4.3: a handler gives what the row's function gives, whichever operands are constants; and so does the
    branch that a condition is joined with."""
    immediate = _IMMEDIATES[row.immediate]
    extra = () if immediate is None else (immediate,)
    for values in product(*(_VALUES[t] for t in row.params or ())):
        want = simd.FUNCTIONS[row.name](*values, *extra)
        for constant in product((False, True), repeat=len(values)):
            registers, operands = _operands(values, constant)
            make(row, immediate, 1, operands)(registers)
            assert registers[1:] == [want, *values]
            branch = condition(row, operands)
            assert (branch is None) == ("_true" not in row.name)
            if branch is not None:
                assert branch("taken", "fall")(registers) == ("taken" if want else "fall")


# Memory


def _address(row: Instr) -> str:
    lane = " 1" if row.immediate is Immediate.MEMARG_LANE else ""
    return f"{row.name} $m offset=3{lane}"


def _guest(row: Instr) -> Guest:
    """A guest that does one access to its second memory: `f` with its parameters, `c` with constants."""
    loads = row in LOADS
    vector = "" if loads and row.immediate is Immediate.MEMARG else "(local.get 1)"
    constant = f"(v128.const i8x16 {' '.join(map(str, COUNTING.u8x16))})"
    result = "(result v128)" if loads else ""
    return Guest(f"""(memory 1) (memory $m 1)
        (func (export "f") (param i32 v128) {result} ({_address(row)} (local.get 0) {vector}))
        (func (export "c") (param i32 v128) {result}
          ({_address(row)} (i32.const 4) {vector and constant}))""")


def _memory(guest: Guest) -> Any:
    return guest.instance.memories[1].data


def _read(row: Instr, data: bytes) -> bytes:
    """What a load makes of the bytes that it reads, by the row's name (spec 4.4.7)."""
    name = row.name.removeprefix("v128.load")
    if name.endswith("_lane"):
        return COUNTING.raw[: row.width] + data + COUNTING.raw[2 * row.width :]
    if name.endswith("_splat"):
        return data * (16 // row.width)
    if "x" in name:
        size, signed = int(name.partition("x")[0]) // 8, name.endswith("_s")
        lanes = [int.from_bytes(data[i : i + size], "little", signed=signed) for i in range(0, 8, size)]
        return b"".join(lane.to_bytes(2 * size, "little", signed=signed) for lane in lanes)
    return data.ljust(16, b"\0")


@pytest.mark.parametrize("row", LOADS, ids=repr)
def test_loads(row: Instr) -> None:
    """Spec 4.4.7: extended, spread, padded or put into a lane, from the named memory."""
    guest = _guest(row)
    for data in (bytes(range(0x81, 0x91)), bytes(range(1, 17)), b"\xff\x00\x80\x7f" * 4):
        _memory(guest)[7 : 7 + row.width] = data[: row.width]
        for name in "fc":
            assert guest.call(name, 4, COUNTING).raw == _read(row, data[: row.width])


@pytest.mark.parametrize("row", STORES, ids=repr)
def test_stores(row: Instr) -> None:
    """Spec 4.4.7: the vector, or one lane of it, and nothing beside it."""
    guest = _guest(row)
    lane = slice(row.width, 2 * row.width) if row.width < 16 else slice(0, 16)
    for name in "fc":
        _memory(guest)[:] = b"\xaa" * PAGE
        guest.call(name, 4, COUNTING)
        assert _memory(guest)[6 : 8 + row.width] == b"\xaa" + COUNTING.raw[lane] + b"\xaa"


@pytest.mark.parametrize("row", LOADS + STORES, ids=repr)
def test_accesses_out_of_bounds_trap_and_write_nothing(row: Instr) -> None:
    """Spec 4.4.7: an access that is partly outside, or past 4 GiB, traps before it has an effect."""
    guest = _guest(row)
    before = bytes(_memory(guest))
    for address in (PAGE - row.width - 2, PAGE, -1, -3):
        with pytest.raises(Trap) as caught:
            guest.call("f", address, COUNTING)
        assert caught.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY
    guest.call("f", PAGE - row.width - 3, V128(bytes(16)))
    assert bytes(_memory(guest)) == before


# Validation


@pytest.mark.parametrize("row", [row for row in ROWS if row.lanes], ids=repr)
def test_lane_indexes_are_checked(row: Instr) -> None:
    """Spec 3.4.8: a lane index is below the number of lanes; that of a shuffle below the lanes of both operands."""
    gets = "unreachable"
    for lane, fine in ((row.lanes - 1, True), (row.lanes, False), (255, False)):
        lanes = f"0 {lane} " + "0 " * 14 if row.immediate is Immediate.LANES else str(lane)
        data = wat(f"(module (memory 1) (func {gets} {row.name} {lanes} unreachable))")
        if fine:
            Module.load(data)
            continue
        with pytest.raises(InvalidError, match=f"invalid lane index {lane}"):
            Module.load(data)


@pytest.mark.parametrize("row", LOADS + STORES, ids=repr)
def test_alignment_is_at_most_natural(row: Instr) -> None:
    """Spec 3.4.8: natural is what the access touches, not the vector."""
    lane = " 0" if row.immediate is Immediate.MEMARG_LANE else ""
    for align, fine in ((row.width, True), (2 * row.width, False)):
        data = wat(f"(module (memory 1) (func unreachable {row.name} align={align}{lane} unreachable))")
        if fine:
            Module.load(data)
            continue
        with pytest.raises(InvalidError, match="alignment must not be larger than natural"):
            Module.load(data)


@pytest.mark.parametrize(
    "body",
    [
        "(i32x4.add (i32.const 0) (v128.const i64x2 0 0))",
        "(i32x4.shl (v128.const i64x2 0 0) (i64.const 0))",
        "(i64x2.replace_lane 0 (v128.const i64x2 0 0) (i32.const 0))",
        "(v128.load32_lane 0 (i32.const 0) (i32.const 0))",
        "(v128.bitselect (v128.const i64x2 0 0) (v128.const i64x2 0 0) (i32.const 0))",
    ],
)
def test_operands_have_their_types(body: str) -> None:
    """Spec 3.4.8: a vector is no number and no number a vector."""
    with pytest.raises(InvalidError, match="type mismatch"):
        Module.load(wat(f"(module (memory 1) (func (result v128) {body}))"))


# Whole functions


def test_vectors_in_control_flow() -> None:
    """Vectors as results of blocks, operands of branches, in select, in loops and through tables."""
    guest = Guest("""
        (type $binary (func (param v128 v128) (result v128)))
        (table funcref (elem $add $sub))
        (func $add (type $binary) (i32x4.add (local.get 0) (local.get 1)))
        (func $sub (type $binary) (i32x4.sub (local.get 0) (local.get 1)))
        (func (export "through") (param v128 v128 i32) (result v128)
          (call_indirect (type $binary) (local.get 0) (local.get 1) (local.get 2)))
        (func (export "choose") (param v128 v128 i32) (result v128)
          (block (result v128) (drop (br_if 0 (local.get 0) (i32.eqz (local.get 2)))) (local.get 1)))
        (func (export "select") (param v128 v128 i32) (result v128)
          (select (result v128) (select (local.get 0) (local.get 1) (local.get 2))
            (v128.const i32x4 9 9 9 9) (i32.const 1)))
        (func (export "count") (param v128 v128) (result v128) (local $sum v128)
          (loop $again
            (local.set $sum (i32x4.add (local.get $sum) (local.get 1)))
            (local.tee 0 (i32x4.sub (local.get 0) (local.get 1)))
            (br_if $again (v128.any_true)))
          (local.get $sum))
        (func (export "all") (param v128) (result i32)
          (if (result i32) (i16x8.all_true (local.get 0)) (then (i32.const 7)) (else (i32.const 8))))""")
    a, b = (V128.from_lanes("i32x4", [n] * 4) for n in (30, 3))
    assert guest.call("through", a, b, 0).i32x4 == (33,) * 4
    assert guest.call("through", a, b, 1).i32x4 == (27,) * 4
    assert [guest.call("choose", a, b, n) for n in (0, 1)] == [a, b]
    assert [guest.call("select", a, b, n) for n in (0, 1)] == [b, a]
    assert guest.call("count", a, b) == a
    assert [guest.call("all", v) for v in (V128.from_lanes("i16x8", [1] * 8), a)] == [7, 8]
