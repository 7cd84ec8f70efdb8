"""Signals for a main thread that is in machine code, where Python runs no handlers.

Python's part of a signal handler runs in the main thread between two bytecodes; machine code has none. But the C part
writes a byte to the wake-up descriptor at once. For as long as the main thread runs executions that ask for it, that is
ours: a thread of its own reads the byte and has the executions look for requests, as it would be for an `Interrupt`. So
machine code comes to Python at its next check point, the handlers run there, and it goes on. (The native tier lets it
come by from time to time anyway; this is for those who want it at once, and in waits without a gap.)

Whoever had the wake-up descriptor before (an event loop, say) gets every byte, and gets it back when the run is over.
Nothing here is done unless `EngineConfig(signals=True)` asks for it.
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Protocol

from .. import lean


class Listener(Protocol):
    """What is made to look: the requests of an execution."""

    def wake(self) -> None: ...


@lean.define(eq=False)
class _Ears:
    """A pipe and the thread that reads it; a process's own."""

    near: int
    far: int
    #: Where every byte goes on to; -1 for nowhere.
    before: int = -1

    @classmethod
    def grow(cls, post: Post) -> _Ears:
        near, far = os.pipe()  # not a socket pair: importing `socket` takes longer than starting the thread
        os.set_blocking(far, False)
        made = cls(near, far)
        threading.Thread(target=made.listen, args=(post,), name="hostsdk signals", daemon=True).start()
        return made

    def listen(self, post: Post) -> None:
        while True:
            numbers = os.read(self.near, 4096)
            if not numbers:
                return
            if self.before >= 0:
                try:
                    os.write(self.before, numbers)
                except OSError:
                    pass  # full or closed, as it would have been for the handler
            post.deliver()

    def close(self) -> None:
        os.close(self.near)
        os.close(self.far)


class Post:
    """Takes signals to the executions that the main thread runs. One for the process."""

    def __init__(self) -> None:
        self._running: list[Listener] = []
        self._ears: _Ears | None = None
        #: The thread that the list is of.
        self._thread = 0
        self._forks_seen = False

    def begin(self, listener: Listener, *, outermost: bool) -> None:
        """The calling thread begins to run an execution. Does nothing where it isn't the main one."""
        if threading.current_thread() is threading.main_thread():
            if outermost:
                # A handler may raise in the midst of an end, too: what it left is forgotten here.
                self._running.clear()
            self._running.append(listener)
            if outermost:
                self._open()

    def end(self, listener: Listener) -> None:
        """The execution is over, or never began: a handler may raise anywhere."""
        if listener not in self._running:
            return
        self._running.remove(listener)
        ears = self._ears
        if not self._running and ears is not None:
            try:
                now = signal.set_wakeup_fd(ears.before)
            except ValueError:
                return  # the main thread of a sub-interpreter
            if now != ears.far:
                signal.set_wakeup_fd(now)  # somebody has taken it meanwhile, and keeps it

    def deliver(self) -> None:
        """A signal has come. By the thread that listens."""
        for listener in self._running[:]:
            listener.wake()

    def _open(self) -> None:
        ears = self._ears
        if ears is None:
            ears = self._ears = _Ears.grow(self)
            if not self._forks_seen:
                self._forks_seen = True
                os.register_at_fork(after_in_child=self._forked)
        self._thread = threading.get_ident()
        try:
            before = signal.set_wakeup_fd(ears.far, warn_on_full_buffer=False)
        except ValueError:
            return  # the main thread of a sub-interpreter hears no signals
        if before != ears.far:  # it is where a handler raised in the midst of the last end
            ears.before = before

    def _forked(self) -> None:
        """In a child: the pipe is still the parent's too, and the thread that reads it is not here."""
        old, self._ears = self._ears, None
        if old is None:
            return
        if not self._running:
            old.close()
            return
        if self._thread == threading.get_ident():
            self._ears = _Ears.grow(self)
            self._ears.before = old.before
            signal.set_wakeup_fd(self._ears.far, warn_on_full_buffer=False)
        else:  # forked by another thread: the main one, and what it ran, is not here
            self._running.clear()
            signal.set_wakeup_fd(old.before)
        old.close()


POST = Post()
