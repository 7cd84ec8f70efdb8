"""Atomic accesses, waiting and waking (threads proposal), on both tiers and beside wasmtime."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import wasmtime

from hostsdk import Engine, EngineConfig, FakeClock, Instance, Interrupt, InvalidError, Limits, Module, Suspended, Trap
from hostsdk.testing import Scenario, World, explore
from runtime import lean
from runtime.exec.wait import ThreadDriver
from runtime.instances.shared import SharedMemInst
from runtime.instances.waiters import Waiters
from runtime.instr.atomic import ARITY, OPERATIONS
from runtime.instr.index import BY_NAME
from tests.support.build import wat
from tests.support.waits import Sleeps, in_thread

TIERS = ("interpreter", "native")
_ACCESSES = [name for name, operation in OPERATIONS.items() if operation not in ("wait", "notify")]


def _function(name: str) -> str:
    takes, gives = ARITY[OPERATIONS[name]]
    value = str(BY_NAME[name].value)
    params = " ".join(["i32", *[value] * (takes - 1)])
    gets = " ".join(f"local.get {i}" for i in range(takes))
    return f'(func (export "{name}") (param {params}) {f"(result {value})" if gives else ""} {gets} {name} offset=8)'


def _module(memory: str) -> bytes:
    return wat(f'(module (memory (export "memory") {memory}) {" ".join(map(_function, _ACCESSES))})')


def _calls(seed: int, count: int = 400) -> Iterator[tuple[str, tuple[int, ...]]]:
    pick = random.Random(seed)
    numbers = (0, 1, -1, 0x7F, 0x80, 0xFF, 0x11111111, 0x7FFFFFFF)
    for _ in range(count):
        name = pick.choice(_ACCESSES)
        takes, _ = ARITY[OPERATIONS[name]]
        wide = str(BY_NAME[name].value) == "i64"
        values = [pick.choice(numbers) << (32 if wide and pick.random() < 0.3 else 0) for _ in range(takes - 1)]
        yield name, (pick.choice((0, 8, 16, 8, 3, 65520, 65528, 65536, -8)), *values)


def _wrapped(name: str, args: tuple[int, ...]) -> tuple[int, ...]:
    bits = 64 if str(BY_NAME[name].value) == "i64" else 32
    signed = [(value + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1) for value in args[1:]]
    return args[0], *signed


@pytest.mark.parametrize("memory", ["1", "1 2 shared"], ids=["own", "shared"])
@pytest.mark.parametrize("tier", TIERS)
def test_accesses_agree_with_wasmtime(tier: Any, memory: str) -> None:
    """Every atomic access gives what wasmtime gives, traps where it does, and leaves the same memory behind."""
    store = wasmtime.Store()
    theirs: Any = wasmtime.Instance(store, wasmtime.Module(store.engine, _module("1")), []).exports(store)
    ours = Instance(Module.from_bytes(_module(memory)), engine=Engine(EngineConfig(tier=tier)))
    for name, given in _calls(7):
        args = _wrapped(name, given)
        try:
            want: object = theirs[name](store, *args)
        except wasmtime.Trap:
            want = "trap"
        try:
            have: object = ours.call(name, *args)
        except Trap:
            have = "trap"
        assert have == want, (name, args)
    assert bytes(ours.memory.read(0, 65536)) == bytes(theirs["memory"].read(store, 0, 65536))


WAITS = """
  (func (export "wait32") (param i32 i32 i64) (result i32)
    (memory.atomic.wait32 offset=4 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "wait64") (param i32 i64 i64) (result i32)
    (memory.atomic.wait64 offset=8 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "notify") (param i32 i32) (result i32)
    (memory.atomic.notify offset=4 (local.get 0) (local.get 1)))
  (func (export "store") (param i32 i32) (i32.atomic.store offset=4 (local.get 0) (local.get 1)))"""


def _guest(text: str, tier: Any = "interpreter", clock: FakeClock | None = None, **config: Any) -> Instance:
    clock = clock or FakeClock()
    engine = Engine(EngineConfig(tier=tier, clock=clock, **config))
    return Instance(Module.from_bytes(wat(f"(module {text})")), engine=engine)


@pytest.mark.parametrize("tier", TIERS)
def test_waits_that_do_not_block(tier: Any) -> None:
    """Behaviour 58: 1 for another value, 2 for a timeout of zero; behaviour 60: three traps, and 0 for a notification
    where nobody can wait."""
    shared = _guest(f"(memory 1 1 shared) {WAITS}", tier)
    assert shared.call("wait32", 0, 7, -1) == 1
    assert shared.call("wait64", 0, 1 << 40, 5) == 1
    assert shared.call("wait32", 0, 0, 0) == 2
    assert shared.call("wait64", 0, 0, 0) == 2
    for name, args, message in (
        ("wait32", (2, 0, 0), "unaligned atomic"),
        ("wait64", (4, 0, 0), "unaligned atomic"),
        ("wait32", (65536, 0, 0), "out of bounds memory access"),
        ("wait32", (-4, 0, 0), "out of bounds memory access"),
        ("notify", (1, 0), "unaligned atomic"),
        ("notify", (65536, 0), "out of bounds memory access"),
    ):
        with pytest.raises(Trap, match=message):
            shared.call(name, *args)
    own = _guest(f"(memory 1) {WAITS}", tier)
    assert own.call("notify", 0, 5) == 0
    with pytest.raises(Trap, match="expected shared memory"):
        own.call("wait32", 0, 0, 0)


def _waiters(inst: Instance) -> Waiters:
    memory = inst._raw.memories[0]
    assert isinstance(memory, SharedMemInst)
    return memory.waiters


def _sharing(count: int, tier: Any, **config: Any) -> tuple[list[Instance], Sleeps]:
    """Instances with one memory, and what tells when a thread of theirs sleeps."""
    sleeps, clock = Sleeps(), FakeClock()
    engine = Engine(EngineConfig(tier=tier, clock=clock, driver=ThreadDriver(clock, sleeps.selector), **config))
    first = Instance(Module.from_bytes(wat(f'(module (memory (export "m") 1 4 shared) {WAITS})')), engine=engine)
    module = Module.from_bytes(wat(f'(module (memory (import "e" "m") 1 4 shared) {WAITS})'))
    imports = {"e": {"m": first._raw.exports["m"]}}
    return [first, *[Instance(module, engine=engine, imports=imports) for _ in range(count)]], sleeps


@pytest.mark.parametrize("tier", TIERS)
def test_waiters_are_woken_in_the_order_of_arrival(tier: Any) -> None:
    """Behaviour 59: of k waiters, k notifications of one each wake the first, the second …; one for all wakes the
    rest; at another address nobody hears."""
    (first, *others), sleeps = _sharing(4, tier)
    futures = []
    for other in others:
        futures.append(in_thread(partial(other.call, "wait32", 0, 0, -1)))
        sleeps.await_sleepers()
    assert first.call("notify", 8, -1) == 0
    for future in futures[:2]:
        assert first.call("notify", 0, 1) == 1
        assert future.result(60) == 0
        assert not futures[3].done()
    assert first.call("notify", 0, -1) == 2
    assert [future.result(60) for future in futures] == [0, 0, 0, 0]
    assert first.call("notify", 0, -1) == 0


@pytest.mark.parametrize("tier", TIERS)
def test_a_suspended_waiter_hears_the_notification(tier: Any) -> None:
    """Behaviour 57: a notification without a change of the value counts a waiter that is suspended, and reaches it:
    told in between, it gives 0; behaviour 59: its place in the line is kept."""
    (first, one, two), _ = _sharing(2, tier, injector=None)
    clock: Any = one._store.engine.config.clock
    waits = [each.start("wait32", 0, 0, 10**9) for each in (one, two)]
    for count, execution in enumerate(waits, 1):
        interrupt = Interrupt(level=True)
        interrupt.set()
        assert isinstance(execution.run(interrupt=interrupt), Suspended)
        while len(_waiters(first)) < count:
            assert isinstance(execution.run(interrupt=interrupt), Suspended)
        assert isinstance(execution.run(interrupt=interrupt), Suspended)
    assert first.call("notify", 0, 1) == 1
    clock.advance(10)
    assert waits[0].run().values == (0,)  # type: ignore[union-attr]  # it has returned
    assert waits[1].run().values == (2,)  # type: ignore[union-attr]
    assert len(_waiters(first)) == 0


def test_dropped_waiters_leave_the_line() -> None:
    """Behaviour 8: dropping a waiter takes it out of its memory's list."""
    (first, one), _ = _sharing(1, "interpreter")
    execution = one.start("wait32", 0, 0, -1)
    execution.run(timeout=0)
    while not len(_waiters(first)):
        execution.run(timeout=0)
    execution.drop()
    assert len(_waiters(first)) == 0


