"""The instruction table against `wasm-tools`: an independent witness for codes, names, immediates and types."""

from __future__ import annotations

import pytest

from runtime.binary.code import bodies
from runtime.binary.sections import decode
from runtime.features import AVAILABLE, Feature
from runtime.instr import atomic, control, gc, memory, numeric, simd, table
from runtime.instr.index import BY_CODE, BY_NAME, absent_opcode, join
from runtime.instr.model import Catch, Immediate, Instr
from runtime.types import ANYREF, EXTERNREF, F64, I31, I32

from .support.build import run_tool, wasm_tools, wat

_FEATURES = AVAILABLE | Feature.FUNCTION_REFERENCES | Feature.GC
_ROWS = sorted(BY_NAME.values(), key=lambda row: row.code)
#: An immediate of each kind in the text format, and what the decoder makes of it.
_SAMPLES: dict[Immediate, tuple[str, object]] = {
    Immediate.NONE: ("", None),
    Immediate.BLOCK_TYPE: ("(result i32)", I32),
    Immediate.LABEL: ("3", 3),
    Immediate.LABELS: ("1 200 0", ((1, 200), 0)),
    Immediate.FUNC: ("300", 300),
    Immediate.CALL_INDIRECT: ("2 (type 1)", (2, 1)),
    Immediate.LOCAL: ("5", 5),
    Immediate.GLOBAL: ("4", 4),
    Immediate.TABLE: ("3", 3),
    Immediate.TABLE_TABLE: ("1 2", (1, 2)),
    Immediate.TABLE_ELEM: ("1 2", (1, 2)),
    Immediate.ELEM: ("6", 6),
    Immediate.MEMARG: ("2 offset=300 align=1", (0, 300, 2)),
    Immediate.MEMORY: ("2", 2),
    Immediate.MEMORY_MEMORY: ("1 2", (1, 2)),
    Immediate.MEMORY_DATA: ("1 2", (1, 2)),
    Immediate.DATA: ("3", 3),
    Immediate.MEMARG_LANE: ("2 offset=300 align=1 1", (0, 300, 2, 1)),
    Immediate.FENCE: ("", None),
    Immediate.LANE: ("1", 1),
    Immediate.LANES: ("31 30 29 28 27 26 25 24 23 22 21 20 19 18 17 0", bytes((*range(31, 16, -1), 0))),
    Immediate.V128: ("i8x16 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 255", bytes((*range(15), 255))),
    Immediate.I32: ("-2", 0xFFFF_FFFE),
    Immediate.I64: ("-2", 0xFFFF_FFFF_FFFF_FFFE),
    Immediate.F32: ("1.5", 1.5),
    Immediate.F64: ("-2.5", -2.5),
    Immediate.REF_TYPE: ("extern", EXTERNREF),
    Immediate.TYPE: ("1", 1),
    Immediate.TYPE_FIELD: ("1 2", (1, 2)),
    Immediate.TYPE_COUNT: ("1 200", (1, 200)),
    Immediate.TYPE_DATA: ("1 2", (1, 2)),
    Immediate.TYPE_ELEM: ("1 2", (1, 2)),
    Immediate.TYPE_TYPE: ("1 2", (1, 2)),
    Immediate.CAST: ("3 anyref (ref i31)", (3, ANYREF, I31.ref(False))),
    Immediate.VAL_TYPES: ("(result i32 f64)", (I32, F64)),
    Immediate.TAG: ("2", 2),
    Immediate.TRY_TABLE: (
        "(result i32) (catch 1 0) (catch_ref 0 1) (catch_all 2) (catch_all_ref 300)",
        (I32, (Catch(1, False, 0), Catch(0, True, 1), Catch(None, False, 2), Catch(None, True, 300))),
    ),
}


def _text(row: Instr, immediate: str) -> str:
    """`row` as a function body in the text format."""
    name = "select" if row.name == "select_t" else row.name
    match name:
        case "block" | "loop" | "if" | "try_table":
            return f"{name} {immediate} end"
        case "else":
            return "if else end"
        case "end":
            return ""
        case "ref.test" | "ref.cast":
            return f"{name} (ref {immediate})"
        case "ref.test_null" | "ref.cast_null":
            return f"{name.removesuffix('_null')} (ref null {immediate})"
        case _:
            return f"{name} {immediate}"


def _decoded(text: str) -> list[list[tuple[str, object]]]:
    """Names and immediates of each function of a module in the text format."""
    data = wat(text)
    decls = decode(data, _FEATURES)
    return [[(row.name, imm) for _, row, imm in ops] for _, ops in bodies(data, decls, _FEATURES)]


