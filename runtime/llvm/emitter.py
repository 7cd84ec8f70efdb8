"""The state of turning one body into IR: operands, locals, labels, records, traps.

Values are in SSA form from the start: an operand or a local is the name of a value, and values meet in phis where
control flow joins.

Arithmetic on floats gives the canonical NaN, as everywhere here. What the processor gives is another NaN; but which
one can't be told before somebody looks at its bits. So a value fresh from arithmetic is *loose* (its tag ends in `?`)
and is settled where it is stored, returned, passed, recorded or taken for bits. A local that is only ever set by
arithmetic stays loose, which keeps settling out of loops.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from .. import lean
from ..errors import TrapCode
from ..instances.region import guarded
from ..instr.model import Op
from ..module import Module
from ..types import FuncType, ValType
from ..validate.layout import Layout
from ..validate.sidetable import Block
from ..values import NAN32, NAN64, f32_to_bits, f64_to_bits
from . import abi, notes, tails
from .builder import GUEST, INVARIANT, OURS, RARELY, Builder, real, return_type

#: Tag and text. Tags are IR types; `i1` is a truth value not widened yet, `float?` and `double?` are loose.
Operand: TypeAlias = "tuple[str, str]"
#: How far a memory is known to reach from an address: memory and name of the value -> bytes, and the byte offset of the
#: instruction that has shown it. A memory never shrinks, so what was checked once is so wherever control has come by
#: the check.
Checked: TypeAlias = "dict[tuple[int, str], tuple[int, int]]"

_NAN = {"float": real("float", f32_to_bits(NAN32)), "double": real("double", f64_to_bits(NAN64))}
ZERO = {"i32": "0", "i64": "0", "float": "0.0", "double": "0.0", abi.VECTOR: "zeroinitializer"}


@lean.define(eq=False)
class Edge:
    """A way to a label: from which block, with which locals and values."""

    block: str
    locals: list[str]
    values: list[str]


@lean.define(eq=False)
class Label:
    """A structured instruction whose end has not come yet."""

    info: Block
    #: The block that a branch goes to.
    target: str
    types: tuple[str, ...]
    edges: list[Edge] = lean.field(factory=list)
    #: `if`: the block of its other arm, until that has begun, and the locals there.
    other: str | None = None
    before: list[str] = lean.field(factory=list)
    params: list[Operand] = lean.field(factory=list)
    #: What was known of addresses at its beginning, which is known at its end as well.
    checked: Checked = lean.field(factory=dict)
    loop: Loop | None = None
    #: A loop that the code began in the midst of: those who branch back come to the whole loop, behind its end.
    begun: bool = False


@lean.define(eq=False)
class Loop:
    """What a loop needs at its end: the header's phis, whose other values come from the latch."""

    layout: Layout
    header: str
    before: str
    #: Where the header's phis are to stand among the lines.
    place: int
    #: Locals with a phi: index, its name, the value from before.
    carried: list[tuple[int, str, str]]
    params: list[tuple[str, str]]
    locals: list[str]
    below: list[Operand]


