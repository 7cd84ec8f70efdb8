"""`Process`: a guest of several threads, with one memory and one end (wasi-threads' rules).

Each thread has an instance of its own, made in that thread; the memory is shared, and so are the host modules' states.
The process has one result, and whatever comes first is it: `_start` returns, a thread exits, traps or fails, the time
is over. From then on every other thread is asked to exit, wherever it is.

How a thread is run is a `Spawner`'s business: `OsThreads` gives each a thread of the system's.

A run by `advance` that is interrupted is no end: the thread that hears of it first asks all others to leave the stack,
too. Each *rests* then, with its execution, or without one where it had none yet; when all do, the process can be saved,
and the main thread's next run brings the others with it.
"""

from __future__ import annotations

import heapq
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, Self

from ._embed import TURN, Imports, Instance
from ._engine import (
    Clock,
    Engine,
    Exited,
    ExitRequested,
    Failed,
    Injected,
    Interrupt,
    Interrupted,
    Limits,
    Log,
    Memory,
    MemoryType,
    Preempted,
    SnapshotError,
    State,
    StateError,
    Status,
    TimedOut,
    Trap,
    Trapped,
    lean,
)
from ._errors import MissingExport
from ._execution import Execution, require_trust
from ._explain import Moment
from ._loaded import Module
from ._messages import Text
from ._module import HostModule
from ._outcomes import Outcome, Returned, Suspended, stopped
from ._threads_saving import LAST_TID, Kept, Relay, load_threads, save_threads
from ._trace import Trace

