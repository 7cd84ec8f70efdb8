"""Atomic accesses as data (threads proposal, 4.4): read, change and write as one step, in one order for all threads.

Python needs several steps for a read-modify-write, and on a free-threaded build for less. So each is done under a lock
that belongs to the address (a *stripe*: addresses share a number of locks). Machine code knows no such locks and uses
the processor's own atomic instructions; once there is machine code for a memory, so does everybody: `machine` is set,
and whoever has got a stripe looks at it again before doing anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from ..errors import Trap, TrapCode

if TYPE_CHECKING:
    from .memory import MemInst


class Machine(Protocol):
    """Atomic accesses by the processor. Addresses are the process's; numbers are unsigned, `width` is in bytes."""

    def load(self, width: int, address: int) -> int: ...
    def store(self, width: int, address: int, value: int) -> None: ...
    def update(self, operation: str, width: int, address: int, value: int) -> int: ...
    def cmpxchg(self, width: int, address: int, expected: int, value: int) -> int: ...


_STRIPES: Final = tuple(threading.Lock() for _ in range(64))
_UPDATES: Final[dict[str, Callable[[int, int], int]]] = {
    "add": lambda old, value: old + value,
    "sub": lambda old, value: old - value,
    "and": lambda old, value: old & value,
    "or": lambda old, value: old | value,
    "xor": lambda old, value: old ^ value,
    "xchg": lambda old, value: value,
}


def stripe(address: int) -> threading.Lock:
    """The lock of an address. One access touches one aligned group of eight bytes."""
    return _STRIPES[address >> 3 & 63]


def require(memory: MemInst, address: int, width: int) -> None:
    """Trap unless an atomic access of `width` bytes may be made at `address`."""
    if address & width - 1:
        raise Trap(TrapCode.UNALIGNED_ATOMIC)
    memory.check(address, width)


def load(memory: MemInst, address: int, width: int) -> int:
    """The number at `address`. Traps."""
    require(memory, address, width)
    with stripe(address):
        if memory.machine is not None:
            return memory.machine.load(width, memory.place(address))
        return _get(memory, address, width)


def store(memory: MemInst, address: int, width: int, value: int) -> None:
    """Put the lowest bytes of `value` there. Traps."""
    require(memory, address, width)
    with stripe(address):
        if memory.machine is not None:
            memory.machine.store(width, memory.place(address), value)
        else:
            _put(memory, address, width, value)


def update(memory: MemInst, address: int, width: int, operation: str, value: int) -> int:
    """Change the number by one of add, sub, and, or, xor, xchg; what it was. Traps."""
    require(memory, address, width)
    with stripe(address):
        if memory.machine is not None:
            return memory.machine.update(operation, width, memory.place(address), value)
        old = _get(memory, address, width)
        _put(memory, address, width, _UPDATES[operation](old, value))
        return old


def cmpxchg(memory: MemInst, address: int, width: int, expected: int, value: int) -> int:
    """Put `value` there if the number is `expected`; what it was. Of both, the lowest bytes count. Traps."""
    require(memory, address, width)
    expected &= (1 << 8 * width) - 1
    with stripe(address):
        if memory.machine is not None:
            return memory.machine.cmpxchg(width, memory.place(address), expected, value)
        old = _get(memory, address, width)
        if old == expected:
            _put(memory, address, width, value)
        return old


def use_machine(memory: MemInst, machine: Machine) -> None:
    """From now on atomic accesses are the processor's. Whoever is in the midst of one comes to its end before."""
    for lock in _STRIPES:
        lock.acquire()
    try:
        memory.machine = machine
    finally:
        for lock in _STRIPES:
            lock.release()


def _get(memory: MemInst, address: int, width: int) -> int:
    return int.from_bytes(memory.data[address : address + width], "little")


def _put(memory: MemInst, address: int, width: int, value: int) -> None:
    cut = value & (1 << 8 * width) - 1
    memory.data[address : address + width] = cut.to_bytes(width, "little")
