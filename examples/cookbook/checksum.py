"""A long computation: check points of its own, and progress that survives a restart."""

from __future__ import annotations

import zlib
from pathlib import Path

import attrs

from hostsdk import BlockingContext, HostModule, Instance, u32

# [functions]
CHUNK = 1 << 16
lib = HostModule("lib")


@attrs.frozen
class Done:
    """How far the checksum has come."""

    size: int = 0
    crc: int = 0


@lib.restartable
def checksum(ctx: BlockingContext, addr: u32, n: u32) -> u32:
    done = ctx.progress(Done())
    while done.value.size < n:
        size, crc = done.value.size, done.value.crc
        chunk = ctx.memory.read(addr + size, min(CHUNK, n - size))
        done.value = Done(size + len(chunk), zlib.crc32(chunk, crc))
        ctx.check_interrupt()
    return done.value.crc


# [embedding]


def main() -> None:
    guest = Path(__file__).with_suffix(".wasm")
    with Instance.from_file(guest, [lib]) as inst:
        print(f"checksum of 4 MiB: {inst.exports.check(4 << 20):#010x}")


if __name__ == "__main__":
    main()
