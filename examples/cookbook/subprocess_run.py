"""A subprocess: held by the call, waited for by event, and killed once if nobody waits any more."""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

import attrs

from hostsdk import ERRNO_NEGATIVE, BlockingContext, HostModule, Instance, Str, i32


# [state]
@attrs.define
class Process:
    """A child, and a descriptor that becomes readable when it ends."""

    child: subprocess.Popen[bytes]
    fd: int

    @classmethod
    def start(cls, command: str) -> Process:
        child = subprocess.Popen(shlex.split(command), stdin=subprocess.DEVNULL)
        return cls(child, os.pidfd_open(child.pid))

    def end(self) -> None:
        """Kill it if it still runs, and take its exit status, so that no zombie is left."""
        if self.child.poll() is None:
            self.child.kill()
            self.child.wait()
        os.close(self.fd)


# [functions]
shell = HostModule("shell", errors=ERRNO_NEGATIVE)


@shell.restartable
def run(ctx: BlockingContext, command: Str) -> i32:
    process = ctx.acquire(lambda: Process.start(command), release=Process.end)
    # 0 is a result like any other: only None and False mean "not yet", so the code goes in a tuple.
    (code,) = ctx.block_until(lambda: _ended(process.child), readable=process.fd)
    return code


def _ended(child: subprocess.Popen[bytes]) -> tuple[int] | None:
    code = child.poll()
    return None if code is None else (code,)


# [embedding]


def main() -> None:
    guest = Path(__file__).with_suffix(".wasm")
    with Instance.from_file(guest, [shell]) as inst:
        print("true:", inst.exports.succeed())
        print("false:", inst.exports.fail())
        print("no such program:", inst.exports.nothing())


if __name__ == "__main__":
    main()
