"""The compiler's process as seen from here: started when it is needed, and again when it has ended."""

from __future__ import annotations

import itertools
import json
import os
import select
import subprocess
import sys
import weakref
from io import FileIO
from typing import Final

from ..module import Module
from .product import Damaged, Order, Product, unpack
from .wire import WHO, receive, request, send

#: What runs there; what makes the better form gives way to others from its beginning. The path comes from here, as do
#: the packages that it finds: `site` would take long to find others.
START: Final = (
    "import gc, json, os, sys; gc.disable(); os.nice(5 * (sys.argv[1] != '0')); sys.path[:] = json.loads(sys.argv[2]); "
    "from {} import main; main(int(sys.argv[1]))"
)
#: Where this package was found, which need not be on the path: an editable installation is found by a hook.
_ROOT: Final = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: Seconds that one order may take.
_PATIENCE: Final = 60.0


def starting(module: str, argument: str, begin: str = START) -> list[str]:
    """The command that runs `main` of a module of this package in a process of its own. Raises NoProcess."""
    if not sys.executable:
        raise NoProcess("this Python does not know its own command")
    path = json.dumps([*map(os.path.abspath, sys.path), _ROOT])
    return [sys.executable, "-I", "-S", "-c", begin.format(f"{__package__}.{module}"), argument, path]


class Lost(Exception):
    """The process has ended over an order, or took too long for it."""


class NoProcess(Exception):
    """No process can be started here; the message says why."""


_serials: weakref.WeakKeyDictionary[Module, int] = weakref.WeakKeyDictionary()
_count = itertools.count(1)


class Process:
    """One process. For one thread at a time."""

    def __init__(self, level: int, begin: str = START) -> None:
        self._level = level
        self._begin = begin
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        """Start the process, if there is none: it gets ready by itself. Raises NoProcess."""
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = self._start()

    def make(self, module: Module, order: Order) -> Product:
        """Carry out an order. Raises Lost and NoProcess."""
        key = _serials.get(module)
        if key is None:
            key = _serials[module] = next(_count)
        features = module.features.value
        self.begin()
        try:
            answer = self._ask(request(key, features, order, None))
            if answer == WHO:
                answer = self._ask(request(key, features, order, module.data))
            return unpack(answer)
        except (OSError, ValueError, Damaged) as error:
            self.end()
            raise Lost(str(error)) from None

    def _ask(self, data: bytes) -> bytes:
        process = self._process
        if process is None or not isinstance(process.stdin, FileIO) or not isinstance(process.stdout, FileIO):
            raise OSError("it has ended")
        send(process.stdin, data)
        if not select.select([process.stdout], [], [], _PATIENCE)[0]:
            raise OSError("it takes too long")
        answer = receive(process.stdout)
        if answer is None:
            raise OSError("it has ended")
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        command = starting("worker", str(self._level), self._begin)
        try:
            return subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",
                # Ctrl-C is for the guest's process.
                process_group=0,
            )
        except OSError as error:
            raise NoProcess(str(error)) from None

    @property
    def running(self) -> bool:
        """Whether there is one."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End the process from another thread, which then sees that it has ended."""
        process = self._process
        if process is not None:
            process.kill()

    def end(self) -> None:
        """End the process, if it has not ended yet."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            _close(process)
            process.wait()

    def forget(self) -> None:
        """In a child process: it is the parent's."""
        process, self._process = self._process, None
        if process is not None:
            process.returncode = 0
            _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
