"""Send everything: `ctx.progress` as a commit."""

from __future__ import annotations

import socket
import threading
from pathlib import Path

from hostsdk import ERRNO_NEGATIVE, BlockingContext, Bytes, HostModule, Instance, i32, try_send

# [functions]
net = HostModule("net", errors=ERRNO_NEGATIVE)


@net.restartable
def send_all(ctx: BlockingContext, fd: i32, data: Bytes) -> i32:
    sock, sent = ctx.resources.get(fd, socket.socket), ctx.progress(0)
    while sent.value < len(data):
        sent.value += ctx.block_until(lambda: try_send(sock, data[sent.value :]), writable=sock)
    return sent.value


# [embedding]


def main() -> None:
    ours, theirs = socket.socketpair()
    received = bytearray()

    def read() -> None:
        while data := ours.recv(4096):
            received.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    guest = Path(__file__).with_suffix(".wasm")
    with ours:
        with Instance.from_file(guest, [net]) as inst:
            fd = inst.resources.add(theirs, close=socket.socket.close)
            print("sent:", inst.exports.send(fd, 1_000_000))
        reader.join()
    print("received:", len(received))


if __name__ == "__main__":
    main()
