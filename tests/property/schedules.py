"""Random requests to tasks of a scheduler: interrupts, cancellations, preemption, time limits, snapshots, in random
interleavings. `python -m tests.property.schedules 10000` plays so many, with `--pool` on several threads."""

from __future__ import annotations

import faulthandler
import random
import sys
import threading
from typing import Any

from hostsdk import (
    CallCancelled,
    CallInterrupted,
    Execution,
    HostModule,
    Instance,
    Interrupt,
    Scheduler,
    SchedulerPool,
    SnapshotError,
    Task,
    Timeout,
)
from tests.support.green import Bed, bed, guest

#: How a task may end: by itself, or by what was asked of it.
ENDS = (CallCancelled, CallInterrupted, Timeout)
CALLS: tuple[tuple[str, tuple[int, ...]], ...] = (
    ("nap", (30,)), ("spin", (300,)), ("both", (1, 4)), ("talk", (2, 6)), ("for_ever", ()),
)  # fmt: skip


def play(seed: int, pool: bool = False) -> dict[str, int]:
    """One schedule; what came of its tasks. Raises AssertionError where something is left behind or is wrong. In a
    pool, some requests come while it runs, and who runs when isn't drawn from the seed."""
    draw = random.Random(seed)
    shared, ends = Bed(), dict.fromkeys(("returned", "stopped", "saved"), 0)
    host, stops = _bed(shared), [Interrupt() for _ in range(2)]
    tasks: list[tuple[Task, tuple[int, ...]]] = []
    scheduler = SchedulerPool(draw.randint(1, 4), turn=0.0005) if pool else Scheduler(seed=seed)
    with scheduler:
        for _ in range(draw.randint(2, 8)):
            name, args = draw.choice(CALLS)
            options: dict[str, Any] = {"priority": draw.randint(-1, 1)}
            if name == "for_ever" or draw.random() < 0.3:
                options["timeout"] = draw.uniform(0.0, 0.02 if pool else 0.1)
            if draw.random() < 0.5:
                options["interrupt"] = draw.choice(stops)
            tasks.append((scheduler.spawn(Instance(guest(), [host]), name, *args, **options), args))
        given = [task for task, _ in tasks]
        asker = threading.Thread(target=_harass, args=(random.Random(seed), given if pool else [], stops))
        asker.start()
        while not scheduler.run(timeout=draw.uniform(0.0, 0.01)):
            _ask(draw, given, stops, ends)
        asker.join()
        for task, args in tasks:
            _judge(task, args, ends)
        assert scheduler.tasks == ()
        if not pool:
            assert scheduler.clock.alarms == 0  # type: ignore[attr-defined]  # with a seed it is a FakeClock
    # Whoever began to nap has left the bed.
    assert all(task.execution is None or not task.execution._context.frames for task, _ in tasks)
    return ends


def _bed(shared: Bed) -> HostModule[Bed]:
    host = bed(shared)
    host.save(lambda state: 0)
    host.load(lambda saved: Bed())
    return host


def _harass(draw: random.Random, tasks: list[Task], stops: list[Interrupt]) -> None:
    """Ask from another thread, until all have ended or it is enough."""
    for _ in range(20):
        if all(task.ended for task in tasks):
            break
        _ask(draw, tasks, stops, None)


def _ask(draw: random.Random, tasks: list[Task], stops: list[Interrupt], ends: dict[str, int] | None) -> None:
    """One request; of a kind that may come from any thread, where nothing is counted."""
    kinds = ("interrupt", "cancel", "preempt", *[("save", "nothing", "nothing"), ("nothing",) * 12][ends is None])
    match draw.choice(kinds):
        case "interrupt":
            draw.choice(stops).set()
        case "cancel":
            draw.choice(tasks).cancel()
        case "preempt":
            task = draw.choice(tasks)
            if task.execution is not None and not task.ended:
                task.execution._context.requests.preempt()
        case "save" if ends is not None:
            ends["saved"] += _save(draw.choice(tasks))


def _save(task: Task) -> int:
    """Save a task where that can be, and load what was saved: it can be dropped like the original."""
    execution = task.execution
    if execution is None or task.ended or execution.state.value != "suspended":
        return 0
    try:
        data = execution.save()
    except SnapshotError:
        return 0
    loaded = Execution.load(data, guest(), [_bed(Bed())], trusted=True)
    loaded.drop()
    loaded.instance.close()
    return 1


def _judge(task: Task, args: tuple[int, ...], ends: dict[str, int]) -> None:
    context = None if task.execution is None else task.execution._context
    if context is not None:
        left = [context.depth, context.hosts, context.cells, *context.frames, *context.requests.attachments]
        assert not any(left), left
        assert task.execution is not None
        assert context not in task.execution.instance._raw.group.root().active
    if task.error is None:
        assert task.result() == args[0]
        ends["returned"] += 1
    else:
        assert isinstance(task.error, ENDS), task.error
        ends["stopped"] += 1


def main(count: int, pool: bool) -> None:
    """Play so many schedules; the first that fails is named, and one that hangs shows its threads."""
    totals = dict.fromkeys(("returned", "stopped", "saved"), 0)
    for seed in range(count):
        faulthandler.dump_traceback_later(60, exit=True)
        try:
            for what, number in play(seed, pool).items():
                totals[what] += number
        except BaseException:
            sys.stderr.write(f"schedule {seed}\n")
            raise
    faulthandler.cancel_dump_traceback_later()
    sys.stdout.write(f"{count} schedules: {totals}\n")


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(numbers[0] if numbers else 10_000, "--pool" in sys.argv)
