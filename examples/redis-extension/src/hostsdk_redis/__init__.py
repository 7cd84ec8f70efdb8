"""The host module `redis`: keys, lists, streams and messages of a Redis server, for guests.

    hostsdk run --host redis=redis://localhost worker.wasm

Every function may be interrupted, timed out or dropped while it waits. A command is sent once, and its reply taken
once; what a blocked command popped for a call that was dropped goes back to its list.
"""

from __future__ import annotations

from typing import Any

import hiredis

from hostsdk import (
    WASI_ERRNO,
    BlockingContext,
    BufferTooSmall,
    Bytes,
    Context,
    Errors,
    FuncRef,
    HostModule,
    OutBuffer,
    Steps,
    block_until,
    call,
    i32,
)

from .connection import Address
from .state import Blocked, Redis, Subscription

__all__ = ["Address", "Redis", "redis"]

_ENOENT = -WASI_ERRNO["ENOENT"]
_ETIMEDOUT = -WASI_ERRNO["ETIMEDOUT"]
#: Seconds to wait before a lost connection is made again, in turn.
_BACK_OFF = (0.0, 0.1, 0.5, 2.0)


def redis(url: str = "redis://localhost") -> HostModule[Redis]:
    """The host module for the server at `url`. Each instance has connections of its own, made when they are needed.
    Raises ValueError."""
    address = Address.parse(url)
    made = host.with_state(lambda: Redis(address))
    # Nothing of a connection is saved: whoever loads says where the server is.
    made.save(lambda state: None)
    made.load(lambda _: Redis(address))
    made.resource(
        Subscription,
        save=lambda subscription: subscription.channel,
        load=lambda state, channel: Subscription(state, channel, kept=True),
        close=Subscription.close,
    )
    return made


#: Errors are minus a WASI number: EPROTO for what the server refuses.
host: HostModule[Redis] = HostModule(
    "redis",
    state=lambda: Redis(Address()),
    close=Redis.close,
    errors=Errors({hiredis.ReplyError: WASI_ERRNO["EPROTO"]}, negate=True, unknown=WASI_ERRNO["EIO"]),
)


# Commands that are answered at once --------------------------------------------------------------------------------


def _resolved(ctx: BlockingContext[Redis]) -> None:
    """Wait until the server's address is known."""
    future = ctx.state.resolving()
    ctx.block_until(future.done, wake=future)
    if future.exception() is not None:
        ctx.state.forget()
        raise ConnectionError(WASI_ERRNO["EHOSTUNREACH"], "the server's name can't be resolved")


def _ask(ctx: BlockingContext[Redis], *args: bytes | str | int) -> Any:
    """A command's reply. The request is held by the call, so it is sent once; a call that holds one can't be saved."""
    _resolved(ctx)
    request = ctx.acquire(lambda: ctx.state.request(*args), release=lambda request: request.abandon())
    ctx.block_until(request.connection.flush, writable=request.connection.sock)
    return ctx.block_until(request.poll, readable=request.connection.sock)[0]


@host.restartable
def get(ctx: BlockingContext[Redis], key: Bytes, out: OutBuffer) -> i32:
    """A key's value: its length, or -ENOENT. Waits for the server."""
    value = _ask(ctx, "GET", key)
    return _ENOENT if value is None else out.fill(value)


@host.restartable
def set(ctx: BlockingContext[Redis], key: Bytes, value: Bytes) -> i32:  # noqa: A001  # the command's name
    """Set a key; 0. Waits for the server."""
    _ask(ctx, "SET", key, value)
    return 0


@host.restartable
def rpush(ctx: BlockingContext[Redis], key: Bytes, item: Bytes) -> i32:
    """Append to a list; its length. Waits for the server."""
    length: int = _ask(ctx, "RPUSH", key, item)
    return length


@host.restartable
def xadd(ctx: BlockingContext[Redis], stream: Bytes, field: Bytes, value: Bytes) -> i32:
    """Append an entry with one field to a stream; 0. Waits for the server."""
    _ask(ctx, "XADD", stream, "*", field, value)
    return 0


@host.restartable
def publish(ctx: BlockingContext[Redis], channel: Bytes, message: Bytes) -> i32:
    """Send a message to whoever listens; how many do. Waits for the server."""
    count: int = _ask(ctx, "PUBLISH", channel, message)
    return count


# Commands that block -----------------------------------------------------------------------------------------------


