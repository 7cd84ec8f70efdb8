"""hostsdk as an engine for the suite: the host functions that the cases import, and the answers to what is asked."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import attrs

from hostsdk import (
    BlockingContext,
    Context,
    Engine,
    EngineConfig,
    Execution,
    Exited,
    FakeClock,
    FuncRef,
    FuncType,
    HostModule,
    Instance,
    Module,
    Returned,
    Steps,
    Suspended,
    Trapped,
    call,
    i32,
)
from hostsdk.testing import At, Every, SteppingDriver


@attrs.define
class Outside:
    """What the guest's calls have done, and where they are cut. Not a part of the guest: it is never saved."""

    log: list[int] = attrs.field(factory=list)
    feed: list[int] = attrs.field(factory=list)
    schedule: At | Every = attrs.field(factory=lambda: At(()))
    count: int = 0
    armed: bool = False

    def fires(self, check: int) -> bool:
        """For the engine: whether to suspend here."""
        if not self.armed:
            return False
        self.count += 1
        return self.schedule.fires(self.count)


outside = Outside()
suite: HostModule[None] = HostModule("suite")


@suite.restartable
def log(ctx: BlockingContext, value: i32) -> None:
    """Append to the log."""
    ctx.once(lambda: outside.log.append(value))


@suite.restartable
def sleep(ctx: BlockingContext, ms: i32) -> None:
    """Wait."""
    ctx.sleep(ms / 1000)


@suite.restartable
def next(ctx: BlockingContext) -> i32:  # noqa: A001  # its name in the suite
    """The next number that the case feeds; -1 at the end."""
    return ctx.once(lambda: outside.feed.pop(0) if outside.feed else -1)


@suite.restartable(name="call")
def call_(ctx: BlockingContext, func: FuncRef[[i32], i32], value: i32) -> i32:
    """Call a function of the guest's table."""
    return ctx.call(func, value)


@suite.restartable
def fold(ctx: Context, func: FuncRef[[i32, i32], i32], count: i32) -> Steps[i32]:
    """Call a function of the guest's table with what it gave before, and 0, 1, …"""
    total = 0
    for n in range(count):
        total = yield from call(func, total, n)
    return total


@suite.restartable
def guarded(ctx: BlockingContext, number: i32, ms: i32) -> None:
    """Log 2000 + number, wait, and log 3000 + number however that ends."""

    def open_() -> int:
        outside.log.append(2000 + number)
        return number

    ctx.acquire(open_, release=lambda number: outside.log.append(3000 + number))
    ctx.sleep(ms / 1000)


@suite.function(name="exit")
def exit_(ctx: Context, code: i32) -> None:
    """End the execution."""
    ctx.exit(code)


class Adapter:
    """One execution at a time."""

    def __init__(self) -> None:
        self.verbs: dict[str, Callable[..., dict[str, Any]]] = {
            "begin": self.begin, "run": self.run, "save": self.save, "restore": self.restore, "drop": self.drop,
            "look": self.look, "read": self.read,
        }  # fmt: skip
        self.instance: Instance | None = None
        self.execution: Any = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """The answer to one request."""
        verb = self.verbs[request.pop("do")]
        return verb(**request)

    def begin(
        self, module: str, export: str, args: list[dict[str, str]], feed: list[int], hits: list[int], every: int | None
    ) -> dict[str, Any]:
        """A fresh instance, and a call in it."""
        self._close()
        outside.__init__()  # type: ignore[misc]  # the very object that the host functions know
        outside.feed = list(feed)
        outside.schedule = At(frozenset(hits)) if every is None else Every(every)
        self.clock = FakeClock()
        self.engine = Engine(EngineConfig(clock=self.clock, driver=SteppingDriver(self.clock), injector=outside))
        self.began = self.clock.monotonic()
        self.module = Module.from_file(module)
        outside.armed = True
        self.instance, self.execution = Instance.begin(self.module, [suite], engine=self.engine)
        self.rest = [(export, tuple(int(each["value"]) for each in args))]
        return {}

    def run(self) -> dict[str, Any]:
        """Run the start function, if there is one, and the call, up to the next suspension."""
        assert self.instance is not None  # noqa: S101  # begun before
        while True:
            if self.execution is None:
                export, args = self.rest.pop()
                self.execution = self.instance.start(export, *args)
            outcome = self.execution.run()
            if isinstance(outcome, Returned) and self.rest:
                self.execution = None
                continue
            outside.armed = isinstance(outcome, Suspended)
            return self._told(outcome)

    def save(self) -> dict[str, Any]:
        """The suspended execution as bytes."""
        return {"data": base64.b64encode(self.execution.save()).decode()}

    def restore(self, data: str, module: str) -> dict[str, Any]:
        """Go on with what was saved, in an instance of its own."""
        outside.armed = False
        before = self.instance
        loaded = Execution.load(
            base64.b64decode(data), Module.from_file(module), [suite], trusted=True, engine=self.engine
        )
        self.execution, self.instance = loaded, loaded.instance
        if before is not None:
            before.close()
        outside.armed = True
        return {}

    def drop(self) -> dict[str, Any]:
        """Give the call up."""
        outside.armed = False
        self.execution.drop()
        return {}

    def look(self) -> dict[str, Any]:
        """What has happened so far."""
        passed = round((self.clock.monotonic() - self.began) * 1000)
        return {"log": outside.log, "time_ms": passed, "checks": outside.count}

    def read(self, at: int, size: int) -> dict[str, Any]:
        """A piece of the export `memory`."""
        assert self.instance is not None  # noqa: S101  # begun before
        return {"hex": self.instance.memory.read(at, size).hex()}

    def _told(self, outcome: object) -> dict[str, Any]:
        match outcome:
            case Returned(values):
                type_ = dict(self.module.exports)[self.execution.name]
                kinds = type_.results if isinstance(type_, FuncType) else ()
                told = [_value(str(kind), value) for kind, value in zip(kinds, values, strict=True)]
                return {"outcome": "returned", "values": told}
            case Suspended():
                return {"outcome": "suspended"}
            case Trapped(trap):
                return {"outcome": "trapped", "trap": trap.code.value}
            case Exited(code):
                return {"outcome": "exited", "code": code}
        return {"error": f"{outcome!r}"}

    def _close(self) -> None:
        if self.instance is not None:
            self.instance.close()


def _value(kind: str, value: Any) -> dict[str, str]:
    """A value by its bits."""
    if kind == "f64":
        import struct

        return {"type": kind, "value": str(int.from_bytes(struct.pack(">d", value), "big"))}
    return {"type": kind, "value": str(value & ((1 << 32) - 1 if kind == "i32" else (1 << 64) - 1))}


def main() -> None:
    """Answer until nothing more is asked."""
    adapter = Adapter()
    for line in sys.stdin:
        try:
            answer = adapter.answer(json.loads(line))
        except Exception as error:  # told to whoever asked
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