RUN = """
  (func (export "run") (result i32 i64)
    (local $sum i64)
    (local.set $sum (i64.extend_i32_u (memory.atomic.wait32 (i32.const 0) (i32.const 1) (i64.const -1))))
    (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 10))
      (i64.extend_i32_u (memory.atomic.wait64 (i32.const 0) (i64.const 0) (i64.const 300000000)))))
    (i32.const 42)
    (i64.add (i64.mul (local.get $sum) (i64.const 10))
      (i64.extend_i32_u (memory.atomic.wait32 (i32.const 8) (i32.const 0) (i64.const -1)))))"""


def _waiting(tier: Any) -> Any:
    def make(world: World) -> Instance:
        engine = Engine(lean.evolve(world.engine.config, tier=tier))
        module = Module.from_bytes(wat(f'(module (memory (export "memory") 1 1 shared) {RUN})'))
        inst = Instance(module, engine=engine)
        waiters = _waiters(inst)
        world.at(0.5, lambda: waiters.notify(8, 1))
        return inst

    return make


@pytest.mark.parametrize("tier", TIERS)
def test_waits_are_restarted_at_every_check_point(tier: str) -> None:
    """Behaviours 16 and 57: restarted, dropped or thrown into at each check point of atomic waits, the results and the
    time taken are the same, and no waiter is left behind."""

    def settled(inst: Instance) -> None:
        assert len(_waiters(inst)) == 0

    explore(Scenario(_waiting(tier), "run", saves=False, settled=settled)).exhaustive()


