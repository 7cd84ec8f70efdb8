"""Exports called straight from Python: the same values, errors and promises as by the long way."""

from __future__ import annotations

import ctypes
import gc
import itertools
import math
import random
import signal
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from hostsdk import (
    Context,
    HostModule,
    Instance,
    InstanceAbandoned,
    Interrupt,
    Module,
    ReentrancyError,
    StateError,
    Timeout,
    Trap,
    i32,
)
from runtime import At, Engine, control
from runtime.llvm.capi import api
from runtime.llvm.capi.api import supported
from tests.support.build import wat
from tests.support.native import engine, needs_native
from tests.support.told import VALUES, told
from tests.support.waits import PATIENCE, in_thread

pytestmark = [needs_native, pytest.mark.skipif(not supported(), reason="no wrappers on this Python")]

LETTERS = {"i": "i32", "l": "i64", "f": "f32", "d": "f64"}


def quick(instance: Instance, name: str, *args: Any) -> Any:
    """An export that has a short way in, having been called once."""
    export = instance.exports[name]
    export(*args)
    assert export._door.way is not None
    export(*args)
    return export


def made(text: str, hosts: Any = (), using: Engine | None = None) -> Instance:
    return Instance(Module.from_bytes(wat(f"(module {text})")), hosts, engine=using or engine())


@pytest.mark.parametrize("letter", LETTERS)
def test_one_value_comes_and_goes_as_by_the_long_way(letter: str) -> None:
    """An argument of any kind gives the same result, or the same error, by either way (BEHAVIOURS 2.1)."""
    type_ = LETTERS[letter]
    guest = made(f'(func (export "same") (param {type_}) (result {type_}) local.get 0)')
    same = quick(guest, "same", 1 if letter in "il" else 1.0)
    for value in VALUES:
        assert told(lambda: same(value)) == told(lambda: same.__call__(value)), value  # noqa: B023
    assert told(same) == told(same.__call__)
    assert told(lambda: same(1, 2)) == told(lambda: same.__call__(1, 2))
    assert told(lambda: same(1, nonsense=2))[0] is TypeError


def test_several_values_come_and_go_in_order() -> None:
    """Arguments beyond the registers and several results are what they were, whichever way they go."""
    kinds = [random.Random(5).choice("ilfd") for _ in range(14)]
    types = " ".join(LETTERS[kind] for kind in kinds)
    gets = " ".join(f"local.get {i}" for i in range(14))
    guest = made(f'(func (export "all") (param {types}) (result {types}) {gets}) (func (export "none"))')
    args = [i * 3 - 20 if kind in "il" else i / 8 for i, kind in enumerate(kinds)]
    every = quick(guest, "all", *args)
    assert every(*args) == tuple(args)
    assert quick(guest, "none")() is None
    reals: list[Any] = [0.1, math.inf, math.nan]
    pool: dict[str, list[Any]] = {"i": [0, -1, 1 << 31], "l": [1 << 63, -(1 << 63)], "f": reals, "d": reals}
    for seed in range(40):
        chosen = [random.Random(seed * 99 + i).choice(pool[kind]) for i, kind in enumerate(kinds)]
        assert told(lambda: every(*chosen)) == told(lambda: every.__call__(*chosen))  # noqa: B023


