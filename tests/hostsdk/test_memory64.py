"""Host functions beside a guest with 64-bit addresses: the ones written for any guest, and addresses as numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import attrs
import pytest

from hostsdk import (
    BlockingContext,
    ByteList,
    Bytes,
    Context,
    CStr,
    FuncRef,
    HostModule,
    OutBuffer,
    OutBuffers,
    Ptr,
    Steps,
    Stored,
    Str,
    Trap,
    TrapCode,
    UnlinkableError,
    call,
    i32,
    isize,
    u32,
    u64,
    usize,
)
from hostsdk.testing import explore
from tests.support.inject import guest, scene

TEXT = """(import "h" "total" (func $sum (param i64 i64) (result i64))) (memory (export "memory") i64 1)
    (func (export "run") (param i64 i64) (result i64)
      (i32.store (i64.const 8) (i32.const 40)) (i32.store (i64.const 12) (i32.const 2))
      (i64.add (call $sum (local.get 0) (local.get 1)) (i64.load (i64.const 16))))"""

host = HostModule("h")


@host.function
def total(ctx: Context, at: u64, count: u64) -> u64:
    cells = [ctx.memory.pointer(Ptr[u32], at + 4 * n).load() for n in range(count)]
    ctx.memory.write(16, len(cells).to_bytes(8, "little"))
    return sum(cells)


def test_memory_is_reached_by_wide_addresses() -> None:
    """An address is a u64 like any other number; what it points to is read and written as in any memory."""
    assert guest(TEXT, host).call("run", 8, 2) == 44
    explore(scene(TEXT, host, call="run", args=(8, 2)))


@pytest.mark.parametrize("at", [1 << 16, 1 << 40, -4])
def test_what_lies_outside_traps(at: int) -> None:
    """No address is cut to 32 bits on its way."""
    with pytest.raises(Trap) as caught:
        guest(TEXT, host).call("run", at, 1)
    assert caught.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY


# One host module for guests of both kinds -----------------------------------------------------------------------------

lib = HostModule("lib")
malloc = lib.guest("malloc", FuncRef[[usize], usize])


@attrs.frozen
class Node:
    """C's struct of an int, a string and a pointer to the next: another layout for each kind of guest."""

    number: i32
    name: Ptr[u32]
    next: Ptr[Node] | None


@lib.function
def spans(ctx: Context, name: Str, data: Bytes, end: CStr, out: OutBuffer, size: usize) -> isize:
    out[:size].fill(f"{name}{end}".encode()[:size])
    return -len(data)


@lib.function
def gather(ctx: Context, given: ByteList, rooms: OutBuffers) -> i32:
    rooms[0].fill(b"".join(given))
    return len(given)


@lib.restartable
def walk(ctx: BlockingContext, head: Ptr[Node], total: Ptr[usize], f: FuncRef[[Ptr[u32]], i32]) -> Stored[u64]:
    node, found = head.load(), 0
    while True:
        found += node.number + ctx.call(f, node.name)
        ctx.sleep(1)
        if node.next is None:
            break
        node = node.next.load()
    total.store(found)
    return found


@lib.restartable
def room(ctx: Context, size: usize) -> Steps[usize]:
    addr = yield from call(malloc, size)
    ctx.memory.pointer(Ptr[Ptr[u32]], addr).store(ctx.memory.pointer(Ptr[u32], addr))
    return addr


def both(wide: bool) -> str:
    """A guest whose addresses are `I`, pointers `P` bytes apart."""
    index, pointer = ("i64", 8) if wide else ("i32", 4)
    source = r"""
    (import "lib" "spans" (func $spans (param I I I I I I I I) (result I)))
    (import "lib" "gather" (func $gather (param I I I I) (result i32)))
    (import "lib" "walk" (func $walk (param I I I I)))
    (import "lib" "room" (func $room (param I) (result I)))
    (memory (export "memory") TYPE 1)
    (table (export "__indirect_function_table") TYPE 2 funcref) (elem (I.const 1) func $value)
    (func (export "malloc") (param I) (result I) (I.add (local.get 0) (I.const 1000)))
    (func $value (param I) (result i32) (i32.load (local.get 0)))
    (data (I.const 16) "name\00") (data (I.const 400) "\1e")
    (func $node (param $at I) (param $number i32) (param $next I)
      (i32.store (local.get $at) (local.get $number))
      (I.store offset=P (local.get $at) (I.const 400))
      (I.store offset=P2 (local.get $at) (local.get $next)))
    (func (export "spans") (result I)
      (call $spans (I.const 16) (I.const 4) (I.const 16) (I.const 3) (I.const 16) (I.const 64) (I.const 9) (I.const 6)))
    (func (export "gather") (result i32)
      (I.store (I.const 200) (I.const 16)) (I.store offset=P (I.const 200) (I.const 2))
      (I.store offset=P2 (I.const 200) (I.const 18)) (I.store offset=P3 (I.const 200) (I.const 2))
      (I.store (I.const 256) (I.const 64)) (I.store offset=P (I.const 256) (I.const 9))
      (call $gather (I.const 200) (I.const 2) (I.const 256) (I.const 1)))
    (func (export "walk") (result i32)
      (call $node (I.const 512) (i32.const 5) (I.const 600)) (call $node (I.const 600) (i32.const 6) (I.const 0))
      (call $walk (I.const 512) (I.const 640) (I.const 1) (I.const 648))
      (i32.add (i32.load (I.const 640)) (i32.load (I.const 648))))
    (func (export "room") (result I)
      (I.load (call $room (I.const 24))))"""
    for word, by in (("P3", 3 * pointer), ("P2", 2 * pointer), ("P", pointer)):
        source = source.replace(f"offset={word} ", f"offset={by} ")
    return re.sub(r"\bI\b", index, source.replace("TYPE", "i64" if wide else ""))


WIDTHS = pytest.mark.parametrize("wide", [False, True], ids=["32 bits", "64 bits"])


@WIDTHS
@pytest.mark.parametrize(("name", "result"), [("spans", -3), ("gather", 2), ("walk", 142), ("room", 1024)])
def test_one_module_serves_guests_of_both_kinds(wide: bool, name: str, result: int) -> None:
    """BEHAVIOURS 16: pointers, texts, buffers and C's sizes are as wide as the guest's addresses, in records and behind
    pointers, too; the same at every check point."""
    inst = guest(both(wide), lib)
    assert inst.call(name) == result
    if name in ("spans", "gather"):
        assert inst.memory.read(64, 9) == {"spans": b"namena\0\0\0", "gather": b"name" + bytes(5)}[name]
    explore(scene(both(wide), lib, call=name))


def test_pointers_of_mixed_width_are_refused() -> None:
    """A function is for one kind of guest or the other, as a whole."""
    with pytest.raises(UnlinkableError, match="incompatible import type"):
        guest('(import "lib" "room" (func (param i64) (result i32)))', lib)


@pytest.mark.parametrize("args", [(1 << 40, 4), (16, 1 << 40), (16, -1), (-8, 16)])
def test_wide_spans_are_checked(args: Sequence[Any]) -> None:
    """No address or length is cut to 32 bits on its way; what lies outside is a trap before the function is entered."""
    made = HostModule("h")

    @made.function
    def take(ctx: Context, data: Bytes) -> i32:
        raise AssertionError("entered")

    source = """(import "h" "take" (func $take (param i64 i64) (result i32))) (memory (export "memory") i64 1)
        (func (export "run") (param i64 i64) (result i32) (call $take (local.get 0) (local.get 1)))"""
    with pytest.raises(Trap) as caught:
        guest(source, made).call("run", *args)
    assert caught.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY
