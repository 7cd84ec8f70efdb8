"""How machine code comes to be: IR that LLVM accepts, object files, pages of memory; and how it does without."""

from __future__ import annotations

import gc
import logging
import struct
import weakref
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import Engine, EngineConfig, Module, Trap
from runtime.features import Feature
from runtime.instr.index import BY_NAME
from runtime.instr.model import Immediate
from runtime.interp.tier import Interpreter
from runtime.llvm import backend, support
from runtime.llvm.abi import BlockLayout, Unsupported, signature_key
from runtime.llvm.builder import PREAMBLE
from runtime.llvm.code import ModuleCode
from runtime.llvm.function import emit
from runtime.llvm.loader import Calls, LoadError, link, load
from runtime.llvm.lower.registry import LOWERINGS
from runtime.llvm.product import GOOD
from runtime.llvm.tier import NativeTier
from runtime.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, FuncType
from tests.llvm.kernels import SOURCE
from tests.support.native import Native, c, code_of, engine, needs_native, text
from tests.support.spec import NO_SCRIPTS, spec_json, spec_scripts

ADD = '(func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))'


def test_every_row_has_a_lowering_or_is_left_out() -> None:
    """A new row of the instruction table either runs here or is known to stay with the interpreter."""
    typed = Feature.GC | Feature.FUNCTION_REFERENCES
    missing = {name for name, row in BY_NAME.items() if name not in LOWERINGS and not row.feature & typed}
    assert not missing
    assert LOWERINGS.keys() <= BY_NAME.keys()
    assert all(BY_NAME[name].immediate is not None for name in LOWERINGS)
    assert BY_NAME["nop"].immediate is Immediate.NONE


@needs_native
@pytest.mark.slow
@pytest.mark.spec
@pytest.mark.parametrize("script", spec_scripts() or [None], ids=lambda path: path.stem if path else "none")
def test_llvm_accepts_the_ir_of_all_spec_scripts(script: Path | None) -> None:
    """The IR is well-formed: LLVM doesn't check what it compiles, and ends the process over what is not."""
    if script is None:
        pytest.skip(NO_SCRIPTS)
    folder = spec_json(script).parent
    for path in sorted(folder.glob(f"{script.stem}*.wasm")):
        try:
            module = Module.load(path.read_bytes())
        except Exception:  # a script's bad module
            continue
        layout, parts, declared = BlockLayout(module), [PREAMBLE], dict[int, str]()
        for index in range(module.imported_funcs, len(module.env.funcs)):
            try:
                made = emit(layout, index, direct=True)
            except Unsupported:
                continue
            parts.append(made.text)
            declared.update(made.declared)
        backend.verify("".join([*parts, *declared.values()]))


@needs_native
def test_llvm_accepts_the_support_code() -> None:
    """The code that all modules share is well-formed, for any signature."""
    backend.verify(support.support_ir([support.COMMON]))
    every = (I32, I64, F32, F64, FUNCREF, EXTERNREF)
    for type_ in (FuncType(), FuncType(every * 3, every), FuncType((), (I64, F32))):
        backend.verify(support.support_ir([signature_key(type_)]))


@needs_native
def test_no_page_is_writable_and_executable() -> None:
    """Pages are written, then made executable, and never both at once."""
    before = _pages("wx")
    guest = Native(text(ADD))
    assert guest.call("add", 1, 2) == 3
    assert _pages("wx") <= before  # ctypes has one of its own
    code = code_of(guest)
    place = code.made[0] or 0
    assert any(start <= place < end for start, end in _pages("x"))


def _pages(rights: str) -> set[tuple[int, int]]:
    """Ranges of this process's memory that have all these rights."""
    found = set()
    for line in Path("/proc/self/maps").read_text().splitlines():
        place, has = line.split()[:2]
        if all(right in has for right in rights):
            start, _, end = place.partition("-")
            found.add((int(start, 16), int(end, 16)))
    return found


@needs_native
def test_code_goes_with_its_module() -> None:
    """When nobody has a module any more, its code and its instances' memory are given back."""
    module = Module.load(text('(memory 1) (func (export "f") (result i32) (i32.load (i32.const 0)))').data)
    guest = Native(module)
    assert guest.call("f") == 0
    code = next(iter(module.compiled.values()))
    assert isinstance(code, ModuleCode)
    gone = weakref.ref(code), weakref.ref(guest.instance)
    del guest, module, code
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


@needs_native
def test_a_call_is_of_a_function_that_there_is() -> None:
    """What an object file calls beyond the module's functions, or by another name, is an error of the loader."""
    made = emit(BlockLayout(text("(func $a (call $b)) (func $b)")), 0, direct=True)
    data = backend.compile_ir(PREAMBLE + "".join(made.declared.values()) + made.text, GOOD)
    assert load(data, Calls({}, 0, 2)).symbols.keys() == {"f0"}
    for calls in (Calls({}, 0, 1), None):
        with pytest.raises(LoadError):
            load(data, calls)
    with pytest.raises(LoadError):
        load(data.replace(b"\0c1\0", b"\0d1\0"), Calls({}, 0, 2))


