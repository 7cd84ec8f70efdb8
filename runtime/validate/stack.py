"""The operand stack and the control stack of the validation algorithm (spec appendix "Validation Algorithm").

Every control frame puts a `BARRIER` on the operand stack, beneath its own operands. A look at the top of the stack
therefore needs no test of the height: where a frame's operands end, the barrier is what is found, and it is no type.
`function.check_function` builds its shortcuts on that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..errors import InvalidError, LimitError
from ..features import Feature
from ..instr.model import Op
from ..limits import MAX_NESTING, WORK_BASE, WORK_PER_BYTE
from ..types import BOTTOM_HEAP, FuncType, ValType, type_matches
from .env import Env
from .sidetable import Block, SideTable

#: The type of an operand that unreachable code made up; it fits wherever a type is asked for.
BOTTOM = ValType("unknown", 0)
#: The same where it is known to be a reference that is not null.
BOTTOM_REF = BOTTOM_HEAP.ref(False)
#: What lies beneath a frame's operands; it fits nowhere.
BARRIER = ValType("nothing", 0)


class Meter:
    """Counts the operands that are looked at one by one in checking some bodies; see `limits.WORK_BASE`."""

    __slots__ = ("allowed", "used")

    def __init__(self, size: int) -> None:
        """For bodies of `size` bytes in all."""
        self.used = 0
        self.allowed = WORK_BASE + WORK_PER_BYTE * size


_SINGLE: dict[ValType, tuple[ValType, ...]] = {}


class Frame:
    """One entry of the control stack: a structured instruction, or the body."""

    __slots__ = (
        "base", "block", "dead", "dead_entry", "guard", "has_else", "inits", "kind", "label", "params", "results",
        "unreachable",
    )  # fmt: skip

    def __init__(
        self,
        kind: Literal["func", "block", "loop", "if", "try"],
        params: tuple[ValType, ...],
        results: tuple[ValType, ...],
        base: int,
        dead: bool,
        guard: int = -1,
    ) -> None:
        self.kind = kind
        self.params = params
        self.results = results
        #: What a branch here carries.
        self.label = params if kind == "loop" else results
        #: Where the frame's operands begin.
        self.base = base
        #: Behind an unconditional branch: operands come from nowhere.
        self.unreachable = False
        #: Never executed. A block opened in unreachable code has well-typed operands, and is dead all the same.
        self.dead = dead
        self.dead_entry = dead
        self.has_else = False
        #: The innermost `try_table` that what stands in the frame is in, by its place.
        self.guard = guard
        self.block: Block | None = None
        #: Locals that got their first value in here.
        self.inits: list[int] = []


class Checker:
    """The state of checking one body. The rules in `rules.py` are written with its methods."""

    __slots__ = (
        "env", "frames", "func", "index", "locals", "meter", "ops", "row", "side", "stack", "type", "unset",
    )  # fmt: skip

    def __init__(
        self,
        env: Env,
        func: int,
        type_: FuncType,
        locals_: Sequence[ValType],
        ops: Sequence[Op],
        side: SideTable | None,
        meter: Meter | None = None,
    ) -> None:
        self.env = env
        self.func = func
        self.type = type_
        self.locals = locals_
        #: Locals that have no value yet: references that can't be null, the parameters aside.
        self.unset = {i for i in range(len(type_.params), len(locals_)) if not locals_[i].defaultable}
        self.ops = ops
        #: The instruction that is being checked: place in `ops`, and row.
        self.index = 0
        self.row = ops[0][1]
        #: The same list for the whole check.
        self.stack: list[ValType] = [BARRIER]
        self.frames = [Frame("func", (), type_.results, 1, dead=False)]
        self.side = side
        self.meter = meter or Meter(ops[-1][0] - ops[0][0])
        if side is not None:
            self.frames[0].block = side.func

    # Errors

    def error(self, message: str) -> InvalidError:
        """The error that the current instruction deserves."""
        return InvalidError(message, offset=self.ops[self.index][0], func=self.func)

    def mismatch(self, want: str, have: ValType) -> InvalidError:
        """A type mismatch: the instruction wants one thing and finds another."""
        return self.error(f"type mismatch: {self.row} expected {want} but found {have}")

    # Operands

    @property
    def height(self) -> int:
        """How many operands there are."""
        return len(self.stack) - len(self.frames)

    def operands(self) -> tuple[ValType, ...]:
        """The types of all operands, frames not told apart."""
        return tuple([type_ for type_ in self.stack if type_ is not BARRIER])

    def pop(self) -> ValType:
        """Pop an operand of any type."""
        type_ = self.stack[-1]
        if type_ is BARRIER:
            if self.frames[-1].unreachable:
                return BOTTOM
            raise self.mismatch("an operand", type_)
        self.stack.pop()
        return type_

    def pop_type(self, want: ValType) -> ValType:
        """Pop an operand that fits `want`, and give what it really was."""
        type_ = self.stack[-1]
        if type_ is want:
            self.stack.pop()
            return type_
        if type_ is BARRIER and self.frames[-1].unreachable:
            return BOTTOM
        if type_ is not BOTTOM and not type_matches(type_, want):
            raise self.mismatch(want.name, type_)
        self.stack.pop()
        return type_

    def pop_types(self, types: tuple[ValType, ...]) -> list[ValType]:
        """Pop operands that fit `types`, the last one first, and give what they really were, in order."""
        have = [self.pop_type(want) for want in reversed(types)]
        have.reverse()
        return have

    def pop_ref(self) -> ValType:
        """Pop a reference of any type."""
        type_ = self.pop()
        if type_ is BOTTOM:
            return BOTTOM_REF
        if not type_.is_ref:
            raise self.mismatch("a reference", type_)
        return type_

    def push(self, *types: ValType) -> None:
        """Push operands."""
        self.stack.extend(types)

    def charge(self, operands: int) -> None:
        """Count operands that somebody has to look at one by one. Raises LimitError where it gets too much."""
        meter = self.meter
        meter.used += operands
        if meter.used > meter.allowed:
            raise LimitError(
                f"checking function {self.func}, at byte {self.ops[self.index][0]}, exceeds the limit of "
                f"{meter.allowed} operands at calls, blocks and branches"
            )

    def apply(self, params: tuple[ValType, ...], results: tuple[ValType, ...]) -> None:
        """What an instruction of a fixed type does."""
        if len(params) + len(results) > 4:
            self.charge(len(params) + len(results))
        for want in reversed(params):
            self.pop_type(want)
        self.stack.extend(results)

    # Control

    def enter(
        self, kind: Literal["block", "loop", "if", "try"], params: tuple[ValType, ...], results: tuple[ValType, ...]
    ) -> None:
        """Open a structured instruction whose parameters have been popped."""
        if len(self.frames) > MAX_NESTING:
            raise self.error(f"blocks nested more than {MAX_NESTING} deep")
        height = self.height
        self.charge(height + len(params))
        self.stack.append(BARRIER)
        outer = self.frames[-1].guard
        guard = self.index if kind == "try" else outer
        frame = Frame(kind, params, results, len(self.stack), self.frames[-1].dead, guard)
        self.frames.append(frame)
        self.stack.extend(params)
        if self.side is not None and not frame.dead:
            frame.block = self.side.blocks[self.index] = Block(
                kind, self.index, params, results, height, guard=outer
            )  # fmt: skip

    def close(self) -> Frame:
        """Check that the innermost frame leaves its results and nothing else, and take it off."""
        frame = self.frames[-1]
        self.charge(self.height)
        self.apply(frame.results, ())
        self.at_end(frame)
        self.stack.pop()
        self.forget_locals()
        self.frames.pop()
        return frame

    def at_end(self, frame: Frame) -> None:
        """Raise InvalidError unless the innermost frame's operands are used up."""
        if len(self.stack) != frame.base:
            raise self.error(f"type mismatch: values remain on the stack at the end of a {frame.kind}")

    def unreachable(self) -> None:
        """What follows, up to the end of the innermost frame, never runs."""
        frame = self.frames[-1]
        del self.stack[frame.base :]
        frame.unreachable = frame.dead = True

    def note_guard(self) -> None:
        """The current instruction may throw: note the `try_table` that it is in."""
        frame = self.frames[-1]
        if frame.guard >= 0 and self.side is not None and not frame.dead:
            self.side.guards[self.index] = frame.guard

    def label(self, depth: int) -> Frame:
        """The frame that a branch goes to."""
        if depth >= len(self.frames):
            raise self.error(f"unknown label {depth}")
        return self.frames[-1 - depth]

    def functype(self, index: int) -> FuncType:
        """The module's function type of this index."""
        if index >= len(self.env.types):
            raise self.error(f"unknown type {index}")
        type_ = self.env.types[index]
        if not isinstance(type_, FuncType):
            raise self.error(f"type mismatch: type {index} is no function type")
        return type_

    # Locals

    def initialised(self, local: int) -> None:
        """The local has a value from here to the end of the innermost frame."""
        if local in self.unset:
            self.unset.discard(local)
            self.frames[-1].inits.append(local)

    def forget_locals(self) -> None:
        """What the innermost frame has given values to has none beyond it."""
        frame = self.frames[-1]
        if frame.inits:
            self.unset.update(frame.inits)
            frame.inits.clear()

    def block_type(self, immediate: ValType | FuncType | int | None) -> tuple[tuple[ValType, ...], tuple[ValType, ...]]:
        """Parameters and results of a structured instruction. It names its type, unless it is none of the module's."""
        if immediate is None:
            return (), ()
        if isinstance(immediate, FuncType):
            return immediate.params, immediate.results
        offset = self.ops[self.index][0]
        if isinstance(immediate, int):
            type_ = self.functype(immediate)
            self.env.require(Feature.MULTI_VALUE, "block with a function type", offset=offset, func=self.func)
            return type_.params, type_.results
        self.env.require_types((immediate,), offset=offset, func=self.func)
        return (), _SINGLE.setdefault(immediate, (immediate,))
