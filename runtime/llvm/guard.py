"""Guard pages: addresses around a memory, at which the processor itself stops an access that is out of bounds.

Used only where an engine may touch the process's signals, and where a trial in a process of its own has shown that it
works (`kit`). The handler (`handler`) is the process's: it is installed once, and again above whoever has installed
one since, each time with what was there before. When that is looked at: when code or a memory of ours is new, and when
the standard library's `faulthandler`, which does not hand faults on, turns out to have been switched on.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from ..instances.region import GUARDED, Region, reserve
from ..log import Log
from . import handler
from .faults import KNOWN, Known, find
from .kit import kit
from .loader import Code, LoadError, Tables, load, place

if TYPE_CHECKING:
    from .cache import Cache

log = Log(__name__)

#: Memories with guard pages at one time: beyond that, those that come check their bounds. Each takes 8 of the 131,072
#: GiB that a process has addresses for, and the address space is for others, too.
MEMORIES: Final = 4096
#: Pieces of code.
_CODES: Final = 1 << 16
#: Installations above somebody new, after which places above the same are used again.
_ENTRIES: Final = 64


class Slots:
    """A list that the handler looks through, of places (start and size) that come and go."""

    def __init__(self, count: int, gone: Callable[[int], object] | None = None) -> None:
        self.words = (ctypes.c_uint64 * (2 * count))()
        self._free = list(range(count - 1, -1, -1))
        self._gone = gone

    def add(self, owner: object, start: int, size: int) -> int | None:
        """Take a place, for as long as `owner` lives; None where there is none."""
        try:
            slot = self._free.pop()
        except IndexError:
            return None
        self.words[2 * slot] = start
        self.words[2 * slot + 1] = size
        weakref.finalize(owner, self._drop, slot).atexit = False
        return slot

    def _drop(self, slot: int) -> None:
        # By the collector, at any moment: nothing here may wait for a lock.
        self.words[2 * slot + 1] = 0
        if self._gone is not None:
            self._gone(slot)
        self._free.append(slot)


class Guard:
    """The handler and its lists; one for the process. Raises LoadError and OSError."""

    def __init__(self, kit: bytes) -> None:
        self._code = load(kit)
        self._codes, self._ranges = Slots(_CODES, _forget), Slots(MEMORIES)
        # A signal's handler may come by here while it is taken.
        self._lock = threading.RLock()
        #: Ours by their address: the records, whose old action may be looked at.
        self._entries: dict[int, ctypes.Array[ctypes.c_char]] = {}
        self._pages: list[Code] = []
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._finder = find
        self._state = (ctypes.c_uint64 * handler.STATE_SIZE)()
        self._fill()
        self._watched = faulthandler.is_enabled()
        self.install()

    def _fill(self) -> None:
        state, python = self._state, ctypes.pythonapi
        go = place(handler.GO_CODE, {})
        self._pages.append(go)
        state[handler.LAND] = self._code.symbols["land"]
        for count, at, slots in (
            (handler.CODES, handler.CODES_AT, self._codes),
            (handler.RANGES, handler.RANGES_AT, self._ranges),
        ):
            state[count], state[at] = len(slots.words) // 2, ctypes.addressof(slots.words)
        functions = {
            handler.SIGACTION: self._libc.sigaction,
            handler.RAISE: getattr(self._libc, "raise"),
            handler.ENSURE: python.PyGILState_Ensure,
            handler.RELEASE: python.PyGILState_Release,
            handler.NUMBER: python.PyLong_FromLongLong,
            handler.CALL: python.PyObject_Vectorcall,
            handler.DROP: python.Py_DecRef,
            handler.FETCH: python.PyErr_Fetch,
        }
        for at, function in functions.items():
            state[at] = ctypes.cast(function, ctypes.c_void_p).value or 0
        state[handler.FINDER], state[handler.GO] = id(self._finder), go.start

    # What is ours -------------------------------------------------------------------------------------------------

    def add(self, code: Code, tables: Tables) -> None:
        """Take faults in this code, for as long as it lives. Raises LoadError."""
        slot = self._codes.add(code, code.start, code.size)
        if slot is None:
            raise LoadError("too many pieces of code with guard pages")
        KNOWN[slot] = Known.of(code, tables)
        self.install()

    def reserve(self, size: int, limit: int) -> Region | None:
        """A range with guard pages, `size` bytes of it accessible; None where there is none left."""
        region = reserve(size, limit, guarded=True)
        if region is None or self._ranges.add(region, region.base, GUARDED) is None:
            return None
        self.install()
        return region

    # The handler --------------------------------------------------------------------------------------------------

    def watch(self) -> None:
        """Code may be about to run: see to it that the handler comes first."""
        on = faulthandler.is_enabled()
        if on is not self._watched:
            self._watched = on
            self.install()

    def forked(self) -> None:
        """In a child process."""
        self._lock = threading.RLock()

    def install(self) -> None:
        """Put the handler above whatever is there. Raises OSError."""
        with self._lock:
            now = self._action(None)
            if _function(now) not in self._entries:
                self._above(now)

    def _above(self, now: bytes) -> None:
        known = [at for at, each in self._entries.items() if _function(each.raw[handler.OLD :]) == _function(now)]
        if len(self._entries) >= _ENTRIES and known:
            address = known[-1]
        else:
            data = ctypes.addressof(self._state).to_bytes(8, "little") + now
            record = ctypes.create_string_buffer(data, len(data))
            page = place(handler.entry(ctypes.addressof(record), self._code.symbols["fault"]), {})
            self._pages.append(page)
            address = page.start
            self._entries[address] = record
        flags = int.from_bytes(now[handler.FLAGS : handler.FLAGS + 4], "little")
        flags = flags & (handler.NO_DEFER | handler.RESTART) | handler.SIGINFO | handler.ON_STACK
        self._action(
            address.to_bytes(8, "little")
            + now[handler.MASK : handler.FLAGS]
            + flags.to_bytes(4, "little")
            + now[handler.FLAGS + 4 :]
        )

    def _action(self, new: bytes | None) -> bytes:
        """The action in force, and another one instead if it is given."""
        old = ctypes.create_string_buffer(handler.ACTION_SIZE)
        if self._libc.sigaction(signal.SIGSEGV, new, old):
            raise OSError(ctypes.get_errno(), "the action of SIGSEGV can't be asked for")
        return old.raw


def _forget(slot: int) -> None:
    KNOWN.pop(slot, None)


def _function(action: bytes) -> int:
    return int.from_bytes(action[:8], "little")


class _Here:
    """The guard of this process: None when it has not been asked for, or can't be had."""

    guard: Guard | None = None
    asked: bool = False
    # A signal's handler may come by while it is taken.
    lock = threading.RLock()


def guard(cache: Cache | None) -> Guard | None:
    """The guard of this process; None where the trial has shown that it doesn't work. The first who asks may wait for
    the trial; what it has shown is kept in `cache`."""
    with _Here.lock:
        if not _Here.asked:
            _Here.guard = _make(cache)
            _Here.asked = True
    return _Here.guard


def _make(cache: Cache | None) -> Guard | None:
    try:
        return Guard(kit(cache))
    except (LoadError, OSError) as error:
        log.info("no guard pages: %s", error)
        return None


def _forked() -> None:
    # The compiler's thread may have held them.
    _Here.lock = threading.RLock()
    if _Here.guard is not None:
        _Here.guard.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
