"""Machine code of what is hot: made while the guest runs on, in a process that may fail, and left for better code."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import runtime
from runtime import EngineConfig, Every, Exited, Interrupt, Interrupted, Returned, Suspended, control, lean
from runtime.engine import Engine
from runtime.llvm import guard
from runtime.llvm.background import Awaited, Background, Lane
from runtime.llvm.choice import HOT
from runtime.llvm.code import ModuleCode
from runtime.llvm.process import START, NoProcess, Process
from runtime.llvm.product import GOOD, QUICK, Damaged, Order, Product, unpack
from runtime.llvm.support import COMMON
from runtime.llvm.tier import NativeTier
from tests.llvm.kernels import CALLS, SOURCE
from tests.support.hosts import Call, Results, host, imports
from tests.support.native import EAGER, INTERPRETERS, Native, c, code_of, engine, needs_native, text
from tests.support.waits import PATIENCE, in_thread

pytestmark = needs_native

SUM = """(func $half (param i32) (result i32) (i32.shr_u (local.get 0) (i32.const 1)))
    (func $odd (param i32) (result i32) (i32.and (local.get 0) (i32.const 1)))
    (func (export "sum") (param i32) (result i32) (local i32)
      (loop $l
        (local.set 1 (i32.add (local.get 1) (i32.add (call $half (local.get 0)) (call $odd (local.get 0)))))
        (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
      (local.get 1))"""


def expected(n: int) -> int:
    return sum(i // 2 + i % 2 for i in range(1, n + 1))


@pytest.fixture
def maker() -> Iterator[Background]:
    made = Background()
    yield made
    for lane in made.lanes.values():
        lane.close()


def late(maker: Background, levels: tuple[int, ...] = (QUICK, GOOD)) -> Engine:
    """An engine that makes code in the background, of everything."""
    made = Engine(EngineConfig(tier="interpreter"))
    policy = lean.evolve(EAGER, calls=2, turns=2, at_once=False, levels=levels)
    object.__setattr__(made, "tier", NativeTier(INTERPRETERS, policy, maker))
    return made


def test_hot_functions_are_compiled_in_a_process_of_their_own(maker: Background) -> None:
    """The first call is the interpreter's; later ones run machine code, of both levels, and give the same."""
    guest = Native(text(SUM), using=late(maker))
    assert guest.call("sum", 1000) == expected(1000)
    maker.wait()
    codes = code_of(guest)
    assert all(codes.made.get(index) for index in (0, 1))
    assert guest.call("sum", 5000) == expected(5000)
    maker.wait()
    assert guest.call("sum", 77) == expected(77)
    assert all(maker.lanes[level].process.running for level in (QUICK, GOOD))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "amount"), CALLS)
def test_programs_change_to_machine_code_at_any_moment(maker: Background, name: str, amount: int) -> None:
    """Wherever new code comes in the midst of a run, suspended again and again, the result is the same."""
    module = c(SOURCE)
    plain = Native(module, using=Engine(EngineConfig(tier="interpreter")))
    undisturbed = plain.outcome(name, amount), plain.picture()
    using = late(maker)
    for every in (1, 3, 8, 21):
        guest = Native(module, using=using, injector=Every(every))
        assert (guest.outcome(name, amount), guest.picture()) == undisturbed
    maker.wait()
    guest = Native(module, using=using)
    assert (guest.outcome(name, amount), guest.picture()) == undisturbed


#: A compiler whose LLVM ends the process over function 1.
FATAL = START.replace(
    "main(int",
    """
import runtime.llvm.build as b; e = b.emit
def emit(layout, index, *rest):
    made = e(layout, index, *rest)
    if index != 1: return made
    return type(made)('declare i64 @llvm.read_register.i64(metadata)\\n!99 = !{{!"no such"}}\\ndefine i64 @f1() '
      '{{ %1 = call i64 @llvm.read_register.i64(metadata !99) ret i64 %1 }}', False)
b.emit = emit
main(int""",
)


def test_a_fatal_error_of_llvm_costs_speed_alone(maker: Background, caplog: pytest.LogCaptureFixture) -> None:
    """LLVM ends the compiler's process: the function stays with the interpreter, the others get their code."""
    for level in (QUICK, GOOD):
        maker.lanes[level].process = Process(level, FATAL)
    guest = Native(text(SUM), using=late(maker))
    with caplog.at_level(logging.WARNING):
        assert guest.call("sum", 100) == expected(100)
        maker.wait()
        assert guest.call("sum", 100) == expected(100)
        maker.wait()
    codes = code_of(guest)
    assert codes.made[0]
    assert codes.made[1] is None
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    assert any("ended" in record.getMessage() for record in caplog.records)


