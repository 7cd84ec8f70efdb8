"""`explain()`: what a suspended execution is blocked in, on what and since when."""

from __future__ import annotations

import re
import socket

import attrs
import pytest

from hostsdk import (
    ERRNO_NEGATIVE,
    BlockingContext,
    Context,
    Engine,
    EngineConfig,
    FakeClock,
    FuncRef,
    HostModule,
    Instance,
    Interrupt,
    Module,
    Notifier,
    OutBuffer,
    Question,
    Steps,
    Suspended,
    block_until,
    call,
    i32,
    try_recv,
)
from tests.support.build import wat

GUEST = """(module
  (import "net" "recv" (func $recv (param i32 i32 i32) (result i32)))
  (import "net" "twice" (func $twice (param i32) (result i32)))
  (import "net" "allowed" (func $allowed (param i32) (result i32)))
  (memory (export "memory") 1)
  (table (export "__indirect_function_table") 1 funcref) (elem (i32.const 0) $callback)
  (func $callback (param i32) (result i32) i32.const 0 i32.const 16 i32.const 64 call $recv)
  (func $run (export "run") (param i32) (result i32) i32.const 0 call $twice local.get 0 i32.add)
  (func (export "ask") (result i32) i32.const 5 call $allowed)
  (func (export "spin") loop br 0 end))"""


@attrs.frozen
class Approval(Question[i32]):
    """May it?"""

    what: str


def _host(bell: Notifier) -> HostModule[None]:
    net = HostModule("net", errors=ERRNO_NEGATIVE)

    @net.restartable
    def recv(ctx: BlockingContext, fd: i32, out: OutBuffer) -> i32:
        sock = ctx.resources.get(fd, socket.socket)
        got = ctx.block_until(lambda: try_recv(sock, out), readable=sock, wake=bell, timeout=20.0)
        return -1 if got is None else got

    @net.restartable
    def twice(ctx: Context, f: FuncRef[[i32], i32]) -> Steps[i32]:
        yield from block_until(timeout=0.0)
        return (yield from call(f, 1))

    @net.restartable
    def allowed(ctx: BlockingContext, amount: i32) -> i32:
        return ctx.ask(Approval(f"pay {amount}"))

    return net


@pytest.fixture
def clock() -> FakeClock:
    """Time that stands still."""
    return FakeClock()


@pytest.fixture
def instance(clock: FakeClock) -> Instance:
    """A guest with a socket that nothing comes from."""
    made = Instance(Module.from_bytes(wat(GUEST)), [_host(Notifier())], engine=Engine(EngineConfig(clock=clock)))
    ours, theirs = socket.socketpair()
    made.resources.add(ours, close=socket.socket.close)
    made.resources.add(theirs, close=socket.socket.close)
    return made


def test_it_says_what_is_waited_for_and_since_when(instance: Instance, clock: FakeClock) -> None:
    """BEHAVIOURS 79: the host function with its arguments by name, the wait with the time left, and how long it lasts;
    then wasm and host frames in true order, with byte offsets and source lines."""
    with instance:
        execution = instance.start("run", 41)
        stop = Interrupt(level=True)
        stop.set()
        execution.run(interrupt=stop)
        while "net.recv(fd" not in execution.explain():
            execution.run(interrupt=stop)
        clock.advance(12.3)
        head, *lines = execution.explain().splitlines()
        assert head.startswith("run(41) blocked for 12.3 s in net.recv(fd=0, out=<room for 64 bytes at 0x10>): ")
        assert "to be readable" in head
        assert "a deadline in 7.700 s" in head
        assert re.search(r"suspended \d+ times so far", head)
        assert [re.sub(r"\d+\)?$", "", line.split("(")[0]).split() for line in lines] == [
            ["0", "host", "net.recv"], ["1", "wasm", "callback"], ["2", "host", "net.twice"], ["3", "wasm", "run"],
        ]  # fmt: skip
        assert all(" at byte " in line for line in lines[1::2])
        assert all("at test_explain.py:" in line for line in lines[::2])


def test_a_question_is_shown(instance: Instance) -> None:
    """An execution that waits for an answer says which question it asked."""
    with instance:
        execution = instance.start("ask")
        assert isinstance(execution.run(), Suspended)
        said = "net.allowed(amount=5): asks Approval, called from func[5]; Approval(what='pay 5')"
        assert said in execution.explain()


def test_a_computing_guest_is_shown_where_it_is(instance: Instance) -> None:
    """Stopped in a loop, the function and the byte of the loop are named; an ended execution says how it ended."""
    with instance:
        execution = instance.start("spin")
        assert execution.explain() == "spin() is ready"
        stop = Interrupt()
        stop.set()
        execution.run(interrupt=stop)
        head, line = execution.explain().splitlines()
        assert re.fullmatch(r"spin\(\) suspended in func\[\d+\]; Interrupted \(suspended 1 time so far\)", head)
        assert re.fullmatch(r" +0 wasm +func\[\d+\]\(\) at byte \d+", line)
        execution.drop()
        assert execution.explain() == "spin() is dropped"
