"""From a module to an instance: spec 4.5.4."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.errors import LimitError, Trap, TrapCode, UnlinkableError
from runtime.instances.budget import Budget
from runtime.instances.func import HostFunc, WasmFunc
from runtime.instances.instance import Extern, Instance
from runtime.instances.memory import MemInst
from runtime.instances.small import GlobalInst
from runtime.instances.table import TableInst
from runtime.limits import PAGE, Limits
from runtime.linking.imports import Imports, resolve
from runtime.linking.instantiate import allocate, initialise, instantiate
from runtime.module import Module
from runtime.types import FUNCREF, I32, I64, FuncType, GlobalType, MemoryType, TableType
from tests.support.build import wat
from tests.support.guests import Guest
from tests.support.native import on_both


class _Code:
    """Host code that is never entered."""

    module = "m"
    name = "f"
    version = 1
    accepts: tuple[int, ...] = ()

    def enter(self, border: Any, caller: Instance | None, args: tuple[object, ...], frame: Any) -> Any:
        raise AssertionError("no test here calls it")

    def drop(self, border: Any, frame: Any) -> None:
        raise AssertionError("no test here calls it")


_HOST = HostFunc(FuncType((I32,), (I32,)), _Code())


def _module(text: str) -> Module:
    return Module.load(wat(f"(module {text})"))


def _instance(text: str, imports: Imports | None = None, limits: Limits | None = None) -> Instance:
    return instantiate(_module(text), imports or {}, limits or Limits()).instance


def _global(instance: Instance, name: str) -> object:
    found = instance.exports[name]
    assert isinstance(found, GlobalInst)
    return found.value


# Imports


def test_externs_come_in_the_order_of_the_imports() -> None:
    """Imports are looked up by module and name, in a mapping or by a function."""
    module = _module("""
      (import "a" "g" (global i32)) (import "b" "f" (func (param i32) (result i32))) (import "a" "m" (memory 1))
    """)
    number = GlobalInst(GlobalType(I32), 7)
    memory = MemInst.allocate(MemoryType(1), Budget(PAGE))
    there: dict[str, dict[str, Extern]] = {"a": {"g": number, "m": memory, "unused": memory}, "b": {"f": _HOST}}
    want = [number, _HOST, memory]
    assert resolve(module, there) == want
    assert resolve(module, lambda module, name: there[module][name]) == want


def test_all_missing_imports_are_named() -> None:
    """An unresolved import is an error that names every missing one, with what it should have been."""
    module = _module("""
      (import "a" "x" (func (param i32))) (import "a" "here" (func (param i32) (result i32)))
      (import "a" "y" (memory 1 2)) (import "b" "z" (global (mut i64))) (import "a" "x" (func (param i32)))
    """)
    with pytest.raises(UnlinkableError) as caught:
        resolve(module, {"a": {"here": _HOST}})
    assert caught.value.missing == (("a", "x"), ("a", "y"), ("b", "z"))
    assert str(caught.value) == (
        "unknown import: a.x (function (i32) -> ()), a.y (memory with limits 1..2 pages), b.z (mutable global i64)"
    )


@pytest.mark.parametrize(
    ("want", "have", "message"),
    [
        ("(func (param i64) (result i32))", _HOST, "function (i64) -> (i32)"),
        ("(memory 1)", _HOST, "memory with limits 1.. pages"),
        ("(memory 2)", MemInst.allocate(MemoryType(1), Budget(PAGE)), "memory with limits 1.. pages"),
        ("(memory 1 2)", MemInst.allocate(MemoryType(1, 3), Budget(PAGE)), "memory with limits 1..3 pages"),
        ("(table 1 externref)", TableInst.allocate(TableType(FUNCREF, 1), None, Budget(1)), "table of funcref"),
        ("(global i32)", GlobalInst(GlobalType(I32, mutable=True), 1), "mutable global i32"),
        ("(global i32)", GlobalInst(GlobalType(I64), 1), "immutable global i64"),
    ],
)
def test_imports_of_a_wrong_type_are_refused(want: str, have: Extern, message: str) -> None:
    """An extern that does not match is unlinkable; the message tells both types."""
    with pytest.raises(UnlinkableError, match=r"incompatible import type: m\.x") as caught:
        resolve(_module(f'(import "m" "x" {want})'), {"m": {"x": have}})
    assert message in str(caught.value)
    assert caught.value.missing == ()


def test_a_grown_memory_matches_by_its_size() -> None:
    """Matching looks at the current size (spec 3.3.10)."""
    exporter = _instance('(memory (export "m") 1 4)')
    module = _module('(import "m" "m" (memory 2 4))')
    with pytest.raises(UnlinkableError):
        resolve(module, {"m": exporter.exports})
    assert exporter.mem is not None
    exporter.mem.grow(1)
    assert resolve(module, {"m": exporter.exports}) == [exporter.mem]


# Allocation


def test_an_instance_has_everything_in_its_place() -> None:
    """Index spaces begin with the imports; exports are the instances themselves."""
    number = GlobalInst(GlobalType(I32), 7)
    instance = _instance(
        """
        (import "m" "f" (func $f (param i32) (result i32))) (import "m" "g" (global i32))
        (func $own (export "own")) (func (export "again") (param i64))
        (memory (export "mem") 2 3) (table (export "tab") 4 funcref) (global (export "glob") f32 (f32.const 0.5))
        (export "f" (func $f)) (elem funcref (ref.func $own)) (data "abc")
        """,
        {"m": {"f": _HOST, "g": number}},
    )
    own = instance.funcs[1]
    assert isinstance(own, WasmFunc)
    assert (own.instance, own.type, own.code.index) == (instance, FuncType(), 1)
    assert instance.exports["f"] is _HOST
    assert instance.exports["own"] is own
    assert instance.exports["mem"] is instance.mem is instance.memories[0]
    assert instance.memories[0].type == MemoryType(2, 3)
    assert instance.tables[0].type == TableType(FUNCREF, 4)
    assert instance.tables[0].elems == [None] * 4
    assert instance.globals[0] is number
    assert _global(instance, "glob") == 0.5
    assert instance.elems[0].items == (own,)
    assert instance.datas[0].data == b"abc"


def test_constant_expressions_are_evaluated() -> None:
    """Constants, references, earlier globals and wrapping arithmetic (spec 4.4.14, extended-const)."""
    number = GlobalInst(GlobalType(I32), 7)
    instance = _instance(
        """
        (import "m" "g" (global $g i32)) (func $f)
        (global (export "a") i32 (i32.sub (i32.const 5) (global.get $g)))
        (global (export "b") i64 (i64.mul (i64.const -3) (i64.add (i64.const 1) (i64.const 1))))
        (global $c (export "c") i32 (i32.add (i32.const -1) (i32.const 1)))
        (global (export "d") i32 (i32.mul (global.get $c) (global.get $g)))
        (global (export "e") funcref (ref.func $f)) (global (export "h") externref (ref.null extern))
        (global (export "i") f64 (f64.const -0.0))
        """,
        {"m": {"g": number}},
    )
    values = {name: _global(instance, name) for name in instance.exports}
    assert values == {
        "a": 2**32 - 2, "b": 2**64 - 6, "c": 0, "d": 0, "e": instance.funcs[0], "h": None, "i": 0.0,
    }  # fmt: skip
    assert str(values["i"]) == "-0.0"


def test_limits_hold_at_allocation() -> None:
    """Memory and table limits are for all of the instance's own together; what is imported is another's."""
    with pytest.raises(LimitError, match="linear memory"):
        _instance("(memory 1) (memory 1)", limits=Limits(memory=2 * PAGE - 1))
    with pytest.raises(LimitError, match="table"):
        _instance("(table 5 funcref) (table 5 externref)", limits=Limits(table=9))
    exporter = _instance('(memory (export "m") 3) (table (export "t") 9 funcref)')
    importer = _instance(
        '(import "m" "m" (memory 3)) (import "m" "t" (table 9 funcref)) (memory 1) (table 1 funcref)',
        {"m": exporter.exports},
        Limits(memory=2 * PAGE, table=2),
    )
    assert [importer.memories[1].grow(1), importer.memories[1].grow(1)] == [1, -1]
    assert [importer.tables[1].grow(1, None), importer.tables[1].grow(1, None)] == [1, -1]


def test_a_memory_that_the_host_cannot_give_is_a_limit_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Running out of the host's memory is an error of ours, not a crash."""

    def refuse(*given: object) -> MemInst:
        raise MemoryError

    monkeypatch.setattr(MemInst, "allocate", refuse)
    with pytest.raises(LimitError, match="no room for 2 pages"):
        _instance("(memory 2)")


