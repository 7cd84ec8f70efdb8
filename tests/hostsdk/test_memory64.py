"""Host functions beside a guest with 64-bit addresses: numbers as they are, memory by `ctx.memory`."""

from __future__ import annotations

import pytest

from hostsdk import Context, HostModule, Ptr, Trap, TrapCode, u32, u64
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
