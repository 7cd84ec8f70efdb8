"""The way out of a function that has met a guard page: which instruction of the guest it was, and where to go on."""

from __future__ import annotations

import ctypes
import threading
from typing import Final

from .. import lean
from .handler import ERROR, LEAVE
from .loader import Code, Tables
from .raised import take_error
from .sites import PRESERVED, STACK, Sites

_RETURN: Final = 16


@lean.define(eq=False)
class Known:
    """Code whose accesses may meet guard pages."""

    start: int
    size: int
    tables: Tables
    sites: Sites | None = None

    @classmethod
    def of(cls, code: Code, tables: Tables) -> Known:
        """Of code in memory."""
        return cls(code.start, code.size, tables)

    def read(self) -> Sites:
        """Its tables. Raises LoadError."""
        if self.sites is None:
            self.sites = Sites(self.tables)
        return self.sites


#: All of it, by its place in the handler's list.
KNOWN: Final[dict[int, Known]] = {}
#: By thread: the byte offset of the instruction that has met a guard page, and an error that came up on the way.
#: Whoever entered the code takes it.
MET: Final[dict[int, tuple[int, BaseException | None]]] = {}


def find(address: int) -> None:
    """Write where a thread is to go on, as the handler's `land` asks: the area at `address` has its registers. May be
    asked again, for a signal's handler may raise anywhere in here."""
    words = (ctypes.c_uint64 * 24).from_address(address)
    rip = words[7]
    known = next(each for each in list(KNOWN.values()) if 0 <= rip - each.start < each.size)
    sites = known.read()
    frame = sites.frame(rip - known.start)
    registers = dict(zip((*PRESERVED, STACK), words[:7], strict=True))
    top = registers[frame.base] + frame.offset
    for number, offset in frame.saved.items():
        registers[number] = ctypes.c_uint64.from_address(top + offset).value
    for place, number in enumerate(PRESERVED):
        words[LEAVE + place] = registers[number]
    words[LEAVE + 6] = top
    words[LEAVE + 7] = registers[_RETURN]
    MET[threading.get_ident()] = sites.line(rip - known.start), take_error(words, ERROR)
