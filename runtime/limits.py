"""Every implementation limit, with its reason.

`Limits` are the embedder's to set, for each instance; the constants below protect the decoder, which runs before any
setting could matter. The spec allows all of them (appendix "Implementation Limitations").
"""

from __future__ import annotations

import gc
import threading

from . import lean

#: Locals of one function, parameters included. Four bytes of a module can declare 2^32; other engines stop here too.
MAX_LOCALS = 50_000
#: Entries of one table at creation and growth: each costs a pointer.
MAX_TABLE = 10_000_000
#: Nesting of blocks in one function: bounds the validator's control stack.
MAX_NESTING = 50_000
#: Locals of all functions of a module together: a few bytes each declare MAX_LOCALS, and every function that runs
#: has a list of its own.
MAX_MODULE_LOCALS = 10_000_000
#: Operands that lie on the stack at the calls and blocks of a module's bodies, or are carried by their branches and
#: calls, each counted every time: WORK_BASE and WORK_PER_BYTE for each byte of code. Compilers stay below one for a
#: byte; a hostile body makes this grow with the square of its size, and with it the time to check and translate it.
WORK_BASE = 1_000_000
WORK_PER_BYTE = 1
#: Supertypes above one type, each a supertype of the next, and fields of one struct: other engines have the same.
MAX_SUPERTYPES = 63
MAX_FIELDS = 10_000
#: Bytes of one WebAssembly page.
PAGE = 65_536
#: Pages that a memory can have, by the width of its addresses.
MAX_PAGES = 65_536
MAX_PAGES_64 = 1 << 48


@lean.define(eq=False)
class Total:
    """What any number of instances use together, on any threads. Shared by whoever was given it."""

    limit: int
    used: int = 0
    #: The most that was in use at once.
    peak: int = 0
    # Entered again by the thread that holds it where a collection comes in between: what is freed then gives back.
    _lock: threading.RLock = lean.field(factory=threading.RLock, init=False, repr=False)

    def take(self, amount: int) -> bool:
        """Charge `amount`; False, and nothing charged, where it would exceed the limit."""
        if self._taken(amount):
            return True
        # An instance is a ring of objects: one that nobody holds any more may still wait to be found.
        gc.collect()
        return self._taken(amount)

    def _taken(self, amount: int) -> bool:
        with self._lock:
            if self.used + amount > self.limit:
                return False
            self.used += amount
            self.peak = max(self.peak, self.used)
            return True

    def give(self, amount: int) -> None:
        """Return what was taken."""
        with self._lock:
            self.used -= amount


#: No limit.
UNLIMITED = 1 << 62


def _total(limit: Total | int) -> Total:
    return limit if isinstance(limit, Total) else Total(limit)


@lean.frozen
class Totals:
    """Limits of all instances together whose `Limits` hold this very object: `Totals(memory=1 << 32)`. What an
    instance took is given back when its memories and tables are freed."""

    #: Bytes of all linear memories.
    memory: Total
    #: Entries of all tables.
    table: Total

    def __init__(self, memory: Total | int = UNLIMITED, table: Total | int = UNLIMITED) -> None:
        object.__setattr__(self, "memory", _total(memory))
        object.__setattr__(self, "table", _total(table))


@lean.frozen
class Limits:
    """What an instance and the calls into it may use. Exceeding one is a `Trap` (a call), -1 (a grow) or a
    `LimitError` (before anything runs); never a crash."""

    #: Bytes of all linear memories of the instance together.
    memory: int = 1 << 32
    #: Entries of all tables of the instance together.
    table: int = MAX_TABLE
    #: Frames of one execution, WebAssembly's and host functions' together.
    frames: int = 10_000
    #: Operands and locals of all frames of one execution; a frame with thousands of locals counts for what it is.
    cells: int = 4_000_000
    #: Host functions entered on top of one another on the Python stack. Deeper callbacks are scheduled instead; a
    #: plain call made in a host function, which can't be, traps.
    nesting: int = 40
    #: Entries of one host function's journal; a loop that journals without committing would grow for ever.
    journal: int = 10_000
    #: WebAssembly instructions that one execution may run; None for no limit. Counting them costs about a fifth.
    steps: int | None = None
    #: Bytes of a module.
    module: int = 1 << 30
    #: What all instances with the same object here may use together; None for no such limit.
    totals: Totals | None = None
