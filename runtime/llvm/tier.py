"""The native tier: which functions run as machine code, and the ways between it and the interpreter."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar, cast

from .. import lean
from ..exec.context import ExecContext
from ..exec.frames import WasmFrame, pack
from ..exec.host import unwind
from ..exec.poll import Requests, check
from ..instances.exception import WasmException
from ..instances.func import WasmFunc
from ..instances.instance import Instance
from ..instances.region import guarded, reserve
from ..log import Log
from ..module import Module
from ..values import Value, default
from .code import Heat, Maker, ModuleCode
from .left import MAX_CELLS, MAX_FRAMES

if TYPE_CHECKING:
    from ..exec.tier import Tier
    from ..instances.memory import Places, Reserve
    from ..types import MemoryType
    from .cache import Cache
    from .image import Image
    from .product import Order

T = TypeVar("T")
log = Log(__name__)
_making = threading.Lock()
#: Bytes of a module from which on the compiler begins before anything is hot. Smaller ones would have their first code
#: later by that: what all code leans on is compiled with the first functions as quickly as before them.
_WORTH: Final = 1 << 20

#: Bytes from which on a memory is large: one page is copied faster than addresses are found for it.
_LARGE: Final = 1 << 18

#: Says by a function's index whether it is to have machine code.
Only: TypeAlias = Callable[[int], bool]


class Heats(Protocol):
    """Makes the interpreter's counters for a module."""

    def __call__(self, module: Module, listener: ModuleCode, calls: int, turns: int) -> Heat: ...


@lean.frozen(eq=False)
class Interpreters:
    """The interpreter as this tier needs it."""

    #: Without counters, for executions that machine code can't have.
    plain: Tier
    #: With what finds a function's code, for each module.
    warm: Callable[[Callable[[WasmFunc], Any]], Tier]
    heat: Heats


@lean.frozen
class Policy:
    """When what is compiled."""

    #: Calls of a function, turns of a loop, and goings-on at a check point, before code of it is ordered.
    calls: int = 1
    turns: int = 500
    resumes: int = 2
    #: The code generator's levels, in their order.
    levels: tuple[int, ...] = (2,)
    #: Make code at the first call and wait for it.
    at_once: bool = True
    #: Run machine code in executions whose check points are counted, to inject faults or to take turns. Where code
    #: comes at any moment, that number would depend on the time, as machine code has fewer of them.
    injected: bool = True


class InProcess:
    """Makes code at once, in this process."""

    def order(self, code: ModuleCode, order: Order) -> None:
        """Carry out an order."""
        from .build import build

        base = code.base()
        code.add(build(base.layout, code.ready(order)))
        code.connect()


IN_PROCESS: Final = InProcess()
_KEYS: Final[dict[tuple[Policy, Maker, Cache | None, bool], object]] = {}