def test_nothing_is_kept_of_a_call() -> None:
    """100,000 calls, with results, errors and traps, leave neither objects nor references behind."""
    guest = made("""(func (export "pair") (param i64 f64) (result i64 f64) local.get 0 local.get 1)
      (func (export "div") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))""")
    pair, div = quick(guest, "pair", 1, 2.0), quick(guest, "div", 4, 2)
    big, real, bad = 1 << 62, 1234.5, object()

    def calls(count: int) -> None:
        for _ in range(count):
            pair(big, real)

    def errors(count: int) -> None:
        for args in itertools.islice(itertools.cycle([(bad, real), (1 << 70, real), (big,), (big, "x")]), count):
            with pytest.raises((TypeError, OverflowError)):
                pair(*args)
            with pytest.raises(Trap):
                div(big >> 40, 0)

    calls(100)
    errors(20)
    gc.collect()
    before = [sys.getrefcount(thing) for thing in (big, real, bad, pair, None, int)]
    tracemalloc.start()
    try:
        calls(100)
        errors(100)
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        calls(100_000)
        errors(100)
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - size < 20_000
    finally:
        tracemalloc.stop()
    after = [sys.getrefcount(thing) for thing in (big, real, bad, pair, None, int)]
    # What earlier tests have left may go meanwhile, some dozens of it.
    assert all(-500 < a - b < 50 for a, b in zip(after, before, strict=True)), (before, after)


# Requests and ends ----------------------------------------------------------------------------------------------------

LOOP = """(func (export "spin") (param i32) (result i32) (local i32)
  loop
    local.get 1 i32.const 1 i32.add local.set 1
    local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0
  end local.get 1)"""


def test_options_go_the_long_way() -> None:
    """A timeout, an interrupt and a budget hold for an export that has a short way in."""
    guest = made(LOOP)
    spin = quick(guest, "spin", 3)
    with pytest.raises(Timeout):
        spin(1 << 31, timeout=0.02)
    stop = Interrupt()
    stop.set()
    with pytest.raises(Exception, match="interrupted"):
        spin(1 << 31, interrupt=stop)
    assert spin(5, timeout=60) == 5
    assert guest.call("spin", 7) == 7
    with pytest.raises(Trap, match="budget"):
        spin(1 << 20, steps=1000)


def test_an_injector_set_later_is_asked() -> None:
    """Restarts are injected into calls that had a short way in before, and after it they have it again."""
    guest = made(LOOP)
    spin = quick(guest, "spin", 3)
    guest._store.injector = At({3})
    assert spin(20) == 20
    assert guest.stats.suspensions["Injected"] == 1
    guest._store.injector = None
    assert spin(20) == 20
    assert guest.stats.suspensions["Injected"] == 1


def test_a_trap_has_its_backtrace_and_puts_the_stack_pointer_back() -> None:
    """A trap in a call by the short way names its frames, and the guest's stack pointer is what it was at the call."""
    guest = made("""(global $sp (export "__stack_pointer") (mut i32) (i32.const 1000)) (memory 1)
      (func $inner (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
      (func $outer (export "f") (param i32) (result i32)
        (global.set $sp (i32.sub (global.get $sp) (i32.const 16)))
        (call $inner (local.get 0))
        (global.set $sp (i32.add (global.get $sp) (i32.const 16))))""")
    f = quick(guest, "f", 1)
    for _ in range(3):
        with pytest.raises(Trap, match="divide by zero") as caught:
            f(0)
        assert [str(entry).split()[1].rpartition(".")[2] for entry in caught.value.backtrace] == ["inner", "outer"]
        assert guest._raw.exports["__stack_pointer"].value == 1000  # type: ignore[union-attr]
    assert f(1) == 1


def test_a_guest_that_is_abandoned_stays_so() -> None:
    """Where the stack pointer can't be told, a trap ends the short way, too (BEHAVIOURS 5)."""
    guest = made("""(global $sp (mut i32) (i32.const 1000)) (memory 1)
      (func (export "f") (param i32) (result i32) (i32.div_s (global.get $sp) (local.get 0)))""")
    f = quick(guest, "f", 1)
    with pytest.raises(Trap):
        f(0)
    with pytest.raises(InstanceAbandoned):
        f(1)


