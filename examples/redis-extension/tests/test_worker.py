"""A guest in C that takes jobs, reads events and answers messages: stopped, timed out, in threads, and dropped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hostsdk import Instance, Interrupt, Interrupted, Module, Returned, Scheduler, Suspended, TimedOut
from hostsdk.testing import TestGuest, Trial
from hostsdk_redis import redis

from .conftest import Server

SOURCE = Path(__file__).parent.parent / "guest" / "worker.c"
restarts = pytest.mark.restart(saves=False, timed=False, steady=False)


@pytest.fixture(scope="session")
def worker(c_guest: Callable[..., Module]) -> Module:
    """The guest, compiled. Its function table is exported, so that it can be called back."""
    flags = "-mexec-model=reactor", "-Wl,--export-table", "-O2"
    return c_guest(SOURCE.read_text(), *flags)


@restarts
def test_jobs_are_done(worker: Module, guest_program: Callable[..., TestGuest], server: Server, trial: Trial) -> None:
    """Jobs that are there and jobs that come later are each done once, under faults anywhere in guest and host."""
    server.clean()
    server.do("RPUSH", "jobs", "40")
    guest = guest_program(worker, [redis(server.url)])
    trial.at(1.0, lambda: server.do("RPUSH", "jobs", "2", "100", ""))
    assert guest.call("work", -1) == 3
    assert server.do("GET", "sum") == b"142"
    assert server.do("LLEN", "jobs") == 0


@restarts
def test_messages_are_answered(
    worker: Module, guest_program: Callable[..., TestGuest], server: Server, trial: Trial
) -> None:
    """Each message is a call of the guest's function, which publishes an answer before it returns."""
    server.clean()
    guest = guest_program(worker, [redis(server.url)])
    said = (b"hello", b"guest", b"x")

    def speak() -> None:
        for each in said:
            server.do("PUBLISH", "news", each)

    trial.at(1.0, speak)
    # The clock goes on only when nothing else happens, so the subscription stands by then.
    assert guest.call("attend") == 3000 + sum(map(len, said))


@restarts
def test_events_are_read(worker: Module, guest_program: Callable[..., TestGuest], server: Server, trial: Trial) -> None:
    """The guest's place in a stream is its own: each entry is read once."""
    server.clean()
    guest = guest_program(worker, [redis(server.url)])
    trial.at(1.0, lambda: server.do("XADD", "events", "1-0", "a", "bc"))
    trial.at(2.0, lambda: server.do("XADD", "events", "2-0", "d", "e"))
    assert guest.call("read_events", 2) == len("1:a,2:bc,") + len("1:d,1:e,")


def test_interrupted_and_resumed(worker: Module, server: Server) -> None:
    """An interrupt from another thread ends the wait for a job, and the wait goes on later, on the same command."""
    with Instance(worker, [redis(server.url)]) as instance:
        execution = instance.start("work", -1)
        for _ in range(3):
            stop = Interrupt()

            def interrupt(stop: Interrupt = stop) -> None:
                server.blocked()
                stop.set()

            other = threading.Thread(target=interrupt)
            other.start()
            outcome = execution.run(interrupt=stop)
            other.join()
            assert isinstance(outcome, Suspended)
            assert outcome.reason == Interrupted(stop)
            assert "s in redis.blpop(key=<4 bytes>, out=" in execution.explain()
            server.blocked()
        server.do("RPUSH", "jobs", "7", "")
        assert execution.run() == Returned((1,))


def test_timed_out_and_dropped(worker: Module, server: Server) -> None:
    """A call that is out of time is dropped, and with it the command on the server: a job that comes then stays."""
    with Instance(worker, [redis(server.url)]) as instance:
        execution = instance.start("work", -1)
        outcome = execution.run(timeout=0.05)
        assert isinstance(outcome, Suspended)
        assert isinstance(outcome.reason, TimedOut)
        execution.drop()
        server.blocked(0)
        server.do("RPUSH", "jobs", "8")
        assert server.do("LLEN", "jobs") == 1


def test_in_threads(worker: Module, server: Server) -> None:
    """Two threads with an instance each share a list: every job is done by one of them."""
    results: list[Any] = []

    def run() -> None:
        with Instance(worker, [host]) as instance:
            results.append(instance.call("work", -1))

    host = redis(server.url)
    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    server.blocked(2)
    server.do("RPUSH", "jobs", *range(1, 21))
    server.do("RPUSH", "jobs", "", "")
    for thread in threads:
        thread.join()
    assert sum(results) == 20
    assert server.do("LLEN", "jobs") == 0


def test_under_the_scheduler(worker: Module, server: Server) -> None:
    """Four guests on one thread share a list; while they wait, the thread is nobody's."""
    host = redis(server.url)

    def feed() -> None:
        server.blocked(4)
        server.do("RPUSH", "jobs", *range(1, 21))
        server.do("RPUSH", "jobs", *[""] * 4)

    with ExitStack() as open_, Scheduler() as scheduler:
        instances = [open_.enter_context(Instance(worker, [host])) for _ in range(4)]
        tasks = [scheduler.spawn(instance, "work", -1) for instance in instances]
        other = threading.Thread(target=feed)
        other.start()
        scheduler.run()
        other.join()
        assert sum(task.result() for task in tasks) == 20
    assert server.do("LLEN", "jobs") == 0


def test_in_an_event_loop(worker: Module, server: Server) -> None:
    """Guests in an event loop share a list; one whose task is cancelled leaves no command behind."""
    host = redis(server.url)

    async def main() -> int:
        with ExitStack() as open_:
            instances = [open_.enter_context(Instance(worker, [host])) for _ in range(4)]
            tasks = [asyncio.create_task(instance.call_async("work", -1)) for instance in instances]
            await asyncio.to_thread(server.blocked, 4)
            last = tasks.pop()
            last.cancel()
            with pytest.raises(asyncio.CancelledError):
                await last
            assert server.do("INFO", "clients").count(b"blocked_clients:3\r") == 1
            server.do("RPUSH", "jobs", *range(1, 21))
            server.do("RPUSH", "jobs", *[""] * 3)
            return sum(await asyncio.gather(*tasks))

    assert asyncio.run(main()) == 20
    assert server.do("LLEN", "jobs") == 0