@needs_native
def test_a_damaged_object_is_refused() -> None:
    """What is no object file of ours, cut off or changed, is an error of the loader and never a crash."""
    data = _object()
    assert load(data).symbols.keys() == {"f0"}
    for size in range(0, len(data) - 64, 37):
        with pytest.raises(LoadError):
            load(data[:size])


@needs_native
@given(st.integers(0, 1 << 16), st.integers(0, 255))
def test_linking_survives_any_byte(place: int, value: int) -> None:
    """One wrong byte gives an error or other bytes; nothing runs here."""
    data = bytearray(_object())
    data[place % len(data)] = value
    try:
        link(bytes(data))
    except (LoadError, ValueError, IndexError, OverflowError, MemoryError, struct.error):
        pass


def _object() -> bytes:
    return backend.compile_ir(PREAMBLE + emit(BlockLayout(text(ADD)), 0).text, 0)


@needs_native
def test_bad_ir_leaves_the_functions_to_the_interpreter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Where LLVM refuses, one line is logged, and the program runs all the same."""

    def refuse(text: str, level: int) -> bytes:
        raise backend.CompileError("no")

    module = Module.load(text(ADD).data)
    guest = Native(module)
    # What code of such functions needs beside itself is there already.
    assert Native(text(ADD)).call("add", 1, 2) == 3
    monkeypatch.setattr("runtime.llvm.build.compile_ir", refuse)
    with caplog.at_level(logging.WARNING):
        assert guest.call("add", 1, 2) == 3
        assert guest.call("add", 3, 4) == 7
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_without_llvmlite_the_interpreter_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """No llvmlite, no native tier: one clear line in the log, and everything works."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with caplog.at_level(logging.WARNING):
        made = Engine(EngineConfig(tier="native"))
    assert isinstance(made.tier, Interpreter)
    assert [record.getMessage() for record in caplog.records] == [
        "no native tier: llvmlite is not installed; the interpreter runs everything"
    ]


@needs_native
def test_the_configuration_chooses() -> None:
    """`tier` names the tier."""
    assert isinstance(Engine(EngineConfig(tier="native")).tier, NativeTier)
    assert isinstance(Engine(EngineConfig(tier="interpreter")).tier, Interpreter)


LARGE = """
  (memory (export "memory") 4 6) (table 3 funcref) (elem (i32.const 1) $a $b)
  (data (i32.const 7) "seven") (data (i32.const 262140) "last")
  (type $t (func (result i32)))
  (func $a (result i32) (i32.load8_u (i32.const 7)))
  (func $b (result i32) (i32.load8_u (i32.const 262143)))
  (func (export "of") (param i32) (result i32) (call_indirect (type $t) (local.get 0)))
  (func (export "put") (param i32) (i32.store8 (local.get 0) (i32.const 1)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))"""


@needs_native
def test_a_large_memory_has_its_place_from_the_beginning_once_there_is_code() -> None:
    """The second instance's memory isn't copied when its code first runs, and begins with the same bytes (spec
    4.5.4): nothing is left of the first one's."""
    module, using = text(LARGE), engine()
    first = Native(module, using=using)
    begin = bytes(first.instance.memories[0].data)
    assert first.instance.memories[0].region is None
    _try_large(first)
    second = Native(module, using=using)
    assert bytes(second.instance.memories[0].data) == begin
    region = second.instance.memories[0].region
    _try_large(second)
    assert region is not None
    assert second.instance.memories[0].region is region


def _try_large(guest: Native) -> None:
    assert (guest.call("of", 1), guest.call("of", 2)) == (ord("s"), ord("t"))
    with pytest.raises(Trap):
        guest.call("put", 4 << 16)
    assert [guest.call("grow", n) for n in (3, 2, 1)] == [-1, 4, -1]
    guest.call("put", (6 << 16) - 1)


@needs_native
def test_what_is_not_supported_stays_with_the_interpreter() -> None:
    """A function with an instruction that the tier lacks is interpreted, whole, and calls go both ways."""
    guest = Native(
        text("""
        (func $count (param i32 i32) (result i32)
          (if (result i32) (local.get 0)
            (then (drop (ref.i31 (local.get 0)))
              (return_call $count (i32.sub (local.get 0) (i32.const 1)) (call $step (local.get 1))))
            (else (local.get 1))))
        (func $step (param i32) (result i32) (i32.add (local.get 0) (i32.const 2)))
        (func (export "f") (param i32) (result i32) (call $count (local.get 0) (i32.const 0)))""")
    )
    assert guest.call("f", 100_000) == 200_000
    code = code_of(guest)
    assert [index for index, made in sorted(code.made.items()) if made is None] == [0]


@needs_native
def test_every_kernel_function_is_compiled() -> None:
    """Plain C has nothing that would be left to the interpreter."""
    guest = Native(c(SOURCE), using=engine())
    guest.call("fib", 3)
    code = code_of(guest)
    assert None not in code.made.values()
