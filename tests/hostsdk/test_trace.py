"""Traces: a line for each host call, a time line for Chrome, the logger, and nothing of it where it is off."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from hostsdk import (
    BlockingContext,
    Context,
    Engine,
    EngineConfig,
    Execution,
    FakeClock,
    FuncRef,
    HostModule,
    Instance,
    Interrupt,
    Module,
    OutBuffer,
    Steps,
    Str,
    Suspended,
    Trace,
    call,
    i32,
)
from hostsdk._embed import Export
from hostsdk._enter import BoundFunction
from hostsdk.cli.main import main
from hostsdk.testing import World
from tests.support.build import wat

host: HostModule[None] = HostModule("h")
twice = host.guest("twice", FuncRef[[i32], i32])


@host.function
def greet(ctx: Context, name: Str, out: OutBuffer) -> i32:
    """Plain, with text."""
    return out.fill(b"hello " + name.encode())


@host.pure
def add(a: i32, b: i32) -> i32:
    """Numbers alone."""
    return a + b


@host.restartable
def nap(ctx: BlockingContext, seconds: i32) -> i32:
    """Waits."""
    ctx.sleep(seconds)
    return seconds


@host.restartable
def calls(ctx: Context, n: i32) -> Steps[i32]:
    """Calls the guest back."""
    return (yield from call(twice, n)) + 1


@host.function
def fails(ctx: Context) -> None:
    """Raises."""
    raise ValueError("no\ngood")


TEXT = """(module
  (import "h" "greet" (func $greet (param i32 i32 i32 i32) (result i32)))
  (import "h" "add" (func $add (param i32 i32) (result i32)))
  (import "h" "nap" (func $nap (param i32) (result i32)))
  (import "h" "calls" (func $calls (param i32) (result i32)))
  (import "h" "fails" (func $fails))
  (memory (export "memory") 1) (data (i32.const 0) "guest")
  (func (export "twice") (param i32) (result i32) (i32.mul (call $nap (local.get 0)) (i32.const 2)))
  (func (export "greet") (result i32)
    (call $greet (i32.const 0) (i32.const 5) (i32.const 16) (i32.const 32)))
  (func (export "add") (result i32) (call $add (i32.const 2) (i32.const -3)))
  (func (export "nap") (result i32) (call $nap (i32.const 3)))
  (func (export "calls") (result i32) (call $calls (i32.const 2)))
  (func (export "fails") (call $fails)))"""
MODULE = Module.from_bytes(wat(TEXT))


def told(*names: str) -> list[str]:
    """The lines of a trace of these calls, without the times."""
    lines: list[str] = []
    with Instance(MODULE, [host], engine=World.make().engine, trace=Trace(lines.append)) as instance:
        for name in names:
            instance.call(name)
    return [line[14:].rpartition("  (")[0] for line in lines]


def test_a_line_for_each_host_call() -> None:
    """Arguments as the author named them, the result, and the call of the embedder's around them."""
    assert told("greet", "add", "nap", "calls") == [
        "h.greet(name='guest', out=<room for 32 bytes at 0x10>) -> 11",
        "greet() -> 11",
        "h.add(a=2, b=-3) -> -1",
        "add() -> -1",
        "h.nap(seconds=3) -> 3",
        "nap() -> 3",
        "h.nap(seconds=2) -> 2",
        "h.calls(n=2) -> 5",
        "calls() -> 5",
    ]


def test_times_are_the_engines() -> None:
    """Beginnings count from the first event, and lengths are in milliseconds, on the engine's clock."""
    lines: list[str] = []
    with Instance(MODULE, [host], engine=World.make().engine, trace=Trace(lines.append)) as instance:
        instance.exports.nap()
        instance.exports.nap()
    assert lines[2] == "    3.000000  h.nap(seconds=3) -> 3  (3000.000 ms)"


