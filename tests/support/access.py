"""A guest for tests without an engine: bytes, a function table, and a log of what was done to it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import attrs

from hostsdk._engine import FuncType, Trap, TrapCode, ValType, Value


@attrs.define
class FakeAccess:
    """An `Access` to `data`. `log` has an entry for each write."""

    data: bytearray = attrs.field(factory=lambda: bytearray(65536))
    log: list[tuple[int, bytes]] = attrs.field(factory=list)
    reads: int = 0
    wide: bool = False

    def read(self, addr: int, size: int) -> bytes:
        self.reads += 1
        self._inside(addr, size)
        return bytes(self.data[addr : addr + size])

    def write(self, addr: int, data: bytes) -> None:
        self._inside(addr, len(data))
        self.log.append((addr, data))
        self.data[addr : addr + len(data)] = data

    def size(self) -> int:
        return len(self.data)

    def reference(self, type_: ValType, value: Value) -> object:
        return value

    def function(self, index: int, type_: FuncType) -> object:
        raise Trap(TrapCode.NO_TABLE)

    @contextmanager
    def view(self, addr: int, size: int) -> Iterator[memoryview]:
        self._inside(addr, size)
        with memoryview(self.data)[addr : addr + size] as view:
            yield view

    def _inside(self, addr: int, size: int) -> None:
        if addr < 0 or size < 0 or addr + size > len(self.data):
            raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY)