_log = Log("hostsdk.threads")
_LIMITS = Limits()
#: Threads of one process at once, the main one included.
MOST = 4096
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
    #: The execution is the start function's, and the thread's own call comes after it.
    _starting: bool = False
    #: It has left the stack, to go on another time.
    _rests: bool = False

    def executions(self) -> Generator[Execution, Outcome, None]:
        """What the thread runs, one call after the other: each is to be run to an end, and its outcome to be sent.
        The instance is made here, in the thread."""
        process = self.process
        try:
            if self.tid == 0:
                process._bring_others()
            elif process._rest(self):
                return
            for execution in self._calls():
                if not process._begin(self, execution):
                    if not self._rests:
                        execution.drop()
                    return
                outcome = yield execution
                if process._hold(self, outcome):
                    return
                self._execution = None
                explanation: object = ""
                if isinstance(outcome, Suspended):
                    explanation = Moment(execution)
                    if execution.state is State.SUSPENDED:
                        execution.drop()
                if not isinstance(outcome, Returned) or (self.tid == 0 and not self._starting):
                    process._finish(ProcessResult(outcome, self.tid, execution, explanation))
                    return
        except Trap as trap:
            process._finish(ProcessResult(Trapped(trap), self.tid))
        except Exception as error:
            process._finish(ProcessResult(Failed(error), self.tid))

    def _calls(self) -> Generator[Execution, None, None]:
        instance, going = self._prepare()
        yield going
        if self._starting:
            self._starting = False
            yield instance.start(self.name, *self.args)

    def _prepare(self) -> tuple[Instance, Execution]:
        """The thread's instance, made if it is not yet, and what is to be run now: what was left, or the start
        function's call, or the thread's own."""
        process, instance, going = self.process, self._instance, self._execution
        if instance is None:
            instance, going = (process.instance, process._starting) if self.tid == 0 else process.instance._again()
            self._instance, self._starting = instance, going is not None
        self._execution = going = going or instance.start(self.name, *self.args)
        return instance, going

    def end(self, error: BaseException | None = None) -> None:
        """The thread is over: what it held is given back. With an `error`, it was left in the middle by one that is no
        outcome of a call, Ctrl-C say, and so is its process. One that rests has only left the stack."""
        if error is not None:
            self.process._finish(ProcessResult(Failed(error), self.tid, self._execution))
        elif self._rests:
            self.process._rested()
            return
        self._give_back()
        self.process._ended(self)

    def _give_back(self) -> None:
        self._execution = None
        if self.tid and self._instance is not None:
            try:
                self._instance.close()
            except Exception:  # a cleanup of somebody's; the process has its result
                _log.exception("closing an instance of thread %d", self.tid)


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

    One that is to be kept is begun by `start`, and run by `advance`, which an interrupt or a time limit ends with all
    threads off their stacks; `save` then makes bytes of it, and `load` a process of them.

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
        instance, starting = Instance.begin(module, hosts, limits=limits, engine=engine, imports=given, trace=trace)
        self._set_up(instance, starting, spawner, threads)

    def _set_up(self, instance: Instance, starting: Execution | None, spawner: Spawner | None, threads: int) -> None:
        self.module = instance.module
        self.spawner: Spawner = spawner or OsThreads()
        self.most = threads
        self.instance = instance
        self._clock: Clock = instance._store.engine.config.clock
        self._starting = starting
        instance._process = self
        #: What the threads listen to.
        self._interrupt: Interrupt | None = None
        self._deadline: float | None = None
        self._changed = threading.Condition()
        self._result: ProcessResult | None = None
        self._live: dict[int, GuestThread] = {}
        #: How many of them have left the stack, to go on another time.
        self._resting = 0
        #: Asks all threads to rest, and what the first that did came to; None in a run that nobody goes on with.
        self._rests: Interrupt | None = None
        self._stopped: Suspended | None = None
        self._relay = Relay()
        self._running = False
        self._free: list[int] = []
        self._last = 0

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
        self.start(name, *args)
        self._run(interrupt, timeout)
        return self._conclude()

    async def run_async(
        self,
        name: str = "_start",
        *args: int | float,
        interrupt: Interrupt | None = None,
        timeout: float | None = None,
        turn: float = TURN,
    ) -> Any:
        """`run`, with all threads as tasks of the running event loop, whatever the spawner is: what they wait for, the
        loop waits for, and one that computes gives up its turn after `turn` seconds. Cancelled, all threads have exited
        and cleaned up when this raises CancelledError. `timeout` is in seconds. Raises what `run` raises."""
        from ._drivers.aio_threads import LoopThreads  # brings asyncio

        self.start(name, *args)
        self.spawner = loop = LoopThreads(turn)
        with self._runs(interrupt, timeout) as main:
            await loop.finish(main)
        return self._conclude()

    def main(self, *, interrupt: Interrupt | None = None, timeout: float | None = None) -> int:
        """Run a command, the export `_start`; the exit code, 0 where it returns. `timeout` is in seconds. Raises what
        `run` raises."""
        try:
            self.run(interrupt=interrupt, timeout=timeout)
        except ExitRequested as exit_:
            return exit_.code
        return 0

    def start(self, name: str = "_start", *args: int | float) -> None:
        """Have the main thread call an export, after the start function; nothing runs yet. Raises StateError for a
        second one."""
        with self._changed:
            if self._live or self._result is not None:
                raise StateError("a process runs once")
            self._live[0] = GuestThread(self, 0, name, args, _rests=True)
            self._resting = 1

    def advance(self, *, interrupt: Interrupt | None = None, timeout: float | None = None) -> Outcome:
        """Begin, or go on with, all threads of a process that was started or loaded, until it has ended, and give what
        it came to. Where `interrupt` is set or `timeout` seconds are over first, that is `Suspended`: every thread has
        left the stack at a check point, and the process can go on, be saved, or be closed. Blocks. Raises StateError
        for one that has not been started, has ended, or runs."""
        rests = Interrupt(level=True)
        with self._relay.between(interrupt, rests):
            self._run(rests, timeout, rests)
        match self._result, self._stopped:
            case ProcessResult(outcome), _:
                return outcome
            case _, Suspended(reason=Interrupted(), code=code) if interrupt is not None:
                return Suspended(Interrupted(interrupt), code)
            case _, Suspended() as outcome:
                return outcome
        raise StateError("the threads were left before the process had ended")

    def finish(self, *, interrupt: Interrupt | None = None, timeout: float | None = None) -> Any:
        """Go on to the end with a process that was started, suspended or loaded: gives and raises what `run` does.
        `timeout` is in seconds, for what is left of it."""
        self._run(interrupt, timeout)
        return self._conclude()

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

    @property
    def executions(self) -> dict[int, Execution]:
        """While the process is suspended: what each of its threads does, by number. Those that have only been spawned
        are not among them. Empty while it runs."""
        if self._running:
            return {}
        return {tid: t._execution for tid, t in self._live.items() if t._rests and t._execution is not None}

    def wait(self) -> None:
        """Block until no thread is left, or all that are rest."""
        with self._changed:
            while len(self._live) > self._resting:
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
            if tid > LAST_TID:
                raise BlockingIOError("no number is left for a thread")
            self._last = max(self._last, tid)
            thread = self._live[tid] = GuestThread(self, tid, name, (tid, arg))
        try:
            self.spawner.start(thread)
        except (OSError, RuntimeError) as error:
            self._ended(thread)
            raise BlockingIOError(str(error)) from None
        return tid

    # Saving --------------------------------------------------------------------------------------------------------

    def save(self) -> bytes:
        """The whole process as bytes, after `start`, or where `advance` has suspended it: memories, every thread with
        its place in the line where it waits in a memory, host modules' states and resources. It can still go on itself.
        Raises SnapshotError naming what can't be saved, as `Execution.save` does, and for a process that runs or has
        ended."""
        with self._changed:
            if self._running or self._result is not None or not self._live:
                raise SnapshotError("only a process that was started, and doesn't run now, can be saved")
            self._live[0]._prepare()
            threads = [Kept(t.tid, t.name, t.args, t._starting, t._execution) for t in self._live.values()]
        return save_threads(self.instance, threads, self._last, self._free)

    @classmethod
    def load(
        cls,
        data: bytes,
        module: Module,
        hosts: Sequence[HostModule[Any]] = (),
        *,
        trusted: bool = False,
        limits: Limits = _LIMITS,
        engine: Engine | None = None,
        spawner: Spawner | None = None,
        threads: int = MOST,
        trace: Trace | None = None,
    ) -> Self:
        """What `save` made, in this process, suspended: `advance` or `finish` goes on with it. Whatever ran its threads
        before, `spawner` may be any. `trusted` is as for `Execution.load`, the others as for `Process`. Raises
        SnapshotError and UnlinkableError, naming what is missing; nothing has been entered then."""
        require_trust(trusted)
        # The deadlines of threads that a scheduler will run are on its clock.
        clock: Clock | None = getattr(spawner, "clock", None)
        found = load_threads(data, module, hosts, limits, engine, trace, clock, threads)
        self = cls.__new__(cls)
        self._set_up(found.instance, None, spawner, threads)
        self._free, self._last = found.free, found.last
        for each in found.threads:
            instance = None if each.execution is None else each.execution.instance
            thread = GuestThread(self, each.tid, each.name, each.args, instance, each.execution, each.starting, True)
            self._live[each.tid] = thread
            if instance is not None:
                instance._process = self
        self._resting = len(self._live)
        return self

    def close(self) -> None:
        """End what goes on, and close the main instance. Raises the first error of a cleanup."""
        self.exit(0)
        self.wait()
        self._drop_resting()
        self.instance.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # What threads tell ---------------------------------------------------------------------------------------------

    def _run(self, interrupt: Interrupt | None, timeout: float | None, rests: Interrupt | None = None) -> None:
        """Run all threads until none is left, or all that are rest, which `rests` asks them for; where the process has
        ended, none rests."""
        with self._runs(interrupt, timeout, rests) as main:
            self.spawner.run(main)

    @contextmanager
    def _runs(
        self, interrupt: Interrupt | None, timeout: float | None, rests: Interrupt | None = None
    ) -> Iterator[GuestThread]:
        with self._changed:
            if self._result is not None or not self._live or self._running:
                raise StateError("a process runs after start, once at a time, until it has ended")
            self._running = True
            self._rests, self._stopped = rests, None
            self._interrupt = interrupt
            self._deadline = None if timeout is None else self._clock.monotonic() + timeout
            main = self._live[0]
            self._wake(main)
        try:
            yield main
        finally:
            self._running = False
            if self.result is not None:
                self._drop_resting()

    def _cancelled(self, error: BaseException) -> None:
        self._finish(ProcessResult(Failed(error), 0))

    def _left(self) -> float | None:
        """Seconds that are left of the run's time."""
        return None if self._deadline is None else max(0.0, self._deadline - self._clock.monotonic())

    def _begin(self, thread: GuestThread, execution: Execution) -> bool:
        """`thread` is about to run an execution; False where the process is over, or rests."""
        with self._changed:
            if self._result is not None:
                return False
            thread._execution = execution
            return not self._rest(thread)

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

    # Resting -------------------------------------------------------------------------------------------------------

    def _rest(self, thread: GuestThread) -> bool:
        """Whether `thread`, which is about to go on, is to rest instead, and does."""
        with self._changed:
            if self._rests is not None and self._rests.is_set and self._result is None:
                thread._rests = True
                if self._stopped is None:
                    self._stopped = Suspended(Interrupted(self._rests), Status.ETOYWASMUSERINTERRUPT)
        return thread._rests

    def _hold(self, thread: GuestThread, outcome: Outcome) -> bool:
        """Whether `thread` rests, which has come to `outcome`; all others are to rest then, too."""
        asked = isinstance(outcome, Suspended) and isinstance(outcome.reason, (Interrupted, TimedOut))
        with self._changed:
            if not asked or self._rests is None or self._result is not None:
                return False
            thread._rests = True
            if self._stopped is None and isinstance(outcome, Suspended):
                self._stopped = outcome
        self._rests.set()
        return True

    def _rested(self) -> None:
        with self._changed:
            self._resting += 1
            self._changed.notify_all()

    def _wake(self, thread: GuestThread) -> None:
        thread._rests = False
        self._resting -= 1

    def _bring_others(self) -> None:
        """The main thread goes on: so do all that rest. Raises OSError or RuntimeError where one can't."""
        with self._changed:
            others = [thread for thread in self._live.values() if thread._rests]
            for thread in others:
                self._wake(thread)
        for place, thread in enumerate(others):
            try:
                self.spawner.start(thread)
            except BaseException:
                for left in others[place:]:
                    left._rests = True
                    self._rested()
                raise

    def _drop_resting(self) -> None:
        """The process is over, and those who rest won't go on: their host functions clean up."""
        for thread in [thread for thread in self._live.values() if thread._rests]:
            try:
                if thread._execution is not None:
                    thread._execution.drop()
            except Exception:  # a cleanup of somebody's; the process has its result
                _log.exception("dropping thread %d", thread.tid)
            self._wake(thread)
            thread._give_back()
            self._ended(thread)

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
