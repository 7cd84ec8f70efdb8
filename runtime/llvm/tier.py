"""The native tier: which functions run as machine code, and the ways between it and the interpreter."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import TypeAlias

from ..exec.context import ExecContext
from ..exec.frames import WasmFrame, pack
from ..exec.host import unwind
from ..exec.poll import check
from ..exec.tier import Tier
from ..instances.exception import WasmException
from ..instances.func import WasmFunc
from ..instances.instance import Instance
from ..module import Module
from ..values import Value, default
from . import abi
from .code import GOOD, ModuleCode
from .image import Image, Unavailable

log = logging.getLogger(__name__)

#: Whether this tier runs a function.
Takes: TypeAlias = Callable[[ExecContext, WasmFunc], bool]
#: Says by a function's index whether it is to have machine code.
Only: TypeAlias = Callable[[int], bool]


class NativeTier:
    """Machine code for what the emitter knows, the interpreter for the rest and for frames that are gone on with."""

    name = "native"

    def __init__(self, fallback: Callable[[Takes], Tier], level: int = GOOD, only: Only | None = None) -> None:
        self.fallback = fallback(self.takes)
        self.level = level
        #: Which functions it makes code of; None for all that it can.
        self.only = only
        self._refused: weakref.WeakSet[Instance] = weakref.WeakSet()
        self._lock = threading.Lock()

    def call(self, ctx: ExecContext, func: WasmFunc, args: tuple[Value, ...]) -> tuple[Value, ...]:
        """Call `func`. May suspend."""
        found = self.code(ctx, func)
        if found is None:
            return self.fallback.call(ctx, func, args)
        image, code = found
        if ctx.requests.word[0] and func.code.index in image.code.leaves:
            _check_entry(ctx, func, args)
        return image.run(ctx, func, code, args)

    def resume(
        self,
        ctx: ExecContext,
        frame: WasmFrame,
        inbox: tuple[Value, ...] | None,
        thrown: WasmException | None = None,
    ) -> tuple[Value, ...]:
        """Go on in a recorded frame. May suspend."""
        # Where a request stands, an entry would meet it again, and never get on.
        if frame.layout.kind == "entry" and not ctx.requests.word[0] and self.takes(ctx, frame.func):
            ctx.depth -= 1
            ctx.cells -= frame.cells
            return self.call(ctx, frame.func, _arguments(frame))
        return self.fallback.resume(ctx, frame, inbox, thrown)

    def takes(self, ctx: ExecContext, func: WasmFunc) -> bool:
        """Whether a call of `func` runs machine code."""
        return self.code(ctx, func) is not None

    def code(self, ctx: ExecContext, func: WasmFunc) -> tuple[Image, int] | None:
        """The image and the code for a call of `func`; None where the interpreter has to make it. Machine code counts
        neither instructions nor calls, and frames only so far."""
        limits = ctx.limits
        if limits.frames > abi.MAX_FRAMES or limits.cells > abi.MAX_CELLS:
            return None
        if ctx.requests.steps is not None or ctx.counters.count_wasm_calls:
            return None
        image = func.instance.native
        if not isinstance(image, Image):
            image = self._image(func.instance)
            if image is None:
                return None
        code = image.code.of(func.code.index)
        return None if code is None else (image, code)

    def _image(self, instance: Instance) -> Image | None:
        with self._lock:
            if isinstance(instance.native, Image):
                return instance.native
            if instance in self._refused:
                return None
            try:
                return Image(instance, self._code_of(instance.module))
            except Unavailable as error:
                log.warning("%r stays with the interpreter: %s", instance, error)
                self._refused.add(instance)
                return None

    def _code_of(self, module: Module) -> ModuleCode:
        key: object = self.level if self.only is None else self
        code = module.compiled.get(key)
        if not isinstance(code, ModuleCode):
            code = module.compiled[key] = ModuleCode(module, self.level, self.only)
        return code


def _check_entry(ctx: ExecContext, func: WasmFunc, args: tuple[Value, ...]) -> None:
    """The check point before a function that has none of its own: a host that calls such a function again and again
    has to be stopped all the same."""
    found = check(ctx.requests)
    if found is not None:
        body = func.instance.module.body(func.code.index)
        values = [*args, *map(default, body.side.locals[len(args) :])]
        layout = body.layouts[-1]
        frame = WasmFrame(func, *pack(layout, [values[i] for i in layout.live]), layout)
        ctx.spilled.append(frame)
        ctx.depth += 1
        ctx.cells += frame.cells
        unwind(ctx, found)


def _arguments(frame: WasmFrame) -> tuple[Value, ...]:
    """The arguments of a function that has not begun; what it never looks at has not been kept."""
    live = dict(zip(frame.layout.live, frame.slots(), strict=False))
    return tuple([live.get(i, default(type_)) for i, type_ in enumerate(frame.func.type.params)])
