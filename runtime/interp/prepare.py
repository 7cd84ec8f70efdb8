"""A function body becomes blocks of handlers, once for each module; every look-up is done here and none while running.

Unreachable instructions are passed over: behind an unconditional branch no block is being filled until the `else` or
`end` that somebody can reach.
"""

from __future__ import annotations

from ..instr.atomic import ARITY, OPERATIONS
from ..instr.control import OPENING
from ..instr.model import Immediate, Instr
from ..module import Module
from . import memory as _memory
from . import objects as _objects
from . import table as _table
from .code import Prepared
from .control import CONTROL
from .translator import Label, Translator

#: Operands and results of the rows whose types the table leaves open. Loads and stores are told by their `value`.
_ARITY: dict[str, tuple[int, int]] = {
    "global.get": (0, 1),
    "global.set": (1, 0),
    "select": (3, 1),
    "select_t": (3, 1),
    "memory.size": (0, 1),
    "memory.grow": (1, 1),
    "memory.fill": (3, 0),
    "memory.copy": (3, 0),
    "memory.init": (3, 0),
    "data.drop": (0, 0),
    "table.get": (1, 1),
    "table.set": (2, 0),
    "table.size": (0, 1),
    "table.grow": (2, 1),
    "table.fill": (3, 0),
    "table.copy": (3, 0),
    "table.init": (3, 0),
    "elem.drop": (0, 0),
    "ref.is_null": (1, 1),
    "ref.func": (0, 1),
    "ref.as_non_null": (1, 1),
    "array.len": (1, 1),
    "array.copy": (5, 0),
    "any.convert_extern": (1, 1),
    "extern.convert_any": (1, 1),
    "ref.test": (1, 1),
    "ref.test_null": (1, 1),
    "ref.cast": (1, 1),
    "ref.cast_null": (1, 1),
}
#: What is more than a handler between operands and result, or needs types looked up.
STEPS = CONTROL | _objects.STEPS
#: The files whose import registers handlers; `registry` names those that are imported at their first use.
HANDLERS = (_memory, _objects, _table)


def arity(row: Instr) -> tuple[int, int]:
    """How many operands an instruction outside `STEPS` takes, and how many results it gives."""
    if row.params is not None and row.results is not None:
        return len(row.params), len(row.results)
    if row.name in OPERATIONS:
        return ARITY[OPERATIONS[row.name]]
    if row.width:
        lane = row.immediate is Immediate.MEMARG_LANE
        return (2, 0) if ".store" in row.name else (2 if lane else 1, 1)
    return _ARITY[row.name]


def prepare(module: Module, index: int, counting: bool = False) -> Prepared:
    """The code of the module's own function `index`; with `counting`, code that charges its instructions to
    `Instance.steps`."""
    t = Translator(module, index, counting)
    results = t.side.func.results
    t.labels.append(Label(t.side.func, t.returns(tuple(map(t.home, range(len(results))))), results))
    unreached = 0
    ops = t.body.ops
    while t.at < len(ops):
        t.pc, row, immediate = ops[t.at]
        if t.block is None and (unreached or row.name not in ("else", "end")):
            # Only the nesting matters here.
            unreached += (row.name in OPENING) - (row.name == "end")
        else:
            t.ticks += 1
            step = STEPS.get(row.name)
            if step is not None:
                step(t, immediate)
            else:
                t.compute(row, immediate, *arity(row))
        t.at += 1
    return t.done()
