"""An order carried out in this process: bodies to IR, IR to object files."""

from __future__ import annotations

from typing import TypeAlias

from .. import lean
from . import abi, notes
from .backend import CompileError, compile_ir
from .builder import PREAMBLE
from .function import Emitted, emit
from .loader import tables
from .product import GOOD, Order, Product
from .sites import rows_of
from .support import COMMON, support_ir

#: A function's index, the byte offset of a check point or None, and what was emitted of it.
_Part: TypeAlias = "tuple[int, int | None, Emitted]"


def build(layout: abi.BlockLayout, order: Order) -> Product:
    """Make machine code. What LLVM refuses is refused, part by part; what LLVM takes for a fault of its own ends the
    process."""
    parts: list[_Part] = []
    leaves: set[int] = set()
    functions: list[int] = []
    points: list[tuple[int, int]] = []
    fault = ""
    for index, pc in [*[(index, None) for index in order.functions], *order.points]:
        try:
            made = emit(layout, index, pc, order.guard, order.level >= GOOD)
        except Exception as error:  # what else but Unsupported is a fault of ours, and the interpreter carries on
            if not isinstance(error, abi.Unsupported):
                fault = f"{type(error).__name__} in {layout.module.func_name(index)}: {error}"
            if pc is None:
                functions.append(index)
            else:
                points.append((index, pc))
            continue
        parts.append((index, pc, made))
        if pc is None and made.leaf:
            leaves.add(index)
    refused = Order(0, tuple(functions), tuple(points))
    try:
        code = _compiled(layout, order.level, parts) if parts else b""
        support = _support(order)
    except CompileError as error:
        return Product(order, refused=lean.evolve(order, level=0), fault=str(error).splitlines()[0])
    return Product(order, code, support, frozenset(leaves), refused, fault)


def _support(order: Order) -> tuple[bytes, ...]:
    """Object files of support code. Ways in and out are small, and live as long as the process: they are made well at
    once. What all modules share is most of it; it comes in the order's level, and better later."""
    ways = [key for key in order.support if key != COMMON]
    made = [compile_ir(support_ir([COMMON]), order.level)] if COMMON in order.support else []
    return (*made, *([compile_ir(support_ir(ways), GOOD)] if ways else []))


def _compiled(layout: abi.BlockLayout, level: int, parts: list[_Part]) -> bytes:
    """An object file of these parts. One of whose accesses LLVM has lost the place is made anew, with bounds checks.
    Raises CompileError."""
    guarded = any(made.guarded for _, _, made in parts)
    head = PREAMBLE + notes.PREAMBLE * guarded
    declared = {index: line for _, _, made in parts for index, line in made.declared.items()}
    code = compile_ir(head + "".join([*declared.values(), *[made.text for _, _, made in parts]]), level, guarded)
    found = tables(code) if guarded else None
    told = set() if found is None else {line for _, line in rows_of(found.lines)}
    if all(made.guarded <= told for _, _, made in parts):
        return code
    checked = [
        (i, pc, made if made.guarded <= told else emit(layout, i, pc, direct=level >= GOOD)) for i, pc, made in parts
    ]
    return _compiled(layout, level, checked)
