"""The layouts in which a guest's call may run, so that tests written for a plain call hold in each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from hostsdk import FakeClock, Instance, Scheduler

from .aio import virtually

#: Alone a wait blocks the thread; in the others it leaves the stack.
LAYOUTS: Final = ("alone", "scheduler", "loop")
_now: list[str] = ["alone"]


@contextmanager
def layout(name: str) -> Iterator[None]:
    """Have `called` use this layout, in all threads."""
    _now.append(name)
    try:
        yield
    finally:
        _now.pop()


def called(instance: Instance, name: str, args: tuple[Any, ...], clock: FakeClock | None, options: Any) -> Any:
    """What the export gives, called in the layout of the day; `clock` is the engine's, where it is no real one."""
    if _now[-1] == "scheduler":
        seed = None if clock is None else 0
        with Scheduler(clock=clock, seed=seed, threads=True) as scheduler:
            return scheduler.join(scheduler.spawn(instance, name, *args, **options))
    if _now[-1] == "loop":
        call = instance.call_async(name, *args, **options)
        return asyncio.run(call) if clock is None else virtually(call, clock, threads=True)
    return instance.call(name, *args, **options)
