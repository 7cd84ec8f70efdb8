"""One function: from its checked body to the text of its IR."""

from __future__ import annotations

import attrs

from ..errors import TrapCode
from ..instr.control import OPENING
from . import abi
from .abi import Unsupported
from .analysis import scan
from .emitter import Emitter, Label
from .lower import atomic, call, control, convert, memory, numeric, simd, simd_float, table, variable
from .lower.control import poll
from .lower.registry import LOWERINGS

#: The files whose import registers lowerings.
GROUPS = (atomic, call, control, convert, memory, numeric, simd, simd_float, table, variable)
#: Locals and operands of a function that machine code is made of. Its frame on the stack has to stay well below what
#: the stack keeps in reserve, as it is made before the stack's limit is looked at.
_CELLS = 4096


@attrs.frozen
class Emitted:
    """A definition, and whether the function has no check point of its own: it neither calls nor loops."""

    text: str
    leaf: bool


def emit(layout: abi.BlockLayout, index: int) -> Emitted:
    """The definition of `f<index>`. Raises Unsupported for what this tier leaves to the interpreter."""
    e = Emitter(layout, index)
    side = e.side
    if len(side.locals) + side.max_height > _CELLS:
        raise Unsupported(f"{len(side.locals)} locals and {side.max_height} operands")
    known = scan(e.body, len(e.type.params))
    e.assigned, e.loose = known.assigned, known.loose
    e.labels.append(Label(side.func, e.name(), e.results))
    _enter(e, known.leaf)
    unreached = 0
    for at, (pc, row, immediate) in enumerate(e.body.ops):
        e.at, e.pc = at, pc
        if e.here is None and (unreached or row.name not in ("else", "end")):
            # Only the nesting matters here.
            unreached += (row.name in OPENING) - (row.name == "end")
            continue
        lowering = LOWERINGS.get(row.name)
        if lowering is None:
            raise Unsupported(row.name)
        lowering(e, immediate)
    if e.here is not None:
        _return(e)
    return Emitted(e.finish(), known.leaf)


def _enter(e: Emitter, leaf: bool) -> None:
    """The limits, and the check point at a function's entry, which costs nothing: a request raises the address that
    the stack is compared with anyway. A function that calls nobody and doesn't loop is over before a request could
    matter, and the stack's reserve has room for it."""
    size = 1 + len(e.side.locals) + e.side.max_height
    e.left = e.value(f"sub i64 %given, {(size << abi.LEFT_SHIFT) + 1}")
    rest = e.value(f"and i64 {e.left}, {abi.USED_UP}")
    rare = e.value(f"icmp ne i64 {rest}, 0")
    e.trap_if(rare, TrapCode.STACK_OVERFLOW)
    if not leaf:
        stack = e.value("call ptr @llvm.stacksave.p0()")
        at = e.value(f"ptrtoint ptr {stack} to i64")
        poll(e, e.value(f"icmp ult i64 {at}, {e.ours('i64', '%inst', abi.LIMIT)}"), at, None)


def _return(e: Emitter) -> None:
    if not e.results:
        e.emit("ret i32 0")
        return
    values = e.take(len(e.results))
    made = e.value(f"insertvalue {e.returned} undef, i32 0, 0")
    for place, (type_, text) in enumerate(values, 1):
        made = e.value(f"insertvalue {e.returned} {made}, {type_} {text}, {place}")
    e.emit(f"ret {e.returned} {made}")
