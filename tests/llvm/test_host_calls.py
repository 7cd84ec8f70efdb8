"""Host functions called straight from machine code: the same values, errors and promises as by the long way."""

from __future__ import annotations

import gc
import itertools
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from hostsdk import (
    Bytes,
    Context,
    Errors,
    HostModule,
    Instance,
    Interrupt,
    Limits,
    Module,
    ReentrancyError,
    Returned,
    StateError,
    Str,
    Suspended,
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
from hostsdk._enter import BoundFunction
from runtime import At, Engine, EngineConfig
from runtime.llvm.capi.api import supported
from tests.support.build import wat
from tests.support.native import engine, needs_native
from tests.support.told import VALUES, exact, told

pytestmark = [needs_native, pytest.mark.skipif(not supported(), reason="no wrappers on this Python")]

INTERPRETER = Engine(EngineConfig(tier="interpreter"))
KINDS: dict[str, tuple[Any, str]] = {
    "i8": (i8, "i32"), "u8": (u8, "i32"), "i16": (i16, "i32"), "u16": (u16, "i32"), "i32": (i32, "i32"),
    "u32": (u32, "i32"), "i64": (i64, "i64"), "u64": (u64, "i64"), "f32": (f32, "f32"), "f64": (f64, "f64"),
    "bool": (bool, "i32"),
}  # fmt: skip


@pytest.fixture
def entered(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the host functions that were entered by the long way."""
    names: list[str] = []
    enter = BoundFunction.enter

    def noted(self: BoundFunction, *args: Any) -> Any:
        names.append(self.name)
        return enter(self, *args)

    monkeypatch.setattr(BoundFunction, "enter", noted)
    return names


def some_straight(entered: list[str], run: Callable[[], Any]) -> bool:
    """Whether some of a guest's last two calls went straight, at one of a few attempts: the first call is there for the
    next to follow, and any call goes the long way when the beat has just rung."""
    for _ in range(3):
        entered.clear()
        run()
        if len(entered) < 2:
            return True
    return False


def both(text: str, host: HostModule[Any], **options: Any) -> tuple[Instance, Instance]:
    """An instance whose host calls go straight, and one in the interpreter."""
    module = Module.from_bytes(wat(f"(module {text})"))
    return Instance(module, [host], engine=engine(), **options), Instance(module, [host], engine=INTERPRETER, **options)


def thrice(type_: str, result: str = "") -> str:
    """A guest that calls `h.f` three times, and gives what came last."""
    result = result or type_
    call = "(call $f (local.get 0))"
    return f"""(import "h" "f" (func $f (param {type_}) (result {result})))
      (func (export "run") (param {type_}) (result {result}) (drop {call}) (drop {call}) {call})"""


@pytest.mark.parametrize("name", KINDS)
def test_a_number_is_what_it_is_by_the_long_way(name: str, entered: list[str]) -> None:
    """A parameter of each kind is seen the same, and anything that a function may return is taken or refused the same,
    whichever way the call goes (BEHAVIOURS 2.1)."""
    kind, type_ = KINDS[name]
    seen: list[Any] = []
    gives: list[Any] = [None]
    host = HostModule("h")

    def f(ctx: Context[Any], value: Any) -> Any:
        seen.append(exact(value))
        return gives[0]

    f.__annotations__ = {"ctx": Context[Any], "value": kind, "return": kind}
    host.function(f)
    straight, plain = both(thrice(type_), host)
    calls = [straight.exports.run, plain.exports.run]
    usual: Any = 0.0 if type_[0] == "f" else name == "bool" and False
    for value in VALUES:
        gives[0] = usual
        results = []
        for call in calls:
            seen.clear()
            results.append((told(lambda: call(value)), seen[:]))  # noqa: B023
        assert results[0] == results[1], value
        gives[0] = value
        assert told(lambda: calls[0](usual)) == told(lambda: calls[1](usual)), value
    gives[0] = usual
    assert some_straight(entered, lambda: straight.exports.run(usual))


@pytest.mark.parametrize("style", ["function", "pure"])
def test_arguments_come_in_order_and_are_counted(style: str, entered: list[str]) -> None:
    """More arguments than registers, of all kinds, and none; each call is counted once, at its own depth."""
    host = HostModule("h")
    seen: list[Any] = []

    def many(*args: Any) -> int:
        seen.append(args[-13:])
        return len(seen)

    def none(*args: Any) -> None:
        seen.append(())

    kinds = [KINDS[name] for name in "i32 f64 u8 f32 i64 i16 u64 f64 bool f32 i8 u32".split()]
    given = "ctx: Context, " if style == "function" else ""
    scope: dict[str, Any] = {"Context": Context, "many": many, "none": none, "i32": i32}
    scope["k"] = [kind for kind, _ in kinds]
    params = ", ".join(f"a{i}: k[{i}]" for i in range(12))
    names = ", ".join(f"a{i}" for i in range(12))
    exec(f"def f({given}{params}, z: i32) -> i32: return many({names}, z)\ndef n({given}) -> None: none()", scope)
    for name in "fn":
        getattr(host, style)(scope[name])
    types = " ".join(type_ for _, type_ in kinds)
    consts = " ".join(f"({type_}.const {i + 200})" for i, (_, type_) in enumerate(kinds))
    straight, plain = both(
        f"""(import "h" "f" (func $f (param {types} i32) (result i32))) (import "h" "n" (func $n))
        (func (export "run") (param i32) (result i32) (local i32)
          loop (local.set 1 (call $f {consts} (local.get 0))) (call $n)
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))) end (local.get 1))""",
        host,
    )
    found = []
    for guest in (straight, plain):
        seen.clear()
        assert guest.exports.run(4) == 7
        found.append(seen[:])
        assert (guest.stats.host_calls, guest.stats.host_entries, guest.stats.host_depth) == (8, 8, 0)
    assert found[0] == found[1]
    assert some_straight(entered, lambda: straight.exports.run(1))


TEXT = """(import "h" "f" (func $f (param i32 i32) (result i32))) (memory (export "memory") 1)
  (func (export "run") (param i32 i32) (result i32)
    (drop (call $f (i32.const 0) (i32.const 0))) (call $f (local.get 0) (local.get 1)))"""


@pytest.mark.parametrize("kind", [Str, Bytes], ids=["text", "bytes"])
def test_memory_comes_as_text_and_bytes(kind: Any, entered: list[str]) -> None:
    """Text is UTF-8, checked; bytes are copied; what reaches over the memory's end is a trap before the call."""
    seen: list[Any] = []
    host = HostModule("h")

    def f(ctx: Context[Any], data: Any) -> i32:
        seen.append(data)
        return len(data)

    f.__annotations__["data"] = kind
    f.__annotations__["return"] = i32
    host.function(f)
    straight, plain = both(TEXT, host)
    end = 65536
    pieces = [b"", b"plain", "grün €𝄞".encode(), b"\xff", b"ab\xc3", b"\xed\xa0\x80", b"\0\0", b"x" * 300]
    places = [(16, len(piece)) for piece in pieces]
    edges = [(end, 0), (end - 1, 1), (end - 1, 2), (end + 1, 0), (0xFFFF_FFFF, 1), (0xFFFF_FFFF, 0xFFFF_FFFF), (0, end)]
    for piece, (at, size) in [*zip(pieces, places, strict=True), *[(b"", edge) for edge in edges]]:
        results = []
        for guest in (straight, plain):
            seen.clear()
            guest.memory.write(16, piece)
            results.append((told(lambda: guest.exports.run(at, size)), seen[:]))  # noqa: B023
        assert results[0] == results[1], (piece, at, size)
    assert some_straight(entered, lambda: straight.exports.run(16, 4))


