"""Arguments and results: ranges, signs, bounds, alignment, text, before any effect."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostsdk._annotations import Place, cell_of, param_of, results_of
from hostsdk._codecs import decoder, encoder
from hostsdk._engine import Trap, TrapCode, f32_from_bits, f64_from_bits, f64_to_bits
from hostsdk._errors import BufferTooSmall, ConversionError, InvalidText, ResultError
from hostsdk._frozen import freeze, thaw
from hostsdk._memory import GuestMemory
from hostsdk._numbers import NUMBERS
from hostsdk._sort import sort_with
from hostsdk._types import (
    Bytes,
    CStr,
    ExternRef,
    FuncRef,
    Op,
    OutBuffer,
    Ptr,
    Steps,
    Stored,
    Str,
    f32,
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
from tests.support.access import FakeAccess

END = 65536
PLACE = Place("m", "f", "x")


def decode(hint: Any, *raw: Any, access: FakeAccess | None = None) -> Any:
    """What a function sees of one parameter."""
    access = access or FakeAccess()
    param = param_of(hint, PLACE)
    return param.bind(param.decode(raw, 0, access), access)


def encode(hint: Any, value: object, *plain: object, access: FakeAccess | None = None) -> tuple[object, ...]:
    """The canonical results for what a function returned."""
    results, several = results_of(hint, PLACE)
    return encoder(results, several, 0, "m.f: result")(value, plain, access or FakeAccess())


@pytest.mark.parametrize(
    ("hint", "raw", "seen"),
    [
        (i32, 0xFFFF_FFFF, -1), (i32, 0x7FFF_FFFF, 2**31 - 1), (i32, 0x8000_0000, -(2**31)),
        (u32, 0xFFFF_FFFF, 2**32 - 1), (i64, 2**64 - 1, -1), (i64, 2**63, -(2**63)), (u64, 2**64 - 1, 2**64 - 1),
        (i8, 0xFF, -1), (i8, 0x17F, 127), (u8, 0x1FF, 255), (i16, 0x1_8000, -(2**15)), (u16, 0x1_FFFF, 65535),
        (bool, 0, False), (bool, 256, True), (f64, 1.5, 1.5), (f32, 0.5, 0.5),
    ],
)
def test_numbers_have_sign_and_width_of_their_annotation(hint: Any, raw: Any, seen: object) -> None:
    """An argument is read with the sign that its annotation says, and a narrow one by its low bits, as C converts."""
    got = decode(hint, raw)
    assert got == seen
    assert type(got) is type(seen)


@pytest.mark.parametrize(
    ("hint", "value", "raw"),
    [
        (i32, -1, 0xFFFF_FFFF), (i32, 2**31 - 1, 2**31 - 1), (u32, 2**32 - 1, 2**32 - 1), (i64, -1, 2**64 - 1),
        (u64, 2**64 - 1, 2**64 - 1), (i8, -1, 0xFFFF_FFFF), (u8, 255, 255), (bool, True, 1), (f64, 3, 3.0),
        (f32, 0.1, 0.10000000149011612), (f32, 1e300, math.inf), (i32, True, 1),
    ],
)
def test_results_become_canonical_values(hint: Any, value: object, raw: object) -> None:
    """A result is a canonical value: integers unsigned, an f32 rounded."""
    assert encode(hint, value) == (raw,)


@pytest.mark.parametrize(
    ("hint", "value"),
    [
        (i32, 2**31), (i32, -(2**31) - 1), (u32, -1), (u32, 2**32), (i64, 2**63), (u64, -1), (u8, 256), (i8, 128),
        (i16, -32769), (u16, 65536), (i32, 1.0), (i32, "1"), (i32, None), (bool, 1), (f64, "1"), (f64, None),
        (f64, 10**400), (f32, b"1"), (None, 0), (tuple[i32, i32], (1,)), (tuple[i32, i32], [1, 2]), (tuple[i32], 1),
        (tuple[i32, u8], (1, 256)),
    ],
)
def test_a_result_that_does_not_fit_is_an_error_that_names_the_function(hint: Any, value: object) -> None:
    """Out of range or of the wrong kind: ResultError naming the function, never a wrapped number."""
    with pytest.raises(ResultError, match=r"^m\.f: result: "):
        encode(hint, value)


def test_results_none_and_several() -> None:
    """No result is None; several are a tuple, of which an empty one is allowed."""
    assert encode(None, None) == ()
    assert encode(tuple[i32, i64, f64], (-1, -1, 0.5)) == (2**32 - 1, 2**64 - 1, 0.5)
    assert encode(tuple[()], ()) == ()


def test_objects_with_index_are_integers() -> None:
    """Anything with __index__ is an integer, and a str of huge repr makes a short message."""

    class Seven:
        def __index__(self) -> int:
            return 7

    assert encode(i32, Seven()) == (7,)
    with pytest.raises(ResultError) as info:
        encode(i32, "x" * 10_000)
    assert len(str(info.value)) < 200


@given(st.sampled_from([n for n in NUMBERS.values() if n.low != n.high]), st.data())
def test_integers_round_trip(number: Any, data: st.DataObject) -> None:
    """What fits a type comes back from the canonical form and from memory as it was."""
    value = data.draw(st.integers(number.low, number.high) if number.text != "bool" else st.booleans())
    access = FakeAccess()
    assert number.lift(number.lower(value, "x"), access) == value
    packed = number.pack(value, "x")
    assert len(packed) == number.size
    assert number.unpack(b"?" + packed, 1, access) == value


@pytest.mark.parametrize("bits", [0x7FA0_0001, 0xFFC0_0000, 0x7FC0_0000, 0x8000_0000])
def test_f32_keeps_nan_payloads(bits: int) -> None:
    """A NaN's payload and a zero's sign survive from canonical form to Python, to memory and back."""
    number = NUMBERS["f32"]
    seen = number.lift(f32_from_bits(bits), FakeAccess())
    quiet = bits | 0x40_0000 if bits & 0x7F80_0000 == 0x7F80_0000 else bits
    assert number.pack(seen, "x") == quiet.to_bytes(4, "little")
    assert f64_to_bits(encode(f64, f64_from_bits(0xFFF8_0000_0000_0001))[0]) == 0xFFF8_0000_0000_0001  # type: ignore[arg-type]


def test_spans_are_copied() -> None:
    """Str and Bytes are copies of what address and length name; an empty one may lie at the very end."""
    access = FakeAccess()
    access.data[10:15] = "gr\u00fc!".encode()
    assert decode(Str, 10, 5, access=access) == "gr\u00fc!"
    assert decode(Bytes, 11, 2, access=access) == b"r\xc3"
    assert decode(Bytes, END, 0) == b""
    assert decode(Bytes, END - 1, 1) == b"\0"


@pytest.mark.parametrize("hint", [Str, Bytes, OutBuffer])
@pytest.mark.parametrize(
    ("addr", "size"), [(END - 1, 2), (END, 1), (END + 1, 0), (0, END + 1), (2**32 - 1, 2**32 - 1), (4, 2**32 - 1)]
)
def test_hostile_spans_trap_before_anything_is_read(hint: Any, addr: int, size: int) -> None:
    """Address and length that leave the memory, however large, trap by bounds, with the place; nothing is copied."""
    access = FakeAccess()
    with pytest.raises(Trap, match=r"^out of bounds memory access: m\.f: parameter 'x': ") as info:
        decode(hint, addr, size, access=access)
    assert info.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY
    assert access.reads == 0


def test_text_that_is_not_utf8_traps() -> None:
    """Bad UTF-8 is a trap of its own class that tells the byte, for both kinds of text."""
    access = FakeAccess()
    access.data[0:4] = b"ab\xff\0"
    for hint, raw in ((Str, (0, 4)), (CStr, (0,))):
        with pytest.raises(InvalidText, match=r"m\.f: parameter 'x': .*0xff at offset 2"):
            decode(hint, *raw, access=access)
    surrogate = b"\xed\xa0\x80"
    access.data[0:3] = surrogate
    with pytest.raises(InvalidText):
        decode(Str, 0, 3, access=access)


def test_cstrings() -> None:
    """A C string goes to its zero byte, however far; without one, or outside, it traps."""
    access = FakeAccess()
    access.data[5:1005] = b"y" * 1000
    assert decode(CStr, 5, access=access) == "y" * 1000
    assert decode(CStr, 1005, access=access) == ""
    access.data[END - 3 :] = b"abc"
    for addr in (END - 3, END, 2**32 - 1):
        with pytest.raises(Trap) as info:
            decode(CStr, addr, access=access)
        assert info.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY
    with pytest.raises(Trap, match="within 10 bytes"):
        GuestMemory(access).cstring(5, 10)


def test_pointers_are_checked_before_the_function() -> None:
    """BEHAVIOURS 53: a pointer outside of the memory or not aligned traps when arguments are decoded."""
    assert decode(Ptr[u32], END - 4).addr == END - 4
    for addr in (END - 3, END, 2**32 - 4):
        with pytest.raises(Trap) as info:
            decode(Ptr[u32], addr)
        assert info.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY
    for hint, addr in ((Ptr[u32], 2), (Ptr[u64], 4), (Ptr[u16], 1), (Ptr[Ptr[u8]], 2)):
        with pytest.raises(Trap, match=r"unaligned access: m\.f: parameter 'x'") as info:
            decode(hint, addr)
        assert info.value.code is TrapCode.UNALIGNED
    assert decode(Ptr[u8], 3).addr == 3


def test_pointers_load_store_and_move() -> None:
    """The hostfunc example's cursor: load, move by elements, store, each checked and little-endian."""
    access = FakeAccess()
    access.data[8:12] = (100).to_bytes(4, "little")
    access.data[100:104] = (7).to_bytes(4, "little")
    pp: Ptr[Ptr[u32]] = decode(Ptr[Ptr[u32]], 8, access=access)
    p = pp.load()
    assert p.load() == 7
    pp.store(p.offset(1))
    assert access.log == [(8, (104).to_bytes(4, "little"))]
    assert pp.load() == p.offset(1)
    assert p.offset(-25).addr == 0
    assert repr(pp) == "Ptr[Ptr[u32]](0x8)"