def test_every_row_is_decoded_from_what_an_assembler_writes() -> None:
    """Code, name and immediates of every row are those of the text format (spec 5.4, 6.5)."""
    functions = "\n".join(f"(func {_text(row, _SAMPLES[row.immediate][0])})" for row in _ROWS)
    found = _decoded(f'(module (type (func)) (type (func (param i32))) (data "")\n{functions})')
    assert len(found) == len(_ROWS)
    for row, ops in zip(_ROWS, found, strict=True):
        want = (row.name, _SAMPLES[row.immediate][1])
        assert want in ops, f"{row.name}: {ops}"


def test_every_immediate_kind_has_a_row() -> None:
    """No kind of immediate is left over from an instruction that is gone."""
    assert {row.immediate for row in _ROWS} == set(Immediate)


def test_fixed_types_are_the_standards() -> None:
    """A validator that is not ours accepts each fixed type, so a wrong row can't agree with itself."""
    functions = []
    for row in _ROWS:
        if row.params is None or row.results is None:
            continue
        immediate = _SAMPLES[row.immediate][0]
        gets = " ".join(f"local.get {i}" for i in range(len(row.params)))
        params, results = (" ".join(map(repr, types)) for types in (row.params, row.results))
        functions.append(f"(func (param {params}) (result {results}) {gets} {row.name} {immediate})")
    assert len(functions) > 370
    run_tool([wasm_tools(), "validate", "-"], stdin=wat("(module " + "\n".join(functions) + ")"))


def test_loads_and_stores_say_what_they_move() -> None:
    """`value` is the type on the stack and `width` the natural alignment, which is what an assembler writes if told
    nothing."""
    rows = [row for row in _ROWS if row.immediate is Immediate.MEMARG and row.name not in atomic.OPERATIONS]
    loads = [row for row in rows if "load" in row.name]
    stores = [row for row in rows if "store" in row.name]
    assert set(loads + stores) == set(rows)
    rows = loads + stores
    functions = [f"(func (param i32) (result {row.value}) local.get 0 {row.name})" for row in loads]
    functions += [f"(func (param i32 {row.value}) local.get 0 local.get 1 {row.name})" for row in stores]
    text = "(module (memory 1) " + "\n".join(functions) + ")"
    run_tool([wasm_tools(), "validate", "-"], stdin=wat(text))
    for row, ops in zip(rows, _decoded(text), strict=True):
        assert ops[-2] == (row.name, (row.width.bit_length() - 1, 0, 0))


def test_atomic_rows_say_what_they_touch() -> None:
    """`value` and `width` of atomic rows are those of an assembler that is told no alignment, and a validator that is
    not ours takes the operands and results in `ARITY` (threads proposal)."""
    functions = []
    for name, operation in atomic.OPERATIONS.items():
        takes, gives = atomic.ARITY[operation]
        value = BY_NAME[name].value
        types = ["i32", *[str(I32 if operation == "notify" else value)] * (takes - 1)]
        if operation == "wait":
            types[2] = "i64"
        gets = " ".join(f"local.get {i}" for i in range(takes))
        result = f"(result {'i32' if operation in ('wait', 'notify') else value})" if gives else ""
        functions.append(f"(func (param {' '.join(types)}) {result} {gets} {name})")
    text = "(module (memory 1 1 shared) " + "\n".join(functions) + ")"
    run_tool([wasm_tools(), "validate", "-"], stdin=wat(text))
    for name, ops in zip(atomic.OPERATIONS, _decoded(text), strict=True):
        assert ops[-2] == (name, (BY_NAME[name].width.bit_length() - 1, 0, 0))


def test_doubles_are_refused() -> None:
    """A code or a name that occurs twice is an error when the rows are joined, not a silent winner."""
    nop = BY_NAME["nop"]
    for other in Instr(nop.code, "other"), Instr(0x7777, nop.name):
        with pytest.raises(ValueError, match="twice"):
            join([nop], [other])


def test_rows_and_codes_of_absent_features_do_not_overlap() -> None:
    """A code is either a row or another proposal's, so adding the rows means taking the codes out."""
    assert [row.name for row in _ROWS if absent_opcode(row.code) is not None] == []
    groups = (control.ROWS, table.ROWS, memory.ROWS, numeric.ROWS, simd.ROWS, gc.ROWS, atomic.ROWS)
    assert sum(map(len, groups)) == len(BY_CODE) == len(BY_NAME)


def test_idents_are_python_names() -> None:
    """`ident` is what handlers and lowerings are named after."""
    assert BY_NAME["i32.trunc_sat_f64_u"].ident == "i32_trunc_sat_f64_u"
    assert all(row.ident.isidentifier() for row in _ROWS)
    assert len({row.ident for row in _ROWS}) == len(_ROWS)