# Errors ---------------------------------------------------------------------------------------------------------------


class Own(Exception):
    """An author's."""


@pytest.mark.parametrize(
    "error", [Own("no"), KeyboardInterrupt(), SystemExit(2), StopIteration(3), MemoryError(), RecursionError()],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_an_exception_crosses_machine_code_as_itself(error: BaseException) -> None:
    """What a function raises in a straight call is what the caller sees: the same object, with its cause, the function
    in its traceback, and the guest's frames beside it (BEHAVIOURS 6)."""
    cause = KeyError("why")
    host = HostModule("h")

    @host.function
    def f(ctx: Context[Any], left: i32) -> i32:
        if left == 3:
            raise error from cause
        return left

    straight, plain = both(
        """(import "h" "f" (func $f (param i32) (result i32)))
        (func $go (export "run") (param i32) (result i32)
          loop (drop (call $f (local.get 0)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))) end (i32.const 5))""",
        host,
    )
    for guest in (straight, plain):
        for _ in range(2):
            with pytest.raises(type(error)) as caught:
                guest.exports.run(6)
            assert caught.value is error
            assert caught.value.__cause__ is cause
            assert "f" in [entry.name for entry in caught.traceback]
            assert guest.exports.run(2) == 5
        assert guest.stats.host_calls == 2 * (4 + 2)
        notes = "\n".join(getattr(error, "__notes__", []))
        assert notes.count("h.f") == notes.count("go")
        error.__notes__ = []


def test_a_declared_error_becomes_its_number() -> None:
    """Exceptions that a function has declared are told to the guest as numbers, others not, in straight calls too."""
    host = HostModule("h", errors=Errors({Own: 44}))

    @host.function
    def f(ctx: Context[Any], n: i32) -> i32:
        if n == 1:
            raise Own("declared")
        if n == 2:
            raise LookupError("not declared")
        return n

    straight, plain = both(thrice("i32"), host)
    for n in range(4):
        assert told(lambda: straight.exports.run(n)) == told(lambda: plain.exports.run(n))  # noqa: B023
    assert straight.exports.run(1) == plain.exports.run(1)


# Promises -------------------------------------------------------------------------------------------------------------

RECURSIVE = """(import "h" "f" (func $f (param i32) (result i32)))
  (func (export "run") (param i32) (result i32)
    (drop (call $f (i32.const -1))) (drop (call $f (i32.const -1))) (call $f (local.get 0)))
  (func (export "twice") (param i32) (result i32) (i32.mul (i32.const 2) (local.get 0)))
  (func $down (export "down") (param i32) (result i32)
    (if (local.get 0) (then (return (call $down (i32.sub (local.get 0) (i32.const 1))))))
    (call $f (i32.const -1)))"""


def test_a_host_function_calls_exports() -> None:
    """A nested call counts all frames beneath it, its depth is noted, and the straight calls of the outer one go on."""
    boxes: list[Any] = []
    host = HostModule("h")
    depths: list[int] = []

    @host.function
    def f(ctx: Context[Any], n: i32) -> i32:
        depths.append(ctx._execution.nesting)
        if n <= 0:
            return n
        return int(boxes[-1].run(n - 1) + boxes[-1].twice(n))

    straight, plain = both(RECURSIVE, host)
    results = []
    for guest in (straight, plain):
        boxes.append(guest.exports)
        depths.clear()
        results.append((guest.exports.run(6), guest.exports.run(6), depths[:], guest.stats))
    assert results[0] == results[1]
    assert results[0][0] == 42


def test_the_limit_of_frames_holds_to_the_last() -> None:
    """A host function needs a frame as well: where there is none left its call is a trap, straight or not."""
    host = HostModule("h")

    @host.function
    def f(ctx: Context[Any], n: i32) -> i32:
        return n

    straight, plain = both(RECURSIVE, host, limits=Limits(frames=10))
    for depth in range(6, 12):
        ends = [told(lambda: guest.exports.down(depth)) for guest in (straight, plain)]  # noqa: B023
        assert ends[0] == ends[1], depth


def test_a_context_serves_its_call_alone() -> None:
    """A context is refused after the call and between calls, and knows who called (BEHAVIOURS 7)."""
    kept: list[Context[Any]] = []
    host = HostModule("h")

    @host.function
    def f(ctx: Context[Any], n: i32) -> i32:
        kept.append(ctx)
        ctx.memory.write(8, bytes([n & 255]))
        return ctx.memory.read(8, 1)[0]

    straight, _ = both(thrice("i32") + '(memory (export "memory") 1)', host)
    assert straight.exports.run(77) == 77
    assert len(set(kept)) == 1
    with pytest.raises(StateError, match="outside"):
        kept[0].memory.read(0, 1)


def test_a_request_made_in_a_host_function_is_seen_at_the_next_check() -> None:
    """An interrupt that a function sets suspends the guest before the next straight call; it goes on from there."""
    stop = Interrupt()
    calls: list[int] = []
    host = HostModule("h")

    @host.function
    def f(ctx: Context[Any], n: i32) -> i32:
        calls.append(n)
        if n == 3:
            stop.set()
        return n

    straight, plain = both(
        """(import "h" "f" (func $f (param i32) (result i32)))
        (func (export "run") (result i32)
          (i32.add (i32.add (call $f (i32.const 1)) (call $f (i32.const 2)))
            (i32.add (call $f (i32.const 3)) (i32.add (call $f (i32.const 4))
              (i32.add (call $f (i32.const 5)) (call $f (i32.const 6)))))))""",
        host,
    )
    for guest in (straight, plain):
        calls.clear()
        stop.clear()
        execution = guest.start("run")
        stops = []
        while isinstance(outcome := execution.run(interrupt=stop), Suspended):
            stops.append(len(calls))
        assert stops == [3]
        assert outcome == Returned((21,))
        assert calls == [1, 2, 3, 4, 5, 6]


def test_every_check_point_may_suspend() -> None:
    """With a restart at each check point in turn, straight calls happen once each, and nothing else changes."""
    calls: list[int] = []
    host = HostModule("h")

    @host.function
    def f(ctx: Context[Any], n: i32) -> i32:
        calls.append(n)
        return n + 1

    straight, _ = both(thrice("i32"), host)
    for check in range(1, 8):
        calls.clear()
        straight._store.injector = At({check})
        assert straight.exports.run(check) == check + 1
        assert calls == [check] * 3
        straight._store.injector = None
    assert straight.exports.run(1) == 2


def test_an_execution_left_suspended_in_the_callers_instance_is_refused() -> None:
    """A function that returns while an execution which it began is suspended gets its error, in a straight call too."""
    boxes: list[Any] = []
    stop = Interrupt()
    host = HostModule("h")

    @host.function
    def f(ctx: Context[Any], n: i32) -> i32:
        if n == 7:
            stop.set()
            boxes.append(boxes[0].start("twice", 4))
            boxes[-1].run(interrupt=stop)
        return n

    straight, _ = both(
        RECURSIVE.replace("(i32.mul (i32.const 2)", "loop end (i32.mul (i32.const 2)"), host
    )  # fmt: skip
    boxes.append(straight)
    with pytest.raises(ReentrancyError, match="suspended"):
        straight.exports.run(7)
    boxes[-1].drop()
    assert straight.exports.run(3) == 3


def test_threads_have_instances_that_call_at_once() -> None:
    """Straight calls on several threads, each with its instance, see their own contexts and lose no call."""
    host: HostModule[list[int]] = HostModule("h", state=list)

    @host.function
    def f(ctx: Context[list[int]], n: i32) -> i32:
        ctx.state.append(n)
        return len(ctx.state)

    text = """(import "h" "f" (func $f (param i32) (result i32)))
      (func (export "run") (param i32) (result i32) (local i32)
        loop (local.set 1 (call $f (local.get 0)))
          (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))) end (local.get 1))"""
    guests = [both(text, host)[0] for _ in range(3)]
    counts: list[int] = []

    def run(guest: Instance) -> None:
        counts.append([guest.exports.run(100) for _ in range(20)][-1])

    threads = [threading.Thread(target=run, args=(guest,)) for guest in guests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [2000] * 3
    assert [guest.stats.host_calls for guest in guests] == [2000] * 3


def test_nothing_is_kept_of_a_call() -> None:
    """100,000 straight calls, and hundreds that fail, leave neither objects nor references behind."""
    host = HostModule("h")
    big, word = 1 << 40, "a word that is not interned"
    left = itertools.count()

    @host.function
    def f(ctx: Context[Any], text: Str, n: i64) -> i64:
        return big

    @host.function
    def odd(ctx: Context[Any], n: i64) -> i64:
        step = next(left) % 4
        if step == 0:
            raise Own(word)
        return (big, n, True, word)[step]  # type: ignore[return-value]  # so that it is refused

    straight, _ = both(
        """(import "h" "f" (func $f (param i32 i32 i64) (result i64)))
        (import "h" "odd" (func $odd (param i64) (result i64)))
        (memory (export "memory") 1)
        (func (export "run") (param i32)
          loop (drop (call $f (i32.const 0) (i32.const 9) (i64.const 0x123456789)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))) end)
        (func (export "odd") (param i32)
          loop (drop (call $odd (i64.const 0x123456789)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))) end)""",
        host,
    )

    def failures() -> None:
        for _ in range(200):
            with pytest.raises(Exception, match=r"word|returned|result"):
                straight.exports.odd(8)

    straight.exports.run(100)
    failures()
    gc.collect()
    bound = straight._functions.find("h", "f", None)
    assert bound is not None
    things = (big, word, f, odd, bound.now, straight._raw, None)
    before = [sys.getrefcount(thing) for thing in things]
    tracemalloc.start()
    try:
        straight.exports.run(100)
        failures()
        gc.collect()
        size = tracemalloc.get_traced_memory()[0]
        straight.exports.run(100_000)
        failures()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - size < 20_000
    finally:
        tracemalloc.stop()
    after = [sys.getrefcount(thing) for thing in things]
    assert all(abs(a - b) < 50 for a, b in zip(before, after, strict=True)), (before, after)




@pytest.mark.parametrize("watched", [False, True], ids=["unwatched", "with a timeout"])
def test_the_lock_is_kept_where_nobody_waits_for_it(watched: bool) -> None:
    """With gil="keep" results, host calls, nested calls and traps are what they are without, and the lock is kept
    between calls that can't be stopped."""
    boxes: list[Any] = []
    host = HostModule("h")

    @host.function
    def f(ctx: Context[Any], n: i32) -> i32:
        return int(boxes[0].exports.twice(n)) if n > 0 else n

    module = Module.from_bytes(wat(f"(module {RECURSIVE})"))
    using = Engine(EngineConfig(tier="native", trusted=True, cache=None, gil="keep"))
    guest = Instance(module, [host], engine=using)
    boxes.append(guest)
    options: dict[str, Any] = {"timeout": 60} if watched else {}
    held: list[int] = []
    for _ in range(3):
        assert guest.exports.run(8, **options) == 16
        assert guest.exports.twice(4) == 8
        image: Any = guest._raw.native
        held.append(image.ways._words[13])
    assert held == [1] * 3
    with pytest.raises(Exception, match="stack"):
        Instance(Module.from_bytes(wat('(module (func $f (export "f") (call $f)))')), engine=using).exports.f()
