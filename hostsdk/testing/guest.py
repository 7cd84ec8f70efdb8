"""A guest without a program: memory with guards, and host functions called as a guest would, for unit tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from .._context import Context
from .._embed import Instance, Module
from .._engine import Func
from .._module import HostModule
from .._restart import Call, Manner

#: Bytes that stand before and behind every allocation, and what they are.
GUARD = 32
_MARK = 0xA5
#: Where allocations begin: address 0 stays what it is to C.
_BASE = 1024
_PAGE = 65536


class GuardError(AssertionError):
    """A host function wrote beside what it was given."""


class FakeGuest:
    """Memory that a host function can be tried on, without a guest program.

        guest = FakeGuest(kv)
        key, out = guest.put(b"name"), guest.alloc(64)
        assert guest.call("kv.get", key, 4, out, 64) == 5

    Every piece of memory handed out has guard bytes on both sides, which are looked at after each call. A context
    manager: closing ends the host modules' states.
    """

    def __init__(self, *hosts: HostModule[Any], pages: int = 2) -> None:
        self.instance = Instance(Module.from_bytes(_module(pages)), hosts)
        self._next = _BASE
        self._rooms: list[tuple[int, int]] = []

    def alloc(self, size: int, align: int = 8) -> int:
        """The address of `size` bytes of zero, a multiple of `align`. Raises MemoryError where there is no room."""
        addr = self._next + GUARD + align - 1 & -align
        end = addr + size + GUARD
        if end > len(self.instance.memory):
            raise MemoryError(f"no room for {size} bytes: make the guest with more pages")
        self.instance.memory.write(addr - GUARD, bytes([_MARK]) * GUARD + bytes(size) + bytes([_MARK]) * GUARD)
        self._rooms.append((addr, size))
        self._next = end
        return addr

    def put(self, data: bytes, align: int = 8) -> int:
        """The address of a copy of `data`."""
        addr = self.alloc(len(data), align)
        self.instance.memory.write(addr, data)
        return addr

    def read(self, addr: int, size: int) -> bytes:
        """A copy of memory. Raises Trap outside of it."""
        return self.instance.memory.read(addr, size)

    def call(self, name: str, *args: int | float) -> Any:
        """Call a host function, `module.function`, with WebAssembly values as a guest passes them; its result.

        Raises what the function raises, KeyError for a name that is not there, and GuardError.
        """
        module, _, function = name.rpartition(".")
        bound = self.instance._functions[module, function]
        try:
            return Func(bound.func, self.instance._store).call(*args)
        finally:
            self.check()

    @contextmanager
    def context(self, host: HostModule[Any]) -> Iterator[Context[Any]]:
        """A context for calling a plain function of `host` directly, as the Python function that it is:
        `with guest.context(kv) as ctx: get(ctx, "name", …)`. Raises KeyError for a module that the guest was not given.
        """
        binding = next((b for b in self.instance._bindings if b.module is host), None)
        if binding is None:
            raise KeyError(host.name)
        ctx: Context[Any] = Context(binding, self.instance._store.context())
        ctx._call = Call(Manner(f"{host.name} in a test"))
        try:
            yield ctx
        finally:
            ctx._call = None
            self.check()

    def check(self) -> None:
        """Raises GuardError where a guard byte has changed, naming the piece of memory beside it."""
        for addr, size in self._rooms:
            for start, side in ((addr - GUARD, "before"), (addr + size, "behind")):
                found = self.read(start, GUARD)
                if found != bytes([_MARK]) * GUARD:
                    wrong = next(i for i, byte in enumerate(found) if byte != _MARK)
                    raise GuardError(f"byte {start + wrong:#x} was written, {side} the {size} bytes at {addr:#x}")

    def close(self) -> None:
        """End the host modules' states and close what is open."""
        self.instance.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _module(pages: int) -> bytes:
    """A module that has a memory, exports it, and does nothing."""
    if not 1 <= pages <= 127:
        raise ValueError(f"1 to 127 pages of {_PAGE} bytes, not {pages}")
    memory = bytes([5, 3, 1, 0, pages])
    export = bytes([7, 10, 1, 6]) + b"memory" + bytes([2, 0])
    return b"\0asm\1\0\0\0" + memory + export
