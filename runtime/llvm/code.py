"""What machine code there is of a module, and what has been ordered."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from .. import lean
from ..instances.func import WasmFunc
from ..instances.instance import Instance
from ..instances.region import guarded
from ..log import Log
from ..module import Module

if TYPE_CHECKING:
    from .cache import Cache
    from .guard import Guard
    from .image import Image
    from .installed import Installed
    from .product import Order, Product

log = Log(__name__)

#: Bytes of bodies up to which a module is compiled as a whole when its first function is wanted at once.
_SMALL: Final = 1 << 16


class Maker(Protocol):
    """Who makes code."""

    def order(self, code: ModuleCode, order: Order) -> None:
        """Have `code.add` called with the product, now or later, in any thread; never if that can't be."""


class Heat(Protocol):
    """The interpreter's side: code with counters, which hands functions and loops over."""

    def find(self, func: WasmFunc) -> Any:
        """The code of a function; the interpreter alone knows the form."""

    def met(self) -> list[int]:
        """The functions that were called at least once."""

    def replace(self, index: int) -> None: ...

    def replace_loop(self, index: int, pc: int) -> None: ...


#: All that there are.
_codes: weakref.WeakSet[ModuleCode] = weakref.WeakSet()


class ModuleCode:
    """Code of one module, shared by all its instances. Any thread may ask.

    Most modules that run never have any: what machine code needs is imported when there is the first of it.
    """

    def __init__(
        self,
        module: Module,
        maker: Maker,
        levels: tuple[int, ...],
        only: Callable[[int], bool] | None = None,
        at_once: bool = True,
        cache: Cache | None = None,
        guard: bool = False,
    ) -> None:
        self.module = module
        self.levels = levels
        self.imported = module.imported_funcs
        #: By function index: its code, or None for one that the interpreter keeps. What is not there is not made yet.
        self.made: dict[int, int | None] = {}
        #: The same by the byte offset of a check point: code that goes on there.
        self.points: dict[int, int | None] = {}
        if only is not None:
            self.made.update({code.index: None for code in module.decls.codes if not only(code.index)})
        self._only = only
        #: Whether code is made when it is first asked for, and waited for.
        self.at_once = at_once
        self.heat: Heat
        #: Where code is kept, and whether what is there has all the support code that it needs.
        self.cache = cache
        self.complete = False
        #: Whether guard pages are to stand for bounds checks, where the module has a memory that can have them.
        self.guarding = guard and any(map(guarded, module.env.memories))
        #: Functions whose code has no check point.
        self.leaves: set[int] = set()
        # By identity: a set can't be looked through while other threads make instances.
        self._images: weakref.WeakValueDictionary[int, Image] = weakref.WeakValueDictionary()
        #: How often a frame at a check point was gone on with by the interpreter.
        self.resumed: dict[int, int] = {}
        #: The code itself, and what it needs; None as long as there is none.
        self.installed: Installed | None = None
        self._maker = maker
        self._lock = threading.RLock()
        self._ordered: set[int | tuple[int, int]] = set()
        self._support: set[str] = set()
        #: Functions that were ordered without being hot: the quick form is enough for them.
        self._spare: set[int] = set()
        _codes.add(self)

    @property
    def images(self) -> list[Image]:
        """Those of its instances."""
        return [image for each in self._images.valuerefs() if (image := each()) is not None]

    def join(self, image: Image) -> None:
        """There is another instance."""
        self._images[id(image)] = image

    # Asking -------------------------------------------------------------------------------------------------------

    def has(self, index: int) -> bool:
        """Whether there is code of a function."""
        return self.made.get(index) is not None

    def has_loop(self, pc: int) -> bool:
        """Whether there is code that goes on at a loop."""
        return self.points.get(pc) is not None

    def hot(self, instance: Instance, index: int, pc: int | None) -> None:
        """Order code of a function that is called often, or of a loop that goes round often."""
        if self._only is None or self._only(index):
            self.want([index], [] if pc is None else [(index, pc)])

    def expect(self) -> None:
        """There will be orders. Unless something has been kept, have the compiler begin, and make what all code leans
        on, while the module is being made ready."""
        if self.installed is None:
            from .product import Order

            self.order(Order(self.levels[0]))

    def want(self, functions: Iterable[int], points: Iterable[tuple[int, int]] = ()) -> None:
        """Order code of what has not been ordered yet."""
        with self._lock:
            new = [index for index in functions if index not in self.made and index not in self._ordered]
            places = [each for each in points if each[1] not in self.points and each not in self._ordered]
            if not new and not places:
                return
            self._ordered.update(new, places)
        from .product import Order

        self.order(Order(self.levels[0], tuple(new), tuple(places)))

    def want_rest(self) -> None:
        """Order code, in its quick form, of what was called at all: it is kept, and the next process neither prepares
        nor interprets it. For when there is nothing better to do."""
        if self.cache is None or self.at_once or self.installed is None:
            return
        only = self._only
        rest = [index for index in self.heat.met() if only is None or only(index)]
        with self._lock:
            rest = [index for index in rest if index not in self.made and index not in self._ordered]
            self._spare.update(rest)
        self.want(rest)

    def want_support(self, keys: Iterable[str], later: bool = False) -> None:
        """Order support code for an instance. Nothing waits for it but speed; `later` has it wait for what is hot."""
        with self._lock:
            new = tuple([key for key in dict.fromkeys(keys) if key not in self._support])
            self._support.update(new)
        if new:
            from .product import Order

            self.order(Order(self.levels[-1 if later else 0], support=new))

    def order(self, order: Order) -> None:
        """Have the maker carry out an order. Whatever fails in that, the interpreter carries on."""
        try:
            self._maker.order(self, order)
        except Exception as error:  # of ours or the system's: no thread, no memory
            log.warning("no machine code for %d parts of %s: %r", order.parts, self.module.name, error)

    def of(self, index: int) -> int | None:
        """The code of one of the module's own functions; None where the interpreter has to run it."""
        if self.at_once and index not in self.made:
            codes = self.module.decls.codes
            small = codes[-1].end - codes[0].start <= _SMALL
            self.want([code.index for code in codes] if small else [index])
        return self.made.get(index)

    def now_at(self, index: int, pc: int) -> int | None:
        """The same of a check point."""
        if pc not in self.points and (self._only is None or self._only(index)):
            self.want([], [(index, pc)])
        return self.points.get(pc)

    # New code -----------------------------------------------------------------------------------------------------

    def guard(self) -> Guard | None:
        """What sees to guard pages, if the code does without bounds checks. Known from the first order on, or the
        first image: until then nothing is asked for it."""
        if self.guarding:
            from .guard import guard

            found = guard(self.cache)
            if found is not None:
                return found
            self.guarding = False
        return None

    def ready(self, order: Order) -> Order:
        """An order with all that its maker has to know. Takes a moment if it is the first."""
        return lean.evolve(order.also(self.lacking()), guard=self.guard() is not None)

    def base(self) -> Installed:
        """What the code needs, built now if it has to be."""
        with self._lock:
            if self.installed is None:
                from .installed import Installed

                self.installed = Installed(self)
            return self.installed

    def lacking(self) -> tuple[str, ...]:
        """Keys of the support code that has to be made with the next order."""
        base = self.base()
        if self.cache is not None and not self.complete:
            # What this process has may not be there in the next one.
            return base.support
        return base.lacking()

    def add(self, product: Product) -> None:
        """Take code that has been made. What can't be loaded stays with the interpreter."""
        with self._lock:
            functions = product.order.functions
            spare = bool(functions) and not product.order.points and self._spare.issuperset(functions)
            base = self.base()
            if self.cache is not None and not product.fault:
                # Before the next level is ordered, with which it need not come again.
                self.complete = self.complete or set(base.support) <= set(product.order.support)
            base.add(product, later=spare)
        if self.cache is not None and not product.fault:
            self.cache.save(self.module, product)

    def recall(self) -> None:
        """Take what has been kept. Of what is there in the quick form alone, the better is ordered when it turns out
        to be of use; see `upgrade`."""
        levels = self.levels[-1:] if self.at_once else self.levels
        kept = [] if self.cache is None else self.cache.load(self.module, levels, lambda: self.guard() is not None)
        if not kept:
            return
        from .product import needed

        with self._lock:
            base = self.base()
            # Whatever brings support code comes first: the most of it, then what instances and hosts wanted besides.
            kept.sort(key=lambda each: (-len(each.order.support), not each.order.parts, each.order.level))
            brought = {key for product in kept for key in product.order.support}
            if not brought.issuperset(base.support):
                return
            self.complete = True
            self._support |= brought
            for product in kept:
                self._ordered.update(product.order.functions, product.order.points)
            base.add_all(needed(kept, self.levels[-1]))

    def connect(self) -> None:
        """Nothing more is to come for the moment: see to it that calls go the shortest way."""
        if self.installed is not None:
            with self._lock:
                self.installed.connect()

    def upgrade(self) -> None:
        """Order the better form of what was kept in the quick one."""
        if self.installed is not None and not self.at_once:
            with self._lock:
                self.installed.upgrade()

    def forked(self) -> None:
        """In a child process: whoever held the lock, the compiler's thread or the beat's, is not here."""
        self._lock = threading.RLock()


def _forked() -> None:
    for code in list(_codes):
        code.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
