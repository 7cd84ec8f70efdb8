"""`hostsdk.testing.FakeGuest`: host functions tried without a guest program."""

from __future__ import annotations

import pytest

from hostsdk import (
    BlockingContext,
    Context,
    ExternRef,
    HostModule,
    I31Ref,
    OutBuffer,
    StateError,
    Str,
    Struct,
    StructRef,
    Trap,
    TypedFuncRef,
    i32,
    u32,
)
from hostsdk.testing import FakeGuest, GuardError

kv: HostModule[dict[str, bytes]] = HostModule("kv", state=lambda: {"name": b"hello"})


@kv.function
def get(ctx: Context[dict[str, bytes]], key: Str, out: OutBuffer) -> i32:
    """The bug-free one."""
    found = ctx.state.get(key)
    return -1 if found is None else out.fill(found)


@kv.function
def careless(ctx: Context[dict[str, bytes]], addr: u32, size: u32) -> i32:
    """Writes one byte too many."""
    ctx.memory.write(addr, bytes(size + 1))
    return 0


def test_a_function_is_called_as_a_guest_calls_it() -> None:
    """WebAssembly values go in, through the signature; the result and the memory can be looked at."""
    with FakeGuest(kv) as guest:
        key, out = guest.put(b"name"), guest.alloc(16)
        assert guest.call("kv.get", key, 4, out, 16) == 5
        assert guest.read(out, 6) == b"hello\0"
        assert guest.call("kv.get", key, 2, out, 16) == -1
        with pytest.raises(Trap):
            guest.call("kv.get", key, 1 << 20, out, 16)
        with pytest.raises(KeyError):
            guest.call("kv.put")


def test_a_byte_beside_is_noticed() -> None:
    """A write that goes one byte too far is an error that says where."""
    with FakeGuest(kv) as guest:
        first, second = guest.alloc(8), guest.alloc(8)
        with pytest.raises(GuardError, match=f"byte {first + 8:#x} was written, behind the 8 bytes at {first:#x}"):
            guest.call("kv.careless", first, 8)
        assert second > first


def test_a_function_is_called_as_the_python_function_that_it_is() -> None:
    """A context made for a test serves a plain function, and is refused afterwards."""
    with FakeGuest(kv) as guest:
        out = guest.alloc(16)
        with guest.context(kv) as ctx:
            assert get(ctx, "name", OutBuffer(out, 16, ctx)) == 5
        assert guest.read(out, 5) == b"hello"
        with pytest.raises(StateError):
            _ = ctx.memory
        with pytest.raises(KeyError), guest.context(HostModule("other")):
            pass


def test_memory_ends() -> None:
    """Allocations are aligned, and more than there is is a MemoryError."""
    with FakeGuest(kv, pages=1) as guest:
        assert guest.alloc(3, 64) % 64 == 0
        with pytest.raises(MemoryError):
            guest.alloc(1 << 16)
    with pytest.raises(ValueError, match="1 to 127 pages"):
        FakeGuest(kv, pages=0)


def test_references_are_passed() -> None:
    """Functions with references of all kinds can be tried; one that stands for the guest's is another host function."""
    made = HostModule("h")

    @made.restartable
    def twice(ctx: BlockingContext, f: TypedFuncRef[[i32], i32], g: TypedFuncRef[[StructRef], None] | None) -> i32:
        return ctx.call(f, ctx.call(f, 1))

    @made.function
    def more(ctx: Context, n: i32) -> i32:
        return n + 10

    @made.function
    def back(ctx: Context, n: I31Ref, it: ExternRef, point: Struct | None) -> ExternRef:
        return it if point is None else n

    with FakeGuest(made) as guest:
        assert guest.call("h.twice", guest.instance.exports["h.more"].func, None) == 21
        assert guest.call("h.back", 5, thing := object(), None) is thing
