"""Sections and what they hold (spec 5.5): order, sizes, counts, and offsets in errors."""

from __future__ import annotations

import pytest

from runtime.binary.sections import decode
from runtime.declarations import ExternKind, Mode
from runtime.errors import MalformedError, UnsupportedError
from runtime.features import AVAILABLE, MVP, WASM_2_0, Feature
from runtime.limits import MAX_LOCALS
from runtime.types import EXTERNREF, F64, FUNCREF, I32, I64, FuncType, GlobalType, MemoryType, TableType
from runtime.types import FUNC as FUNC_HEAP

from ..support.build import wat
from ..support.raw import (
    CODE,
    DATA,
    DATA_COUNT,
    ELEM,
    EXPORT,
    FUNC,
    GLOBAL,
    IMPORT,
    MAGIC,
    MEMORY,
    ONE_TYPE,
    START,
    TABLE,
    TYPE,
    custom,
    leb,
    module,
    one_body,
    section,
    sized,
    sleb,
)

_WHOLE = """(module $whole
  (type $t (func (param i32 f64) (result i64 i32)))
  (import "env" "f" (func (type $t)))
  (import "env" "g" (global (mut i64)))
  (import "env" "t" (table 1 2 externref))
  (import "env" "m" (memory 3))
  (func (export "run") (local i32 i32 f64) (drop (i32.const 7)))
  (table 4 funcref)
  (memory (export "mem") 1 5)
  (global (export "g") i32 (i32.const -1))
  (start 1)
  (elem (table 1) (i32.const 2) func 1 0)
  (elem externref (ref.null extern))
  (elem declare func 1)
  (data (memory 1) (i32.const 8) "hello")
  (data "passive")
)"""


#: What the functions of a segment are given as.
NON_NULL = FUNC_HEAP.ref(False)


def _fails(data: bytes, message: str, offset: int | None = None, features: Feature = AVAILABLE) -> None:
    with pytest.raises(MalformedError, match=message) as caught:
        decode(data, features)
    if offset is not None:
        assert caught.value.offset == offset


def test_all_declarations_of_a_module_are_read() -> None:
    """Everything that the text says is in the declarations, imports apart from the module's own."""
    data = wat(_WHOLE)
    decls = decode(data, AVAILABLE)
    assert decls.types[0] == FuncType((I32, F64), (I64, I32))
    assert [(i.module, i.name, i.kind) for i in decls.imports] == [
        ("env", "f", ExternKind.FUNC),
        ("env", "g", ExternKind.GLOBAL),
        ("env", "t", ExternKind.TABLE),
        ("env", "m", ExternKind.MEMORY),
    ]
    imported = [GlobalType(I64, True), TableType(EXTERNREF, 1, 2), MemoryType(3)]
    assert [i.desc for i in decls.imports] == [0, *imported]
    assert [t.type for t in decls.tables] == [TableType(FUNCREF, 4)]
    assert [m.type for m in decls.memories] == [MemoryType(1, 5)]
    assert [(e.name, e.kind.text, e.index) for e in decls.exports] == [
        ("run", "func", 1),
        ("mem", "memory", 1),
        ("g", "global", 1),
    ]
    assert decls.start == 1
    assert decls.codes[0].index == 1
    assert decls.codes[0].locals == ((2, I32), (1, F64))
    assert data[decls.codes[0].end - 1] == 0x0B
    assert decls.names.module == "whole"


def test_constant_expressions_leave_out_their_end() -> None:
    """An expression is its instructions, with offsets in the module; a bare function index is `ref.func`."""
    data = wat(_WHOLE)
    decls = decode(data, AVAILABLE)
    ((pc, row, value),) = decls.globals[0].init
    assert (row.name, value, data[pc]) == ("i32.const", 0xFFFF_FFFF, 0x41)
    assert [(row.name, imm) for expr in decls.elems[0].init for _, row, imm in expr] == [
        ("ref.func", 1),
        ("ref.func", 0),
    ]


def test_segments_know_their_mode_and_place() -> None:
    """Active, passive and declarative segments are told apart; a data segment is a range of the module's bytes."""
    data = wat(_WHOLE)
    decls = decode(data, AVAILABLE)
    assert [(e.mode, e.target, e.type) for e in decls.elems] == [
        (Mode.ACTIVE, 1, NON_NULL),
        (Mode.PASSIVE, 0, EXTERNREF),
        (Mode.DECLARATIVE, 0, NON_NULL),
    ]
    assert [(d.mode, d.target, data[d.start : d.end]) for d in decls.datas] == [
        (Mode.ACTIVE, 1, b"hello"),
        (Mode.PASSIVE, 0, b"passive"),
    ]
    assert decls.datas[1].at is None


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer_will_do(kind: type[bytes]) -> None:
    """Bytes, bytearrays and memory views decode alike."""
    assert len(decode(kind(wat(_WHOLE)), AVAILABLE).codes) == 1


def test_the_smallest_module_is_its_preamble() -> None:
    """Magic and version alone are a module (spec 5.5.16)."""
    assert decode(MAGIC, AVAILABLE).types == ()


