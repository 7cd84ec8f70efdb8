"""A queue that another thread fills: waking up by a notifier."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from hostsdk import BlockingContext, HostModule, Instance, Notifier, OutBuffer, i32


# [state]
class Queue:
    """Items for one guest. `put` is for any thread."""

    def __init__(self, items: Iterable[bytes] = ()) -> None:
        self.items = deque(items)
        self.changed = Notifier()

    def put(self, item: bytes) -> None:
        self.items.append(item)
        self.changed.notify()

    def try_pop(self, out: OutBuffer) -> int | None:
        """Move the first item into `out`; its length. One that is too long stays where it is."""
        if not self.items:
            return None
        n = out.fill(self.items[0])
        self.items.popleft()
        return n


q = HostModule("q", state=Queue)
# [functions]


@q.restartable
def pop(ctx: BlockingContext[Queue], out: OutBuffer) -> i32:
    return ctx.block_until(lambda: ctx.state.try_pop(out), wake=ctx.state.changed)


# [saving]


@q.save
def dump(queue: Queue) -> list[bytes]:
    return list(queue.items)


@q.load
def restore(items: list[bytes]) -> Queue:
    return Queue(items)


# [embedding]


def main() -> None:
    guest = Path(__file__).with_suffix(".wasm")
    with Instance.from_file(guest, [q]) as inst:
        queue: Queue = inst.state(q)

        def produce() -> None:
            for item in (b"one", b"two", b"three", b""):
                queue.put(item)

        producer = threading.Thread(target=produce)
        producer.start()
        total = inst.exports.collect()
        producer.join()
        print("collected:", inst.memory.read(16, total))


if __name__ == "__main__":
    main()
