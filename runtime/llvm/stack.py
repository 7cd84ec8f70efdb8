"""How far down the calling thread's stack machine code may go."""

from __future__ import annotations

import ctypes
import functools
from typing import Final

from ..exec.here import Here

#: What machine code leaves free for the host: Python needs room to run what it calls, and to raise the trap.
_RESERVE: Final = 256 << 10


def floor(mine: Here) -> int:
    """The lowest address that machine code may use on the calling thread, `mine`. A small stack keeps half of itself
    free."""
    if not mine.floor:
        low, size = _bounds()
        mine.floor = low + min(_RESERVE, size // 2)
    return mine.floor


@functools.cache
def _pthread() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.pthread_self.restype = ctypes.c_void_p
    for name in ("pthread_getattr_np", "pthread_attr_getstack", "pthread_attr_destroy"):
        getattr(libc, name).restype = ctypes.c_int
    return libc


def _bounds() -> tuple[int, int]:
    """The lowest address of the stack, and its size."""
    libc = _pthread()
    attributes = ctypes.create_string_buffer(256)
    low, size = ctypes.c_void_p(), ctypes.c_size_t()
    if libc.pthread_getattr_np(ctypes.c_void_p(libc.pthread_self()), attributes):
        raise OSError(ctypes.get_errno(), "the bounds of the thread's stack can't be found")
    libc.pthread_attr_getstack(attributes, ctypes.byref(low), ctypes.byref(size))
    libc.pthread_attr_destroy(attributes)
    return low.value or 0, size.value
