"""Checking what a module declares outside of function bodies: spec 3.2, 3.4.12 and 3.6."""

from __future__ import annotations

import pytest

from runtime import lean
from runtime.binary.sections import decode
from runtime.declarations import Declarations, ExternKind, Global, Import, Memory, Table
from runtime.errors import InvalidError, UnsupportedError
from runtime.features import AVAILABLE, Feature
from runtime.instr.index import BY_NAME
from runtime.instr.model import Op
from runtime.types import EXTERNREF, FUNCREF, I32, V128, FuncType, GlobalType, MemoryType, TableType
from runtime.validate.env import Env
from runtime.validate.module import check_module
from tests.support.build import wat


def _decls(text: str) -> Declarations:
    return decode(wat(f"(module {text})"), AVAILABLE, bodies=False)


def _check(text: str, features: Feature = AVAILABLE) -> Env:
    return check_module(_decls(text), features)


ACCEPTED = [
    '(import "m" "t" (table 1 2 funcref)) (memory 0 65536) (table 0 4294967295 externref)',
    "(memory 65536) (memory 1)",
    '(import "m" "g" (global i32)) (global i32 (global.get 0)) (global i32 (global.get 1))',
    "(global i64 (i64.add (i64.const 1) (i64.mul (i64.const 2) (i64.sub (i64.const 3) (i64.const 4)))))",
    "(global f32 (f32.const 1)) (global (mut f64) (f64.const 1)) (global externref (ref.null extern))",
    "(func $f) (global funcref (ref.func $f)) (start $f)",
    "(func $f) (table 1 funcref) (elem (i32.const 0) $f $f) (elem declare func $f) (elem funcref (ref.null func))",
    '(global $g i32 (i32.const 1)) (memory 1) (data (global.get $g) "x") (data (i32.const 0) "y") (data "z")',
    '(func $f) (export "a" (func $f)) (export "b" (func $f)) (export "" (func $f))',
]


@pytest.mark.parametrize("text", ACCEPTED)
def test_valid_modules_are_accepted(text: str) -> None:
    """Declarations that keep the rules pass."""
    _check(text)


REJECTED = [
    ("(memory 2 1)", "size minimum must not be greater than maximum"),
    ("(memory 65537)", "memory size must be at most 65536 pages"),
    ("(memory 0 65537)", "memory size"),
    ('(import "m" "m" (memory 65537))', "memory size"),
    ("(table 2 1 funcref)", "size minimum must not be greater than maximum"),
    ('(import "m" "t" (table 2 1 funcref))', "size minimum"),
    ('(import "m" "f" (func (type 9)))', "unknown type 9"),
    ("(func (type 9))", "unknown type 9"),
    ('(func $f) (export "a" (func $f)) (export "a" (func $f))', "duplicate export name"),
    ('(export "a" (func 0))', "unknown function 0"),
    ('(export "a" (table 0))', "unknown table 0"),
    ('(export "a" (memory 0))', "unknown memory 0"),
    ('(export "a" (global 0))', "unknown global 0"),
    ("(start 0)", "unknown function 0"),
    ("(func $f (param i32)) (start $f)", "start function"),
    ("(func $f (result i32) i32.const 1) (start $f)", "start function"),
    ("(global i32)", "type mismatch"),
    ("(global i32 (i64.const 1))", "type mismatch"),
    ("(global i32 (i32.const 1) (i32.const 2))", "type mismatch"),
    ("(global i32 (i32.add (i32.const 1) (i64.const 2)))", "type mismatch: i32.add"),
    ("(global i32 i32.const 1 i32.add)", "type mismatch: i32.add"),
    ("(global i32 (i32.ctz (i32.const 1)))", "constant expression required: i32.ctz"),
    ("(global i32 (i32.const 1) (nop))", "constant expression required: nop"),
    ("(global f32 (f32.add (f32.const 1) (f32.const 1)))", "constant expression required: f32.add"),
    ("(global i32 (global.get 0))", "unknown global 0"),
    ("(global i32 (global.get 1)) (global i32 (i32.const 1))", "unknown global 1"),
    ("(global i32 (global.get 9))", "unknown global 9"),
    ('(import "m" "g" (global (mut i32))) (global i32 (global.get 0))', "constant expression required: global 0"),
    ("(global funcref (ref.func 9))", "unknown function 9"),
    ("(global externref (ref.null func))", "type mismatch"),
    ("(elem (i32.const 0) funcref)", "unknown table 0"),
    ("(table 1 externref) (elem (i32.const 0) funcref)", "type mismatch"),
    ("(table 1 funcref) (elem (i64.const 0) funcref)", "type mismatch"),
    ("(table 1 funcref) (elem (offset nop) funcref)", "constant expression required"),
    ("(elem funcref (ref.null extern))", "type mismatch"),
    ("(elem declare func 9)", "unknown function 9"),
    ('(data (i32.const 0) "x")', "unknown memory 0"),
    ('(memory 1) (data (memory 1) (i32.const 0) "x")', "unknown memory 1"),
    ('(memory 1) (data (i64.const 0) "x")', "type mismatch"),
    ('(memory 1) (data (offset) "x")', "type mismatch"),
]


