"""Dropping: every waiting host function cleans up, innermost first, exactly once."""

from __future__ import annotations

from .context import ExecContext
from .frames import HostFrame


def drop_frame(ctx: ExecContext, frame: HostFrame) -> None:
    """Run the cleanup of one waiting host function. Every request that it makes meanwhile is refused with `Dropped`.

    Raises whatever the cleanup raises.
    """
    ctx.dropping = True
    try:
        if frame.record is not None:
            frame.func.code.drop(ctx, frame)
    finally:
        ctx.dropping = False


def drop_frames(ctx: ExecContext) -> list[BaseException]:
    """Clean up all of them. The errors that came up, innermost first."""
    errors: list[BaseException] = []
    while ctx.frames:
        frame = ctx.frames.pop()
        if isinstance(frame, HostFrame):
            try:
                drop_frame(ctx, frame)
            except Exception as error:  # one cleanup must not keep the next from running
                errors.append(error)
    ctx.next_call = ctx.inbox = ctx.throw = None
    ctx.depth = ctx.hosts = 0
    return errors
