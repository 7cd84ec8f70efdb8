"""Every implementation limit, with its reason.

`Limits` are the embedder's to set, for each instance; the constants below protect the decoder, which runs before any
setting could matter. The spec allows all of them (appendix "Implementation Limitations").
"""

from __future__ import annotations

import attrs

#: Locals of one function, parameters included. Four bytes of a module can declare 2^32; other engines stop here too.
MAX_LOCALS = 50_000
#: Entries of one table at creation and growth: each costs a pointer.
MAX_TABLE = 10_000_000
#: Nesting of blocks in one function: bounds the validator's control stack.
MAX_NESTING = 50_000
#: Bytes of one WebAssembly page.
PAGE = 65_536
#: Pages that a 32-bit memory can have.
MAX_PAGES = 65_536


@attrs.frozen
class Limits:
    """What an instance and the calls into it may use. Exceeding one is a `Trap` (a call), -1 (a grow) or a
    `LimitError` (before anything runs); never a crash."""

    #: Bytes of all linear memories of the instance together.
    memory: int = 1 << 32
    #: Entries of all tables of the instance together.
    table: int = MAX_TABLE
    #: Frames of one execution, WebAssembly's and host functions' together.
    frames: int = 10_000
    #: Operands and locals of all frames of one execution; a frame with thousands of locals counts for what it is.
    cells: int = 4_000_000
    #: Host functions entered on top of one another on the Python stack; deeper ones are scheduled instead.
    nesting: int = 40
    #: Entries of one host function's journal; a loop that journals without committing would grow for ever.
    journal: int = 10_000
    #: Bytes of a module.
    module: int = 1 << 30