@on_both
@pytest.mark.parametrize("first", ["size", "read", "grow", "at"])
def test_a_memory_is_made_when_somebody_looks(tier: str, first: str) -> None:
    """DESIGN.md 7 (making an instance): until then it has its size and grows as it should; then it is all zero."""
    text = """(memory (export "m") 1 3)
      (func (export "grow") (result i32) (memory.grow (i32.const 1)))
      (func (export "at") (param i32) (result i32) (i32.load (local.get 0)))"""
    guest = Guest(text, tier=tier, cache=None)
    memory = guest.memory
    assert memory.untouched == PAGE
    if first == "size":
        assert (memory.pages, memory.type) == (1, MemoryType(1, 3))
        assert memory.untouched == PAGE
    elif first == "read":
        assert memory.read(PAGE - 4, 4) == bytes(4)
    else:
        assert guest.call(first, *([PAGE - 4] if first == "at" else [])) == (1 if first == "grow" else 0)
    assert guest.call("at", PAGE - 4) == 0
    assert (memory.untouched, memory.pages) == (0, 2 if first == "grow" else 1)


# Initialisation


_SEGMENTS = """
  (import "m" "t" (table 4 funcref)) (import "m" "m" (memory 1))
  (func $f) (func $g)
  (elem (i32.const 1) $f $g) (elem funcref (ref.func $g)) (elem declare func $f)
  (data (i32.const 2) "abc") (data "passive")
"""


