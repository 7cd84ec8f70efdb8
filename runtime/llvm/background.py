"""Code made while the guest runs on: for each level of the code generator a queue, a thread, and a process.

A thread lives only while there is something in its queue. In a process forked off, orders that were under way are
made anew.
"""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from .. import lean
from ..exec.here import current
from ..exec.poll import Requests
from ..log import Log
from .code import ModuleCode
from .process import Lost, NoProcess, Process
from .product import GOOD, QUICK, Order, Product

if TYPE_CHECKING:
    from queue import SimpleQueue

log = Log(__name__)

#: Functions and check points in one order: the first results should not wait for the last.
_BATCH: Final = {QUICK: 24, GOOD: 6}
#: Ends of a process over one order, before no more is ordered.
_LOSSES: Final = 20
_Item: TypeAlias = "tuple[weakref.ref[ModuleCode], Order]"


class _Bell:
    """Stands among an execution's cells: what machine code would look at wakes who waits here. Takes no lock."""

    __slots__ = ("_told",)

    def __init__(self, told: SimpleQueue[None]) -> None:
        self._told = told

    @property
    def value(self) -> int:
        return 0

    @value.setter
    def value(self, value: int) -> None:
        self._told.put(None)


class Lane:
    """The orders of one level."""

    def __init__(self, level: int, in_process: bool) -> None:
        self.level = level
        self.in_process = in_process
        self.process = Process(level)
        self._losses = 0
        self.reset()

    def reset(self, orders: Sequence[_Item] = ()) -> None:
        """Begin anew, with these orders waiting."""
        self._waiting: deque[_Item] = deque(orders)
        self._under_way: list[_Item] = []
        self._changed = threading.Condition()
        #: Who waits until there is nothing left to do, or a request comes.
        self._attending: list[SimpleQueue[None]] = []
        self._thread: threading.Thread | None = None
        self._closing = False

    def put(self, code: ModuleCode, order: Order) -> None:
        """Take an order."""
        with self._changed:
            if self._closing or self._losses >= _LOSSES:
                return
            self._waiting.append((weakref.ref(code), order))
            if self._thread is None:
                if not order.parts:
                    self._begin()
                self._thread = threading.Thread(target=self._work, name="hostsdk compiler", daemon=True)
                self._thread.start()

    def _begin(self) -> None:
        """Start the process at once, for an order of nothing that is hot: the thread would get Python's lock late, and
        often, while the guest is being made ready."""
        if not self.in_process:
            try:
                self.process.begin()
            except NoProcess:
                pass  # the first order tells

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until there is nothing left to do; whether that is so."""
        with self._changed:
            return self._changed.wait_for(lambda: self._thread is None, timeout)

    @property
    def busy(self) -> bool:
        """Whether there is something to do."""
        return self._thread is not None

    def attend(self, requests: Requests) -> None:
        """Wait until there is nothing left to do, or the execution is asked for something that can't wait."""
        from queue import SimpleQueue

        told: SimpleQueue[None] = SimpleQueue()
        bell = _Bell(told)
        with self._changed:
            if self._thread is None:
                return
            self._attending.append(told)
        requests.cells.append(bell)
        try:
            # A request is made first and rings afterwards.
            while self.busy and not any(each.urgent for each in requests.chain()):
                told.get()
        finally:
            requests.cells.remove(bell)
            self._attending.remove(told)

    def close(self) -> None:
        """The end of this process: what LLVM does here has to end before, and its own process is ended."""
        with self._changed:
            self._closing = True
            self._waiting.clear()
            thread = self._thread
        if not self.in_process:
            self.process.kill()
        if thread is not None:
            thread.join(10)
        self.process.end()

    def fork(self) -> None:
        """In a child process: neither thread nor process are ours."""
        self.process.forget()
        self.reset([*self._under_way, *self._waiting])

    def _work(self) -> None:
        served: weakref.WeakSet[ModuleCode] = weakref.WeakSet()
        while True:
            with self._changed:
                self._under_way = []
                if not self._waiting or self._closing:
                    self._waiting.clear()
                    self._thread = None
                    self._changed.notify_all()
                    for told in self._attending:
                        told.put(None)
                    return
                code, order = self._take()
            if code is None:
                continue
            try:
                # Not while orders are held off: whoever gives one may hold what this takes.
                order = code.ready(order)
                product = self._make(code, order)
            except Exception as error:  # the guest runs on, and so must this thread
                log.warning("making machine code of %s failed: %s", code.module.name, error)
                product = Product(order, refused=order)
            try:
                self._install(code, product)
            except Exception as error:  # as above: others wait for what this thread does
                log.warning("installing machine code of %s failed: %r", code.module.name, error)
            if order.parts:
                served.add(code)
            del code
            if not self._waiting and not self._closing:
                self._rest(served)

    def _rest(self, served: weakref.WeakSet[ModuleCode]) -> None:
        """Nothing is waiting: look after the modules that code has been made of."""
        for code in list(served):
            try:
                if self.level == QUICK:
                    code.want_rest()
                else:
                    code.connect()
            except Exception as error:  # the guest runs on with what there is
                log.warning("connecting machine code of %s failed: %r", code.module.name, error)
        served.clear()

    def _take(self) -> tuple[ModuleCode | None, Order]:
        """The next order, with others for the same module."""
        first, order = self._waiting.popleft()
        self._under_way = [(first, order)]
        functions, points, support = list(order.functions), list(order.points), order.support
        kept: list[_Item] = []
        while self._waiting and len(functions) + len(points) < _BATCH[self.level]:
            item = self._waiting.popleft()
            if item[0] is first or item[0]() is first():
                self._under_way.append(item)
                functions += item[1].functions
                points += item[1].points
                support += item[1].support
            else:
                kept.append(item)
        self._waiting.extendleft(reversed(kept))
        return first(), Order(self.level, tuple(functions), tuple(points), support, order.guard)

    def _make(self, code: ModuleCode, order: Order) -> Product | None:
        found = None
        if not self.in_process:
            try:
                return self.process.make(code.module, order)
            except NoProcess as error:
                log.warning("the compiler has no process of its own: %s; it works in this one", error)
                self.in_process = True
            except Lost:
                return self._lost(code, order)
        if not self._closing:
            from .build import build

            found = build(code.base().layout, order)
        return found

    def _install(self, code: ModuleCode, product: Product | None) -> None:
        with _installing:
            if product is not None and not self._closing:
                code.add(product)

    def _lost(self, code: ModuleCode, order: Order) -> Product | None:
        """LLVM ended its process. Whoever is to blame is found by ordering each part by itself."""
        if self._closing:
            return None
        parts = [
            *[Order(self.level, (index,), (), order.support, order.guard) for index in order.functions],
            *[Order(self.level, (), (point,), order.support, order.guard) for point in order.points],
        ]
        if len(parts) > 1:
            for part in parts:
                product = self._make(code, part)
                if product is None:
                    return None
                self._install(code, product)
            return None
        self._losses += 1
        if self._losses == _LOSSES:
            log.warning("the compiler has failed %d times; no more machine code is made", _LOSSES)
        return Product(order, refused=lean.evolve(order, support=()), fault="the compiler ended over it")


