"""How many frames and cells (`Limits`) may still be used goes from caller to callee as one number.

Frames are in the lower bits, the topmost of which is set when they are used up; cells in those above, a negative number
when they are.
"""

from __future__ import annotations

from typing import Final

SHIFT: Final = 20
MAX_FRAMES: Final = (1 << SHIFT - 1) - 1
MAX_CELLS: Final = (1 << 62 - SHIFT) - 1
USED_UP: Final = -(1 << 63) | 1 << SHIFT - 1


def pack_left(frames: int, cells: int) -> int:
    """What is left, as code has it; at most `MAX_FRAMES` and `MAX_CELLS`."""
    return cells << SHIFT | frames


def unpack_left(left: int) -> tuple[int, int]:
    """Frames and cells that are left."""
    return left & MAX_FRAMES, left >> SHIFT
