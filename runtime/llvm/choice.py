"""The native tier as engines have it: at once, or in the background; compiled here, or in a process of its own."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from .cache import Cache, usual
from .code import Maker, ModuleCode
from .tier import IN_PROCESS, Interpreters, NativeTier, Policy

if TYPE_CHECKING:
    from .product import Order

#: Everything at its first call.
EVERYTHING: Final = Policy()
#: What is hot. A call or turn takes the interpreter some microseconds, and a function takes a few milliseconds to
#: compile: both have then cost about the same.
HOT: Final = Policy(calls=100, turns=1000, resumes=4, levels=(0, 2), at_once=False, injected=False)


class Late:
    """A maker that is not there before its first order: most programs end before anything is hot."""

    def __init__(self, hot: bool, trusted: bool) -> None:
        self._hot = hot
        self._trusted = trusted

    @functools.cached_property
    def maker(self) -> Maker:
        """The maker itself."""
        from .background import Awaited, Background

        return Background(self._trusted) if self._hot else Awaited()

    def order(self, code: ModuleCode, order: Order) -> None:
        """Hand an order on."""
        self.maker.order(code, order)


def choose(
    interpreters: Interpreters, hot: bool, trusted: bool, kept: Path | Literal["usual"] | None, guard: bool
) -> NativeTier:
    """A tier for what is hot, or for everything, whose code is kept in a folder. `guard` says whether guard pages may
    stand for bounds checks."""
    folder = usual() if kept == "usual" else kept
    cache = None if folder is None else cache_in(folder)
    return NativeTier(interpreters, HOT if hot else EVERYTHING, _maker(hot, trusted), cache=cache, guard=guard)


@functools.cache
def cache_in(folder: Path) -> Cache:
    """One for each folder, so that engines that share it share what is loaded from it."""
    return Cache(folder)


@functools.cache
def _maker(hot: bool, trusted: bool) -> Maker:
    """One for the whole process: its threads and processes are shared."""
    return IN_PROCESS if trusted and not hot else Late(hot, trusted)
