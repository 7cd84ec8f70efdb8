"""Goes on with records that lie one behind the other, innermost first, without a word of Python in between.

Each record's check point is looked up in a table that says where its code is; the record's slots and the results of the
frame before are put into a room for it; the code runs; the next one. A record at the same place as the one before, as
recursion leaves them, needs no look. It ends behind the last record, at one that there is no code for yet, and where a
frame leaves the stack.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .frames import Point

# The state, eight bytes each.
#: The next record, and where they end.
AT: Final = 0
END: Final = 8
#: The table's address, and the number of its entries less one.
TABLE: Final = 16
MASK: Final = 24
#: The second of two rooms, which take turns.
OTHER: Final = 32
#: Frames that have been gone on with, the place of the last one, and what was left of the limits for it.
COUNT: Final = 40
LAST: Final = 48
GIVEN: Final = 56
#: The room with the last one's results.
ROOM: Final = 64
SIZE: Final = 72
#: All of it; and what it is given, without the room.
STATE: Final = struct.Struct("<9Q")
GIVING: Final = struct.Struct("<8Q")

_FACTOR: Final = 0x9E37_79B9
#: Bytes of each of two rooms that it works with. Records that need more are gone on with one by one.
ROOM_SIZE: Final = 1 << 14


def drive() -> str:
    """The IR of `drive`: called like the code of a check point, with the state in place of the code."""
    lines = ["define i32 @drive(ptr %inst, ptr %state, ptr %room, i64 %given) #0 {", "start:"]
    for name, type_, offset in (
        ("first", "ptr", AT), ("end", "ptr", END), ("table", "ptr", TABLE), ("mask", "i64", MASK),
        ("other", "ptr", OTHER),
    ):  # fmt: skip
        lines += [
            f"%{name}.at = getelementptr i8, ptr %state, i64 {offset}",
            f"%{name} = load {type_}, ptr %{name}.at",
        ]
    for name, offset in (("count", COUNT), ("last", LAST), ("now", GIVEN), ("result", ROOM)):
        lines.append(f"%{name}.at = getelementptr i8, ptr %state, i64 {offset}")
    lines.append(_BODY)
    return "\n".join(lines)


def _copy(name: str, to: str, source: str, size: str, before: str, after: str) -> str:
    """Words, by a loop; `before` is the block that it is entered from."""
    return f"""{name}:
%{name}.i = phi i64 [0, %{before}], [%{name}.next, %{name}.word]
%{name}.over = icmp eq i64 %{name}.i, {size}
br i1 %{name}.over, label %{after}, label %{name}.word
{name}.word:
%{name}.from = getelementptr i8, ptr {source}, i64 %{name}.i
%{name}.to = getelementptr i8, ptr {to}, i64 %{name}.i
%{name}.value = load i64, ptr %{name}.from
store i64 %{name}.value, ptr %{name}.to
%{name}.next = add i64 %{name}.i, 8
br label %{name}"""


_BODY: Final = f"""br label %next
next:
%at = phi ptr [%first, %start], [%after, %done]
%left = phi i64 [%given, %start], [%now, %done]
%mine = phi ptr [%room, %start], [%theirs, %done]
%theirs = phi ptr [%other, %start], [%mine, %done]
%known.pc = phi i32 [0, %start], [%pc, %done]
%known = phi ptr [%table, %start], [%entry, %done]
%over = icmp eq ptr %at, %end
br i1 %over, label %out, label %look
look:
%pc = load i32, ptr %at
%same = icmp eq i32 %pc, %known.pc
br i1 %same, label %found, label %search
search:
%mixed = mul i32 %pc, {_FACTOR - (1 << 32)}
%wide = zext i32 %mixed to i64
%begin = and i64 %wide, %mask
br label %probe
probe:
%i = phi i64 [%begin, %search], [%onwards, %miss]
%probed = getelementptr [32 x i8], ptr %table, i64 %i
%key = load i32, ptr %probed
%hit = icmp eq i32 %key, %pc
br i1 %hit, label %found, label %miss
miss:
%further = add i64 %i, 1
%onwards = and i64 %further, %mask
%none = icmp eq i32 %key, 0
br i1 %none, label %out, label %probe
found:
%entry = phi ptr [%known, %look], [%probed, %probe]
%size.at = getelementptr i8, ptr %entry, i64 4
%code.at = getelementptr i8, ptr %entry, i64 8
%awaited.at = getelementptr i8, ptr %entry, i64 16
%charge.at = getelementptr i8, ptr %entry, i64 24
%short = load i32, ptr %size.at
%size = zext i32 %short to i64
%code = load ptr, ptr %code.at
%awaited = load i64, ptr %awaited.at
%charge = load i64, ptr %charge.at
%slots = getelementptr i8, ptr %at, i64 8
%after = getelementptr i8, ptr %slots, i64 %size
%behind = getelementptr i8, ptr %theirs, i64 %size
%now = add i64 %left, %charge
br label %record
{_copy("record", "%theirs", "%slots", "%size", "found", "inbox")}
{_copy("inbox", "%behind", "%mine", "%awaited", "record", "go")}
go:
store ptr %after, ptr %first.at
store i64 %now, ptr %now.at
%place = zext i32 %pc to i64
store i64 %place, ptr %last.at
%count = load i64, ptr %count.at
%more = add i64 %count, 1
store i64 %more, ptr %count.at
%status = call i32 %code(ptr %inst, ptr null, ptr %theirs, i64 %now)
%bad = icmp ne i32 %status, 0
br i1 %bad, label %leave, label %done
done:
br label %next
leave:
ret i32 1
out:
store ptr %mine, ptr %result.at
ret i32 0
}}
"""


class Doors:
    """The table: by the byte offset of a check point the size of its record, its code, and what its frame is counted
    by. Machine code may be reading it at any time."""

    def __init__(self) -> None:
        # A signal's handler may come by here while it is taken.
        self._lock = threading.RLock()
        self._places: dict[int, int] = {}
        #: What is in the table, as Python knows it.
        self.points: dict[int, Point] = {}
        self._table = _table(64)
        #: Those before, as somebody may be looking.
        self._kept: list[ctypes.Array[ctypes.c_uint64]] = []
        #: Where the table is, and the number of its entries less one: what belongs together is changed together.
        self.place = ctypes.addressof(self._table), 63

    def add(self, pc: int, point: Point, code: int) -> bool:
        """A new entry. False where it needs more room than there is."""
        size = point.size - 8
        if max(size + point.awaited.size, point.results.size) > ROOM_SIZE:
            return False
        with self._lock:
            if pc not in self._places:
                if 2 * len(self._places) > self.place[1]:
                    self._grow()
                entry = pc | size << 32, code, point.awaited.size, point.charge
                self._places[pc] = _put(self._table, self.place[1], entry)
            self.points[pc] = point
        return True

    def _grow(self) -> None:
        """A table of twice the size, which is seen when all is in it."""
        old, mask = self._table, 2 * self.place[1] + 1
        table = _table(mask + 1)
        entries = [(old[at], old[at + 1], old[at + 2], old[at + 3]) for at in self._places.values()]
        places = {entry[0] & 0xFFFF_FFFF: _put(table, mask, entry) for entry in entries}
        place = ctypes.addressof(table), mask
        self._kept.append(old)
        self._table, self._places, self.place = table, places, place

    def replace(self, pc: int, code: int) -> None:
        """There is better code for an entry, if it is there."""
        with self._lock:
            if pc in self._places:
                self._table[self._places[pc] + 1] = code


def _table(entries: int) -> ctypes.Array[ctypes.c_uint64]:
    return (ctypes.c_uint64 * (4 * entries))()


def _put(table: ctypes.Array[ctypes.c_uint64], mask: int, entry: tuple[int, int, int, int]) -> int:
    """Put an entry where `drive` looks for it; its place. The key comes last: whoever finds it finds the rest."""
    key, code, awaited, charge = entry
    i = (key & 0xFFFF_FFFF) * _FACTOR & 0xFFFF_FFFF & mask
    while table[4 * i]:
        i = i + 1 & mask
    table[4 * i + 1], table[4 * i + 2], table[4 * i + 3] = code, awaited, charge
    table[4 * i] = key
    return 4 * i
