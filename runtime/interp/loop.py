"""The interpreter's loop: runs one frame until it is left, and the frames that it calls, on a list of its own.

No Python recursion: a deep guest costs heap, not stack. Handlers signal memory out of bounds by the exceptions that
indexing raises anyway (a test on every access would cost more than the access); host code runs outside of that net,
so that its own exceptions are never mistaken for traps.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeAlias

from ..errors import Trap, TrapCode
from ..exec.atomic import WAITS
from ..exec.context import ExecContext
from ..exec.groups import arrive
from ..exec.host import enter, unwind
from ..exec.poll import check
from ..exec.state import Suspended
from ..instances.exception import ExnInst, WasmException
from ..instances.func import FuncInst, TailCall, Unwind, WasmFunc
from ..instances.objects import null
from ..types import FUNC, func_matches
from ..values import Value
from .code import (
    CALL,
    INVOKE,
    LOOP,
    MACHINE,
    ONWARDS,
    REF,
    RETURN,
    TAIL,
    TAIL_REF,
    THROW,
    THROW_REF,
    WAIT,
    Block,
    Guard,
    Prepared,
    Registers,
    Site,
)
from .shelf import Shelf
from .spill import entry_frame, func_of, site_frame

#: What a handler raises for an access out of bounds.
_OUT_OF_BOUNDS = (struct.error, IndexError, OverflowError)
#: Gives a function's code, preparing it at first.
Preparer: TypeAlias = Callable[[WasmFunc], Prepared]


class Machine:
    """One run of the interpreter within an execution: the frame at hand and those that wait for it."""

    __slots__ = ("base", "cells", "cells_before", "ctx", "gone", "prepared", "room", "stack", "word")

    def __init__(self, ctx: ExecContext, prepared: Preparer, size: int) -> None:
        self.ctx = ctx
        self.prepared = prepared
        self.word = ctx.requests.word
        #: Frames that wait for a callee, outermost first: the call's site and the registers.
        self.stack: list[tuple[Site, Registers]] = []
        #: Frames that were there before, and our first one.
        self.base = ctx.depth
        self.room = ctx.limits.frames - ctx.depth
        self.cells_before = ctx.cells
        self.cells = ctx.cells + size
        #: Registers of the last frame that a host function was tail-called from: it is no more.
        self.gone: Registers | None = None

    def run(self, regs: Registers, block: Block) -> tuple[Value, ...]:
        """Run from `block` until the first frame returns. May suspend."""
        op: Any = None
        site: Site | None = None
        where: Any = None
        func: FuncInst
        args: tuple[Value, ...]
        word, stack = self.word, self.stack
        result: tuple[Value, ...] | TailCall
        while True:
            try:
                while True:
                    try:
                        ops, term, site, where = block
                        while True:
                            while site is None:
                                for op in ops:
                                    op(regs)
                                ops, term, site, where = term(regs)
                            kind = site.kind
                            if kind == LOOP:
                                if word[0]:
                                    self._poll_loop(site, regs)
                                site = None
                            elif kind == CALL:
                                regs = self._call(site, regs)
                                ops, term, site, where = site.target.entry  # type: ignore[union-attr]  # set by _call
                            elif kind == RETURN:
                                if not stack:
                                    return self._finish(site, regs)
                                regs, (ops, term, site, where) = self._return(site, regs)
                            elif kind >= MACHINE:
                                break
                            else:
                                func, args = self._callee(site, regs)
                                if not isinstance(func, WasmFunc):
                                    break
                                regs, (ops, term, site, where) = self._enter(site, regs, func, args)
                    except _OUT_OF_BOUNDS:
                        raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY) from None
                    if site.kind >= MACHINE:
                        result = self._elsewhere(site, regs)
                    else:
                        result = self._host(site, regs, func, args)
                    if isinstance(result, TailCall):
                        regs, block = self._enter(site, regs, result.func, result.args)  # type: ignore[arg-type]
                        continue
                    if site.kind >= TAIL and not stack:
                        return self._done(result)
                    regs, block = self._deliver(site, regs, result)
            except Unwind:
                raise
            except WasmException as error:
                found = self._catch(error, site, regs)
                if found is None:
                    self._left(error, regs, site, where, op)
                    raise
                regs, block = found
            except BaseException as error:
                self._left(error, regs, site, where, op)
                raise

    def finish(self, stack: list[tuple[Site, Registers]], inbox: tuple[Value, ...] | None) -> tuple[Value, ...]:
        """Go on with frames that wait for a callee, which has come back with `inbox`: the outermost one's results. The
        stack is the machine's from now on. May suspend."""
        self.stack = stack
        site, regs = stack.pop()
        if inbox:
            regs[site.dest : site.dest + len(inbox)] = inbox
        return self.run(regs, site.next or [])

    # Calls between functions of modules ----------------------------------------------------------------------------

    def _call(self, site: Site, regs: Registers) -> Registers:
        """A call within the module: the callee's registers."""
        target = site.target
        if target is None:
            target = site.target = self.prepared(regs[0].funcs[site.index])
        slots = site.slots
        if site.take is not None:
            callee = [regs[0], *site.take(regs), *target.tail]
        elif slots:
            callee = [regs[0], regs[slots[0]], *target.tail]
        else:
            callee = [regs[0], *target.tail]
        self._push(site, regs, target)
        if self.word[0] and target.first is None:
            self._poll_entry(target, callee)
        return callee

    def _push(self, site: Site, regs: Registers, target: Prepared) -> None:
        """The frame at hand begins to wait for a callee. Traps past the limits."""
        self.cells += target.size
        if len(self.stack) >= self.room or self.cells > self.ctx.limits.cells:
            raise Trap(TrapCode.STACK_OVERFLOW)
        self.stack.append((site, regs))
        if self.ctx.counters.count_wasm_calls:
            self.ctx.counters.wasm_calls += 1

    def _callee(self, site: Site, regs: Registers) -> tuple[FuncInst, tuple[Value, ...]]:
        """Whom a site calls, and with what. Traps where an indirect call has no right target."""
        args = site.take(regs) if site.take is not None else tuple([regs[i] for i in site.slots])
        kind = site.kind
        if kind in (INVOKE, TAIL):
            return regs[0].funcs[site.index], args
        if kind in (THROW, THROW_REF):
            raise _exception(site, regs, args)
        if kind == WAIT:
            return WAITS[site.at], (site.index, *args)
        if kind in (REF, TAIL_REF):
            target = regs[site.at]
            if target is None:
                raise null(FUNC)
            return target, args
        elems = regs[0].tables[site.index].elems
        index = regs[site.at]
        if index >= len(elems):
            raise Trap(TrapCode.UNDEFINED_ELEMENT)
        func = elems[index]
        if func is None:
            raise Trap(TrapCode.UNINITIALIZED_ELEMENT, f"{TrapCode.UNINITIALIZED_ELEMENT.value} {index}")
        if func.type is not site.type and not func_matches(func.type, site.type):  # type: ignore[arg-type]  # it has one
            raise Trap(TrapCode.INDIRECT_CALL_TYPE)
        return func, args

    def _enter(self, site: Site, regs: Registers, func: WasmFunc, args: tuple[Value, ...]) -> tuple[Registers, Block]:
        """Begin a function's frame, in place of the one at hand for a tail call."""
        if func.instance is not regs[0] and func.instance not in self.ctx.touched:
            arrive(self.ctx, func.instance)
        code = self.prepared(func)
        callee = [func.instance, *args, *code.tail]
        if site.kind >= TAIL:
            self.cells += code.size - len(regs)
            if self.ctx.counters.count_wasm_calls:
                self.ctx.counters.wasm_calls += 1
        else:
            self._push(site, regs, code)
        if self.word[0] and code.first is None:
            self._poll_entry(code, callee)
        return callee, code.entry

    def _return(self, site: Site, regs: Registers) -> tuple[Registers, Block]:
        """Hand the results to the frame that waits."""
        caller, below = self.stack.pop()
        self.cells -= len(regs)
        slots = site.slots
        if site.take is not None:
            below[caller.dest : caller.dest + len(slots)] = site.take(regs)
        elif slots:
            below[caller.dest] = regs[slots[0]]
        return below, caller.next  # type: ignore[return-value]  # every call site has one

    def _finish(self, site: Site, regs: Registers) -> tuple[Value, ...]:
        self.ctx.depth = self.base - 1
        self.ctx.cells = self.cells_before
        slots = site.slots
        return (regs[slots[0]],) if len(slots) == 1 else tuple([regs[i] for i in slots])

    def _done(self, values: tuple[Value, ...]) -> tuple[Value, ...]:
        self.ctx.depth = self.base - 1
        self.ctx.cells = self.cells_before
        return values

    # The host ------------------------------------------------------------------------------------------------------

    def _host(
        self, site: Site, regs: Registers, func: FuncInst, args: tuple[Value, ...]
    ) -> tuple[Value, ...] | TailCall:
        """Call host functions, until one returns or asks for a function of a module in its place."""
        ctx = self.ctx
        ctx.depth, ctx.cells = self.base + len(self.stack), self.cells
        if site.kind >= TAIL:
            ctx.depth, ctx.cells = ctx.depth - 1, ctx.cells - len(regs)
            self.gone = regs
        try:
            while not isinstance(func, WasmFunc):
                result = enter(ctx, func, regs[0], args)
                if not isinstance(result, TailCall):
                    return result
                func, args = result.func, result.args
            return TailCall(func, args)
        except Unwind:
            if site.kind < TAIL:
                ctx.spilled.append(site_frame(site, regs))
            self._shelve()
            raise

    def _deliver(self, site: Site, regs: Registers, values: tuple[Value, ...]) -> tuple[Registers, Block]:
        """A host function's results go to the frame that called it, or that a tail call left waiting."""
        if site.kind >= TAIL:
            self.cells -= len(regs)
            site, regs = self.stack.pop()
        regs[site.dest : site.dest + len(values)] = values
        return regs, site.next  # type: ignore[return-value]  # every call site has one

    def _elsewhere(self, site: Site, regs: Registers) -> tuple[Value, ...]:
        """Have another tier run the function at hand from its entry, or go on with it at a loop. The frame is that
        tier's from here on, and its results are the function's."""
        ctx = self.ctx
        func = func_of(site.code, regs)
        onwards = site.kind == ONWARDS
        if onwards and self.word[0]:
            self._poll_loop(site, regs)
        frame = site_frame(site, regs) if onwards else None
        ctx.depth, ctx.cells = self.base + len(self.stack), self.cells
        self.gone = regs
        try:
            if frame is not None:
                return ctx.tier.resume(ctx, frame, None)
            ctx.depth, ctx.cells = ctx.depth - 1, ctx.cells - len(regs)
            return ctx.tier.call(ctx, func, tuple(regs[1 : 1 + len(func.type.params)]))
        except Unwind:
            self._shelve()
            raise
    # Exceptions ----------------------------------------------------------------------------------------------------

    def _catch(self, error: WasmException, site: Site | None, regs: Registers) -> tuple[Registers, Block] | None:
        """Where an exception that was thrown at `site` goes on: in the frame at hand or in one that waits, those above
        which are left; None, with nothing left, where nobody here catches it."""
        left = len(regs)
        if site is not None and site.guard is not None and regs is not self.gone:
            block = caught(site.guard, regs, error.exn)
            if block is not None:
                return regs, block
        stack = self.stack
        for place in range(len(stack) - 1, -1, -1):
            caller, below = stack[place]
            block = None if caller.guard is None else caught(caller.guard, below, error.exn)
            if block is not None:
                self.cells -= left
                del stack[place:]
                return below, block
            left += len(below)
        return None

    # Check points --------------------------------------------------------------------------------------------------

    def _poll_loop(self, site: Site, regs: Registers) -> None:
        found = check(self.ctx.requests)
        if found is not None:
            self.ctx.depth = self.base + len(self.stack)
            self.ctx.spilled.append(site_frame(site, regs))
            self._leave(found)

    def _poll_entry(self, code: Prepared, callee: Registers) -> None:
        found = check(self.ctx.requests)
        if found is not None:
            self.ctx.depth = self.base + len(self.stack)
            self.ctx.spilled.append(entry_frame(code, callee))
            self._leave(found)

    def _leave(self, why: Suspended) -> None:
        self.ctx.cells = self.cells
        self._shelve()
        unwind(self.ctx, why)

    def _shelve(self) -> None:
        """Put the frames that wait for a callee where the run loop finds them. The machine is done with them."""
        if self.stack:
            self.ctx.spilled.append(Shelf(Machine, self.prepared, self.stack))

    def _left(self, error: BaseException, regs: Registers, site: Site | None, where: Any, op: Any) -> None:
        """An error goes through our frames: note where each was."""
        ctx = self.ctx
        waits = bool(self.stack) and self.stack[-1][1] is regs  # it failed on the way into its callee
        if site is not None:
            if not waits and regs is not self.gone:
                ctx.passed(error, func_of(site.code, regs), site.pc)
        elif where is not None:
            code, handlers, offsets = where
            offset = offsets[handlers.index(op)] if op in handlers else code.code.start
            ctx.passed(error, func_of(code, regs), offset)
        for caller, below in reversed(self.stack):
            ctx.passed(error, func_of(caller.code, below), caller.pc)
        self._done(())


def _exception(site: Site, regs: Registers, args: tuple[Value, ...]) -> WasmException | Trap:
    """What `throw` or `throw_ref` raises."""
    if site.kind == THROW:
        return WasmException.of(ExnInst(regs[0].tags[site.index], args))
    exn = args[0]
    return WasmException.of(exn) if isinstance(exn, ExnInst) else Trap(TrapCode.NULL_REFERENCE)


def caught(guard: Guard | None, regs: Registers, exn: ExnInst) -> Block | None:
    """Where an exception thrown under `guard` goes on in the frame of `regs`, its values in place; None where no
    clause takes it."""
    while guard is not None:
        for clause in guard.clauses:
            if clause.tag is None or regs[0].tags[clause.tag] is exn.tag:
                values = () if clause.tag is None else exn.values
                if clause.ref:
                    values = (*values, exn)
                regs[clause.dest : clause.dest + len(values)] = values
                return clause.target
        guard = guard.outer
    return None
