"""Machine code of a module that has been made: loaded, and put where it is called."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..declarations import ExternKind
from ..log import Log
from . import abi
from .capi.api import supported
from .capi.exports import served
from .driver import Doors
from .frames import Points, Row
from .loader import Calls, Code, LoadError, load, load_all, tables
from .mirror import type_number
from .product import Order, Product
from .support import COMMON, EXPORT, SUPPORT, THUNK, thunks

if TYPE_CHECKING:
    from ..types import FuncType
    from .code import ModuleCode

log = Log(__name__)

#: So many functions are too few to load code anew for.
_FRESH: Final = 8


class Installed:
    """The heavier half of a `ModuleCode`, whose lock its callers hold."""

    def __init__(self, code: ModuleCode) -> None:
        self._books = code
        module = code.module
        self.layout = abi.BlockLayout(module)
        self.points = Points(module)
        #: Where records are gone on with, for the machine to look up.
        self.doors = Doors()
        #: Whether there is all that an image needs.
        self.ready = False
        #: Whether what all modules share has been ordered in a better form.
        self._common_wanted = False
        self._codes: list[Code] = []
        #: By function index: code that nothing better will come of. And what it was loaded from, and how many functions
        #: have got such code since that was last loaded anew.
        self._final: dict[int, int] = {}
        self._kept: list[tuple[Order, bytes]] = []
        self._fresh = 0
        self._to_hosts: dict[tuple[tuple[int, int], ...], Code] = {}
        self._later: list[tuple[Order, set[int | tuple[int, int]]]] = []
        self._level: dict[int | tuple[int, int], int] = {}
        types = [*module.env.funcs, *module.env.signatures]
        #: Words of the room: enough for the operands and results of any call, and of any request.
        self.room = max([64, *[2 * max(len(t.params), len(t.results)) + 2 for t in types]])
        #: How the arguments and results of functions lie in it.
        self.rows: dict[FuncType, tuple[Row, Row]] = {}
        self._keys = [abi.signature_key(t) if abi.callable_from_code(t) else "" for t in types]
        #: Keys of the support code that the module has to have before any of its code runs, and of what makes calls by
        #: Python shorter, which may come later where nobody waits for code.
        self.support = tuple(dict.fromkeys([COMMON, *filter(None, self._keys)]))
        self.called = tuple(dict.fromkeys(self._called()))
        if code.at_once:
            self.support, self.called = (*self.support, *self.called), ()
        #: By function index: the way in.
        self.enters: list[int] = []
        #: As blocks have them: by function index its code, or what stands in for it; for each type what calls a
        #: function of another instance; the numbers of types.
        self.codes = (ctypes.c_uint64 * len(module.env.funcs))()
        self.strangers = (ctypes.c_uint64 * len(module.env.types))()
        self.numbers = (ctypes.c_uint64 * len(module.env.signatures))(*map(type_number, module.env.signatures))
        #: By function index: what tables say of it.
        self.entries = [type_number(type_) | index << 32 for index, type_ in enumerate(module.env.funcs)]
        #: How often functions have got code.
        self.count = 0
        #: By function index: the code that a tail call goes to.
        self.tails = (ctypes.c_uint64 * max(len(module.env.funcs), 1))()
        self._settle()

    def _called(self) -> list[str]:
        """Keys of the wrappers by which Python calls what the module exports."""
        module = self._books.module
        own = [each.index for each in module.decls.exports if each.kind is ExternKind.FUNC]
        keys = [self._keys[index] for index in own if index >= module.imported_funcs]
        return [EXPORT + key for key in keys if key and served(key)] if supported() else []

    def lacking(self) -> tuple[str, ...]:
        """Keys of support code that has to be made yet."""
        return () if self.ready else tuple(SUPPORT.missing(self.support))

    def add_all(self, products: Sequence[Product]) -> None:
        """Take code that has been kept; better code is ordered at the next `upgrade`."""
        final = [product for product in products if product.code and product.order.level == self._books.levels[-1]]
        try:
            codes = dict(zip(map(id, final), load_all([each.code for each in final], self._calls()), strict=True))
        except LoadError:
            codes = {}  # one of them: each by itself, then
        for product in products:
            self.add(product, True, codes.get(id(product)))

    def add(self, product: Product, later: bool = False, loaded: Code | None = None) -> None:
        """Take code that has been made, and may be loaded already. The next level of it is ordered, at once or at the
        next `upgrade`."""
        order, refused, name = product.order, product.refused, self._books.module.name
        if product.fault:
            log.warning("no machine code for %d parts of %s: %s", refused.parts, name, product.fault)
        try:
            if product.support:
                SUPPORT.adopt(product.support, order.support, order.level)
            self._settle()
            if self.ready and not order.parts:
                for image in self._books.images:
                    image.link_hosts()
            code = loaded or (load(product.code, self._calls()) if product.code else None)
            if not self.ready:
                raise LoadError("its support code is missing")
            if code is not None and order.guard:
                self._protect(code, product.code)
        except LoadError as error:
            log.warning("machine code of %s can't be used: %s", name, error)
            code, refused = None, order
        if code is not None:
            self._codes.append(code)
            if order.level == self._books.levels[-1] and order.functions:
                self._kept.append((order, product.code))
                self._fresh += 0 if loaded else len(order.functions)
        self._install(product, code, refused, later)

    def _calls(self) -> Calls:
        return Calls(self._final, self.layout.funcs, len(self.tails))

    def connect(self) -> None:
        """Load final code anew where enough has come since, so that calls in what came first go straight to what came
        later. What was loaded before may be running, and stays."""
        if self._fresh < _FRESH or 4 * self._fresh < len(self._final):
            return
        self._fresh = 0
        try:
            codes = load_all([data for _, data in self._kept], self._calls())
            for (order, data), code in zip(self._kept, codes, strict=True):
                if order.guard:
                    self._protect(code, data)
        except LoadError as error:
            log.info("calls of %s stay as they are: %s", self._books.module.name, error)
            return
        self._codes += codes
        for (order, _), code in zip(self._kept, codes, strict=True):
            for index in order.functions:
                address = code.symbols.get(f"f{index}")
                if address is not None and index in self._final:
                    self._final[index] = address
                    self._put(index, address, code)

    def _protect(self, code: Code, data: bytes) -> None:
        """Have faults of code without bounds checks taken for traps. Raises LoadError."""
        found, guard = tables(data), self._books.guard()
        if found is None:
            return  # it has no such access
        if guard is None:
            raise LoadError("there are no guard pages here")
        guard.add(code, found)

    def _install(self, product: Product, code: Code | None, refused: Order, later: bool) -> None:
        order = product.order
        lost: set[int | tuple[int, int]] = {*refused.functions, *refused.points}
        books = self._books
        books.leaves |= product.leaves
        for index in order.functions:
            if self._level.get(index, -1) >= order.level:
                continue
            address = None if code is None or index in lost else code.symbols.get(f"f{index}")
            if address is None:
                books.made.setdefault(index, None)
                continue
            self._level[index] = order.level
            if order.level == books.levels[-1]:
                self._final[index] = address
            if code is not None:
                self._put(index, address, code)
        for point in order.points:
            if self._level.get(point, -1) >= order.level:
                continue
            address = None if code is None or point in lost else code.symbols.get(f"r{point[1]}")
            if address is None:
                books.points.setdefault(point[1], None)
                continue
            self._level[point] = order.level
            books.points[point[1]] = address
            self.doors.replace(point[1], address)
            books.heat.replace_loop(*point)
            for image in books.images:
                image.improved(point[1])
        if later:
            self._later.append((order, lost))
        else:
            self._better(order, lost)

    def _put(self, index: int, address: int, code: Code) -> None:
        """Have calls of a function go to its code from now on."""
        books = self._books
        books.made[index] = self.codes[index] = address
        self.count += 1
        self.tails[index] = code.symbols.get(f"t{index}", address)
        for image in books.images:
            image.install(index, address)
        books.heat.replace(index)

    def to_hosts(self, wrappers: dict[int, int]) -> dict[int, int]:
        """Addresses of code that goes to these wrappers, by the index of the host function, and tells it."""
        key = tuple(wrappers.items())
        made = self._to_hosts.get(key)
        if made is None:
            made = self._to_hosts[key] = thunks(key)
        return {index: made.start + THUNK * i for i, index in enumerate(wrappers)}

    def upgrade(self) -> None:
        """Order the next level of what has been put off."""
        waiting, self._later = self._later, []
        for order, lost in waiting:
            self._better(order, lost)

    def _better(self, order: Order, lost: set[int | tuple[int, int]]) -> None:
        """Order the next level of what has just come."""
        higher = [level for level in self._books.levels if level > order.level]
        functions = tuple([i for i in order.functions if i not in lost and self._level.get(i) == order.level])
        points = tuple([p for p in order.points if p not in lost and self._level.get(p) == order.level])
        if higher and (functions or points):
            self._books.order(Order(min(higher), functions, points))
            if SUPPORT.level < min(higher) and not self._common_wanted:
                self._common_wanted = True
                self._books.order(Order(min(higher), support=(COMMON,)))

    def _settle(self) -> None:
        """Build the ways in and out, once all support code is there."""
        if self.ready or SUPPORT.missing(self.support):
            return
        env = self._books.module.env
        ways: list[tuple[int, ...]] = [SUPPORT.ways(key) if key else (0, 0) for key in self._keys]
        count = len(env.funcs)
        self.enters = [way[0] for way in ways[:count]]
        numbers = [*range(count), *[abi.FROM_TABLE] * len(env.types)]
        self._thunks = thunks([(number, way[1]) for number, way in zip(numbers, ways, strict=True)])
        for index in range(count):
            self.codes[index] = self.tails[index] = self._thunks.start + THUNK * index
        for index in range(len(env.types)):
            self.strangers[index] = self._thunks.start + THUNK * (count + index)
        self.ready = True
