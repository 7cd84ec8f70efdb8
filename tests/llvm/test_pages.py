"""Pages of machine code as the system sees them: never writable and executable, and gone with their module. In a
process of its own, where nothing else comes and goes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.build import wat
from tests.support.native import needs_native

pytestmark = [needs_native, pytest.mark.skipif(sys.platform != "linux", reason="/proc/self/maps is Linux's")]

GUEST = """(module
  (import "h" "look" (func $look (result i32)))
  (memory (export "memory") 1)
  (func $down (param i32) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (call $look))
      (else (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)))))))
  (func (export "f") (param i32) (result i32)
    (i32.store (i32.const 8) (call $down (local.get 0))) (i32.load (i32.const 8))))"""

PROGRAM = """
import ctypes, gc, sys
from pathlib import Path
from runtime import Engine, EngineConfig, Interrupt, Module, Store, instantiate, Func, Suspended, control
from runtime.llvm.code import ModuleCode
from runtime.llvm.loader import Code
from tests.support.hosts import host, imports

data, signals = Path(sys.argv[1]).read_bytes(), sys.argv[2] == "guard"
both = []

def pages(rights):
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, has = line.split()[:2]
        if all(right in has for right in rights):
            start, _, end = place.partition("-")
            found.append((int(start, 16), int(end, 16), has))
    return found

def executable():
    return {at for start, end, _ in pages("x") for at in range(start, end, 4096)}

def run(using):
    # The module, an instance, a call that looks at the maps while it runs, and one that is suspended in the middle.
    @host("h", "look", "-> i32")
    def look(call):
        both.extend(pages("wx"))
        call.check()
        return (7,)
    module = Module.load(data)
    store = Store(using)
    instance = instantiate(store, module, imports(look))
    func = Func(instance.exports["f"], store)
    assert func.call(30) == 37
    for _ in range(2):
        stop = Interrupt()
        stop.set()
        suspended = func.start(30)
        assert isinstance(control.run(suspended, stop), Suspended)
        again = control.run(suspended)
        assert again.values == (37,)
    stop = Interrupt()
    stop.set()
    suspended = func.start(30)
    assert isinstance(control.run(suspended, stop), Suspended)
    codes = [each for each in module.compiled.values() if isinstance(each, ModuleCode)]
    made = [place for code in codes for place in [*code.made.values(), *code.points.values()] if place]
    assert made, "nothing was compiled"
    inside = executable()
    assert all(place & -4096 in inside for place in made)
    return {place & -4096 for place in made}, suspended

ctypes.CFUNCTYPE(None)(lambda: None)  # libffi may have a page for such things, which is no business of ours
writable = pages("wx")
using = Engine(EngineConfig(tier="native", trusted=True, cache=None, signals=signals))
run(using)  # the support code, which is the process's
gc.collect()
before = executable()
for _ in range(3):
    mine, suspended = run(using)
    assert mine <= executable(), "what is suspended keeps its code"
    del suspended
    gc.collect()
    left = executable() - before
    assert not mine & executable() - before, sorted(map(hex, mine & executable()))
    assert not left, sorted(map(hex, left))
assert set(both) | set(pages("wx")) <= set(writable), both
print("done")
"""


@pytest.mark.parametrize("how", ["bounds", "guard"])
def test_pages_are_never_writable_and_executable_and_go_with_their_module(tmp_path: Path, how: str) -> None:
    """While code runs no mapping is both; what is suspended keeps the code that it needs; and when nobody has a module
    or an execution of it any more, /proc/self/maps has none of its code."""
    path = tmp_path / "guest.wasm"
    path.write_bytes(wat(GUEST))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path), how], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
