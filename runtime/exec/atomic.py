"""`memory.atomic.wait32`, `wait64` and `notify` (threads proposal, "Wait and notify").

Waiting is done by two functions of the engine's own that stand in for the instructions: what a host function gets
(a check point before it, a record, waits by event, restarts at any point, saving) they get by the same ways. A waiter
stays in its memory's list from its comparison to its end, wherever the execution is meanwhile, and the notification is
written into its record by whoever notifies: none is lost to a waiter that is suspended or parked.
"""

from __future__ import annotations

from typing import Final, cast

from .. import lean
from ..errors import RecordError, Trap, TrapCode
from ..instances import atomic
from ..instances.func import HostFunc, TailCall, Unwind
from ..instances.instance import Instance
from ..instances.memory import MemInst
from ..instances.shared import SharedMemInst
from ..instances.waiters import Waiter
from ..types import I32, I64, FuncType
from ..values import M64, Value
from .context import ExecContext
from .frames import HostFrame
from .host import check_interrupt, wait
from .restart import Entry, Record
from .wait import Notifier, WaitSet

#: What the instruction gives.
WOKEN, NOT_EQUAL, TIMED_OUT = 0, 1, 2
MODULE: Final = "memory.atomic"
_SECOND: Final = 1e9


def notify(memory: MemInst, address: int, count: int) -> int:
    """Wake at most `count` of those who wait at `address`, the first ones; how many. None wait in a memory that is not
    shared. Traps."""
    atomic.require(memory, address, 4)
    return memory.waiters.notify(address, count) if isinstance(memory, SharedMemInst) else 0


@lean.frozen(eq=False)
class _Live:
    """A waiter while its call stays in memory, and what wakes its thread."""

    waiter: Waiter
    notifier: Notifier


@lean.frozen(eq=False)
class Wait:
    """The function that stands in for a wait of `width` bytes: (memory, address, expected value, nanoseconds)."""

    width: int
    module: str = MODULE
    version: int = 1
    accepts: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        return f"wait{8 * self.width}"

    def enter(
        self, border: ExecContext, caller: Instance | None, args: tuple[Value, ...], frame: HostFrame | None
    ) -> tuple[Value, ...] | TailCall:
        """Wait, or go on. May suspend."""
        memory, address, expected, nanoseconds = self._given(caller, args)
        if frame is None or frame.record is None:
            atomic.require(memory, address, self.width)
            record = Record(border.limits.journal)
            entry = record.append("wait", self.name, _deadline(border, nanoseconds), pending=True)
            entry.since = border.requests.clock.monotonic()
            live = self._join(memory, address, expected, entry)
            if live is None:
                return (NOT_EQUAL,)
        else:
            record = frame.record
            record.rewind()
            found = record.next("wait", self.name)
            if found is None:
                raise RecordError("an atomic wait goes on from a record that isn't one")
            entry = found
            # Restored from a snapshot, and not notified before that was taken.
            live = entry.live if isinstance(entry.live, _Live) else self._join(memory, address, None, entry)
        try:
            error, record.throw = record.throw, None
            if error is not None:
                raise error
            return (_wait(border, memory, entry, live),)
        except Unwind:
            border.spilled.append(HostFrame(WAITS[self.width], caller, args, record))
            record.restarts += 1
            raise
        except BaseException:
            if live is not None:
                memory.waiters.leave(live.waiter)
            raise

    def drop(self, border: ExecContext, frame: HostFrame) -> None:
        """Wait no more."""
        memory = self._given(frame.caller, frame.args)[0]
        entries = [] if frame.record is None else frame.record.entries
        live = entries[0].live if entries else None
        if isinstance(live, _Live):
            memory.waiters.leave(live.waiter)

    def rejoin(self, frame: HostFrame) -> bool:
        """Give a wait that was restored its place in the line, behind those who have one; whether it waits at all.
        Raises what a wait raises that no memory can be told for."""
        if frame.record is None or len(frame.record.entries) != 1:
            return False
        [entry] = frame.record.entries
        if not entry.pending or isinstance(entry.live, _Live):
            return False
        memory, address, _, _ = self._given(frame.caller, frame.args)
        return self._join(memory, address, None, entry) is not None

    def _given(self, caller: Instance | None, args: tuple[Value, ...]) -> tuple[SharedMemInst, int, int, int]:
        index, address, expected, nanoseconds = cast("tuple[int, int, int, int]", args)
        if caller is None:
            raise Trap(TrapCode.HOST, "an atomic wait belongs to an instance")
        memory = caller.memories[index] if index < len(caller.memories) else None
        if not isinstance(memory, SharedMemInst):
            raise Trap(TrapCode.EXPECTED_SHARED)
        return memory, address, expected, nanoseconds

    def _join(self, memory: SharedMemInst, address: int, expected: int | None, entry: Entry) -> _Live | None:
        """A place in the line; None where the value is not `expected` (None for any)."""
        if not entry.pending:
            return None
        notifier = Notifier()

        def tell() -> None:
            entry.value, entry.pending = WOKEN, False
            notifier.notify()

        live = entry.live = _Live(Waiter(address, tell), notifier)
        found = memory.waiters.join(
            live.waiter, lambda: expected is None or atomic.load(memory, address, self.width) == expected
        )
        return live if found else None


def _deadline(ctx: ExecContext, nanoseconds: int) -> tuple[str, float] | None:
    if nanoseconds > M64 >> 1:  # negative: for ever
        return None
    return "monotonic", ctx.requests.clock.monotonic() + nanoseconds / _SECOND


def _wait(ctx: ExecContext, memory: SharedMemInst, entry: Entry, live: _Live | None) -> int:
    """Try, look for requests, wait. May suspend."""
    limit = entry.value
    at = limit[1] if isinstance(limit, tuple) else None
    while live is not None:
        waits = WaitSet.of(wake=live.notifier, deadline=at, label=f"{MODULE}.wait at {live.waiter.address:#x}")
        if live.waiter.notified:
            break  # looked at behind making the set, which would not be woken by what came before
        if at is not None and ctx.requests.clock.monotonic() >= at:
            return TIMED_OUT if memory.waiters.leave(live.waiter) else WOKEN
        entry.waits = waits
        check_interrupt(ctx)
        wait(ctx, waits)
    return WOKEN


_TYPE: Final = FuncType((I32, I64, I64, I64), (I32,))
#: By width in bytes.
WAITS: Final[dict[int, HostFunc]] = {width: HostFunc(_TYPE, Wait(width)) for width in (4, 8)}


def waiter_of(frame: HostFrame) -> Waiter | None:
    """The place in a line that a host frame has; None for one that is no wait, or waits no more."""
    record = frame.record
    if not isinstance(frame.func.code, Wait) or record is None or not record.entries:
        return None
    live = record.entries[0].live
    return live.waiter if isinstance(live, _Live) and not live.waiter.notified else None


def builtin(module: str, name: str, type_: FuncType) -> HostFunc | None:
    """The engine's own function of this name; None where it has none."""
    for func in WAITS.values():
        if (func.code.module, func.code.name, func.type) == (module, name, type_):
            return func
    return None