def test_suspensions_and_restarts() -> None:
    """BEHAVIOURS 78: a call that leaves the stack says so, and how often it was gone on with; saved and loaded, too."""
    lines: list[str] = []
    trace = Trace(lines.append)
    stop = Interrupt(level=True)
    engine = World.make().engine
    with Instance(MODULE, [host], engine=engine, trace=trace) as instance:
        stop.set()
        execution = instance.start("nap")
        while "seconds=3" not in "".join(lines):
            assert isinstance(execution.run(interrupt=stop), Suspended)
        execution.run(interrupt=stop)
        loaded = Execution.load(execution.save(), MODULE, [host], trusted=True, engine=engine, trace=trace)
        with loaded.instance:
            loaded.run()
    shown = [line[14:].rpartition("  (")[0] for line in lines if "h.nap(seconds" in line]
    assert shown[0] == "h.nap(seconds=3) left the stack"
    assert shown[-1] == f"h.nap(seconds=3), restart {len(shown) - 1} -> 3"
    assert any("nap() Suspended(reason=Interrupted" in line for line in lines)


def test_errors_are_told() -> None:
    """What a host function raises is on its line, in one line, and reaches the embedder as ever."""
    lines: list[str] = []
    with Instance(MODULE, [host], trace=Trace(lines.append)) as instance, pytest.raises(ValueError, match="no\ngood"):
        instance.call("fails")
    assert "h.fails() raised ValueError: no good" in lines[0]
    assert "fails() raised ValueError" in lines[1]


def test_a_time_line(tmp_path: Path) -> None:
    """Guests, host calls and waits lie inside each other in Chrome's format."""
    trace = Trace()
    with Instance(MODULE, [host], engine=World.make().engine, trace=trace) as instance:
        instance.call("calls")
    trace.save(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    slices = {event["name"]: event for event in events if event["ph"] == "X"}
    assert {name: event["cat"] for name, event in slices.items()} == {
        "sleep": "wait", "h.nap": "host", "h.calls": "host", "calls()": "guest",
    }  # fmt: skip
    order = ["calls()", "h.calls", "h.nap", "sleep"]
    ends = [slices[name]["ts"] + slices[name]["dur"] for name in order]
    assert ends == sorted(ends, reverse=True)
    assert [slices[name]["dur"] for name in order] == [2e6] * 4
    assert slices["h.nap"]["args"] == {"arguments": "seconds=2", "ended": "-> 2"}
    assert {event["tid"] for event in slices.values()} == {events[0]["tid"]}


def test_the_logger(caplog: pytest.LogCaptureFixture) -> None:
    """With the logger `hostsdk.calls` at DEBUG when an instance is made, its lines go there."""
    with caplog.at_level(logging.DEBUG, logger="hostsdk.calls"), Instance(MODULE, [host]) as instance:
        instance.call("add")
    assert [record.name for record in caplog.records] == ["hostsdk.calls"] * 2
    assert "h.add(a=2, b=-3) -> -1" in caplog.records[0].getMessage()


def test_it_costs_nothing_where_it_is_off() -> None:
    """An instance without a trace has the very classes that it would have if there were no traces."""
    engine = Engine(EngineConfig(clock=FakeClock()))
    with Instance(MODULE, [host], engine=engine) as instance:
        assert {type(export) for export in instance.exports.values()} == {engine.tier.quick(Export)}
        assert {type(bound) for bound in instance._functions._bound.values()} == {BoundFunction}
        assert instance._store.engine is engine


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--trace` tells on standard error, `--trace-file` writes the time line; both leave the output alone."""
    (tmp_path / "guest.wasm").write_bytes(wat(TEXT))
    monkeypatch.chdir(tmp_path)
    options = ["--host", f"{__name__}:host", "--trace", "--trace-file", "t.json", "--invoke", "greet"]
    done = CliRunner().invoke(main, ["run", *options, "guest.wasm"])
    assert (done.exit_code, done.stdout) == (0, "11\n")
    assert "h.greet(name='guest', out=<room for 32 bytes at 0x10>) -> 11" in done.stderr
    assert len(json.loads(Path("t.json").read_text())["traceEvents"]) == 3
    done = CliRunner().invoke(main, ["run", *options[:-3], "nowhere/t.json", "--invoke", "greet", "guest.wasm"])
    assert "nowhere/t.json: No such file or directory" in done.stderr
