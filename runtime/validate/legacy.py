"""`try`, `catch`, `delegate` and `rethrow` -> `try_table`: exceptions as compilers emitted them before WebAssembly 3.0
(proposal "Legacy Exception Handling").

A body is rewritten when it has been decoded; the validator and every tier then see a body of today, and a record made
in it is an ordinary one. Each instruction keeps its byte offset, and what is put in has the offset of what it stands
for. With R for the results of the `try`, and T for what a tag carries:

    try                          block $out                            ;; -> R
      body                         block $caught                       ;; -> T exnref
    catch $tag          =>           try_table (catch_ref $tag $caught)
      handler                          body
    end                              end
                                     br $out
                                   end
                                   local.set $exception                ;; this, and `_ref`, where a `rethrow` wants it
                                   block                               ;; T -> R
                                     handler
                                   end
                                 end

Handlers have blocks of their own, so that they are seen to leave R and nothing else, as the proposal wants. What a
`delegate` hands on goes to a block around all that is in the `try` that it names, or in the function, and is thrown
again behind it:

    block $within                ;; -> exnref
      block                      ;; -> R
        body, in which is the `try` that delegates
      end
      br past the `throw_ref`
    end
    throw_ref
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

from .. import lean
from ..declarations import Code
from ..errors import InvalidError
from ..features import Feature
from ..instr.index import BY_NAME
from ..instr.legacy import CATCH, CATCH_ALL, DELEGATE, RETHROW, TRY
from ..instr.model import Catch, Immediate, Instr, Op
from ..types import EXNREF, FuncType, ValType
from .env import Env

_BLOCK, _END, _BR = (BY_NAME[name] for name in ("block", "end", "br"))
_TRY_TABLE, _THROW_REF = BY_NAME["try_table"], BY_NAME["throw_ref"]
_GET, _SET = BY_NAME["local.get"], BY_NAME["local.set"]
_OPENING = {BY_NAME[name] for name in ("block", "loop", "if")}


@lean.define(eq=False)
class _Clause:
    """A `catch` or `catch_all`: its tag, and the local that keeps the exception for a `rethrow`, if one asks for it."""

    tag: int | None
    local: int | None = None


@lean.define(eq=False)
class _Frame:
    """A structured instruction as it was, or the function's body; and where its parts have come to.

    What is called a depth here is the number of new blocks around and including one; the function's body has 0.
    """

    kind: Literal["func", "block", "try_table", "try"]
    clauses: list[_Clause] = lean.field(factory=list)
    #: The `try` that a `delegate` at the end of this one hands on to.
    target: _Frame | None = None
    #: Whether a `delegate` names it.
    named: bool = False
    type: FuncType = FuncType()
    #: How many of the clauses have begun.
    begun: int = 0
    #: Depth of what a branch to it goes to now.
    label: int = 0
    #: Depth of the block that takes what a `delegate` hands on.
    within: int = 0
    #: Depth of the block around everything.
    out: int = 0


def modern(env: Env, code: Code, ops: Sequence[Op]) -> tuple[Code, Sequence[Op]]:
    """The function without instructions of the proposal: itself where it has none. Raises InvalidError for a label that
    isn't there, and for a `rethrow` outside of the handler that it names."""
    if Feature.LEGACY_EXCEPTIONS not in env.features or not any(row is TRY or row is RETHROW for _, row, _ in ops):
        return code, ops
    survey = _Survey(env, code, ops)
    added = ((survey.locals, EXNREF),) if survey.locals else ()
    return lean.evolve(code, locals=(*code.locals, *added)), _Rewriter(env, code, survey.frames).read(ops)


