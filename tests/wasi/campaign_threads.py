"""Threads under random requests, for as many schedules as one likes:

    python -m tests.wasi.campaign_threads --schedules 10000 --seed 0

Each schedule takes one of the guests of several threads, a tier, what runs the threads, a way of growing and
faults from its seed, and makes requests from outside while it runs: exits, interrupts, time limits, preemption, stops
of the world, growth, notifications, snapshots. Whatever comes first, the process must end, and leave no thread, no
descriptor, no waiter and no member behind. A schedule that doesn't end within a minute is a hang: the stacks of all
threads are shown, and the command ends with status 1.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from hostsdk import (
    CallStopped,
    Execution,
    ExitRequested,
    Interrupt,
    Module,
    Process,
    SnapshotError,
    StateError,
    Suspended,
    Trap,
)
from hostsdk.testing import Never, Randomly
from runtime.exec.cluster import Cluster, Phase
from runtime.instances.shared import SharedMemInst
from tests.support.threads import LAYOUTS, guest, loaded, nothing_left, process, queue_of_work

_WHO = ("main", "other")
#: Guests, and the calls that are made of them; whether it would end by itself plays no part.
CALLS: tuple[tuple[Callable[[], Module], str, tuple[int, ...]], ...] = (
    *[(partial(guest, "exits"), who, (state, how)) for who in _WHO for state in range(5) for how in range(3)],
    (partial(guest, "exits"), "race", ()),
    (partial(guest, "crowd"), "storm", (12,)),
    (partial(guest, "crowd"), "contend", (3, 2)),
    *[(partial(guest, "crowd"), "end_while_growing", (how,)) for how in (0, 4, 5)],
    (queue_of_work, "run", (8,)),
)  # fmt: skip
_HANG = 60.0


def requests(running: Process, interrupt: Interrupt, chance: random.Random) -> list[Callable[[], object]]:
    """What may be asked of a process from outside, in a random order; the last one ends it."""
    [memory] = running.instance._raw.memories
    assert isinstance(memory, SharedMemInst)
    [world] = running.instance._raw.worlds

    def stop() -> None:
        with world.stopped():
            memory.write(4000, b"stopped")

    def executions() -> list[Execution]:
        return [thread._execution for thread in list(running._live.values()) if thread._execution is not None]

    def preempt() -> None:
        for execution in executions():
            execution._context.requests.preempt()

    def save() -> None:
        with world.stopped():  # so that none goes on meanwhile
            for execution in executions():
                try:
                    execution.save()
                except (SnapshotError, StateError):
                    pass  # it runs, or shares its memory with others

    harmless: list[Callable[[], object]] = [
        stop,
        preempt,
        save,
        partial(memory.grow, 1),
        partial(memory.waiters.notify, chance.choice((4, 8, 64, 68)), 1),
        partial(memory.read, 0, 64),
    ]
    chosen = [chance.choice(harmless) for _ in range(chance.randrange(6))]
    return [*chosen, chance.choice((partial(running.exit, 9), interrupt.set))]


def schedule(seed: int) -> None:
    """One run. Raises AssertionError where something is left behind."""
    chance = random.Random(seed)
    module, name, args = chance.choice(CALLS)
    faults = chance.random() < 0.5
    injector = Randomly(seed, 0.1) if faults else Never()
    layout = chance.choice(list(LAYOUTS.values()))
    interrupt = Interrupt(level=chance.random() < 0.5)
    read, write = os.pipe()
    prealloc = chance.random() < 0.5
    running = process(module(), layout, stdin=read, prealloc=prealloc, injector=injector if faults else None)
    other = chance.choice(list(LAYOUTS.values()))
    moves = [chance.choice((0.0, 0.0005, 0.003)) for _ in range(chance.randrange(1, 4))]
    run: Callable[[], None] = partial(_run, running, name, args, interrupt, chance.random() < 0.3)
    if chance.random() < 0.4:
        run = partial(_run_kept, running, name, args, interrupt, other, moves, read)
    thread = threading.Thread(target=run)
    thread.start()
    for request in requests(running, interrupt, chance):
        time.sleep(chance.choice((0.0, 0.0, 0.0002, 0.002)))  # not to prove anything: it lets others come further
        request()
    thread.join()
    running.close()
    os.close(read)
    os.close(write)
    _nothing_left(running)


def _run(running: Process, name: str, args: tuple[int, ...], interrupt: Interrupt, short: bool) -> None:
    try:
        running.run(name, *args, interrupt=interrupt, timeout=0.005 if short else _HANG)
    except (CallStopped, ExitRequested, Trap):
        pass


def _run_kept(
    running: Process, name: str, args: tuple[int, ...], interrupt: Interrupt, other: Any, moves: list[float], stdin: int
) -> None:
    """The same, but stopped and saved now and then, with what was saved gone on with for a while, too."""
    try:
        running.start(name, *args)
        for seconds in moves:
            if not isinstance(running.advance(interrupt=interrupt, timeout=seconds), Suspended):
                return
            data = running.save()
            with loaded(data, running.module, other, stdin=stdin) as again:
                if isinstance(again.advance(timeout=seconds), Suspended):
                    again.save()
        running.finish(interrupt=interrupt, timeout=0.005)
    except (CallStopped, ExitRequested, Trap):
        pass
    except (StateError, SnapshotError):
        assert running.result is not None  # it was ended while it rested


def _nothing_left(running: Process) -> None:
    assert running.result is not None
    assert running.threads == 0
    [memory] = running.instance._raw.memories
    assert isinstance(memory, SharedMemInst)
    assert len(memory.waiters) == 0
    [world] = running.instance._raw.worlds
    assert isinstance(world, Cluster)
    assert (world.phase, world.members) == (Phase.OPEN, 0)


def run(seeds: Sequence[int], tell: Callable[[int], Any] = lambda done: None) -> None:
    """All schedules. Raises AssertionError with the seed of the one that has left something behind."""
    with nothing_left():
        _run_all(seeds, tell)


def _run_all(seeds: Sequence[int], tell: Callable[[int], Any]) -> None:
    for done, seed in enumerate(seeds):
        faulthandler.dump_traceback_later(_HANG, exit=True)
        try:
            schedule(seed)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        tell(done)
    faulthandler.cancel_dump_traceback_later()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--schedules", type=int, default=10_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    options = parser.parse_args()

    def tell(done: int) -> None:
        if done % 500 == 499:
            sys.stdout.write(f"{done + 1} schedules\n")
            sys.stdout.flush()

    run(range(options.seed, options.seed + options.schedules), tell)
    sys.stdout.write(f"{options.schedules} schedules: none hangs, nothing is left\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
