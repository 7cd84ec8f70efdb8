"""A trial of guard pages, for a process of its own (`kit`): it ends well, or the process does not."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable
from typing import Final

from . import notes
from .backend import compile_ir
from .builder import PREAMBLE
from .faults import MET
from .guard import Guard
from .handler import handler_ir
from .loader import LoadError, load, tables

#: The line that the access has.
_LINE: Final = 77
_TRIAL: Final = """
define i32 @trial(ptr %at) #2 !dbg !16 {{
  %value = load volatile i32, ptr %at, align 1{note}
  %never = icmp eq i32 %value, -1
  %status = select i1 %never, i32 2, i32 0
  ret i32 %status
}}
{scope}"""


def main(_: int) -> None:
    """Try it here, in the main thread and in another one, and write the handler's code to standard output."""
    made = compile_ir(handler_ir(), 2)
    guard = Guard(made)
    text = PREAMBLE + notes.PREAMBLE + _TRIAL.format(note=notes.note(16, _LINE), scope=notes.scope(16))
    data = compile_ir(text, 2, noted=True)
    code, known, region = load(data), tables(data), guard.reserve(1 << 16, 1 << 16)
    if known is None or region is None:
        raise LoadError("no tables, or no range of addresses")
    guard.add(code, known)
    function = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(code.symbols["trial"])
    failed: list[int] = []

    def attempt() -> None:
        if not _works(function, region.base):
            failed.append(1)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    attempt()
    if failed:
        raise LoadError("a trap went another way")
    os.write(1, made)


def _works(function: Callable[[int], int], base: int) -> bool:
    for place, status in ((0, 0), (1 << 16, 1), ((1 << 16) - 3, 1), ((1 << 33) - 5, 1), ((1 << 16) - 4, 0)):
        if function(base + place) != status:
            return False
        if status and MET.pop(threading.get_ident(), None) != (_LINE, None):
            return False
    return True
