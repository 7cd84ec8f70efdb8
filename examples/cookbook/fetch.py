"""Fetch from the web: a coroutine that goes on while its guest is suspended, and a body behind a handle."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import urlsplit

import attrs

from hostsdk import ERRNO_NEGATIVE, Context, HostModule, Instance, OutBuffer, Str, i32

# [functions]
web = HostModule("web", errors=ERRNO_NEGATIVE)


@attrs.define
class Body:
    """What has been fetched, and what of it is still to be read."""

    rest: bytes

    def take(self, room: int) -> bytes:
        part, self.rest = self.rest[:room], self.rest[room:]
        return part


web.resource(Body, save=lambda body: body.rest, load=lambda state, rest: Body(rest))


@web.restartable
async def fetch(ctx: Context, url: Str) -> i32:
    """Fetch a page; a handle for `read`. The guest waits as long as that takes, or until it is stopped."""
    return ctx.resources.add(Body(await get(url)))


@web.function
def read(ctx: Context, handle: i32, out: OutBuffer) -> i32:
    """Put what comes next into the buffer: its length, 0 at the end."""
    body = ctx.resources.get(handle, Body)
    return out.fill(body.take(len(out)))


@web.function
def close(ctx: Context, handle: i32) -> None:
    ctx.resources.close(handle)


async def get(url: str) -> bytes:
    """A page by the plainest of clients; any that an event loop has may stand here."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
    try:
        writer.write(f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.hostname}\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    finally:
        writer.close()
    if head.split(None, 2)[1:2] != [b"200"]:
        raise FileNotFoundError(url)
    return body


# [embedding]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server for the guest to ask."""
    line = await reader.readline()
    await reader.readuntil(b"\r\n\r\n")
    found = b"GET /page " in line
    writer.write(b"HTTP/1.0 200 OK\r\n\r\nhello from a server" if found else b"HTTP/1.0 404 Not Found\r\n\r\n")
    writer.close()


async def ask() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    async with server:
        with Instance.from_file(Path(__file__).with_suffix(".wasm"), [web]) as inst:
            for page in ("page", "nothing"):
                url = f"http://{host}:{port}/{page}".encode()
                inst.memory.write(16, url)
                size = await inst.call_async("load", len(url))
                print(f"{page}:", size, inst.memory.read(1024, max(size, 0)))


def main() -> None:
    asyncio.run(ask())


if __name__ == "__main__":
    main()
