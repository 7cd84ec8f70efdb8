"""How much is left of Python's own stack: nothing here may run into a RecursionError in the midst of its work."""

from __future__ import annotations

import sys

#: Frames that a run needs at most, host functions of usual depth included.
RUN = 120
#: The same with one more callback nested, for which there is another way.
CALLBACK = 280


def near_end(reserve: int) -> bool:
    """Whether fewer than `reserve` frames are left, of a limit that may have been set very low."""
    limit = sys.getrecursionlimit()
    try:
        sys._getframe(max(limit - reserve, limit // 2))
    except ValueError:
        return False
    return True
