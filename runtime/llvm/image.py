"""An instance as machine code knows it, and the way into its functions and out of them.

The block is described in `abi`. An image belongs to one execution at a time, as its instance does; nested activations
of the same execution come and go last in, first out.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from threading import get_ident
from typing import Final, TypeAlias, cast

from ..errors import StateError, Trap, TrapCode
from ..exec.context import ExecContext, Untold
from ..exec.frames import WasmFrame
from ..exec.here import here
from ..instances.atomic import use_machine
from ..instances.func import Unwind, WasmFunc, make_unwind
from ..instances.instance import Instance
from ..instances.memory import MemInst
from ..instances.region import Region, guarded
from ..types import FUNCREF, FuncType
from ..values import Value
from . import abi
from .area import ROOM, SINK, Area, give_area, take_area
from .atomic import processor
from .beat import BEAT, Rung
from .capi.api import supported
from .capi.ways import Ways
from .code import ModuleCode
from .faults import MET
from .frames import Row, addressed, frames, put, put_all, room_of
from .helpers import SERVERS
from .left import pack_left, unpack_left
from .mirror import mirror_of, shared
from .raised import take_error
from .records import Records
from .stack import floor
from .support import SUPPORT, api_table

#: Block, code, room, what is left of the limits -> status.
Enter: TypeAlias = Callable[[int, int, int, int], int]
_ENTER: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)
#: What `enter` puts back: how often the image was entered, and for whom; and of the execution what it was inside of,
#: what the desk said, its cells, and whom the beat looked after.
_Mine: TypeAlias = "tuple[int, tuple[ExecContext | None, int, int, int]]"
_Outside: TypeAlias = "tuple[Untold | None, tuple[int, int], int, Rung | None]"
_KEEPING: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)
#: By address: with the GIL released meanwhile, and with the GIL kept.
_enters: dict[int, Enter] = {}
_keeping: dict[int, Enter] = {}
_BOUNDS: Final = abi.TRAP_CODES[TrapCode.OUT_OF_BOUNDS_MEMORY]
_OVERFLOW: Final = abi.TRAP_CODES[TrapCode.STACK_OVERFLOW]
#: What runs outside all code: no execution, and no limits.
_NOBODY: Final = (None, 0, 0, 0)
_API: Final = api_table()
#: References that code may come by before it leaves the stack for once, so that those without use can go: some
#: megabytes of them, and seldom enough that it costs nothing.
_REFS: Final = 1 << 14


def _way_in(address: int, keep: bool) -> Enter:
    """What enters code at this address for the first time."""
    known = _keeping if keep else _enters
    known[address] = made = cast("Enter", (_KEEPING if keep else _ENTER)(address))
    return made


class Unavailable(Exception):
    """The instance can't have an image; the message says why."""


class Unguarded(Exception):
    """A memory has no guard pages, and the code is such as needs them; the message says why."""