def test_recursion_without_end_is_a_trap_on_any_thread() -> None:
    """Limits of frames and of the thread's own stack hold for calls by the short way, on each thread that calls."""
    guest = made(
        '(func $f (export "f") (param i32) (result i32) (if (result i32) (local.get 0)'
        " (then (i32.add (i32.const 1) (call $f (i32.sub (local.get 0) (i32.const 1))))) (else (i32.const 0))))"
    )
    f = quick(guest, "f", 1)

    def use() -> None:
        assert [f(3), f(3), f(500)] == [3, 3, 500]
        with pytest.raises(Trap, match="stack"):
            f(-1)
        assert f(3) == 3

    use()
    failures: list[BaseException] = []

    def tried() -> None:
        try:
            use()
        except BaseException as error:
            failures.append(error)

    size = threading.stack_size(128 << 10)
    try:
        thread = threading.Thread(target=tried)
        thread.start()
    finally:
        threading.stack_size(size)
    thread.join()
    assert not failures
    use()


def test_a_signal_handler_runs_while_the_main_thread_is_inside() -> None:
    """Machine code that was called straight from Python comes by where handlers run, as any does (BEHAVIOURS 3)."""
    guest = made("""(memory (export "memory") 1)
      (func (export "wait") (param i32) (result i32)
        (i32.store8 (i32.const 1) (i32.const 1))
        loop (br_if 0 (i32.eqz (i32.load8_u (i32.const 0)))) end (local.get 0))""")
    guest.memory.write(0, b"\1")
    wait = quick(guest, "wait", 1)
    guest.memory.write(0, b"\0\0")
    main = threading.get_ident()

    def send() -> None:
        while guest.memory.read(1, 1) == b"\0":
            pass
        signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda *_: guest.memory.write(0, b"\1"))
    try:
        thread = threading.Thread(target=send)
        thread.start()
        assert wait(9) == 9
        thread.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_closed_instance_refuses() -> None:
    """An export that was fetched before its instance was closed raises StateError (BEHAVIOURS 8)."""
    guest = made(LOOP)
    spin = quick(guest, "spin", 3)
    guest.close()
    with pytest.raises(StateError, match="closed"):
        spin(3)


def test_code_that_comes_later_serves_a_callable_fetched_earlier() -> None:
    """A callable that ran in the interpreter calls machine code as soon as there is some."""
    guest = made(LOOP, using=engine(only=lambda index: False))
    spin = guest.exports["spin"]
    assert spin(3) == 3
    assert spin._door.way is None
    other = made(LOOP)
    fetched = other.exports["spin"]
    assert fetched(2) == 2
    assert fetched._door.way is not None
    assert repr(spin) == "<Export spin (i32) -> (i32)>"
    assert spin.__name__ == spin.name == "spin"


# Nested and beside ----------------------------------------------------------------------------------------------------


def hosted(fn: Callable[..., Any]) -> HostModule[Any]:
    host = HostModule("h")
    host.function(fn)
    return host


CALLER = """(import "h" "out" (func $out (param i32) (result i32)))
  (func (export "in") (param i32) (result i32) (call $out (local.get 0)))
  (func (export "sum") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))"""


def test_an_export_first_asked_for_when_there_is_code_has_the_short_way() -> None:
    """DESIGN.md 7 (calling an export): exports are made when they are asked for, and code may be there by then."""
    guest = made('(func (export "a") (result i32) i32.const 1) (func (export "b") (result i32) i32.const 2)')
    assert guest.exports.a() == 1  # a small module is compiled as a whole
    assert guest.exports["b"]._door.way is not None
    assert (guest.exports.b(), guest.exports.b()) == (2, 2)
    assert guest.exports.b is guest.exports["b"]
    assert list(guest.exports) == ["a", "b"]


