"""Checking function bodies: spec 3.4 and the appendix "Validation Algorithm"."""

from __future__ import annotations

import random

import pytest

from runtime import lean
from runtime.binary.code import decode_body
from runtime.binary.sections import decode
from runtime.declarations import Code, Declarations
from runtime.errors import InvalidError, UnsupportedError
from runtime.features import AVAILABLE, WASM_2_0, Feature
from runtime.instr.index import BY_NAME
from runtime.instr.model import Catch, Immediate, Op
from runtime.types import (
    ANYREF,
    EQREF,
    F64,
    FUNCREF,
    I31,
    I32,
    I64,
    FuncType,
    GlobalType,
    MemoryType,
    TableType,
    ValType,
)
from runtime.validate import function, rules
from runtime.validate.env import Env
from runtime.validate.function import check_function
from runtime.validate.module import check_module
from tests.support.build import wat

_CONTEXT = """
(module
  (type $pair (func (param i32 i64) (result i64 i32)))
  (import "m" "f" (func $f (param i32) (result i32)))
  (import "m" "g" (global $imm i32))
  (memory 1) (memory $second 1)
  (table $t 4 funcref) (table $x 4 externref)
  (global $mut (mut i64) (i64.const 0))
  (elem $e funcref (ref.func $f)) (elem $ex externref)
  (data $d "abc")
  (func $two (result i32 i64) i32.const 1 i64.const 2)
  (func $undeclared)
  (func $body %s)
  (export "f" (func $f)))
"""


def _check(body: str, features: Feature = AVAILABLE) -> Code:
    """Check the last function of a module that has some of everything."""
    data = wat(_CONTEXT % body)
    decls = decode(data, AVAILABLE, bodies=False)
    code = decls.codes[-1]
    env = lean.evolve(check_module(decls), features=features)
    check_function(decls, code, decode_body(data, code, AVAILABLE, True), env=env)
    return code


ACCEPTED = {
    "nothing": "",
    "numbers": "(result i32) i32.const 1 i64.const 2 i32.wrap_i64 i32.add",
    "locals": "(param i32) (result i64) (local i64) local.get 1 local.tee 1 local.set 1 local.get 1",
    "block with parameters": "(result i64 i32) i32.const 1 i64.const 2 block (type $pair) call $swap end"
    ") (func $swap (param i32 i64) (result i64 i32) local.get 1 local.get 0",
    "loop carries its parameters": "i32.const 1 loop (param i32) br 0 end",
    "if and else": "(param i32) (result i32) local.get 0 if (result i32) i32.const 1 else i32.const 2 end",
    "if that leaves what it takes": "(result i32) i32.const 1 i32.const 2 if (param i32) (result i32) end",
    "br_if leaves its operands": "(result i32) block (result i32) i32.const 1 i32.const 2 br_if 0 end",
    "br_table": "block block i32.const 0 br_table 0 1 2 end end",
    "br_table in dead code fits labels of different types": "(result i32) block (result i64) block (result i32) "
    "unreachable br_table 0 1 end unreachable end unreachable",
    "dead code has every operand": "(result i32) unreachable i32.add",
    "dead code mixes known and unknown operands": "(result i32) unreachable i32.const 1 i32.add select",
    "select of unknown operands": "(result f32) unreachable select f32.neg",
    "operands behind a return": "return i64.eqz drop drop",
    "a block in dead code": "(result i32) unreachable block (result i32) i32.const 1 end",
    "call": "(result i32) i32.const 1 call $f",
    "indirect call": "(result i64 i32) i32.const 1 i64.const 1 i32.const 0 call_indirect $t (type $pair)",
    "tail call": "(result i32) i32.const 1 return_call $f",
    "indirect tail call": "(result i64 i32) i32.const 1 i64.const 1 i32.const 0 return_call_indirect $t (type $pair)",
    "select with a type": "(result externref) ref.null extern ref.null extern i32.const 0 select (result externref)",
    "globals": "global.get $imm drop i64.const 1 global.set $mut",
    "references": "(result i32) ref.func $f ref.is_null",
    "tables": "i32.const 0 i32.const 0 table.get $t table.set $t ref.null extern i32.const 1 table.grow $x drop "
    "i32.const 0 ref.null func table.size $t table.fill $t",
    "table segments": "i32.const 0 i32.const 0 i32.const 0 table.init $t $e elem.drop $e "
    "i32.const 0 i32.const 0 i32.const 0 table.copy $x $x",
    "memories": "i32.const 0 i32.const 0 i64.load offset=4294967295 align=8 i64.store32 $second align=4 "
    "memory.size $second memory.grow drop",
    "bulk memory": "i32.const 0 i32.const 0 i32.const 0 memory.init $second $d data.drop $d "
    "i32.const 0 i32.const 0 i32.const 0 memory.copy $second 0 i32.const 0 i32.const 0 i32.const 0 memory.fill",
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED)
def test_valid_bodies_are_accepted(body: str) -> None:
    """A body that keeps the rules of spec 3.4 passes."""
    _check(body)


