"""The descriptor by which a thread that sleeps in a selector is woken.

Whoever rings may do so long after the sleeper has gone; a number that was closed and given out again would then be
written to, in somebody's file. So a bell has no `close`: its descriptor goes when the last reference to the bell does,
and a ringer holds one.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import weakref
from typing import Protocol


class Bell(Protocol):
    """Rung from any thread or signal handler without blocking; stays rung until it is quieted."""

    def fileno(self) -> int:
        """Readable while the bell is rung."""

    def ring(self) -> None: ...

    def quiet(self) -> None: ...

    def listen(self) -> None:
        """A wait begins: from here on signals ring the bell too, where this kind of bell can."""

    def rest(self) -> None:
        """The wait is over: signals go where they went before, and the bell is quiet but for late ringers."""


class EventBell:
    """One Linux eventfd."""

    __slots__ = ("__weakref__", "_fd")

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        # Not at exit: daemon threads may still sleep on it then, and the process closes it anyway.
        weakref.finalize(self, os.close, self._fd).atexit = False

    def fileno(self) -> int:
        return self._fd

    def ring(self) -> None:
        try:
            os.eventfd_write(self._fd, 1)
        except BlockingIOError:
            pass  # rung 2^64 times: rung

    def quiet(self) -> None:
        try:
            os.eventfd_read(self._fd)
        except BlockingIOError:
            pass

    def listen(self) -> None:
        """Nothing to do: signals are to ring another kind of bell, or none."""

    def rest(self) -> None:
        self.quiet()


class PairBell:
    """A socket pair: for systems without eventfd, and for the main thread where signals are to ring it.

    A signal that comes after the last bytecode and before the system call doesn't interrupt that call, and Python's
    handler runs when the call returns: perhaps never. Only a descriptor that the C part of the handler writes to
    closes that gap, and it writes one byte, which an eventfd refuses.
    """

    __slots__ = ("__weakref__", "_before", "_far", "_listening", "_near", "_signals")

    def __init__(self, signals: bool = True) -> None:
        self._signals = signals
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self._far.setblocking(False)
        self._listening = False
        self._before = -1
        weakref.finalize(self, _close, self._near, self._far)

    def fileno(self) -> int:
        return self._near.fileno()

    def ring(self) -> None:
        try:
            self._far.send(b"\0")
        except BlockingIOError:
            pass  # full: rung

    def quiet(self) -> None:
        signals = b""
        while True:
            try:
                signals += self._near.recv(4096).replace(b"\0", b"")
            except BlockingIOError:
                break
        if signals and self._before >= 0:
            # Whoever had the place before us (an event loop, say) learns of its signals by these bytes.
            try:
                os.write(self._before, signals)
            except OSError:
                pass  # full or closed, as it would have been for the handler

    def listen(self) -> None:
        if self._signals and threading.current_thread() is threading.main_thread():
            try:
                self._before = signal.set_wakeup_fd(self._far.fileno(), warn_on_full_buffer=False)
            except ValueError:
                return  # the main thread of a sub-interpreter hears no signals
            self._listening = True

    def rest(self) -> None:
        if self._listening:
            self._listening = False
            signal.set_wakeup_fd(self._before)
        self.quiet()
        self._before = -1


def open_bell(signals: bool = False) -> Bell:
    """A bell for the calling thread; with `signals`, they ring it while the main thread listens."""
    if hasattr(os, "eventfd") and not (signals and threading.current_thread() is threading.main_thread()):
        return EventBell()
    return PairBell(signals)


def _close(*ends: socket.socket) -> None:
    for end in ends:
        end.close()
