"""The compiler as a process of its own: orders in on one pipe, products out on another.

What LLVM takes for a fault of its own ends this process and not the guest's. It ends by itself when nobody wants
anything of it for a while, and when the other end of the pipe is gone.
"""

from __future__ import annotations

import gc
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
from .backend import begin
from .build import build
from .product import Product, order_of
from .wire import WHO, receive, send

#: Seconds without an order after which the process ends.
_IDLE: Final = 30.0
#: Modules that are kept for the next order.
_KEPT: Final = 8
#: Bytes of addresses that the process may use: a function that takes more to compile is not compiled.
_ROOM: Final = 4 << 30

def main(level: int) -> None:
    """Serve until the end."""
    # What has been imported stays; looking through it for garbage would take longer than a function takes to compile.
    gc.freeze()
    gc.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _limit()
    source, to = FileIO(0, "rb", closefd=False), FileIO(os.dup(1), "wb")
    # Whatever a library prints is not for the pipe.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    layouts: OrderedDict[int, BlockLayout] = OrderedDict()
    begin(level)  # the first order may be a while
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
