"""Errors of Python's that lie in words, as PyErr_Fetch has put them there."""

from __future__ import annotations

import ctypes
from typing import Final, Protocol

_RESTORE: Final = ctypes.PYFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)(
    ("PyErr_Restore", ctypes.pythonapi)
)


class Words(Protocol):
    """A row of words."""

    def __getitem__(self, at: int, /) -> int: ...

    def __setitem__(self, at: int, value: int, /) -> None: ...


def take_error(words: Words, at: int) -> BaseException | None:
    """The error that lies in three words from `at` on, which is taken away; None where there is none."""
    places = [words[at + i] or None for i in range(3)]
    if places[0] is None:
        return None
    for i in range(3):
        words[at + i] = 0
    try:
        _RESTORE(*places)
    except BaseException as error:  # whatever it was
        return error
    return None