def _timed(world: World) -> Instance:
    text = RUN.replace("(i32.const 8) (i32.const 0) (i64.const -1)", "(i32.const 8) (i32.const 0) (i64.const 9)")
    module = Module.from_bytes(wat(f'(module (memory (export "memory") 1 1 shared) {text})'))
    return Instance(module, engine=world.engine)


def test_deadlines_survive_saving() -> None:
    """Behaviours 36, 75 and 76: saved and loaded in the midst of an atomic wait, it ends when it would have."""
    explore(Scenario(_timed, "run")).exhaustive()


@pytest.mark.parametrize("prealloc", [True, False], ids=["in place", "moved"])
@pytest.mark.parametrize("tiers", [("native", "native"), ("native", "interpreter"), ("interpreter",) * 2], ids="-".join)
def test_counts_of_threads_are_exact(tiers: tuple[Any, Any], prealloc: bool) -> None:
    """Threads that add to one number at once lose nothing, whichever tiers they run in."""
    count = """(func (export "count") (param $n i32) (loop $l
      (drop (i32.atomic.rmw.add (i32.const 64) (i32.const 1)))
      (drop (i64.atomic.rmw8.add_u (i32.const 72) (i64.const 1)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"""
    engines = [Engine(EngineConfig(tier=tier, prealloc_shared_memory=prealloc)) for tier in tiers]
    first = Instance(Module.from_bytes(wat(f'(module (memory (export "m") 1 4 shared) {count})')), engine=engines[0])
    module = Module.from_bytes(wat(f'(module (memory (import "e" "m") 1 4 shared) {count})'))
    other = Instance(module, engine=engines[1], imports={"e": {"m": first._raw.exports["m"]}})
    done = [in_thread(partial(each.call, "count", 20_000)) for each in (first, other)]
    for future in done:
        future.result(60)
    memory = first._raw.memories[0]
    assert int.from_bytes(memory.read(64, 4), "little") == 40_000
    assert int.from_bytes(memory.read(72, 1), "little") == 40_000 % 256


