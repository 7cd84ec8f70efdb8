"""From the stack machine to registers: what the translation of one function body keeps track of.

Every operand has a register of its own, by its height on the stack (its *home*). `local.get` and constants don't move
anything: the stack remembers where the value is, and an instruction reads it there. So `local.get 0; i32.const 1;
i32.add; local.set 0` becomes one handler. Values go home where control flow joins, and where a local that they stand
for is about to change.
"""

from __future__ import annotations

from operator import itemgetter
from typing import Any

from .. import lean
from ..instr.model import Instr
from ..module import Module
from ..types import FuncType, ValType
from ..validate import sidetable
from ..values import default
from .code import RETURN, Block, Guard, Prepared, Site
from .registry import Branch, Const, Handler, Operand, Term, condition, make
from .variable import move


def fresh() -> Block:
    """A block to be filled."""
    return [(), None, None, None]


def goto(target: Block) -> Term:
    """Always on to `target`."""
    return lambda r: target


def _count(ticks: int) -> Handler:
    """Charge a block's instructions to the budget of the execution that is inside."""

    def handler(r: list[Any]) -> None:
        r[0].steps[0] -= ticks

    return handler


@lean.define
class Label:
    """A structured instruction whose end has not come yet. Branches go to `target` and carry values of `types`."""

    info: sidetable.Block
    target: Block
    types: tuple[ValType, ...]
    otherwise: Block | None = None
    used: bool = False


