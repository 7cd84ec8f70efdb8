"""How often functions are called and loops go round, until that has been often enough: then another tier is told.

A counter is a handler at the front of a block, and takes itself out when it has counted to its end. So counting costs
something for a while and nothing from then on, and code that nobody counts never pays for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ..instances.func import WasmFunc
from ..instances.instance import Instance
from ..module import Module
from .code import MACHINE, ONWARDS, Block, Prepared, Site
from .prepare import prepare


class Listener(Protocol):
    """Whom to tell."""

    def hot(self, instance: Instance, index: int, pc: int | None) -> None:
        """A function has been called often, or its loop at `pc` has gone round often."""

    def has(self, index: int) -> bool:
        """Whether another tier has code of a function."""

    def has_loop(self, pc: int) -> bool:
        """Whether another tier can go on at a loop."""


class Heat:
    """The functions of a module, prepared with counters. A function or loop that another tier has code for is handed
    to it by a site; which tier that is, the execution knows."""

    def __init__(self, module: Module, listener: Listener, calls: int, turns: int) -> None:
        self._module = module
        self._listener = listener
        self._calls = calls
        self._turns = turns
        self._prepared: dict[int, Prepared] = {}

    def find(self, func: WasmFunc) -> Prepared:
        """The code of one of the module's functions, prepared at its first call."""
        index = func.code.index
        code = self._prepared.get(index)
        if code is None:
            code = prepare(self._module, index)
            self._count(code, index)
            code = self._prepared.setdefault(index, code)
            # Only now: whoever has new code puts it in his own books first and looks here afterwards.
            if self._listener.has(index):
                self.replace(index)
            for pc in code.loops:
                if self._listener.has_loop(pc):
                    self.replace_loop(index, pc)
        return code

    def met(self) -> list[int]:
        """The functions that were called, and so prepared."""
        return list(self._prepared)

    def replace(self, index: int) -> None:
        """Another tier runs this function from now on."""
        code = self._prepared.get(index)
        if code is None or code.first is not None:
            return
        site = Site(MACHINE, code.code.start, code, index=index)
        code.first = list(code.entry)
        code.entry[:] = [(), None, site, code.entry[3]]

    def replace_loop(self, index: int, pc: int) -> None:
        """Another tier goes on at this loop from now on."""
        code = self._prepared.get(index)
        block = None if code is None else code.loops.get(pc)
        if code is None or block is None or block[2].kind == ONWARDS:
            return
        before: Site = block[2]
        block[2] = Site(ONWARDS, pc, code, op=before.op, below=before.below, next=before.next)

    def _count(self, code: Prepared, index: int) -> None:
        _counter(code.entry, self._calls, lambda r: self._listener.hot(r[0], index, None))
        for pc, block in code.loops.items():
            _counter(block, self._turns, lambda r, pc=pc: self._listener.hot(r[0], index, pc))  # type: ignore[misc]


def _counter(block: Block, count: int, tell: Callable[[list[Any]], None]) -> None:
    left = count
    plain = block[0]

    def handler(r: list[Any]) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            if block[0] and block[0][0] is handler:
                block[0] = plain
            tell(r)

    block[0] = (handler, *plain)
