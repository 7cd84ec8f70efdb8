"""Ways straight from Python into the machine code of one instance: opened for its exports as code of them comes.

Such a call makes no execution and tells nobody of itself but by the words of the desk. When its code first asks
something of Python, or leaves the stack, the execution is made that would have been there from the beginning.
"""

from __future__ import annotations

import ctypes
import functools
from threading import get_ident
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ...exec.here import Here, current, here
from ...exec.run import alight, board
from ...exec.shadow import pointer_of
from ...exec.state import State
from ...instances.door import Door, Terms
from ...instances.group import FREE, SHUT
from ...types import F32, F64, I32, I64, FuncType
from ..beat import BEAT
from ..left import pack_left
from ..mirror import shared
from ..raised import take_error
from ..stack import floor
from ..support import EXPORT, SUPPORT
from . import api, desk
from .kind import is_quick, set_call
from .rows import Rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...exec.context import ExecContext
    from ...exec.counters import Counters
    from ..image import Image

_NUMBERS: Final = {I32: "i", I64: "l", F32: "f", F64: "d"}
#: For words that are of no account, and one that is always 1.
_IGNORED: Final = ctypes.c_uint64()
_ALWAYS: Final = ctypes.c_uint64(1)


@functools.lru_cache(256)
def key_of(type_: FuncType) -> str | None:
    """The key of the wrapper for a type; None where it has more than numbers."""
    if not all(t in _NUMBERS for t in (*type_.params, *type_.results)):
        return None
    return "_".join("".join([_NUMBERS[t] for t in types]) for types in (type_.params, type_.results))


class Thread(NamedTuple):
    """What CPython calls the thread, and where its `Here` has its slot."""

    number: int
    state: int
    slot: int


@functools.cache
def _asking() -> tuple[Callable[[], int], Callable[[int], int]]:
    """CPython's functions for the state of a thread and its number. Made once: each type of functions is a class."""
    get = ctypes.PYFUNCTYPE(ctypes.c_void_p)(("PyThreadState_Get", ctypes.pythonapi))
    number = ctypes.PYFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(("PyThreadState_GetID", ctypes.pythonapi))
    return get, number


def _thread(mine: Here) -> Thread:
    get, number = _asking()
    state = get()
    return Thread(number(state), state, api.slot(mine, "ctx"))