REJECTED = [
    ("i32.const 1", "type mismatch: values remain"),
    ("i32.add drop", "type mismatch: i32.add expected i32 but found nothing"),
    ("i32.const 1 i64.const 1 i32.add drop", "type mismatch: i32.add expected i32 but found i64"),
    ("i64.const 1 i32.const 1 i32.add drop", "type mismatch: i32.add expected i32 but found i64"),
    ("(result i32)", "type mismatch: end expected i32 but found nothing"),
    ("(result i32) i64.const 1", "type mismatch"),
    ("drop", "type mismatch: drop expected an operand"),
    ("i32.const 1 block drop end", "type mismatch"),
    ("unreachable i64.const 1 i32.eqz drop", "type mismatch"),
    ("unreachable block drop end", "type mismatch"),
    ("block unreachable end i32.eqz drop", "type mismatch"),
    ("block (result i32) end drop", "type mismatch"),
    ("loop (result i32) br 0 end", "type mismatch"),
    ("i32.const 1 if (result i32) i32.const 1 end drop", "type mismatch"),
    ("i32.const 1 if (result i32) i32.const 1 else end drop", "type mismatch"),
    ("i32.const 1 if i32.const 1 else end", "type mismatch"),
    ("i64.const 1 if end", "type mismatch"),
    ("br 1", "unknown label 1"),
    ("i32.const 0 br_if 4294967295", "unknown label 4294967295"),
    ("i32.const 0 br_table 0 7", "unknown label 7"),
    ("i32.const 0 br_table 7 0", "unknown label 7"),
    ("block (result i32) br 0 end drop", "type mismatch"),
    ("block (result i32) i32.const 0 br_if 0 end drop", "type mismatch"),
    ("block (result i32) block unreachable br_table 0 1 end i32.const 0 end drop", "type mismatch: br_table labels"),
    ("block (result i32) block (result i64) i64.const 1 i32.const 1 br_table 0 1 end unreachable end drop", "mismatch"),
    ("(result i32) return", "type mismatch: return"),
    ("call 99", "unknown function 99"),
    ("call $f drop", "type mismatch: call"),
    ("i32.const 0 call_indirect 9 (type $pair)", "unknown table 9"),
    ("i32.const 0 call_indirect (type 99)", "unknown type 99"),
    ("i32.const 1 i64.const 1 i32.const 0 call_indirect $x (type $pair) drop drop", "type mismatch"),
    ("i32.const 1 return_call $f", "type mismatch: tail call"),
    ("block (type 99) end", "unknown type 99"),
    ("i32.const 1 i64.const 1 i32.const 1 select drop", "type mismatch: select between i32 and i64"),
    ("ref.null func ref.null func i32.const 1 select drop", "type mismatch: select"),
    ("ref.null func ref.null extern i32.const 1 select (result funcref) drop", "type mismatch"),
    ("i32.const 1 i32.const 1 i32.const 1 select (result i32 i32) drop", "invalid result arity"),
    ("local.get 0 drop", "unknown local 0"),
    ("(local i32) i32.const 1 local.set 1", "unknown local 1"),
    ("(local i32) i64.const 1 local.set 0", "type mismatch: local.set"),
    ("(local i32) i32.const 1 local.tee 4294967295 drop", "unknown local"),
    ("(local i32) f32.const 1 local.tee 0 drop", "type mismatch: local.tee"),
    ("global.get 9 drop", "unknown global 9"),
    ("i32.const 1 global.set 9", "unknown global 9"),
    ("i32.const 1 global.set $imm", "immutable global 0"),
    ("i32.const 1 global.set $mut", "type mismatch"),
    ("ref.func 99 drop", "unknown function 99"),
    ("ref.func $undeclared drop", "undeclared function reference"),
    ("i32.const 1 ref.is_null drop", "type mismatch: ref.is_null expected a reference"),
    ("i32.const 0 table.get 9 drop", "unknown table 9"),
    ("i32.const 0 ref.null extern table.set $t", "type mismatch"),
    ("table.size 9 drop", "unknown table 9"),
    ("i32.const 0 i32.const 0 i32.const 0 table.copy $t $x", "type mismatch: table.copy"),
    ("i32.const 0 i32.const 0 i32.const 0 table.init $x $e", "type mismatch: table.init"),
    ("i32.const 0 i32.const 0 i32.const 0 table.init $x 9", "unknown elem segment 9"),
    ("elem.drop 9", "unknown elem segment 9"),
    ("i32.const 0 i32.load 9 drop", "unknown memory 9"),
    ("i32.const 0 i32.load align=8 drop", "alignment must not be larger than natural"),
    ("i32.const 0 i32.const 0 i32.store8 align=2", "alignment must not be larger than natural"),
    ("i64.const 0 i32.load drop", "type mismatch: i32.load"),
    ("i32.const 0 i32.const 0 i64.store", "type mismatch: i64.store"),
    ("memory.size 9 drop", "unknown memory 9"),
    ("i32.const 0 i32.const 0 i32.const 0 memory.init 9", "unknown data segment 9"),
    ("data.drop 9", "unknown data segment 9"),
    ("i32.const 0 i32.const 0 i32.const 0 memory.copy 9 0", "unknown memory 9"),
]


