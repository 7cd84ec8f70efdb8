"""The command as a real process: with pipes, a terminal or files for its streams, and with signals.

Nothing here sleeps: a test waits for what the process says, or for its end. `PATIENCE` only makes a hang a failure.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeAlias

import attrs

from .cache import ROOT
from .waits import PATIENCE

COMMAND = (sys.executable, "-m", "hostsdk")
#: What a process may get for a stream.
Stream: TypeAlias = "int | IO[bytes] | IO[str] | None"

# Makes the terminal that is its input the controlling one, then becomes the command: Ctrl-C reaches it by the kernel.
_TAKE_TERMINAL = """
import fcntl, os, sys, termios
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


@attrs.frozen
class Done:
    """How a process ended: minus the signal's number, where one ended it; and what it had written."""

    status: int
    out: str
    err: str


@attrs.define(eq=False)
class Process:
    """A running command."""

    popen: subprocess.Popen[bytes]
    #: Where its output and errors are read, -1 for what goes elsewhere.
    out: int = -1
    err: int = -1
    _held: dict[int, bytes] = attrs.field(factory=dict)

    def line(self) -> str:
        """The next line of its output, without the line's end. Waits for it."""
        return self._until(self.out)

    def error_line(self) -> str:
        """The next line of its standard error."""
        return self._until(self.err)

    def write(self, data: bytes) -> None:
        """Give it input by its pipe."""
        if self.popen.stdin is None:
            raise ValueError("its input is no pipe")
        self.popen.stdin.write(data)
        self.popen.stdin.flush()

    def send(self, number: int) -> None:
        """Send it a signal."""
        self.popen.send_signal(number)

    def finish(self) -> Done:
        """Close its input, read what it still writes, and wait for its end."""
        if self.popen.stdin is not None:
            self.popen.stdin.close()
        texts = {fd: self._held.pop(fd, b"") for fd in (self.out, self.err) if fd >= 0}
        open_ = set(texts)
        # A terminal has no end as long as we hold it open, too: so it is the process whose end counts.
        end = os.pidfd_open(self.popen.pid)
        try:
            ready: list[int] = []
            while end not in ready and open_:
                ready = _ready(open_ | {end})
                open_ -= {fd for fd in open_.intersection(ready) if not _append(texts, fd)}
            while open_ := {fd for fd in _ready(open_, 0.0) if _append(texts, fd)}:
                pass
        finally:
            os.close(end)
        status = self.popen.wait(PATIENCE)
        return Done(status, _text(texts.get(self.out, b"")), _text(texts.get(self.err, b"")))

    def _until(self, fd: int) -> str:
        held = self._held.pop(fd, b"")
        while b"\n" not in held:
            _ready({fd})
            data = _read(fd)
            if not data:
                raise EOFError(f"it ended after {held!r}; errors: {self.finish().err if fd != self.err else ''}")
            held += data
        line, _, self._held[fd] = held.partition(b"\n")
        return _text(line)


@contextmanager
def start(
    *args: str | Path,
    stdin: Stream = subprocess.DEVNULL,
    stdout: Stream = subprocess.PIPE,
    stderr: Stream = subprocess.PIPE,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    command: Sequence[str] = COMMAND,
) -> Iterator[Process]:
    """`hostsdk ARGS`, or another `command`, killed at the end if it still runs."""
    with _signals_as_usual():
        popen = subprocess.Popen(
            [*command, *map(str, args)], stdin=stdin, stdout=stdout, stderr=stderr, cwd=cwd, env=_environment(env)
        )
    process = Process(popen, _number(popen.stdout), _number(popen.stderr))
    try:
        yield process
    finally:
        popen.kill()
        popen.wait()
        for stream in (popen.stdin, popen.stdout, popen.stderr):
            if stream is not None:
                try:
                    stream.close()
                except BrokenPipeError:
                    pass


@attrs.frozen
class Terminal:
    """A terminal and the person before it."""

    process: Process
    person: int
    #: The description that the process has for its three streams, here, too.
    shared: int

    def type(self, data: bytes) -> None:
        """Press keys: `b"\\x03"` is Ctrl-C."""
        os.write(self.person, data)


@contextmanager
def start_in_terminal(
    *args: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, command: Sequence[str] = COMMAND
) -> Iterator[Terminal]:
    """`hostsdk ARGS` on a terminal of its own. Its output and errors both come as `process.out`."""
    person, tty = os.openpty()
    wrapped = [sys.executable, "-SEc", _TAKE_TERMINAL, *command]
    try:
        with start(*args, stdin=tty, stdout=tty, stderr=tty, cwd=cwd, env=env, command=wrapped) as process:
            process.out = person
            yield Terminal(process, person, tty)
    finally:
        os.close(person)
        os.close(tty)


def hostsdk(*args: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None, stdin: bytes = b"") -> Done:
    """Run `hostsdk ARGS` to its end with `stdin` as its input."""
    with start(*args, cwd=cwd, env=env, stdin=subprocess.PIPE) as process:
        process.write(stdin)
        return process.finish()


@contextmanager
def _signals_as_usual() -> Iterator[None]:
    """Where the tests run in the background, Ctrl-C may be ignored, and a child would inherit that."""
    ignored = [n for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)


def _environment(more: dict[str, str] | None) -> dict[str, str]:
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **(more or {})}


def _number(stream: IO[bytes] | None) -> int:
    return -1 if stream is None else stream.fileno()


def _append(texts: dict[int, bytes], fd: int) -> bool:
    """Read what is there; whether it was anything."""
    data = _read(fd)
    texts[fd] += data
    return bool(data)


def _ready(fds: set[int], patience: float = PATIENCE) -> list[int]:
    found = select.select(fds, (), (), patience)[0]
    if not found and patience:
        raise TimeoutError("the process said nothing, and did not end")
    return found


def _read(fd: int) -> bytes:
    """What is there; nothing at the end, which a terminal tells by an error."""
    try:
        return os.read(fd, 65536)
    except OSError:
        return b""


def _text(data: bytes) -> str:
    return data.decode(errors="replace").replace("\r", "")
