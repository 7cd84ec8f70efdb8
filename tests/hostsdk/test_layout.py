"""Records in guest memory lie as C's structs do."""

from __future__ import annotations

import ctypes
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostsdk._annotations import Place, cell_of
from hostsdk._errors import ConversionError
from hostsdk._layout import Record, up
from hostsdk._memory import GuestMemory
from hostsdk._numbers import NUMBERS
from hostsdk._types import FuncRef, Ptr, f32, f64, i8, i16, i32, i64, u8, u16, u32, u64
from runtime import lean
from tests.support.access import FakeAccess

PLACE = Place("m", "f", "p")


@attrs.frozen
class Point:
    """Two floats."""

    x: f32
    y: f32


@attrs.frozen
class Mixed:
    """Padding between fields and at the end, a record within, a private name."""

    kind: u8
    when: i64
    at: Point
    _flag: bool
    buf: Ptr[u8]
    call: FuncRef[[u32], i32]
    small: i16


@attrs.frozen
class Node:
    """An element of a linked list, with a callback that takes one."""

    value: u16
    next: Ptr[Node]
    visit: FuncRef[[Ptr[Node]], None]


class CPoint(ctypes.LittleEndianStructure):
    """The C compiler's Point."""

    _fields_ = (("x", ctypes.c_float), ("y", ctypes.c_float))


class CMixed(ctypes.LittleEndianStructure):
    """The C compiler's Mixed, with wasm32's pointers."""

    _fields_ = (
        ("kind", ctypes.c_uint8), ("when", ctypes.c_int64), ("at", CPoint), ("flag", ctypes.c_bool),
        ("buf", ctypes.c_uint32), ("call", ctypes.c_uint32), ("small", ctypes.c_int16),
    )


def test_records_lie_as_in_c() -> None:
    """Offsets, size and alignment are those of the same struct in C."""
    cell = cell_of(Mixed, PLACE)
    assert isinstance(cell, Record)
    assert (cell.size, cell.align) == (ctypes.sizeof(CMixed), 8)
    offsets = {field.argument: field.offset for field in cell.fields}
    assert offsets == {name: getattr(CMixed, name).offset for name, _ in CMixed._fields_}


@given(st.lists(st.sampled_from([u8, i8, u16, i16, u32, i32, u64, i64, f32, f64, bool]), min_size=1, max_size=8))
def test_any_mixture_of_numbers_lies_as_in_c(hints: list[Any]) -> None:
    """The layout rule, for any fields."""
    kinds = {
        "u8": ctypes.c_uint8, "i8": ctypes.c_int8, "u16": ctypes.c_uint16, "i16": ctypes.c_int16,
        "u32": ctypes.c_uint32, "i32": ctypes.c_int32, "u64": ctypes.c_uint64, "i64": ctypes.c_int64,
        "f32": ctypes.c_float, "f64": ctypes.c_double, "bool": ctypes.c_bool,
    }
    names = [f"f{i}" for i in range(len(hints))]
    cls = attrs.make_class("Made", {n: attrs.field(type=h) for n, h in zip(names, hints, strict=True)})
    cls.__annotations__ = dict(zip(names, hints, strict=True))
    cell = cell_of(cls, PLACE)
    assert isinstance(cell, Record)
    c_fields = [(f.name, kinds[f.cell.text]) for f in cell.fields]
    struct = type("CMade", (ctypes.Structure,), {"_fields_": c_fields})
    assert cell.size == ctypes.sizeof(struct)
    assert [f.offset for f in cell.fields] == [getattr(struct, n).offset for n in names]


def test_records_load_and_store() -> None:
    """A record goes through memory and back; padding is written as zeros."""
    access = FakeAccess(bytearray(b"\xee" * 256))
    memory = GuestMemory(access)
    p = memory.pointer(Ptr[Mixed], 64)
    call = memory.pointer(Ptr[FuncRef[[u32], i32]], 0).load()
    value = Mixed(3, -1, Point(0.5, -2.0), True, memory.pointer(Ptr[u8], 9), call, -2)
    p.store(value)
    assert p.load() == value
    assert len(access.log) == 1
    assert access.data[65:72] == bytes(7)
    assert p.offset(1).addr == 64 + ctypes.sizeof(CMixed)


def test_a_field_that_does_not_fit_writes_nothing() -> None:
    """A record is packed whole before the one write; the error names the field."""
    access = FakeAccess()
    p = GuestMemory(access).pointer(Ptr[Mixed], 64)
    call = GuestMemory(access).pointer(Ptr[FuncRef[[u32], i32]], 0).load()
    bad = Mixed(256, 0, Point(0, 0), True, GuestMemory(access).pointer(Ptr[u8], 0), call, 0)
    with pytest.raises(ConversionError, match=r"Mixed\.kind: u8 can't hold 256"):
        p.store(bad)
    assert access.log == []


def test_linked_lists() -> None:
    """A record may contain pointers to its own class, which lead on through memory."""
    access = FakeAccess()
    memory = GuestMemory(access)
    head = memory.pointer(Ptr[Node], 32)
    visit = memory.pointer(Ptr[FuncRef[[Ptr[Node]], None]], 0).load()
    head.store(Node(1, head.offset(1), visit))
    head.offset(1).store(Node(2, head, visit))
    assert head.offset(1).addr == 44
    assert head.load().next.load().value == 2
    assert head.load().next.load().next.load().value == 1
    assert head.load().next == head.offset(1) != head
    assert head.text == "Ptr[Node]"
    assert repr(head.load()) == "Node(value=1, next=Ptr[Node](0x2c), visit=FuncRef[[Ptr[Node]], None](0))"


def test_local_records() -> None:
    """A record's annotations may name what is local where the function is registered."""

    @attrs.frozen
    class Inner:
        n: u16

    @attrs.frozen
    class Outer:
        a: u8
        inner: Inner

    cell = cell_of(Outer, lean.evolve(PLACE, locals=locals()))
    assert (cell.size, cell.align) == (4, 2)


def test_numbers_have_their_natural_alignment() -> None:
    """Every number is aligned to its size, as in C for wasm32."""
    assert {n.text: n.size for n in NUMBERS.values() if n.size != n.align} == {}
    assert [up(n, 8) for n in (0, 1, 8, 9)] == [0, 8, 8, 16]
