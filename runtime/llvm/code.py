"""What machine code there is of a module: made function by function, or at once where the module is small."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from ..module import Module
from . import abi
from .backend import CompileError, compile_ir
from .builder import PREAMBLE
from .function import Emitted, emit
from .loader import Code, LoadError, load
from .support import SUPPORT, THUNK, thunks

if TYPE_CHECKING:
    from .image import Image

log = logging.getLogger(__name__)

#: Bytes of bodies up to which a module is compiled as a whole when its first function is wanted.
_SMALL: Final = 1 << 16
#: The code generator's levels: quick to compile, quick to run.
QUICK: Final = 0
GOOD: Final = 2


class ModuleCode:
    """Code of one module, shared by all its instances. Any thread may ask."""

    def __init__(self, module: Module, level: int, only: Callable[[int], bool] | None = None) -> None:
        self.module = module
        self.level = level
        self.layout = abi.BlockLayout(module)
        self.imported = module.imported_funcs
        #: By function index: its code, or None for one that the interpreter keeps. What is not there is not made yet.
        self.made: dict[int, int | None] = {}
        if only is not None:
            self.made.update({code.index: None for code in module.decls.codes if not only(code.index)})
        #: Functions whose code has no check point.
        self.leaves: set[int] = set()
        self.images: weakref.WeakSet[Image] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._codes: list[Code] = []
        env = module.env
        types = [*env.funcs, *env.signatures]
        found = iter(SUPPORT.ways([type_ for type_ in types if abi.callable_from_code(type_)]))
        ways = [next(found) if abi.callable_from_code(type_) else (0, 0) for type_ in types]
        count = len(env.funcs)
        #: By function index: the way in.
        self.enters = [way[0] for way in ways[:count]]
        numbers = [*range(count), *[abi.FROM_TABLE] * len(env.types)]
        self._thunks = thunks([(number, way[1]) for number, way in zip(numbers, ways, strict=True)])
        #: What stands in for the code of a function, and for each type what calls one of another instance.
        self.outs = [self._thunks.start + THUNK * i for i in range(count)]
        self.strangers = [self._thunks.start + THUNK * (count + i) for i in range(len(env.types))]

    def of(self, index: int) -> int | None:
        """The code of one of the module's own functions, which is made now if it has to be; None where the
        interpreter keeps the function."""
        try:
            return self.made[index]
        except KeyError:
            pass
        with self._lock:
            if index not in self.made:
                self._make(index)
            return self.made[index]

    def _make(self, index: int) -> None:
        codes = self.module.decls.codes
        indexes: Iterable[int] = (index,)
        if codes[-1].end - codes[0].start <= _SMALL:
            indexes = [code.index for code in codes if code.index not in self.made]
        texts: dict[int, Emitted] = {}
        for each in indexes:
            try:
                texts[each] = emit(self.layout, each)
            except abi.Unsupported as error:
                log.debug("%s stays with the interpreter: %s", self.module.func_name(each), error)
                self.made[each] = None
        if texts:
            self._compile(texts)

    def _compile(self, texts: dict[int, Emitted]) -> None:
        try:
            code = load(compile_ir(PREAMBLE + "".join([made.text for made in texts.values()]), self.level))
        except (CompileError, LoadError) as error:
            log.warning("no machine code for %d functions of %s: %s", len(texts), self.module.name, error)
            self.made.update(dict.fromkeys(texts))
            return
        self._codes.append(code)
        for index, made in texts.items():
            if made.leaf:
                self.leaves.add(index)
            address = code.symbols[f"f{index}"]
            self.made[index] = address
            for image in list(self.images):
                image.install(index, address)
