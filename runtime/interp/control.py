"""Blocks, branches and calls: how each becomes the end of a block or a site."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..declarations import ExternKind
from ..errors import Trap, TrapCode
from ..instr.model import Catch
from ..types import FuncType
from .code import (
    CALL,
    INDIRECT,
    INVOKE,
    LOOP,
    REF,
    TAIL,
    TAIL_INDIRECT,
    TAIL_REF,
    THROW,
    THROW_REF,
    WAIT,
    Block,
    Clause,
    Guard,
    Site,
)
from .numeric import branch_if
from .registry import Const, Handler, Operand, Term
from .translator import Label, Translator, fresh, goto
from .variable import move


def _unreachable(t: Translator, immediate: Any) -> None:
    t.emit(_trap)
    t.finish(goto(fresh()))


def _trap(r: list[Any]) -> None:
    raise Trap(TrapCode.UNREACHABLE)


def _nop(t: Translator, immediate: Any) -> None:
    pass


def _block(t: Translator, immediate: Any) -> None:
    t.settle_all()
    info = t.side.blocks[t.at]
    t.labels.append(Label(info, fresh(), info.results))


def _loop(t: Translator, immediate: Any) -> None:
    t.settle_all()
    info = t.side.blocks[t.at]
    plain, checked = fresh(), fresh()
    site = Site(LOOP, t.pc, t.code, op=t.at, below=tuple(t.stack), next=plain)
    t.code.points[t.pc] = site
    t.finish(goto(plain))
    t.begin(plain)
    t.header(plain, checked, site)
    t.labels.append(Label(info, checked, info.params))


def _if(t: Translator, immediate: Any) -> None:
    branch = _condition(t)
    t.settle_all()
    info = t.side.blocks[t.at]
    label = Label(info, fresh(), info.results)
    then = fresh()
    if info.else_ >= 0:
        label.otherwise = fresh()
        term = branch(then, label.otherwise)
    else:
        label.used = True
        term = branch(then, label.target)
    t.finish(term)
    t.begin(then)
    t.labels.append(label)


def _else(t: Translator, immediate: Any) -> None:
    label = t.labels[-1]
    _join(t, label)
    if label.otherwise is not None:
        t.begin(label.otherwise)
    label.otherwise = None
    t.stack[:] = map(t.home, range(label.info.height + len(label.info.params)))


def _end(t: Translator, immediate: Any) -> None:
    label = t.labels.pop()
    if label.info.kind == "try" and t.guard is not None:
        t.guard = t.guard.outer
    if label.info.kind == "func":
        if t.block is not None:
            _return(t, None)
        return
    if label.info.kind == "loop" or not label.used:
        return  # nothing comes from elsewhere: the block at hand goes on, or what follows stays unreachable
    _join(t, label)
    t.begin(label.target)
    t.stack[:] = map(t.home, range(label.info.height + len(label.info.results)))


def _join(t: Translator, label: Label) -> None:
    """On to the label's target, values in place."""
    if t.block is not None:
        for moving in t.carry(label):
            t.emit(moving)
        label.used = True
        t.finish(goto(label.target))


def _condition(t: Translator) -> Callable[[Block, Block], Term]:
    """What the branch at hand depends on: the comparison just before it, or an operand."""
    fused, t.condition = t.condition, None
    if fused is not None:
        return fused
    operand = t.stack.pop()
    return lambda taken, fall: branch_if(operand, taken, fall)


def branch_target(t: Translator, depth: int) -> Block:
    """Where a branch out of `depth` labels goes: through a block of moves where values must get into place."""
    label = t.labels[-1 - depth]
    label.used = True
    moves = t.carry(label)
    if not moves:
        return label.target
    handlers = tuple(moves)
    return [handlers, goto(label.target), None, (t.code, handlers, (t.pc,) * len(moves))]


def _br(t: Translator, immediate: Any) -> None:
    _join(t, t.labels[-1 - immediate])


def _br_if(t: Translator, immediate: Any) -> None:
    branch = _condition(t)
    fall = fresh()
    t.finish(branch(branch_target(t, immediate), fall))
    t.begin(fall)


def _br_table(t: Translator, immediate: Any) -> None:
    depths, default_depth = immediate
    operand = t.stack.pop()
    made: dict[int, Block] = {}
    for depth in (*depths, default_depth):
        if depth not in made:
            made[depth] = branch_target(t, depth)
    targets = [made[depth] for depth in depths]
    t.finish(_switch(operand, targets, made[default_depth]))


def _switch(operand: Operand, targets: list[Block], default: Block) -> Term:
    count = len(targets)
    if isinstance(operand, Const):
        known = operand.value
        return goto(targets[known] if isinstance(known, int) and known < count else default)
    register = operand

    def term(r: list[Any]) -> Block:
        index = r[register]
        return targets[index] if index < count else default

    return term


def _return(t: Translator, immediate: Any) -> None:
    results = t.labels[0].types if t.labels else t.side.func.results
    operands = t.pop(len(results))
    t.finish(goto(t.returns(t.registers(operands))))


def _call(t: Translator, immediate: Any) -> None:
    kind = INVOKE if immediate < t.module.decls.imported(ExternKind.FUNC) else CALL
    site = Site(kind, t.pc, t.code, index=immediate)
    _leave_call(t, site, t.module.func_type(immediate))


def _call_indirect(t: Translator, immediate: Any) -> None:
    table, type_index = immediate
    site = Site(INDIRECT, t.pc, t.code, index=table, type=t.type_at(type_index))
    _take_index(t, site)
    _leave_call(t, site, t.type_at(type_index))


