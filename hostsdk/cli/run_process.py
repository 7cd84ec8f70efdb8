"""One run: from a command line to an exit status, as timeout(1) and the shell number them."""

from __future__ import annotations

import gc
import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from hostsdk import (
    V128,
    Engine,
    EngineConfig,
    Execution,
    Exited,
    Failed,
    FuncType,
    HostModule,
    Instance,
    InvalidError,
    LimitError,
    MalformedError,
    Module,
    Returned,
    Suspended,
    Trap,
    Trapped,
    UnlinkableError,
    UnsupportedError,
    WasmException,
)
from runtime import lean

from .run_kept import CantSave, left, load, load_process, save
from .run_plan import Advertised, HostName, Plan
from .run_report import describe, innermost_host, tell, tell_line, tell_traceback
from .run_signals import Signals, Stopped, die
from .run_threads import process, threaded

if TYPE_CHECKING:
    import socket

    from hostsdk import Process, Trace

T = TypeVar("T")
USAGE: Final = 2
TIMED_OUT: Final = 124
HOST_FAILED: Final = 125
UNUSABLE: Final = 126
NOT_FOUND: Final = 127
TRAPPED: Final = 134

#: A command's entry, and what a module without one wants to be called before anything else.
_START: Final = "_start"
_INITIALIZE: Final = "_initialize"
_WASI: Final = "wasi_snapshot_preview1"
_OLD_WASI: Final = "wasi_unstable"

#: An export to call, and its arguments.
Entry: TypeAlias = "tuple[str, tuple[int | float | V128, ...]]"


