"""Where calls straight from Python into machine code, and from there straight into Python, look things up.

Each image that is called so has one desk, for all its exports: a row of words. Everything that has to hold for a
direct call is a word that can be compared; who changes the state of things changes the word. A call that comes in
by the desk begins no execution: that is done when the first thing happens that needs one (`Ways.board`).
"""

from __future__ import annotations

import ctypes
from typing import Final

# Offsets of words in a desk.
#: The block of the image; the table of `api`.
BLOCK: Final = 0
TABLE: Final = 8
#: The thread that may call: its number as CPython gives it, its state, and where its stack ends.
THREAD: Final = 16
STATE: Final = 24
FLOOR: Final = 32
#: The address of `Here.ctx` of that thread: None where nothing runs on it.
HERE: Final = 40
#: The address of the word that names the running block to the beat; and of one that is 0 where the beat doesn't.
RUNNING: Final = 48
BEATING: Final = 56
#: The address of the group's gate; see `instances.group`.
GATE: Final = 64
#: The address of a word that is not 0 while calls have to go the long way.
HOLD: Final = 72
#: What is left to a fresh execution of its limits.
LEFT: Final = 80
#: The address of the guest's stack pointer, and what it was when the call under way began.
POINTER: Final = 88
POINTER_BEFORE: Final = 96
#: 1 where the lock of Python is kept while machine code runs: what runs now, or a call straight from Python.
KEEP: Final = 104
#: The entry that was called, as long as there is no execution for it.
CALLED: Final = 112
#: The execution that runs here, and its instance, as objects; 0 for none.
RUNS: Final = 120
INSTANCE: Final = 128
#: 1 while a host function runs that was called straight, and nobody has asked how deep; 2 once somebody has.
INSIDE: Final = 136
#: Host functions called straight that have not been counted yet.
COUNT: Final = 144
#: The address of the rows of host functions, one for each that is imported.
ROWS: Final = 152
#: An execution that stands ready for calls straight from Python, and stands in `HERE` during one; 0 for none.
PARKED: Final = 160
#: 1 from when Python is asked to do what is left of a call until it has begun to; and an error that came up between.
LEAVING: Final = 168
LATE: Final = 176
SIZE: Final = 200

# Offsets of words in the entry of an export.
DESK: Final = 0
#: The address of the word that holds the address of the code.
CODE: Final = 8
#: The Python callables that take over: from the beginning, and after the code.
SLOW: Final = 16
FINISH: Final = 24
ENTRY_SIZE: Final = 32

# Offsets of words in the row of a host function.
#: The function; its context, and the execution that it belongs to: objects.
FN: Final = 0
CONTEXT: Final = 8
BORDER: Final = 16
#: The addresses of two slots of the context, for the call that it serves and for the instance that called last; and
#: what belongs into the first during a call.
CALL: Final = 24
CALLER: Final = 32
NOW: Final = 40
#: The Python callable for what is unusual; the address of the way out by `serve`.
ODD: Final = 48
BRIDGE: Final = 56
#: The cell of the memory that addresses are in; 0 where there is none to be used.
MEMORY: Final = 64
ROW_SIZE: Final = 72

# Offsets in an export's own object, behind what its class has.
VECTORCALL: Final = 160
ENTRY: Final = 168


def words(size: int) -> ctypes.Array[ctypes.c_uint64]:
    """A row of words, all 0."""
    return (ctypes.c_uint64 * (size // 8))()
