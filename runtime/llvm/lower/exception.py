"""Lowerings: exceptions (spec 4.4.10). What throws leaves as any error does; where a `try_table` stands around, Python
says whether one of its clauses takes it, and the way there is a cold one."""

from __future__ import annotations

from typing import Any

from ...types import EXNREF, ValType
from .. import abi
from ..emitter import Emitter, Label
from .registry import lowers


@lowers("try_table")
def _try_table(e: Emitter, immediate: Any) -> None:
    info = e.side.blocks[e.at]
    results = tuple(map(abi.ir_type, info.results))
    e.labels.append(Label(info, e.name(), results, checked=e.checked.copy()))


@lowers("throw")
def _throw(e: Emitter, tag: Any) -> None:
    _raise(e, "throw", tag, len(e.module.env.tags[tag].params))


@lowers("throw_ref")
def _throw_ref(e: Emitter, immediate: Any) -> None:
    _raise(e, "throw_ref", 0, 1)


def _raise(e: Emitter, name: str, immediate: int, operands: int) -> None:
    e.stow(e.fixed(abi.ARGS), e.take(operands))
    code = e.fixed(abi.SUPPORT + 8 * abi.REQUEST)
    e.value(f"call i32 {code}(ptr %inst, i64 {abi.ASKS[name] | immediate << 8})")
    catch(e)
    e.traps.append((e.block(), e.pc << 8 | abi.RAISED))
    e.jump("trap")


def catch(e: Emitter) -> None:
    """An error is on its way out of the instruction at hand: where a clause takes it, control goes there; else on, in
    the block that is begun."""
    start = e.side.guards.get(e.at, -1)
    if start < 0:
        return
    room = e.fixed(abi.ARGS)
    code = e.fixed(abi.SUPPORT + 8 * abi.REQUEST)
    e.value(f"call i32 {code}(ptr %inst, i64 {abi.ASKS['catch'] | e.body.ops[start][0] << 8})")
    which = e.ours("i64", room, 0)
    on = e.name()
    ways: list[tuple[str, Label, tuple[ValType, ...]]] = []
    while start >= 0:
        place = next(n for n, label in enumerate(e.labels) if label.info.start == start and label.info.kind == "try")
        clauses: Any = e.body.ops[start][2]  # its form belongs to the row
        for clause in clauses[1]:
            carried = () if clause.tag is None else e.module.env.tags[clause.tag].params
            carried = (*carried, EXNREF) if clause.ref else carried
            ways.append((e.name(), e.labels[place - 1 - clause.label], carried))
        start = e.side.blocks[start].guard
    cases = " ".join([f"i64 {n}, label %{way}" for n, (way, _, _) in enumerate(ways, 1)])
    e.emit(f"switch i64 {which}, label %{on} [{cases}]")
    for way, label, carried in ways:
        e.start(way)
        _hand_on(e, room, label, carried)
    e.start(on)


def _hand_on(e: Emitter, room: str, label: Label, carried: tuple[ValType, ...]) -> None:
    """Go to `label` with what the exception carries, which Python has put behind the first eight bytes."""
    kept = e.stack
    e.stack = kept[: label.info.height]
    offset = 8
    for type_ in carried:
        kind = abi.ir_type(type_)
        e.push(kind, e.ours(kind, room, offset))
        offset += abi.size_of(kind)
    e.jump(e.edge(label))
    e.stack = kept