class Emitter(Builder):
    """One body being emitted. The files in `lower` do the instructions.

    With a `point`, the code begins at that check point, with the record's slots in `%room`, and leaves the results
    there. With `guard`, accesses of memories that have guard pages are not checked.
    """

    def __init__(
        self,
        layout: abi.BlockLayout,
        index: int,
        point: Layout | None = None,
        guard: bool = False,
        direct: bool = False,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.point = point
        self._guard = guard
        #: Whether calls of the module's own functions are left to the loader, and declarations of those called so.
        self.direct = direct
        self.declared: dict[int, str] = {}
        self._scope = notes.scope_of(index, None if point is None else point.pc)
        #: Where accesses that guard pages stop may trap: byte offsets.
        self.guarded: set[int] = set()
        #: Whether it calls itself by its name.
        self.recursive = False
        #: Notes of values that were loaded without a check.
        self.loaded: dict[str, str] = {}
        #: Lowers the instructions from one place up to another.
        self.run: Callable[[int, int], None]
        self.module: Module = layout.module
        self.body = self.module.body(index)
        self.side = self.body.side
        self.index = index
        self.type = self.module.func_type(index)
        self.results = tuple(map(abi.ir_type, self.type.results))
        self.returned = return_type(self.results)
        self.local_types: tuple[str, ...] = tuple(map(abi.ir_type, self.side.locals))
        #: Locals that are loose.
        self.loose: frozenset[int] = frozenset()
        self.stack: list[Operand] = []
        params = len(self.type.params)
        self.locals = [f"%p{i}" for i in range(params)] + [initial(t) for t in self.side.locals[params:]]
        self.labels: list[Label] = []
        #: The instruction at hand: its place among `ops`, and its byte offset.
        self.at = -1
        self.pc = self.body.code.start
        #: Locals set inside each loop, as bits, by the loop's place.
        self.assigned: dict[int, int] = {}
        #: Loops that more than one branch leads back to, by their place.
        self.forks: frozenset[int] = frozenset()
        self.checked: Checked = {}
        #: Where traps come from: (block, code).
        self.traps: list[tuple[str, int]] = []
        self.leaves = False
        #: By signature: code of this function's that takes the arguments of a tail call out of the room.
        self._passing: dict[str, str] = {}
        #: Blocks that are left by a tail call.
        self.replaced = False
        #: What is left of the limits, for a callee.
        self.left = "%given"
        self._bases: dict[int, tuple[str, str]] = {}
        self.prologue: list[str] = []

    # Operands -----------------------------------------------------------------------------------------------------

    def push(self, tag: str, text: str) -> None:
        """A new operand."""
        self.stack.append((tag, text))

    def pop(self) -> str:
        """The topmost operand, settled."""
        tag, text = self.stack.pop()
        return self.settled(tag, text)

    def pop_loose(self) -> str:
        """The topmost operand, for somebody who doesn't look at a NaN's bits."""
        tag, text = self.stack.pop()
        return self.settled(tag, text) if tag == "i1" else text

    def take(self, count: int) -> list[Operand]:
        """The topmost operands, settled, in stack order."""
        if not count:
            return []
        taken = [(self.plain(tag), self.settled(tag, text)) for tag, text in self.stack[-count:]]
        del self.stack[-count:]
        return taken

    def condition(self) -> str:
        """The topmost operand as an i1."""
        tag, text = self.stack.pop()
        return text if tag == "i1" else self.value(f"icmp ne i32 {text}, 0")

    @staticmethod
    def plain(tag: str) -> str:
        """The IR type of a settled operand."""
        return "i32" if tag == "i1" else tag.removesuffix("?")

    def settled(self, tag: str, text: str) -> str:
        """An operand as it may be seen: widened, with the canonical NaN."""
        if tag == "i1":
            return self.value(f"zext i1 {text} to i32")
        if tag[-1] == "?":
            type_ = tag[:-1]
            nan = self.value(f"fcmp uno {type_} {text}, {text}")
            return self.value(f"select i1 {nan}, {type_} {_NAN[type_]}, {type_} {text}")
        return text

    def local(self, index: int) -> Operand:
        """A local as an operand."""
        type_ = self.local_types[index]
        return (type_ + "?" if index in self.loose else type_, self.locals[index])

    # Labels -------------------------------------------------------------------------------------------------------

    def edge(self, label: Label) -> str:
        """Note a way from the block at hand to `label`: the block to go to."""
        count = len(label.types)
        values = [self.settled(*operand) for operand in self.stack[len(self.stack) - count :]] if count else []
        label.edges.append(Edge(self.block(), self.locals[:], values))
        return label.target

    def block(self) -> str:
        """The block at hand."""
        if self.here is None:
            raise ValueError("no block is being filled")
        return self.here

    def join(self, label: Label) -> None:
        """Go on where all ways to `label` meet; nowhere if there are none."""
        del self.stack[label.info.height :]
        edges = label.edges
        if not edges:
            self.here = None
            return
        self.start(label.target)
        self.locals = edges[0].locals
        self.checked = label.checked
        for index in differing([edge.locals for edge in edges]):
            pairs = [(edge.locals[index], edge.block) for edge in edges]
            self.locals[index] = self.phi(self.local_types[index], pairs)
        for place, type_ in enumerate(label.types):
            if len(edges) == 1:
                self.push(type_, edges[0].values[place])
            else:
                self.push(type_, self.phi(type_, [(edge.values[place], edge.block) for edge in edges]))

    # The block of the instance ------------------------------------------------------------------------------------

    def fixed(self, offset: int) -> str:
        """A pointer in the block that never changes."""
        return self.ours("ptr", "%inst", offset, INVARIANT)

    def memory(self, index: int) -> tuple[str, str]:
        """Where a memory begins, and its cell: base and size. Both are found once, at the function's start, as is
        `%safe…`: below that, SLACK bytes are certainly there. A shared memory may be moved while the function stands at
        a check point: where it begins is looked up at each use, which costs nothing where there is none in between."""
        found = self._bases.get(index)
        if found is None:
            found = self._bases[index] = (f"%base{index}", f"%mem{index}")
            place = self.layout.memories + 8 * index
            self.prologue += [
                f"%at{index} = getelementptr i8, ptr %inst, i64 {place}",
                f"%mem{index} = load ptr, ptr %at{index}{INVARIANT}",
                f"%base{index} = load ptr, ptr %mem{index}{INVARIANT}",
                f"%sizeat{index} = getelementptr i8, ptr %mem{index}, i64 8",
                f"%size{index} = load i64, ptr %sizeat{index}{OURS}",
                f"%safe{index} = call i64 @llvm.usub.sat.i64(i64 %size{index}, i64 {abi.SLACK - 1})",
            ]
        if self.module.env.memories[index].shared:
            return self.ours("ptr", found[1], 0), found[1]
        return found

    def access(self, index: int) -> str:
        """What an access to a memory is marked with: none of a shared one may be made twice, as the second might see
        something else than what was checked."""
        return "volatile " if self.module.env.memories[index].shared else ""

    def guards(self, index: int) -> bool:
        """Whether guard pages stand for the checks of a memory's bounds."""
        return self._guard and guarded(self.module.env.memories[index])

    def note(self, pc: int) -> str:
        """What an access is marked with that traps as the instruction at `pc`."""
        return notes.note(self._scope, pc)

    def seen(self) -> str:
        """What a store is marked with that has to be seen by whoever looks after a trap."""
        return "volatile " if self._guard else ""

    # Leaving ------------------------------------------------------------------------------------------------------

    def trap_if(self, condition: str, code: TrapCode) -> None:
        """Trap where `condition` holds."""
        self.traps.append((self.block(), self.pc << 8 | abi.TRAP_CODES[code]))
        self.rarely(condition, "trap")

    def trap(self, code: TrapCode) -> None:
        """Trap."""
        self.traps.append((self.block(), self.pc << 8 | abi.TRAP_CODES[code]))
        self.jump("trap")

    def request(self, name: str, immediate: int, operands: Sequence[Operand] = (), result: str | None = None) -> None:
        """Have Python do it: operands and result go through the block's room for them. It may raise."""
        room = self.fixed(abi.ARGS)
        self.stow(room, operands)
        code = self.fixed(abi.SUPPORT + 8 * abi.REQUEST)
        status = self.value(f"call i32 {code}(ptr %inst, i64 {abi.ASKS[name] | immediate << 8})")
        self.traps.append((self.block(), self.pc << 8 | abi.RAISED))
        self.rarely(self.value(f"icmp ne i32 {status}, 0"), "trap")
        if result is not None:
            self.push(result, self.ours(result, room, 0))

    def stow(self, room: str, operands: Sequence[Operand]) -> None:
        """Put settled operands into eight bytes each, vectors into sixteen."""
        offset = 0
        for type_, text in operands:
            wide, value = self.widened(type_, text)
            self.keep(wide, value, room, offset)
            offset += abi.size_of(type_)

    def spill(self, layout: Layout, locals_: Sequence[str], operands: Sequence[Operand]) -> None:
        """Write the frame's record at a check point and leave the stack."""
        values: list[str] = []
        for index in layout.live:
            tag = self.local_types[index] + ("?" if index in self.loose else "")
            values += self._slot(tag, locals_[index])
        for operand in operands:
            values += self._slot(*operand)
        header = layout.pc | 8 + 8 * len(values) << 32
        self._write(header, values)
        self.leaves = True
        self.jump("leave")

    def _slot(self, tag: str, text: str) -> list[str]:
        """A value as one word of a record, or two."""
        if tag == abi.VECTOR:
            return [self.value(f"extractelement {abi.VECTOR} {text}, i32 {half}") for half in range(2)]
        return [self.widened(self.plain(tag), self.settled(tag, text))[1]]

    def _write(self, header: int, values: list[str]) -> None:
        if len(values) <= abi.SPILL_SIZES[-1]:
            size = next(n for n in abi.SPILL_SIZES if n >= len(values))
            code = self.fixed(abi.SUPPORT + 8 * (abi.SPILLS + abi.SPILL_SIZES.index(size)))
            values = values + ["0"] * (size - len(values))
            args = "".join([f", i64 {value}" for value in values])
            self.emit(f"call void {code}(ptr %inst, i64 {header}{args}) #1")
            return
        if len(values) > abi.MAX_SLOTS:
            raise abi.Unsupported(f"a record of {len(values)} slots")
        # The one without slots writes the header, makes room and moves the pointer on.
        code = self.fixed(abi.SUPPORT + 8 * abi.SPILLS)
        self.emit(f"call void {code}(ptr %inst, i64 {header}) #1")
        end = self.ours("ptr", "%inst", abi.SPILL)
        for place, value in enumerate(values):
            self.keep("i64", value, end, 8 * (place - len(values)))

    def other(self, index: int, type_: FuncType) -> str:
        """The name by which another function of the module is called."""
        if index not in self.declared:
            types = "".join([f", {abi.ir_type(t)}" for t in type_.params])
            returned = return_type(tuple(map(abi.ir_type, type_.results)))
            self.declared[index] = f"declare dso_local {returned} @c{index}(ptr, i64{types})\n"
        return f"@c{index}"

    def passing(self, type_: FuncType) -> str:
        """The code that takes a tail call's arguments out of the room."""
        key = abi.signature_key(type_)
        if key not in self._passing:
            self._passing[key] = f"@p{self.suffix}_{len(self._passing)}"
        return self._passing[key]

    @property
    def suffix(self) -> str:
        """Makes names of this definition's own."""
        return str(self.index) if self.point is None else f"r{self.point.pc}"

    def finish(self) -> str:
        """The blocks that all ways out share, and the function's text."""
        if self.traps:
            self.start("trap")
            code = self.phi("i64", [(str(code), block) for block, code in self.traps])
            self.keep("i64", code, "%inst", abi.TRAP)
            self.leaves = True
            self.jump("leave")
        self.lines += self.cold
        if self.replaced:
            self._instead()
        if self.loaded:
            self.lines = notes.passed_on(self.lines, self.loaded)
        if self.leaves:
            self.start("leave")
            self.emit(leaving(self.results if self.point is None else ()))
        if self.point is not None:
            head = f"i32 @r{self.point.pc}(ptr %inst, ptr %code, ptr %room, i64 %given)"
            return self._text(head) + self._helpers()
        params = "".join([f", {t} %p{i}" for i, t in enumerate(map(abi.ir_type, self.type.params))])
        if not self.replaced:
            return self._text(f"dso_local {self.returned} @f{self.index}(ptr %inst, i64 %given{params})")
        body = self._text(f"dso_local {self.returned} @t{self.index}(ptr %inst, i64 %given{params})")
        return body + tails.entry(self.index, self.returned, params) + self._helpers()

    def _text(self, head: str) -> str:
        how, after = "#0", ""
        if self.guarded:
            if self.recursive:  # LLVM wants a number for each call of a function that has numbers itself
                mark, name = self.note(self.body.code.start), f" @f{self.index}("
                self.lines = [line + mark if name in line and "!dbg" not in line else line for line in self.lines]
            how, after = f"#2 !dbg !{self._scope}", notes.scope(self._scope)
        return "\n".join([f"define {head} {how} {{\nstart:", *self.prologue, *self.lines, "}\n" + after])

    def _helpers(self) -> str:
        if not self.replaced:
            return ""
        ways = [tails.passing(name, key) for key, name in self._passing.items()]
        return tails.chain(self.suffix, self.returned) + "".join(ways)

    def _instead(self) -> None:
        """The ways out by tail calls. A whole function returns, and whoever called it goes on; code that began at a
        check point has a caller that can't, and stays until the last one of the chain has returned."""
        self.start("instead")
        if self.point is None:
            self.emit(leaving(self.results, abi.INSTEAD))
            return
        made = self.value(f"call {self.returned} @a{self.suffix}(ptr %inst, i64 %given)")
        status = self.value(f"extractvalue {self.returned} {made}, 0") if self.results else made
        offset = 0
        for place, (type_, result) in enumerate(zip(self.results, self.type.results, strict=True), 1):
            wide, value = self.widened(type_, self.value(f"extractvalue {self.returned} {made}, {place}"))
            self.keep(wide, value, "%room", offset)
            offset += result.slot
        self.emit(f"ret i32 {status}")


def initial(type_: ValType) -> str:
    """What a local of this type begins with."""
    return str(abi.NULL) if type_.is_ref else ZERO[abi.ir_type(type_)]


def leaving(results: Sequence[str], status: int = 1) -> str:
    """Return with a status and no results."""
    if not results:
        return f"ret i32 {status}"
    return f"ret {return_type(results)} {{i32 {status}{''.join([f', {t} undef' for t in results])}}}"


def differing(rows: Sequence[list[str]]) -> list[int]:
    """The places at which not all rows have the same."""
    first = rows[0]
    found: set[int] = set()
    for row in rows[1:]:
        if row != first:
            found.update([i for i, (a, b) in enumerate(zip(first, row, strict=True)) if a != b])
    return sorted(found)


__all__ = [
    "GUEST", "INVARIANT", "OURS", "RARELY", "ZERO", "Edge", "Emitter", "Label", "Loop", "Op", "Operand",
    "differing", "initial", "leaving",
]  # fmt: skip