def _take_index(t: Translator, site: Site) -> None:
    """The index of a table's entry, or the function itself: in a register that the arguments leave alone."""
    operand = t.stack[-1]
    if isinstance(operand, Const):
        t.settle(len(t.stack) - 1)
    found = t.stack.pop()
    site.at = found if isinstance(found, int) else 0


def _leave_call(t: Translator, site: Site, type_: FuncType) -> None:
    site.slots = t.registers(t.pop(len(type_.params)))
    site.op = t.at
    site.below = tuple(t.stack)
    site.dest = t.home(len(t.stack))
    site.type = type_
    site.next = fresh()
    t.code.points[t.pc] = site
    t.leave(site)
    t.begin(site.next)
    for _ in type_.results:
        t.push()


def _atomic_wait(width: int) -> Callable[[Translator, Any], None]:
    """A wait becomes a call of the engine's function, with the whole address."""

    def step(t: Translator, immediate: Any) -> None:
        _, offset, memory = immediate
        address, *rest = t.registers(t.pop(3))
        place = t.home(len(t.stack))
        t.emit(_sum(place, address, offset))
        site = Site(WAIT, t.pc, t.code, (place, *rest), index=memory, at=width)
        site.op = t.at
        site.below = tuple(t.stack)
        site.dest = place
        site.next = fresh()
        t.code.points[t.pc] = site
        t.leave(site)
        t.begin(site.next)
        t.push()

    return step


def _sum(dest: int, register: int, number: int) -> Handler:
    def handler(r: list[Any]) -> None:
        r[dest] = r[register] + number

    return handler


def _return_call(t: Translator, immediate: Any) -> None:
    site = Site(TAIL, t.pc, t.code, index=immediate, type=t.module.func_type(immediate))
    site.slots = t.registers(t.pop(len(t.module.func_type(immediate).params)))
    t.leave(site)


def _call_ref(t: Translator, immediate: Any) -> None:
    site = Site(REF, t.pc, t.code, type=t.type_at(immediate))
    _take_index(t, site)
    _leave_call(t, site, t.type_at(immediate))


def _return_call_ref(t: Translator, immediate: Any) -> None:
    site = Site(TAIL_REF, t.pc, t.code, type=t.type_at(immediate))
    _take_index(t, site)
    site.slots = t.registers(t.pop(len(t.type_at(immediate).params)))
    t.leave(site)


def _return_call_indirect(t: Translator, immediate: Any) -> None:
    table, type_index = immediate
    site = Site(TAIL_INDIRECT, t.pc, t.code, index=table, type=t.type_at(type_index))
    _take_index(t, site)
    site.slots = t.registers(t.pop(len(t.type_at(type_index).params)))
    t.leave(site)


def _try_table(t: Translator, immediate: Any) -> None:
    t.settle_all()
    info = t.side.blocks[t.at]
    clauses: list[Clause] = []
    catches: tuple[Catch, ...] = immediate[1]
    for catch in catches:
        label = t.labels[-1 - catch.label]
        label.used = True
        clauses.append(Clause(catch.tag, catch.ref, t.home(label.info.height), label.target))
    t.guard = Guard(tuple(clauses), t.guard)
    t.labels.append(Label(info, fresh(), info.results))


def _throw(t: Translator, immediate: Any) -> None:
    params = t.module.env.tags[immediate].params
    t.leave(Site(THROW, t.pc, t.code, t.registers(t.pop(len(params))), index=immediate))


def _throw_ref(t: Translator, immediate: Any) -> None:
    t.leave(Site(THROW_REF, t.pc, t.code, t.registers(t.pop(1))))


def _drop(t: Translator, immediate: Any) -> None:
    t.stack.pop()


def _local_get(t: Translator, immediate: Any) -> None:
    t.lend(1 + int(immediate))


def _local_set(t: Translator, immediate: Any) -> None:
    operand = t.stack.pop()
    local = 1 + int(immediate)
    t.release(local)
    if operand != local:
        t.emit(move(local, operand))


def _local_tee(t: Translator, immediate: Any) -> None:
    _local_set(t, immediate)
    t.lend(1 + int(immediate))


def _const(t: Translator, immediate: Any) -> None:
    t.stack.append(Const(immediate))


def _ref_null(t: Translator, immediate: Any) -> None:
    t.stack.append(Const(None))


#: By row name: what is not simply a handler between operands and result.
CONTROL: dict[str, Callable[[Translator, Any], None]] = {
    "unreachable": _unreachable,
    "nop": _nop,
    "block": _block,
    "loop": _loop,
    "if": _if,
    "else": _else,
    "end": _end,
    "br": _br,
    "br_if": _br_if,
    "br_table": _br_table,
    "return": _return,
    "call": _call,
    "call_indirect": _call_indirect,
    "return_call": _return_call,
    "try_table": _try_table,
    "throw": _throw,
    "throw_ref": _throw_ref,
    "return_call_indirect": _return_call_indirect,
    "memory.atomic.wait32": _atomic_wait(4),
    "memory.atomic.wait64": _atomic_wait(8),
    "call_ref": _call_ref,
    "return_call_ref": _return_call_ref,
    "drop": _drop,
    "local.get": _local_get,
    "local.set": _local_set,
    "local.tee": _local_tee,
    "i32.const": _const,
    "i64.const": _const,
    "f32.const": _const,
    "f64.const": _const,
    "v128.const": _const,
    "ref.null": _ref_null,
}