@pytest.mark.parametrize(("body", "message"), REJECTED, ids=[body for body, _ in REJECTED])
def test_invalid_bodies_are_rejected(body: str, message: str) -> None:
    """A body that breaks a rule of spec 3.4 is invalid, and the message says how."""
    with pytest.raises(InvalidError) as caught:
        _check(body)
    assert message in caught.value.message
    assert not isinstance(caught.value, UnsupportedError)
    assert caught.value.func == 3


def test_the_error_names_the_instruction() -> None:
    """The offset is the byte of the instruction that breaks the rule."""
    data = wat("(module (func nop) (func nop i32.const 1 block i64.const 2 drop i32.eqz drop end))")
    decls = decode(data, AVAILABLE, bodies=False)
    code = decls.codes[1]
    ops = decode_body(data, code, AVAILABLE, False)
    with pytest.raises(InvalidError) as caught:
        check_function(decls, code, ops)
    assert (caught.value.offset, caught.value.func) == (code.start + 8, 1)
    assert data[code.start + 8] == BY_NAME["i32.eqz"].code


def test_offsets_past_the_address_space_are_invalid() -> None:
    """A 32-bit memory has no offset of 2^32 (spec 3.4.7), though the binary format can hold one."""
    decls = Declarations(types=(FuncType(),), codes=(code := Code(0, 0, (), 0, 9),))
    env = lean.evolve(Env.of(decls), memories=(MemoryType(1),))
    for offset, bad in ((2**32 - 1, False), (2**32, True)):
        ops = _ops(("i32.const", 0), ("i32.load", (0, offset, 0)), ("drop", None), ("end", None))
        if bad:
            with pytest.raises(InvalidError, match="offset out of range"):
                check_function(decls, code, ops, env=env)
        else:
            check_function(decls, code, ops, env=env)


