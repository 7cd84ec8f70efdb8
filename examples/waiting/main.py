"""Ten thousand guests wait on one thread, for times, sockets, a queue and coroutines, and a table shows for what.

    python examples/waiting/main.py [GUESTS [SECONDS]]

A quarter of them waits for each kind of thing. When the time is over, whoever still waits is given what it waits for,
and all come to their ends.
"""

from __future__ import annotations

import asyncio
import random
import resource
import socket
import sys
import time
from collections import Counter, deque
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table

from hostsdk import BlockingContext, Context, HostModule, Instance, Module, Notifier, Scheduler, Task, TaskState, u32

KINDS = ("nap", "receive", "take", "fetch")
#: Guests share sockets: a process may have few descriptors, and any number may wait for one.
PAIRS = 50


class World:
    """What the guests wait for, shared by all of them."""

    def __init__(self) -> None:
        self.items: deque[int] = deque()
        self.more = Notifier()
        self.pairs = [socket.socketpair() for _ in range(PAIRS)]
        for ours, theirs in self.pairs:
            ours.setblocking(False)
            theirs.setblocking(False)
        self.opened = asyncio.Event()
        self.loop: asyncio.AbstractEventLoop | None = None

    def take(self) -> int | None:
        return self.items.popleft() if self.items else None

    def finish(self, guests: int) -> None:
        """Give everybody what it waits for."""
        self.items.extend(range(guests))
        self.more.notify()
        if self.loop is not None:
            self.loop.call_soon_threadsafe(self.opened.set)

    def close(self) -> None:
        for pair in self.pairs:
            for end in pair:
                end.close()


def world_module(world: World) -> HostModule[World]:
    """Host functions on `world`."""
    host = HostModule("world", state=lambda: world)

    @host.restartable
    def nap(ctx: BlockingContext[World], ms: u32) -> u32:
        ctx.sleep(ms / 1000)
        return ms

    @host.restartable
    def receive(ctx: BlockingContext[World], number: u32) -> u32:
        sock = ctx.state.pairs[number % PAIRS][0]
        return len(ctx.block_until(lambda: sock.recv(1), readable=sock))

    @host.restartable
    def take(ctx: BlockingContext[World]) -> u32:
        return ctx.block_until(ctx.state.take, wake=ctx.state.more)

    @host.restartable
    async def fetch(ctx: Context[World], number: u32) -> u32:
        ctx.state.loop = asyncio.get_running_loop()
        await ctx.state.opened.wait()
        return number

    return host


def picture(scheduler: Scheduler, worker: Task, done: Counter[str], begun: float) -> Table:
    """What everybody is doing now."""
    asleep = [task for task in scheduler.tasks if task.state is TaskState.WAITING]
    waiting = Counter(task.name for task in asleep)
    sample = {task.name: task.waits_for or "" for task in asleep[:100]}
    table = Table("guests", "waiting", "done", "of which one", title=f"{time.monotonic() - begun:.1f} s")
    for kind in KINDS:
        table.add_row(kind, str(waiting[kind]), str(done[kind]), sample.get(kind, ""))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    table.caption = f"one thread, {worker.turns} turns of a worker beside them, {memory:.0f} MB"
    return table


def main(guests: int = 10_000, seconds: float = 5.0) -> int:
    """Run; the number of guests that came to their end."""
    module = Module.from_file(Path(__file__).with_name("guest.wasm"))
    world, console = World(), Console()
    host, draw = world_module(world), random.Random(0)
    begun = time.monotonic()
    with Scheduler() as scheduler:
        tasks = []
        for number in range(guests):
            kind = KINDS[number % len(KINDS)]
            args = {"nap": [draw.randrange(round(seconds * 1500))], "take": []}.get(kind, [number])
            tasks.append(scheduler.spawn(Instance(module, [host]), kind, *args, label=kind))
        worker = scheduler.spawn(Instance(module, [host]), "work", 0x7FFFFFFF, label="work")
        with Live(console=console, auto_refresh=False) as live:
            finishing = False
            while scheduler.run(*tasks, timeout=0.25) is False:
                if not finishing and time.monotonic() - begun > seconds:
                    finishing = True
                    world.finish(guests)
                if finishing:
                    feed(world)
                done = Counter(task.name for task in tasks if task.ended)
                live.update(picture(scheduler, worker, done, begun), refresh=True)
        ended = sum(task.error is None for task in tasks)
        console.print(f"\n{ended} of {guests} guests have returned; the thread slept {scheduler.wakeups} times.")
    world.close()
    return ended


def feed(world: World) -> None:
    """Bytes for whoever waits for them, as many as the sockets take."""
    for _, theirs in world.pairs:
        try:
            theirs.send(bytes(100))
        except BlockingIOError:
            pass


if __name__ == "__main__":
    main(*(int(arg) for arg in sys.argv[1:2]), *(float(arg) for arg in sys.argv[2:3]))
