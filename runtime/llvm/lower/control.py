"""Lowerings: blocks and branches as basic blocks, and the check point of a loop (spec 4.4.8)."""

from __future__ import annotations

from typing import Any

from ...errors import TrapCode
from ...types import ValType
from .. import abi
from ..builder import OURS, RARELY
from ..emitter import Emitter, Label, Loop
from .registry import lowers


def _types(types: tuple[ValType, ...]) -> tuple[str, ...]:
    return tuple(map(abi.ir_type, types))


@lowers("nop")
def _nop(e: Emitter, immediate: Any) -> None:
    pass


@lowers("unreachable")
def _unreachable(e: Emitter, immediate: Any) -> None:
    e.trap(TrapCode.UNREACHABLE)


@lowers("block")
def _block(e: Emitter, immediate: Any) -> None:
    info = e.side.blocks[e.at]
    e.labels.append(Label(info, e.name(), _types(info.results), checked=e.checked.copy()))


@lowers("if")
def _if(e: Emitter, immediate: Any) -> None:
    info = e.side.blocks[e.at]
    condition = e.condition()
    label = Label(info, e.name(), _types(info.results), checked=e.checked.copy())
    then = e.name()
    if info.else_ >= 0:
        label.other = other = e.name()
        label.before = e.locals[:]
        label.params = e.stack[info.height :]
    else:
        other = e.edge(label)
    e.emit(f"br i1 {condition}, label %{then}, label %{other}")
    e.start(then)
    e.labels.append(label)


@lowers("else")
def _else(e: Emitter, immediate: Any) -> None:
    label = e.labels[-1]
    if e.here is not None:
        e.jump(e.edge(label))
    if label.other is not None:
        e.start(label.other)
    label.other = None
    e.locals = label.before
    e.checked = label.checked.copy()
    e.stack[label.info.height :] = label.params


@lowers("end")
def _end(e: Emitter, immediate: Any) -> None:
    label = e.labels.pop()
    if label.loop is not None:
        _close(e, label, label.loop)
        return
    if label.begun:
        _anew(e, label)
        return
    if e.here is not None:
        if not label.edges and label.info.kind != "if":
            return  # nobody branches here: the block at hand goes on
        e.jump(e.edge(label))
    e.join(label)


@lowers("loop")
def _loop(e: Emitter, immediate: Any) -> None:
    info = e.side.blocks[e.at]
    layout = e.body.layouts[e.at]
    params = _types(info.params)
    given = e.take(len(params))
    header, before = e.name(), e.block()
    e.jump(header)
    e.start(header)
    place = len(e.lines)
    e.emit("")
    carried: list[tuple[int, str, str]] = []
    assigned = e.assigned[e.at]
    for index in layout.live:
        if assigned >> index & 1:
            name = "%" + e.name()
            carried.append((index, name, e.locals[index]))
            e.locals[index] = name
    below = e.stack[:]
    names: list[tuple[str, str]] = []
    for type_, text in given:
        name = "%" + e.name()
        names.append((name, text))
        e.push(type_, name)
    loop = Loop(layout, header, before, place, carried, names, e.locals[:], below)
    e.labels.append(Label(info, e.name(), params, loop=loop))
    if _in_header(e, e.at):
        # The branches back needn't meet before it, and the processor tells them apart: the loop of an interpreter has
        # one for each of its instructions.
        _look(e, loop)


def _in_header(e: Emitter, place: int) -> bool:
    """Whether requests are looked for at the beginning of each turn, the first included. Not where the code begins at
    this very check point, which has been passed: it would never get on."""
    return place in e.forks and (e.point is None or e.point.index != place)


def _look(e: Emitter, loop: Loop) -> None:
    """Look for requests, at the check point of a loop."""
    # A relaxed load, in C++'s terms, but LLVM compares in place only what is volatile; an aligned word is never torn.
    word = e.value(f"load volatile i64, ptr %inst, align 8{OURS}")
    poll(e, e.value(f"icmp eq i64 {word}, {abi.ASK}"), "0", loop)


def _anew(e: Emitter, label: Label) -> None:
    """The end of a turn that the code began in the midst of: whoever branches back comes to the whole loop."""
    if not label.edges:
        return
    info, at = label.info, e.at
    after = Label(info, e.name(), _types(info.results))
    if e.here is not None:
        e.jump(e.edge(after))
    e.join(label)
    e.run(info.start, info.end + 1)
    e.at = at
    if e.here is not None:
        e.jump(e.edge(after))
    e.join(after)


