"""`Process`: a guest of several threads, with one memory and one end (wasi-threads' rules).

Each thread has an instance of its own, made in that thread; the memory is shared, and so are the host modules' states.
The process has one result, and whatever comes first is it: `_start` returns, a thread exits, traps or fails, the time
is over. From then on every other thread is asked to exit, wherever it is.

How a thread is run is a `Spawner`'s business: `OsThreads` gives each a thread of the system's.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Generator, Sequence
from typing import Any, Protocol, Self

from ._embed import Imports, Instance
from ._engine import (
    Clock,
    Engine,
    Exited,
    ExitRequested,
    Failed,
    Injected,
    Interrupt,
    Limits,
    Log,
    Memory,
    MemoryType,
    Preempted,
    State,
    StateError,
    Trap,
    Trapped,
    lean,
)
from ._errors import MissingExport
from ._execution import Execution
from ._explain import Moment
from ._loaded import Module
from ._messages import Text
from ._module import HostModule
from ._outcomes import Outcome, Returned, Suspended, stopped
from ._trace import Trace

_log = Log("hostsdk.threads")
_LIMITS = Limits()
#: Threads of one process at once, the main one included.
MOST = 4096
#: The largest number of a thread: the three highest bits are for the guest's locks.
_LAST_TID = (1 << 29) - 1
#: What threads are told to exit with where the process ended by something else than an exit.
_ENDED = 134


class Spawner(Protocol):
    """How the threads of a process are run."""

    def run(self, thread: GuestThread) -> None:
        """Run the main thread to its end, and until no thread of its process is left. Blocks."""

    def start(self, thread: GuestThread) -> None:
        """Have another thread run, from now on, and come back at once. Raises OSError or RuntimeError where there can
        be no more."""


@lean.frozen
class ProcessResult:
    """What a process came to: the outcome, the number of the thread whose outcome it was (0 for the main one), and
    its execution, if it had one."""

    outcome: Outcome
    tid: int
    execution: Execution | None = lean.field(default=None, repr=False)
    #: Where a call was that has been stopped; `str` of it says it as `Execution.explain`.
    explanation: object = lean.field(default="", repr=False)


@lean.define(eq=False, repr=False)
class GuestThread:
    """One thread of a process. `tid` is 0 for the main thread.

    Whoever runs it drives `executions`, and calls `end` when that is over: `drive` does both in place.
    """

    process: Process
    tid: int
    name: str
    args: tuple[int | float, ...]
    _instance: Instance | None = None
    _execution: Execution | None = None

    def executions(self) -> Generator[Execution, Outcome, None]:
        """What the thread runs, one call after the other: each is to be run to an end, and its outcome to be sent.
        The instance is made here, in the thread."""
        process = self.process
        try:
            for execution in self._calls():
                if not process._begin(self, execution):
                    execution.drop()
                    return
                outcome = yield execution
                self._execution = None
                explanation: object = ""
                if isinstance(outcome, Suspended):
                    explanation = Moment(execution)
                    if execution.state is State.SUSPENDED:
                        execution.drop()
                if not isinstance(outcome, Returned) or (self.tid == 0 and execution.name == self.name):
                    process._finish(ProcessResult(outcome, self.tid, execution, explanation))
                    return
        except Trap as trap:
            process._finish(ProcessResult(Trapped(trap), self.tid))
        except Exception as error:
            process._finish(ProcessResult(Failed(error), self.tid))

    def _calls(self) -> Generator[Execution, None, None]:
        process = self.process
        if self.tid == 0:
            self._instance = process.instance
            starting = process._starting
        else:
            self._instance, starting = process.instance._again()
        if starting is not None:
            yield starting
        yield self._instance.start(self.name, *self.args)

    def end(self, error: BaseException | None = None) -> None:
        """The thread is over: what it held is given back. With an `error`, it was left in the middle by one that is no
        outcome of a call, Ctrl-C say, and so is its process."""
        if error is not None:
            self.process._finish(ProcessResult(Failed(error), self.tid, self._execution))
        self._execution = None
        if self.tid and self._instance is not None:
            try:
                self._instance.close()
            except Exception:  # a cleanup of somebody's; the process has its result
                _log.exception("closing an instance of thread %d", self.tid)
        self.process._ended(self)


def drive(thread: GuestThread) -> None:
    """Run a thread to its end, here."""
    process = thread.process
    calls = thread.executions()
    try:
        execution = next(calls, None)
        while execution is not None:
            outcome = execution.run(interrupt=process._interrupt, timeout=process._left())
            while isinstance(outcome, Suspended) and isinstance(outcome.reason, (Injected, Preempted)):
                outcome = execution.run(interrupt=process._interrupt, timeout=process._left())
            execution = _next(calls, outcome)
    except BaseException as error:
        thread.end(error)
        raise
    thread.end()


def _next(calls: Generator[Execution, Outcome, None], outcome: Outcome) -> Execution | None:
    try:
        return calls.send(outcome)
    except StopIteration:
        return None


class OsThreads:
    """Each thread of the guest is one of the system's."""

    def run(self, thread: GuestThread) -> None:
        """Run the main thread in the calling one; the others are waited for."""
        try:
            drive(thread)
        finally:
            thread.process.wait()

    def start(self, thread: GuestThread) -> None:
        """Begin a thread. Raises RuntimeError where the system has no more."""
        threading.Thread(target=_quietly, args=(thread,), name=f"guest thread {thread.tid}", daemon=True).start()


