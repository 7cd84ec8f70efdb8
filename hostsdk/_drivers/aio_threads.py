"""The threads of a guest as tasks of an event loop: what `Process.run_async` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .aio import LoopDriver, drive

if TYPE_CHECKING:
    from .._threads import GuestThread


class LoopThreads:
    """A spawner for the running loop: `start` may be called in its thread only, and `finish` takes the place of
    `run`."""

    def __init__(self, turn: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._turn = turn
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, thread: GuestThread) -> None:
        """Not in a loop. Raises RuntimeError."""
        raise RuntimeError("the process belongs to an event loop: await run_async")

    def start(self, thread: GuestThread) -> None:
        """Have a thread take its turns in the loop from now on."""
        task = self._loop.create_task(self._drive(thread), name=f"guest thread {thread.tid}")
        self._tasks.add(task)

    async def finish(self, main: GuestThread) -> None:
        """Run the main thread and all others until none is left, whatever comes. Cancelled, it has all of them exit,
        and waits for that first."""
        self.start(main)
        raised: BaseException | None = None
        while self._tasks:
            try:
                done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
            except asyncio.CancelledError as error:
                raised = raised or error
                main.process._cancelled(error)
                continue
            self._tasks -= done
            for task in done:
                raised = raised or (asyncio.CancelledError() if task.cancelled() else task.exception())
        if raised is not None:
            raise raised

    async def _drive(self, thread: GuestThread) -> None:
        process = thread.process
        calls = thread.executions()
        try:
            execution = next(calls, None)
            while execution is not None:
                driver = LoopDriver(self._loop, execution._context.requests.clock)
                try:
                    outcome = await drive(
                        execution._context, driver, process._interrupt, process._left(), self._turn
                    )  # fmt: skip
                finally:
                    await driver.cleaned()
                try:
                    execution = calls.send(execution._came_to(outcome))
                except StopIteration:
                    execution = None
        except BaseException as error:
            thread.end(error)
            raise
        thread.end()


__all__ = ["LoopThreads"]
