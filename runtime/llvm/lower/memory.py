"""Lowerings: loads and stores with their bounds, and the instructions on whole memories (spec 4.4.7)."""

from __future__ import annotations

from typing import Any

from ...errors import TrapCode
from ...types import I32, I64, ValType
from .. import abi
from ..builder import GUEST, RARELY
from ..emitter import Emitter
from .registry import Lowering, lowers, register

_VALUES = {"i32": ("i32", 32), "i64": ("i64", 64), "f32": ("float", 32), "f64": ("double", 64)}


#: No memory reaches so far: an address is cut down to this before anything is added to it.
_NOWHERE = 1 << 62


def address_of(e: Emitter, offset: int, width: int, index: int) -> str:
    """Where an access goes, checked. No sum wraps: both parts have 32 bits, or are cut down."""
    base, cell = e.memory(index)
    type_ = e.module.env.memories[index]
    text = e.pop()
    if text[0] != "%":
        known = int(text) + offset
        if known >= _NOWHERE:
            e.trap_if("true", TrapCode.OUT_OF_BOUNDS_MEMORY)
            return base
        if known + width > type_.min * type_.page:
            e.trap_if(e.value(f"icmp ugt i64 {known + width}, {e.ours('i64', cell, 8)}"), TrapCode.OUT_OF_BOUNDS_MEMORY)
        return e.field(base, known)
    start = text if type_.address is I64 else e.value(f"zext i32 {text} to i64")
    reach = min(offset, _NOWHERE) + width
    if e.checked.get((index, text), (0, 0))[0] < reach:
        if reach <= abi.SLACK:
            near, on = e.name(), e.name()
            e.emit(f"br i1 {e.value(f'icmp uge i64 {start}, %safe{index}')}, label %{near}, label %{on}{RARELY}")
            with e.aside(near):
                _check(e, _cut(e, start, type_.address), reach, cell)
                e.jump(on)
            e.start(on)
        else:
            _check(e, _cut(e, start, type_.address), reach, cell)
        e.checked[index, text] = reach, e.pc
    place = e.value(f"getelementptr i8, ptr {base}, i64 {start}")
    return e.field(place, min(offset, _NOWHERE))


def _cut(e: Emitter, start: str, address: ValType) -> str:
    return e.value(f"call i64 @llvm.umin.i64(i64 {start}, i64 {_NOWHERE})") if address is I64 else start


def _check(e: Emitter, start: str, reach: int, cell: str) -> None:
    end = e.value(f"add nuw nsw i64 {start}, {reach}")
    e.trap_if(e.value(f"icmp ugt i64 {end}, {e.ours('i64', cell, 8)}"), TrapCode.OUT_OF_BOUNDS_MEMORY)


def load(e: Emitter, type_: str, offset: int, width: int, index: int) -> str:
    """What an access reads: a value of an IR type that takes `width` bytes in memory."""
    if not e.guards(index):
        place = address_of(e, offset, width, index)
        return e.value(f"load {e.access(index)}{type_}, ptr {place}, align 1{GUEST}")
    place, pc, first = _guarded(e, offset, width, index)
    note = e.note(pc) if pc else ""
    # What has been touched before can be read again, or not at all, or later: nobody sees that.
    name = e.value(f"load {'volatile ' if first else ''}{type_}, ptr {place}, align 1{GUEST}{note}")
    if pc:
        e.loaded[name] = note
    return name


def store(e: Emitter, type_: str, value: str, offset: int, width: int, index: int) -> None:
    """What an access writes."""
    if not e.guards(index):
        place = address_of(e, offset, width, index)
        e.emit(f"store {e.access(index)}{type_} {value}, ptr {place}, align 1{GUEST}")
        return
    place, pc, _ = _guarded(e, offset, width, index)
    note = e.note(pc) if pc else ""
    # All of them are in their order, as a trap shows which have been made.
    e.emit(f"store volatile {type_} {value}, ptr {place}, align 1{GUEST}{note}")


def _guarded(e: Emitter, offset: int, width: int, index: int) -> tuple[str, int, bool]:
    """Where an access goes that guard pages stop if it is out of bounds; the byte offset of the instruction that traps
    if it does, 0 where it can't; and whether that is this one."""
    base, _ = e.memory(index)
    text = e.pop()
    if text[0] != "%":
        known = int(text) + offset
        type_ = e.module.env.memories[index]
        if known + width <= type_.min * type_.page:
            return e.field(base, known), 0, False
        place = e.field(base, known)
    else:
        place = e.field(e.value(f"getelementptr i8, ptr {base}, i64 {e.value(f'zext i32 {text} to i64')}"), offset)
    reach, pc = e.checked.get((index, text), (0, 0))
    first = reach < offset + width
    if first:
        pc = e.pc
        e.checked[index, text] = offset + width, pc
        e.guarded.add(pc)
    return place, pc, first