def _quietly(thread: GuestThread) -> None:
    try:
        drive(thread)
    except BaseException:  # of a host function's: nobody is there to be told, but the process has ended by it
        _log.exception("thread %d", thread.tid)


class Process:
    """A guest of several threads: a program with wasi-threads, or one whose host functions call `ctx.spawn`.

        with Process(module, [wasi(args=["prog"]), threads()]) as process:
            code = process.main(timeout=10)

    A shared memory that the module imports is made for it. Limits, and the interrupt and the time limit of a run, hold
    for all threads. A context manager: closing it closes the main instance, and with it the host modules' states.
    """

    def __init__(
        self,
        module: Module,
        hosts: Sequence[HostModule[Any]] = (),
        *,
        limits: Limits = _LIMITS,
        engine: Engine | None = None,
        imports: Imports | None = None,
        spawner: Spawner | None = None,
        threads: int = MOST,
        trace: Trace | None = None,
    ) -> None:
        """Link; nothing runs yet, the start function neither. `threads` is how many there may be at once, the main one
        included. Raises UnlinkableError, LimitError, and Trap for an active segment that doesn't fit."""
        engine = engine or Engine()
        given = {name: dict(found) for name, found in (imports or {}).items()}
        for name, field, type_ in module.imports:
            if isinstance(type_, MemoryType) and type_.shared and field not in given.setdefault(name, {}):
                given[name][field] = Memory.make(type_, limits, engine.config.prealloc_shared_memory)
        self.module = module
        self.spawner: Spawner = spawner or OsThreads()
        self.most = threads
        self._clock: Clock = engine.config.clock
        self.instance, self._starting = Instance.begin(
            module, hosts, limits=limits, engine=engine, imports=given, trace=trace
        )
        self.instance._process = self
        self._interrupt: Interrupt | None = None
        self._deadline: float | None = None
        self._changed = threading.Condition()
        self._result: ProcessResult | None = None
        self._live: dict[int, GuestThread] = {}
        self._free: list[int] = []
        self._last = 0
        self._ran = False

    # Running -------------------------------------------------------------------------------------------------------

    def run(
        self,
        name: str = "_start",
        *args: int | float,
        interrupt: Interrupt | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Run the start function, where there is one, then an export in the main thread, and come back when all threads
        have ended. What the process came to: the results, where the export returned first, as `Instance.call` gives
        them; else raises what that would raise, and it may be another thread's trap. `timeout` is in seconds, for all
        of it. Raises StateError for a second run."""
        main = self._main(name, args, interrupt, timeout)
        self.spawner.run(main)
        return self._conclude()

    def main(self, *, interrupt: Interrupt | None = None, timeout: float | None = None) -> int:
        """Run a command, the export `_start`; the exit code, 0 where it returns. `timeout` is in seconds. Raises what
        `run` raises."""
        try:
            self.run(interrupt=interrupt, timeout=timeout)
        except ExitRequested as exit_:
            return exit_.code
        return 0

    def exit(self, code: int) -> None:
        """End the process with an exit code, unless it has a result. From any thread."""
        self._finish(ProcessResult(Exited(code), 0))

    @property
    def result(self) -> ProcessResult | None:
        """What the process came to; it never changes. None while it goes on."""
        return self._result

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return len(self._live)

    def wait(self) -> None:
        """Block until no thread is left."""
        with self._changed:
            while self._live:
                self._changed.wait()

    def spawn(self, name: str, arg: int) -> int:
        """Begin a thread that calls the export `name` with its number and `arg`, in an instance of its own; its number,
        above 0. Raises BlockingIOError where there can be no more threads, and MissingExport."""
        if name not in self.instance.exports:
            raise MissingExport(Text.NO_EXPORT(name=name))
        with self._changed:
            if self._result is not None or len(self._live) >= self.most:
                raise BlockingIOError(f"there are {len(self._live)} threads, and there can be {self.most}")
            tid = heapq.heappop(self._free) if self._free else self._last + 1
            if tid > _LAST_TID:
                raise BlockingIOError("no number is left for a thread")
            self._last = max(self._last, tid)
            thread = self._live[tid] = GuestThread(self, tid, name, (tid, arg))
        try:
            self.spawner.start(thread)
        except (OSError, RuntimeError) as error:
            self._ended(thread)
            raise BlockingIOError(str(error)) from None
        return tid

    def close(self) -> None:
        """End what goes on, and close the main instance. Raises the first error of a cleanup."""
        self.exit(0)
        self.wait()
        self.instance.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # What threads tell ---------------------------------------------------------------------------------------------

    def _main(
        self, name: str, args: tuple[int | float, ...], interrupt: Interrupt | None, timeout: float | None
    ) -> GuestThread:
        with self._changed:
            if self._ran:
                raise StateError("a process runs once")
            self._ran = True
            self._interrupt = interrupt
            self._deadline = None if timeout is None else self._clock.monotonic() + timeout
            main = self._live[0] = GuestThread(self, 0, name, args)
        return main

    def _left(self) -> float | None:
        """Seconds that are left of the run's time."""
        return None if self._deadline is None else max(0.0, self._deadline - self._clock.monotonic())

    def _begin(self, thread: GuestThread, execution: Execution) -> bool:
        """`thread` is about to run an execution; False where the process is over."""
        with self._changed:
            if self._result is not None:
                return False
            thread._execution = execution
            return True

    def _finish(self, result: ProcessResult) -> None:
        """The process came to this, unless it has come to something before. Everybody else is asked to exit."""
        with self._changed:
            if self._result is not None:
                return
            self._result = result
            others = [thread._execution for thread in self._live.values() if thread._execution is not None]
        code = result.outcome.code if isinstance(result.outcome, Exited) else _ENDED
        for execution in others:
            execution.exit(code)

    def _ended(self, thread: GuestThread) -> None:
        with self._changed:
            if self._live.pop(thread.tid, None) is not None and thread.tid:
                heapq.heappush(self._free, thread.tid)
            self._changed.notify_all()

    def _conclude(self) -> Any:
        match self._result:
            case ProcessResult(Returned(values)):
                return values[0] if len(values) == 1 else values or None
            case ProcessResult(Exited(code)):
                raise ExitRequested(code)
            case ProcessResult(Trapped(trap)):
                raise trap
            case ProcessResult(Failed(error)):
                raise error
            case ProcessResult(Suspended(reason=reason), _, Execution() as execution, explanation):
                raise stopped(execution, reason, explanation)
        raise StateError("the process ended without a result")


__all__ = ["GuestThread", "OsThreads", "Process", "ProcessResult", "Spawner", "drive"]
