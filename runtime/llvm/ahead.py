"""All of a module compiled before it runs, for the cache alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from .. import lean
from ..instances.func import WasmFunc
from ..module import Module
from .background import Background
from .cache import Cache
from .code import ModuleCode
from .product import GOOD

#: Functions in one order.
_BATCH: Final = 8


@lean.frozen
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

    def met(self) -> list[int]:
        return []

    def replace(self, index: int) -> None:
        pass

    def replace_loop(self, index: int, pc: int) -> None:
        pass


def compile_ahead(module: Module, cache: Cache, told: Callable[[int, int], None]) -> Compiled:
    """Compile what is not in the cache yet, with bounds checks and, where there are guard pages, for these too. `told`
    learns, now and then, of how many functions out of how many there is an answer."""
    maker = Background()
    codes = [ModuleCode(module, maker, (GOOD,), None, True, cache)]
    guarded = ModuleCode(module, maker, (GOOD,), None, True, cache, True)
    if guarded.guard() is not None:
        codes.append(guarded)
    indexes = [each.index for each in module.decls.codes]
    for code in codes:
        code.heat = _Nobody()
        code.recall()

    def answered() -> int:
        return sum([len(code.made) for code in codes]) // len(codes)

    before = answered()
    try:
        for code in codes:
            missing = [index for index in indexes if index not in code.made]
            for start in range(0, len(missing), _BATCH):
                code.want(missing[start : start + _BATCH])
        while not maker.lanes[GOOD].wait(0.1):
            told(answered(), len(indexes))
    finally:
        for lane in maker.lanes.values():
            lane.close()
    told(answered(), len(indexes))
    made = sum([address is not None for address in codes[0].made.values()])
    return Compiled(before, made, len(indexes) - made, cache.size(module))
