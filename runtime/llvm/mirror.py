"""What machine code sees of globals and tables: cells, and pictures of tables of functions."""

from __future__ import annotations

import ctypes
import itertools
import threading
from typing import TYPE_CHECKING, cast

from ..instances.func import HostFunc, WasmFunc
from ..instances.small import GlobalInst, SharedGlobal, share
from ..instances.table import TableInst
from ..types import F32, F64, FuncType
from ..values import Value, f32_from_bits, f32_to_bits

if TYPE_CHECKING:
    from .image import Image

_numbers: dict[FuncType, int] = {}
_lock = threading.Lock()
_count = itertools.count(1)


def type_number(type_: FuncType) -> int:
    """A number for a function type, the same for equal types all over the process; never 0."""
    found = _numbers.get(type_)
    if found is None:
        with _lock:
            found = _numbers.get(type_)
            if found is None:
                found = _numbers[type_] = next(_count)
    return found


class Mirror:
    """A table of functions as calls see it: for each entry the number of its type (0 for null), its index, and the
    block of its instance (0 where Python has to make the call). `cell` holds the address and the number of entries."""

    def __init__(self, table: TableInst) -> None:
        self._table = table
        self._room = bytearray(16)
        self._words = memoryview(self._room).cast("Q")
        self.cell = (ctypes.c_uint64 * 2)()
        self.changed(0, len(table.elems))

    @property
    def address(self) -> int:
        """Of the cell."""
        return ctypes.addressof(self.cell)

    def changed(self, first: int, count: int) -> None:
        """Look at these entries again."""
        elems = self._table.elems
        if len(elems) != self.cell[1] or not self.cell[0]:
            self._resize(len(elems))
        words = self._words
        for index in range(first, min(first + count, len(elems))):
            func = elems[index]
            entry = owner = 0
            if isinstance(func, WasmFunc):
                image = cast("Image | None", func.instance.native)
                if image is None:
                    entry = type_number(func.type) | func.code.index << 32
                else:
                    entry, owner = image.base.entries[func.code.index], image.address
            elif isinstance(func, HostFunc):
                entry = type_number(func.type)
            words[2 * index] = entry
            words[2 * index + 1] = owner

    def _resize(self, count: int) -> None:
        # A fresh buffer, since the old one's address has been handed out: its size is fixed as long as it lives.
        room = bytearray(16 * count + 16)
        room[: min(len(self._room), 16 * count)] = self._room[: 16 * count]
        self._room = room
        self._words = memoryview(room).cast("Q")
        self._pinned = (ctypes.c_char * len(room)).from_buffer(room)
        self.cell[0] = ctypes.addressof(self._pinned)
        self.cell[1] = count


def mirror_of(table: TableInst) -> Mirror:
    """The mirror of a table, as of now: instances may have got a block since it was last looked at."""
    if isinstance(table.watch, Mirror):
        table.watch.changed(0, len(table.elems))
    else:
        table.watch = Mirror(table)
    return table.watch


def shared(global_: GlobalInst) -> SharedGlobal:
    """The global, with its value in a cell from now on."""
    if isinstance(global_, SharedGlobal):
        return global_
    cell = (ctypes.c_uint64 * 1)()
    type_ = global_.type.content
    if type_ is F64:
        real = ctypes.c_double.from_buffer(cell)

        def get() -> Value:
            return real.value

        def put(value: Value) -> None:
            real.value = cast("float", value)
    elif type_ is F32:

        def get() -> Value:
            return f32_from_bits(cell[0])

        def put(value: Value) -> None:
            cell[0] = f32_to_bits(cast("float", value))
    else:

        def get() -> Value:
            return cell[0]

        def put(value: Value) -> None:
            cell[0] = cast("int", value)

    return share(global_, get, put, ctypes.addressof(cell), cell)