def test_pointers_from_memory_are_checked_when_used() -> None:
    """A pointer that the guest left in memory may be anything: it traps at use, and nothing is written."""
    access = FakeAccess()
    for addr, code in ((END, TrapCode.OUT_OF_BOUNDS_MEMORY), (2, TrapCode.UNALIGNED)):
        p = GuestMemory(access).pointer(Ptr[u32], addr)
        for use in (p.load, lambda p=p: p.store(1)):
            with pytest.raises(Trap) as info:
                use()
            assert info.value.code is code
    for n in (-1, 2**30):
        with pytest.raises(Trap, match="32-bit"):
            GuestMemory(access).pointer(Ptr[u32], 0).offset(n)
    with pytest.raises(ConversionError, match=r"Ptr\[u8\]\(0x0\): u8 can't hold 256"):
        GuestMemory(access).pointer(Ptr[u8], 0).store(256)
    assert access.log == []


def test_out_buffers() -> None:
    """An OutBuffer takes what fits, and refuses more without writing any of it."""
    access = FakeAccess()
    out: OutBuffer = decode(OutBuffer, 16, 4, access=access)
    assert len(out) == 4
    assert out.fill(b"abcd") == 4
    assert out.fill(memoryview(b"xy")) == 2
    with pytest.raises(BufferTooSmall, match="5 bytes don't fit the guest's buffer of 4") as info:
        out.fill(b"12345")
    assert (info.value.size, info.value.capacity) == (5, 4)
    assert access.log == [(16, b"abcd"), (16, b"xy")]
    part = out[1:3]
    assert (part.addr, len(part), len(out[3:1]), len(out[2:100])) == (17, 2, 0, 2)
    with pytest.raises(BufferTooSmall):
        part.fill(b"abc")
    for wrong in (0, slice(0, 4, 2)):
        with pytest.raises(TypeError, match="slices without a step"):
            out[wrong]  # type: ignore[index]