@pytest.mark.parametrize(("text", "message"), REJECTED, ids=[text for text, _ in REJECTED])
def test_invalid_modules_are_rejected(text: str, message: str) -> None:
    """Declarations that break a rule are invalid, and the message says how."""
    with pytest.raises(InvalidError) as caught:
        _check(text)
    assert message in caught.value.message
    assert not isinstance(caught.value, UnsupportedError)


UNSUPPORTED = [
    ("(memory 1) (memory 1)", Feature.MULTI_MEMORY),
    ("(table 1 funcref) (table 1 funcref)", Feature.REFERENCE_TYPES),
    ("(table 1 externref)", Feature.REFERENCE_TYPES),
    ("(global externref (ref.null extern))", Feature.REFERENCE_TYPES),
    ("(func (param funcref))", Feature.REFERENCE_TYPES),
    ("(table 1 funcref) (elem (i32.const 0) funcref (ref.null func))", Feature.REFERENCE_TYPES),
    ("(elem externref)", Feature.REFERENCE_TYPES),
    ("(func (result i32 i32) unreachable)", Feature.MULTI_VALUE),
    ("(global i32 (i32.add (i32.const 1) (i32.const 1)))", Feature.EXTENDED_CONST),
    ('(import "m" "g" (global (mut i32)))', Feature.MUTABLE_GLOBAL),
    ('(global (export "g") (mut i32) (i32.const 1))', Feature.MUTABLE_GLOBAL),
    ('(data "x")', Feature.BULK_MEMORY),
    ("(func $f) (elem func $f)", Feature.BULK_MEMORY),
]


@pytest.mark.parametrize(("text", "feature"), UNSUPPORTED, ids=[text for text, _ in UNSUPPORTED])
def test_features_that_are_off_are_named(text: str, feature: Feature) -> None:
    """What needs a proposal that is off is unsupported, and the error names the proposal."""
    _check(text)
    with pytest.raises(UnsupportedError) as caught:
        _check(text, AVAILABLE & ~feature)
    assert caught.value.feature == feature.text


@pytest.mark.parametrize(
    "decls",
    [
        Declarations(types=(FuncType((V128,)),)),
        Declarations(globals=(Global(GlobalType(V128), ()),)),
        Declarations(tables=(Table(TableType(FUNCREF, 0)), Table(TableType(V128, 0)))),
    ],
)
def test_vectors_need_simd(decls: Declarations) -> None:
    """A vector type anywhere in the declarations needs the feature."""
    with pytest.raises(UnsupportedError) as caught:
        check_module(decls, AVAILABLE & ~Feature.SIMD)
    assert caught.value.feature == "simd"


