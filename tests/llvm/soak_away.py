"""The other process of the soak: it loads what it is given, goes on on a schedule of its own, and says how it ended."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Self

import attrs

from hostsdk import Execution, Outcome
from tests.support.native import picture

from .soak_programs import PROGRAMS

if TYPE_CHECKING:
    from .soak import Run


@attrs.frozen
class Ended:
    """How a run ended."""

    outcome: str
    out: bytes
    #: Of memories and globals.
    picture: str

    @classmethod
    def of(cls, outcome: Outcome, execution: Execution, out: bytearray) -> Self:
        """The end of an execution, whose instance is closed."""
        seen = picture(execution.instance._raw)
        execution.instance.close()
        return cls(repr(outcome), bytes(out), seen)


class Away:
    """A process that finishes what others began, one after the other. Started when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def finish(self, run: Run, data: bytes) -> tuple[Ended, set[int], set[int]]:
        """How a saved execution ended, with the output since, the places where frames were suspended, and those where
        machine code went on."""
        if self._process is None:
            command = [sys.executable, "-m", __name__]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        pickle.dump((run.program.name, data, f"{run.seed} away", run.injector), process.stdin)
        process.stdin.flush()
        ended: Ended
        ended, hit, machine = pickle.load(process.stdout)
        return ended, hit, machine

    def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()


def main() -> None:
    from .soak import Player, Points, Run

    while True:
        try:
            name, data, seed, injector = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        program, out = PROGRAMS[name], bytearray()
        player = Player(random.Random(seed), Run(program, seed, injector=injector), Points(program))
        ended = player.go_on(program.load(data, player.engine(), out), out, None, 1)
        pickle.dump((ended, player.points.hit, player.points.machine), sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
