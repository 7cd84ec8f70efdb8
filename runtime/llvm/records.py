"""Records of machine code as it has left them: many frames in one row of bytes, until somebody wants to see one."""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Final, cast

from ..exec.context import ExecContext
from ..exec.frames import WasmFrame
from ..instances.func import Unwind, WasmFunc
from ..instances.instance import Instance
from ..values import Value
from . import driver
from .frames import frames
from .left import pack_left, unpack_left
from .support import SUPPORT

if TYPE_CHECKING:
    from .image import Image
    from .tier import NativeTier

_address: Final = ctypes.PYFUNCTYPE(ctypes.c_size_t, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))
_PC: Final = struct.Struct("<I")
#: Bytes of each of a bench's two rooms. Records that need more are gone on with one by one.
_ROOM: Final = 1 << 14


class _Bench:
    """What one run of `driver` works with: its state, and two rooms."""

    def __init__(self) -> None:
        self._buffer = bytearray(driver.SIZE + 2 * _ROOM)
        self._pinned = ctypes.c_char.from_buffer(self._buffer)
        self.state = ctypes.addressof(self._pinned)
        self.words = memoryview(self._buffer)[: driver.SIZE].cast("Q")
        self.room = self.state + driver.SIZE
        self.rooms = memoryview(self._buffer)[driver.SIZE :]


#: Those that nobody uses.
_free: list[_Bench] = []


class Records:
    """Frames of one instance. They hold no references but null ones. Implements `exec.frames.Batch`."""

    __slots__ = ("_at", "_data", "_image")

    def __init__(self, image: Image, data: bytes, at: int = 0) -> None:
        self._image = image
        #: Innermost first; and where the first one lies that has not been taken.
        self._data = data
        self._at = at

    def copy(self) -> Records:
        """The same frames, which stay when they are taken off here."""
        return Records(self._image, self._data, self._at)

    @property
    def instance(self) -> Instance:
        """That of all these frames."""
        return self._image.instance

    @property
    def over(self) -> bool:
        """Whether none is left."""
        return self._at >= len(self._data)

    def frames(self) -> list[WasmFrame]:
        """All of them, outermost first."""
        image = self._image
        return frames(self._data[self._at :], image.points, image.instance, {})[::-1]

    def take(self) -> WasmFrame:
        """The innermost, which is taken off."""
        image, at = self._image, self._at
        point = image.points.at(_PC.unpack_from(self._data, at)[0])
        self._at = at + point.size
        func = cast("WasmFunc", image.instance.funcs[point.index])
        return WasmFrame(func, self._data[at : self._at], (), point.layout)

    def ready(self, ctx: ExecContext) -> bool:
        """Whether there is code to go on with the innermost, for such an execution."""
        image = self._image
        pc: int = _PC.unpack_from(self._data, self._at)[0]
        code = image.code.points.get(pc)
        if not code or not cast("NativeTier", ctx.tier).fit(ctx):
            return False
        doors = image.base.doors
        if pc not in doors:
            doors.add(pc, image.points.at(pc), code)
        return doors.room <= _ROOM

    def go_on(self, ctx: ExecContext, inbox: tuple[Value, ...] | None) -> tuple[Value, ...]:
        """Finish the innermost frame, and those below for as long as there is code: the last one's results. May
        suspend."""
        image, doors = self._image, self._image.base.doors
        point = image.points.at(_PC.unpack_from(self._data, self._at)[0])
        bench = _free.pop() if _free else _Bench()
        words = bench.words
        start = _address(self._data)
        words[driver.AT // 8], words[driver.END // 8] = start + self._at, start + len(self._data)
        words[driver.TABLE // 8], words[driver.MASK // 8] = doors.table, doors.mask
        words[driver.OTHER // 8], words[driver.COUNT // 8] = bench.room + _ROOM, 0
        given = words[driver.GIVEN // 8] = pack_left(ctx.limits.frames - ctx.depth, ctx.limits.cells - ctx.cells)
        left = False
        image.driven += 1
        try:
            if inbox:
                point.awaited.put(bench.rooms, inbox, image.refs)
            image.enter(ctx, SUPPORT.drive, bench.state, bench.room)
            last = image.points.at(words[driver.LAST // 8])
            results = bench.rooms if words[driver.ROOM // 8] == bench.room else bench.rooms[_ROOM:]
            return last.results.get(results, image.refs)
        except Unwind:
            left = True  # the frames that have gone are taken into account with those that have come
            raise
        finally:
            image.driven -= 1
            self._at = words[driver.AT // 8] - start
            count = words[driver.COUNT // 8]
            if count:
                restarts = ctx.counters.restarts
                restarts[point.layout.kind] += 1
                if count > 1:
                    restarts["call"] += count - 1
            if not left:
                gone, cells = unpack_left(words[driver.GIVEN // 8] - given)
                ctx.depth -= gone
                ctx.cells -= cells
            _free.append(bench)
            image.settle()