def _close(e: Emitter, label: Label, loop: Loop) -> None:
    """The end of a loop: its latch, where all branches back meet (and requests are looked for, if that is not done in
    the header), then the header's phis."""
    on = None
    if e.here is not None:
        on = e.name()
        e.jump(on)
    back: list[str] = []
    latch = ""
    if label.edges:
        kept = e.locals, e.stack
        back = _latch(e, label, loop)
        latch = e.block()
        e.jump(loop.header)
        e.locals, e.stack = kept
    lines: list[str] = []
    phis = [(e.local_types[index], name, value) for index, name, value in loop.carried]
    phis += [(type_, name, value) for type_, (name, value) in zip(label.types, loop.params, strict=True)]
    for place, (type_, name, value) in enumerate(phis):
        again = f", [{back[place]}, %{latch}]" if back else ""
        lines.append(f"{name} = phi {type_} [{value}, %{loop.before}]{again}")
    e.lines[loop.place] = "\n".join(lines)
    if on is not None:
        e.start(on)


def _latch(e: Emitter, label: Label, loop: Loop) -> list[str]:
    """Values of the header's phis when control comes from a branch back."""
    e.start(label.target)
    edges = label.edges
    e.locals = loop.locals
    e.stack = loop.below
    back: list[str] = []
    for index, _, _ in loop.carried:
        values = [(edge.locals[index], edge.block) for edge in edges]
        back.append(_met(e, e.local_types[index], values))
        e.locals[index] = back[-1]
    for place, type_ in enumerate(label.types):
        back.append(_met(e, type_, [(edge.values[place], edge.block) for edge in edges]))
        e.push(type_, back[-1])
    if not _in_header(e, label.info.start):
        _look(e, loop)
    return back


def _met(e: Emitter, type_: str, values: list[tuple[str, str]]) -> str:
    first = values[0][0]
    return first if all(value == first for value, _ in values) else e.phi(type_, values)


def poll(e: Emitter, condition: str, stack: str, loop: Loop | None) -> None:
    """A check point: in the rare case that `condition` holds, Python looks for requests and the frame may leave.
    `stack` is where the stack stands, at the function's entry."""
    layout = e.body.layouts[-1] if loop is None else loop.layout
    ask, leave, on = e.name(), e.name(), e.name()
    e.emit(f"br i1 {condition}, label %{ask}, label %{on}{RARELY}")
    with e.aside(ask):
        e.keep("i64", e.left, "%inst", abi.LEFT)
        code = e.fixed(abi.SUPPORT + 8 * abi.POLL)
        status = e.value(f"call preserve_allcc i32 {code}(ptr %inst, i64 {stack}) #1")
        found = e.value(f"icmp ne i32 {status}, 0")
        e.emit(f"br i1 {found}, label %{leave}, label %{on}")
    with e.aside(leave):
        e.spill(layout, e.locals, e.stack)
    e.start(on)


@lowers("br")
def _br(e: Emitter, depth: Any) -> None:
    e.jump(e.edge(e.labels[-1 - depth]))


@lowers("br_if")
def _br_if(e: Emitter, depth: Any) -> None:
    condition = e.condition()
    target = e.edge(e.labels[-1 - depth])
    on = e.name()
    e.emit(f"br i1 {condition}, label %{target}, label %{on}")
    e.start(on)


@lowers("br_table")
def _br_table(e: Emitter, immediate: Any) -> None:
    depths, default = immediate
    index = e.pop()
    # A block for each label, so that a label is reached once however often the table names it.
    ways = {depth: e.name() for depth in dict.fromkeys((*depths, default))}
    cases = " ".join([f"i32 {n}, label %{ways[depth]}" for n, depth in enumerate(depths)])
    e.emit(f"switch i32 {index}, label %{ways[default]} [{cases}]")
    for depth, way in ways.items():
        e.start(way)
        e.jump(e.edge(e.labels[-1 - depth]))


@lowers("return")
def _return(e: Emitter, immediate: Any) -> None:
    e.jump(e.edge(e.labels[0]))


@lowers("drop")
def _drop(e: Emitter, immediate: Any) -> None:
    e.stack.pop()


@lowers("select", "select_t")
def _select(e: Emitter, immediate: Any) -> None:
    condition = e.condition()
    (tag_b, b), (tag_a, a) = e.stack.pop(), e.stack.pop()
    if tag_a != tag_b:
        b, a = e.settled(tag_b, b), e.settled(tag_a, a)
        tag_a = e.plain(tag_a)
    type_ = "i1" if tag_a == "i1" else e.plain(tag_a)
    e.push(tag_a, e.value(f"select i1 {condition}, {type_} {a}, {type_} {b}"))
