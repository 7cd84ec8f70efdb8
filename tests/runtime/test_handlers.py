"""Handlers: generated text against the semantics, memory at its bounds, tables, globals."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import Any

import attrs
import pytest

from runtime.errors import Trap, TrapCode
from runtime.features import AVAILABLE
from runtime.instances.budget import Budget
from runtime.instances.memory import MemInst
from runtime.instances.small import DataInst, ElemInst, GlobalInst
from runtime.instances.table import TableInst
from runtime.instr.index import BY_NAME
from runtime.instr.model import Instr
from runtime.interp import inline, numeric, registry, variable
from runtime.interp import memory as memory_handlers
from runtime.interp import table as table_handlers
from runtime.interp.registry import Const, Operand, condition, make
from runtime.limits import PAGE
from runtime.types import F32, F64, FUNCREF, I32, I64, GlobalType, ValType
from runtime.values import f64_to_bits
from tests.support.edges import EDGES, FEW, from_bits, to_bits

GROUPS = (memory_handlers, numeric, table_handlers, variable)
#: What the run loop maps to a trap out of bounds.
OUT_OF_BOUNDS = (struct.error, IndexError)


@attrs.define
class Space:
    """As much of an instance as handlers touch."""

    mem: MemInst
    memories: list[MemInst]
    tables: list[TableInst] = attrs.field(factory=list)
    globals: list[GlobalInst] = attrs.field(factory=list)
    funcs: list[object] = attrs.field(factory=list)
    elems: list[ElemInst] = attrs.field(factory=list)
    datas: list[DataInst] = attrs.field(factory=list)


@pytest.fixture
def space() -> Space:
    """Two memories of one page, two tables of four entries, a global, segments."""
    budget = Budget(16 * PAGE)
    memories = [MemInst(bytearray(PAGE), 3, budget), MemInst(bytearray(PAGE), None, budget)]
    tables = [TableInst([None] * 4, FUNCREF, 6, Budget(100)) for _ in range(2)]
    return Space(
        memories[0],
        memories,
        tables,
        [GlobalInst(GlobalType(I32, True), 7)],
        ["f0", "f1"],
        [ElemInst(FUNCREF, ("e0", "e1"))],
        [DataInst(b"segment")],
    )


def shapes(count: int) -> Iterator[tuple[bool, ...]]:
    """For each operand, whether it is a constant: all combinations."""
    return product((False, True), repeat=count)


def lay_out(space: object, values: Sequence[object], shape: Sequence[bool]) -> tuple[list[Any], list[Operand]]:
    """Registers that hold `values` from register 2 on (1 is for the result), and operands of the shape."""
    registers: list[Any] = [space, "unset", *values]
    return registers, [Const(v) if const else i for i, (v, const) in enumerate(zip(values, shape, strict=True), 2)]


def execute(space: object, name: str, values: Sequence[object], immediate: object = None) -> object:
    """The result of a row in all shapes, which must agree. Only for what can be repeated."""
    results = []
    for shape in shapes(len(values)):
        registers, operands = lay_out(space, values, shape)
        make(BY_NAME[name], immediate, 1, operands)(registers)
        assert registers[2:] == list(values)
        results.append(registers[1])
    first = results[0]
    for result in results:
        # NaNs are unequal to themselves.
        same = f64_to_bits(result) == f64_to_bits(first) if isinstance(result, float) else result == first
        assert same
    return results[0]


def outcome(type_: ValType, compute: Callable[[], object]) -> object:
    """Bits of the result, or the trap's code."""
    try:
        return to_bits(type_, compute())
    except Trap as trap:
        return trap.code


def cases(row: Instr) -> Iterator[tuple[object, ...]]:
    """Canonical operands worth trying."""
    assert row.params is not None
    pools = [EDGES[t] if len(row.params) == 1 else FEW[t] for t in row.params]
    for bits in product(*pools):
        yield tuple(from_bits(t, b) for t, b in zip(row.params, bits, strict=True))


def test_every_row_that_computes_has_a_handler() -> None:
    """House rule 3: rows, functions and handlers meet by name, and none is left over."""
    left = {name for name, row in BY_NAME.items() if row.feature in AVAILABLE and not registry.known(row)}
    assert {name for name in left if BY_NAME[name].params is not None and "const" not in name} <= {"nop"}
    assert set(numeric.FUNCTIONS) <= set(BY_NAME)
    assert set(inline.TEXTS) <= set(BY_NAME)
    assert {name for name in left if "." in name} == {
        *("i32.const", "i64.const", "f32.const", "f64.const", "v128.const", "local.get", "local.set", "local.tee"),
        *("memory.atomic.wait32", "memory.atomic.wait64"),
    }