class _Survey:
    """The first reading: which blocks there are, what catches in them, and who hands on to whom."""

    def __init__(self, env: Env, code: Code, ops: Sequence[Op]) -> None:
        self.func = code.index
        self.first_local = len(env.funcs[code.index].params) + sum(count for count, _ in code.locals)
        #: How many locals are to be added.
        self.locals = 0
        #: In the order in which they open.
        self.frames = [_Frame("func")]
        self._read(ops)

    def _read(self, ops: Sequence[Op]) -> None:
        around = self.frames[:]
        immediate: Any  # its form belongs to the row
        for pc, row, immediate in ops:
            if row in _OPENING:
                around.append(_Frame("block"))
                self.frames.append(around[-1])
            elif row is TRY or row is _TRY_TABLE:
                around.append(_Frame("try" if row is TRY else "try_table"))
                self.frames.append(around[-1])
            elif row is CATCH or row is CATCH_ALL:
                around[-1].clauses.append(_Clause(immediate))
            elif row is _END:
                around.pop()
            elif row is DELEGATE:
                self._delegate(around.pop(), around, immediate, pc)
            elif row is RETHROW:
                self._rethrow(around, immediate, pc)

    def _delegate(self, frame: _Frame, around: list[_Frame], label: int, pc: int) -> None:
        """What is thrown goes on as if thrown at the label: to the innermost `try` around that whose body it is in."""
        if label >= len(around):
            raise InvalidError(f"unknown label {label}", offset=pc, func=self.func)
        outwards = reversed(around[: len(around) - label])
        frame.target = next(each for each in outwards if each.kind != "block" and not each.clauses)
        frame.target.named = True

    def _rethrow(self, around: list[_Frame], label: int, pc: int) -> None:
        clauses = around[-1 - label].clauses if label < len(around) else ()
        if not clauses:
            raise InvalidError(f"invalid rethrow label {label}: it is no handler", offset=pc, func=self.func)
        if clauses[-1].local is None:
            clauses[-1].local = self.first_local + self.locals
            self.locals += 1


class _Rewriter:
    """The second reading, which writes."""

    def __init__(self, env: Env, code: Code, frames: list[_Frame]) -> None:
        self.env = env
        self.func = code.index
        #: Those that have not been opened yet.
        self.frames = iter(frames)
        self.open: list[_Frame] = []
        self.ops: list[Op] = []
        self.pc = code.start
        #: Depth of the innermost new block.
        self.depth = 0

    def read(self, ops: Sequence[Op]) -> list[Op]:
        """The body, rewritten."""
        self.open_body(next(self.frames), FuncType((), self.env.funcs[self.func].results))
        for self.pc, row, immediate in ops:
            step = _STEPS.get(row)
            if step is not None:
                step(self, row, immediate)
            else:
                relabel = _RELABEL.get(row.immediate)
                self.put(row, immediate if relabel is None else relabel(self, immediate))
        return self.ops

    # Writing

    def put(self, row: Instr, immediate: object = None) -> None:
        """One more instruction."""
        self.ops.append((self.pc, row, immediate))

    def enter(self, row: Instr, immediate: object) -> int:
        """A new block. Gives its depth."""
        self.put(row, immediate)
        self.depth += 1
        return self.depth

    def leave(self) -> None:
        """The end of the innermost new block."""
        self.put(_END)
        self.depth -= 1

    def go(self, depth: int) -> None:
        """A branch to the new block of this depth."""
        self.put(_BR, self.depth - depth)

    def label(self, label: int) -> int:
        """What a label is called now."""
        if label >= len(self.open):
            raise InvalidError(f"unknown label {label}", offset=self.pc, func=self.func)
        return self.depth - self.open[-1 - label].label

    # Types

    def block_type(self, immediate: Any) -> FuncType:
        """The type of a block, from its immediate."""
        if immediate is None:
            return FuncType()
        if isinstance(immediate, ValType):
            return FuncType((), (immediate,))
        type_ = self.env.types[immediate] if immediate < len(self.env.types) else None
        if not isinstance(type_, FuncType):
            raise InvalidError(f"type {immediate} is no function type", offset=self.pc, func=self.func)
        return type_

    def carried(self, clause: _Clause) -> tuple[ValType, ...]:
        """What a clause's handler begins with."""
        if clause.tag is None:
            return ()
        if clause.tag >= len(self.env.tags):
            raise InvalidError(f"unknown tag {clause.tag}", offset=self.pc, func=self.func)
        return self.env.tags[clause.tag].params

    # Bodies

    def open_body(self, frame: _Frame, type_: FuncType) -> None:
        """What is in `frame` begins; a block that it is now in has been entered."""
        self.open.append(frame)
        frame.type = type_
        if frame.named:
            frame.within = self.enter(_BLOCK, FuncType(type_.params, (EXNREF,)))
            self.enter(_BLOCK, type_)
        frame.label = self.depth

    def close_part(self, frame: _Frame) -> None:
        """The body is over, or the handler at hand."""
        if frame.named and not frame.begun:
            self.leave()
            self.go(frame.within - 1)
            self.leave()
            self.put(_THROW_REF)
        self.leave()