@pytest.mark.parametrize("align", [3, 63, 2**32 - 1])
def test_absurd_alignments_cost_nothing(align: int) -> None:
    """Any alignment exponent that a module can hold is refused as too large (spec 3.4.7)."""
    decls = Declarations(types=(FuncType(),), codes=(code := Code(0, 0, (), 0, 9),))
    env = lean.evolve(Env.of(decls), memories=(MemoryType(1),))
    with pytest.raises(InvalidError, match="alignment must not be larger than natural"):
        check_function(decls, code, _ops(("i32.const", 0), ("i32.load", (align, 0, 0)), ("end", None)), env=env)


@pytest.mark.parametrize(
    ("body", "feature"),
    [
        ("(result i32) i32.const 1 return_call $f", Feature.TAIL_CALL),
        ("i32.const 1 i32.extend8_s drop", Feature.SIGN_EXTENSION),
        ("i32.const 1 i32.const 1 i32.const 1 memory.fill", Feature.BULK_MEMORY),
        ("ref.null func drop", Feature.REFERENCE_TYPES),
        ("v128.const i64x2 0 0 drop", Feature.SIMD),
        ("v128.const i64x2 0 0 i32x4.relaxed_trunc_f32x4_s drop", Feature.RELAXED_SIMD),
        ("i32.const 1 loop (param i32) drop end", Feature.MULTI_VALUE),
    ],
)
def test_features_that_are_off_are_named(body: str, feature: Feature) -> None:
    """An instruction of a proposal that is off is unsupported, and the error names the proposal."""
    with pytest.raises(UnsupportedError) as caught:
        _check(body, AVAILABLE & ~feature)
    assert caught.value.feature == feature.text
    assert caught.value.offset is not None


def test_locals_of_a_type_that_is_off_are_unsupported() -> None:
    """A declared local needs its type's feature as much as an instruction does."""
    decls = Declarations(types=(FuncType(),), codes=(code := Code(0, 0, ((1, FUNCREF),), 0, 9),))
    with pytest.raises(UnsupportedError) as caught:
        check_function(decls, code, _ops(("end", None)), env=Env.of(decls, WASM_2_0 & ~Feature.REFERENCE_TYPES))
    assert caught.value.feature == "reference-types"


def test_every_row_can_be_checked() -> None:
    """A row has fixed types or a rule, never both (HOUSE: the default branch reads the row's types)."""
    for row in BY_NAME.values():
        assert (row.params is None) == (row.name in rules.RULES), row
        assert (row.params is None) == (row.results is None), row


def test_no_instruction_has_two_rules() -> None:
    """The registry refuses a second rule for a name."""
    with pytest.raises(ValueError, match=r"two validation rules for br_if"):
        rules.rule("br_if")(lambda c, immediate: None)


def _ops(*instructions: tuple[str, object]) -> list[Op]:
    return [(place, BY_NAME[name], immediate) for place, (name, immediate) in enumerate(instructions)]


