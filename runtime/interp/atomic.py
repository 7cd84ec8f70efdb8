"""Handlers of atomic accesses (threads proposal): the operand's address, then the step in `instances.atomic`.

What traps there are raised by it, none by indexing: so the run loop's net for out of bounds is not needed here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from ..exec.atomic import notify
from ..instances import atomic
from ..instr.atomic import OPERATIONS
from ..instr.model import Instr
from . import inline
from .registry import Handler, Operand, handles, register

#: By operation: what is done, over the memory `y`, the address `p`, the width `w` and the operands `{b}` and `{c}`.
_TEXTS = {
    "load": "r[d] = load(y, p, w)",
    "store": "store(y, p, w, {b})",
    "cmpxchg": "r[d] = cmpxchg(y, p, w, {b}, {c})",
    "notify": "r[d] = notify(y, p, {b})",
}
_UPDATE = "r[d] = update(y, p, w, o, {b})"
_STEPS = {"load": atomic.load, "store": atomic.store, "cmpxchg": atomic.cmpxchg, "notify": notify}


def _access(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    _, offset, index = cast("tuple[int, int, int]", immediate)
    operation = OPERATIONS[row.name]
    step = _STEPS.get(operation)
    (address, *rest), bound = inline.place(operands)
    text = _TEXTS.get(operation, _UPDATE).format(**dict(zip("bc", rest, strict=False)))
    name = "update" if step is None else operation
    params = f"d, {name}, m, n, w, o, {inline.cells(operands)}"
    body = f"y = r[0].memories[m]\np = {address} + n\n{text}"
    values = (dest, step or atomic.update, index, offset, row.width, operation)
    made: Handler = inline.factory(params, body)(*values, *bound)
    return made


@handles("atomic.fence")
def _fence(row: Instr, immediate: object, dest: int, operands: Sequence[Operand]) -> Handler:
    """Every atomic access orders all others here: there is nothing left to do."""
    return lambda r: None


for _name, _operation in OPERATIONS.items():
    if _operation != "wait":
        register(_name, _access)
