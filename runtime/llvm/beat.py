"""Has machine code of the main thread come by Python from time to time, where handlers of signals run.

Python runs a signal's handler in the main thread between two bytecodes, and machine code has none. A thread rings it
at its check points, some fifty times a second, for as long as it runs there; when none has run there for a while, the
thread ends. No signal state of the process is touched.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
import weakref
from typing import Final, Protocol

#: Seconds between two rings: how late a handler may run.
_INTERVAL: Final = 0.02
#: Intervals without machine code after which the thread ends.
_PATIENCE: Final = 25
#: Intervals with machine code after which it is worth while to make better code.
_WHILE: Final = 10


class Rung(Protocol):
    """Machine code that looks around when it is rung."""

    def ring(self) -> None: ...

    def lasts(self) -> None:
        """It has been running for a while."""


class Beat:
    """One for the process. `running` is what runs on the main thread, set by that thread alone."""

    def __init__(self) -> None:
        self.running: Rung | None = None
        self.main = threading.main_thread().ident
        self.beating = False
        #: Not 0 while it beats; and the block of what runs on the main thread having been called straight from Python,
        #: which the wrapper of that call sets. Blocks by their address.
        self.beats = ctypes.c_uint64()
        self.called = ctypes.c_uint64()
        self.blocks: weakref.WeakValueDictionary[int, Rung] = weakref.WeakValueDictionary()
        # A signal's handler may come by here while it is taken.
        self._lock = threading.RLock()

    def begin(self) -> None:
        """Ring from now on."""
        with self._lock:
            if not self.beating:
                threading.Thread(target=self._run, name="hostsdk beat", daemon=True).start()
                self.beating = True
                self.beats.value = 1

    def _run(self) -> None:
        idle = rings = 0
        while True:
            time.sleep(_INTERVAL)
            running = self.running or self.blocks.get(self.called.value)
            if running is not None:
                running.ring()
                idle = 0
                rings += 1
                if rings % _WHILE == 0:
                    running.lasts()
                running = None  # while this sleeps, it keeps nobody's code
                continue
            idle += 1
            if idle >= _PATIENCE:
                with self._lock:
                    # Whoever begins to run sets `running` first and looks at `beating` afterwards.
                    if self.running is None and not self.called.value:
                        self.beating = False
                        self.beats.value = 0
                        return
                idle = 0


BEAT: Final = Beat()


def _forked() -> None:
    running, beats, called, blocks = BEAT.running, BEAT.beats, BEAT.called, BEAT.blocks
    BEAT.__init__()  # type: ignore[misc]  # all its locks are the parent's
    # The words stay where they are: machine code knows them by their address.
    beats.value = 0
    BEAT.running, BEAT.beats, BEAT.called, BEAT.blocks = running, beats, called, blocks


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
