"""Coroutines as host functions: how one that runs on an event loop and the engine, which runs the guest, meet.

The coroutine is a task of a loop: the embedder's, where the guest was called by `call_async`, or one that the process
keeps in a thread for all other calls. The guest is suspended, or its thread sleeps, while the coroutine waits for
something of the loop's. What only the engine can do (`await call(…)`) is an order: it is carried out in the guest's
turn, and the coroutine awaits its result.

The coroutine stays alive in memory, so nothing that it does is journaled; its record can't be saved, but where it was
declared to be repeatable, and then it begins anew.
"""

from __future__ import annotations

import asyncio
import os
import threading
import types
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any

from ._binding import Binding
from ._context import Context
from ._engine import (
    Dropped,
    ExecContext,
    MemInst,
    Notifier,
    Record,
    StateError,
    Unwind,
    WaitSet,
    check_interrupt,
    lean,
    make_dropped,
    wait,
)
from ._messages import Text
from ._ops import Operation
from ._restart import Call
from ._types import DESK, Op


class LiveContext(Context[Any]):
    """The context of one coroutine. It holds for as long as the call does, and reaches the guest's memory while that
    waits for the coroutine and for nothing else."""

    def __init__(self, desk: Desk, binding: Binding, execution: ExecContext, call: Call) -> None:
        super().__init__(binding, execution)
        self.desk = desk
        self._call = call
        desk.context = self

    def _guest_memory(self) -> MemInst:
        if self.desk.performing:
            raise StateError(Text.OUT_OF_TURN(where=self._now.manner.where))
        return super()._guest_memory()


class _Cancelled(StateError):
    """The task of a coroutine was cancelled, by somebody else than the engine where the guest sees it."""


@lean.define(eq=False)
class Order:
    """An operation that the engine is to carry out, and the future that tells the coroutine."""

    op: Operation[Any]
    future: asyncio.Future[Any]


