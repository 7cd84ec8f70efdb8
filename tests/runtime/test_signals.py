"""Signals while the main thread runs guests, each case in a process of its own: handlers run at once, nobody else's
signals go astray, a library that isn't asked touches nothing, and after a fork all of it works."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.build import wat
from tests.support.cache import ROOT
from tests.support.native import on_both

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are a matter of POSIX")

#: `spin` computes until its memory says stop; `wait` calls the host, which waits.
GUEST = """
(module
  (import "h" "nap" (func $nap))
  (memory (export "memory") 1)
  (func (export "spin") (result i32) (local $n i32)
    (loop $on
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $on (i32.eqz (i32.load8_u (i32.const 0)))))
    (i32.load8_u (i32.const 0)))
  (func (export "wait") (result i32) (call $nap) (i32.const 7)))
"""
SETUP = """
import os, select, signal, socket, sys, threading
from hostsdk import BlockingContext, Engine, EngineConfig, HostModule, Instance, Interrupt, Interrupted, Module
from hostsdk import Notifier, Suspended
if sys.platform == "linux":
    signal.alarm(100)  # a hang is a failure
tier, signals = sys.argv[1], sys.argv[2] == "True"
h = HostModule("h")
awake, seen = Notifier(), []
@h.restartable
def nap(ctx: BlockingContext[None]) -> None:
    ctx.block_until(lambda: bool(seen), wake=awake)
def make(**config):
    engine = Engine(EngineConfig(tier=tier, signals=signals, cache=None, trusted=True, **config))
    return Instance(module, [h], engine=engine)
def wakeup():
    fd = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(fd)
    return fd
def strike_when(ready, number=signal.SIGUSR1):
    def run():
        while not ready():
            select.select((), (), (), 0.002)
        os.kill(os.getpid(), number)
    threading.Thread(target=run, daemon=True).start()
def computing(inst):
    # The main thread is in the run: what it counts first is its own frame on the stack.
    main = threading.main_thread().ident
    return lambda: any(f.f_code.co_name == "_loop" for f in frames(sys._current_frames()[main]))
def frames(frame):
    while frame is not None:
        yield frame
        frame = frame.f_back
module = Module.from_bytes(bytes.fromhex(sys.argv[3]))
"""


def run(tier: str, script: str, *, signals: bool = True) -> str:
    """What a script says in a process of its own, with `inst` made on a tier."""
    command = [sys.executable, "-c", SETUP + script, tier, str(signals), wat(GUEST).hex()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


HANDLER_STOPS = """
inst = make()
def handler(number, frame):
    seen.append(number)
    if len(seen) == 3:
        inst.memory.write(0, b"\\5")
    else:
        strike_when(lambda: True)
signal.signal(signal.SIGUSR1, handler)
strike_when(computing(inst))
print(inst.call("spin"), len(seen), wakeup())
"""


@on_both
def test_handlers_run_while_the_guest_computes(tier: str) -> None:
    """A handler in Python runs at once in the midst of a guest's loop, three times, and the third ends the loop; then
    the wake-up descriptor is as it was."""
    assert run(tier, HANDLER_STOPS) == "5 3 -1"


INTERRUPT = """
inst, stop = make(), Interrupt()
signal.signal(signal.SIGUSR1, lambda number, frame: stop.set())
for turn in range(3):
    execution = execution if turn else inst.start("spin")
    strike_when(computing(inst))
    outcome = execution.run(interrupt=stop)
    assert isinstance(outcome, Suspended) and isinstance(outcome.reason, Interrupted), outcome
inst.memory.write(0, b"\\6")
print(execution.run(), wakeup())
"""


@on_both
def test_a_handlers_interrupt_is_heard(tier: str) -> None:
    """BEHAVIOURS 2: what a handler asks for, a guest that computes hears, each time, and it goes on from there."""
    assert run(tier, INTERRUPT) == "Returned(values=(6,)) -1"


CTRL_C = """
inst = make()
strike_when(computing(inst), signal.SIGINT)
try:
    inst.call("spin")
except KeyboardInterrupt:
    print("stopped", wakeup())
inst = make()
inst.memory.write(0, b"\\4")
print(inst.call("spin"))
"""


@on_both
def test_ctrl_c_ends_a_loop(tier: str) -> None:
    """Ctrl-C with Python's own handler: KeyboardInterrupt comes out of the call at once, and others work on."""
    assert run(tier, CTRL_C).splitlines() == ["stopped -1", "4"]


FOREIGN = """
near, far = socket.socketpair()
far.setblocking(False)
signal.set_wakeup_fd(far.fileno())
inst = make()
def handler(number, frame):
    seen.append(number)
    inst.memory.write(0, b"\\5")
    awake.notify()
signal.signal(signal.SIGUSR1, handler)
for name in ("spin", "wait"):
    seen.clear()
    strike_when(computing(inst))
    result = inst.call(name)
    near.settimeout(30)
    print(result, near.recv(10) == bytes([signal.SIGUSR1]), signal.set_wakeup_fd(far.fileno()) == far.fileno())
"""


