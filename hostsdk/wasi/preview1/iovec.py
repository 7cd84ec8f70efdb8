"""Lists of buffers in the guest's memory: read once, checked whole, before any effect."""

from __future__ import annotations

import struct
from typing import TypeAlias

from hostsdk import Trap, TrapCode

from ..errno import invalid
from ..state import BlockingCtx, Ctx

#: Buffers in one list at most, as POSIX's IOV_MAX.
MOST = 1024
#: Bytes copied from the guest at a time.
CHUNK = 1 << 16

#: Addresses and sizes.
Buffers: TypeAlias = "list[tuple[int, int]]"


def require(ctx: Ctx | BlockingCtx, addr: int, size: int, align: int = 1) -> None:
    """Trap unless `size` bytes at `addr` lie in the memory, at a multiple of `align`."""
    if addr + size > len(ctx.memory):
        raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY, f"{size} bytes at {addr:#x} lie outside of the memory")
    if addr % align:
        raise Trap(TrapCode.UNALIGNED, f"{addr:#x} is not a multiple of {align}")


def buffers(ctx: Ctx | BlockingCtx, addr: int, count: int) -> Buffers:
    """The list of `count` buffers at `addr`. Raises EINVAL for too many; traps where the list or a buffer lies outside
    of the memory."""
    require(ctx, addr, 8 * count, 4)
    if count > MOST:
        raise invalid(f"{count} buffers are more than {MOST}")
    found = list(struct.iter_unpack("<II", ctx.memory.read(addr, 8 * count)))
    size = len(ctx.memory)
    for start, length in found:
        if start + length > size:
            raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY, f"{length} bytes at {start:#x} lie outside of the memory")
    if total(found) >= 1 << 32:
        raise invalid("the buffers hold more bytes than can be counted")
    return found


def total(found: Buffers) -> int:
    """How many bytes the buffers hold."""
    return sum(length for _, length in found)


def gather(ctx: Ctx | BlockingCtx, found: Buffers, skip: int, most: int = CHUNK) -> bytes:
    """Up to `most` bytes of the buffers, from byte number `skip` on. Inside an attempt nothing of it is journaled."""
    parts: list[bytes] = []
    for start, length in found:
        if skip >= length:
            skip -= length
            continue
        part = ctx.memory.read(start + skip, min(length - skip, most))
        parts.append(part)
        skip, most = 0, most - len(part)
        if not most:
            break
    return b"".join(parts)


def scatter(ctx: Ctx | BlockingCtx, found: Buffers, data: bytes, skip: int = 0) -> int:
    """Fill the buffers with `data`, one after the other, from byte number `skip` on; how many bytes."""
    at = 0
    for start, length in found:
        if at >= len(data):
            break
        if skip >= length:
            skip -= length
            continue
        part = data[at : at + length - skip]
        ctx.memory.write(start + skip, part)
        at += len(part)
        skip = 0
    return len(data)