def _owner() -> Instance:
    return _instance('(table (export "t") 4 funcref) (memory (export "m") 1)')


def test_active_segments_are_copied_and_dropped() -> None:
    """Active segments are copied and then empty; declarative ones are empty; passive ones stay (spec 4.5.4)."""
    owner = _owner()
    instance = _instance(_SEGMENTS, {"m": owner.exports})
    assert owner.tables[0].elems == [None, *instance.funcs, None]
    assert bytes(owner.memories[0].data[:6]) == b"\0\0abc\0"
    assert [segment.items for segment in instance.elems] == [(), (instance.funcs[1],), ()]
    assert [segment.data for segment in instance.datas] == [b"", b"passive"]


def test_allocation_touches_nothing_that_was_there() -> None:
    """Until the first active segment nothing has happened."""
    owner = _owner()
    module = _module(_SEGMENTS)
    instance = allocate(module, resolve(module, {"m": owner.exports}), Limits())
    assert owner.tables[0].elems == [None] * 4
    assert not any(owner.memories[0].data)
    initialise(instance)
    assert owner.tables[0].elems[1] is instance.funcs[0]


@pytest.mark.parametrize(
    ("segments", "code", "message"),
    [
        ("(elem (i32.const 3) $f $f)", TrapCode.OUT_OF_BOUNDS_TABLE, "out of bounds table access"),
        ("(elem (i32.const -1) $f)", TrapCode.OUT_OF_BOUNDS_TABLE, "out of bounds table access"),
        ("(elem (i32.const 5) func)", TrapCode.OUT_OF_BOUNDS_TABLE, "out of bounds table access"),
        ('(data (i32.const 65535) "ab")', TrapCode.OUT_OF_BOUNDS_MEMORY, "out of bounds memory access"),
        ('(data (i32.const 65537) "")', TrapCode.OUT_OF_BOUNDS_MEMORY, "out of bounds memory access"),
    ],
)
def test_a_trap_keeps_what_came_before(segments: str, code: TrapCode, message: str) -> None:
    """A segment that does not fit traps before it writes; earlier ones stay, and their functions keep working."""
    owner = _owner()
    with pytest.raises(Trap, match=message) as caught:
        _instance(
            f"""(import "m" "t" (table 4 funcref)) (import "m" "m" (memory 1)) (func $f)
            (elem (i32.const 0) $f) {segments} (elem (i32.const 1) $f) (data (i32.const 0) "x")""",
            {"m": owner.exports},
        )
    assert caught.value.code is code
    assert isinstance(owner.tables[0].elems[0], WasmFunc)
    assert owner.tables[0].elems[3] is None
    assert not any(owner.memories[0].data)
    # Element segments come first, whatever the text says: with a data segment at fault all of them are in place.
    assert (owner.tables[0].elems[1] is not None) == (code is TrapCode.OUT_OF_BOUNDS_MEMORY)


