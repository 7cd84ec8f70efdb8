"""Ctrl-C between any two lines of ours: a signal's handler may raise there, and the instance has to work afterwards."""

from __future__ import annotations

import ast
import functools
import gc
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

import pytest

import hostsdk
import runtime
from hostsdk import BlockingContext, Context, Execution, HostModule, Instance, Interrupt, Module, i32
from runtime import Engine, EngineConfig
from runtime.llvm.here import unavailable
from tests.support.build import wat
from tests.support.native import engine

TEXT = """(module (import "h" "plain" (func $plain (param i32) (result i32))) (import "h" "nap" (func $nap))
  (memory (export "memory") 1)
  (func $twice (export "twice") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func (export "f") (param i32) (result i32) (local $sum i32)
    (loop
      (local.set $sum (i32.add (local.get $sum) (call $plain (call $twice (local.get 0)))))
      (call $nap)
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get $sum)))"""
_HERE: Final = tuple(str(Path(str(door.__file__)).parent) + "/" for door in (hostsdk, runtime))
#: A place in the source.
Place = tuple[str, int]


class _Pressed(KeyboardInterrupt):
    """Told from one that somebody has really typed."""


@contextmanager
def tracing(see: Callable[[Place], None]) -> Iterator[None]:
    """`see` is told of each line of ours before it runs, and may raise."""

    def line(frame: FrameType, event: str, arg: object) -> Any:
        if event == "line":
            see((frame.f_code.co_filename, frame.f_lineno))
        return line

    def call(frame: FrameType, event: str, arg: object) -> Any:
        name = frame.f_code.co_filename
        # What Python calls by itself, where nothing can be raised, is none of anybody's calls.
        return line if name.startswith(_HERE) and frame.f_code.co_name != "__del__" else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        yield
    finally:
        sys.settrace(before)


def pressed_at(place: Place, work: Callable[[], object]) -> BaseException | None:
    """Do `work`, with Ctrl-C where it comes to `place` for the first time; what it raised."""
    done = False

    def see(now: Place) -> None:
        nonlocal done
        if now == place and not done:
            done = True
            raise _Pressed

    try:
        with tracing(see):
            work()
    except BaseException as error:
        return error
    return None


@functools.cache
def _handling(path: str) -> frozenset[int]:
    """Lines of a file that deal with an exception. What a trace function raises there, where no signal's handler can
    run, CPython takes for raised while it is dealt with for ever after."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(Path(path).read_text())):
        if isinstance(node, ast.ExceptHandler):
            lines.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return frozenset(lines)


@functools.cache
def _module() -> Module:
    return Module.from_bytes(wat(TEXT))


class _Case:
    """A fresh instance, a call of it, and what is done with them."""

    def __init__(self, using: Engine, how: str) -> None:
        host = HostModule("h")

        @host.function
        def plain(ctx: Context[None], x: i32) -> i32:
            return x + 1

        @host.restartable
        def nap(ctx: BlockingContext[None]) -> None:
            ctx.check_interrupt()

        self.hosts, self.using = [host], using
        self.made: Instance | None = None
        self.execution: Execution | None = None
        self.interrupt = Interrupt()
        self.work: Callable[[], object] = self.make
        if how != "make":
            made = self.made = Instance(_module(), self.hosts, engine=using)
            made.call("f", 1)
            self.execution = made.start("f", 3)
            self.work = {"call": self.call, "run": self.run, "suspend": self.run, "resume": self.run}[how]
        if how in ("suspend", "resume"):
            self.interrupt.set()
        if how == "resume":
            self.run()

    def make(self) -> None:
        """A new instance."""
        self.made = Instance(_module(), self.hosts, engine=self.using)

    def call(self) -> object:
        """A plain call."""
        assert self.made is not None
        return self.made.exports["f"](3)

    def run(self) -> object:
        """A step of the execution."""
        assert self.execution is not None
        return self.execution.run(interrupt=self.interrupt)

    def check(self, error: BaseException | None) -> None:
        """Whatever came, it was told, and the instance works."""
        assert error is None or type(error) is _Pressed, repr(error)
        if self.execution is not None and self.execution.state.value == "suspended":
            outcome = self.execution.run()
            assert getattr(outcome, "values", None) == (15,), outcome
        if self.made is not None:
            if self.execution is not None and self.execution.state.value == "ready":
                self.execution.drop()
            assert [self.made.call("f", 3) for _ in range(2)] == [15, 15]
            assert not self.made._raw.group.root().active
            self.made.close()


def _press(places: Iterable[Place], using: Engine, how: str) -> None:
    """Ctrl-C at each of them in turn."""
    for place in places:
        if place[1] in _handling(place[0]):
            continue
        case = _Case(using, how)
        error = pressed_at(place, case.work)
        try:
            case.check(error)
        except BaseException as wrong:
            wrong.add_note(f"with Ctrl-C at {place}")
            raise
        assert sys.exc_info()[1] is None, place


@pytest.mark.parametrize("how", ["make", "call", "run", "suspend", "resume"])
@pytest.mark.parametrize("tier", ["interpreter", "native"])
def test_ctrl_c_at_any_line_is_told_and_leaves_the_instance_fit(tier: str, how: str) -> None:
    """What `runtime.exec.run.run` promises: what a signal's handler raises reaches the caller, wherever it comes, and
    then calls of the instance work as before, without a trace of the one that was ended."""
    if tier == "native" and unavailable() is not None:
        pytest.skip(str(unavailable()))
    using = engine() if tier == "native" else Engine(EngineConfig(tier="interpreter"))
    for _ in range(3):  # whatever is done once only
        _Case(using, how).work()
    places: dict[Place, None] = {}
    case = _Case(using, how)
    with tracing(places.setdefault):
        case.work()
    case.check(None)
    assert len(places) > 100
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # operations that were begun and not carried out
        _press(places, using, how)
        gc.collect()  # what is left of them goes here, and warns nobody later
