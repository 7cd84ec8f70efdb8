"""How signals end a run.

A signal that asks the process to end, and the alarm of `--timeout`, ask the execution to suspend; the command then
drops it, so that host functions clean up, and ends as the signal would have ended it. Every further signal ends the
process at once.

A host function may compute, or sleep without the SDK's knowledge, and hear nothing. So until the execution has left
the stack, a timer looks where it is, and raises an exception in a host function's own code, as Python does for Ctrl-C;
once, and never in a cleanup. Before there is an execution (a file is decoded, a host module imported), it is raised
without delay.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Final, NoReturn, Self

from hostsdk import Interrupt

#: What asks a process to end, and lets it tidy up.
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: The longest alarm, in seconds: not every system's timer takes more.
_LONGEST: Final = 100_000_000.0
#: Seconds that an execution has to come to a check point.
_GRACE: Final = 0.1
_OURS: Final = {"hostsdk", "runtime"}
_LIBRARIES: Final = sys.stdlib_module_names | {"attr", "attrs", "click", "typing_extensions", "cbor2"}


class Stopped(KeyboardInterrupt):
    """A signal has come in Python code that doesn't look for requests by itself."""


class Signals:
    """The signals of one run. A context manager: outside of it, they do what they did before."""

    def __init__(self, timeout: float | None = None) -> None:
        #: For every execution of the run. As long as it is set, each of them reports it, whenever it begins.
        self.interrupt = Interrupt(level=True)
        #: The first signal that has come; 0 for none.
        self.came = 0
        self._timeout = timeout
        self._raised = self._heard = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in _ENDING:
            # What whoever started us has set to be ignored stays so: nohup, jobs in the background of a plain shell.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._end)
        if signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN:  # Python's doing
            self._before[signal.SIGPIPE] = signal.signal(signal.SIGPIPE, self._broken_pipe)
        if self._timeout is not None:
            self._before[signal.SIGALRM] = signal.signal(signal.SIGALRM, self._end)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})
            signal.setitimer(signal.ITIMER_REAL, min(self._timeout, _LONGEST))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def raised(self) -> Iterator[None]:
        """In here, and nowhere else, a signal may raise Stopped."""
        self._raised = True
        try:
            yield
        finally:
            self._raised = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """In here, executions are given the interrupt and look at it: nothing is raised in the engine's own code."""
        self._heard = True
        try:
            yield
        finally:
            self._heard = False

    def settle(self) -> None:
        """An execution has left the stack; if a signal made it, what is to come is cleanup, and isn't disturbed."""
        if self.came:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    @property
    def timed_out(self) -> bool:
        return self.came == signal.SIGALRM

    def _request(self, number: int) -> None:
        self.came = number
        for other in _ENDING:
            if other in self._before:
                # Not by a handler of Python's, which could wait for a cleanup that is stuck in C.
                signal.signal(other, signal.SIG_DFL)
        self._before.setdefault(signal.SIGALRM, signal.signal(signal.SIGALRM, self._insist))
        signal.setitimer(signal.ITIMER_REAL, _GRACE, _GRACE)
        self.interrupt.set(signal.Signals(number).name)

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self.came:
            die(number)
        if number == signal.SIGALRM and not self._raised:
            return  # too late: it has ended by itself
        self._request(number)
        if not self._heard:
            self._insist(number, frame)

    def _insist(self, number: int, frame: FrameType | None) -> None:
        if self._raised and not (self._heard and (_in_engine(frame) or _cleaning_up())):
            signal.setitimer(signal.ITIMER_REAL, 0.0)
            raise Stopped

    def _broken_pipe(self, number: int, frame: FrameType | None) -> None:
        """Python ignores SIGPIPE, and so would a guest that looks at no result, for ever. A pipe or socket of a host
        module's own is none of our business."""
        if not self.came and any(map(_is_broken, (1, 2))):
            # Nothing is raised now: whoever has written gets an error anyway.
            self._request(number)


def _is_broken(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _in_engine(frame: FrameType | None) -> bool:
    """Whether the innermost code that is no library's is the engine's or the SDK's: that polls, a host function's own
    code may not."""
    while frame is not None:
        # Code that attrs or the SDK has generated belongs to no module.
        package = str(frame.f_globals.get("__name__", "attrs")).partition(".")[0]
        if package in _OURS:
            return True
        if package not in _LIBRARIES:
            return False
        frame = frame.f_back
    return False


def _cleaning_up() -> bool:
    """Whether the code at hand runs because the engine (or we) raised something: a `finally` on the way out."""
    error = sys.exc_info()[1]
    return error is not None and not isinstance(error, Exception)


def die(number: int) -> NoReturn:
    """End the process by a signal, so that whoever waits for it sees how it ended: a shell leaves its loop."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except OSError:
            pass  # a pipe without a reader, most likely
    atexit._run_exitfuncs()
    signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    # The first process of a container isn't ended by that.
    os._exit(128 + number)