_TYPES = (FuncType(), FuncType((I32,), (I32,)), FuncType((I32, I64), (I64,)))
_DECLS = Declarations(types=_TYPES, codes=tuple(Code(i, i, ((2, I32), (1, F64)), 0, 99) for i in range(3)))
_ENV = lean.evolve(
    Env.of(_DECLS),
    memories=(MemoryType(1),),
    tables=(TableType(FUNCREF, 1),),
    globals=(GlobalType(I32, mutable=True),),
)
_IMMEDIATES: dict[Immediate, tuple[object, ...]] = {
    Immediate.NONE: (None,),
    Immediate.BLOCK_TYPE: (None, I32, 1, 2),
    Immediate.LABEL: (0, 1, 2),
    Immediate.LABELS: (((0, 1), 0), ((0,), 1)),
    Immediate.CALL_INDIRECT: ((0, 0), (0, 1)),
    Immediate.MEMARG: ((0, 0, 0), (0, 4, 0), (3, 0, 0)),
    Immediate.MEMARG_LANE: ((0, 0, 0, 1), (3, 0, 0, 0), (0, 0, 0, 16)),
    Immediate.LANES: (bytes(16), bytes((*range(15), 32))),
    Immediate.TABLE_TABLE: ((0, 0),),
    Immediate.TABLE_ELEM: ((0, 0),),
    Immediate.MEMORY_MEMORY: ((0, 0),),
    Immediate.MEMORY_DATA: ((0, 0),),
    Immediate.REF_TYPE: (FUNCREF,),
    Immediate.VAL_TYPES: ((I32,), (FUNCREF,)),
    Immediate.TRY_TABLE: ((None, ()), (I32, (Catch(None, True, 0),)), (1, (Catch(0, False, 1),))),
    **dict.fromkeys((Immediate.TYPE_FIELD, Immediate.TYPE_COUNT, Immediate.TYPE_TYPE), ((0, 0), (1, 2))),
    **dict.fromkeys((Immediate.TYPE_DATA, Immediate.TYPE_ELEM), ((0, 0), (1, 0))),
    Immediate.CAST: ((0, ANYREF, I31.ref()), (1, EQREF, EQREF)),
}
_COMMON = "local.get local.get local.set local.tee i32.const i64.const i32.add i32.load i32.store i32.eqz drop".split()
_CONTROL = "block loop if end end else br br_if br_table unreachable return call select".split()


def _random_ops(chance: random.Random) -> list[Op]:
    names = list(BY_NAME)
    out: list[tuple[str, object]] = []
    opened = 0
    for _ in range(chance.randrange(12)):
        name = chance.choice(chance.choice((_COMMON, _COMMON, _CONTROL, names)))
        if name == "end" and not opened:
            continue
        opened += (name in ("block", "loop", "if", "try_table")) - (name == "end")
        out.append((name, chance.choice(_IMMEDIATES.get(BY_NAME[name].immediate, (0, 1, 2, 3)))))
    return _ops(*out, *[("end", None)] * (opened + 1))


def _answer(code: Code, ops: list[Op]) -> object:
    try:
        return check_function(_DECLS, code, ops, env=_ENV, collect=True)
    except InvalidError as error:
        return str(error)


def test_shortcuts_change_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop's shortcuts give what the rules alone give: the same errors, the same side tables."""
    chance = random.Random(20)
    bodies = [(chance.choice(_DECLS.codes), _random_ops(chance)) for _ in range(3000)]
    quick = [_answer(code, ops) for code, ops in bodies]
    quickly = function._plans(AVAILABLE)
    made = {row: quickly[row] for row in BY_NAME.values()}
    plans = {row: plan and lean.evolve(plan, shape=function._OTHER) for row, plan in made.items()}
    monkeypatch.setattr(function, "_plans", lambda features: plans)
    assert [_answer(code, ops) for code, ops in bodies] == quick
    assert sum(not isinstance(answer, str) for answer in quick) > 100


def test_nesting_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks can't be nested without end: the control stack is bounded (limits.MAX_NESTING)."""
    monkeypatch.setattr("runtime.validate.stack.MAX_NESTING", 5)
    deep = _ops(*[("block", None)] * 6, *[("end", None)] * 7)
    with pytest.raises(InvalidError, match="nested more than 5 deep"):
        check_function(_DECLS, _DECLS.codes[0], deep, env=_ENV)


def test_labels_of_one_type_are_compared_once() -> None:
    """Labels of one type are compared once, however often a br_table names them."""
    wide: tuple[ValType, ...] = (I32,) * 1000
    decls = Declarations(types=(FuncType((), wide),), codes=(code := Code(0, 0, (), 0, 9),))
    ops = _ops(*[("i32.const", 0)] * 1001, ("br_table", ((0,) * 100_000, 0)), ("end", None))
    check_function(decls, code, ops)
