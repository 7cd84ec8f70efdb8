"""Between registers and the canonical record: both ways, at every check point."""

from __future__ import annotations

from collections.abc import Sequence

from ..exec.frames import WasmFrame, pack
from ..instances.func import WasmFunc
from ..validate.layout import Layout
from ..values import Value
from .code import Block, Prepared, Registers, Site
from .registry import Const, Operand


def func_of(code: Prepared, regs: Registers) -> WasmFunc:
    """The function instance that these registers run."""
    func: WasmFunc = regs[0].funcs[code.code.index]
    return func


def _frame(code: Prepared, layout: Layout, below: Sequence[Operand], regs: Registers) -> WasmFrame:
    values: list[Value] = [regs[1 + local] for local in layout.live]
    values += [o.value if isinstance(o, Const) else regs[o] for o in below]
    return WasmFrame(func_of(code, regs), *pack(layout, values), layout)


def site_frame(site: Site, regs: Registers) -> WasmFrame:
    """The record of a frame at a loop or in a call."""
    return _frame(site.code, site.layout, site.below, regs)


def entry_frame(code: Prepared, regs: Registers) -> WasmFrame:
    """The record of a frame that has not run its first instruction."""
    return _frame(code, code.layouts[-1], (), regs)


def refill(code: Prepared, frame: WasmFrame, inbox: tuple[Value, ...] | None) -> tuple[Registers, Block]:
    """Registers of a recorded frame, and the block to go on with."""
    layout = frame.layout
    parameters = len(frame.func.type.params)
    regs: Registers = [frame.func.instance, *[0] * parameters, *code.tail]
    slots = frame.slots()
    for local, value in zip(layout.live, slots, strict=False):
        regs[1 + local] = value
    if layout.kind == "entry":
        return regs, code.first or code.entry
    site = code.points[layout.pc]
    for place, value in zip(site.below, slots[len(layout.live) :], strict=True):
        if not isinstance(place, Const):
            regs[place] = value
    if layout.kind == "call" and inbox:
        regs[site.dest : site.dest + len(inbox)] = inbox
    return regs, site.next or []