def test_function_references_are_looked_up_later() -> None:
    """A FuncRef argument is its index, unchecked; the type converts arguments and results of a call."""
    ref = decode(FuncRef[[Ptr[u8], i32], tuple[i32, u64]], 2**32 - 1)
    assert ref.index == 2**32 - 1
    assert repr(ref) == "FuncRef[[Ptr[u8], i32], tuple[i32, u64]](4294967295)"
    access = FakeAccess()
    p = GuestMemory(access).pointer(Ptr[u8], 9)
    assert ref.callee.lower((p, -1)) == (9, 2**32 - 1)
    assert ref.callee.lift((2**32 - 1, 5), access) == (-1, 5)
    assert decode(FuncRef[[], None], 0).callee.lift((), access) is None
    assert decode(FuncRef[[], i32], 0).callee.lift((2**32 - 1,), access) == -1
    for args in ((9, 1), (p, 2**31), (p,), (p, 1, 2)):
        with pytest.raises(ConversionError):
            ref.callee.lower(args)


def test_function_pointers_in_memory() -> None:
    """A function pointer lies in memory as its table index; an export by name has none."""
    access = FakeAccess()
    kind = Ptr[FuncRef[[u32], i32]]
    p = GuestMemory(access).pointer(kind, 4)
    access.data[4] = 3
    ref = p.load()
    assert ref.index == 3
    p.offset(1).store(ref)
    assert access.data[8] == 3
    outer = FuncRef[[FuncRef[[], None]], None]
    callee = decode(outer, 0).callee
    assert callee.lower((ref,)) == (3,)
    named: FuncRef[[u32], i32] = FuncRef(None, "malloc", ref.callee)
    with pytest.raises(ConversionError, match="no table index"):
        p.store(named)
    with pytest.raises(ConversionError):
        callee.lower((3,))


