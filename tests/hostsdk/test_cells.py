"""Enums, arrays, null pointers, unions by tag, lists of buffers and views: what they mean, and how a C compiler lays
them out."""

from __future__ import annotations

import enum
import struct
from typing import Annotated, Any

import attrs
import pytest

from hostsdk import (
    BlockingContext,
    ByteList,
    Context,
    ConversionError,
    Count,
    CStr,
    FuncRef,
    HostModule,
    Instance,
    Module,
    OutBuffers,
    Ptr,
    SignatureError,
    StateError,
    Tag,
    Trap,
    TrapCode,
    f64,
    i8,
    i16,
    i32,
    i64,
    u8,
    u16,
    u32,
    u64,
)
from hostsdk._annotations import Place, cell_of
from hostsdk._layout import Record
from tests.support.access import FakeAccess
from tests.support.build import cc, wat


class Color(enum.IntEnum):
    """Two colours."""

    RED = 1
    BLUE = 2


class Mode(enum.IntFlag):
    """Two flags."""

    READ = 1
    WRITE = 2


@attrs.frozen
class Clock:
    """A case of a union, narrow."""

    id: u32


@attrs.frozen
class Timer:
    """A case of a union, wide."""

    flags: u16
    due: u64


@attrs.frozen
class Everything:
    """One field of each kind."""

    small: i8
    color: Annotated[Color, u8]
    modes: Annotated[Mode, u16]
    words: Annotated[tuple[i16, ...], Count(3)]
    name: Annotated[bytes, Count(5)]
    event: Annotated[Clock | Timer, Tag(u8, {0: Clock, 1: Timer})]
    next: Ptr[u8] | None
    compare: FuncRef[[u32, u32], i32] | None
    weight: f64
    tail: Annotated[tuple[Clock, ...], Count(2)]
    last: i64


C = """
#include <stdint.h>
#include <stddef.h>
struct clock { uint32_t id; };
struct timer { uint16_t flags; uint64_t due; };
struct event { uint8_t tag; union { struct clock clock; struct timer timer; } u; };
struct everything {
    int8_t small; uint8_t color; uint16_t modes; int16_t words[3]; uint8_t name[5]; struct event event;
    uint8_t *next; int32_t (*compare)(uint32_t, uint32_t); double weight; struct clock tail[2]; int64_t last;
};
#define AT(f) (uint32_t)offsetof(struct everything, f)
static const uint32_t facts[] = {
    AT(small), AT(color), AT(modes), AT(words), AT(name), AT(event), AT(next), AT(compare), AT(weight), AT(tail),
    AT(last), sizeof(struct everything), _Alignof(struct everything), offsetof(struct event, u), sizeof(struct event)
};
__attribute__((export_name("fact"))) uint32_t fact(uint32_t i) { return facts[i]; }
"""


def _layout(cls: type) -> Record:
    found = cell_of(cls, Place("test", locals=globals()))
    assert isinstance(found, Record)
    return found


def test_layouts_are_those_of_a_c_compiler() -> None:
    """Offsets, size and alignment of a record with every kind of field are what clang gives for wasm32."""
    guest = Instance(Module.from_bytes(cc(C, "-nostdlib", "-Wl,--no-entry")))
    record = _layout(Everything)
    event: Any = record.fields[5].cell
    ours = [field.offset for field in record.fields] + [record.size, record.align, event.offset, event.size]
    assert ours == [guest.call("fact", i) for i in range(len(ours))]


def test_a_record_of_everything_comes_back_as_it_was_stored() -> None:
    """pack and unpack are inverse, whichever case a union has."""
    access, record = FakeAccess(), _layout(Everything)
    pointer = Ptr[Any](64, record, access)
    for event in (Clock(7), Timer(3, 1 << 60)):
        value = Everything(
            -1, Color.BLUE, Mode.READ | Mode.WRITE, (1, -2, 3), b"hello", event, None, None, 0.5, (Clock(1), Clock(2)),
            -9,
        )  # fmt: skip
        pointer.store(value)
        assert pointer.load() == value


def test_a_number_that_is_no_member_is_a_trap() -> None:
    """An enum's number, a flag set's or a tag's from a hostile guest traps and reaches no function."""
    access, record = FakeAccess(), _layout(Everything)
    pointer = Ptr[Any](0, record, access)
    event = record.fields[5].offset
    access.data[1] = 1
    for place, value in ((1, 9), (event, 2)):
        before = access.data[place]
        access.data[place] = value
        with pytest.raises(Trap) as caught:
            pointer.load()
        assert caught.value.code is TrapCode.HOST
        access.data[place] = before


def test_too_few_items_are_refused() -> None:
    """An array takes as many items as it was declared with, and nothing is written otherwise."""
    record = _layout(Everything)
    with pytest.raises(ConversionError, match=r"3 item\(s\) wanted"):
        record.fields[3].cell.pack((1, 2), "words")
    with pytest.raises(ConversionError, match="one of its classes"):
        record.fields[5].cell.pack(3, "event")


def test_a_union_without_a_tag_is_explained() -> None:
    """A union that nothing tells apart is refused at registration, with what to write."""

    @attrs.frozen
    class Bad:
        event: Clock | Timer

    host = HostModule("m")
    with pytest.raises(SignatureError, match="may be several things"):

        @host.function
        def f(ctx: Context, p: Ptr[Bad]) -> None: ...


