"""A guest that asks its host, and what of its execution a refused verb might have touched."""

from __future__ import annotations

from runtime import ExecContext, HostFrame, Suspended, control

from .guests import Guest
from .hosts import Call, Results, host, imports

ASKING = """
  (import "h" "ask" (func $ask (param i32) (result i32)))
  (func (export "f") (param i32) (result i32) (i32.add (i32.const 100) (call $ask (local.get 0))))
"""


@host("h", "ask", "i32 -> i32")
def ask(call: Call) -> Results:
    return (call.ask("how much?"),)


def asking() -> tuple[Guest, ExecContext]:
    """A guest, and its call suspended in a question."""
    guest = Guest(ASKING, imports(ask))
    ctx = guest.start("f", 1)
    assert isinstance(control.run(ctx), Suspended)
    return guest, ctx


def picture(ctx: ExecContext) -> tuple[object, ...]:
    """Everything of an execution that a refused verb might have touched."""
    frames = [(f, repr(f.record) if isinstance(f, HostFrame) and f.record else None) for f in ctx.frames]
    return (
        ctx.state, frames, list(ctx.spilled), ctx.next_call, ctx.inbox, ctx.throw, ctx.suspended, ctx.unwinding,
        ctx.depth, ctx.cells, ctx.hosts, ctx.nesting, list(ctx.trace), dict(ctx.touched), ctx.requests.word[0],
    )  # fmt: skip
