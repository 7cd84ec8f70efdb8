"""How much is left of Python's own stack: nothing here may run into a RecursionError in the midst of its work."""

from __future__ import annotations

from sys import _getframe, getrecursionlimit

#: Frames that a run needs at most, host functions of usual depth included.
RUN = 120
#: The same with one more callback nested, for which there is another way.
CALLBACK = 280


def near_end(reserve: int) -> bool:
    """Whether fewer than `reserve` frames are left, of a limit that may have been set very low."""
    limit = getrecursionlimit()
    try:
        # Every call asks: the usual answer is that there is no frame that deep.
        _getframe(limit - reserve)
    except ValueError:
        return False
    return limit >= 2 * reserve or _deeper_than(limit // 2)


def _deeper_than(depth: int) -> bool:
    try:
        _getframe(depth)
    except ValueError:
        return False
    return True
