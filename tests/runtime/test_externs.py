"""What an embedder holds: functions, memories, tables and globals, with Python values."""

from __future__ import annotations

import math

import pytest

from runtime import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    ExitRequested,
    Func,
    Global,
    GlobalType,
    Memory,
    MemoryType,
    Table,
    TableType,
    Trap,
    TrapCode,
    Unfinished,
    f64_from_bits,
    f64_to_bits,
    make_exit,
)
from tests.support.asking import ASKING, ask
from tests.support.guests import Guest
from tests.support.hosts import Call, Results, host, imports

IDENTITY = "\n".join(
    f'(func (export "{t}") (param {t}) (result {t}) (local.get 0))'
    for t in ("i32", "i64", "f32", "f64", "funcref", "externref")
)


@pytest.fixture(scope="module")
def identity() -> Guest:
    return Guest(IDENTITY)


@pytest.mark.parametrize(
    ("type_", "given", "want"),
    [
        ("i32", 5, 5), ("i32", -1, -1), ("i32", 0xFFFF_FFFF, -1), ("i32", 1 << 31, -(1 << 31)), ("i32", True, 1),
        ("i64", -5, -5), ("i64", (1 << 64) - 1, -1), ("i64", 1 << 63, -(1 << 63)),
        ("f32", 0.1, 0.10000000149011612), ("f32", 1e300, math.inf), ("f32", 3, 3.0), ("f64", 0.1, 0.1),
        ("f64", -math.inf, -math.inf),
    ],
)  # fmt: skip
def test_numbers_go_in_and_come_out(identity: Guest, type_: str, given: object, want: object) -> None:
    """Integers may be given signed or unsigned and come out signed; floats are rounded to their type."""
    assert identity.call(type_, given) == want


@pytest.mark.parametrize("bits", [0x8000_0000_0000_0000, 0x7FF8_0000_0000_0001, 0xFFF8_1234_5678_9ABC])
def test_the_bits_of_an_f64_are_kept(identity: Guest, bits: int) -> None:
    """Signed zeros and NaN payloads pass through a call unchanged."""
    assert f64_to_bits(identity.call("f64", f64_from_bits(bits))) == bits