@pytest.mark.parametrize(
    ("data", "message", "offset"),
    [
        (b"", "unexpected end", 0),
        (b"\0as", "unexpected end", 3),
        (b"asm\0\x01\0\0\0", "magic header not detected", 0),
        (b"\0asm\x02\0\0\0", "unknown binary version", 4),
        (b"\0asm\x01\0", "unexpected end", 6),
    ],
)
def test_a_wrong_preamble_is_malformed(data: bytes, message: str, offset: int) -> None:
    """Magic and version are told apart, and so is what is too short."""
    _fails(data, message, offset)


def test_sections_out_of_order_are_malformed() -> None:
    """Each section at most once and in order, the data count before the code (spec 5.5.2)."""
    empty = [section(id_) for id_ in (TYPE, IMPORT, FUNC, TABLE, MEMORY, GLOBAL, EXPORT, ELEM)]
    empty += [bytes([DATA_COUNT]) + sized(b"\0"), section(CODE), section(DATA)]
    decode(module(*empty), AVAILABLE)
    for i, one in enumerate(empty):
        _fails(module(*empty[: i + 1], one), "unexpected content after last section")
        if i:
            _fails(module(one, empty[i - 1]), "unexpected content after last section", 8 + len(one))


def test_custom_sections_may_stand_anywhere() -> None:
    """Their place is free, their contents are kept as a range, their name must be right (spec 5.5.3)."""
    data = module(custom("a", b"\xff"), section(TYPE), custom("b", b""), custom("a", b"xyz"))
    decls = decode(data, AVAILABLE)
    found = [(name, data[start:end]) for name, start, end in decls.customs]
    assert found == [("a", b"\xff"), ("b", b""), ("a", b"xyz")]
    _fails(module(b"\0\0"), "unexpected end", 10)
    _fails(module(b"\0" + sized(b"\x02\xc3(")), "malformed UTF-8 encoding", 11)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (module(b"\x0e\0"), "malformed section id 14"),
        (module(b"\x01"), "unexpected end"),
        (module(b"\x01\x05\0"), "length out of bounds"),
        (module(b"\x01\x02\0\0"), "section size mismatch"),
        (module(b"\x01\x01\x01"), "more elements announced"),
        (module(section(TYPE, b"\x61\0\0")), "malformed definition type"),
        (module(section(TYPE, b"\x60\x01\x20\0")), "malformed value type"),
        (module(section(IMPORT, b"\0\0\x05\0")), "malformed import kind"),
        (module(section(EXPORT, b"\0\x05\0")), "malformed export kind"),
        (module(section(TABLE, b"\x7f\0\0")), "malformed reference type"),
        (module(section(TABLE, b"\x70\x08\0")), "malformed limits flags"),
        (module(section(MEMORY, b"\x10\0")), "malformed limits flags"),
        (module(section(GLOBAL, b"\x7f\x02\x41\0\x0b")), "malformed mutability"),
        (module(section(GLOBAL, b"\x7f\0\x41\0")), "END opcode expected"),
        (module(section(ELEM, b"\x08")), "malformed elements segment kind"),
        (module(section(ELEM, b"\x01\x01\0")), "malformed element kind"),
        (module(section(DATA, b"\x03")), "malformed data segment kind"),
        (module(section(DATA, b"\x01\x02a")), "length out of bounds"),
        (module(section(FUNC, b"\0")), "function and code section have inconsistent lengths"),
        (module(section(CODE, b"\x02\0\x0b")), "function and code section have inconsistent lengths"),
        (module(bytes([DATA_COUNT]) + sized(b"\x01")), "data count and data section have inconsistent lengths"),
        (module(bytes([START]) + sized(b"\0\0")), "section size mismatch"),
    ],
)
def test_what_does_not_fit_the_grammar_is_malformed(data: bytes, message: str) -> None:
    """One case for each choice that the binary format leaves (spec 5.3 and 5.5)."""
    _fails(data, message)


def test_counts_are_refused_before_anything_is_made() -> None:
    """Four bytes that announce four thousand million elements cost nothing: the count is checked against the bytes."""
    huge = leb(0xFFFF_FFFF)
    for id_ in (TYPE, IMPORT, FUNC, TABLE, MEMORY, GLOBAL, EXPORT, ELEM, DATA):
        _fails(module(bytes([id_]) + sized(huge)), "more elements announced", 10)
    _fails(module(section(TYPE, b"\x60" + huge)), "more elements announced")
    _fails(one_body(b"\x0e" + huge + b"\x0b"), "more elements announced")


def test_locals_are_limited() -> None:
    """A few bytes can declare 2^32 locals; what exceeds the limit, parameters included, is malformed."""
    types = section(TYPE, b"\x60\x02\x7f\x7f\0")

    def with_locals(*counts: int) -> bytes:
        groups = leb(len(counts)) + b"".join(leb(n) + b"\x7e" for n in counts)
        return module(types, section(FUNC, b"\0"), section(CODE, sized(groups + b"\x0b")))

    assert decode(with_locals(0, MAX_LOCALS - 2), AVAILABLE).codes[0].locals == ((0, I64), (MAX_LOCALS - 2, I64))
    _fails(with_locals(1, MAX_LOCALS - 2), "too many locals")
    _fails(with_locals(0xFFFF_FFFF, 0xFFFF_FFFF), "too many locals")


