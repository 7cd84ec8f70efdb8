"""Frames that wait for a callee, put aside as they are: registers and all, until somebody wants to see one.

A deep stack of the interpreter is left and gone on with in one step: its frames are no records as long as nobody asks
for them, and the next run takes the list over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..exec.context import ExecContext
from ..exec.frames import WasmFrame
from ..instances.instance import Instance
from ..values import Value
from .code import Registers, Site
from .spill import site_frame

if TYPE_CHECKING:
    from .loop import Machine, Preparer


class Shelf:
    """Frames of one machine, each with the site of its call. Implements `exec.frames.Batch`."""

    __slots__ = ("_machine", "_prepared", "_stack")

    def __init__(
        self, machine: type[Machine], prepared: Preparer, stack: list[tuple[Site, Registers]]
    ) -> None:
        self._machine = machine
        self._prepared = prepared
        #: Outermost first. Nobody else has these registers.
        self._stack = stack

    def copy(self) -> Shelf:
        """The same frames, which stay when they are taken off here."""
        return Shelf(self._machine, self._prepared, [(site, regs.copy()) for site, regs in self._stack])

    @property
    def instance(self) -> Instance:
        """That of the outermost: the machine goes from one to another."""
        found: Instance = self._stack[0][1][0]
        return found

    @property
    def over(self) -> bool:
        """Whether none is left."""
        return not self._stack

    def frames(self) -> list[WasmFrame]:
        """All of them, outermost first."""
        return [site_frame(site, regs) for site, regs in self._stack]

    def take(self) -> WasmFrame:
        """The innermost, which is taken off."""
        return site_frame(*self._stack.pop())

    def go_on(self, ctx: ExecContext, inbox: tuple[Value, ...] | None) -> tuple[Value, ...] | None:
        """Finish all of them, from the innermost on: the outermost one's results. None where the execution runs other
        code by now than that which they stand in. May suspend."""
        if ctx.tier.preparer(ctx) is not self._prepared:
            return None
        stack, self._stack = self._stack, []
        before = stack.copy()
        cells = sum([len(regs) for _, regs in stack])
        # The machine counts them from here on.
        ctx.depth -= len(stack) - 1
        ctx.cells -= cells
        try:
            return self._machine(ctx, self._prepared, cells).finish(stack, inbox)
        finally:
            # What waits below the first one that is new, or gone, has not been gone on with.
            left = min(len(stack), len(before))
            while left and stack[left - 1] is not before[left - 1]:
                left -= 1
            ctx.counters.restarts["call"] += len(before) - left
