"""Dropping: every waiting host function cleans up, innermost first, exactly once."""

from __future__ import annotations

from .context import ExecContext
from .frames import Frames, HostFrame
from .state import Dropped, ExitSignal


def drop_frame(ctx: ExecContext, frame: HostFrame) -> None:
    """Run the cleanup of one waiting host function. Every request that it makes meanwhile is refused with `Dropped`.

    Raises whatever the cleanup raises; a wish to exit comes too late to be anything.
    """
    ctx.dropping = True
    try:
        if frame.record is not None:
            frame.func.code.drop(ctx, frame)
    except (Dropped, ExitSignal):
        return
    finally:
        ctx.dropping = False


def drop_frames(ctx: ExecContext, frames: Frames) -> list[BaseException]:
    """Clean up all of `frames`, which are given outermost first, and leave none of them. The errors that came up,
    innermost first."""
    errors: list[BaseException] = []
    while frames:
        frame = frames.pop()
        ctx.depth -= 1
        if isinstance(frame, HostFrame):
            ctx.hosts -= 1
            try:
                drop_frame(ctx, frame)
            except BaseException as error:  # one cleanup must not keep the next from running, nor may Ctrl-C
                errors.append(error)
        else:
            ctx.cells -= frame.cells
    return errors
