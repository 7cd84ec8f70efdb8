"""args_get, args_sizes_get: the program's arguments."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from hostsdk import Stored, u16, u32

from ..module import host
from ..state import Ctx
from .iovec import require


@host.function
def args_sizes_get(ctx: Ctx) -> tuple[u16, Stored[u32], Stored[u32]]:
    """How many arguments there are, and how many bytes they take with their zeros."""
    args = ctx.state.config.args
    return 0, len(args), sum(len(arg) + 1 for arg in args)


@host.function
def args_get(ctx: Ctx, argv: u32, buf: u32) -> u16:
    """Write the arguments to `buf`, and pointers to them to `argv`."""
    put_strings(ctx, argv, buf, ctx.state.config.args)
    return 0


def put_strings(ctx: Ctx, table: u32, buf: u32, strings: Sequence[bytes]) -> None:
    """Write strings that end with zeros, and a table of pointers to them. Traps before either."""
    data = b"".join(text + b"\0" for text in strings)
    require(ctx, table, 4 * len(strings), 4)
    require(ctx, buf, len(data))
    pointers, at = [], buf
    for text in strings:
        pointers.append(at)
        at += len(text) + 1
    ctx.memory.write(buf, data)
    ctx.memory.write(table, struct.pack(f"<{len(pointers)}I", *pointers))
