"""A guest without a program: memory with guards, and host functions called as a guest would, for unit tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from .._context import BlockingContext
from .._embed import Instance
from .._engine import FakeClock, Limits, State, StateError, Unwind
from .._loaded import Module
from .._module import HostModule
from .._restart import Call, Manner
from .scenario import World
from .shim import Import, shim

#: Bytes that stand before and behind every allocation, and what they are.
GUARD = 32
_MARK = 0xA5
#: Where allocations begin: address 0 stays what it is to C.
_BASE = 1024
_PAGE = 65536


class GuardError(AssertionError):
    """A host function wrote beside what it was given."""


class TestGuest:
    """A guest in a test, on the clock of `world`, by default one of its own. A context manager: closing ends the host
    modules' states."""

    __test__ = False

    def __init__(
        self,
        module: Module,
        hosts: Sequence[HostModule[Any]] = (),
        *,
        world: World | None = None,
        limits: Limits | None = None,
    ) -> None:
        self.world = world or World.make()
        self.instance = Instance(module, hosts, limits=limits or Limits(), engine=self.world.engine)
        #: Carries out a call; replaced where calls are made under faults.
        self._carry_out: Callable[[TestGuest, str, Sequence[Any]], Any] = _plainly

    @property
    def clock(self) -> FakeClock:
        """The world's clock."""
        return self.world.clock

    def read(self, addr: int, size: int) -> bytes:
        """A copy of memory. Raises Trap outside of it."""
        return self.instance.memory.read(addr, size)

    def write(self, addr: int, data: bytes) -> None:
        """Write into memory, as the guest itself would. Raises Trap outside of it."""
        self.instance.memory.write(addr, data)

    def state(self, host: HostModule[Any]) -> Any:
        """A host module's state. Raises KeyError for one that the guest was not given."""
        return self.instance.state(host)

    def call(self, name: str, *args: Any) -> Any:
        """Call an export; its result. Raises what `Instance.call` raises."""
        return self._carry_out(self, name, args)

    def close(self) -> None:
        """End the host modules' states and close what is open."""
        self.instance.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


class FakeGuest(TestGuest):
    """Memory that a host function can be tried on, without a guest program.

        guest = FakeGuest(kv)
        key, out = guest.put(b"name"), guest.alloc(64)
        assert guest.call("kv.get", key, 4, out, 64) == 5

    Every piece of memory handed out has guard bytes on both sides, which are looked at after each call.
    """

    def __init__(self, *hosts: HostModule[Any], pages: int = 2, world: World | None = None) -> None:
        if not 1 <= pages <= 127:
            raise ValueError(f"1 to 127 pages of {_PAGE} bytes, not {pages}")
        imports = tuple(
            Import(host.name, name, spec.signature.type) for host in hosts for name, spec in host.functions.items()
        )
        super().__init__(shim(imports, pages), hosts, world=world)
        self._indexes = {each.export: n for n, each in enumerate(imports, 1)}
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

    def index(self, name: str) -> int:
        """The index of a host function in the guest's function table, to be passed where a function takes a FuncRef:
        a host function stands for the guest's own. Raises KeyError."""
        return self._indexes[name]

    def call(self, name: str, *args: Any) -> Any:
        """Call a host function, `module.function`, with WebAssembly values as a guest passes them; its result.

        Raises what the function raises, KeyError for a name that is not there, and GuardError.
        """
        if name not in self._indexes:
            raise KeyError(name)
        try:
            return self._carry_out(self, name, args)
        finally:
            self.check()

    @contextmanager
    def context(self, host: HostModule[Any]) -> Iterator[BlockingContext[Any]]:
        """A context for calling a function of `host` directly, as the Python function that it is:
        `with guest.context(kv) as ctx: get(ctx, "name", …)`.

        It serves plain functions and restartable `def`s: waits are waited for on the world's clock, callbacks are
        called. What would leave the stack, a question say, is a StateError: use `call` for that, and for generators.
        Raises KeyError for a module that the guest was not given.
        """
        binding = next((b for b in self.instance._bindings if b.module is host), None)
        if binding is None:
            raise KeyError(host.name)
        execution = self.instance._store.context()
        ctx: BlockingContext[Any] = BlockingContext(binding, execution)
        call = Call(Manner(f"{host.name} in a test", restartable=True), execution.limits.journal, None, execution)
        ctx._call, ctx._caller = call, self.instance._raw
        execution.state = State.RUNNING
        try:
            yield ctx
        except Unwind:
            says = f"{host.name} in a test: it has to leave the stack, which only a call by a guest can"
            raise StateError(says) from None
        finally:
            if call.record is not None:
                _release(binding, call)
            execution.state, ctx._call = State.RETURNED, None
            self.check()

    def check(self) -> None:
        """Raises GuardError where a guard byte has changed, naming the piece of memory beside it."""
        for addr, size in self._rooms:
            for start, side in ((addr - GUARD, "before"), (addr + size, "behind")):
                found = self.read(start, GUARD)
                if found != bytes([_MARK]) * GUARD:
                    wrong = next(i for i, byte in enumerate(found) if byte != _MARK)
                    raise GuardError(f"byte {start + wrong:#x} was written, {side} the {size} bytes at {addr:#x}")


def _plainly(guest: TestGuest, name: str, args: Sequence[Any]) -> Any:
    return guest.instance.call(name, *args)


def _release(binding: Any, call: Call) -> None:
    """Let go of what the function acquired, newest first."""
    held = call.recorded().held
    while held:
        identity, _ = held.pop()
        binding.resources.close(binding.resources.handle_of(identity))
