"""Areas that frames of machine code write their records to when they leave the stack.

An image has one only from the first record until Python has taken the records out, so a process needs as many as it has
threads that are leaving at the same moment, however many executions are suspended.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

from . import abi

#: Of addresses; memory is taken up as far as records have been written.
_SIZE: Final = 1 << 19
#: Bytes of records that an area holds. A spilling function may write more slots than its record has.
ROOM: Final = _SIZE - 8 * abi.SPILL_SIZES[-1]
_LARGEST: Final = 8 + 8 * (abi.MAX_SLOTS + abi.SPILL_SIZES[-1])
_sink = (ctypes.c_char * _LARGEST)()
#: Where records go that there is no area for, as memory is short: nobody reads them, and the execution ends with the
#: error that says so.
SINK: Final = ctypes.addressof(_sink)
#: Areas that are kept for the next who leaves.
KEPT: Final = 4


class Area:
    """Zero pages until something is written to them."""

    def __init__(self) -> None:
        # A process that is forked has pages of its own, as what it runs has frames of its own.
        self._pages = mmap.mmap(-1, _SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._pinned = (ctypes.c_char * _SIZE).from_buffer(self._pages)
        self.address = ctypes.addressof(self._pinned)

    def taken(self, end: int) -> bytes:
        """What lies in it up to the address `end`; nothing where that is before it."""
        return self._pages[: max(end - self.address, 0)]


#: Those that nobody has.
free: list[Area] = []


def take_area() -> Area:
    """An area for the caller alone."""
    try:
        return free.pop()
    except IndexError:
        return Area()


def give_area(area: Area) -> None:
    """The caller has done with it."""
    if len(free) < KEPT:
        free.append(area)
