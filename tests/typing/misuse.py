"""Mistakes that a type checker must flag: each line with a number, and no other. What is ignored here is checked to be
an error by the checker itself (an ignore that ignores nothing is one), and by test_typing.py line by line."""

from __future__ import annotations

import sqlite3

from hostsdk import (
    BlockingContext,
    Context,
    Execution,
    FuncRef,
    HostModule,
    Instance,
    OutBuffer,
    Ptr,
    Question,
    Returned,
    Steps,
    Str,
    Suspended,
    Trapped,
    call,
    i32,
    u8,
    u32,
)

kv = HostModule("kv", state=lambda: sqlite3.connect(":memory:"))


@kv.function  # type: ignore[arg-type]  # E1: another state than the module's
def wrong_state(ctx: Context[int]) -> i32:
    return 1


@kv.function  # type: ignore[arg-type]  # E2: a plain function may not wait
def waits(ctx: BlockingContext[sqlite3.Connection]) -> i32:
    return 1


@kv.restartable  # type: ignore[arg-type]  # E3: a generator waits by yield from
def gen_with_block(ctx: BlockingContext[sqlite3.Connection], f: FuncRef[[i32], i32]) -> Steps[i32]:
    v = yield from call(f, 1)
    return v


@kv.restartable  # type: ignore[arg-type]  # E4: so does a coroutine, by await
async def coro_with_block(ctx: BlockingContext[sqlite3.Connection]) -> i32:
    return 1


@kv.function  # type: ignore[type-var]  # E5: text is no result
def returns_str(ctx: Context[sqlite3.Connection]) -> str:
    return "x"


@kv.restartable
def wrong_args(ctx: Context[sqlite3.Connection], f: FuncRef[[i32, i32], i32]) -> Steps[i32]:
    return (yield from call(f, 1))  # type: ignore[call-arg]  # E6: one argument too few


@kv.restartable
def forgot_from(ctx: Context[sqlite3.Connection], f: FuncRef[[i32], i32]) -> Steps[i32]:
    v: int = yield call(f, 1)  # type: ignore[misc]  # E7: yield without from
    return v


class Approval(Question[i32]):
    """A question whose answer is a number."""


@kv.restartable
def ask(ctx: BlockingContext[sqlite3.Connection]) -> i32:
    s: str = ctx.ask(Approval())  # type: ignore[assignment]  # E8: the answer is a number
    return len(s)


@kv.restartable
def timeout_none(ctx: BlockingContext[sqlite3.Connection], out: OutBuffer) -> i32:
    def pop() -> bytes | None:
        return b""

    return out.fill(ctx.block_until(pop, timeout=1.0))  # type: ignore[arg-type]  # E9: None when the time ran out


def strict(inst: Instance) -> None:
    run = inst.func("run", FuncRef[[i32], i32])
    run("x")  # type: ignore[arg-type]  # E10: the guest takes a number


def outcomes(e: Execution) -> int:  # type: ignore[return]  # E11: not every outcome is handled
    match e.run():
        case Returned():
            return 1
        case Trapped():
            return 2
        case Suspended():
            return 3


@kv.restartable
async def forgot_await(ctx: Context[sqlite3.Connection], f: FuncRef[[i32], i32]) -> i32:
    return call(f, 1)  # type: ignore[return-value]  # E12: never awaited


@kv.restartable
def fn_style_uses_op(ctx: BlockingContext[sqlite3.Connection], f: FuncRef[[i32], i32]) -> i32:
    return call(f, 1)  # type: ignore[return-value]  # E13: an operation for generators


@kv.function
def stores_text(ctx: Context[sqlite3.Connection], p: Ptr[u8]) -> None:
    p.store("x")  # type: ignore[arg-type]  # E14: a byte is a number


@kv.function
def keeps_pointer(ctx: Context[sqlite3.Connection], pp: Ptr[Ptr[u32]]) -> u32:
    return pp.load()  # type: ignore[return-value]  # E15: a pointer, not what it points to


@kv.function
def plain_context_waits(ctx: Context[sqlite3.Connection], key: Str) -> None:
    ctx.sleep(1)  # type: ignore[attr-defined]  # E16: nothing on a plain context suspends


@kv.restartable
def tuple_of_text(ctx: BlockingContext[sqlite3.Connection]) -> i32:
    return ctx.block_until(lambda: b"x")  # type: ignore[return-value]  # E17: the attempt gives bytes
