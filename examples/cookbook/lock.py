"""A lock that several guests share: something that can only be polled."""

from __future__ import annotations

import threading
from pathlib import Path

import attrs

from hostsdk import BlockingContext, Context, HostModule, Instance, SnapshotError

THE_LOCK = threading.Lock()


# [state]
@attrs.define
class Share:
    """One instance's part in the lock."""

    lock: threading.Lock
    held: bool = False

    def try_acquire(self) -> bool:
        if not self.lock.acquire(blocking=False):
            return False
        self.held = True
        return True

    def release(self) -> None:
        """Let the lock go if it is ours; once."""
        if self.held:
            self.held = False
            self.lock.release()


locks = HostModule("locks", state=lambda: Share(THE_LOCK), close=Share.release)
# [functions]


@locks.restartable
def lock(ctx: BlockingContext[Share]) -> None:
    ctx.block_until(ctx.state.try_acquire)


@locks.function
def unlock(ctx: Context[Share]) -> None:
    ctx.state.release()


# [saving]


@locks.save
def dump(share: Share) -> None:
    if share.held:
        raise SnapshotError("the guest holds the lock, which belongs to this process")


@locks.load
def restore(nothing: None) -> Share:
    return Share(THE_LOCK)


# [embedding]


def main() -> None:
    guest = Path(__file__).with_suffix(".wasm")
    with Instance.from_file(guest, [locks]) as first, Instance.from_file(guest, [locks]) as second:
        first.exports.lock()
        try:
            second.call("lock", timeout=0.05)
        except TimeoutError as error:
            print(error)
        first.exports.unlock()
        second.exports.lock()
        print("the second has it:", second.state(locks).held)
    print("free again:", not THE_LOCK.locked())


if __name__ == "__main__":
    main()
