"""The compiler as a process of its own: orders in on one pipe, products out on another.

What LLVM takes for a fault of its own ends this process and not the guest's. It ends by itself when nobody wants
anything of it for a while, and when the other end of the pipe is gone.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
from collections import OrderedDict
from io import FileIO
from typing import Final

from ..features import Feature
from ..module import Module
from .abi import BlockLayout
from .build import build
from .product import Order, Product, order_of

#: Seconds without an order after which the process ends.
_IDLE: Final = 30.0
#: Modules that are kept for the next order.
_KEPT: Final = 8
#: Bytes of addresses that the process may use: a function that takes more to compile is not compiled.
_ROOM: Final = 4 << 30
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


def main(level: int) -> None:
    """Serve until the end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if level:
        os.nice(5)
    _limit()
    source, to = FileIO(0, "rb", closefd=False), FileIO(os.dup(1), "wb")
    # Whatever a library prints is not for the pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    layouts: OrderedDict[int, BlockLayout] = OrderedDict()
    while select.select([source], [], [], _IDLE)[0]:
        data = receive(source)
        if data is None:
            return
        send(to, _answer(data, layouts))


def _limit() -> None:
    try:
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (_ROOM if hard < 0 else min(_ROOM, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    except (ImportError, OSError, ValueError):
        pass  # no limits on this system


def _answer(data: bytes, layouts: OrderedDict[int, BlockLayout]) -> bytes:
    size = int.from_bytes(data[:4], "little")
    key, features, parts, given = json.loads(data[4 : 4 + size])
    order = order_of(*parts)
    try:
        if given:
            layouts[key] = BlockLayout(Module.load(data[4 + size :], Feature(features), lazy=True))
            if len(layouts) > _KEPT:
                layouts.popitem(last=False)
        if key not in layouts:
            return WHO
        layouts.move_to_end(key)
        return build(layouts[key], order).pack()
    except Exception as error:  # one of ours: the interpreter carries on
        return Product(order, refused=order, fault=f"{type(error).__name__}: {error}").pack()


if __name__ == "__main__":
    main(int(sys.argv[1]))
