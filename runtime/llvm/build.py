"""An order carried out in this process: bodies to IR, IR to object files."""

from __future__ import annotations

import attrs

from . import abi
from .backend import CompileError, compile_ir
from .builder import PREAMBLE
from .function import emit
from .product import Order, Product
from .support import support_ir


def build(layout: abi.BlockLayout, order: Order) -> Product:
    """Make machine code. What LLVM refuses is refused, part by part; what LLVM takes for a fault of its own ends the
    process."""
    texts: list[str] = []
    leaves: set[int] = set()
    functions: list[int] = []
    points: list[tuple[int, int]] = []
    fault = ""
    for index, pc in [*[(index, None) for index in order.functions], *order.points]:
        try:
            made = emit(layout, index, pc)
        except Exception as error:  # what else but Unsupported is a fault of ours, and the interpreter carries on
            if not isinstance(error, abi.Unsupported):
                fault = f"{type(error).__name__} in {layout.module.func_name(index)}: {error}"
            if pc is None:
                functions.append(index)
            else:
                points.append((index, pc))
            continue
        texts.append(made.text)
        if pc is None and made.leaf:
            leaves.add(index)
    refused = Order(0, tuple(functions), tuple(points))
    try:
        code = compile_ir(PREAMBLE + "".join(texts), order.level) if texts else b""
        # It is small, and lives as long as the process.
        support = compile_ir(support_ir(order.support), 2) if order.support else b""
    except CompileError as error:
        return Product(order, refused=attrs.evolve(order, level=0), fault=str(error).splitlines()[0])
    return Product(order, code, support, frozenset(leaves), refused, fault)
