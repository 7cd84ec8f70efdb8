"""Module "my-host-func": three functions that the guest imports, two of which call the guest back."""

from __future__ import annotations

from typing import TypeVar

from hostsdk import BlockingContext, Context, FuncRef, HostModule, Ptr, Steps, call, i32, tail_call, u32

T = TypeVar("T")
#: One of the guest's functions, as the tree names them: it is given the address of the cursor.
Operation = FuncRef[[u32], i32]

host = HostModule("my-host-func")


def take(cursor: Ptr[Ptr[T]]) -> T:
    """The word under the cursor, which moves on to the next one."""
    word = cursor.load()
    cursor.store(word.offset(1))
    return word.load()


@host.function
def load(ctx: Context, cursor: Ptr[Ptr[u32]]) -> u32:
    return take(cursor)


@host.restartable
def load_call(ctx: BlockingContext, cursor: Ptr[Ptr[Operation]]) -> i32:
    return tail_call(take(cursor), cursor.addr)


# [load_call_add]
@host.restartable
def load_call_add(ctx: Context, cursor: Ptr[Ptr[Operation]]) -> Steps[i32]:
    total = 0
    for _ in range(2):
        total += yield from call(take(cursor), cursor.addr)
    return total
