"""Modules: loading in one step, look-ups by index, and bodies on demand."""

from __future__ import annotations

import hashlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from runtime.errors import InvalidError, LimitError, MalformedError, UnsupportedError
from runtime.features import AVAILABLE, MVP, Feature
from runtime.module import Module
from runtime.types import F64, FUNCREF, I32, FuncType, GlobalType, MemoryType, TableType

from ..support.build import wat
from ..support.raw import CODE, DATA, FUNC, GLOBAL, ONE_TYPE, TYPE, module, section, sized

_TEXT = """(module $guest
  (import "env" "f" (func $f (param i32)))
  (import "env" "m" (memory 1 3))
  (global (export "g") (mut f64) (f64.const 0))
  (table (export "t") 2 funcref)
  (func $run (export "run") (param i32) (result i32)
    (loop $again (br_if $again (local.get 0)))
    (call $f (local.get 0))
    (i32.add (local.get 0) (i32.const 1)))
  (func))"""

#: A body that is well-formed and invalid, and one that is malformed.
_INVALID, _MALFORMED = sized(b"\0\x1a\x0b"), sized(b"\0\xff\x0b")
_SIMD = sized(b"\0\xfd\x0c" + bytes(16) + b"\x1a\x0b")


def _with_bodies(*codes: bytes, after: bytes = b"") -> bytes:
    funcs = section(FUNC, *[b"\0"] * len(codes))
    return module(section(TYPE, ONE_TYPE), funcs, section(CODE, *codes)) + after


def test_what_a_module_needs_and_offers_is_typed() -> None:
    """Imports and exports in order, with their types; functions are looked up over imports and own alike."""
    guest = Module.load(wat(_TEXT))
    assert guest.import_types() == [("env", "f", FuncType((I32,))), ("env", "m", MemoryType(1, 3))]
    assert guest.export_types() == [
        ("g", GlobalType(F64, True)),
        ("t", TableType(FUNCREF, 2)),
        ("run", FuncType((I32,), (I32,))),
    ]
    assert [guest.func_type(i) for i in range(3)] == [FuncType((I32,)), FuncType((I32,), (I32,)), FuncType()]


def test_names_are_for_people() -> None:
    """From the name section where it has one, else the index."""
    guest = Module.load(wat(_TEXT))
    assert guest.name == "guest"
    assert [guest.func_name(i) for i in range(3)] == ["f", "run", "func[2]"]
    assert Module.load(module()).name is None


def test_the_hash_is_the_bytes() -> None:
    """The same bytes, from whatever buffer, have the same hash."""
    data = wat(_TEXT)
    assert Module.load(memoryview(data)).hash == Module.load(bytearray(data)).hash == hashlib.sha256(data).hexdigest()


def test_a_body_comes_with_its_check_points() -> None:
    """Layouts by index and by offset are the same; the offset is that of the instruction in the module's bytes."""
    guest = Module.load(wat(_TEXT))
    body = guest.body(1)
    code = body.code
    assert {layout.kind: pc for pc, layout in body.by_pc.items()} == {
        "entry": code.start - 1,
        "loop": code.start,
        "call": guest.data.index(b"\x10\x00", code.start),
    }
    assert all(body.by_pc[layout.pc] is layout for layout in body.layouts.values())
    assert [body.ops[index][0] for index in body.layouts if index >= 0] == [pc for pc in body.by_pc if pc >= code.start]


def test_a_body_is_made_once() -> None:
    """However many threads ask at the same time, all get the same object."""
    guest = Module.load(wat(_TEXT))
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(guest.body, [1] * 64))
    assert {id(body) for body in found} == {id(guest.body(1))}


@pytest.mark.parametrize("index", [-1, 0, 3])
def test_only_the_modules_own_functions_have_a_body(index: int) -> None:
    """An imported function, or none at all, is an IndexError."""
    with pytest.raises(IndexError):
        Module.load(wat(_TEXT)).body(index)


def test_every_body_is_checked_at_load() -> None:
    """The error names function and offset."""
    data = _with_bodies(sized(b"\0\x0b"), _INVALID)
    with pytest.raises(InvalidError) as caught:
        Module.load(data)
    assert (caught.value.func, caught.value.offset) == (1, len(data) - 2)


def test_a_lazy_load_leaves_bodies_for_later() -> None:
    """Everything else is checked at once; a bad body shows when it is asked for."""
    guest = Module.load(_with_bodies(_INVALID, _MALFORMED, sized(b"\0\x0b")), lazy=True)
    assert len(guest.body(2).ops) == 1
    with pytest.raises(InvalidError):
        guest.body(0)
    with pytest.raises(MalformedError):
        guest.body(1)
    bad_global = section(GLOBAL, b"\x7f\0\x42\0\x0b")
    with pytest.raises(InvalidError):
        Module.load(module(bad_global), lazy=True)


@pytest.mark.parametrize(
    "data",
    [
        _with_bodies(_INVALID, _MALFORMED),
        _with_bodies(_INVALID, after=section(DATA, b"\x07")),
        module(section(TYPE, ONE_TYPE), section(FUNC, b"\0"), section(GLOBAL, b"\x7f\0\x42\0\x0b"))
        + section(CODE, _MALFORMED),
    ],
)
def test_malformed_goes_before_invalid(data: bytes) -> None:
    """Bytes that are no module can't be invalid, wherever in them the two faults lie (spec 5, 3)."""
    with pytest.raises(MalformedError):
        Module.load(data)


def test_a_missing_feature_goes_before_invalid() -> None:
    """What looks invalid may be right with the feature, so that is what is said."""
    with pytest.raises(UnsupportedError, match="simd"):
        Module.load(_with_bodies(_INVALID, _SIMD), AVAILABLE & ~Feature.SIMD)
    with pytest.raises(UnsupportedError, match="multi-value"):
        Module.load(_with_bodies(sized(b"\0\x02\0\x0b\x0b")), MVP)


def test_the_size_is_limited() -> None:
    """Bytes, not elements, whatever the buffer; one byte more than allowed is too many."""
    data = wat(_TEXT)
    assert Module.load(data, max_size=len(data)).data == data
    message = re.escape(f"the module has {len(data)} bytes, {len(data) - 1} are allowed")
    with pytest.raises(LimitError, match=message):
        Module.load(memoryview(data), max_size=len(data) - 1)