def test_a_lane_takes_orders_from_whoever_holds_a_modules_code(
    maker: Background, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick lane installs code, holding the module's, and orders the better form of it; the good lane, about to
    make something of the same module, needs what the other holds, and must not hold what the other needs."""
    guest = Native(text(SUM), using=late(maker, (GOOD,)))
    codes, lane, begun = code_of(guest), maker.lanes[GOOD], threading.Event()
    ready = codes.ready

    def say_and_wait(order: Order) -> Order:
        begun.set()
        return ready(order)

    monkeypatch.setattr(codes, "ready", say_and_wait)
    with codes._lock:
        lane.put(codes, Order(GOOD, (0,)))
        assert begun.wait(PATIENCE)
        in_thread(lambda: lane.put(codes, Order(GOOD, (1,)))).result(PATIENCE)
    assert lane.wait(PATIENCE)
    assert codes.has(0)
    assert codes.has(1)


def test_without_a_process_the_compiler_works_in_this_one(
    maker: Background, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where no process can be started, one line says so, and there is machine code all the same."""

    def refuse(self: Process) -> None:
        raise NoProcess("none here")

    monkeypatch.setattr(Process, "_start", refuse)
    guest = Native(text(SUM), using=late(maker, (QUICK,)))
    with caplog.at_level(logging.WARNING):
        assert guest.call("sum", 1000) == expected(1000)
        maker.wait()
    assert guest.call("sum", 1000) == expected(1000)
    assert code_of(guest).made.get(0)
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
        "the compiler has no process of its own"
    ]


def test_an_emitter_that_fails_leaves_the_function_to_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours in making code is one line in the log."""

    def fail(*args: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr("runtime.llvm.build.emit", fail)
    guest = Native(text(SUM + " (func)"))
    with caplog.at_level(logging.WARNING):
        assert guest.call("sum", 10) == expected(10)
    assert len(caplog.records) == 1
    assert "KeyError" in caplog.text


def test_a_signal_handler_runs_while_machine_code_does() -> None:
    """A handler of Python's runs although the main thread is in an endless loop of machine code; no signal state of
    the process has been touched for that."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals come to the main thread")
    interrupt = Interrupt()

    @host("h", "go", "->")
    def go(call: Call) -> Results:
        threading.Thread(target=os.kill, args=(os.getpid(), signal.SIGUSR1)).start()
        return ()

    guest = Native(text('(import "h" "go" (func $go)) (func (export "f") (call $go) (loop $l (br $l)))'), imports(go))
    before = signal.signal(signal.SIGUSR1, lambda *_: interrupt.set())
    try:
        outcome = control.run(guest.func("f").start(), interrupt)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert isinstance(outcome, Suspended)
    assert isinstance(outcome.reason, Interrupted)


def test_running_code_is_left_for_better_code() -> None:
    """Code that has gone on at a loop is left when better code for that loop has come, and the result is the same."""
    source = """(import "h" "step" (func $step (param i32)))
      (func (export "f") (param i32) (result i32) (local i32)
        (loop $l
          (call $step (local.get 0))
          (local.set 1 (i32.add (local.get 1) (local.get 0)))
          (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (local.get 1))"""
    from runtime.llvm.build import build

    @host("h", "step", "i32 ->")
    def step(call: Call) -> Results:
        codes = code_of(guest)
        if call.args[0] == 50:
            (point,) = [pc for pc, code in codes.points.items() if code]
            assert codes.installed is not None
            codes.add(build(codes.installed.layout, Order(GOOD, (), ((1, point),))))
        return ()

    guest = Native(text(source), imports(step), using=engine(policy=lean.evolve(EAGER, at_once=False, turns=3)))
    assert guest.outcome("f", 100) == Returned((5050,))
    assert guest.store.counters.restarts["loop"] == 1


def test_a_fork_goes_on(maker: Background) -> None:
    """In a process forked off, calls run on, and what is hot there is compiled by a process of its own."""
    guest = Native(text(SUM), using=late(maker))
    assert guest.call("sum", 1000) == expected(1000)
    maker.wait()
    pid = os.fork() if sys.version_info < (3, 12) else pytest.skip("Python warns of every fork beside threads")
    if pid == 0:
        status = 1
        try:
            other = Native(text(SUM + " (func)"), using=late(maker))
            good = guest.call("sum", 2000) == expected(2000) and other.call("sum", 100) == expected(100)
            maker.wait()
            good = good and other.call("sum", 100) == expected(100) and code_of(other).made.get(0) is not None
            status = 0 if good else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert guest.call("sum", 3000) == expected(3000)


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="Python warns of every fork beside threads")
def test_a_fork_leaves_no_lock_of_a_hidden_thread_locked(maker: Background) -> None:
    """The compiler's thread and the beat's may be anywhere when a process is forked: in the child, where they are not,
    nobody waits for them."""
    guest = Native(text(SUM), using=late(maker))
    guest.call("sum", 1000)
    maker.wait()
    code, held, done = code_of(guest), threading.Event(), threading.Event()

    def hold() -> None:
        with code._lock, guard._Here.lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            free = code._lock.acquire(blocking=False) and guard._Here.lock.acquire(blocking=False)
            status = 0 if free else 2
        finally:
            os._exit(status)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


