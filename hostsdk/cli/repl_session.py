"""A conversation about one instance: calls, suspensions, memory, what is blocked and where."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TextIO

from hostsdk import (
    Engine,
    EngineConfig,
    Execution,
    Exited,
    Failed,
    FuncType,
    HostError,
    HostModule,
    Instance,
    Interrupt,
    Interrupted,
    Memory,
    Module,
    Question,
    Returned,
    State,
    Suspended,
    Trapped,
    UnlinkableError,
    WasmError,
)

from .run_process import UNUSABLE, Ended
from .run_report import describe, plain
from .run_values import ArgumentError, parse, show

PROMPT: Final = "hostsdk> "
_HELP: Final = """\
NAME ARGS…          call an export; Ctrl-C suspends it
:start NAME ARGS…   begin a call without running it
:step               run to the next check point
:run                run on
:bt, :explain       where the call is; what it waits for, and since when
:answer VALUE       answer what a host function asks
:drop               give the call up
:save FILE          save the call;  :load FILE  go on with one that was saved
:mem ADDR [SIZE]    look at memory
:exports, :stats    what can be called; what has been counted
:quit               leave"""


class _Stepper:
    """An injector that hits the next check point when it is told to."""

    armed = False

    def fires(self, check: int) -> bool:
        """Whether to suspend here."""
        hit, self.armed = self.armed, False
        return hit


class Session:
    """An instance, and at most one call that is under way."""

    def __init__(self, module: Module, hosts: list[HostModule[Any]]) -> None:
        self.module = module
        self.hosts = hosts
        self.stepper = _Stepper()
        self.engine = Engine(EngineConfig(tier="interpreter", injector=self.stepper))
        self.execution: Execution | None = None
        try:
            self.instance = Instance(module, hosts, engine=self.engine)
        except UnlinkableError as error:
            raise Ended(UNUSABLE, f"unlinkable: {error}") from None
        except WasmError as error:
            raise Ended(UNUSABLE, str(error)) from None
        self.verbs: dict[str, Callable[..., Iterator[str]]] = {
            ":help": self.help,
            ":start": self.start,
            ":step": self.step,
            ":run": self.run,
            ":bt": self.backtrace,
            ":explain": self.explain,
            ":answer": self.answer,
            ":drop": self.drop,
            ":save": self.save,
            ":load": self.load,
            ":mem": self.memory,
            ":exports": self.exports,
            ":stats": self.stats,
        }

    def talk(self, source: TextIO, out: TextIO) -> None:
        """Read commands up to the end, or `:quit`."""
        if source.isatty():
            import readline  # noqa: F401  # gives input() its history
        while True:
            try:
                line = _line(source, out)
            except KeyboardInterrupt:
                out.write("\n")
                continue
            words = line.split()
            if not line or words[:1] in ([":quit"], [":exit"]):
                return
            out.writelines(plain_lines(text) + "\n" for text in self.answer_to(words))
            out.flush()

    def answer_to(self, words: list[str]) -> Iterator[str]:
        """What is said to one command."""
        if not words:
            return
        try:
            if not words[0].startswith(":"):
                yield from self.call(*words)
            elif words[0] in self.verbs:
                yield from self.verbs[words[0]](*words[1:])
            else:
                yield f"no command {words[0]}; :help lists them"
        except ArgumentError as error:
            yield str(error)
        except TypeError:
            yield f"{words[0]}: wrong arguments; see :help"
        except (WasmError, HostError, OSError, ValueError, OverflowError) as error:
            yield describe(error)

    def close(self) -> None:
        """End the instance."""
        self.instance.close()

    # Commands ------------------------------------------------------------------------------------------------------

    def help(self) -> Iterator[str]:
        """The commands."""
        yield _HELP

    def call(self, name: str, *args: str) -> Iterator[str]:
        """Call an export to its end."""
        yield from self.start(name, *args)
        yield from self.run()

    def start(self, name: str, *args: str) -> Iterator[str]:
        """Begin a call."""
        type_ = dict(self.module.exports).get(name)
        if not isinstance(type_, FuncType):
            raise ArgumentError(f"no function {name}; :exports lists them")
        values = parse(name, type_, args)
        if self.execution is not None and self.execution.state is State.SUSPENDED:
            raise ArgumentError("a call is under way: :run, :step or :drop it first")
        self.execution = self.instance.start(name, *values)
        yield from ()

    def step(self) -> Iterator[str]:
        """Run to the next check point."""
        self._under_way()
        self.stepper.armed = True
        yield from self.run()

    def run(self) -> Iterator[str]:
        """Run on, to the end or to a suspension."""
        execution = self._under_way()
        with _listening() as interrupt:
            outcome = execution.run(interrupt=interrupt)
        self.stepper.armed = False
        match outcome:
            case Returned(values):
                type_ = dict(self.module.exports)[execution.name]
                kinds = type_.results if isinstance(type_, FuncType) else ()
                yield "\n".join(show(str(k), v) for k, v in zip(kinds, values, strict=True)) or "returned"
            case Trapped(trap):
                yield "\n".join([f"trap: {trap}", *(f"  {line}" for line in trap.backtrace)])
            case Exited(code):
                yield f"exited with code {code}"
            case Failed(error):
                yield "\n".join([describe(error), *(f"  {line}" for line in execution.backtrace)])
            case Suspended(Question() as question):
                yield f"asks: {question!r}; :answer VALUE"
            case Suspended(Interrupted()):
                yield "interrupted; :bt, :explain, :run, :step, :drop, :save"
            case Suspended():
                yield "\n".join(map(str, execution.backtrace[:1])) or "suspended"
            case _:
                yield str(outcome)

    def backtrace(self) -> Iterator[str]:
        """Where the call is."""
        yield "\n".join(f"{i:3} {line}" for i, line in enumerate(self._call().backtrace)) or "nothing is under way"

    def explain(self) -> Iterator[str]:
        """What the call waits for."""
        yield self._call().explain()

    def answer(self, value: str) -> Iterator[str]:
        """Answer a question, and run on."""
        self._under_way().answer(float(value) if "." in value else int(value, 0))
        yield from self.run()

    def drop(self) -> Iterator[str]:
        """Give the call up."""
        self._under_way().drop()
        yield "dropped"

    def save(self, file: str) -> Iterator[str]:
        """Save the call."""
        data = self._under_way().save()
        Path(file).write_bytes(data)
        yield f"{len(data)} bytes"

    def load(self, file: str) -> Iterator[str]:
        """Go on with a saved call, in an instance of its own."""
        data = Path(file).read_bytes()
        loaded = Execution.load(data, self.module, self.hosts, trusted=True, engine=self.engine)
        self.instance.close()
        self.execution, self.instance = loaded, loaded.instance
        yield loaded.explain()

    def memory(self, addr: str, size: str = "64") -> Iterator[str]:
        """Look at memory."""
        start, count = int(addr, 0), min(int(size, 0), 4096)
        found: Memory = self.instance.memory
        data = found.read(start, count)
        for at in range(0, len(data), 16):
            part = data[at : at + 16]
            text = "".join(chr(b) if 32 <= b < 127 else "." for b in part)
            yield f"{start + at:08x}  {part.hex(' '):47}  {text}"

    def exports(self) -> Iterator[str]:
        """What the module exports."""
        for name, type_ in self.module.exports:
            yield f"{name}  {type_!r}"

    def stats(self) -> Iterator[str]:
        """What has been counted."""
        yield repr(self.instance.stats)

    def _call(self) -> Execution:
        if self.execution is None:
            raise ArgumentError("nothing has been called yet")
        return self.execution

    def _under_way(self) -> Execution:
        execution = self._call()
        if execution.state not in (State.READY, State.SUSPENDED):
            raise ArgumentError(f"the call is {execution.state.value}; begin another")
        return execution


def _line(source: TextIO, out: TextIO) -> str:
    if source.isatty():
        try:
            return input(PROMPT) + "\n"
        except EOFError:
            out.write("\n")
            return ""
    out.write(PROMPT)
    out.flush()
    return source.readline()


def plain_lines(text: str) -> str:
    """Several lines, without anything that a terminal would obey."""
    return "\n".join(map(plain, text.split("\n")))


@contextmanager
def _listening() -> Iterator[Interrupt]:
    """An interrupt that Ctrl-C sets meanwhile."""
    interrupt = Interrupt()
    before = signal.signal(signal.SIGINT, lambda number, frame: interrupt.set())
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, before)