class Image:
    """What machine code needs of one instance. Raises Unavailable and Unguarded."""

    def __init__(self, instance: Instance, code: ModuleCode, keep: bool = False) -> None:
        self.instance = instance
        #: Whether Python's lock is kept in calls that nobody can make a request of.
        self.keep = keep and not instance.worlds
        self.code = code
        self.base = code.base()
        layout = self.base.layout
        # The block and behind it the room, from a multiple of 64 on.
        self._room_at = -(-layout.size // 64) * 8
        size = 8 * (self._room_at + self.base.room)
        buffer = bytearray(size + 64)
        whole = (ctypes.c_char * len(buffer)).from_buffer(buffer)
        start = -ctypes.addressof(whole) % 64
        self.address = ctypes.addressof(whole) + start
        self.words = memoryview(buffer)[start : start + size].cast("Q")
        #: LIMIT, for whoever asks for a look. It keeps the buffer where it is.
        self.cell = ctypes.c_uint64.from_buffer(buffer, start + abi.LIMIT)
        self.room = memoryview(buffer)[start + 8 * self._room_at : start + size]
        self._room_address = self.address + 8 * self._room_at
        #: The spill area while frames leave the stack, and what was in it before it was full.
        self._area: Area | None = None
        self._drained: list[bytes] = []
        #: Objects that code may have references to, by their address.
        self.refs: dict[int, object] = {}
        #: How many of them there may be before running code is left so that those without use can go.
        self._most = _REFS
        self.points = self.base.points
        self._ctx: ExecContext | None = None
        #: What was left of its limits when the code that is running was entered.
        self._given = 0
        self._busy = 0
        #: Calls under way that have gone on at a check point, by its byte offset.
        self.going: dict[int, int] = {}
        #: How often `driver` is under way with frames of the instance.
        self.driven = 0
        #: Whether to leave running code for better code.
        self.better = False
        self._guard = code.guard()
        self._rows = self.base.rows
        #: Where calls go straight between Python and the code; None where they can't.
        self.ways = Ways(self) if supported() else None
        self._fill()

    def support(self) -> None:
        """Take the support code that there is; code that runs finds it at its next use."""
        for place, address in enumerate(SUPPORT.common(), abi.SUPPORT // 8):
            self.words[place] = address

    def _fill(self) -> None:
        words, layout, instance = self.words, self.base.layout, self.instance
        words[abi.SPILL_START // 8] = SINK
        words[abi.TAILS // 8] = ctypes.addressof(self.base.tails)
        words[abi.API_TABLE // 8] = ctypes.addressof(_API)
        self._serve = self.serve
        words[abi.HELPER // 8] = id(self._serve)
        words[abi.ARGS // 8] = self._room_address
        SUPPORT.use(self)
        self.support()
        for place, memory in enumerate(instance.memories, layout.memories // 8):
            region = self._settle(memory)
            if memory.shared and memory.machine is None:
                use_machine(memory, processor())
            words[place] = region.cell_address
        self._put_row(layout.types, self.base.numbers)
        self._put_row(layout.strangers, self.base.strangers)
        self._fill_globals()
        installed = self.base.count
        self._put_row(layout.funcs, self.base.codes)
        if self.ways is not None:
            words[abi.DESK // 8] = self.ways.address
        self.link_hosts()
        self.code.join(self)
        late = self.base.count != installed
        for index in list(self.code.made if late else instance.doors):
            made = self.code.made.get(index)
            if made is not None:
                self.install(index, made)
        # Last, as its pictures name this image.
        instance.native = self
        for place, table in enumerate(instance.tables, layout.tables // 8):
            if table.elem is FUNCREF:
                words[place] = mirror_of(table).address

    def _put_row(self, offset: int, row: ctypes.Array[ctypes.c_uint64]) -> None:
        self.words[offset // 8 : offset // 8 + len(row)] = memoryview(row).cast("B").cast("Q")

    @property
    def guarded(self) -> bool:
        """Whether its memories may be used by code without bounds checks."""
        return self._guard is not None

    def _settle(self, memory: MemInst) -> Region:
        """Give a memory its place, with guard pages where the code counts on them."""
        guards = self._guard is not None and guarded(memory.type)
        region = memory.settle(self._guard.reserve) if guards and self._guard is not None else memory.settle()
        if region is None and (not guards or memory.pins):
            raise Unavailable("no range of addresses for its memory")
        if region is None or (guards and not region.guarded):
            raise Unguarded("its memory has no guard pages")
        return region

    def _fill_globals(self) -> None:
        layout = self.base.layout
        first = layout.globals // 8
        for index, global_ in enumerate(self.instance.globals):
            if global_.type.content.is_ref or global_.type.content.slot != 8:
                continue
            if layout.inline(index):
                cell = self.words[first + index : first + index + 1].cast("B")
                put(cell, 0, global_.type.content, global_.value, {})
            else:
                self.words[first + index] = shared(global_).address

    def install(self, index: int, address: int) -> None:
        """Have a function's calls go to this code from now on."""
        self.words[self.base.layout.funcs // 8 + index] = address
        self._open(index)

    def open(self, index: int) -> None:
        """There is a new door to a function: where there is code of it, that is its way in."""
        if self.code.has(index):
            self._open(index)

    def _open(self, index: int) -> None:
        for door in self.instance.doors.get(index, ()):
            if self.ways is not None:
                self.ways.open(door, index)

    def link_hosts(self) -> None:
        """Have calls of host functions go to their own wrappers, as far as there are any."""
        wrappers = {} if self.ways is None else self.ways.rows.link()
        if wrappers:
            for index, address in self.base.to_hosts(wrappers).items():
                self.words[self.base.layout.funcs // 8 + index] = address

    def lacking(self) -> list[str]:
        """Keys of the support code that would make it quicker."""
        return [] if self.ways is None else SUPPORT.missing([*self.ways.rows.wanted.values()])

    def place_of(self, index: int) -> int:
        """Where the address of a function's code stands."""
        return self.address + self.base.layout.funcs + 8 * index

    # The room and the head ------------------------------------------------------------------------------------------

    def slot(self, place: int) -> int:
        """An operand of a request, as unsigned 64 bits."""
        return self.words[self._room_at + place]

    def set_slot(self, place: int, value: int) -> None:
        """A result of a request."""
        self.words[self._room_at + place] = value

    @property
    def indirect(self) -> int:
        return self.words[abi.INDIRECT // 8]

    @indirect.setter
    def indirect(self, value: int) -> None:
        self.words[abi.INDIRECT // 8] = value

    @property
    def limit(self) -> int:
        """Where the stack ends for the code that is running."""
        return self.words[abi.REAL // 8]

    def running(self) -> ExecContext:
        """The execution whose code is running."""
        if self._ctx is None:
            raise StateError("no machine code is running")
        return self._ctx

    def listen(self) -> None:
        """Have running code look for requests at its next check point if there may be any, and not if there are
        none. The order matters: whoever makes a request sets the word first and the cell last."""
        self.cell.value = self.limit
        if self.running().requests.word[0] or self.better:
            self.cell.value = abi.ASK

    def ring(self) -> None:
        """Have running code look at its next check point, whether there are requests or not. From any thread."""
        self.cell.value = abi.ASK

    def crowded(self) -> bool:
        """Whether code has come by so many references that it is to leave the stack: records say which of them are in
        use, the others are let go. True once; where that can't be done now, there may be twice as many next time."""
        if len(self.refs) <= self._most:
            return False
        self._most = 2 * len(self.refs)
        return True

    def lasts(self) -> None:
        """Code has been running for a while."""
        self.code.upgrade()

    def improved(self, pc: int) -> None:
        """There is better code for going on at a check point: whoever has gone on there leaves the old one."""
        if self.going.get(pc) or self.driven:
            self.better = True
            self.ring()

    def used(self, given: int | None = None) -> tuple[int, int]:
        """Frames and cells of the code that is running, up to the call under way; fewer than none where frames that
        were there before have gone. `given` is what was left when it was entered."""
        frames, cells = unpack_left(self.words[abi.LEFT // 8])
        given_frames, given_cells = unpack_left(self._given if given is None else given)
        return given_frames - frames, given_cells - cells

    def rows(self, type_: FuncType) -> tuple[Row, Row]:
        """How arguments and results of a type lie in the room."""
        found = self._rows.get(type_)
        if found is None:
            found = self._rows[type_] = Row(type_.params), Row(type_.results)
        return found

    # In and out -----------------------------------------------------------------------------------------------------

    def serve(self, what: int) -> object:
        """A request of machine code: its number, and above 8 bits its immediate."""
        if self._ctx is None and self.ways is not None and self.ways.called:
            self.ways.board()
        found = SERVERS[what & 0xFF](self, what >> 8)
        if len(self.refs) > self._most:
            self.ring()
        return found

    def run(self, ctx: ExecContext, func: WasmFunc, code: int, args: tuple[Value, ...]) -> tuple[Value, ...]:
        """Call `func`, whose code is at `code`. May suspend."""
        params, results = self._rows.get(func.type) or self.rows(func.type)
        params.put(self.room, args, self.refs)
        try:
            self.enter(ctx, self.base.enters[func.code.index], code, self._room_address)
            return results.get(self.room, self.refs)
        finally:
            self.settle()

    def resume(
        self, ctx: ExecContext, frame: WasmFrame, code: int, inbox: tuple[Value, ...] | None
    ) -> tuple[Value, ...]:
        """Go on in a recorded frame, by the code of its check point. May suspend."""
        awaited = frame.awaited if inbox else ()
        results = self.rows(frame.func.type)[1]
        # The record's own room, as that of the block is used by every request on the way.
        words = (ctypes.c_uint64 * (max(room_of(frame.layout.types) + room_of(awaited), results.size) // 8 + 1))()
        room = memoryview(words).cast("B")
        self.going[frame.pc] = self.going.get(frame.pc, 0) + 1
        try:
            addressed(room, frame, self.refs)
            if inbox:
                put_all(room, len(frame.raw) - 8, awaited, inbox, self.refs)
            self.enter(ctx, code, 0, ctypes.addressof(words))
            return results.get(room, self.refs)
        finally:
            self.going[frame.pc] -= 1
            self.settle()

    def settle(self) -> None:
        """Let references go, where no code is running that may have them."""
        if self.refs and not self._busy:
            self.refs.clear()
            self._most = _REFS

    def enter(self, ctx: ExecContext, address: int, code: int, room: int) -> None:
        """Run code at `address`, with a room. Raises what made it leave the stack, if it did."""
        mine, requests, words, ways, cell = here(), ctx.requests, self.words, self.ways, self.cell
        keep = self.keep and ctx.driver.in_place and not requests.watched
        enter = (_keeping if keep else _enters).get(address) or _way_in(address, keep)
        busy = self._busy
        nested = busy > 0
        outer = (self._ctx, self._given, words[abi.REAL // 8], words[abi.LEFT // 8]) if nested else _NOBODY
        inside, cells = ctx.inside, len(requests.cells)
        runs = ways.now() if nested and ways is not None else (0, int(self.keep))
        limit = mine.floor or floor(mine)
        given = pack_left(ctx.limits.frames - ctx.depth, ctx.limits.cells - ctx.cells)
        main, above, over = ctx.thread == BEAT.main, BEAT.running, False
        try:
            try:
                if ways is not None:
                    ways.sit(mine)
                    ways.runs(ctx, keep)
                    ctx.inside = ways
                words[abi.REAL // 8] = words[abi.LIMIT // 8] = limit
                requests.cells.append(cell)
                self._ctx, self._given, self._busy = ctx, given, busy + 1
                if self._guard is not None:
                    self._guard.watch()
                if main:
                    BEAT.running = self
                    if not BEAT.beating:
                        BEAT.begin()
                if requests.word[0]:
                    cell.value = abi.ASK
                if enter(self.address, code, room, given):
                    self._leave(ctx, given)
            finally:
                if main:
                    BEAT.running = above
                ctx.inside = inside
                if ways is not None:
                    ways.ran(ctx, runs)
                del requests.cells[cells:]
                self._ctx, self._given, words[abi.REAL // 8], words[abi.LEFT // 8] = outer
                self._busy = busy
                if nested:
                    cell.value = outer[2]
                    if requests.word[0]:
                        cell.value = abi.ASK
                over = True
        except BaseException:
            if not over:  # Ctrl-C has come in the midst of that
                self._put_back(ctx, (busy, outer), (inside, runs, cells, above))
            raise

    def _put_back(self, ctx: ExecContext, mine: _Mine, outside: _Outside) -> None:
        """Everything is as it was before code was entered, whether all of it was changed or not."""
        busy, (self._ctx, self._given, limit, self.words[abi.LEFT // 8]) = mine
        ctx.inside, runs, cells, above = outside
        if ctx.thread == BEAT.main:
            BEAT.running = above
        if self.ways is not None:
            self.ways.ran(ctx, runs)
        requests = ctx.requests
        del requests.cells[cells:]
        self._busy = busy
        self.words[abi.REAL // 8] = self.cell.value = limit
        if requests.word[0]:
            self.cell.value = abi.ASK

    def board(self, ctx: ExecContext, given: int) -> None:
        """The code that is running was called without an execution, and has got one now. Harmless when repeated."""
        self._ctx, self._given = ctx, given
        self._busy = 1
        ctx.requests.cells[:] = [self.cell]
        if ctx.thread == BEAT.main:
            BEAT.running = self
        if self.ways is not None:
            self.ways.runs(ctx, self.keep)
            ctx.inside = self.ways
        self.listen()

    def alight(self, ctx: ExecContext, status: int, type_: FuncType) -> tuple[Value, ...]:
        """It is back: its results, which lie in the room. Raises what made it leave the stack otherwise."""
        given = self._given
        self._done(ctx)
        try:
            if status:
                self._leave(ctx, given)
            return self.rows(type_)[1].get(self.room, self.refs)
        finally:
            self.settle()

    def make_room(self) -> None:
        """Frames are going to leave records: have an area for them, so that they need not ask."""
        if self._area is None:
            words = self.words
            self._area = take_area()
            words[abi.SPILL // 8] = words[abi.SPILL_START // 8] = begin = self._area.address
            words[abi.SPILL_END // 8] = begin + ROOM

    def _done(self, ctx: ExecContext) -> None:
        if ctx.thread == BEAT.main:
            BEAT.running = None
        ctx.inside = None
        if self.ways is not None:
            self.ways.ran(ctx, (0, self.keep))
            self.ways.left()
        ctx.requests.cells.clear()
        self._ctx, self._given, self._busy = None, 0, 0

    def rest(self) -> None:
        """Whatever was called without an execution is over, whether `alight` came to its end or not."""
        if self._ctx is not None:
            self._done(self._ctx)
        self.drain()
        self.words[abi.TRAP // 8] = 0
        self.refs.clear()

    def flush(self) -> None:
        """Make room for a record: an area, where there is none yet, or an empty one."""
        if self._area is None:
            self.make_room()
        else:
            self._drained.append(self._area.taken(self.words[abi.SPILL // 8]))
            self.words[abi.SPILL // 8] = self._area.address

    def drain(self) -> bytes:
        """Take all records that frames have left, and give the area back."""
        area, words = self._area, self.words
        data = b""
        if area is not None:
            data = area.taken(words[abi.SPILL // 8])
            if self._drained:
                data = b"".join([*self._drained, data])
                self._drained.clear()
            self._area = None
            give_area(area)
        words[abi.SPILL // 8] = words[abi.SPILL_END // 8] = 0
        words[abi.SPILL_START // 8] = SINK
        return data

    def _leave(self, ctx: ExecContext, given: int) -> None:
        """Machine code, which was given so much of the limits, has left the stack: say why, by raising it."""
        data = self.drain()
        error, trap = self._why(ctx)
        if isinstance(error, Unwind):
            depth, cells = self.used(given)
            ctx.depth += depth
            ctx.cells += cells
            if self.refs:
                ctx.spilled.extend(frames(data, self.points, self.instance, self.refs))
            elif data:
                ctx.spilled.append(Records(self, data))
            raise error
        left = frames(data, self.points, self.instance, self.refs)
        if trap and trap & 0xFF != _OVERFLOW:  # a function beyond the limits has not been entered
            place = trap >> 8
            func = self.instance.funcs[self.points.function(place)]
            ctx.passed(error, func, place)
        for frame in left:
            ctx.passed(error, frame.func, frame.pc)
        raise error

    def _why(self, ctx: ExecContext) -> tuple[BaseException, int]:
        """What made machine code leave the stack, and where and by what code it trapped, if it did."""
        words = self.words
        trap = words[abi.TRAP // 8]
        if trap:
            words[abi.TRAP // 8] = 0
        elif ctx.unwinding and not words[abi.ERROR // 8]:
            return make_unwind(), 0  # a check point, which says so without an exception
        error, trap = self._stopped() if not trap else (None, trap)
        return error or self.error(trap & 0xFF), trap

    def _stopped(self) -> tuple[BaseException | None, int]:
        """Whether a guard page has stopped the code: the trap, or an error that came up on the way."""
        met = MET.pop(get_ident(), None) if MET else None
        if met is None:
            return None, 0
        pc, error = met
        return error, pc << 8 | (_BOUNDS if error is None else abi.RAISED)

    def forget_error(self) -> None:
        """The error that is on its way has been dealt with: nothing is left of it, nor of the frames that it left."""
        self.error(abi.RAISED)
        self.drain()
        self.words[abi.TRAP // 8] = 0
        self.listen()

    def error(self, code: int) -> BaseException:
        """What a trap's code stands for, or what Python raised beneath the code, which is forgotten."""
        if code in (0, abi.RAISED):
            error = take_error(self.words, abi.ERROR // 8)
            return error or StateError("machine code left the stack without a reason")
        kind = cast("TrapCode", abi.TRAPS[code])
        if kind is TrapCode.UNINITIALIZED_ELEMENT:
            return Trap(kind, f"{kind.value} {self.indirect & 0xFFFF_FFFF}")
        return Trap(kind)