class Desk:
    """One call of a coroutine. What the loop does and what the engine does may be in two threads: each side first
    changes its own state and then wakes the other."""

    def __init__(self, where: str, ending: list[Awaitable[object]] | None) -> None:
        self.where = where
        #: Tells the engine: an order, or the end.
        self.changed = Notifier()
        #: An order is being carried out: the guest has its turn.
        self.performing = False
        self.ended = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._thread = 0
        self._task: asyncio.Task[Any] | None = None
        #: The task has come to its first step. One that is cancelled before never does.
        self._stepped = False
        self._orders: deque[Order] = deque()
        self._thrown: BaseException | None = None
        self._dropped = False
        #: Where the embedder's driver awaits the cleanup of what was dropped.
        self._ending = ending
        self._after: Callable[[], object] | None = None
        self._value: object = None
        self._error: BaseException | None = None
        #: What the coroutine sees of its guest.
        self.context: LiveContext | None = None

    # The engine's side ---------------------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop, thread: int, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Have `coroutine` run on `loop`, which runs in `thread`."""
        self._loop, self._thread = loop, thread
        self._post(lambda: self._begin(coroutine))

    def next(self) -> Order | None:
        """The order that is to be carried out; None where there is none."""
        while self._orders:
            if not self._orders[0].future.cancelled():
                return self._orders[0]
            self._orders.popleft()
        return None

    def settle(self, order: Order, value: object, error: BaseException | None = None) -> None:
        """The order has been carried out: its result, or what it raised, goes to the coroutine."""
        self.performing = False
        self._orders.remove(order)

        def tell() -> None:
            if order.future.done():
                return
            if error is None:
                order.future.set_result(value)
            else:
                order.future.set_exception(error)

        self._post(tell)

    def result(self) -> object:
        """What the coroutine, which has ended, gave. Raises what it raised."""
        if self._error is not None:
            raise self._error
        return self._value

    def throw(self, error: BaseException) -> None:
        """Raise `error` in the coroutine, where it awaits."""
        self._thrown = error
        self._post(self._stir)

    def drop(self, release: Callable[[], object]) -> None:
        """Cancel the coroutine, and call `release` when its cleanup has run: at once where its loop is another
        thread's, and else when the loop comes to it. Raises the first error of the cleanup, in the first case."""
        self._dropped = True
        self._after = release
        here = threading.get_ident() == self._thread
        try:
            self._post(self._stir)
        except RuntimeError:  # the loop is closed, and nothing runs on it any more
            release()
            return
        if here:
            if self._ending is not None:
                self._ending.append(asyncio.shield(asyncio.ensure_future(self._end(), loop=self._loop)))
            return
        self.ended.wait()
        if self._error is not None and not isinstance(self._error, (Dropped, _Cancelled)):
            raise self._error

    # The loop's side -----------------------------------------------------------------------------------------------

    def order(self, op: Op[Any]) -> asyncio.Future[Any]:
        """For `await op`: the future of its result."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._dropped:
            future.set_exception(make_dropped())
            return future
        if not isinstance(op, Operation) or self.ended.is_set():
            raise StateError(Text.AWAIT_OUTSIDE(op=op.label))
        self._orders.append(Order(op, future))
        self.changed.notify()
        return future

    def _post(self, fn: Callable[[], object]) -> None:
        if threading.get_ident() == self._thread:
            self._loop.call_soon(fn)
        else:
            self._loop.call_soon_threadsafe(fn)

    def _begin(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        if self._dropped:
            coroutine.close()
            self._done(None)
            return
        self._task = self._loop.create_task(self._run(coroutine), name=self.where)
        self._task.add_done_callback(self._done)

    async def _run(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        DESK.set(self)
        self._stepped = True
        if self._dropped:
            coroutine.close()
            return
        try:
            self._value = await _relay(self, coroutine)
        except asyncio.CancelledError:
            self._error = _Cancelled(Text.TASK_CANCELLED(where=self.where))
            raise
        except BaseException as error:  # for the guest's call, and not for the loop, which Ctrl-C would end
            self._error = error

    def _stir(self) -> None:
        """Make the task look at what is thrown or dropped. About its first step it does so by itself."""
        if self._task is not None and self._stepped and (self._dropped or self._thrown is not None):
            self._task.cancel()

    def _done(self, task: asyncio.Task[Any] | None) -> None:
        after, self._after = self._after, None
        if task is not None and task.cancelled() and self._error is None:
            self._error = _Cancelled(Text.TASK_CANCELLED(where=self.where))
        try:
            if after is not None:
                after()
        except Exception as error:  # a release= of what the call held
            self._error = error if self._error is None or isinstance(self._error, _Cancelled) else self._error
        if self.context is not None:
            self.context._call = None
        self.ended.set()
        self.changed.notify()
        if self._dropped and self._ending is not None and threading.get_ident() == self._thread:
            self._tell_error()

    def _tell_error(self) -> None:
        """A cleanup that the loop runs has nobody to raise its error to but the loop's handler."""
        if self._error is not None and not isinstance(self._error, (Dropped, _Cancelled)):
            what = {"message": f"the cleanup of {self.where} failed", "exception": self._error}
            self._loop.call_exception_handler(what)

    async def _end(self) -> None:
        while not self.ended.is_set():
            if self._task is None:
                await asyncio.sleep(0)
            else:
                await asyncio.wait([self._task])
                await asyncio.sleep(0)  # its callback

    def taken(self) -> BaseException | None:
        """What is to be raised in the coroutine, once."""
        error, self._thrown = self._thrown, None
        return error


@types.coroutine
def _relay(desk: Desk, coroutine: Coroutine[Any, Any, Any]) -> Generator[Any, Any, Any]:
    """Run `coroutine`, but raise what `Desk.throw` was given where it awaits. A task can only be cancelled; so the
    cancellation is turned into that."""
    step: Callable[[], Any] = lambda: coroutine.send(None)  # noqa: E731  # the first of many
    while True:
        try:
            pending = step()
        except StopIteration as end:
            return end.value
        early = desk.taken()
        if early is not None:  # thrown before the first step; this is where it awaits
            step = _throwing(coroutine, early)
            continue
        try:
            value = yield pending
        except asyncio.CancelledError as cancelled:
            error: BaseException | None = desk.taken()
            if error is not None:
                task = asyncio.current_task()
                if task is not None:
                    task.uncancel()
            step = _throwing(coroutine, error or cancelled)
        except BaseException as raised:
            step = _throwing(coroutine, raised)
        else:
            step = _sending(coroutine, value)


