"""One function: from its checked body to the text of its IR, whole or from a check point on."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from .. import lean
from ..errors import TrapCode
from ..instr.control import OPENING
from ..types import ValType
from . import abi, left
from .abi import Unsupported
from .analysis import scan
from .emitter import Emitter, Label, initial
from .lower import atomic, call, control, convert, exception, memory, numeric, simd, simd_float, table, variable
from .lower.control import poll
from .lower.registry import LOWERINGS

#: The files whose import registers lowerings.
GROUPS = (atomic, call, control, convert, exception, memory, numeric, simd, simd_float, table, variable)
#: Locals and operands of a function that machine code is made of. Its frame on the stack has to stay well below what
#: the stack keeps in reserve, as it is made before the stack's limit is looked at.
_CELLS = 4096
#: Characters of IR that a body may become: so many in any case, and for each of its bytes. What compilers emit takes 40
#: to 140; check points with a great many values, which nobody needs, take up the square of the body's size.
_TEXT, _TEXT_PER_BYTE = 1 << 20, 256
#: Instructions after which the text is measured.
_MEASURED = 256
#: Results of all types that are certainly returned in registers, behind the status.
_RETURNED = 2


@lean.frozen
class Emitted:
    """A definition; whether the function has no check point of its own: it neither calls nor loops; and where accesses
    may trap that only guard pages stop. Functions that it calls by name are declared apart, by their index."""

    text: str
    leaf: bool
    guarded: frozenset[int] = frozenset()
    declared: Mapping[int, str] = lean.field(factory=dict)


def emit(
    layout: abi.BlockLayout, index: int, pc: int | None = None, guard: bool = False, direct: bool = False
) -> Emitted:
    """The definition of `f<index>`; or that of `r<pc>`, which goes on at a check point of that function. With `guard`,
    guard pages stand for bounds checks; with `direct`, other functions are called by name, as `c<index>`. Raises
    Unsupported for what this tier leaves to the interpreter."""
    body = layout.module.body(index)
    # Whoever is stopped by a guard page returns from here, which takes registers for all results.
    guard = guard and (pc is not None or len(layout.module.func_type(index).results) <= _RETURNED)
    e = Emitter(layout, index, None if pc is None else body.by_pc[pc], guard, direct)
    side = e.side
    if len(side.locals) + side.max_height > _CELLS:
        raise Unsupported(f"{len(side.locals)} locals and {side.max_height} operands")
    known = scan(e.body, len(e.type.params))
    e.assigned, e.loose, e.forks = known.assigned, known.loose, known.forks
    e.run = partial(_run, e)
    e.labels.append(Label(side.func, e.name(), e.results))
    e.run(_enter(e, known.leaf) if e.point is None else _go_on(e), len(e.body.ops))
    if e.here is not None:
        _return(e)
    _measure(e)
    return Emitted(e.finish(), known.leaf, frozenset(e.guarded), e.declared)


def _run(e: Emitter, start: int, stop: int) -> None:
    unreached = 0
    for at in range(start, stop):
        pc, row, immediate = e.body.ops[at]
        e.at, e.pc = at, pc
        if e.here is None and (unreached or row.name not in ("else", "end")):
            # Only the nesting matters here.
            unreached += (row.name in OPENING) - (row.name == "end")
            continue
        lowering = LOWERINGS.get(row.name)
        if lowering is None:
            raise Unsupported(row.name)
        lowering(e, immediate)
        if not at % _MEASURED:
            _measure(e)


def _measure(e: Emitter) -> None:
    """Raise Unsupported where the text gets too long for the body."""
    code = e.body.code
    if e.length() > _TEXT + _TEXT_PER_BYTE * (code.end - code.start):
        raise Unsupported("too much code for its size")


def _enter(e: Emitter, leaf: bool) -> int:
    """The limits, and the check point at a function's entry, which costs nothing: a request raises the address that
    the stack is compared with anyway. A function that calls nobody and doesn't loop is over before a request could
    matter, and the stack's reserve has room for it. The place of the first instruction."""
    _charge(e)
    rest = e.value(f"and i64 {e.left}, {left.USED_UP}")
    rare = e.value(f"icmp ne i64 {rest}, 0")
    e.trap_if(rare, TrapCode.STACK_OVERFLOW)
    if not leaf:
        stack = e.value("call ptr @llvm.stacksave.p0()")
        at = e.value(f"ptrtoint ptr {stack} to i64")
        poll(e, e.value(f"icmp ult i64 {at}, {e.ours('i64', '%inst', abi.LIMIT)}"), at, None)
    return 0


def _charge(e: Emitter) -> None:
    size = 1 + len(e.side.locals) + e.side.max_height
    e.left = e.value(f"sub i64 %given, {(size << left.SHIFT) + 1}")


def _go_on(e: Emitter) -> int:
    """Locals and operands as the record has them, and the labels of all blocks around. The record was counted among
    the frames before, and its check has been made. The place of the first instruction."""
    if e.point is None:
        raise ValueError("a function goes on from a check point")
    point = e.point
    _charge(e)
    offset = 0
    values: list[tuple[str, str]] = []
    for type_ in point.types:
        kind = abi.ir_type(type_)
        values.append((kind, e.ours(kind, "%room", offset)))
        offset += type_.slot
    e.locals = list(map(initial, e.side.locals))
    for local, (_, text) in zip(point.live, values, strict=False):
        e.locals[local] = text
    e.stack = values[len(point.live) :]
    start = max(point.index, 0)
    if point.kind == "call":
        start += 1
        for type_ in _awaited(e, point.index):
            kind = abi.ir_type(type_)
            e.push(kind, e.ours(kind, "%room", offset))
            offset += type_.slot
    inside = [block for at, block in e.side.blocks.items() if at < point.index < block.end]
    for block in sorted(inside, key=lambda block: block.start):
        loop = block.kind == "loop"
        types = tuple(map(abi.ir_type, block.params if loop else block.results))
        e.labels.append(Label(block, e.name(), types, before=e.locals[:], begun=loop))
    return start


def _awaited(e: Emitter, index: int) -> tuple[ValType, ...]:
    _, row, immediate = e.body.ops[index]
    target: Any = immediate  # its form belongs to the row
    if row.name == "call":
        return e.module.func_type(target).results
    if row.name == "call_indirect":
        return e.module.decls.functype(int(target[1])).results
    raise Unsupported(row.name)


def _return(e: Emitter) -> None:
    if e.point is not None:
        offset = 0
        for (type_, text), result in zip(e.take(len(e.results)), e.type.results, strict=True):
            wide, value = e.widened(type_, text)
            e.keep(wide, value, "%room", offset)
            offset += result.slot
        e.emit("ret i32 0")
        return
    if not e.results:
        e.emit("ret i32 0")
        return
    values = e.take(len(e.results))
    made = e.value(f"insertvalue {e.returned} undef, i32 0, 0")
    for place, (type_, text) in enumerate(values, 1):
        made = e.value(f"insertvalue {e.returned} {made}, {type_} {text}, {place}")
    e.emit(f"ret {e.returned} {made}")