def test_errors_carry_the_entity_s_offset() -> None:
    """The offset is the declaration's, or the instruction's where a constant expression is at fault."""
    add = BY_NAME["i32.add"]
    with pytest.raises(InvalidError) as caught:
        check_module(Declarations(memories=(Memory(MemoryType(2, 1), offset=77),)))
    assert caught.value.offset == 77
    with pytest.raises(InvalidError) as caught:
        check_module(Declarations(globals=(Global(GlobalType(I32), ((80, add, None),), offset=78),)))
    assert caught.value.offset == 80
    with pytest.raises(InvalidError) as caught:
        check_module(Declarations(globals=(Global(GlobalType(I32), (), offset=78),)))
    assert caught.value.offset == 78


def test_tables_have_a_size_limit() -> None:
    """A table of 2^32 entries is invalid (spec 3.2.15), which the binary format can express."""
    for limits in ((2**32, None), (0, 2**32)):
        with pytest.raises(InvalidError, match="table size"):
            check_module(Declarations(tables=(Table(TableType(FUNCREF, *limits)),)))


def test_the_env_has_imports_first() -> None:
    """Index spaces are joined in the order of the spec (2.5.1): imports, then the module's own."""
    env = _check(
        '(import "m" "f" (func (param i32))) (import "m" "t" (table 1 externref)) (import "m" "m" (memory 1 2))'
        '(import "m" "g" (global i32)) (func) (table 2 funcref) (memory 3) (global f32 (f32.const 0))'
        '(elem funcref) (data "a") (data "b")'
    )
    assert [str(type_) for type_ in env.funcs] == ["(i32) -> ()", "() -> ()"]
    assert [type_.elem for type_ in env.tables] == [EXTERNREF, FUNCREF]
    assert env.memories == (MemoryType(1, 2), MemoryType(3))
    assert [type_.content.name for type_ in env.globals] == ["i32", "f32"]
    assert (env.elems, env.datas) == ((FUNCREF,), 2)


def test_references_are_declared_outside_of_bodies() -> None:
    """`ref.func` in a body may name what exports, segments, globals and tables name; not what only start or bodies do
    (spec 3.1.1, C.refs)."""
    env = _check(
        "(func $exported) (func $listed) (func $global) (func $start) (func ref.func $exported drop)"
        '(export "x" (func $exported)) (elem declare func $listed) (global funcref (ref.func $global)) (start $start)'
    )
    assert env.refs == {0, 1, 2}


def test_initial_values_of_tables() -> None:
    """A table's initial value is constant, fits, and reads imported globals only (spec 3.6, C')."""
    ref_null, ref_func, get = (BY_NAME[name] for name in ("ref.null", "ref.func", "global.get"))
    base = Declarations(
        types=(FuncType(),),
        imports=(
            Import("m", "f", ExternKind.FUNC, 0),
            Import("m", "g", ExternKind.GLOBAL, GlobalType(FUNCREF)),
        ),
        globals=(Global(GlobalType(FUNCREF), ((5, ref_null, FUNCREF),)),),
    )

    def check(*expr: Op) -> Env:
        return check_module(lean.evolve(base, tables=(Table(TableType(FUNCREF, 1), expr, 6),)))

    check((7, get, 0))
    assert check((7, ref_func, 0)).refs == {0}
    for expr, message in (
        (((7, get, 1),), "unknown global 1: it has no value yet"),
        (((7, ref_null, EXTERNREF),), "type mismatch"),
        ((), "type mismatch"),
    ):
        with pytest.raises(InvalidError, match=message):
            check(*expr)


def test_an_env_serves_a_module_without_check() -> None:
    """`Env.of` gathers the index spaces and judges nothing but the types of functions."""
    decls = lean.evolve(_decls(""), start=9)
    assert Env.of(decls).funcs == ()
    with pytest.raises(InvalidError):
        check_module(decls)