class Background:
    """Makes code in the background, a lane for each level."""

    def __init__(self, in_process: bool = False) -> None:
        self.lanes = {level: Lane(level, in_process) for level in (QUICK, GOOD)}
        _makers.add(self)

    def order(self, code: ModuleCode, order: Order) -> None:
        """Take an order."""
        self.lanes[order.level].put(code, order)

    def wait(self) -> None:
        """Wait until there is nothing left to do."""
        # The quick lane orders of the good one.
        for level in sorted(self.lanes):
            self.lanes[level].wait()


class Awaited(Background):
    """Makes code in the lane, too, and has whoever orders wait for it, unless an interrupt, a time limit or an exit
    wants its execution back: then it goes on in the interpreter, which comes to a check point."""

    def order(self, code: ModuleCode, order: Order) -> None:
        """Carry out an order."""
        lane = self.lanes[order.level]
        lane.put(code, order)
        ctx = current()
        if ctx is None:
            lane.wait()
        else:
            lane.attend(ctx.requests)


_makers: weakref.WeakSet[Background] = weakref.WeakSet()
#: Held while code is installed, and by whoever forks: no lock is left locked in the child.
_installing = threading.Lock()


@atexit.register
def _close() -> None:
    for maker in list(_makers):
        for lane in maker.lanes.values():
            lane.close()


def _forked() -> None:
    for maker in list(_makers):
        for lane in maker.lanes.values():
            lane.fork()
    _installing.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_installing.acquire, after_in_parent=_installing.release, after_in_child=_forked)