def _wait(ctx: BlockingContext[Redis], args: tuple[bytes | str | int, ...], ms: int, deliver: Any) -> i32:
    """Carry out a command that blocks, for so many milliseconds or, below 0, without limit. `deliver(blocked, reply)`
    takes the reply, in the same step in which it came."""
    deadline = None if ms < 0 else ctx.time + ms / 1000
    for pause in _BACK_OFF:
        if pause:
            ctx.sleep(pause)
        _resolved(ctx)
        blocked = ctx.acquire(lambda: ctx.state.block(*args), release=Blocked.release)

        def attempt(blocked: Blocked = blocked) -> int | None:
            found = blocked.request.poll()
            return None if found is None else _delivered(blocked, found, deliver)

        sock = blocked.connection.sock
        try:
            if ctx.block_until(blocked.connection.flush, writable=sock, deadline=deadline):
                result = ctx.block_until(attempt, readable=sock, deadline=deadline)
                if result is not None:
                    return result
        except ConnectionError:
            continue  # nothing was popped, as far as anybody can know; ask again
        return ctx.once(lambda blocked=blocked: _late(blocked, deliver))  # type: ignore[misc]  # its default is given
    raise ConnectionResetError(104, "the server was lost, again and again")


def _late(blocked: Blocked, deliver: Any) -> int:
    """The time is up: end the command, unless its reply was faster."""
    found = blocked.finish()
    blocked.done = True
    return _ETIMEDOUT if found is None else _delivered(blocked, found, deliver)


def _delivered(blocked: Blocked, found: list[Any], deliver: Any) -> int:
    try:
        result: int = deliver(found[0])
    except BufferTooSmall:
        blocked.done = True
        blocked.put_back(found)
        raise
    blocked.done = True
    return result


@host.restartable
def blpop(ctx: BlockingContext[Redis], key: Bytes, out: OutBuffer, ms: i32) -> i32:
    """Wait for an item of a list and take it: its length, or -ETIMEDOUT. Below 0, `ms` is no limit. An item that is too
    long for `out` goes back, and is -ERANGE."""
    return _wait(ctx, ("BLPOP", key, 0), ms, lambda reply: out.fill(reply[1]))


@host.restartable
def xread(
    ctx: BlockingContext[Redis], stream: Bytes, after: Bytes, entry: OutBuffer, out: OutBuffer, ms: i32
) -> i32:
    """Wait for the entry of a stream behind the one called `after` ("0" for the first): the length of what is put into
    `out`, fields and values in turn, each as `LENGTH:BYTES,`; the entry's name, ended by a zero byte, is put into
    `entry`. -ETIMEDOUT when the time is up; below 0, `ms` is no limit."""

    def deliver(reply: Any) -> int:
        name, fields = reply[0][1][0]
        entry.fill(name + b"\0")
        return out.fill(b"".join(b"%d:%b," % (len(part), part) for part in fields))

    return _wait(ctx, ("XREAD", "COUNT", 1, "BLOCK", 0, "STREAMS", stream, after), ms, deliver)


# Messages ----------------------------------------------------------------------------------------------------------


@host.restartable
def subscribe(ctx: BlockingContext[Redis], channel: Bytes) -> i32:
    """Listen to a channel: a number for `next` and `listen`. What is published from now on is heard."""
    _resolved(ctx)
    made = ctx.acquire(lambda: Subscription(ctx.state, channel), release=Subscription.discard)
    request = ctx.acquire(made.begin, release=lambda request: request.abandon())
    ctx.block_until(request.connection.flush, writable=request.connection.sock)
    ctx.block_until(request.poll, readable=request.connection.sock)
    handle = ctx.resources.add(made, close=Subscription.close)
    ctx.once(made.keep)
    return handle


@host.restartable
def next(ctx: BlockingContext[Redis], handle: i32, out: OutBuffer, ms: i32) -> i32:  # noqa: A001  # as in the guest
    """Wait for a message: its length, or -ETIMEDOUT; below 0, `ms` is no limit. After -ECONNRESET the next call listens
    anew."""
    _resolved(ctx)
    subscription = ctx.resources.get(handle, Subscription)
    n = ctx.block_until(
        lambda: _hear(subscription, out), readable=subscription.sock, timeout=None if ms < 0 else ms / 1000
    )
    return _ETIMEDOUT if n is None else n


def _hear(subscription: Subscription, out: OutBuffer) -> int | None:
    """Move a message to the guest; one that is too long stays."""
    message = subscription.peek()
    if message is None:
        return None
    n = out.fill(message)
    subscription.drop_first()
    return n


@host.restartable
def listen(ctx: Context[Redis], handle: i32, out: OutBuffer, heard: FuncRef[[i32], i32]) -> Steps[i32]:
    """Put each message into `out` and call `heard` with its length, until that gives 0; how many there were. `heard`
    may itself call whatever it likes."""
    count = ctx.progress(0)
    while True:
        future = ctx.state.resolving()
        yield from block_until(future.done, wake=future)
        subscription = ctx.resources.get(handle, Subscription)
        n = yield from block_until(lambda: _hear(subscription, out), readable=subscription.sock)  # noqa: B023
        more = yield from call(heard, n)
        count.value += 1
        if not more:
            return count.value


@host.function
def unsubscribe(ctx: Context[Redis], handle: i32) -> i32:
    """Stop listening; 0."""
    ctx.resources.get(handle, Subscription)
    ctx.resources.close(handle)
    return 0