def test_references_pass_as_they_are() -> None:
    """An external reference is the very object, shown by its type alone."""
    thing = object()
    assert decode(ExternRef, thing) is thing
    assert param_of(ExternRef, PLACE).show(thing) == "<object>"


def test_stored_results_are_written_once_all_fit() -> None:
    """Stored[...] writes through the pointer behind the arguments, after every result is known to fit."""
    access = FakeAccess()
    hint = tuple[i32, Stored[u16], Stored[i64]]
    assert encode(hint, (0, 515, -1), 32, 40, access=access) == (0,)
    assert access.log == [(32, b"\x03\x02"), (40, b"\xff" * 8)]
    access.log.clear()
    for wrong in ((0, 1, 2**63), (0, 2**16, 1), (2**31, 1, 1), (0, 1)):
        with pytest.raises(ResultError, match=r"^m\.f: result: "):
            encode(hint, wrong, 32, 40, access=access)
    assert access.log == []
    assert encode(Stored[u8], 9, 50, access=access) == ()
    assert access.log == [(50, b"\x09")]


@pytest.mark.parametrize("count", range(6))
def test_number_lists_of_any_length(count: int) -> None:
    """The short way for numbers alone gives the same as the long way, for every length and mixture."""
    for hints in ([i32] * count, [u32] * count, ([u32, i8, i32, u64, i64])[:count]):
        params = [param_of(h, PLACE) for h in hints]
        raw = tuple([0xFFFF_FFFF - i for i in range(count)])
        access = FakeAccess()
        assert decoder(params)(raw, access) == tuple(p.decode(raw, i, access) for i, p in enumerate(params))


def test_arguments_are_shown_short() -> None:
    """A backtrace shows arguments by what they are, whatever their length."""
    shown = [
        (i32, -1, "-1"), (Bytes, b"x" * 99, "<99 bytes>"), (Ptr[u8], 1024, "0x400"),
        (OutBuffer, (1024, 64), "<room for 64 bytes at 0x400>"), (FuncRef[[], None], 5, "<function 5>"),
        (CStr, "hi", "'hi'"),
    ]
    for hint, plain, text in shown:
        assert param_of(hint, PLACE).show(plain) == text
    assert len(param_of(Str, PLACE).show("x" * 1000)) < 40


def test_memory_reads_and_writes_by_copy() -> None:
    """ctx.memory copies in and out, and traps outside of the memory."""
    access = FakeAccess()
    memory = GuestMemory(access)
    memory.write(3, bytearray(b"abc"))
    assert memory.read(3, 3) == b"abc"
    assert len(memory) == END
    for use in (lambda: memory.read(END - 1, 2), lambda: memory.write(END, b"x"), lambda: memory.read(0, -1)):
        with pytest.raises(Trap):
            use()


def test_rows_are_permuted_in_one_write() -> None:
    """Rows of a size known at run time: addresses, and a permutation that is checked before its one write."""
    access = FakeAccess()
    access.data[0:9] = b"aaabbbccc"
    rows = GuestMemory(access).rows(GuestMemory(access).pointer(Ptr[u8], 0), 3, 3)
    assert [rows.addr(i) for i in range(len(rows))] == [0, 3, 6]
    rows.permute([2, 0, 1])
    assert access.log == [(0, b"cccaaabbb")]
    for wrong in ([0, 1], [0, 1, 1], [0, 1, 3], [0, 1, -1], [0, 1, 2, 3]):
        with pytest.raises(ValueError, match="permutation"):
            rows.permute(wrong)
    assert len(access.log) == 1
    for i in (-1, 3):
        with pytest.raises(IndexError):
            rows.addr(i)