def _load(type_: str, bits: int, width: int, signed: bool) -> Lowering:
    narrow = f"i{width}"

    def lower(e: Emitter, immediate: Any) -> None:
        _, offset, index = immediate
        if width == bits:
            e.push(type_, load(e, type_, offset, width // 8, index))
            return
        value = load(e, narrow, offset, width // 8, index)
        e.push(type_, e.value(f"{'sext' if signed else 'zext'} {narrow} {value} to {type_}"))

    return lower


def _store(type_: str, bits: int, width: int) -> Lowering:
    narrow = f"i{width}"

    def lower(e: Emitter, immediate: Any) -> None:
        _, offset, index = immediate
        value = e.pop()
        if width == bits:
            store(e, type_, value, offset, width // 8, index)
        else:
            store(e, narrow, e.value(f"trunc {type_} {value} to {narrow}"), offset, width // 8, index)

    return lower


@lowers("memory.size")
def _size(e: Emitter, index: Any) -> None:
    _, cell = e.memory(index)
    type_ = e.module.env.memories[index]
    pages = e.ours("i64", cell, 8)
    if type_.page > 1:
        pages = e.value(f"lshr i64 {pages}, {type_.page.bit_length() - 1}")
    wide = type_.address is I64
    e.push("i64" if wide else "i32", pages if wide else e.value(f"trunc i64 {pages} to i32"))


@lowers("memory.grow")
def _grow(e: Emitter, index: Any) -> None:
    e.request("memory.grow", index, e.take(1), abi.ir_type(e.module.env.memories[index].address))


@lowers("memory.init")
def _init(e: Emitter, immediate: Any) -> None:
    memory, segment = immediate
    _with_indexes(e, "memory.init", memory, segment)


def _with_indexes(e: Emitter, name: str, first: int, second: int) -> None:
    """A request with two immediates: the second goes as a further operand."""
    operands = e.take(3)
    e.request(name, first, [*operands, ("i64", str(second))])


@lowers("data.drop")
def _data_drop(e: Emitter, segment: Any) -> None:
    e.request("data.drop", segment)


def _widened(e: Emitter, text: str, type_: ValType) -> str:
    """A number of an address type as an i64 to which another may be added."""
    if text[0] != "%":
        return str(min(int(text), _NOWHERE))
    return _cut(e, text, I64) if type_ is I64 else e.value(f"zext i32 {text} to i64")


def _range(e: Emitter, index: int, start: str, size: str, sizes: ValType) -> tuple[str, str]:
    """A range of a memory, checked: its address and its size as i64. `sizes` is the type of `size`."""
    address = e.module.env.memories[index].address
    base, cell = e.memory(index)
    wide, count = _widened(e, start, address), _widened(e, size, sizes)
    end = e.value(f"add nuw nsw i64 {wide}, {count}")
    e.trap_if(e.value(f"icmp ugt i64 {end}, {e.ours('i64', cell, 8)}"), TrapCode.OUT_OF_BOUNDS_MEMORY)
    return e.value(f"getelementptr i8, ptr {base}, i64 {wide}"), count


def _library(e: Emitter, name: str) -> str:
    return e.ours("ptr", e.fixed(abi.API_TABLE), 8 * abi.API.index(name))


@lowers("memory.copy")
def _copy(e: Emitter, immediate: Any) -> None:
    to, source = immediate
    size, start, at = e.pop(), e.pop(), e.pop()
    memories = e.module.env.memories
    sizes = I64 if memories[to].address is memories[source].address is I64 else I32
    begin, count = _range(e, source, start, size, sizes)
    place, _ = _range(e, to, at, size, sizes)
    e.value(f"call ptr {_library(e, 'memmove')}(ptr {place}, ptr {begin}, i64 {count})")


@lowers("memory.fill")
def _fill(e: Emitter, index: Any) -> None:
    size, value, at = e.pop(), e.pop(), e.pop()
    place, count = _range(e, index, at, size, e.module.env.memories[index].address)
    byte = e.value(f"and i32 {value}, 255")
    e.value(f"call ptr {_library(e, 'memset')}(ptr {place}, i32 {byte}, i64 {count})")


for _short, (_type, _bits) in _VALUES.items():
    register(f"{_short}.load", _load(_type, _bits, _bits, False))
    register(f"{_short}.store", _store(_type, _bits, _bits))
    for _width in (8, 16, 32):
        if _short[0] == "i" and _width < _bits:
            register(f"{_short}.load{_width}_s", _load(_type, _bits, _width, True))
            register(f"{_short}.load{_width}_u", _load(_type, _bits, _width, False))
            register(f"{_short}.store{_width}", _store(_type, _bits, _width))