_STORED = {
    "atomic": ("(i32.atomic.store (local.get $a) (i32.const 1))", "(i32.atomic.load (local.get $b))"),
    "exchange": ("(drop (i32.atomic.rmw.xchg (local.get $a) (i32.const 1)))", "(i32.atomic.load (local.get $b))"),
    "fence": ("(i32.store (local.get $a) (i32.const 1)) (atomic.fence)", "(i32.load (local.get $b))"),
}


@pytest.mark.parametrize("how", _STORED)
def test_of_two_that_store_one_sees_the_other(how: str) -> None:
    """Two threads store each to a place of its own, then load the other's, thousands of times in step: in one order of
    all accesses, which the instructions promise, at least one of them sees the other's store."""
    store, load = _STORED[how]
    # $mine and $other: two rows of places; what was seen goes into a row 64 KiB behind the own one. At 4 and 8: how far
    # each has come.
    text = f"""(func (export "go") (param $mine i32) (param $other i32) (param $step i32) (param $theirs i32)
      (local $n i32) (local $a i32) (local $b i32)
      (loop $l
        (local.set $a (i32.add (local.get $mine) (i32.shl (local.get $n) (i32.const 2))))
        (local.set $b (i32.add (local.get $other) (i32.shl (local.get $n) (i32.const 2))))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (i32.atomic.store (local.get $step) (local.get $n))
        (loop $w (br_if $w (i32.lt_u (i32.atomic.load (local.get $theirs)) (local.get $n))))
        {store}
        (i32.store offset=0x20000 (local.get $a) {load})
        (br_if $l (i32.lt_u (local.get $n) (i32.const 1500)))))"""
    engine = Engine(EngineConfig(tier="native"))
    first = Instance(Module.from_bytes(wat(f'(module (memory (export "m") 6 6 shared) {text})')), engine=engine)
    module = Module.from_bytes(wat(f'(module (memory (import "e" "m") 6 6 shared) {text})'))
    other = Instance(module, engine=engine, imports={"e": {"m": first._raw.exports["m"]}})
    done = [
        in_thread(partial(each.call, "go", *args))
        for each, args in ((first, (0x10000, 0x20000, 4, 8)), (other, (0x20000, 0x10000, 8, 4)))
    ]
    for future in done:
        future.result(60)
    memory = first._raw.memories[0]
    seen = [memory.read(at, 4 * 1500)[::4] for at in (0x30000, 0x40000)]
    assert (0, 0) not in set(zip(*seen, strict=True))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(memory 1 shared)", "shared memory must have maximum"),
        ("(memory 1 1 shared) (func (drop (i32.atomic.load align=2 (i32.const 0))))", "atomic alignment must be equal"),
        ("(func (drop (i32.atomic.load (i32.const 0))))", "unknown memory 0"),
        ("(memory 1 1 shared) (func (drop (i64.atomic.rmw.add (i32.const 0) (i32.const 0))))", "type mismatch"),
    ],
    ids=["maximum", "alignment", "memory", "type"],
)
def test_what_is_invalid(text: str, message: str) -> None:
    """What the validator refuses of the threads proposal (its 3.2 and 3.4)."""
    with pytest.raises(InvalidError, match=message):
        Instance(Module.from_bytes(wat(f"(module {text})")), limits=Limits())
