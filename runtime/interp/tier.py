"""The interpreter as a tier: the reference, which can go on from any frame."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ..errors import Trap, TrapCode
from ..exec.context import ExecContext
from ..exec.frames import WasmFrame
from ..exec.host import unwind
from ..exec.poll import check
from ..instances.exception import WasmException
from ..instances.func import WasmFunc
from ..values import Value
from .code import Prepared
from .loop import Machine, Preparer, caught
from .prepare import prepare
from .spill import entry_frame, refill

if TYPE_CHECKING:
    from ..module import Module

T = TypeVar("T")


def prepared(func: WasmFunc) -> Prepared:
    """The code of a function; prepared at its first call and kept with its module."""
    cache = func.instance.module.prepared
    code = cache.get(func.code.index)
    if not isinstance(code, Prepared):
        code = cache[func.code.index] = prepare(func.instance.module, func.code.index)
    return code


def prepared_counting(func: WasmFunc) -> Prepared:
    """The same, of code that counts its instructions. A budget is rare, so the two are kept apart."""
    cache = func.instance.module.prepared
    key = ~func.code.index
    code = cache.get(key)
    if not isinstance(code, Prepared):
        code = cache[key] = prepare(func.instance.module, func.code.index, counting=True)
    return code


class Interpreter:
    """Pure Python, on any Python; everything that validates runs here."""

    name = "interpreter"

    def __init__(self, find: Preparer = prepared) -> None:
        self._find = find

    def quick(self, kind: type[T]) -> type[T]:
        """`kind`: an embedder's callables have no shorter way in here."""
        return kind

    def expect(self, module: Module) -> None:
        """Functions are prepared when they are called."""

    def places(self, module: Module) -> None:
        """The interpreter is at its best with a memory that has no fixed place."""

    def preparer(self, ctx: ExecContext) -> Preparer:
        """What finds the code of functions for an execution."""
        return self._find if ctx.requests.steps is None else prepared_counting

    def call(self, ctx: ExecContext, func: WasmFunc, args: tuple[Value, ...]) -> tuple[Value, ...]:
        """Call `func`. May suspend."""
        requests, find = ctx.requests, self.preparer(ctx)
        code = find(func)
        if ctx.depth >= ctx.limits.frames or ctx.cells + code.size > ctx.limits.cells:
            raise Trap(TrapCode.STACK_OVERFLOW)
        if ctx.counters.count_wasm_calls:
            ctx.counters.wasm_calls += 1
        regs = [func.instance, *args, *code.tail]
        if requests.word[0] and code.first is None:
            found = check(requests)
            if found is not None:
                ctx.depth += 1
                ctx.cells += code.size
                ctx.spilled.append(entry_frame(code, regs))
                unwind(ctx, found)
        ctx.depth += 1
        return Machine(ctx, find, code.size).run(regs, code.entry)

    def resume(
        self,
        ctx: ExecContext,
        frame: WasmFrame,
        inbox: tuple[Value, ...] | None,
        thrown: WasmException | None = None,
    ) -> tuple[Value, ...]:
        """Go on in a recorded frame. May suspend."""
        find = self.preparer(ctx)
        code = find(frame.func)
        ctx.cells -= code.size  # the machine counts it from here on
        regs, block = refill(code, frame, inbox)
        if thrown is not None:
            block = caught(code.points[frame.pc].guard, regs, thrown.exn) or block
        return Machine(ctx, find, code.size).run(regs, block)