# Steps: what becomes of an instruction that opens, divides or closes a block, or throws again


def _other(w: _Rewriter, row: Instr, immediate: Any) -> None:
    """A block of another kind, or a `try_table`."""
    if row is _TRY_TABLE:
        type_, clauses = immediate
        immediate = type_, tuple([Catch(each.tag, each.ref, w.label(each.label)) for each in clauses])
    else:
        type_ = immediate
    w.enter(row, immediate)
    w.open_body(next(w.frames), w.block_type(type_))


def _try(w: _Rewriter, row: Instr, immediate: Any) -> None:
    """The blocks for what the clauses catch, the first clause's innermost, and the body."""
    frame = next(w.frames)
    type_ = w.block_type(immediate)
    if frame.target is not None:
        w.enter(_TRY_TABLE, (immediate, (Catch(None, True, w.depth - frame.target.within),)))
    else:
        frame.out = w.enter(_BLOCK, immediate)
    catches: list[Catch] = []
    for place, clause in reversed(list(enumerate(frame.clauses))):
        kept = clause.local is not None
        w.enter(_BLOCK, FuncType(type_.params, (*w.carried(clause), EXNREF) if kept else w.carried(clause)))
        catches.insert(0, Catch(clause.tag, kept, place))
    if catches:
        w.enter(_TRY_TABLE, (immediate, tuple(catches)))
    w.open_body(frame, type_)


def _catch(w: _Rewriter, row: Instr, immediate: Any) -> None:
    """The body or a handler of the innermost `try` is over, the next handler begins."""
    frame = w.open[-1]
    w.close_part(frame)
    w.go(frame.out)
    w.leave()
    clause = frame.clauses[frame.begun]
    frame.begun += 1
    if clause.local is not None:
        w.put(_SET, clause.local)
    frame.label = w.enter(_BLOCK, FuncType(w.carried(clause), frame.type.results))


def _end(w: _Rewriter, row: Instr, immediate: Any) -> None:
    frame = w.open.pop()
    w.close_part(frame)
    if frame.begun:
        w.leave()


def _rethrow(w: _Rewriter, row: Instr, label: Any) -> None:
    frame = w.open[-1 - label]
    w.put(_GET, frame.clauses[frame.begun - 1].local)
    w.put(_THROW_REF)


_Step: TypeAlias = Callable[[_Rewriter, Instr, Any], None]
_STEPS: dict[Instr, _Step] = {
    **dict.fromkeys((*_OPENING, _TRY_TABLE), _other),
    TRY: _try,
    CATCH: _catch,
    CATCH_ALL: _catch,
    DELEGATE: _end,
    _END: _end,
    RETHROW: _rethrow,
}
#: By kind of immediate: the same with labels as they are now.
_RELABEL: dict[Immediate, Callable[[_Rewriter, Any], object]] = {
    Immediate.LABEL: _Rewriter.label,
    Immediate.LABELS: lambda w, labels: (tuple(map(w.label, labels[0])), w.label(labels[1])),
    Immediate.CAST: lambda w, cast: (w.label(cast[0]), *cast[1:]),
}