def _throwing(coroutine: Coroutine[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: coroutine.throw(error)


def _sending(coroutine: Coroutine[Any, Any, Any], value: object) -> Callable[[], Any]:
    return lambda: coroutine.send(value)


# Loops -----------------------------------------------------------------------------------------------------------


class _Background:
    """A loop in a thread of its own, for coroutines of calls that no event loop made. Begun when first needed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def loop(self) -> tuple[asyncio.AbstractEventLoop, int]:
        with self._lock:
            if self._pid != os.getpid():  # a forked child has no threads but one
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="hostsdk-loop", daemon=True)
                self._thread.start()
                self._pid = os.getpid()
            return self._loop, self._thread.ident or 0


_BACKGROUND = _Background()


def _loop_of(border: ExecContext) -> tuple[asyncio.AbstractEventLoop, int, list[Awaitable[object]] | None]:
    """The loop for the coroutines of an execution, its thread, and where cleanups are awaited. A plain call nested in a
    host function holds its thread, which may be the loop's."""
    driver: Any = border.driver
    loop = getattr(driver, "loop", None)
    if loop is None or border.requests.parent is not None:
        return *_BACKGROUND.loop(), None
    return loop, driver.thread, driver.ending


# One entry ---------------------------------------------------------------------------------------------------------


def begin(border: ExecContext, where: str, make: Callable[[Desk], Coroutine[Any, Any, Any]]) -> Desk:
    """A desk whose coroutine, which `make` makes, is on its way."""
    loop, thread, ending = _loop_of(border)
    desk = Desk(where, ending)
    desk.start(loop, thread, make(desk))
    return desk


def carry_out(ctx: Context[Any], border: ExecContext, record: Record, desk: Desk, repeat: bool) -> object:
    """Carry out what the coroutine orders until it has ended; its result. May suspend, and is then called again with
    the same desk."""
    _forget_await(record)
    record.stand()
    while True:
        # Made before the look: what happens in between ends the wait at once.
        waits = WaitSet.of(wake=desk.changed, label=f"await in {desk.where}")
        order = desk.next()
        if order is not None:
            record.stays = Text.IN_CALLBACK(where=desk.where)
            desk.performing = True
            _perform(ctx, record, desk, order)
            continue
        if desk.ended.is_set():
            record.stays = None
            return desk.result()
        record.stays = None if repeat else Text.PENDING_AWAIT(where=desk.where)
        error = record.thrown(None)
        if error is not None:
            desk.throw(error)
        _await(border, record, waits)
        _forget_await(record)


def _perform(ctx: Context[Any], record: Record, desk: Desk, order: Order) -> None:
    try:
        value = order.op.perform(ctx)
    except Unwind:
        raise
    except Exception as error:
        desk.settle(order, None, error)
    except BaseException as error:
        desk.settle(order, None, error)
        if not desk.ended.is_set() and isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
    else:
        desk.settle(order, value)
    record.entries.clear()
    record.cursor = 0
    record.leave()


def _await(border: ExecContext, record: Record, waits: WaitSet) -> None:
    entry = record.append("await", "", None, pending=True)
    entry.since = border.requests.clock.monotonic()
    entry.waits = waits
    check_interrupt(border)
    wait(border, waits)


def _forget_await(record: Record) -> None:
    if record.entries and record.entries[-1].kind == "await":
        record.entries.pop()
        record.cursor = len(record.entries)
        record.leave()


def renew(record: Record) -> None:
    """The call has been loaded: it begins from its first line."""
    record.entries.clear()
    record.inbox = None
    record.rewind()
    record.leave()


__all__ = ["Desk", "LiveContext", "begin", "carry_out", "renew"]
