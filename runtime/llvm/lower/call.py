"""Lowerings: calls, each with the check that the callee has not left the stack (spec 4.4.10)."""

from __future__ import annotations

from typing import Any

from ...errors import TrapCode
from ...types import FUNCREF, I32, FuncType
from .. import abi
from ..builder import return_type
from ..emitter import Emitter, Operand
from .exception import catch
from .registry import lowers


@lowers("call")
def _call(e: Emitter, index: Any) -> None:
    type_ = e.module.func_type(index)
    args = e.take(len(type_.params))
    # A function's own code is at hand; another's is looked up, or left to the loader: see `loader.Calls`.
    own = index == e.index and e.point is None
    e.recursive |= own
    if own:
        code = f"@f{index}"
    elif e.direct and index >= e.module.imported_funcs:
        code = e.other(index, type_)
    else:
        code = e.ours("ptr", "%inst", e.layout.funcs + 8 * index)
    _leave(e, type_, code, args)


def _leave(e: Emitter, type_: FuncType, code: str, args: list[Operand]) -> None:
    if not abi.callable_from_code(type_):
        raise abi.Unsupported(f"a call of a function of type {type_}")
    results = tuple(map(abi.ir_type, type_.results))
    returned = return_type(results)
    given = "".join([f", {t} {text}" for t, text in args])
    made = e.value(f"call {returned} {code}(ptr %inst, i64 {e.left}{given})")
    status = e.value(f"extractvalue {returned} {made}, 0") if results else made
    cold = e.name()
    e.rarely(e.value(f"icmp ne i32 {status}, 0"), cold)
    with e.aside(cold):
        catch(e)
        e.spill(e.body.layouts[e.at], e.locals, e.stack)
    for place, result in enumerate(results, 1):
        e.push(result, e.value(f"extractvalue {returned} {made}, {place}"))


def _found(e: Emitter, immediate: Any, codes: str) -> tuple[FuncType, str, list[Operand]]:
    """The function of a table's entry: its type, its code among `codes`, and the arguments. Traps where there is none
    of that type."""
    table, type_index = immediate
    type_ = e.module.decls.functype(type_index)
    if e.module.env.tables[table].elem is not FUNCREF or (type_.of is not None and not type_.of.final):
        raise abi.Unsupported("a call through a table of typed references, or of an open type")
    index = e.pop()
    args = e.take(len(type_.params))
    cell = e.fixed(e.layout.tables + 8 * table)
    wide = index
    if index[0] == "%" and e.module.env.tables[table].address is I32:
        wide = e.value(f"zext i32 {index} to i64")
    e.trap_if(e.value(f"icmp uge i64 {wide}, {e.ours('i64', cell, 8)}"), TrapCode.UNDEFINED_ELEMENT)
    entry = e.value(f"getelementptr [16 x i8], ptr {e.ours('ptr', cell, 0)}, i64 {wide}")
    have = e.ours("i32", entry, 0)
    # The whole cell is the type's own, so the load is the same for all of the function's run.
    want = e.value(f"trunc i64 {_number(e, type_index)} to i32")
    wrong = e.name()
    e.rarely(e.value(f"icmp ne i32 {have}, {want}"), wrong)
    with e.aside(wrong):
        e.keep("i64", _entry(e, table, wide), "%inst", abi.INDIRECT)
        e.trap_if(e.value(f"icmp eq i32 {have}, 0"), TrapCode.UNINITIALIZED_ELEMENT)
        e.trap(TrapCode.INDIRECT_CALL_TYPE)
    return type_, _target(e, table, type_index, wide, entry, codes), args


@lowers("call_indirect")
def _call_indirect(e: Emitter, immediate: Any) -> None:
    _leave(e, *_found(e, immediate, e.field("%inst", e.layout.funcs)))


@lowers("return_call")
def _return_call(e: Emitter, index: Any) -> None:
    type_ = e.module.func_type(index)
    args = e.take(len(type_.params))
    _replace(e, type_, e.ours("ptr", e.fixed(abi.TAILS), 8 * index), args)


@lowers("return_call_indirect")
def _return_call_indirect(e: Emitter, immediate: Any) -> None:
    _replace(e, *_found(e, immediate, e.fixed(abi.TAILS)))


def _replace(e: Emitter, type_: FuncType, code: str, args: list[Operand]) -> None:
    """Leave for a function that goes on in this one's place; see `tails`."""
    if not abi.callable_from_code(type_):
        raise abi.Unsupported(f"a call of a function of type {type_}")
    e.stow(e.fixed(abi.ARGS), args)
    e.keep("ptr", code, "%inst", abi.TAIL_CODE)
    e.keep("ptr", e.passing(type_), "%inst", abi.TAIL_WAY)
    e.replaced = True
    e.jump("instead")


def _number(e: Emitter, type_index: int) -> str:
    place = e.field("%inst", e.layout.types + 8 * type_index)
    return e.value(f"load i64, ptr {place}, !invariant.load !1")


def _entry(e: Emitter, table: int, wide: str) -> str:
    return e.value(f"or i64 {wide}, {table << 32}")


def _target(e: Emitter, table: int, type_index: int, wide: str, entry: str, codes: str) -> str:
    """The code to call: a function's of this instance straight, any other's by way of Python."""
    owner = e.ours("ptr", entry, 8)
    stranger, ours, on = e.name(), e.name(), e.name()
    mine = e.value(f"icmp eq ptr {owner}, %inst")
    e.emit(f"br i1 {mine}, label %{ours}, label %{stranger}")
    with e.aside(stranger):
        e.keep("i64", _entry(e, table, wide), "%inst", abi.INDIRECT)
        other = e.fixed(e.layout.strangers + 8 * type_index)
        e.jump(on)
    e.start(ours)
    function = e.value(f"zext i32 {e.ours('i32', entry, 4)} to i64")
    code = e.value(f"load ptr, ptr {e.value(f'getelementptr ptr, ptr {codes}, i64 {function}')}, !tbaa !4")
    e.jump(on)
    e.start(on)
    return e.phi("ptr", [(code, ours), (other, stranger)])