class Translator:
    """The translation of one body. `block` is the block being filled, None behind an unconditional branch."""

    def __init__(self, module: Module, index: int, counting: bool) -> None:
        self.module = module
        #: Whether each block begins by counting its instructions, and how many the one at hand has.
        self.counting = counting
        self.ticks = 0
        self.body = module.body(index)
        self.side = self.body.side
        self.locals = len(self.side.locals)
        params = len(module.func_type(index).params)
        tail = (*map(default, self.side.locals[params:]), *(None,) * self.side.max_height)
        size = 1 + self.locals + self.side.max_height
        self.code = Prepared(self.body.code, tail, size, self.body.layouts)
        self.stack: list[Operand] = []
        self.labels: list[Label] = []
        #: The innermost `try_table` that is open.
        self.guard: Guard | None = None
        self.block: Block | None = None
        self.handlers: list[Handler] = []
        self.offsets: list[int] = []
        self.pc = self.body.code.start
        #: Index of the instruction at hand.
        self.at = 0
        #: A comparison waiting for the branch that follows it.
        self.condition: Branch | None = None
        self._headers: list[tuple[Block, Block]] = []
        #: Heights at which a local was lent, by its register; some of those operands are gone. A search of the whole
        #: stack at each `local.set` would take time with the square of the body's size.
        self._lent: dict[int, list[int]] = {}
        self.begin(self.code.entry)

    # Blocks -------------------------------------------------------------------------------------------------------

    def begin(self, block: Block) -> None:
        """Fill `block` from here on."""
        block[:] = block or fresh()
        self.block = block
        self.handlers = []
        self.offsets = []
        self.ticks = 0

    def finish(self, term: Term) -> None:
        """Close the block at hand; what follows is unreachable until a block begins."""
        if self.block is not None:
            if self.counting and self.ticks:
                self.handlers.insert(0, _count(self.ticks))
                self.offsets.insert(0, self.pc)
            self.block[0] = tuple(self.handlers)
            self.block[1] = term
            self.block[3] = (self.code, self.block[0], tuple(self.offsets))
        self.block = None

    def header(self, plain: Block, checked: Block, site: Site) -> None:
        """`checked` is to be `plain` with `site` in front, once that is filled."""
        checked[2] = site
        self.code.loops[site.pc] = checked
        self._headers.append((plain, checked))

    def done(self) -> Prepared:
        """The code, complete."""
        for plain, checked in self._headers:
            checked[0], checked[1], checked[3] = plain[0], plain[1], plain[3]
        return self.code

    def emit(self, handler: Handler) -> None:
        """Add a handler for the instruction at hand."""
        self.handlers.append(handler)
        self.offsets.append(self.pc)

    def compute(self, row: Instr, immediate: object, takes: int, gives: int) -> None:
        """An instruction from operands to at most one result, written where it is wanted: into the local that the next
        instruction sets, or straight into the branch that it decides."""
        operands = self.pop(takes)
        following = self.next_op()
        if gives and following is not None:
            name, target = following[0].name, following[1]
            if name in ("br_if", "if"):
                self.condition = condition(row, operands)
                if self.condition is not None:
                    return
            elif name in ("local.set", "local.tee"):
                local = 1 + int(target)
                self.release(local)
                self.emit(make(row, immediate, local, operands))
                if name == "local.tee":
                    self.lend(local)
                self.at += 1
                self.ticks += 1
                return
        self.emit(make(row, immediate, self.push() if gives else 0, operands))

    # Operands -----------------------------------------------------------------------------------------------------

    def home(self, height: int) -> int:
        """The register of the operand at this height."""
        return 1 + self.locals + height

    def push(self) -> int:
        """A new operand, in its home: the register to write it to."""
        register = self.home(len(self.stack))
        self.stack.append(register)
        return register

    def pop(self, count: int) -> list[Operand]:
        """The topmost operands, in stack order."""
        if not count:
            return []
        taken = self.stack[-count:]
        del self.stack[-count:]
        return taken

    def settle(self, height: int) -> None:
        """Bring one operand home."""
        register = self.home(height)
        operand = self.stack[height]
        if operand != register:
            self.emit(move(register, operand))
            self.stack[height] = register

    def settle_all(self) -> None:
        """Bring every operand home: control flow joins or splits here."""
        for height in range(len(self.stack)):
            self.settle(height)

    def lend(self, local: int) -> None:
        """A new operand that stands for the local in this register, and stays there until that changes."""
        self._lent.setdefault(local, []).append(len(self.stack))
        self.stack.append(local)

    def release(self, local: int) -> None:
        """The local in this register is about to change: operands that stand for it go home."""
        for height in self._lent.pop(local, ()):
            if height < len(self.stack) and self.stack[height] == local:
                self.settle(height)

    def registers(self, operands: list[Operand]) -> tuple[int, ...]:
        """Registers that hold these operands, which have just been popped; constants are put into their homes."""
        found: list[int] = []
        for place, operand in enumerate(operands, start=len(self.stack)):
            if isinstance(operand, Const):
                self.emit(move(self.home(place), operand))
                operand = self.home(place)
            found.append(operand)
        return tuple(found)

    def carry(self, label: Label) -> list[Handler]:
        """Moves that bring the topmost operands to where `label` wants them. They stay on the stack."""
        count = len(label.types)
        moves: list[Handler] = []
        for place, operand in enumerate(self.stack[len(self.stack) - count :], start=label.info.height):
            if operand != self.home(place):
                moves.append(move(self.home(place), operand))
        return moves

    # Sites --------------------------------------------------------------------------------------------------------

    def leave(self, site: Site) -> None:
        """Close the block at hand; the loop takes over at `site`."""
        if len(site.slots) > 1:
            site.take = itemgetter(*site.slots)
        site.guard = self.guard
        self.finish(goto([(), None, site, None]))

    def returns(self, slots: tuple[int, ...]) -> Block:
        """A block that returns these registers."""
        site = Site(RETURN, self.pc, self.code, slots)
        if len(slots) > 1:
            site.take = itemgetter(*slots)
        return [(), None, site, None]

    # Looking ------------------------------------------------------------------------------------------------------

    def next_op(self) -> tuple[Instr, Any] | None:
        """The instruction behind the one at hand."""
        ops = self.body.ops
        if self.at + 1 >= len(ops):
            return None
        _, row, immediate = ops[self.at + 1]
        return row, immediate

    def type_at(self, index: int) -> FuncType:
        """A function type of the module."""
        return self.module.decls.functype(index)
