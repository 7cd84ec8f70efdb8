"""Coroutines as host functions: what they await has the types that it has in generators."""

from __future__ import annotations

import asyncio
from typing import assert_type

from hostsdk import Context, FuncRef, HostModule, Instance, Module, block_until, call, u32

lib = HostModule("lib")
malloc = lib.guest("malloc", FuncRef[[u32], u32])


@lib.restartable(repeat=True)
async def greet_async(ctx: Context) -> u32:
    await asyncio.sleep(0.1)
    assert_type(await block_until(timeout=1.0), bool)
    assert_type(await call(malloc, 5), int)
    return await call(malloc, 5)


async def many(module: Module, count: int) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            instance = await Instance.create(module, [lib])
            assert_type(instance, Instance)
            group.create_task(instance.call_async("run", number, timeout=2.0))
