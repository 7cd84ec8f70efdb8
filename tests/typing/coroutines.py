"""Coroutines as host functions: the types accept them, although registration does not."""

from __future__ import annotations

from hostsdk import Context, FuncRef, HostModule, call, u32

lib = HostModule("lib")
malloc = lib.guest("malloc", FuncRef[[u32], u32])


@lib.restartable(repeat=True)
async def greet_async(ctx: Context) -> u32:
    return await call(malloc, 5)