GUEST = """(module
  (import "m" "scan" (func $scan (param i32 i32 i32 i32 i32 i32) (result i32)))
  (import "m" "peek" (func $peek (param i32 i32) (result i32)))
  (memory (export "memory") 1 2)
  (data (i32.const 0) "\\00\\01\\00\\00\\03\\00\\00\\00\\10\\01\\00\\00\\02\\00\\00\\00")
  (data (i32.const 256) "abc") (data (i32.const 272) "de\\00")
  (func (export "scan") (param i32 i32 i32 i32 i32 i32) (result i32)
    local.get 0 local.get 1 local.get 2 local.get 3 local.get 4 local.get 5 call $scan)
  (func (export "peek") (param i32 i32) (result i32) local.get 0 local.get 1 call $peek)
  (func (export "grow") (result i32) i32.const 1 memory.grow))"""


def _instance(host: HostModule[Any]) -> Instance:
    return Instance(Module.from_bytes(wat(GUEST)), [host], imports={"m": {}})


def _host() -> tuple[HostModule[None], list[object]]:
    host, seen = HostModule("m"), []  # type: tuple[HostModule[None], list[object]]

    @host.function
    def scan(ctx: Context, color: Annotated[Color, u8], name: CStr | None, data: ByteList, rooms: OutBuffers) -> i32:
        seen.append((color, name, data))
        return sum(room.fill(b"x" * len(room)) for room in rooms)

    @host.function
    def peek(ctx: Context, addr: u32, size: u32) -> i32:
        with ctx.memory.view(addr, size) as view:
            view[:1] = b"Z"
            return struct.unpack("<H", view[:2])[0] if size > 1 else -1

    return host, seen


def test_buffers_are_copied_in_and_filled() -> None:
    """A list of buffers is read as writev's is, and filled as readv's is; null strings are None."""
    host, seen = _host()
    instance = _instance(host)
    assert instance.call("scan", 1, 0, 0, 2, 0, 1) == 3
    assert instance.call("scan", 2, 272, 0, 0, 0, 0) == 0
    assert seen == [(Color.RED, None, [b"abc", b"de"]), (Color.BLUE, "de", [])]
    assert instance.memory.read(256, 3) == b"xxx"


@pytest.mark.parametrize(
    "args",
    [(3, 0, 0, 0, 0, 0), (1, 70000, 0, 0, 0, 0), (1, 0, 2, 1, 0, 0), (1, 0, 0, 1 << 29, 0, 0), (1, 0, 65532, 1, 0, 0)],
    ids=["no member", "string outside", "list unaligned", "giant count", "list across the end"],
)
def test_hostile_arguments_trap_before_the_function(args: tuple[int, ...]) -> None:
    """BEHAVIOURS 53: nothing of a call happens where one of its arguments is bad."""
    host, seen = _host()
    with pytest.raises(Trap):
        _instance(host).call("scan", *args)
    assert seen == []


def test_the_same_bytes_again_and_again_are_refused() -> None:
    """A short list that names the whole memory many times over would be gigabytes: it is a trap of the limit's kind."""
    host, seen = _host()
    instance = _instance(host)
    instance.memory.write(1024, struct.pack("<II", 0, 65536) * 100)
    with pytest.raises(Trap) as caught:
        instance.call("scan", 1, 0, 1024, 100, 0, 0)
    assert caught.value.code is TrapCode.LIMIT
    assert seen == []


def test_a_view_is_the_memory_itself() -> None:
    """What is written through a view is there at once; afterwards the memory can grow again."""
    host, _ = _host()
    instance = _instance(host)
    assert instance.call("peek", 256, 2) == struct.unpack("<H", b"Zb")[0]
    assert instance.memory.read(256, 3) == b"Zbc"
    assert instance.call("grow") == 1
    with pytest.raises(Trap):
        instance.call("peek", 1 << 17, 1)


def test_nothing_suspends_while_a_view_is_open() -> None:
    """A check point with an open view is an error, and the memory doesn't grow meanwhile."""
    host = HostModule("m")

    @host.function
    def scan(ctx: Context, a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32:
        return 0

    @host.restartable
    def peek(ctx: BlockingContext, addr: u32, size: u32) -> i32:
        with ctx.memory.view(addr, size):
            assert instance.memory.grow(1) == -1
            ctx.check_interrupt()
        return 0

    instance = _instance(host)
    with pytest.raises(StateError, match="while a view of the guest's memory is open"):
        instance.call("peek", 0, 4)
    assert instance.call("grow") == 1


def test_modules_of_one_instance_meet() -> None:
    """`ctx.peer` gives another module's state for the same instance, and KeyError where it has none."""
    store = HostModule("store", state=lambda: {"x": 41})
    absent: HostModule[dict[str, int]] = HostModule("absent", state=dict)
    host = HostModule("m")

    @host.function
    def scan(ctx: Context, a: i32, b: i32, c: i32, d: i32, e: i32, f: i32) -> i32:
        return ctx.peer(store)["x"] + 1

    @host.function
    def peek(ctx: Context, addr: u32, size: u32) -> i32:
        return len(ctx.peer(absent))

    instance = Instance(Module.from_bytes(wat(GUEST)), [host, store])
    assert instance.call("scan", *[0] * 6) == 42
    with pytest.raises(KeyError):
        instance.call("peek", 0, 0)
