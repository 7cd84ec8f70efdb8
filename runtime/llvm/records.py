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
from .frames import Point, frames
from .left import pack_left, unpack_left
from .support import SUPPORT

if TYPE_CHECKING:
    from .image import Image
    from .tier import NativeTier

_address: Final = ctypes.PYFUNCTYPE(ctypes.c_size_t, ctypes.py_object)(("PyBytes_AsString", ctypes.pythonapi))
_SAMPLE: Final = b"as in any"
#: How far behind the beginning of an object of this type its bytes are.
_HEAD: Final = _address(_SAMPLE) - id(_SAMPLE)
_PC: Final = struct.Struct("<I")
_ROOM: Final = driver.ROOM_SIZE


class _Bench:
    """What one run of `driver` works with: its state, and two rooms."""

    def __init__(self) -> None:
        self.buffer = bytearray(driver.SIZE + 2 * _ROOM)
        self._pinned = ctypes.c_char.from_buffer(self.buffer)
        self.state = ctypes.addressof(self._pinned)
        self.room = self.state + driver.SIZE
        self.rooms = memoryview(self.buffer)[driver.SIZE :]


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

    def go_on(self, ctx: ExecContext, inbox: tuple[Value, ...] | None) -> tuple[Value, ...] | None:
        """Finish the innermost frame, and those below for as long as there is code: the last one's results. None where
        there is no code for the innermost, or none for such an execution. May suspend."""
        image, data, at = self._image, self._data, self._at
        doors = image.base.doors
        tier: NativeTier = ctx.tier  # type: ignore[assignment]  # these frames are no other's
        pc: int = _PC.unpack_from(data, at)[0]
        point = doors.points.get(pc) or self._open(pc)
        if point is None or not tier.fit(ctx):
            return None
        bench = _free.pop() if _free else _Bench()
        start = id(data) + _HEAD
        given = pack_left(ctx.limits.frames - ctx.depth, ctx.limits.cells - ctx.cells)
        driver.GIVING.pack_into(
            bench.buffer, 0,
            start + at, start + len(data), *doors.place, bench.room + _ROOM, 0, pc, given,
        )  # fmt: skip
        image.driven += 1
        try:
            if inbox:
                point.awaited.put(bench.rooms, inbox, image.refs)
            image.enter(ctx, SUPPORT.drive, bench.state, bench.room)
        except BaseException as error:
            self._gone(ctx, bench, point, given, isinstance(error, Unwind))
            _free.append(bench)
            image.settle()
            raise
        last, room = self._gone(ctx, bench, point, given, False)
        results = bench.rooms if room == bench.room else bench.rooms[_ROOM:]
        values = doors.points[last].results.get(results, image.refs)
        _free.append(bench)
        if image.refs:
            image.settle()
        return values

    def _gone(self, ctx: ExecContext, bench: _Bench, point: Point, given: int, left: bool) -> tuple[int, int]:
        """Frames have been gone on with: they are none of these any more. Where `left` says so, the last one has left
        the stack again: those that have gone are taken into account with those that have come. The place of the last
        one, and the room with its results."""
        self._image.driven -= 1
        at, _, _, _, _, count, last, now, room = driver.STATE.unpack_from(bench.buffer)
        self._at = at - id(self._data) - _HEAD
        restarts = ctx.counters.restarts
        if count:
            restarts[point.layout.kind] += 1
            if count > 1:
                restarts["call"] += count - 1
        if not left:
            gone, cells = unpack_left(now - given)
            ctx.depth -= gone
            ctx.cells -= cells
        return last, room

    def _open(self, pc: int) -> Point | None:
        """The check point, whose code is in the table from now on; None where there is no code, or no room for it."""
        image = self._image
        code = image.code.points.get(pc)
        if not code:
            return None
        point = image.points.at(pc)
        return point if image.base.doors.add(pc, point, code) else None