def test_an_export_called_in_a_host_function_is_nested() -> None:
    """A call in a host function has the outer execution's depth, and the outer call goes on with its result."""
    box: dict[str, Any] = {}
    seen: list[int] = []

    def out(ctx: Context[Any], n: i32) -> i32:
        control.current()
        seen.append(ctx._execution.depth)
        return box["in"](n - 1) + box["sum"](1, 0) if n else 0

    guest = made(CALLER, [hosted(out)])
    box.update(guest.exports)
    quick(guest, "in", 0)
    quick(guest, "sum", 1, 2)
    seen.clear()
    assert box["in"](5) == 5
    assert seen == sorted(seen)
    assert len(set(seen)) == 6
    assert guest._raw.group.root().active == []
    assert box["sum"](40, 2) == 42


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), SystemExit(3)], ids=repr)
def test_an_exception_of_a_host_function_reaches_the_caller_as_itself(error: BaseException) -> None:
    """Whatever a host function raises beneath a short call crosses it with its cause, and the next call works."""
    cause = KeyError("why")

    def out(ctx: Context[Any], n: i32) -> i32:
        if n:
            raise error from cause
        return 7

    guest = made(CALLER, [hosted(out)])
    call = quick(guest, "in", 0)
    for _ in range(2):
        with pytest.raises(type(error)) as caught:
            call(1)
        assert caught.value is error
        assert caught.value.__cause__ is cause
        assert call(0) == 7


def test_two_threads_in_one_instance_are_refused() -> None:
    """While a short call runs on one thread, another's call of the same instance is refused, whichever way it goes
    (BEHAVIOURS 5)."""
    entered, leave = threading.Event(), threading.Event()
    guest = made("""(memory (export "memory") 1)
      (func (export "spin") (param i32) (result i32)
        loop (br_if 0 (i32.eqz (i32.load8_u (i32.const 0)))) end (local.get 0))
      (func (export "sum") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
      (func (export "set") (param i32) (i32.store8 (i32.const 0) (local.get 0)))""")
    quick(guest, "set", 1)
    spin, summed = guest.exports["spin"], quick(guest, "sum", 1, 2)
    results: list[int] = []

    def run() -> None:
        results.append(spin(5))
        guest.memory.write(0, b"\0")
        entered.set()
        results.append(spin(6))
        leave.set()

    thread = threading.Thread(target=run)
    thread.start()
    entered.wait()
    refused = 0
    while not leave.is_set() and refused < 3:
        try:
            summed(1, 2)
        except ReentrancyError:
            refused += 1
    guest.memory.write(0, b"\1")
    thread.join()
    assert results == [5, 6]
    assert refused == 3
    assert summed(1, 2) == 3


@pytest.fixture(params=[12, 77])
def seed(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_random_calls_agree_with_the_long_way(seed: int) -> None:
    """Random values of all numeric types, and of none, through a function of each signature."""
    draw = random.Random(seed)
    for _ in range(6):
        kinds = [draw.choice("ilfd") for _ in range(draw.randrange(4))]
        given = [draw.randrange(len(kinds)) for _ in range(draw.randrange(3))] if kinds else []
        params, results = (" ".join(LETTERS[kind] for kind in each) for each in (kinds, [kinds[i] for i in given]))
        body = " ".join(f"local.get {i}" for i in given)
        guest = made(f'(func (export "f") (param {params}) (result {results}) {body})')
        f = quick(guest, "f", *[0 if kind in "il" else 0.0 for kind in kinds])
        for _ in range(200):
            args = [draw.choice(VALUES) for _ in kinds]
            assert told(lambda: f(*args)) == told(lambda: f.__call__(*args)), args  # noqa: B023


def test_threads_that_come_first_have_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Desks know the table of CPython's functions by its address: were there two for a moment, one of them would go."""
    made = api._table
    threads = 8
    gate = threading.Barrier(threads)

    def together() -> ctypes.Array[ctypes.c_void_p]:
        gate.wait()  # all have seen that there is none
        return made()

    monkeypatch.setattr(api, "_tables", {})
    monkeypatch.setattr(api, "_table", together)
    found = [in_thread(api.table) for _ in range(threads)]
    assert len({ctypes.addressof(each.result(PATIENCE)) for each in found}) == 1
