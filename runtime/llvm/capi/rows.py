"""Host functions that the machine code of one instance calls straight, and what is left to Python of such calls."""

from __future__ import annotations

import ctypes
import threading
from typing import TYPE_CHECKING, Final

from ...exec.host import end_of_call
from ...instances.direct import Direct
from ...instances.func import HostFunc
from .. import abi
from ..support import HOST, SUPPORT
from . import api, desk, hosts

if TYPE_CHECKING:
    from ...exec.context import ExecContext
    from ..image import Image


#: What no execution has for its address, and a desk without an execution neither.
_NOBODY: Final = 1
_nobody: Final = ctypes.c_uint64()


def direct_of(func: object) -> Direct | None:
    """How a function may be called straight; None where it may not."""
    found: Direct | None = getattr(func.code, "direct", None) if isinstance(func, HostFunc) else None
    return found


def keys_of(image: Image) -> dict[int, str]:
    """The wrappers that an instance needs for the host functions that it imports, by their index."""
    found = {}
    for index in range(image.instance.module.imported_funcs):
        func = image.instance.funcs[index]
        direct = direct_of(func)
        key = None if direct is None else hosts.key_of(direct.shape, direct.takes_context)
        if direct is not None and key is not None and direct.shape.functype() == func.type:
            found[index] = HOST + key
    return found


class Row:
    """One function."""

    def __init__(self, image: Image, func: HostFunc, direct: Direct, bridge: int) -> None:
        self.direct = direct
        self.func = func
        self._image = image
        self._context: object = None
        self._border: ExecContext | None = None
        # What code knows by its address has to stay.
        self._fn, self._now, self._odd = direct.fn, direct.now, self.odd
        memory = direct.memory(image.instance)
        region = None if memory is None or memory.shared or memory not in image.instance.memories else memory.region
        self.words: Final = {
            desk.FN: id(self._fn),
            desk.BORDER: _NOBODY,
            desk.CALLER: ctypes.addressof(_nobody),
            desk.NOW: id(self._now),
            desk.ODD: id(self._odd),
            desk.BRIDGE: bridge,
            desk.MEMORY: 0 if region is None else region.cell_address,
        }

    def meet(self, ctx: ExecContext) -> dict[int, int]:
        """The function has been called in this execution, and nearly always the next call will be, too: what code has
        to know of the context for that."""
        if not self.direct.takes_context:
            return {}
        context = self.direct.context(ctx)
        context._caller = self._image.instance
        if self._border is ctx:
            return {}
        self._context, self._border = context, ctx
        return {
            desk.CONTEXT: id(context),
            desk.BORDER: id(ctx),
            desk.CALL: api.slot(context, "_call"),
            desk.CALLER: api.slot(context, "_caller"),
        }

    def odd(self, inside: int, *value: object) -> None:
        """The function raised something, or gave what isn't usual; `inside` as the desk had it."""
        image = self._image
        if image.ways is not None and image.ways.called:
            image.ways.board()
        ctx = image.running()
        if inside == 2 and image.ways is not None:
            image.ways.unsettle(ctx)
        with end_of_call(ctx, self.func):
            results = self.direct.results(ctx, *value) if value else self.direct.failed(image.error(abi.RAISED))
        image.rows(self.func.type)[1].put(image.room, results, image.refs)
        image.listen()


class Rows:
    """All of them, for the desk."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._words = desk.words(desk.ROW_SIZE * max(image.instance.module.imported_funcs, 1))
        self.address = ctypes.addressof(self._words)
        self._rows: dict[int, Row] = {}
        self._linking = threading.Lock()
        self.wanted = keys_of(image)

    def link(self) -> dict[int, int]:
        """Functions that can be called straight from now on, by index, with the address of their wrapper."""
        with self._linking:  # the compiler's thread may be at it, and of two rows one would go
            return self._link()

    def _link(self) -> dict[int, int]:
        image, found = self._image, {}
        for index, key in self.wanted.items():
            if index in self._rows or SUPPORT.missing([key]):
                continue
            func = image.instance.funcs[index]
            direct = direct_of(func)
            if direct is None or not isinstance(func, HostFunc):
                continue
            bridge = SUPPORT.ways(abi.signature_key(func.type))[1]
            row = self._rows[index] = Row(image, func, direct, bridge)
            self._write(index, row.words)
            found[index] = SUPPORT.ways(key)[0]
        return found

    def meet(self, index: int, ctx: ExecContext) -> None:
        """A function was called by the long way."""
        row = self._rows.get(index)
        if row is not None:
            self._write(index, row.meet(ctx))

    def _write(self, index: int, words: dict[int, int]) -> None:
        for offset, value in words.items():
            self._words[(desk.ROW_SIZE * index + offset) // 8] = value
