"""The same module with `load_call_add` as a plain function instead of a generator.

Where a callback suspends, the function leaves the stack, and is entered again from its first line when the callback is
done: what it read through `ctx`, and what the callbacks gave, it is told again from its journal.
"""

from __future__ import annotations

from hostmod import Operation, load, load_call, take

from hostsdk import BlockingContext, HostModule, Ptr, i32

host = HostModule("my-host-func")
host.function(load)
host.restartable(load_call)


@host.restartable
def load_call_add(ctx: BlockingContext, cursor: Ptr[Ptr[Operation]]) -> i32:
    left = ctx.call(take(cursor), cursor.addr)
    return left + ctx.call(take(cursor), cursor.addr)