def test_hostile_rows_trap() -> None:
    """Counts and sizes whose product leaves the memory trap; no product overflows, and rows of no bytes are refused."""
    memory = GuestMemory(FakeAccess())
    for n, size in ((2**32 - 1, 2**32 - 1), (END + 1, 1), (-1, -4), (-1, 4), (4, -1), (65536, 65536)):
        with pytest.raises(Trap) as info:
            memory.rows(0, n, size)
        assert info.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY
    with pytest.raises(Trap, match="0 bytes each"):
        memory.rows(0, 2**32 - 1, 0)
    assert len(memory.rows(END, 0, 0)) == 0


def drive(steps: Steps[Any], answer: Any) -> Any:
    """Run a generator, answering its operations."""
    try:
        step = next(steps)
        while True:
            step = steps.send(answer(step.op))
    except StopIteration as stop:
        return stop.value


class Compare(Op[int]):
    """A comparison for tests."""

    def __init__(self, i: int, j: int) -> None:
        self.pair = (i, j)


@given(st.lists(st.integers(0, 9), max_size=40))
def test_sort_with_is_a_stable_sort(keys: list[int]) -> None:
    """COOKBOOK 6: the order is that of a stable sort, with no more than n·log2(n) comparisons, none repeated."""
    asked: list[tuple[int, int]] = []

    def answer(op: Compare) -> int:
        asked.append(op.pair)
        i, j = op.pair
        return keys[i] - keys[j]

    order = drive(sort_with(Compare, len(keys)), answer)
    assert list(order) == sorted(range(len(keys)), key=keys.__getitem__)
    assert len(asked) <= len(keys) * max(len(keys), 1).bit_length()
    assert len(set(asked)) == len(asked)


@given(st.integers(0, 40), st.randoms(use_true_random=False))
def test_a_contradicting_comparator_harms_nothing(n: int, random: Any) -> None:
    """Whatever a guest's comparator answers, the result is a permutation."""
    order = drive(sort_with(Compare, n), lambda op: random.choice([-1, 0, 1]))
    assert sorted(order) == list(range(n))


def test_sort_with_takes_steps() -> None:
    """A comparison may itself be a generator."""

    def compare(i: int, j: int) -> Steps[int]:
        return -(yield from Compare(i, j))

    assert list(drive(sort_with(compare, 3), lambda op: op.pair[0] - op.pair[1])) == [2, 1, 0]


def test_operations_made_but_never_run_warn() -> None:
    """An operation without `yield from` is a RuntimeWarning that says so; one that ran is silent."""
    forgotten: Op[int] | None = Compare(1, 2)
    with pytest.warns(RuntimeWarning, match="Compare was made but never run"):
        forgotten = None
    assert forgotten is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        op = Compare(1, 2)
        assert next(iter(op)).op is op
        del op


@pytest.mark.parametrize(
    "hint",
    [Ptr[u8], Ptr[Ptr[FuncRef[[u32, Ptr[i8]], tuple[i32, f64]]]], FuncRef[[], None], FuncRef[[bool], tuple[()]]],
)
def test_pointers_and_references_freeze(hint: Any) -> None:
    """Pointers and function references go to plain data and back, type included."""
    access = FakeAccess()
    value = decode(hint, 8, access=access)
    frozen = freeze(value)
    assert isinstance(frozen, tuple)
    assert all(isinstance(part, (str, int, type(None))) for part in frozen)
    assert thaw(frozen, access) == value


def test_anything_else_freezes_as_it_is() -> None:
    """Other values pass; what `freeze` never made is refused, and nothing in it is evaluated."""
    access = FakeAccess()
    assert thaw(freeze([1, "x"]), access) == [1, "x"]
    hostile = [
        ("ptr", "Ptr[__import__('os')]", 1), ("ptr", "u8", 1), ("func", "Ptr[u8]", 1, None),
        ("func", "FuncRef[u8]", 1, None),
        ("ptr", "Ptr[u8", 1), ("ptr", "Ptr[nope]", 1), ("ptr", "(" * 1000, 1), ("other", 1), 5, ("ptr", "Ptr[int]", 1),
        ("ptr", "Ptr[FuncRef[..., i32]]", 1),
    ]
    for frozen in hostile:
        with pytest.raises(ConversionError):
            thaw(frozen, access)


def test_cells_say_their_type() -> None:
    """Every number is found by the name that authors write."""
    for hint, text in ((i8, "i8"), (u64, "u64"), (f32, "f32"), (bool, "bool"), (Ptr[i16], "Ptr[i16]")):
        assert cell_of(hint, PLACE).text == text