def test_a_second_handler_for_a_row_is_refused() -> None:
    """House rule 8: the registry refuses doubles."""
    with pytest.raises(ValueError, match=r"i32\.add"):
        registry.handles("i32.add")(lambda row, immediate, dest, operands: lambda r: None)
    with pytest.raises(ValueError, match=r"i32\.eq"):
        registry.register_condition("i32.eq", lambda operands: lambda taken, fall: lambda r: taken)


@pytest.mark.parametrize("name", sorted(numeric.FUNCTIONS))
def test_handlers_compute_what_the_semantics_say(name: str) -> None:
    """Spec 4.4.1: in every shape of operands a handler gives the bits, or the trap, of the row's function."""
    row = BY_NAME[name]
    assert row.results is not None
    (result,) = row.results
    for values in cases(row):
        want = outcome(result, lambda v=values: numeric.FUNCTIONS[name](*v))  # type: ignore[misc]  # typed by its use
        for shape in shapes(len(values)):
            registers, operands = lay_out(None, values, shape)

            def run(registers: list[Any] = registers, operands: list[Operand] = operands) -> object:
                make(row, None, 1, operands)(registers)
                return registers[1]

            assert outcome(result, run) == want, f"{name} {values} {shape}"


CONDITIONS = sorted(n for n in numeric.FUNCTIONS if n in inline.TEXTS and inline.TEXTS[n].form == "truth")


@pytest.mark.parametrize("name", CONDITIONS)
def test_conditions_branch_as_the_semantics_say(name: str) -> None:
    """Spec 4.4.8, br_if: a comparison joined with a branch goes where its result would have sent it."""
    row = BY_NAME[name]
    for values in cases(row):
        want = "taken" if numeric.FUNCTIONS[name](*values) else "fall"
        for shape in shapes(len(values)):
            registers, operands = lay_out(None, values, shape)
            fused = condition(row, operands)
            assert fused is not None
            assert fused("taken", "fall")(registers) == want, f"{name} {values} {shape}"


def test_rows_without_truth_are_not_conditions() -> None:
    """A row whose result is not a truth value can't be joined with a branch."""
    assert condition(BY_NAME["i32.add"], [1, 2]) is None


@pytest.mark.parametrize(("value", "want"), [(0, "fall"), (1, "taken"), (0x8000_0000, "taken")])
def test_a_plain_branch_is_taken_unless_zero(value: int, want: str) -> None:
    """Spec 4.4.8, br_if: any value but 0 takes the branch."""
    assert numeric.branch_if(1, "taken", "fall")([None, value]) == want
    assert numeric.branch_if(Const(value), "taken", "fall")([None]) == want


def test_a_null_is_a_condition(space: Space) -> None:
    """Spec 4.4.2, ref.is_null: 1 for null only, as a value and as a condition."""
    assert execute(space, "ref.is_null", [None]) == 1
    assert execute(space, "ref.is_null", ["f"]) == 0
    fused = condition(BY_NAME["ref.is_null"], [1])
    assert fused is not None
    assert fused("taken", "fall")([space, None]) == "taken"


def _load_type(name: str) -> ValType:
    return {"i32": I32, "i64": I64, "f32": F32, "f64": F64}[name[:3]]


def _loaded(name: str, data: bytes) -> int:
    """What a load reads, as bits, from the bytes of its width."""
    bits = int.from_bytes(data, "little", signed=name.endswith("_s"))
    return bits & (0xFFFF_FFFF if name[:3] in ("i32", "f32") else 0xFFFF_FFFF_FFFF_FFFF)


LOADS = sorted(n for n in BY_NAME if ".load" in n and n[0] != "v" and ".atomic." not in n)
STORES = sorted(n for n in BY_NAME if ".store" in n and n[0] != "v" and ".atomic." not in n)
PATTERNS = (bytes(range(0x81, 0x89)), bytes(range(1, 9)), b"\xff" * 8, b"\x01\x00\x80\x7f\x01\x00\xf0\xff")


@pytest.mark.parametrize("memory", [0, 1])
@pytest.mark.parametrize("name", LOADS)
def test_loads_read_their_width(name: str, memory: int, space: Space) -> None:
    """Spec 4.4.7, load: little endian, extended as the name says, bits untouched, from the named memory."""
    width = BY_NAME[name].width
    for data in PATTERNS:
        for start, offset in ((0, 0), (5, 0), (5, 11), (0, 16), (PAGE - width, 0), (0, PAGE - width)):
            space.memories[memory].data[start + offset : start + offset + width] = data[:width]
            got = execute(space, name, [start], (0, offset, memory))
            assert to_bits(_load_type(name), got) == _loaded(name, data[:width])


