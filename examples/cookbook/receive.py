"""Receive from a socket: readiness and attempt in one wait, the author's timeout, error numbers."""

from __future__ import annotations

import socket
from pathlib import Path

from hostsdk import ERRNO_NEGATIVE, BlockingContext, HostModule, Instance, OutBuffer, i32, try_recv, u32

# [functions]
net = HostModule("net", errors=ERRNO_NEGATIVE)


@net.restartable
def recv(ctx: BlockingContext, fd: i32, out: OutBuffer, timeout_ms: u32) -> i32:
    sock = ctx.resources.get(fd, socket.socket)
    n = ctx.block_until(lambda: try_recv(sock, out), readable=sock, timeout=timeout_ms / 1000)
    if n is None:
        raise TimeoutError
    return n


# [embedding]


def main() -> None:
    ours, theirs = socket.socketpair()
    guest = Path(__file__).with_suffix(".wasm")
    with ours, Instance.from_file(guest, [net]) as inst:
        fd = inst.resources.add(theirs, close=socket.socket.close)
        ours.sendall(b"hello")
        print("nothing more in 10 ms:", inst.exports.drain(fd, 10))
        ours.sendall(b", guest")
        ours.shutdown(socket.SHUT_WR)
        print("the rest:", inst.exports.drain(fd, 1000), inst.memory.read(16, 12))
        print("a number that is no socket:", inst.exports.drain(fd + 1, 10))


if __name__ == "__main__":
    main()