@pytest.mark.parametrize(
    ("type_", "given", "error"),
    [
        ("i32", 1 << 32, OverflowError), ("i32", -(1 << 31) - 1, OverflowError), ("i64", 1 << 64, OverflowError),
        ("i32", 1.0, TypeError), ("i32", "1", TypeError), ("i32", None, TypeError), ("f64", "1", TypeError),
        ("f32", None, TypeError), ("funcref", 5, TypeError), ("funcref", lambda: None, TypeError),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(identity: Guest, type_: str, given: object, error: type[Exception]) -> None:
    """A wrong type is a TypeError, a number too large an OverflowError; both name the function, and nothing runs."""
    with pytest.raises(error, match=r"func\[\d\]: "):
        identity.call(type_, given)


def test_the_number_of_arguments(identity: Guest) -> None:
    """Too few or too many is a TypeError."""
    for args in ((), (1, 2)):
        with pytest.raises(TypeError, match="takes 1 arguments"):
            identity.call("i32", *args)


def test_references(identity: Guest) -> None:
    """A function reference is a `Func` or None; an external one is any object, the very same."""
    func = identity.func("i32")
    assert identity.call("funcref", func) == func
    assert identity.call("funcref", func).call(7) == 7
    assert identity.call("funcref", None) is None
    thing = object()
    assert identity.call("externref", thing) is thing
    assert identity.call("externref", None) is None


def test_results_of_any_number() -> None:
    """None, one value, or a tuple: behaviour 25."""
    guest = Guest("""
      (func (export "none"))
      (func (export "many") (result i32 i64 f32 f64 funcref externref)
        (i32.const -1) (i64.const -2) (f32.const 1.5) (f64.const nan:0x8000000000001) (ref.func 0) (ref.null extern))
      (elem declare func 0)""")
    assert guest.call("none") is None
    one, two, three, four, func, nothing = guest.call("many")
    assert (one, two, three, nothing) == (-1, -2, 1.5, None)
    assert f64_to_bits(four) == 0x7FF8_0000_0000_0001
    assert func == guest.func("none")
    assert guest.func("many").type.results == (I32, I64, F32, F64, FUNCREF, EXTERNREF)


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_host_function_gets_all_results_of_its_callee(scheduled: bool) -> None:
    """Behaviour 25: several results, NaN payloads and references among them, reach the host function, nested and
    scheduled, and its own several results reach the guest."""
    nan = f64_from_bits(0x7FF8_0000_DEAD_BEEF)
    text = """
      (import "h" "swap" (func $swap (param i64 f64) (result f64 i64 funcref)))
      (func $give (export "give") (param f64) (result i64 f64 funcref) (i64.const -9) (local.get 0) (ref.func $give))
      (func (export "f") (result i64 i64 i32) (local f64 i64 funcref)
        (call $swap (i64.const 7) (f64.const nan:0x80000DEADBEEF))
        (local.set 2) (local.set 1) (local.set 0)
        (i64.reinterpret_f64 (local.get 0)) (local.get 1) (ref.is_null (local.get 2)))"""
    seen: list[tuple[object, ...]] = []

    @host("h", "swap", "i64 f64 -> f64 i64 funcref", scheduled=scheduled)
    def swap(call: Call) -> Results:
        number, number64, func = call.call(found[0].raw("give"), call.args[1])
        seen.append((number, f64_to_bits(number64), func))
        return (number64, number, func)

    found = [Guest(text, imports(swap))]
    bits = f64_to_bits(nan)
    assert found[0].call("f") == (bits, -9, 0)
    assert seen == [((1 << 64) - 9, bits, found[0].raw("give"))]


def test_what_a_plain_call_raises() -> None:
    """Each way that a call can end has an exception of its own: trap, exit, unfinished, the host's error."""
    guest = Guest(ASKING, imports(ask))
    with pytest.raises(Unfinished, match=r"how much\?") as caught:
        guest.call("f", 1)
    assert caught.value.ctx.frames

    def exiting(call: Call) -> Results:
        raise make_exit(7)

    with pytest.raises(ExitRequested, match="code 7") as exited:
        Guest(ASKING, imports(host("h", "ask", "i32 -> i32")(exiting))).call("f", 1)
    assert exited.value.code == 7
    with pytest.raises(Trap):
        Guest('(func (export "f") unreachable)').call("f")


def test_memories() -> None:
    """Reads and writes copy and are checked before anything is written; growth tells the old size or -1."""
    guest = Guest('(memory (export "m") 1 2)')
    memory = Memory(guest.memory)
    assert (memory.pages, len(memory), memory.type) == (1, 65536, MemoryType(1, 2))
    memory.write(65534, b"ab")
    copy = memory.read(65534, 2)
    memory.write(65534, bytearray(b"cd"))
    assert (copy, memory.read(65534, 2)) == (b"ab", b"cd")
    for bad in ((65535, b"xy"), (-1, b"x"), (1 << 40, b"")):
        with pytest.raises(Trap) as caught:
            memory.write(*bad)
        assert caught.value.code is TrapCode.OUT_OF_BOUNDS_MEMORY
    with pytest.raises(Trap):
        memory.read(0, -1)
    assert memory.read(65534, 2) == b"cd"
    assert [memory.grow(0), memory.grow(1), memory.grow(1), memory.pages] == [1, 1, -1, 2]


def test_tables() -> None:
    """References in and out as Python has them, bounds and types checked."""
    guest = Guest('(table (export "t") 2 funcref) (table 1 externref) (func $f (export "f")) (elem (i32.const 0) $f)')
    table = Table(guest.instance.tables[0], guest.store)
    assert (len(table), table.type) == (2, TableType(FUNCREF, 2, None))
    assert table.get(0) == guest.func("f")
    table.set(1, guest.func("f"))
    assert table.get(1) == table.get(0)
    table.set(0, None)
    assert table.get(0) is None
    with pytest.raises(TypeError):
        table.set(0, 5)
    for bad in (2, -1):
        with pytest.raises(Trap):
            table.get(bad)
    other = Table(guest.instance.tables[1], guest.store)
    other.set(0, "anything")
    assert other.get(0) == "anything"


def test_globals() -> None:
    """A mutable one takes what fits its type; an immutable one nothing."""
    guest = Guest("""(global (export "m") (mut i64) (i64.const -1)) (global (export "c") f32 (f32.const 0.5))""")
    mutable, constant = (Global(g, guest.store) for g in guest.instance.globals)
    assert (mutable.get(), constant.get()) == (-1, 0.5)
    assert mutable.type == GlobalType(I64, mutable=True)
    mutable.set(1 << 63)
    assert mutable.get() == -(1 << 63)
    with pytest.raises(OverflowError):
        mutable.set(1 << 64)
    with pytest.raises(TypeError, match="immutable"):
        constant.set(1.0)


def test_functions_are_equal_if_they_are_the_same() -> None:
    """Two `Func` of one function are equal, also across instances that hand it on."""
    giver = Guest('(func (export "f"))')
    taker = Guest('(import "m" "f" (func $f)) (export "g" (func $f))', {"m": giver.instance.exports})
    assert giver.func("f") == taker.func("g")
    assert hash(giver.func("f")) == hash(taker.func("g"))
    assert giver.func("f") != Guest('(func (export "f"))').func("f")
    assert isinstance(taker.func("g"), Func)
