"""Messages between the compiler's process and its user: a length, then the bytes."""

from __future__ import annotations

import json
from io import FileIO
from typing import Final

from .product import Order

#: Reply: the module is not known, or not any more.
WHO: Final = b"?"


def send(to: FileIO, *parts: bytes) -> None:
    """Write a message."""
    rest = memoryview(b"".join([sum(map(len, parts)).to_bytes(8, "little"), *parts]))
    while rest:
        rest = rest[to.write(rest) or 0 :]


def receive(source: FileIO) -> bytes | None:
    """Read a message; None at the end."""
    head = _exactly(source, 8)
    return None if head is None else _exactly(source, int.from_bytes(head, "little"))


def _exactly(source: FileIO, size: int) -> bytes | None:
    parts = []
    while size:
        part = source.read(min(size, 1 << 20))
        if not part:
            return None
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def request(key: int, features: int, order: Order, module: bytes | None) -> bytes:
    """The message that carries an order."""
    parts = [order.level, order.functions, order.points, order.support, order.guard]
    head = json.dumps([key, features, parts, module is not None]).encode()
    return len(head).to_bytes(4, "little") + head + (module or b"")
