"""Host functions and embedders as people write them. Every line passes a strict type checker, and importing the file
registers every function."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from typing import assert_type

import attrs

from hostsdk import (
    ERRNO_NEGATIVE,
    BlockingContext,
    Bytes,
    Context,
    Dropped,
    Execution,
    Exited,
    Failed,
    FuncRef,
    HostModule,
    Instance,
    Interrupt,
    Interrupted,
    Module,
    Notifier,
    OutBuffer,
    Ptr,
    Question,
    Returned,
    Steps,
    Stored,
    Str,
    Suspended,
    TimedOut,
    Trapped,
    block_until,
    call,
    check_interrupt,
    i32,
    sleep,
    sort_with,
    tail_call,
    try_recv,
    try_send,
    u8,
    u32,
    u64,
)


# 1. A key-value store: plain functions, a state with an end.
def open_store() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", check_same_thread=False)


kv = HostModule("kv", state=open_store, close=sqlite3.Connection.close)


@kv.function
def get(ctx: Context[sqlite3.Connection], key: Str, out: OutBuffer) -> i32:
    row = ctx.state.execute("select v from kv where k = ?", (key,)).fetchone()
    return out.fill(row[0]) if row else -1


@kv.function(name="size")
def size_of(ctx: Context[sqlite3.Connection]) -> tuple[i32, Stored[u64]]:
    assert_type(ctx.state, sqlite3.Connection)
    return 0, 1


# 2. Sleep, in two styles.
clock = HostModule("clock")


@clock.restartable
def nap(ctx: BlockingContext, ms: u32) -> None:
    ctx.sleep(ms / 1000)
    ctx.check_interrupt()


@clock.restartable
def nap_steps(ctx: Context, ms: u32) -> Steps[None]:
    yield from sleep(ms / 1000)
    yield from check_interrupt()


# 3. Receive: readiness and attempt in one wait, the author's timeout, error numbers.
net = HostModule("net", errors=ERRNO_NEGATIVE)


@net.restartable
def recv(ctx: BlockingContext, fd: i32, out: OutBuffer, timeout_ms: u32) -> i32:
    sock = ctx.resources.get(fd, socket.socket)
    n = ctx.block_until(lambda: try_recv(sock, out), readable=sock, timeout=timeout_ms / 1000)
    if n is None:
        raise TimeoutError
    return n


# 5. A queue, woken from another thread.
class Queue:
    """Items for the guest."""

    def __init__(self) -> None:
        self.changed = Notifier()
        self.items: list[bytes] = []

    def try_pop(self) -> bytes | None:
        return self.items.pop() if self.items else None


q = HostModule("q", state=Queue)


@q.restartable
def pop(ctx: BlockingContext[Queue], out: OutBuffer) -> i32:
    return out.fill(ctx.block_until(ctx.state.try_pop, wake=ctx.state.changed))


# 6. C's qsort with the guest's comparator.
lib = HostModule("lib")


@lib.restartable
def qsort(ctx: Context, base: Ptr[u8], n: u32, size: u32, cmp: FuncRef[[u32, u32], i32]) -> Steps[None]:
    rows = ctx.memory.rows(base, n, size)
    order = yield from sort_with(lambda i, j: call(cmp, rows.addr(i), rows.addr(j)), n)
    rows.permute(order)


# 7. A person decides.
@attrs.frozen
class Approval(Question[i32]):
    """May the guest go on?"""

    text: str


human = HostModule("human")


@human.restartable
def approve(ctx: BlockingContext, text: Str) -> i32:
    return ctx.ask(Approval(text))


# 8. A subprocess that ends with the call.
@lib.restartable
def system(ctx: BlockingContext, cmd: Str) -> i32:
    proc = ctx.acquire(lambda: subprocess.Popen(cmd, shell=True), release=subprocess.Popen.kill)
    return ctx.block_until(proc.poll)


# 9. A lock, which can only be polled.
locks = HostModule("locks", state=threading.Lock)


@locks.restartable
def lock(ctx: BlockingContext[threading.Lock]) -> None:
    ctx.block_until(lambda: ctx.state.acquire(blocking=False))


# 10. Send all: progress as commit.
@net.restartable(version=2, accepts=[1])
def send_all(ctx: BlockingContext, fd: i32, data: Bytes) -> i32:
    sock, sent = ctx.resources.get(fd, socket.socket), ctx.progress(0)
    while sent.value < len(data):
        sent.value += ctx.block_until(lambda: try_send(sock, data[sent.value :]), writable=sock)
    return sent.value


# 11. A string back through the guest's malloc.
malloc = lib.guest("malloc", FuncRef[[u32], u32])


@lib.restartable
def greet(ctx: Context) -> Steps[u32]:
    text = b"hello"
    addr = yield from call(malloc, len(text))
    assert_type(addr, int)
    ctx.memory.write(addr, text)
    return addr


@lib.restartable(callbacks="scheduled", catch_traps=True)
def greet_blocking(ctx: BlockingContext) -> u32:
    addr = ctx.call(malloc, 5)
    assert_type(addr, int)
    return addr


@lib.restartable
def gen_waits(ctx: Context, fd: i32) -> Steps[i32]:
    sock = ctx.resources.get(fd, socket.socket)
    ok = yield from block_until(readable=sock, timeout=1.0)
    assert_type(ok, bool)
    return int(ok)


# The hostfunc example.
host = HostModule("my-host-func")
Op = FuncRef[[u32], i32]


def next_op(pp: Ptr[Ptr[Op]]) -> Op:
    p = pp.load()
    pp.store(p.offset(1))
    return p.load()


@host.function
def load(ctx: Context, pp: Ptr[Ptr[u32]]) -> u32:
    p = pp.load()
    pp.store(p.offset(1))
    return p.load()


@host.restartable
def load_call(ctx: BlockingContext, pp: Ptr[Ptr[Op]]) -> i32:
    return tail_call(next_op(pp), pp.addr)


@host.restartable
def load_call_add(ctx: Context, pp: Ptr[Ptr[Op]]) -> Steps[i32]:
    total = 0
    for _ in range(2):
        total += yield from call(next_op(pp), pp.addr)
    return total


@host.restartable(name="once")
def load_call_once(ctx: BlockingContext, pp: Ptr[Ptr[Op]]) -> i32:
    op = ctx.once(lambda: next_op(pp))
    return ctx.call(op, pp.addr)


@host.pure
def gcd(a: i32, b: i32) -> i32:
    while b:
        a, b = b, a % b
    return a


@attrs.frozen
class Event:
    """A record in guest memory."""

    kind: u8
    at: u64


@host.function
def touch(ctx: Context, event: Ptr[Event]) -> None:
    event.store(attrs.evolve(event.load(), kind=1))
    word = ctx.memory.pointer(Ptr[u32], event.addr)
    assert_type(word.load(), int)


# Embedders.
def drive(execution: Execution, stop: Interrupt, keep: Callable[[bytes], None]) -> int:
    while True:
        match execution.run(interrupt=stop, timeout=2.0):
            case Returned(values):
                return int(values[0])
            case Exited(code):
                return code
            case Trapped(trap):
                raise trap
            case Failed(error):
                raise error
            case Dropped():
                return 1
            case Suspended(reason=Question()):
                keep(execution.save())
                return 0
            case Suspended(reason=Interrupted()):
                stop.clear()
            case Suspended(reason=TimedOut()):
                keep(execution.explain().encode())
            case Suspended():
                pass


def few() -> None:
    module = Module.from_file("prog.wasm")
    with Instance(module, [host, kv, lib.with_state(lambda: None)]) as inst:
        inst.exports.run(41)
        inst.exports["__wasm_call_ctors"]()
        run = inst.func("run", FuncRef[[i32], i32])
        assert_type(run(41), int)
        inst.call("run", 41, timeout=2.0)
        assert_type(inst.main(), int)
