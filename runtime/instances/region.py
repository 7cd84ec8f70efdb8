"""A range of addresses that a memory may grow into without moving: reserved at once, made accessible as it grows.

Machine code keeps the address of a memory for as long as it runs. Untouched pages of the range cost no memory.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, cast

from .. import lean
from ..limits import PAGE
from ..types import I32, MemoryType

if TYPE_CHECKING:
    import ctypes
    import mmap

_NORESERVE: Final = 0x4000  # MAP_NORESERVE of Linux; Python names it from 3.13 on
_READ, _WRITE = 1, 2  # PROT_READ and PROT_WRITE, the same on all systems
#: An address and an offset, of 32 bits each, and the widest access.
GUARDED: Final = (1 << 33) + (1 << 16)


@lean.define(eq=False)
class Region:
    """Reserved addresses. `cell` is what machine code reads: the address, and the size in bytes."""

    base: int
    cell: ctypes.Array[ctypes.c_uint64]
    _map: mmap.mmap
    _all: memoryview
    #: Whether no address of 32 bits with any offset leads out of the range.
    guarded: bool = False

    @property
    def data(self) -> memoryview:
        """The accessible part."""
        return self._all[: self.cell[1]]

    @property
    def cell_address(self) -> int:
        from ctypes import addressof  # `ctypes` is for those that have machine code

        return addressof(self.cell)

    def extend(self, size: int) -> bool:
        """Make the first `size` bytes accessible. False, and nothing changed, where the system refuses."""
        old, new = _whole(self.cell[1]), _whole(size)
        if new > old and _protect(self.base + old, new - old, _READ | _WRITE):
            return False
        self.cell[1] = size
        return True

    def move(self, to: Region) -> None:
        """Be where `to` is, with its size: the cell stays, and `to` is used up. Nobody may be looking."""
        self._map, self._all = to._map, to._all
        self.base = self.cell[0] = to.base
        self.cell[1] = to.cell[1]


def reserve(size: int, limit: int, guarded: bool = False) -> Region | None:
    """`limit` bytes of addresses, `size` of them accessible; with `guarded`, GUARDED bytes. None where the system has
    none to give."""
    if not available():
        return None
    import ctypes
    import mmap

    whole = GUARDED if guarded else max(limit, mmap.PAGESIZE)
    try:
        mapped = mmap.mmap(-1, whole, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
    except (OSError, OverflowError, ValueError):
        return None
    base = ctypes.addressof(ctypes.c_char.from_buffer(mapped))
    region = Region(base, (ctypes.c_uint64 * 2)(base, 0), mapped, memoryview(mapped), guarded)
    rounded = _whole(size)
    if rounded < whole and _protect(base + rounded, whole - rounded, 0):
        return None
    region.cell[1] = size
    return region


def guarded(type_: MemoryType) -> bool:
    """Whether a memory of this type may have guard pages: addresses of 32 bits, pages that are the system's too, and
    a place that never changes."""
    return type_.address is I32 and type_.page == PAGE and not type_.shared


def _whole(size: int) -> int:
    """`size` in whole pages of the system's."""
    from mmap import PAGESIZE

    return -(-size // PAGESIZE) * PAGESIZE


def available() -> bool:
    """Whether ranges can be reserved on this system."""
    return sys.platform == "linux"


@functools.cache
def _mprotect() -> Callable[[int, int, int], int]:
    """The system's own: finding it takes longer than calling it."""
    import ctypes

    found = ctypes.CDLL(None).mprotect
    found.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return cast("Callable[[int, int, int], int]", found)


def _protect(address: int, size: int, how: int) -> int:
    return _mprotect()(address, size, how)