@on_both
def test_a_foreign_listener_is_fed_and_restored(tier: str) -> None:
    """An event loop's own descriptor gets every signal that came while a guest computed or waited, and is put back."""
    assert run(tier, FOREIGN).splitlines() == ["5 True True", "7 True True"]


TAKEN = """
near, far = socket.socketpair()
far.setblocking(False)
inst = make()
def handler(number, frame):
    signal.set_wakeup_fd(far.fileno())
    inst.memory.write(0, b"\\5")
signal.signal(signal.SIGUSR1, handler)
strike_when(computing(inst))
print(inst.call("spin"), wakeup() == far.fileno())
"""


def test_who_takes_the_descriptor_meanwhile_keeps_it() -> None:
    """Set in the midst of a run by somebody else, it is theirs afterwards."""
    assert run("interpreter", TAKEN) == "5 True"


UNTOUCHED = """
inst, found = make(), []
def handler(number, frame):
    found.append(wakeup())
    seen.append(number)
    inst.memory.write(0, b"\\5")
    awake.notify()
signal.signal(signal.SIGUSR1, handler)
for name in ("spin", "wait"):
    seen.clear()
    strike_when((lambda: awake.waiters) if name == "wait" else computing(inst))
    inst.call(name)
print(set(found), wakeup(), [t.name for t in threading.enumerate() if "signals" in t.name])
"""


@on_both
def test_a_library_that_is_not_asked_touches_nothing(tier: str) -> None:
    """Without `signals=True`: no wake-up descriptor is set while a guest computes or waits, and no thread listens;
    handlers run all the same."""
    assert run(tier, UNTOUCHED, signals=False) == "{-1} -1 []"


FORK = """
near, far = socket.socketpair()
inst = make()
def handler(number, frame):
    seen.append(number)
    inst.memory.write(0, b"\\5")
signal.signal(signal.SIGUSR1, handler)
strike_when(computing(inst))
first = inst.call("spin")
inst.memory.write(0, b"\\0")
child = os.fork()
strike_when(computing(inst))
result = inst.call("spin")
if child == 0:
    os._exit(result + len(seen))
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
print(first, result, status, len(seen), wakeup())
"""


@on_both
def test_after_a_fork_both_hear(tier: str) -> None:
    """Forked between two calls: parent and child each hear their own signals and no other's."""
    assert run(tier, FORK) == "5 5 7 2 -1"


FORK_IN_HANDLER = """
inst, children = make(), []
def handler(number, frame):
    seen.append(number)
    if len(seen) == 1:
        children.append(os.fork())
        strike_when(lambda: True)
    else:
        inst.memory.write(0, b"\\5")
signal.signal(signal.SIGUSR1, handler)
strike_when(computing(inst))
result = inst.call("spin")
if children == [0]:
    os._exit(result + len(seen) + wakeup())
status = os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1])
print(result, status, len(seen), wakeup())
"""


@on_both
def test_a_fork_in_the_midst_of_a_run(tier: str) -> None:
    """Forked while a guest computes: both go on computing, and each hears its own signals."""
    assert run(tier, FORK_IN_HANDLER) == "5 6 2 -1"


FORK_ELSEWHERE = """
inst = make()
def handler(number, frame):
    inst.memory.write(0, b"\\5")
signal.signal(signal.SIGUSR1, handler)
status = []
def fork():
    while not computing(inst)():
        select.select((), (), (), 0.002)
    child = os.fork()
    if child == 0:
        mine = make()
        mine.memory.write(0, b"\\3")
        os._exit(mine.call("spin") + (wakeup() == -1))
    status.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    os.kill(os.getpid(), signal.SIGUSR1)
thread = threading.Thread(target=fork)
thread.start()
result = inst.call("spin")
thread.join()
print(result, status, wakeup())
"""


def test_a_fork_by_another_thread() -> None:
    """Forked by a thread while the main one runs a guest: the child, in which that thread is the main one, begins
    anew."""
    assert run("interpreter", FORK_ELSEWHERE) == "5 [4] -1"


SHAKEN = """
from runtime.exec.signals import POST
class Listener:
    def wake(self):
        pass
def shake():
    mine = Listener()
    try:
        POST.begin(mine, outermost=True)
    finally:
        POST.end(mine)
def handler(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, handler)
for _ in range(300):
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.001)
        while True:
            shake()
    except KeyboardInterrupt:
        pass
shake()
print(wakeup(), len(POST._running))
"""


def test_a_handler_may_raise_anywhere() -> None:
    """Handlers that raise at random, in the midst of beginnings and ends too: the next run leaves nothing behind."""
    assert run("interpreter", SHAKEN) == "-1 0"
