"""Lowerings: atomic accesses as the processor's own, sequentially consistent (threads proposal)."""

from __future__ import annotations

from typing import Any, Final

from ...errors import TrapCode
from ...instr.atomic import OPERATIONS, ROWS
from ...types import I64
from .. import abi
from ..builder import GUEST
from ..emitter import Emitter
from .memory import address_of
from .registry import Lowering, lowers, register

_ORDER: Final = "seq_cst"


def _aligned(e: Emitter, offset: int, width: int) -> None:
    """Trap unless the address at the top of the stack is a multiple of the width, its offset counted in."""
    if width == 1:
        return
    tag, text = e.stack[-1]
    if text[0] != "%":
        if int(text) + offset & width - 1:
            e.trap_if("true", TrapCode.UNALIGNED_ATOMIC)
        return
    low = e.value(f"and {tag} {e.value(f'add {tag} {text}, {offset & width - 1}')}, {width - 1}")
    e.trap_if(e.value(f"icmp ne {tag} {low}, 0"), TrapCode.UNALIGNED_ATOMIC)


def _place(e: Emitter, immediate: Any, width: int) -> str:
    """The address of an access, checked and taken from the stack."""
    _, offset, index = immediate
    tag, text = e.stack.pop()
    e.push(e.plain(tag), e.settled(tag, text))
    _aligned(e, offset, width)
    return address_of(e, offset, width, index)


def _cut(e: Emitter, type_: str, narrow: str, text: str) -> str:
    return text if narrow == type_ else e.value(f"trunc {type_} {text} to {narrow}")


def _give(e: Emitter, type_: str, narrow: str, text: str) -> None:
    e.push(type_, text if narrow == type_ else e.value(f"zext {narrow} {text} to {type_}"))


def _load(type_: str, width: int) -> Lowering:
    narrow = f"i{8 * width}"

    def lower(e: Emitter, immediate: Any) -> None:
        place = _place(e, immediate, width)
        _give(e, type_, narrow, e.value(f"load atomic volatile {narrow}, ptr {place} {_ORDER}, align {width}{GUEST}"))

    return lower


def _store(type_: str, width: int) -> Lowering:
    narrow = f"i{8 * width}"

    def lower(e: Emitter, immediate: Any) -> None:
        value = _cut(e, type_, narrow, e.pop())
        place = _place(e, immediate, width)
        e.emit(f"store atomic volatile {narrow} {value}, ptr {place} {_ORDER}, align {width}{GUEST}")

    return lower


def _update(operation: str, type_: str, width: int) -> Lowering:
    narrow = f"i{8 * width}"

    def lower(e: Emitter, immediate: Any) -> None:
        value = _cut(e, type_, narrow, e.pop())
        place = _place(e, immediate, width)
        old = e.value(f"atomicrmw volatile {operation} ptr {place}, {narrow} {value} {_ORDER}, align {width}")
        _give(e, type_, narrow, old)

    return lower


def _cmpxchg(type_: str, width: int) -> Lowering:
    narrow = f"i{8 * width}"

    def lower(e: Emitter, immediate: Any) -> None:
        value = _cut(e, type_, narrow, e.pop())
        expected = _cut(e, type_, narrow, e.pop())
        place = _place(e, immediate, width)
        both = e.value(
            f"cmpxchg volatile ptr {place}, {narrow} {expected}, {narrow} {value} {_ORDER} {_ORDER}, align {width}"
        )
        _give(e, type_, narrow, e.value(f"extractvalue {{{narrow}, i1}} {both}, 0"))

    return lower


@lowers("atomic.fence")
def _fence(e: Emitter, immediate: Any) -> None:
    e.emit(f"fence {_ORDER}")


def _whole(e: Emitter, index: int, text: str, offset: int) -> str:
    """Address and offset together, which may be beyond any memory; whoever is given it checks."""
    if text[0] != "%":
        return str(min(int(text) + offset, abi.ASK))
    if e.module.env.memories[index].address is I64:
        # Saturated: a sum that wraps around must not come to lie inside.
        return e.value(f"call i64 @llvm.uadd.sat.i64(i64 {text}, i64 {offset})")
    return e.value(f"add i64 {e.value(f'zext i32 {text} to i64')}, {offset}")


@lowers("memory.atomic.notify")
def _notify(e: Emitter, immediate: Any) -> None:
    _, offset, index = immediate
    count = e.pop()
    address = _whole(e, index, e.pop(), offset)
    e.request("atomic.notify", index, [("i64", address), ("i32", count)], "i32")


def _wait(type_: str, width: int) -> Lowering:
    """A call, as far as leaving the stack goes: to Python, where the waiting is done."""

    def lower(e: Emitter, immediate: Any) -> None:
        _, offset, index = immediate
        timeout, expected = e.pop(), e.pop()
        address = _whole(e, index, e.pop(), offset)
        room = e.fixed(abi.ARGS)
        e.stow(room, [("i64", address), (type_, expected), ("i64", timeout), ("i64", str(width))])
        e.keep("i64", e.left, "%inst", abi.LEFT)
        code = e.fixed(abi.SUPPORT + 8 * abi.REQUEST)
        status = e.value(f"call i32 {code}(ptr %inst, i64 {abi.ASKS['atomic.wait'] | index << 8})")
        cold = e.name()
        e.rarely(e.value(f"icmp ne i32 {status}, 0"), cold)
        with e.aside(cold):
            e.spill(e.body.layouts[e.at], e.locals, e.stack)
        e.push("i32", e.ours("i32", room, 0))

    return lower


def _lowering(operation: str, type_: str, width: int) -> Lowering:
    match operation:
        case "load":
            return _load(type_, width)
        case "store":
            return _store(type_, width)
        case "cmpxchg":
            return _cmpxchg(type_, width)
        case "wait":
            return _wait(type_, width)
    return _update(operation, type_, width)


for _row in ROWS:
    if _row.name in OPERATIONS and OPERATIONS[_row.name] != "notify":
        register(_row.name, _lowering(OPERATIONS[_row.name], str(_row.value), _row.width))
