"""Guard pages: traps as with bounds checks, and every other fault goes where it would have gone without us. Each case
has a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.build import wat
from tests.support.native import needs_native

pytestmark = needs_native

GUEST = """(module
  (import "h" "f" (func $f (param i32) (result i32)))
  (memory (export "memory") 1 3)
  (global $g (mut i32) (i32.const 0))
  (func $load (export "load") (param i32) (result i32)
    (i32.add (i32.load offset=100 (i32.add (local.get 0) (i32.const 5))) (i32.const 1)))
  (func (export "outer") (param i32) (result i32)
    (global.set $g (local.get 0))
    (i32.store8 (i32.const 9) (local.get 0))
    (global.set $g (i32.add (call $load (local.get 0)) (i32.const 1000)))
    (i32.store8 (i32.const 9) (i32.const 0))
    (global.get $g))
  (func (export "add") (param i32 i32) (local.get 0) (i32.add (i32.load (local.get 0)) (local.get 1)) (i32.store))
  (func (export "far") (param i32) (result i32) (i32.load8_u offset=4294967295 (local.get 0)))
  (func (export "wide") (param i32) (v128.store (local.get 0) (v128.const i64x2 -1 -1)))
  (func (export "two") (param i32) (result i32 f64) (i32.load (local.get 0)) (f64.load (local.get 0)))
  (func (export "many") (param i32) (result i32 i32 i32)
    (i32.load (local.get 0)) (i32.load (local.get 0)) (i32.load (local.get 0)))
  (func (export "host") (param i32) (result i32) (i32.load (call $f (local.get 0))))
  (func (export "loop") (param i32) (result i32)
    (loop (br_if 0 (i32.lt_u (i32.load8_u (local.tee 0 (i32.add (local.get 0) (i32.const 1)))) (i32.const 7))))
    (local.get 0))
  (func (export "tail") (param i32) (result i32) (return_call $load (local.get 0)))
  (func (export "g") (result i32) (global.get $g))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"""

#: What each process begins with. `guest()` gives functions by name; `trap` calls one and tells of its trap.
BEGIN = """
import ctypes, faulthandler, os, signal, sys, threading
from pathlib import Path
from runtime import Engine, EngineConfig, Func, Module, Store, Trap, instantiate
from tests.support.hosts import host, imports
data = Path(sys.argv[1]).read_bytes()

class Guest:
    def __init__(self, f=lambda call, x: x, guard=True):
        config = EngineConfig(tier="native", trusted=True, cache=Path(sys.argv[2]), signals=guard)
        self.store = Store(Engine(config))
        made = host("h", "f", "i32 -> i32")(lambda call: (f(call, call.args[0]),))
        self.instance = instantiate(self.store, Module.load(data), imports(made))
        self.memory = self.instance.memories[0]
    def call(self, name, *args):
        return Func(self.instance.exports[name], self.store).call(*args)
    def trap(self, name, *args):
        try:
            return self.call(name, *args)
        except Trap as trap:
            return trap.code.name, tuple([(line.name, line.offset) for line in trap.backtrace])

def check(guest):
    assert guest.memory.region is None or guest.memory.region.guarded
    assert guest.trap("load", -8)[0] == "OUT_OF_BOUNDS_MEMORY"
    assert guest.trap("load", 0) == 1
    assert guest.memory.region.guarded
"""


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The guest, and a folder for code, so that one process alone has to compile."""
    folder = tmp_path_factory.mktemp("guard")
    (folder / "guest.wasm").write_bytes(wat(GUEST))
    (folder / "code").mkdir(mode=0o700)
    return [str(folder / "guest.wasm"), str(folder / "code")]


def run(kept: list[str], source: str, *, expected: int = 0) -> str:
    """What a process printed on both outputs; it ends as `expected`."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + source, *kept], capture_output=True, text=True, timeout=120, check=False,
        cwd=Path(__file__).parent.parent.parent,
    )  # fmt: skip
    assert done.returncode == expected, done.stderr
    return done.stdout + done.stderr


SAME = """
cases = [("load", 0), ("load", -8), ("load", 65427), ("load", 65428), ("outer", 65427), ("outer", 65428), ("g",),
    ("add", 65532, 3), ("add", 65533, 3), ("far", 0), ("far", -1), ("wide", 65520), ("wide", 65521), ("two", 65528),
    ("two", 65529), ("two", 65533), ("many", 65532), ("many", 65533), ("host", 65532), ("host", 65533), ("loop", 9),
    ("tail", 0), ("tail", -8), ("tail", 65428),
    ("grow", 1), ("load", 65428), ("outer", 131000), ("add", 65533, 3), ("loop", 70000), ("grow", 2), ("grow", 1),
    ("wide", 131071), ("loop", 130000), ("g",)]
told = []
for guard in (False, True):
    guest = Guest(guard=guard)
    told.append([(case, guest.trap(*case), bytes(guest.memory.data), guest.call("g")) for case in cases])
    assert guest.memory.region.guarded is guard
assert repr(told[0]) == repr(told[1])
assert sum(isinstance(each[1], tuple) and each[1][0] == "OUT_OF_BOUNDS_MEMORY" for each in told[0]) > 8
"""


def test_traps_are_those_of_bounds_checks(kept: list[str]) -> None:
    """What was done before a trap, its place, its backtrace and all results are the same either way (spec 4.4.7)."""
    run(kept, SAME)


THREADS = """
guests = [Guest() for _ in range(4)]
for guest in guests: check(guest)
wrong = []
def work(guest):
    for i in range(100):
        if guest.trap("load", -8 - 4 * i)[0] != "OUT_OF_BOUNDS_MEMORY" or guest.trap("loop", 9)[0][:3] != "OUT":
            wrong.append(i)
    if ctypes.pythonapi.PyGILState_Check() != 1: wrong.append("lock")
for size in (0, 131072):
    threading.stack_size(size)
    threads = [threading.Thread(target=work, args=(guest,)) for guest in guests]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
assert not wrong, wrong
nested = Guest(lambda call, x: guests[0].trap("load", -8)[1][0][1])
place = nested.call.__self__ and guests[1].trap("load", -8)[1][0][1]
assert nested.trap("host", 1) == 0 and place
child = os.fork()
if not child:
    try:
        check(guests[0]); check(Guest())
    except BaseException: os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
for guest in guests: check(guest)
"""


def test_threads_small_stacks_nesting_and_forks(kept: list[str]) -> None:
    """A trap is met in any thread, with a stack of 128 KB too, beneath a host function, and in a process forked off."""
    run(kept, THREADS)


FOREIGN = 'guest = Guest(); check(guest); print("ready", flush=True)\n'
FAULTS = {
    "fault": "ctypes.string_at(8)",
    "kill": "os.kill(os.getpid(), signal.SIGSEGV); print('alive')",
    "guard": "ctypes.string_at(guest.memory.region.base + (1 << 32))",
    "host": "Guest(lambda call, x: ctypes.string_at(guest.memory.region.base + (1 << 31))[0]).call('host', 1)",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_foreign_fault_ends_the_process(kept: list[str], fault: str) -> None:
    """A fault outside of the guest's code, one that somebody sent, and a host's own access of a guard page are no
    traps."""
    printed = run(kept, FOREIGN + FAULTS[fault], expected=-signal.SIGSEGV)
    assert "ready" in printed
    assert "alive" not in printed


@pytest.mark.parametrize("order", ["before", "after", "between"])
def test_faulthandler_keeps_what_is_its_own(kept: list[str], order: str) -> None:
    """Python's own handler, switched on before us or at any time after, reports what is foreign, and that alone."""
    on = "faulthandler.enable()\n"
    source = {
        "before": on + FOREIGN + "check(guest)\n",
        "after": FOREIGN + on + "check(guest); check(Guest())\n",
        "between": FOREIGN + on + "faulthandler.disable()\n" * 3 + on + "check(guest)\n" + on + "check(guest)\n",
    }[order]
    printed = run(kept, source + "print('traps', flush=True); ctypes.string_at(8)", expected=-signal.SIGSEGV)
    before, _, after = printed.partition("traps")
    assert "Segmentation fault" not in before
    assert "Segmentation fault" in after


PYTHON = """
seen = []
signal.signal(signal.SIGSEGV, lambda *args: seen.append(args[0]))
check(guest)
os.kill(os.getpid(), signal.SIGSEGV)
assert seen == [signal.SIGSEGV]
signal.signal(signal.SIGSEGV, signal.SIG_IGN)
check(Guest())
os.kill(os.getpid(), signal.SIGSEGV)
check(guest)
"""


def test_a_signal_that_was_sent_goes_to_whoever_has_it(kept: list[str]) -> None:
    """A handler of Python's that was there before us is called, and a signal that is ignored stays so."""
    source = PYTHON.replace("check(guest)\n", "", 1)
    run(kept, source.replace("check(Guest())", "guest = Guest(); check(guest)") + "assert seen == [signal.SIGSEGV]")


WASMTIME = """
import wasmtime
def other():
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, data)
    kind = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()])
    exports = wasmtime.Instance(store, module, [wasmtime.Func(store, kind, lambda x: x)]).exports(store)
    def call():
        try: exports["load"](store, -8)
        except wasmtime.Trap as trap: assert "out of bounds" in str(trap)
        else: raise AssertionError
    return call
"""


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.skipif(find_spec("wasmtime") is None, reason="wasmtime is not installed")
def test_wasmtime_in_the_same_process(kept: list[str], first: bool) -> None:
    """Another runtime that has a handler of its own, installed before ours or after: both have their traps."""
    parts = ["theirs = other(); theirs()\n", "guest = Guest(); check(guest)\n"]
    source = WASMTIME + "".join(parts if first else parts[::-1])
    source += "for _ in range(3): theirs(); check(guest); check(Guest())\n"
    run(kept, source + "faulthandler.enable(); check(Guest()); check(guest); print('ok')")
    run(kept, source + "ctypes.string_at(8)", expected=-signal.SIGSEGV)


FALLBACK = """
from runtime.llvm import guard
guests = [Guest()]
check(guests[0])
free = guard._Here.guard._ranges._free
while len(free) > 1: free.pop()
guests.append(Guest()); check(guests[1])
last = Guest()
assert last.trap("load", -8)[0] == "OUT_OF_BOUNDS_MEMORY" and not last.memory.region.guarded
assert last.trap("load", -8) == guests[0].trap("load", -8)
import gc
before = len(free)
del guests[1]
gc.collect()
assert len(free) == before + 1
"""


def test_where_no_range_is_left_bounds_are_checked(kept: list[str]) -> None:
    """There is a limit to memories with guard pages; those beyond it check their bounds, and a range is given back."""
    run(kept, FALLBACK)


def test_random_programs_trap_in_the_same_places() -> None:
    """The instruction and all frames of a trap are those that the interpreter tells, by either way of compiling."""
    command = [sys.executable, "-m", "tests.llvm.places", "0", "6"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3


QUIET = """
def caught():
    return int(Path("/proc/self/status").read_text().split("SigCgt:")[1].split()[0], 16) >> signal.SIGSEGV - 1 & 1
guest = Guest(guard=False)
assert guest.trap("load", -8)[0] == "OUT_OF_BOUNDS_MEMORY"
assert not guest.memory.region.guarded and not caught()
check(Guest())
assert caught() and "llvmlite" not in sys.modules
"""


def test_no_signal_is_touched_unasked_and_kept_code_needs_no_llvm(kept: list[str]) -> None:
    """Without `signals=True` no handler is installed; and the handler is kept as other code is."""
    run(kept, SAME)
    run(kept, QUIET)


LARGE = """
from tests.support.build import wat
data = wat("(module (memory (export \\"memory\\") 4 6) (data (i32.const 7) \\"seven\\")"
    " (func (export \\"load\\") (param i32) (result i32) (i32.load8_u (local.get 0))))")
made = Module.load(data)
class Module:
    load = staticmethod(lambda data: made)
Guest().call("load", 7)
guest = Guest()
assert guest.memory.region.guarded
assert guest.call("load", 7) == ord("s")
assert guest.trap("load", 4 << 16)[0] == "OUT_OF_BOUNDS_MEMORY"
"""


def test_a_large_memory_has_guard_pages_from_the_beginning_once_there_is_code(kept: list[str]) -> None:
    """A place that is found when the instance is made has what its module's code counts on."""
    run(kept, LARGE)