@pytest.mark.parametrize("memory", [0, 1])
@pytest.mark.parametrize("name", STORES)
def test_stores_write_their_width_and_no_more(name: str, memory: int, space: Space) -> None:
    """Spec 4.4.7, store: the low bytes, little endian, bits untouched, and nothing beside them."""
    width, type_ = BY_NAME[name].width, _load_type(name)
    target = space.memories[memory].data
    for bits in EDGES[type_]:
        for shape in shapes(2):
            target[:] = b"\xaa" * PAGE
            registers, operands = lay_out(space, [9, from_bits(type_, bits)], shape)
            make(BY_NAME[name], (0, 3, memory), 1, operands)(registers)
            written = (bits & (1 << 8 * width) - 1).to_bytes(width, "little")
            assert target[11 : 13 + width] == b"\xaa" + written + b"\xaa"
            assert registers[1] == "unset"


@pytest.mark.parametrize("name", LOADS + STORES)
def test_accesses_out_of_bounds_fail_and_write_nothing(name: str, space: Space) -> None:
    """Spec 4.4.7: an access that is partly outside, or past 4 GiB, fails as the run loop expects and has no effect."""
    width, type_ = BY_NAME[name].width, _load_type(name)
    for memory, nan in product((0, 1), (False, True)):
        before = bytes(space.memories[memory].data)
        # One bit pattern that f32 and f64 take for a NaN, which has a path of its own.
        value = from_bits(type_, (1 << {I32: 32, F32: 32}.get(type_, 64)) - 1 if nan else 1)
        for start, offset in (
            (PAGE - width + 1, 0),
            (PAGE, 0),
            (0, PAGE),
            (1, PAGE - width),
            (0xFFFF_FFFF, 0),
            (0xFFFF_FFFF, 1),
            (0xFFFF_FFFF, 0xFFFF_FFFF),
            (1, 0xFFFF_FFFF),
        ):
            values = [start] if name in LOADS else [start, value]
            for shape in shapes(len(values)):
                registers, operands = lay_out(space, values, shape)
                with pytest.raises(OUT_OF_BOUNDS):
                    make(BY_NAME[name], (0, offset, memory), 1, operands)(registers)
                assert registers[1] == "unset"
        assert bytes(space.memories[memory].data) == before


def test_an_empty_memory_has_no_bytes(space: Space) -> None:
    """Spec 4.4.7: with no page at all, every access is out of bounds."""
    del space.mem.data[:]
    for name in LOADS + STORES:
        handler = make(BY_NAME[name], (0, 0, 0), 1, [2] if name in LOADS else [2, 3])
        with pytest.raises(OUT_OF_BOUNDS):
            handler([space, None, 0, from_bits(_load_type(name), 0)])


def test_a_memory_grows_under_handlers_made_before(space: Space) -> None:
    """Spec 4.4.7, memory.grow: the old size or -1; loads and stores see the new pages at once."""
    load = make(BY_NAME["i32.load8_u"], (0, 0, 0), 1, [2])
    with pytest.raises(OUT_OF_BOUNDS):
        load([space, None, PAGE])
    assert execute(space, "memory.size", [], 0) == 1
    grow = make(BY_NAME["memory.grow"], 0, 1, [2])
    for delta, want in ((2, 1), (1, 0xFFFF_FFFF), (0xFFFF_FFFF, 0xFFFF_FFFF), (0, 3)):
        registers = [space, None, delta]
        grow(registers)
        assert registers[1] == want
    assert execute(space, "memory.size", [], 0) == 3
    assert execute(space, "memory.size", [], 1) == 1
    load([space, None, PAGE])


def _traps(code: TrapCode, space: Space, name: str, values: Sequence[object], immediate: object) -> None:
    for shape in shapes(len(values)):
        registers, operands = lay_out(space, values, shape)
        with pytest.raises(Trap) as caught:
            make(BY_NAME[name], immediate, 1, operands)(registers)
        assert caught.value.code is code


def test_bulk_memory_operations(space: Space) -> None:
    """Spec 4.4.7: memory.fill, copy (overlapping and across memories), init and data.drop, in every shape."""
    execute(space, "memory.fill", [10, 0x1FF, 3], 0)
    assert space.mem.data[9:14] == b"\x00\xff\xff\xff\x00"
    execute(space, "memory.init", [20, 1, 4], (0, 0))
    assert space.mem.data[19:25] == b"\x00egme\x00"
    execute(space, "memory.copy", [40, 20, 4], (1, 0))
    assert space.memories[1].data[39:45] == b"\x00egme\x00"
    registers, operands = lay_out(space, [21, 20, 3], (False, False, False))
    make(BY_NAME["memory.copy"], (0, 0), 1, operands)(registers)
    assert space.mem.data[20:24] == b"eegm"
    execute(space, "data.drop", [], 0)
    execute(space, "memory.init", [PAGE, 0, 0], (0, 0))
    _traps(TrapCode.OUT_OF_BOUNDS_MEMORY, space, "memory.init", [0, 0, 1], (0, 0))