def test_segments_at_the_very_end_fit() -> None:
    """An empty segment may lie just behind the last entry or byte."""
    _instance('(table 2 funcref) (elem (i32.const 2) func) (memory 1) (data (i32.const 65536) "")')


def test_the_start_function_is_left_to_the_caller() -> None:
    """The start function is an ordinary call: whoever can suspend makes it (HOUSE 5 i)."""
    prepared = instantiate(_module("(func $f unreachable) (start $f)"), {}, Limits())
    assert prepared.start is prepared.instance.funcs[0]
    assert instantiate(_module("(func unreachable)"), {}, Limits()).start is None


# Groups


def _joined(one: Instance, other: Instance) -> bool:
    return one.group.root() is other.group.root()


@pytest.mark.parametrize(
    ("export", "wanted", "joined"),
    [
        ('(func (export "x"))', "(func)", True),
        ('(table (export "x") 1 funcref)', "(table 1 funcref)", True),
        ('(memory (export "x") 1)', "(memory 1)", True),
        ('(global (export "x") (mut i32) (i32.const 0))', "(global (mut i32))", True),
        ('(global (export "x") i32 (i32.const 0))', "(global i32)", False),
        ('(func $f) (global (export "x") funcref (ref.func $f))', "(global funcref)", True),
    ],
)
def test_linked_instances_are_of_one_group(export: str, wanted: str, joined: bool) -> None:
    """DESIGN 4: instances that can reach one another by what they share count as one for re-entry."""
    exporter, bystander = _instance(export), _instance(export)
    assert not _joined(exporter, bystander)
    importer = _instance(f'(import "m" "x" {wanted})', {"m": exporter.exports})
    assert _joined(importer, exporter) == joined
    assert not _joined(importer, bystander)
    again = _instance(f'(import "m" "x" {wanted})', {"m": exporter.exports})
    assert _joined(again, importer) == joined


def test_sharing_goes_through_what_was_passed_on() -> None:
    """A memory that is imported and exported again joins all who have it."""
    first = _instance('(memory (export "x") 1)')
    middle = _instance('(import "m" "x" (memory 1)) (export "y" (memory 0))', {"m": first.exports})
    last = _instance('(import "m" "y" (memory 1))', {"m": middle.exports})
    assert _joined(first, last)


def test_users_of_the_embedder_s_memory_are_of_one_group() -> None:
    """A memory that no instance made joins those that import it."""
    memory = MemInst.allocate(MemoryType(1), Budget(PAGE))
    one, two = (_instance('(import "m" "x" (memory 1))', {"m": {"x": memory}}) for _ in range(2))
    assert _joined(one, two)


def test_host_functions_join_nobody() -> None:
    """A host function is no way from one guest into another."""
    text = '(import "m" "f" (func (param i32) (result i32)))'
    one, two = (_instance(text, {"m": {"f": _HOST}}) for _ in range(2))
    assert not _joined(one, two)


def test_a_failed_instantiation_joins_nobody() -> None:
    """What fails before the first active segment leaves no trace."""
    exporter = _instance('(memory (export "x") 1)')
    memory = MemInst.allocate(MemoryType(1), Budget(PAGE))
    text = '(import "m" "x" (memory 1)) (import "n" "x" (memory 1)) (memory 9)'
    with pytest.raises(LimitError):
        _instance(text, {"m": exporter.exports, "n": {"x": memory}}, Limits(memory=PAGE))
    assert memory.group is None
    assert exporter.group.root() is exporter.group