class Way:
    """The way into one export."""

    def __init__(self, ways: Ways, door: Door, index: int) -> None:
        self.ways = ways
        self.door = door
        self._words = desk.words(desk.ENTRY_SIZE)
        self.address = ctypes.addressof(self._words)
        # The long way, and what is left of a call, are callables that C knows by their address.
        self._long, self._finish = door.callable.__call__, self.finish
        for offset, value in (
            (desk.DESK, ways.address),
            (desk.CODE, ways.image.place_of(index)),
            (desk.SLOW, id(self._long)),
            (desk.FINISH, id(self._finish)),
        ):
            self._words[offset // 8] = value

    def finish(self, status: int, *args: Any) -> object:
        """The code has come back in another way than by giving its results and nothing else. Asked again where Ctrl-C
        has come before its first line: see `exports`."""
        ways, image = self.ways, self.ways.image
        late = ways.late()
        try:
            ctx = ways.board() if ways.called else image.running()
        except KeyboardInterrupt as error:
            ctx, late = image.running(), error

        def leave() -> tuple[Any, ...]:
            try:
                return image.alight(ctx, status, self.door.type)
            finally:
                if late is not None:
                    raise late

        try:
            outcome = alight(ctx, leave, image.rest)
            image.rest()
            return self.door.ended(ctx, outcome, args)
        finally:
            ways.park(ctx, self.door)

    def told(self) -> None:
        """What has been done without telling is counted."""
        self.ways.tell()

    def close(self) -> None:
        """Calls go the long way from now on."""
        set_call(self.door.callable, 0, self.address)


class Ways:
    """All ways into one image, and its desk."""

    def __init__(self, image: Image) -> None:
        self.image = image
        self._words = words = desk.words(desk.SIZE)
        self.address = ctypes.addressof(words)
        self._ways: dict[int, Way] = {}
        self._terms: Terms | None = None
        self._here: Here | None = None
        self._parked: ExecContext | None = None
        self.rows = Rows(image)
        self._settled: list[tuple[int, int]] = []
        self._pointer = pointer_of(image.instance)
        words[desk.BLOCK // 8] = image.address
        words[desk.INSTANCE // 8] = id(image.instance)
        words[desk.ROWS // 8] = self.rows.address
        words[desk.KEEP // 8] = image.keep
        words[desk.TABLE // 8] = ctypes.addressof(api.table())
        words[desk.RUNNING // 8] = words[desk.POINTER // 8] = ctypes.addressof(_IGNORED)
        words[desk.BEATING // 8] = ctypes.addressof(_ALWAYS)
        self._gate = ctypes.c_uint64(SHUT)
        if self._pointer is not None and self._pointer.type.content in (I32, I64):
            words[desk.POINTER // 8] = shared(self._pointer).address
        BEAT.blocks[image.address] = image

    # Opening --------------------------------------------------------------------------------------------------------

    def open(self, door: Door, index: int) -> None:
        """There is code of the function behind `door`."""
        key, terms = key_of(door.type), door.terms()
        if key is None or terms is None or door.way is not None or not is_quick(door.callable):
            return
        if self.image.instance.worlds:  # all who share its memory may have to be held still
            return
        if self._terms is None:
            self._terms = terms
            self._words[desk.HOLD // 8] = ctypes.addressof(terms.hold)  # type: ignore[arg-type]  # what the store made
            self._words[desk.LEFT // 8] = pack_left(terms.limits.frames, terms.limits.cells)
        elif self._terms != terms:
            return
        if SUPPORT.missing([EXPORT + key]):
            return
        door.way = way = Way(self, door, index)
        self._ways[way.address] = way
        set_call(door.callable, SUPPORT.ways(EXPORT + key)[0], way.address)

    def sit(self, mine: Here) -> None:
        """The calling thread, `mine`, which runs the instance's code, is the one that may come in from now on."""
        root = self.image.instance.group
        if root.parent is not None:
            root = root.root()
        if mine is self._here and root.gate is self._gate:
            return
        words = self._words
        if root.gate is None:
            root.gate = ctypes.c_uint64(SHUT if root.active else FREE)
        thread = _thread(mine)
        main = get_ident() == BEAT.main
        self._here, self._gate = None, root.gate  # type: ignore[assignment]  # what was made above, or by another's
        words[desk.THREAD // 8] = 0
        words[desk.GATE // 8] = ctypes.addressof(self._gate)
        words[desk.HERE // 8] = thread.slot
        words[desk.STATE // 8] = thread.state
        words[desk.FLOOR // 8] = floor(mine)
        words[desk.RUNNING // 8] = ctypes.addressof(BEAT.called if main else _IGNORED)
        words[desk.BEATING // 8] = ctypes.addressof(BEAT.beats if main else _ALWAYS)
        words[desk.THREAD // 8] = thread.number
        self._here = mine  # last, as Ctrl-C may come between

    # A call under way -----------------------------------------------------------------------------------------------

    @property
    def called(self) -> bool:
        """Whether a call is under way for which there is no execution."""
        return self._words[desk.CALLED // 8] != 0

    def board(self) -> ExecContext:
        """Make that execution. Raises what a signal's handler raises meanwhile, once it is made."""
        way = self._ways[self._words[desk.CALLED // 8]]
        late: BaseException | None = None
        ctx: ExecContext | None = None
        while True:
            # Half made it would be nobody's: whatever comes between is told afterwards.
            try:
                if ctx is None:
                    ctx = way.door.fresh() if self._parked is None else self._parked
                self._board(ctx)
                break
            except KeyboardInterrupt as error:
                late = error
        if late is not None:
            raise late
        return ctx

    def _board(self, ctx: ExecContext) -> None:
        """Harmless when repeated, but for the end."""
        words, instance = self._words, self.image.instance
        ctx.state = State.READY
        if ctx not in instance.group.root().active:
            self._gate.value = FREE
        board(ctx, instance)
        if self._pointer is not None and words[desk.POINTER // 8] != ctypes.addressof(_IGNORED):
            ctx.touched[instance] = (self._pointer, words[desk.POINTER_BEFORE // 8])
        self.image.board(ctx, words[desk.LEFT // 8])
        words[desk.CALLED // 8] = words[desk.PARKED // 8] = 0

    def late(self) -> BaseException | None:
        """What a signal's handler has raised before that."""
        return take_error(self._words, desk.LATE // 8)

    def park(self, ctx: ExecContext, door: Door) -> None:
        """A call that had its execution is over. The next one has an execution ready, which costs nothing as long as
        nothing happens but host functions that are called straight."""
        if ctx is self._parked and ctx.state is not State.READY:
            ctx.parked, self._parked = False, None  # it did not come to a good end, and somebody may hold it
        if self._parked is None:
            if self._words[desk.HERE // 8] != api.slot(here(), "ctx") or current() is not None or door.terms() is None:
                return
            self._parked = door.fresh()
            self._parked.parked = True
        self._parked.state = State.RUNNING
        self._parked.inside = self
        self._words[desk.PARKED // 8] = id(self._parked)

    def tell(self) -> None:
        """Count what was called straight, in calls that are over."""
        if self._parked is not None and not self.called:
            self._count(self._parked.counters, 0)

    # Host functions called straight ---------------------------------------------------------------------------------

    def now(self) -> tuple[int, int]:
        """Whose code runs, and how: to put back afterwards."""
        return self._words[desk.RUNS // 8], self._words[desk.KEEP // 8]

    def runs(self, ctx: ExecContext, keep: bool) -> None:
        """This execution's code runs from now on, with Python's lock or without."""
        words = self._words
        if words[desk.COUNT // 8]:
            self._count(ctx.counters, 0)
        words[desk.RUNS // 8], words[desk.KEEP // 8] = id(ctx), keep

    def ran(self, ctx: ExecContext, before: tuple[int, int]) -> None:
        """It has come to its end."""
        words = self._words
        if words[desk.COUNT // 8]:
            self.tally(ctx)
        words[desk.RUNS // 8], words[desk.KEEP // 8] = before

    def tally(self, ctx: ExecContext) -> None:
        """Count the host functions that were called straight."""
        self._count(ctx.counters, ctx.hosts)

    def _count(self, counters: Counters, depth: int) -> None:
        count = self._words[desk.COUNT // 8]
        if count:
            self._words[desk.COUNT // 8] = 0
            counters.host_calls += count
            counters.host_entries += count
            counters.host_depth = max(counters.host_depth, depth)

    def settle(self, ctx: ExecContext) -> None:
        """Somebody looks, in a host function."""
        words = self._words
        if self.called:
            self.board()
        self.tally(ctx)
        if words[desk.INSIDE // 8] == 1:
            words[desk.INSIDE // 8] = 2
            depth, cells = used = self.image.used()
            self._settled.append(used)
            ctx.depth += depth + 1
            ctx.cells += cells
            ctx.hosts += 1

    def unsettle(self, ctx: ExecContext) -> None:
        """That host function has ended."""
        depth, cells = self._settled.pop()
        ctx.depth -= depth + 1
        ctx.cells -= cells
        ctx.hosts -= 1

    def left(self) -> None:
        """The code that was called is back, and what it has left is seen to."""
        self._words[desk.LEAVING // 8] = 0
        ctypes.c_uint64.from_address(self._words[desk.RUNNING // 8]).value = 0
