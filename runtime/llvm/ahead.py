"""All of a module compiled before it runs, for the cache alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from ..instances.func import WasmFunc
from ..module import Module
from .background import Background
from .cache import Cache
from .code import ModuleCode
from .product import GOOD

#: Functions in one order.
_BATCH: Final = 8


@attrs.frozen
class Compiled:
    """What came of it: functions that there was code of before, that there is now, and that stay with the
    interpreter; and the bytes that are kept of the module."""

    before: int
    made: int
    interpreted: int
    size: int


class _Nobody:
    """An interpreter that runs nothing."""

    def find(self, func: WasmFunc) -> Any:
        raise ValueError("nothing runs while code is made ahead")

    def replace(self, index: int) -> None:
        pass

    def replace_loop(self, index: int, pc: int) -> None:
        pass


def compile_ahead(module: Module, cache: Cache, told: Callable[[int, int], None]) -> Compiled:
    """Compile what is not in the cache yet. `told` learns, now and then, of how many functions out of how many there
    is an answer."""
    maker = Background()
    code = ModuleCode(module, maker, (GOOD,), None, True, cache)
    code.heat = _Nobody()
    code.recall()
    indexes = [each.index for each in module.decls.codes]
    before = len(code.made)
    missing = [index for index in indexes if index not in code.made]
    try:
        for start in range(0, len(missing), _BATCH):
            code.want(missing[start : start + _BATCH])
        while not maker.lanes[GOOD].wait(0.1):
            told(len(code.made), len(indexes))
    finally:
        for lane in maker.lanes.values():
            lane.close()
    told(len(code.made), len(indexes))
    made = sum([address is not None for address in code.made.values()])
    return Compiled(before, made, len(indexes) - made, cache.size(module))
