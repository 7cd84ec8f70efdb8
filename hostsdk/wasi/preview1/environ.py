"""environ_get, environ_sizes_get: environment variables."""

from __future__ import annotations

from hostsdk import Stored, u16, u32

from ..module import host
from ..state import Ctx
from .args import put_strings


@host.function
def environ_sizes_get(ctx: Ctx) -> tuple[u16, Stored[u32], Stored[u32]]:
    """How many variables there are, and how many bytes `NAME=value` takes for all, with their zeros."""
    texts = _texts(ctx)
    return 0, len(texts), sum(len(text) + 1 for text in texts)


@host.function
def environ_get(ctx: Ctx, environ: u32, buf: u32) -> u16:
    """Write `NAME=value` of each variable to `buf`, and pointers to them to `environ`."""
    put_strings(ctx, environ, buf, _texts(ctx))
    return 0


def _texts(ctx: Ctx) -> list[bytes]:
    return [name + b"=" + value for name, value in ctx.state.config.env]