@pytest.mark.parametrize("ask", ["interrupt", "exit"])
def test_who_waits_for_the_compiler_is_called_back_at_once(ask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `tier="native"` a call waits for its code, but not where somebody wants it back: that is told while the
    compiler is still at work, and the execution goes on as ever."""
    busy, go = threading.Event(), threading.Event()
    make = Lane._make

    def slow(self: Lane, code: ModuleCode, order: Order) -> Product | None:
        busy.set()
        assert go.wait(PATIENCE)
        return make(self, code, order)

    monkeypatch.setattr(Lane, "_make", slow)
    maker = Awaited()
    try:
        guest = Native(text(SUM), using=engine(maker=maker))
        stop, ctx = Interrupt(), guest.func("sum").start(1000)
        running = in_thread(lambda: control.run(ctx, stop))
        assert busy.wait(PATIENCE)
        if ask == "exit":
            ctx.requests.exit(3)
            assert running.result(PATIENCE) == Exited(3)
        else:
            stop.set()
            outcome = running.result(PATIENCE)
            assert isinstance(outcome, Suspended)
            assert outcome.reason == Interrupted(stop)
        assert not ctx.requests.cells
        go.set()
        if ask == "interrupt":
            assert control.run(ctx) == Returned((expected(1000),))
        maker.wait()
        assert guest.call("sum", 1000) == expected(1000)
        assert code_of(guest).has(0)
    finally:
        go.set()
        for lane in maker.lanes.values():
            lane.close()


@pytest.mark.parametrize("step", ["add", "want_rest", "connect"])
def test_what_fails_after_compiling_ends_no_lane(
    step: str, maker: Background, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A fault of ours in the compiler's thread is logged, the guest runs on, and nobody waits in vain."""

    def fail(*args: object) -> None:
        raise RuntimeError("of ours")

    monkeypatch.setattr(ModuleCode, step, fail)
    guest = Native(text(SUM), using=late(maker))
    for _ in range(3):
        assert guest.call("sum", 100) == expected(100)
        assert all(maker.lanes[level].wait(PATIENCE) for level in sorted(maker.lanes))
    assert "of ours" in caplog.text
    monkeypatch.undo()
    other = Native(text(SUM + " (func) (func)"), using=late(maker))
    for _ in range(3):
        assert other.call("sum", 100) == expected(100)
        assert all(maker.lanes[level].wait(PATIENCE) for level in sorted(maker.lanes))
    assert code_of(other).has(0)


def test_instances_may_come_while_code_is_installed() -> None:
    """Other threads make instances at any moment, also while those that are there are given code."""
    module = text(SUM)
    made = [Native(module, using=engine())]
    made[0].call("sum", 10)
    code = code_of(made[0])
    coming = iter([Native(module, using=engine()) for _ in range(40)])

    def come(frame: FrameType, event: str, arg: object) -> Any:
        if "weakref" in frame.f_code.co_filename and (other := next(coming, None)) is not None:
            sys.settrace(None)
            other.call("sum", 10)
            made.append(other)
            sys.settrace(come)
        return come

    before = sys.gettrace()
    sys.settrace(come)
    try:
        for _ in range(5):
            found = code.images
            assert all(image.code is code for image in found)
    finally:
        sys.settrace(before)
    assert len(made) > 5
    assert {image.instance for image in code.images} >= {each.instance for each in made if code_of(each) is code}


def test_products_are_what_they_were() -> None:
    """A product comes back from its bytes; bytes that were changed or cut off are refused."""
    product = Product(
        Order(GOOD, (1, 2), ((1, 77),), ("i_l",)),
        b"code",
        (b"more", b"", b"most"),
        frozenset([2]),
        Order(0, (2,)),
        "no such thing",
    )
    data = product.pack()
    assert unpack(data) == product
    for wrong in (data[:-1], data + b"x", data.replace(b"code", b"cede"), b"", data[:20]):
        with pytest.raises(Damaged):
            unpack(wrong)


def test_the_default_weighs() -> None:
    """Engines make machine code of what is hot, and of nothing in executions whose check points are counted."""
    tier = Engine(EngineConfig()).tier
    assert isinstance(tier, NativeTier)
    assert tier.policy is HOT
    assert not tier.policy.injected


def test_an_interrupt_that_is_not_set_keeps_nobody_from_machine_code() -> None:
    """The command gives every call an interrupt in its level form: only when it is set do check points count."""
    interrupt = Interrupt(level=True)
    policy = lean.evolve(EAGER, injected=False)
    guest = Native(text(SUM), using=engine(policy=policy))
    assert control.run(guest.func("sum").start(100), interrupt) == Returned((expected(100),))
    assert any(code_of(guest).made.values())


def test_the_compiler_finds_a_package_that_is_not_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """An editable installation is found by a hook, which a fresh Python without its site folder doesn't have."""
    root = Path(runtime.__file__).parents[1]
    monkeypatch.setattr(sys, "path", [each for each in sys.path if each and Path(each).resolve() != root])
    process = Process(QUICK)
    try:
        product = process.make(text(SUM), Order(QUICK, (2,), (), (COMMON,)))
    finally:
        process.end()
    assert product.code
    assert not product.fault
