"""Validation rules of the instructions that have no fixed type, by their names in the text format (spec 3.4).

A rule gets the checker and the immediate, in the form that the row's kind of immediate names. It may assume nothing
about indexes: every one is looked up here first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

from ..features import Feature
from ..instr.index import BY_NAME
from ..instr.model import Catch, Immediate
from ..types import EXN, EXNREF, FUNCREF, I32, V128, FuncType, TableType, ValType, type_matches, types_match
from ..values import M32
from .stack import BOTTOM, Checker

_T = TypeVar("_T")
#: The immediate's form belongs to the row, which mypy can't know: hence `Any`.
Rule: TypeAlias = Callable[[Checker, Any], None]

RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Callable[[Checker, _T], None]], Callable[[Checker, _T], None]]:
    """Register a rule under the names of its instructions. Raises ValueError for a name that has one already."""

    def register(function: Callable[[Checker, _T], None]) -> Callable[[Checker, _T], None]:
        for name in names:
            if name in RULES:
                raise ValueError(f"two validation rules for {name}")
            RULES[name] = function
        return function

    return register


def entry(c: Checker, entries: Sequence[_T], index: int, what: str) -> _T:
    if index >= len(entries):
        raise c.error(f"unknown {what} {index}")
    return entries[index]


def _memory(c: Checker, index: int) -> ValType:
    """The address type of a memory."""
    return entry(c, c.env.memories, index, "memory").address


def _both(first: ValType, second: ValType) -> ValType:
    """The type of a size that two ranges have in common: the narrower address type (3.4.6, 3.4.7)."""
    return first if first is I32 else second


def data_segment(c: Checker, index: int) -> None:
    if index >= c.env.datas:
        raise c.error(f"unknown data segment {index}")


# Blocks and branches (3.4.10)


@rule("unreachable")
def _unreachable(c: Checker, _: None) -> None:
    c.unreachable()


@rule("block")
def _block(c: Checker, type_: ValType | int | None) -> None:
    params, results = c.block_type(type_)
    c.apply(params, ())
    c.enter("block", params, results)


@rule("loop")
def _loop(c: Checker, type_: ValType | int | None) -> None:
    params, results = c.block_type(type_)
    c.apply(params, ())
    c.charge(c.height)
    if c.side is not None and not c.frames[-1].dead:
        c.side.operands[c.index] = (*c.operands(), *params)
    c.enter("loop", params, results)


@rule("if")
def _if(c: Checker, type_: ValType | int | None) -> None:
    params, results = c.block_type(type_)
    c.pop_type(I32)
    c.apply(params, ())
    c.enter("if", params, results)


@rule("else")
def _else(c: Checker, _: None) -> None:
    frame = c.frames[-1]
    if frame.kind != "if" or frame.has_else:
        raise c.error("else without if")
    c.charge(c.height + len(frame.params))
    c.apply(frame.results, ())
    c.at_end(frame)
    c.forget_locals()
    c.stack.extend(frame.params)
    frame.has_else = True
    frame.unreachable = False
    frame.dead = frame.dead_entry
    if frame.block is not None:
        frame.block.else_ = c.index


@rule("end")
def _end(c: Checker, _: None) -> None:
    frame = c.close()
    if frame.kind == "if" and not frame.has_else and not types_match(frame.params, frame.results):
        raise c.error("type mismatch: an if without else must leave what it takes")
    if frame.block is not None:
        frame.block.end = c.index
    if c.frames:
        c.stack.extend(frame.results)


@rule("br")
def _br(c: Checker, depth: int) -> None:
    c.apply(c.label(depth).label, ())
    c.unreachable()


@rule("br_if")
def _br_if(c: Checker, depth: int) -> None:
    types = c.label(depth).label
    c.pop_type(I32)
    if types:
        c.apply(types, types)


@rule("br_table")
def _br_table(c: Checker, labels: tuple[tuple[int, ...], int]) -> None:
    depths, default = labels
    c.pop_type(I32)
    types = c.label(default).label
    if types:
        c.charge(len(types) * len(set(depths)))
    seen = {id(types)}  # types come from the type section: few objects, however long the table is
    for depth in depths:
        other = c.label(depth).label
        if id(other) not in seen:
            seen.add(id(other))
            if len(other) != len(types):
                raise c.error(f"type mismatch: br_table labels carry {len(types)} and {len(other)} operands")
            c.stack.extend(c.pop_types(other))
    c.apply(types, ())
    c.unreachable()


@rule("return")
def _return(c: Checker, _: None) -> None:
    c.apply(c.type.results, ())
    c.unreachable()


# Calls (3.4.10)


def _callee(c: Checker, target: tuple[int, int]) -> FuncType:
    """The type that an indirect call names, its table checked and the index popped."""
    table, type_index = target
    table_type = entry(c, c.env.tables, table, "table")
    type_ = c.functype(type_index)
    if not type_matches(table_type.elem, FUNCREF):
        raise c.error(f"type mismatch: call through a table of {table_type.elem}")
    c.pop_type(table_type.address)
    return type_


def call_type(c: Checker, type_: FuncType) -> None:
    c.apply(type_.params, ())
    c.charge(c.height + len(type_.results))
    if c.side is not None and not c.frames[-1].dead:
        c.side.operands[c.index] = c.operands()
        c.note_guard()
    c.stack.extend(type_.results)


def tail_call_type(c: Checker, type_: FuncType) -> None:
    if not types_match(type_.results, c.type.results):
        raise c.error(f"type mismatch: tail call of {type_} in a function of type {c.type}")
    c.apply(type_.params, ())
    c.unreachable()


@rule("call")
def _call(c: Checker, index: int) -> None:
    call_type(c, entry(c, c.env.funcs, index, "function"))


@rule("call_indirect")
def _call_indirect(c: Checker, target: tuple[int, int]) -> None:
    call_type(c, _callee(c, target))


@rule("return_call")
def _return_call(c: Checker, index: int) -> None:
    tail_call_type(c, entry(c, c.env.funcs, index, "function"))


@rule("return_call_indirect")
def _return_call_indirect(c: Checker, target: tuple[int, int]) -> None:
    tail_call_type(c, _callee(c, target))


# Exceptions (3.4.10)


@rule("try_table")
def _try_table(c: Checker, immediate: tuple[ValType | int | None, tuple[Catch, ...]]) -> None:
    type_, catches = immediate
    params, results = c.block_type(type_)
    c.apply(params, ())
    for catch in catches:
        carried = () if catch.tag is None else entry(c, c.env.tags, catch.tag, "tag").params
        if catch.ref:
            carried = (*carried, EXN.ref(False))
        _check_catch(c, carried, c.label(catch.label).label)
    c.enter("try", params, results)


def _check_catch(c: Checker, carried: tuple[ValType, ...], label: tuple[ValType, ...]) -> None:
    """What a clause hands on is what its label takes."""
    c.charge(1 + len(carried))
    if len(carried) != len(label):
        raise c.error(f"type mismatch: a catch hands on {len(carried)} values to a label that takes {len(label)}")
    c.push(*carried)
    c.apply(label, ())


@rule("throw")
def _throw(c: Checker, index: int) -> None:
    c.apply(entry(c, c.env.tags, index, "tag").params, ())
    c.note_guard()
    c.unreachable()


@rule("throw_ref")
def _throw_ref(c: Checker, _: None) -> None:
    c.pop_type(EXNREF)
    c.note_guard()
    c.unreachable()


# Parametric and variable instructions (3.4.4, 3.4.5)


@rule("drop")
def _drop(c: Checker, _: None) -> None:
    c.pop()


@rule("select")
def _select(c: Checker, _: None) -> None:
    c.pop_type(I32)
    second, first = c.pop(), c.pop()
    if first.is_ref or second.is_ref:
        raise c.error("type mismatch: select without a type takes no references")
    if first is not second and first is not BOTTOM and second is not BOTTOM:
        raise c.error(f"type mismatch: select between {first} and {second}")
    c.push(second if first is BOTTOM else first)


@rule("select_t")
def _select_t(c: Checker, types: tuple[ValType, ...]) -> None:
    if len(types) != 1:
        raise c.error("invalid result arity: select has one result")
    c.env.require_types(types, offset=c.ops[c.index][0], func=c.func)
    c.pop_type(I32)
    c.apply(types * 2, types)


@rule("local.get")
def _local_get(c: Checker, index: int) -> None:
    c.push(entry(c, c.locals, index, "local"))
    if index in c.unset:
        raise c.error(f"uninitialized local {index}")


@rule("local.set")
def _local_set(c: Checker, index: int) -> None:
    c.pop_type(entry(c, c.locals, index, "local"))
    c.initialised(index)


@rule("local.tee")
def _local_tee(c: Checker, index: int) -> None:
    type_ = entry(c, c.locals, index, "local")
    c.pop_type(type_)
    c.push(type_)
    c.initialised(index)


@rule("global.get")
def _global_get(c: Checker, index: int) -> None:
    c.push(entry(c, c.env.globals, index, "global").content)


@rule("global.set")
def _global_set(c: Checker, index: int) -> None:
    type_ = entry(c, c.env.globals, index, "global")
    if not type_.mutable:
        raise c.error(f"immutable global {index}")
    c.pop_type(type_.content)


# References and tables (3.4.2, 3.4.6)


@rule("ref.null")
def _ref_null(c: Checker, type_: ValType) -> None:
    c.push(type_)


@rule("ref.is_null")
def _ref_is_null(c: Checker, _: None) -> None:
    c.pop_ref()
    c.push(I32)


@rule("ref.func")
def _ref_func(c: Checker, index: int) -> None:
    entry(c, c.env.funcs, index, "function")
    if index not in c.env.refs:
        raise c.error(f"undeclared function reference {index}")
    c.push(c.env.func_ref(index))


def _table(c: Checker, index: int) -> TableType:
    return entry(c, c.env.tables, index, "table")


@rule("table.get")
def _table_get(c: Checker, index: int) -> None:
    table = _table(c, index)
    c.apply((table.address,), (table.elem,))


@rule("table.set")
def _table_set(c: Checker, index: int) -> None:
    table = _table(c, index)
    c.apply((table.address, table.elem), ())


@rule("table.size")
def _table_size(c: Checker, index: int) -> None:
    c.push(_table(c, index).address)


@rule("table.grow")
def _table_grow(c: Checker, index: int) -> None:
    table = _table(c, index)
    c.apply((table.elem, table.address), (table.address,))


@rule("table.fill")
def _table_fill(c: Checker, index: int) -> None:
    table = _table(c, index)
    c.apply((table.address, table.elem, table.address), ())


@rule("table.copy")
def _table_copy(c: Checker, tables: tuple[int, int]) -> None:
    to, source = (_table(c, index) for index in tables)
    if not type_matches(source.elem, to.elem):
        raise c.error(f"type mismatch: table.copy from {source.elem} to {to.elem}")
    c.apply((to.address, source.address, _both(to.address, source.address)), ())


@rule("table.init")
def _table_init(c: Checker, immediate: tuple[int, int]) -> None:
    table, segment = immediate
    to = _table(c, table)
    source = entry(c, c.env.elems, segment, "elem segment")
    if not type_matches(source, to.elem):
        raise c.error(f"type mismatch: table.init from {source} to {to.elem}")
    c.apply((to.address, I32, I32), ())


@rule("elem.drop")
def _elem_drop(c: Checker, index: int) -> None:
    entry(c, c.env.elems, index, "elem segment")


# Memories (3.4.7)


def reachable(c: Checker, memory: int, offset: int) -> ValType:
    """The address type of a memory in which an access may have this offset."""
    address = _memory(c, memory)
    if offset > M32 and address is I32:
        raise c.error("offset out of range")
    return address


def _address(c: Checker, memarg: tuple[int, int, int]) -> tuple[ValType, ValType]:
    """The types of the address and of the value of the current load or store, its immediate checked."""
    align, offset, memory = memarg
    _memory(c, memory)
    if align >= c.row.width.bit_length():
        raise c.error("alignment must not be larger than natural")
    return reachable(c, memory, offset), c.row.value or BOTTOM


def _load(c: Checker, memarg: tuple[int, int, int]) -> None:
    address, value = _address(c, memarg)
    c.apply((address,), (value,))


def _store(c: Checker, memarg: tuple[int, int, int]) -> None:
    c.apply(_address(c, memarg), ())


_ATOMIC = Feature.THREADS
_PLAIN = [name for name, row in BY_NAME.items() if row.immediate is Immediate.MEMARG and row.feature is not _ATOMIC]
rule(*(name for name in _PLAIN if ".load" in name))(_load)
rule(*(name for name in _PLAIN if ".store" in name))(_store)


# Lanes of vectors (3.4.8)


def check_lanes(c: Checker, lanes: int | bytes) -> None:
    """Check the lane index of the current instruction, or those of a shuffle."""
    highest = max(lanes) if isinstance(lanes, bytes) else lanes
    if highest >= c.row.lanes:
        raise c.error(f"invalid lane index {highest}")


def _lane_load(c: Checker, immediate: tuple[int, int, int, int]) -> None:
    check_lanes(c, immediate[3])
    c.apply(_address(c, immediate[:3]), (V128,))


def _lane_store(c: Checker, immediate: tuple[int, int, int, int]) -> None:
    check_lanes(c, immediate[3])
    c.apply(_address(c, immediate[:3]), ())


_ONE_LANE = [name for name, row in BY_NAME.items() if row.immediate is Immediate.MEMARG_LANE]
rule(*(name for name in _ONE_LANE if ".load" in name))(_lane_load)
rule(*(name for name in _ONE_LANE if ".store" in name))(_lane_store)


@rule("memory.size")
def _memory_size(c: Checker, index: int) -> None:
    c.push(_memory(c, index))


@rule("memory.grow")
def _memory_grow(c: Checker, index: int) -> None:
    address = _memory(c, index)
    c.apply((address,), (address,))


@rule("memory.fill")
def _memory_fill(c: Checker, index: int) -> None:
    address = _memory(c, index)
    c.apply((address, I32, address), ())


@rule("memory.copy")
def _memory_copy(c: Checker, memories: tuple[int, int]) -> None:
    to, source = (_memory(c, index) for index in memories)
    c.apply((to, source, _both(to, source)), ())


@rule("memory.init")
def _memory_init(c: Checker, immediate: tuple[int, int]) -> None:
    memory, segment = immediate
    address = _memory(c, memory)
    data_segment(c, segment)
    c.apply((address, I32, I32), ())


@rule("data.drop")
def _data_drop(c: Checker, index: int) -> None:
    data_segment(c, index)
