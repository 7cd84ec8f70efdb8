"""Another thread interrupts the guest again and again, mostly while it sleeps in a host function.

    python interrupted.py

`load` takes its time here: it waits for 20 ms before it reads. The other thread asks for an interruption every 7 ms.
Each time the call leaves the stack and comes back to this script, which resumes it; the sleep then goes on to the end
that it had, and the sum is what it is undisturbed. The exit status is 0 if it is 136.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

from hostmod import load_call, load_call_add, take

from hostsdk import BlockingContext, HostModule, Instance, Interrupt, Ptr, Returned, Suspended, u32

HERE = Path(__file__).resolve().parent

slow = HostModule("my-host-func")
slow.restartable(load_call)
slow.restartable(load_call_add)


@slow.restartable
def load(ctx: BlockingContext, cursor: Ptr[Ptr[u32]]) -> u32:
    ctx.sleep(0.020)
    return take(cursor)


def disturb(interrupt: Interrupt, done: threading.Event) -> None:
    """What the other thread does."""
    while not done.wait(0.007):
        interrupt.set("another thread")


def main() -> int:
    interrupt, done = Interrupt(), threading.Event()
    other = threading.Thread(target=disturb, args=(interrupt, done))
    places: Counter[str] = Counter()
    with Instance.from_file(HERE / "guest7.wasm", [slow]) as instance:
        execution = instance.start("main")
        begun = time.monotonic()
        other.start()
        try:
            while isinstance(outcome := execution.run(interrupt=interrupt), Suspended):
                if not places:
                    print(execution.explain(), "\n")
                places[execution.backtrace[0].name] += 1
        finally:
            done.set()
            other.join()
        taken = time.monotonic() - begun

    print(f"Interrupted {places.total()} times, in", ", ".join(f"{place} ({n})" for place, n in places.items()))
    print(f"It took {taken * 1000:.0f} ms. 16 sleeps of 20 ms are 320 ms: no sleep began anew.")
    print(f"Finished: {outcome}")
    return 0 if outcome == Returned((136,)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