def test_limits_are_read_as_64_bits() -> None:
    """Sizes beyond 32 bits are well-formed, and the validator's to refuse (spec 5.3.7)."""
    decls = decode(module(section(MEMORY, b"\x01\x01" + leb(1 << 40))), AVAILABLE)
    assert decls.memories[0].type == MemoryType(1, 1 << 40)
    _fails(module(section(MEMORY, b"\0" + leb(1 << 64))), "integer too large")


@pytest.mark.parametrize(
    ("data", "feature"),
    [
        (module(section(TYPE, b"\x5f\0")), "gc"),
        (module(section(TYPE, b"\x5e\x7f\0")), "gc"),
        (module(section(TYPE, b"\x4e\x01\x60\0\0")), "gc"),
        (module(section(TYPE, b"\x4f\0\x60\0\0")), "gc"),
        (module(section(TYPE, b"\x50\0\x60\0\0")), "gc"),
        (module(section(TYPE, b"\x60\x01\x6e\0")), "gc"),
        (module(section(TYPE, b"\x60\x01\x64\x70\0")), "function-references"),
        (module(section(TYPE, b"\x60\x01\x63\0\0")), "function-references"),
        (module(section(TABLE, b"\x40\0\x70\0\x01\xd0\x70\x0b")), "function-references"),
    ],
)
def test_what_other_proposals_define_is_unsupported(data: bytes, feature: str) -> None:
    """A module that needs an absent feature is never called malformed: the error names the feature."""
    with pytest.raises(UnsupportedError) as caught:
        decode(data, WASM_2_0)
    assert caught.value.feature == feature
    assert caught.value.offset is not None


@pytest.mark.parametrize(
    ("data", "feature"),
    [
        (module(section(TYPE, b"\x60\0\x02\x7f\x7f")), "multi-value"),
        (module(section(TYPE, b"\x60\x01\x70\0")), "reference-types"),
        (module(section(TABLE, b"\x6f\0\0")), "reference-types"),
        (module(section(DATA, b"\x01\0")), "bulk-memory"),
        (module(section(ELEM, b"\x01\0\0")), "bulk-memory"),
        (module(bytes([DATA_COUNT]) + sized(b"\0")), "bulk-memory"),
        (one_body(b"\x02\0\x0b\x0b"), "multi-value"),
        (one_body(b"\xc0\x0b"), "sign-extension"),
        (one_body(b"\xfc\0\x0b"), "saturating-float"),
        (one_body(b"\x12\0\x0b"), "tail-call"),
        (one_body(b"\x3f\x01\x0b"), "multi-memory"),
        (one_body(b"\x28\x40\x01\0\x0b"), "multi-memory"),
        (one_body(b"\x11\0\x01\x0b"), "reference-types"),
        (module(section(TYPE, b"\x60\x01\x7b\0")), "simd"),
        (one_body(b"\xfd\x0c" + bytes(16) + b"\x0b"), "simd"),
        (one_body(b"\xfd\x80\x02\x0b"), "relaxed-simd"),
        (module(section(TYPE, b"\x60\x01\x69\0")), "exceptions"),
        (module(section(13, b"\0\0")), "exceptions"),
        (module(section(IMPORT, b"\x01\0\0\x04\0\0")), "exceptions"),
        (module(section(EXPORT, b"\x01\0\x04\0")), "exceptions"),
        (module(section(TABLE, b"\x70\x04\0")), "memory64"),
        (module(section(MEMORY, b"\x05\0\0")), "memory64"),
        (module(section(MEMORY, b"\x08\0\0")), "custom-page-sizes"),
        (module(section(MEMORY, b"\x0c\0\0")), "custom-page-sizes"),
    ],
)
def test_a_feature_that_is_off_is_unsupported(data: bytes, feature: str) -> None:
    """With only WebAssembly 1.0 on, later encodings name the feature that they need; with all on they decode."""
    with pytest.raises(UnsupportedError) as caught:
        decode(data, MVP)
    assert caught.value.feature == feature
    decode(data, AVAILABLE)


def test_negative_numbers_in_places_of_counts_are_numbers() -> None:
    """A section size is unsigned: what would be -1 if signed is 127."""
    _fails(module(b"\x01" + sleb(-1) + b"\0"), "length out of bounds")


def test_bodies_can_be_left_for_later() -> None:
    """Without `bodies` a malformed body goes unseen; with it, decoding finds it."""
    data = module(section(TYPE, ONE_TYPE), section(FUNC, b"\0"), section(CODE, sized(b"\0\xff\x0b")))
    assert len(decode(data, AVAILABLE, bodies=False).codes) == 1
    _fails(data, "illegal opcode ff", len(data) - 2)
