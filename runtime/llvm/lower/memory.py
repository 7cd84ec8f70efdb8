"""Lowerings: loads and stores with their bounds, and the instructions on whole memories (spec 4.4.7)."""

from __future__ import annotations

from typing import Any

from ...errors import TrapCode
from ...limits import PAGE
from .. import abi
from ..builder import GUEST, RARELY
from ..emitter import Emitter
from .registry import Lowering, lowers, register

_VALUES = {"i32": ("i32", 32), "i64": ("i64", 64), "f32": ("float", 32), "f64": ("double", 64)}


def _address(e: Emitter, offset: int, width: int, index: int) -> str:
    """Where an access goes, checked. The sum can't wrap: both parts have 32 bits, and it 64."""
    base, cell = e.memory(index)
    text = e.pop()
    if text[0] != "%":
        known = int(text) + offset
        if known + width > e.module.env.memories[index].min * PAGE:
            e.trap_if(e.value(f"icmp ugt i64 {known + width}, {e.ours('i64', cell, 8)}"), TrapCode.OUT_OF_BOUNDS_MEMORY)
        return e.field(base, known)
    start = e.value(f"zext i32 {text} to i64")
    reach = offset + width
    if e.checked.get((index, text), 0) < reach:
        if reach <= abi.SLACK:
            near, on = e.name(), e.name()
            e.emit(f"br i1 {e.value(f'icmp ugt i64 {start}, %safe{index}')}, label %{near}, label %{on}{RARELY}")
            with e.aside(near):
                _check(e, start, reach, cell)
                e.jump(on)
            e.start(on)
        else:
            _check(e, start, reach, cell)
        e.checked[index, text] = reach
    place = e.value(f"getelementptr i8, ptr {base}, i64 {start}")
    return e.field(place, offset)


def _check(e: Emitter, start: str, reach: int, cell: str) -> None:
    end = e.value(f"add nuw nsw i64 {start}, {reach}")
    e.trap_if(e.value(f"icmp ugt i64 {end}, {e.ours('i64', cell, 8)}"), TrapCode.OUT_OF_BOUNDS_MEMORY)


def _load(type_: str, bits: int, width: int, signed: bool) -> Lowering:
    narrow = f"i{width}"

    def lower(e: Emitter, immediate: Any) -> None:
        _, offset, index = immediate
        place = _address(e, offset, width // 8, index)
        if width == bits:
            e.push(type_, e.value(f"load {type_}, ptr {place}, align 1{GUEST}"))
            return
        value = e.value(f"load {narrow}, ptr {place}, align 1{GUEST}")
        e.push(type_, e.value(f"{'sext' if signed else 'zext'} {narrow} {value} to {type_}"))

    return lower


def _store(type_: str, bits: int, width: int) -> Lowering:
    narrow = f"i{width}"

    def lower(e: Emitter, immediate: Any) -> None:
        _, offset, index = immediate
        value = e.pop()
        place = _address(e, offset, width // 8, index)
        if width == bits:
            e.emit(f"store {type_} {value}, ptr {place}, align 1{GUEST}")
            return
        cut = e.value(f"trunc {type_} {value} to {narrow}")
        e.emit(f"store {narrow} {cut}, ptr {place}, align 1{GUEST}")

    return lower


@lowers("memory.size")
def _size(e: Emitter, index: Any) -> None:
    _, cell = e.memory(index)
    pages = e.value(f"lshr i64 {e.ours('i64', cell, 8)}, 16")
    e.push("i32", e.value(f"trunc i64 {pages} to i32"))


@lowers("memory.grow")
def _grow(e: Emitter, index: Any) -> None:
    e.request("memory.grow", index, e.take(1), "i32")


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


def _range(e: Emitter, index: int, start: str, size: str) -> tuple[str, str]:
    """A range of a memory, checked: its address and its size as i64."""
    base, cell = e.memory(index)
    wide, count = (e.value(f"zext i32 {v} to i64") if v[0] == "%" else v for v in (start, size))
    end = e.value(f"add nuw nsw i64 {wide}, {count}")
    e.trap_if(e.value(f"icmp ugt i64 {end}, {e.ours('i64', cell, 8)}"), TrapCode.OUT_OF_BOUNDS_MEMORY)
    return e.value(f"getelementptr i8, ptr {base}, i64 {wide}"), count


def _library(e: Emitter, name: str) -> str:
    return e.ours("ptr", e.fixed(abi.API_TABLE), 8 * abi.API.index(name))


@lowers("memory.copy")
def _copy(e: Emitter, immediate: Any) -> None:
    to, source = immediate
    size, start, at = e.pop(), e.pop(), e.pop()
    begin, count = _range(e, source, start, size)
    place, _ = _range(e, to, at, size)
    e.value(f"call ptr {_library(e, 'memmove')}(ptr {place}, ptr {begin}, i64 {count})")


@lowers("memory.fill")
def _fill(e: Emitter, index: Any) -> None:
    size, value, at = e.pop(), e.pop(), e.pop()
    place, count = _range(e, index, at, size)
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