class NativeTier:
    """Machine code for what is hot and for what the emitter knows, the interpreter for the rest."""

    name = "native"

    def __init__(
        self,
        interpreters: Interpreters,
        policy: Policy,
        maker: Maker | None = None,
        only: Only | None = None,
        cache: Cache | None = None,
        guard: bool = False,
    ) -> None:
        self.policy = policy
        #: Whether guard pages may stand for bounds checks.
        self.guard = guard
        #: Whether machine code keeps Python's lock where nobody waits for it to look at requests.
        self.keep = False
        self.maker: Maker = IN_PROCESS if maker is None else maker
        #: Which functions it makes code of; None for all that it can.
        self.only = only
        self.cache = cache
        self._plain = interpreters.plain
        self._heat = interpreters.heat
        # Engines that work alike share the code of a module.
        self._keys = [
            object() if only is not None else _KEYS.setdefault((policy, self.maker, cache, each), object())
            for each in (False, True)
        ]
        #: Instances that have memories without guard pages.
        self._unguarded: weakref.WeakSet[Instance] = weakref.WeakSet()
        self._warm = interpreters.warm(self._find)
        self._quick: dict[type, Any] = {}
        self._refused: weakref.WeakSet[Instance] = weakref.WeakSet()

    # A tier's own -------------------------------------------------------------------------------------------------

    def call(self, ctx: ExecContext, func: WasmFunc, args: tuple[Value, ...]) -> tuple[Value, ...]:
        """Call `func`. May suspend."""
        if not self.fit(ctx):
            return self._plain.call(ctx, func, args)
        instance, index = func.instance, func.code.index
        codes = self.code_of(instance.module, self.guard and instance not in self._unguarded)
        code = codes.of(index)
        if code is None:
            return self._warm.call(ctx, func, args)
        image = cast("Image | None", instance.native) or self._image(instance)
        if image is None or codes.guarding:
            if image is None and codes.guarding and instance in self._unguarded:
                return self.call(ctx, func, args)
            if image is None or not image.guarded:
                return self._plain.call(ctx, func, args)
        if ctx.requests.word[0] and index in codes.leaves:
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
        if not self.fit(ctx):
            return self._plain.resume(ctx, frame, inbox, thrown)
        if thrown is not None:
            return self._warm.resume(ctx, frame, inbox, thrown)
        instance, pc = frame.func.instance, frame.pc
        codes = self._code(instance)
        code = codes.points.get(pc, 0)
        if frame.layout.kind == "entry" and not code and not ctx.requests.word[0]:
            # Where a request stands, an entry would meet it again, and never get on.
            ctx.depth -= 1
            ctx.cells -= frame.cells
            return self.call(ctx, frame.func, _arguments(frame))
        if code == 0:
            codes.resumed[pc] = count = codes.resumed.get(pc, 0) + 1
            if count >= self.policy.resumes:
                index = frame.func.code.index
                if self.policy.at_once:
                    code = codes.now_at(index, pc)
                elif count == self.policy.resumes:
                    codes.hot(instance, index, pc)
        if not code:
            return self._warm.resume(ctx, frame, inbox)
        image = cast("Image | None", instance.native) or self._image(instance)
        if image is None or (codes.guarding and not image.guarded):
            return self._plain.resume(ctx, frame, inbox)
        # Counted again by the code, as every frame is.
        ctx.depth -= 1
        ctx.cells -= frame.cells
        return image.resume(ctx, frame, code, inbox)

    def quick(self, kind: type[T]) -> type[T]:
        """A class like `kind`, a `Door`'s, whose objects machine code can serve; `kind` itself where that can't be."""
        found: type[T] | None = self._quick.get(kind)
        if found is None:
            from .capi.kind import quick

            found = self._quick[kind] = quick(kind)
        return found

    def expect(self, module: Module) -> None:
        """Begin to get ready, in the background, for a module that is not so small that it ends before."""
        if len(module.data) < _WORTH or self.policy.at_once or not module.decls.codes:
            return
        if self._keys[self.guard] not in module.compiled:
            self.code_of(module).expect()

    def places(self, module: Module) -> Places | None:
        """Where there is machine code already, a large memory settles at once: it would have to be copied when the
        first of it runs."""
        code = module.compiled.get(self._keys[self.guard])
        if not isinstance(code, ModuleCode) or code.installed is None:
            return None
        guard = code.guard()

        def place(type_: MemoryType) -> Reserve | None:
            if type_.min * type_.page < _LARGE:
                return None
            return guard.reserve if guard is not None and guarded(type_) else reserve

        return place

    def preparer(self, ctx: ExecContext) -> object:
        """None where there may be machine code for a frame."""
        return None if self.fit(ctx) else self._plain.preparer(ctx)

    # Its parts ----------------------------------------------------------------------------------------------------

    def fit(self, ctx: ExecContext) -> bool:
        """Whether an execution may run machine code, which counts neither instructions nor calls, and frames only so
        far."""
        limits, requests = ctx.limits, ctx.requests
        if limits.frames > MAX_FRAMES or limits.cells > MAX_CELLS:
            return False
        if requests.steps is not None or ctx.counters.count_wasm_calls:
            return False
        if self.policy.injected or not (requests.injector or requests.turns or requests.attachments or requests.parent):
            return True
        return not any(map(_counted, requests.chain()))

    def code_of(self, module: Module, guard: bool | None = None) -> ModuleCode:
        """What there is of a module's code, with guard pages or without; None for what most instances have."""
        guard = self.guard if guard is None else guard
        key = self._keys[guard]
        code = module.compiled.get(key)
        if not isinstance(code, ModuleCode):
            with _making:
                code = module.compiled.get(key)
                if not isinstance(code, ModuleCode):
                    policy = self.policy
                    code = ModuleCode(module, self.maker, policy.levels, self.only, policy.at_once, self.cache, guard)
                    code.heat = self._heat(module, code, policy.calls, policy.turns)
                    if self.cache is not None:
                        code.recall()
                    module.compiled[key] = code
        return code

    def _find(self, func: WasmFunc) -> Any:
        """The interpreter's code of a function, with its counters."""
        return self._code(func.instance).heat.find(func)

    def _code(self, instance: Instance) -> ModuleCode:
        return self.code_of(instance.module, self.guard and instance not in self._unguarded)

    def _image(self, instance: Instance) -> Image | None:
        if instance in self._refused:
            return None
        from .image import Image, Unavailable, Unguarded

        try:
            code = self._code(instance)
            image = Image(instance, code, self.keep)
            code.want_support(image.lacking())
            code.want_support(code.base().called, later=True)
            return image
        except Unguarded as error:
            log.info("%r checks its bounds: %s", instance, error)
            self._unguarded.add(instance)
            return None
        except Unavailable as error:
            log.warning("%r stays with the interpreter: %s", instance, error)
            self._refused.add(instance)
            return None


def _counted(requests: Requests) -> bool:
    """Whether the number of a check point matters: faults are injected, turns are counted, or an interrupt in its level
    form is set and reports at one of so many."""
    if requests.injector is not None or requests.turns is not None:
        return True
    return any(each.interrupt.level and each.interrupt.is_set for each in requests.attachments)


def _arguments(frame: WasmFrame) -> tuple[Value, ...]:
    """The arguments of a function that has not begun; what it never looks at has not been kept."""
    live = dict(zip(frame.layout.live, frame.slots(), strict=False))
    return tuple([live.get(i, default(type_)) for i, type_ in enumerate(frame.func.type.params)])


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