class Ended(Exception):
    """The run is over, with a status and what is to be said about it; nothing where the message is empty."""

    def __init__(
        self,
        status: int,
        message: str,
        trace: Sequence[object] = (),
        cause: BaseException | None = None,
        advice: Sequence[str] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.trace = trace
        self.cause = cause
        #: Lines that say what to do.
        self.advice = advice


def run(plan: Plan) -> int:
    """Do what `plan` says; the exit status. Does not return where a signal ended the run."""
    with Signals(plan.timeout) as signals:
        job = _Job(plan, signals)
        try:
            with signals.raised():
                status = job.run()
        except Stopped:
            status = TIMED_OUT
        except Ended as end:
            status = end.status
            if end.message and not _by_signal(end.cause, signals):
                tell(plan.file, end.message, end.trace, end.advice)
                if end.cause is not None:
                    tell_traceback(end.cause)
        if signals.timed_out:
            tell(plan.file, f"timed out after {plan.timeout:g} s", job.stopped_in)
            return TIMED_OUT
        if signals.came:
            die(signals.came)
    return status


def opened(plan: Plan, open_: ExitStack) -> tuple[Module, list[HostModule[Any]]]:
    """The module of a plan, and its host modules, for other commands. What is opened is closed with `open_`. Raises
    Ended."""
    job = _Job(plan, Signals())
    module = job._module()
    return module, job._hosts(module, open_)


def _by_signal(error: BaseException | None, signals: Signals) -> bool:
    """Whether a host function raised this because of the signal, so that it is no failure of its own."""
    broken = signals.came == signal.SIGPIPE and isinstance(error, BrokenPipeError)
    return broken or isinstance(error, Stopped)


@lean.define
class _Job:
    plan: Plan
    signals: Signals
    #: Where the execution was when a signal stopped it, innermost first.
    stopped_in: Sequence[object] = ()
    trace: Trace | None = lean.field(init=False)

    def __post_init__(self) -> None:
        plan = self.plan
        self.trace = None
        if plan.trace or plan.trace_file is not None:
            from hostsdk import Trace

            self.trace = Trace(tell_line if plan.trace else None, keep=plan.trace_file is not None)

    def run(self) -> int:
        """The status. Raises Ended, and Stopped."""
        module = self._module()
        entries = self._entries(module)
        with ExitStack() as open_:
            try:
                return self._with_hosts(module, self._hosts(module, open_), entries)
            finally:
                self._save_trace()

    def _save_trace(self) -> None:
        if self.trace is not None and self.plan.trace_file is not None:
            try:
                self.trace.save(self.plan.trace_file)
            except OSError as error:
                tell(self.plan.trace_file, error.strerror or str(error))

    def _with_hosts(self, module: Module, hosts: list[HostModule[Any]], entries: list[Entry]) -> int:
        with self.signals.heard():
            if threaded(module):
                return self._process(module, hosts, entries)
            instance, starting = self._link(module, hosts) if self.plan.load is None else self._loaded(module, hosts)
            try:
                status = self._calls(instance, starting, left(starting, entries))
            finally:
                closed = self._close(instance)
        return status if closed else status or HOST_FAILED

    # Before anything of the guest's runs ---------------------------------------------------------------------------

    def _module(self) -> Module:
        try:
            return Module.from_file(self.plan.file, features=self.plan.features, lazy=self.plan.lazy)
        except FileNotFoundError:
            raise Ended(NOT_FOUND, "no such file") from None
        except OSError as error:
            raise Ended(UNUSABLE, error.strerror or str(error)) from None
        except MalformedError as error:
            raise Ended(UNUSABLE, f"malformed: {error}") from None
        except UnsupportedError as error:
            raise Ended(UNUSABLE, f"not supported: {error}") from None
        except InvalidError as error:
            raise Ended(UNUSABLE, f"invalid: {error}") from None
        except LimitError as error:
            raise Ended(UNUSABLE, str(error)) from None

    def _entries(self, module: Module) -> list[Entry]:
        """The exports to call, with their arguments."""
        functions = {name: type_ for name, type_ in module.exports if isinstance(type_, FuncType)}
        name = self.plan.invoke
        if name is None:
            if _START not in functions:
                names = ", ".join(functions) or "none"
                raise Ended(UNUSABLE, f"no command: it exports no {_START}; --invoke calls another export ({names})")
            return [(_START, ())]
        if name not in functions:
            raise Ended(USAGE, f"no function {name} to invoke; its exports are {', '.join(functions) or 'none'}")
        from .run_values import ArgumentError, parse

        try:
            # An export that takes nothing leaves the arguments to the program, which gets them by WASI.
            own = not functions[name].params and any(kind in (_WASI, _OLD_WASI) for kind, _, _ in module.imports)
            called = (name, parse(name, functions[name], () if own else self.plan.args))
        except ArgumentError as error:
            raise Ended(USAGE, str(error)) from None
        first = [(_INITIALIZE, ())] if functions.get(_INITIALIZE) == FuncType() and name != _INITIALIZE else []
        return [*first, called]

    def _hosts(self, module: Module, open_: ExitStack) -> list[HostModule[Any]]:
        """The host modules that were asked for, and WASI where the module imports it and none of them stands for it."""
        # What has been imported stays: the collector needn't look through it during the run, or at its end.
        gc.freeze()
        gc.enable()
        hosts = [_host(name) for name in self.plan.hosts]
        wanted = {name for name, _, _ in module.imports} - {host.name for host in hosts}
        if _WASI in wanted or _OLD_WASI in wanted:
            hosts += self._wasi(wanted, open_)
        return hosts

    def _wasi(self, wanted: set[str], open_: ExitStack) -> list[HostModule[Any]]:
        from hostsdk import wasi

        plan = self.plan
        sockets: list[Any] = [_listening(*address, open_) for address in plan.listen]
        config = wasi.WasiConfig(
            args=[plan.file, *plan.args],
            env=plan.env,
            preopens=[(each.guest, wasi.Preopen(each.path, each.read_only)) for each in plan.dirs],
            listen=sockets,
            disk=plan.disk,
        )
        makers = {_WASI: wasi.preview1, _OLD_WASI: wasi.unstable}
        return [make(config) for name, make in makers.items() if name in wanted]

    def _process(self, module: Module, hosts: list[HostModule[Any]], entries: list[Entry]) -> int:
        """The same for a program with threads."""
        engine = Engine(EngineConfig(tier=self.plan.tier, signals=True))
        make = process if self.plan.load is None else load_process
        made = self._linked(module, hosts, lambda: make(self.plan, module, hosts, engine, self.trace))
        try:
            status = self._threads(made, entries)
        finally:
            closed = self._close(made)
        return status if closed else status or HOST_FAILED

    def _link(self, module: Module, hosts: list[HostModule[Any]]) -> tuple[Instance, Execution | None]:
        engine = Engine(EngineConfig(tier=self.plan.tier, signals=True))
        return self._linked(
            module, hosts,
            lambda: Instance.begin(module, hosts, limits=self.plan.limits, engine=engine, trace=self.trace),
        )  # fmt: skip

    def _loaded(self, module: Module, hosts: list[HostModule[Any]]) -> tuple[Instance, Execution | None]:
        """What was saved, about to go on, in an instance of its own."""
        engine = Engine(EngineConfig(tier=self.plan.tier, signals=True))
        execution = self._linked(
            module, hosts, lambda: load(self.plan, module, hosts, engine=engine, trace=self.trace)
        )
        return execution.instance, execution

    def _linked(self, module: Module, hosts: list[HostModule[Any]], make: Callable[[], T]) -> T:
        try:
            return make()
        except UnlinkableError as error:
            raise Ended(UNUSABLE, f"unlinkable: {error}", advice=_advice(module, hosts)) from None
        except (LimitError, CantSave) as error:
            raise Ended(UNUSABLE, str(error)) from None
        except Trap as trap:
            raise Ended(TRAPPED, f"trap: {trap}", trap.backtrace) from None
        except Stopped:
            raise
        except BaseException as error:  # whatever a host module may raise that makes its state
            raise Ended(HOST_FAILED, f"starting a host module failed: {describe(error)}", (), error) from None

    # The guest's turn ----------------------------------------------------------------------------------------------

    def _calls(self, instance: Instance, starting: Execution | None, entries: list[Entry]) -> int:
        """Run the start function and call the exports, until one doesn't return."""
        if starting is not None:
            code = self._run(starting)
            if code is not None:
                return code
            if starting.name == self.plan.invoke:
                self._print(instance.exports[starting.name].type, starting.outcome)
        for name, args in entries:
            execution = instance.start(name, *args)
            code = self._run(execution)
            if code is not None:
                return code
            if name == self.plan.invoke:
                self._print(instance.exports[name].type, execution.outcome)
        return 0

    def _run(self, execution: Execution) -> int | None:
        """Run an execution to its end. The exit code where the guest asked to end, None where it returned. Raises
        Ended, and Stopped where a signal ended it."""
        try:
            outcome = execution.run(interrupt=self.signals.interrupt)
        finally:
            self.signals.settle()
        return self._status(execution, outcome)

    def _threads(self, made: Process, entries: list[Entry]) -> int:
        """Run a program with threads to its end; the exit code. Raises what `_run` raises."""
        if len(entries) > 1:
            raise Ended(USAGE, f"a program with threads and {entries[0][0]} can't be invoked")
        [(name, args)] = entries
        if self.plan.load is None:
            made.start(name, *args)  # type: ignore[arg-type]  # numbers: no thread has vectors
        try:
            made.advance(interrupt=self.signals.interrupt)
        except Exception:
            if made.result is None:
                raise
        finally:
            self.signals.settle()
        result = made.result
        if result is None:
            self._save(made)
            self.stopped_in = [f"thread {tid}: {(*e.backtrace, 'begins')[0]}" for tid, e in made.executions.items()]
            raise Stopped
        if isinstance(result.outcome, Returned):
            if name == self.plan.invoke:
                self._print(made.instance.exports[name].type, result.outcome)
            return 0
        if isinstance(result.outcome, Suspended):
            says = f"a host function asked {result.outcome.reason!r}, and nobody is there to answer"
            raise Ended(HOST_FAILED, says)
        return self._status(result.execution, result.outcome) or 0

    def _save(self, what: Execution | Process) -> None:
        """Keep what a signal has stopped, where that is wanted."""
        try:
            if self.plan.save is not None and self.signals.came:
                save(self.plan.save, what)
        except CantSave as error:
            tell(self.plan.file, str(error))

    def _status(self, execution: Execution | None, outcome: object) -> int | None:
        trace = () if execution is None else execution.backtrace
        self.stopped_in = trace
        match outcome:
            case Returned():
                return None
            case Exited(code):
                return code & 0xFF
            case Trapped(trap):
                raise Ended(TRAPPED, f"trap: {trap}", trap.backtrace)
            case Failed(WasmException() as error):
                raise Ended(TRAPPED, str(error), trace)
            case Failed(error):
                raise _failed(error, trace)
            case Suspended() if execution is not None:
                self._drop(execution, outcome)
        raise Stopped

    def _drop(self, execution: Execution, outcome: Suspended) -> None:
        try:
            self._save(execution)
            execution.drop()
        except BaseException as error:
            raise _failed(error, self.stopped_in) from None
        if not self.signals.came:
            where = innermost_host(self.stopped_in)
            says = f"{where} asked {outcome.reason!r}, and nobody is there to answer"
            raise Ended(HOST_FAILED, says, self.stopped_in)

    def _print(self, type_: FuncType, outcome: object) -> None:
        from .run_values import show

        values = outcome.values if isinstance(outcome, Returned) else ()
        try:
            for kind, value in zip(type_.results, values, strict=True):
                sys.stdout.write(show(str(kind), value) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # Most likely the signal has come, too, and its handler is about to run.
            self.signals.came = self.signals.came or signal.SIGPIPE
        except OSError as error:
            raise Ended(1, f"standard output: {error.strerror}") from None

    def _close(self, instance: Instance | Process) -> bool:
        """Whether the host modules could be closed without an error."""
        try:
            instance.close()
        except Exception as error:  # of a host module's own
            tell(self.plan.file, f"closing a host module failed: {describe(error)}")
            tell_traceback(error)
            return False
        return True


def _failed(error: BaseException, trace: Sequence[object]) -> Ended:
    where = innermost_host(trace)
    what = "failed" if where is None else f"host function {where} failed"
    return Ended(HOST_FAILED, f"{what}: {describe(error)}", trace, error)


def _advice(module: Module, hosts: list[HostModule[Any]]) -> list[str]:
    """What to do about imports for which there is no host module at all."""
    from .hosts import advice

    have = {host.name for host in hosts}
    wanted = dict.fromkeys(name for name, _, _ in module.imports if name not in have)
    return advice(wanted)


def _listening(host: str, port: int, open_: ExitStack) -> socket.socket:
    """A socket that listens there until `open_` is closed, and never blocks whoever accepts from it."""
    from socket import AF_INET, AF_INET6, create_server

    try:
        made = create_server((host, port), family=AF_INET6 if ":" in host else AF_INET)
    except OSError as error:
        raise Ended(USAGE, f"can't listen on {host}:{port}: {error.strerror or error}") from None
    made.setblocking(False)
    return open_.enter_context(made)


def _host(name: HostName | Advertised) -> HostModule[Any]:
    """Import a host module; from the current folder, too, where nothing installed has its name. Raises Ended."""
    if isinstance(name, Advertised):
        from hostsdk import ExtensionError

        try:
            return name.host.load(name.option)
        except ExtensionError as error:
            first, *advice = str(error).splitlines()
            raise Ended(HOST_FAILED, first, (), error.__cause__, advice) from None
    if "" not in sys.path:
        sys.path.append("")
    try:
        found: Any = importlib.import_module(name.module)
        for part in name.attribute.split("."):
            found = getattr(found, part)
    except Stopped:
        raise
    except BaseException as error:  # a module may raise anything while it is imported, SystemExit too
        raise Ended(HOST_FAILED, f"host module {name}: {describe(error)}", (), error) from None
    if not isinstance(found, HostModule):
        raise Ended(HOST_FAILED, f"host module {name}: it is a {type(found).__name__}, not a HostModule")
    return found