def test_bulk_memory_operations_out_of_bounds_change_nothing(space: Space) -> None:
    """Spec 4.4.7: a range that ends outside traps before the first byte is written, even one of no bytes."""
    space.mem.data[:] = b"\xaa" * PAGE
    code = TrapCode.OUT_OF_BOUNDS_MEMORY
    _traps(code, space, "memory.fill", [PAGE - 1, 0, 2], 0)
    _traps(code, space, "memory.fill", [PAGE + 1, 0, 0], 0)
    _traps(code, space, "memory.fill", [0xFFFF_FFFF, 0, 0xFFFF_FFFF], 0)
    _traps(code, space, "memory.copy", [0, PAGE - 1, 2], (0, 1))
    _traps(code, space, "memory.copy", [PAGE - 1, 0, 2], (0, 1))
    _traps(code, space, "memory.init", [0, 5, 3], (0, 0))
    _traps(code, space, "memory.init", [PAGE - 1, 0, 2], (0, 0))
    assert space.mem.data == b"\xaa" * PAGE


def test_tables(space: Space) -> None:
    """Spec 4.4.6: get, set, size, grow, fill, copy, init and elem.drop, in every shape."""
    execute(space, "table.set", [2, "x"], 1)
    assert execute(space, "table.get", [2], 1) == "x"
    assert execute(space, "table.get", [2], 0) is None
    assert execute(space, "table.size", [], 1) == 4
    execute(space, "table.fill", [0, "y", 2], 0)
    assert space.tables[0].elems == ["y", "y", None, None]
    execute(space, "table.init", [2, 0, 2], (0, 0))
    assert space.tables[0].elems == ["y", "y", "e0", "e1"]
    execute(space, "table.copy", [0, 2, 2], (1, 0))
    assert space.tables[1].elems == ["e0", "e1", "x", None]
    execute(space, "elem.drop", [], 0)
    _traps(TrapCode.OUT_OF_BOUNDS_TABLE, space, "table.init", [0, 0, 1], (0, 0))
    for values, want in ((["z", 2], 4), (["z", 1], 0xFFFF_FFFF), (["z", 0xFFFF_FFFF], 0xFFFF_FFFF)):
        registers, operands = lay_out(space, values, (False, False))
        make(BY_NAME["table.grow"], 0, 1, operands)(registers)
        assert registers[1] == want
    assert space.tables[0].elems == ["y", "y", "e0", "e1", "z", "z"]


def test_tables_out_of_bounds(space: Space) -> None:
    """Spec 4.4.6: an entry that does not exist traps, as an error of tables."""
    code = TrapCode.OUT_OF_BOUNDS_TABLE
    for index in (4, 0xFFFF_FFFF):
        _traps(code, space, "table.get", [index], 0)
        _traps(code, space, "table.set", [index, None], 0)
        _traps(code, space, "table.fill", [index, None, 1], 0)
        _traps(code, space, "table.copy", [index, 0, 1], (0, 1))
        _traps(code, space, "table.copy", [0, index, 1], (0, 1))
        _traps(code, space, "table.init", [index, 0, 1], (0, 0))


def test_globals_references_and_moves(space: Space) -> None:
    """Spec 4.4.2 to 4.4.5: global.get and set, ref.null and func, select, and the move that locals become."""
    execute(space, "global.set", [41], 0)
    assert execute(space, "global.get", [], 0) == 41
    assert execute(space, "ref.null", [], FUNCREF) is None
    assert execute(space, "ref.func", [], 1) == "f1"
    for name, immediate in (("select", None), ("select_t", (I32,))):
        assert execute(space, name, [3, 4, 0x8000_0000], immediate) == 3
        assert execute(space, name, [3, 4, 0], immediate) == 4
    registers = [space, "old", "value"]
    variable.move(1, 2)(registers)
    assert registers == [space, "value", "value"]
    variable.move(1, Const("constant"))(registers)
    assert registers == [space, "constant", "value"]


def test_handlers_serve_any_instance(space: Space) -> None:
    """Code is shared by the instances of a module: a handler finds its memory through the registers."""
    store = make(BY_NAME["i32.store8"], (0, 0, 0), 0, [1, 2])
    other = Space(MemInst(bytearray(8), None, Budget(0)), [])
    store([space, 1, 5])
    store([other, 1, 6])
    assert (space.mem.data[1], other.mem.data[1]) == (5, 6)
