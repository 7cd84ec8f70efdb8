"""Random programs, as bytes: small, valid, and ending, for comparing one way of running them with another.

They have loops, blocks of several values, br_table, calls of every kind with operands beneath, locals of all types,
two memories' worth of loads and stores, a table, references, and a host function `h.mix`. A counter in a global ends
whatever would go on for long, by a trap.
"""

from __future__ import annotations

import random
import struct

from .raw import CODE, ELEM, EXPORT, FUNC, GLOBAL, IMPORT, MEMORY, TABLE, TYPE, leb, module, section, sized, sleb, vec

I32, I64, F32, F64, FUNCREF, EXTERNREF = "i32", "i64", "f32", "f64", "funcref", "externref"
_CODE = {I32: b"\x7f", I64: b"\x7e", F32: b"\x7d", F64: b"\x7c", FUNCREF: b"\x70", EXTERNREF: b"\x6f"}
NUMBERS = (I32, I64, F32, F64)
Types = tuple[str, ...]
#: Opcodes by result type: of two operands of that type, of one.
_BINARY = {
    I32: [0x6A, 0x6B, 0x6C, 0x6D, 0x6E, 0x6F, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78],
    I64: [0x7C, 0x7D, 0x7E, 0x7F, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A],
    F32: [0x92, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98],
    F64: [0xA0, 0xA1, 0xA2, 0xA3, 0xA4, 0xA5, 0xA6],
}
_UNARY = {
    I32: [0x67, 0x68, 0x69, 0xC0, 0xC1],
    I64: [0x79, 0x7A, 0x7B, 0xC2, 0xC3, 0xC4],
    F32: [0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x91],
    F64: [0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F],
}
#: (opcode, operand type) by result type.
_CONVERT = {
    I32: [(0xA7, I64), (0xBC, F32), (0x45, I32), (0x50, I64), (0xA8, F32), (0xAB, F64)],
    I64: [(0xAC, I32), (0xAD, I32), (0xBD, F64), (0xB0, F64), (0xAE, F32)],
    F32: [(0xB2, I32), (0xB5, I64), (0xB6, F64), (0xBE, I32)],
    F64: [(0xB7, I32), (0xBA, I64), (0xBB, F32), (0xBF, I64)],
}
#: Integer divisions, and what converts a float without a trap instead.
_DIVIDE = {0x6D, 0x6E, 0x6F, 0x70, 0x7F, 0x80, 0x81, 0x82}
_SATURATED = {0xA8: 0, 0xAB: 3, 0xB0: 6, 0xAE: 4}
_COMPARE = {I32: range(0x46, 0x50), I64: range(0x51, 0x5B), F32: range(0x5B, 0x61), F64: range(0x61, 0x67)}
#: (opcode, alignment) by type.
_LOADS = {
    I32: [(0x28, 2), (0x2C, 0), (0x2D, 0), (0x2E, 1), (0x2F, 1)],
    I64: [(0x29, 3), (0x30, 0), (0x31, 0), (0x32, 1), (0x34, 2), (0x35, 2)],
    F32: [(0x2A, 2)],
    F64: [(0x2B, 3)],
}
_STORES = {I32: [(0x36, 2), (0x3A, 0), (0x3B, 1)], I64: [(0x37, 3), (0x3C, 0), (0x3E, 2)], F32: [(0x38, 2)],
           F64: [(0x39, 3)]}  # fmt: skip
END, DROP, VOID = b"\x0b", b"\x1a", b"\x40"
FUEL = 0
#: Index of the host function; functions of the module come behind it.
MIX = 0


class Program:
    """One random program. `data` are its bytes; `exports` the functions' names, with their types."""

    def __init__(self, seed: int, fuel: int = 60) -> None:
        self.random = random.Random(seed)
        self.types: list[tuple[Types, Types]] = [((I32, I64), (I64,)), ((I32,), (I32,))]
        pick = self.random
        self.funcs = [self._signature() for _ in range(pick.randrange(2, 6))]
        # The one that the host function calls back.
        self.funcs.append(((I32,), (I32,)))
        self.globals = [I32, *(pick.choice((*NUMBERS, FUNCREF)) for _ in range(4))]
        bodies = [self._function(index) for index in range(len(self.funcs))]
        self.exports = {f"f{i}": signature for i, signature in enumerate(self.funcs)}
        self.data = self._module(bodies, fuel)

    def _signature(self) -> tuple[Types, Types]:
        kinds = (*NUMBERS, I32, FUNCREF, EXTERNREF)
        pick = self.random
        params = tuple(pick.choice(kinds) for _ in range(pick.randrange(4)))
        return params, tuple(pick.choice(kinds) for _ in range(pick.choice((0, 1, 1, 1, 2, 3))))

    def type_index(self, params: Types, results: Types) -> int:
        """The index of a function type, which is declared if it is new."""
        if (params, results) not in self.types:
            self.types.append((params, results))
        return self.types.index((params, results))

    def _module(self, bodies: list[bytes], fuel: int) -> bytes:
        count = len(self.funcs)
        funcs = [leb(self.type_index(*signature)) for signature in self.funcs]
        zeros = [self._zero(t, fuel if i == FUEL else 0) for i, t in enumerate(self.globals)]
        globals_ = [_CODE[t] + b"\1" + zero + END for t, zero in zip(self.globals, zeros, strict=True)]
        exports = [(f"f{i}", 0, i + 1) for i in range(count)] + [("memory", 2, 0), ("t", 1, 0)]
        exports += [(f"g{i}", 3, i) for i in range(len(self.globals))]
        elems = vec(*(leb(1 + i % count) for i in range(6)))
        everyone = b"\3\0" + vec(*(leb(i) for i in range(count + 1)))
        return module(
            section(TYPE, *(b"\x60" + _types(params) + _types(results) for params, results in self.types)),
            section(IMPORT, sized(b"h") + sized(b"mix") + b"\0\0"),
            section(FUNC, *funcs),
            section(TABLE, b"\x70\0\x08"),
            section(MEMORY, b"\1\1\4"),
            section(GLOBAL, *globals_),
            section(EXPORT, *(sized(name.encode()) + bytes([kind, index]) for name, kind, index in exports)),
            section(ELEM, b"\0\x41\0\x0b" + elems, everyone),
            section(CODE, *map(sized, bodies)),
        )

    def _zero(self, type_: str, number: int = 0) -> bytes:
        if type_ in (FUNCREF, EXTERNREF):
            return b"\xd0" + _CODE[type_]
        return self._const(type_, number)

    def _const(self, type_: str, number: int | float) -> bytes:
        if type_ == I32:
            return b"\x41" + sleb(int(number))
        if type_ == I64:
            return b"\x42" + sleb(int(number))
        return b"\x43" + struct.pack("<f", number) if type_ == F32 else b"\x44" + struct.pack("<d", number)

    def _function(self, index: int) -> bytes:
        params, results = self.funcs[index]
        kinds = (*NUMBERS, *NUMBERS, FUNCREF, EXTERNREF)
        extra = [self.random.choice(kinds) for _ in range(self.random.randrange(2, 9))]
        body = _Body(self, index, [*params, *extra], results)
        locals_ = vec(*(leb(1) + _CODE[t] for t in [*extra, *body.counters]))
        return locals_ + body.code + END


def _types(types: Types) -> bytes:
    return vec(*(_CODE[t] for t in types))


class _Body:
    """The making of one function's instructions."""

    def __init__(self, program: Program, index: int, locals_: list[str], results: Types) -> None:
        self.program = program
        self.index = index
        self.random = program.random
        self.locals = locals_
        self.results = results
        #: Labels around the place at hand, innermost last: what a branch there carries, and whether it is a loop.
        self.labels: list[tuple[Types, bool]] = [(results, False)]
        self.counters: list[str] = []
        code = self.fuel()
        for _ in range(self.random.randrange(1, 5)):
            code += self.statement(3)
        if self.random.random() < 0.15:
            code += self.tail_call()
        self.code = code + b"".join(self.expr(t, 3) for t in results)

    # Pieces

    def fuel(self) -> bytes:
        """Take one off the counter; trap where none is left."""
        get = b"\x23" + leb(FUEL)
        return get + b"\x45\x04\x40\x00\x0b" + get + b"\x41\1\x6b\x24" + leb(FUEL)

    def statement(self, depth: int) -> bytes:
        kinds = ["set", "set", "store", "global", "call", "tee"]
        if depth:
            kinds += ["if", "loop", "loop", "block", "switch", "branch", "grow", "table"]
        made: bytes = getattr(self, "_" + self.random.choice(kinds))(depth)
        return made

    def expr(self, type_: str, depth: int) -> bytes:
        """Instructions that leave one value of the type."""
        kinds = ["const", "get", "get"]
        if depth > 0:
            kinds += ["call", "choose", "blocked", "get", "of_global"]
            if type_ in NUMBERS:
                kinds += ["binary", "binary", "binary", "unary", "convert", "load", "select", "mixed"]
                if type_ == I32:
                    kinds += ["compare", "is_null", "size"]
        made: bytes = getattr(self, "_e_" + self.random.choice(kinds))(type_, depth - 1)
        return made

    def exprs(self, types: Types, depth: int) -> bytes:
        return b"".join(self.expr(t, depth) for t in types)

    # Expressions

    def _e_const(self, type_: str, depth: int) -> bytes:
        pick = self.random
        if type_ == FUNCREF:
            return pick.choice((b"\xd2" + leb(pick.randrange(len(self.program.funcs) + 1)), b"\xd0\x70"))
        if type_ == EXTERNREF:
            return b"\xd0\x6f"
        if type_ == I32:
            return self.program._const(type_, pick.choice((0, 1, -1, 7, pick.randrange(-(1 << 31), 1 << 31))))
        if type_ == I64:
            return self.program._const(type_, pick.choice((0, 1, -1, 63, pick.randrange(-(1 << 63), 1 << 63))))
        floats = (0.0, -0.0, 1.5, -2.25, 1e30, float("inf"), float("nan"), pick.uniform(-1e6, 1e6))
        return self.program._const(type_, pick.choice(floats))

    def _e_get(self, type_: str, depth: int) -> bytes:
        known = [i for i, t in enumerate(self.locals) if t == type_]
        return b"\x20" + leb(self.random.choice(known)) if known else self._e_const(type_, depth)

    def _e_of_global(self, type_: str, depth: int) -> bytes:
        known = [i for i, t in enumerate(self.program.globals) if t == type_]
        return b"\x23" + leb(self.random.choice(known)) if known else self._e_const(type_, depth)

    def _e_binary(self, type_: str, depth: int) -> bytes:
        opcode = self.random.choice(_BINARY[type_])
        operands = self.exprs((type_, type_), depth)
        if opcode in _DIVIDE and self.random.random() < 0.9:
            operands += self.program._const(type_, 3) + (b"\x72" if type_ == I32 else b"\x84")
        return operands + bytes([opcode])

    def _e_unary(self, type_: str, depth: int) -> bytes:
        return self.expr(type_, depth) + bytes([self.random.choice(_UNARY[type_])])

    def _e_convert(self, type_: str, depth: int) -> bytes:
        opcode, source = self.random.choice(_CONVERT[type_])
        operand = self.expr(source, depth)
        if opcode in _SATURATED and self.random.random() < 0.8:
            return operand + b"\xfc" + bytes([_SATURATED[opcode]])
        return operand + bytes([opcode])

    def _e_compare(self, type_: str, depth: int) -> bytes:
        of = self.random.choice(NUMBERS)
        return self.exprs((of, of), depth) + bytes([self.random.choice(_COMPARE[of])])

    def _e_is_null(self, type_: str, depth: int) -> bytes:
        return self.expr(self.random.choice((FUNCREF, EXTERNREF)), depth) + b"\xd1"

    def _e_size(self, type_: str, depth: int) -> bytes:
        return self.random.choice((b"\x3f\0", b"\xfc\x10\0"))

    def _address(self, depth: int) -> bytes:
        """Nearly always inside of the first page."""
        mask = 0x7FFF if self.random.random() < 0.95 else 0xF_FFFF
        return self.expr(I32, depth) + b"\x41" + sleb(mask) + b"\x71"

    def _e_load(self, type_: str, depth: int) -> bytes:
        opcode, align = self.random.choice(_LOADS[type_])
        return self._address(depth) + bytes([opcode, align]) + leb(self.random.randrange(64))

    def _e_select(self, type_: str, depth: int) -> bytes:
        typed = b"\x1b" if self.random.random() < 0.5 else b"\x1c\1" + _CODE[type_]
        return self.exprs((type_, type_, I32), depth) + typed

    def _e_choose(self, type_: str, depth: int) -> bytes:
        """An `if` with a value."""
        condition = self.expr(I32, depth)
        self.labels.append(((type_,), False))
        arms = self.expr(type_, depth) + b"\x05" + self.expr(type_, depth)
        self.labels.pop()
        return condition + b"\x04" + _CODE[type_] + arms + END

    def _e_blocked(self, type_: str, depth: int) -> bytes:
        """A block that is perhaps left early, with its value."""
        self.labels.append(((type_,), False))
        inside = self.statement(depth)
        inside += self.expr(type_, depth) + self.expr(I32, depth) + b"\x0d\0" + DROP
        inside += self.expr(type_, depth)
        self.labels.pop()
        return b"\x02" + _CODE[type_] + inside + END

    def _e_mixed(self, type_: str, depth: int) -> bytes:
        """By way of the host, with an operand beneath. Not in the function that the host calls back."""
        if self.index == len(self.program.funcs) - 1:
            return self._e_get(type_, depth)
        call = self.exprs((I32, I64), depth) + b"\x10" + leb(MIX)
        if type_ != I64:
            return self.expr(type_, depth) + call + DROP
        return self.expr(I64, depth) + call + b"\x7c"

    def _e_call(self, type_: str, depth: int) -> bytes:
        """A call that gives the type, with more results dropped from behind it."""
        fitting = [i for i in self._callees() if self.program.funcs[i][1][:1] == (type_,)]
        if not fitting:
            return self._e_get(type_, depth)
        index = self.random.choice(fitting)
        return self._called(index, depth) + DROP * (len(self.program.funcs[index][1]) - 1)

    def _called(self, index: int, depth: int) -> bytes:
        params, results = self.program.funcs[index]
        args = self.exprs(params, depth - 1)
        if self.random.random() < 0.4:
            type_ = self.program.type_index(params, results)
            place = self.program._const(I32, index % 6) if self.random.random() < 0.9 else self.expr(I32, 0)
            return args + place + b"\x11" + leb(type_) + b"\0"
        return args + b"\x10" + leb(1 + index)

    # Statements

    def _set(self, depth: int) -> bytes:
        local = self.random.randrange(len(self.locals))
        return self.expr(self.locals[local], depth) + b"\x21" + leb(local)

    def _tee(self, depth: int) -> bytes:
        """A local that changes while its old value is an operand."""
        numbers = [i for i, t in enumerate(self.locals) if t in NUMBERS]
        if not numbers:
            return self._set(depth)
        local = self.random.choice(numbers)
        type_ = self.locals[local]
        combined = bytes([self.random.choice(_BINARY[type_][:2])])
        return b"\x20" + leb(local) + self.expr(type_, depth) + b"\x22" + leb(local) + combined + b"\x21" + leb(local)

    def _store(self, depth: int) -> bytes:
        type_ = self.random.choice(NUMBERS)
        opcode, align = self.random.choice(_STORES[type_])
        return self._address(depth) + self.expr(type_, depth) + bytes([opcode, align]) + leb(self.random.randrange(64))

    def _global(self, depth: int) -> bytes:
        index = self.random.randrange(1, len(self.program.globals))
        return self.expr(self.program.globals[index], depth) + b"\x24" + leb(index)

    def _call(self, depth: int) -> bytes:
        index = self.random.choice(self._callees() or [self.index])
        return self._called(index, depth) + DROP * len(self.program.funcs[index][1])

    def _callees(self) -> range:
        """Functions behind this one; now and then any, so that there is recursion."""
        count = len(self.program.funcs)
        return range(count) if self.random.random() < 0.1 else range(self.index + 1, count)

    def _if(self, depth: int) -> bytes:
        condition = self.expr(I32, depth - 1)
        self.labels.append(((), False))
        arm = self.statement(depth - 1)
        other = b"\x05" + self.statement(depth - 1) if self.random.random() < 0.5 else b""
        self.labels.pop()
        return condition + b"\x04" + VOID + arm + other + END

    def _loop(self, depth: int) -> bytes:
        """A loop of a few rounds, perhaps with parameters that each round hands to the next one."""
        counter = len(self.locals) + len(self.counters)
        rounds = self.program._const(I32, self.random.randrange(1, 6)) + b"\x21"
        carried = tuple(self.random.choice(NUMBERS) for _ in range(self.random.choice((0, 0, 1, 2))))
        type_ = sleb(self.program.type_index(carried, carried)) if carried else VOID
        # The counter is the loop's own: the locals it has are those that it may set.
        self.counters.append(I32)
        place = _Counter(counter)
        self.labels.append((carried, True))
        inside = self.fuel() + self.statement(depth - 1)
        inside += b"".join(bytes([self.random.choice(_UNARY[carried[-1]][:2])]) for _ in carried[:1])
        self.labels.pop()
        again = place.get() + b"\x41\1\x6b" + place.tee() + b"\x0d\0"
        start = self.exprs(carried, depth - 1)
        return rounds + place.late + start + b"\x03" + type_ + inside + again + END + DROP * len(carried)

    def _block(self, depth: int) -> bytes:
        """A block of several values, or none."""
        params = tuple(self.random.choice(NUMBERS) for _ in range(self.random.choice((0, 1, 2))))
        results = tuple(self.random.choice(NUMBERS) for _ in range(self.random.choice((0, 1, 2, 3))))
        self.labels.append((results, False))
        inside = DROP * len(params) + self.statement(depth - 1) + self.exprs(results, depth - 1)
        if self.random.random() < 0.5:
            inside += self.expr(I32, depth - 1) + b"\x0d\0"
        self.labels.pop()
        type_ = sleb(self.program.type_index(params, results))
        return self.exprs(params, depth - 1) + b"\x02" + type_ + inside + END + DROP * len(results)

    def _switch(self, depth: int) -> bytes:
        """A br_table over a few blocks."""
        count = self.random.randrange(1, 4)
        opening = (b"\x02" + VOID) * (count + 1)
        self.labels += [((), False)] * (count + 1)
        targets = vec(*(leb(self.random.randrange(count + 1)) for _ in range(count + 2)))
        code = opening + self.expr(I32, depth - 1) + b"\x41\x07\x71\x0e" + targets + leb(count)
        for _ in range(count + 1):
            self.labels.pop()
            code += END + self.statement(depth - 1)
        return code

    def _branch(self, depth: int) -> bytes:
        """A conditional branch out, never to a loop: those count their rounds."""
        outs = [i for i, (_, loop) in enumerate(reversed(self.labels)) if not loop]
        depth_out = self.random.choice(outs)
        types = self.labels[-1 - depth_out][0]
        return self.exprs(types, depth - 1) + self.expr(I32, depth - 1) + b"\x0d" + leb(depth_out) + DROP * len(types)

    def _grow(self, depth: int) -> bytes:
        return self.expr(I32, depth - 1) + b"\x41\1\x71\x40\0" + DROP

    def _table(self, depth: int) -> bytes:
        place = self.expr(I32, depth - 1) + b"\x41\x07\x71"
        if self.random.random() < 0.5:
            return place + self.expr(FUNCREF, depth - 1) + b"\x26\0"
        return place + b"\x25\0" + DROP

    def tail_call(self) -> bytes:
        """A return_call, where some function has the same results; only sometimes taken."""
        fitting = [i for i, (_, results) in enumerate(self.program.funcs) if results == self.results]
        if not fitting:
            return b""
        index = self.random.choice(fitting)
        params, results = self.program.funcs[index]
        args = self.exprs(params, 1)
        call = b"\x12" + leb(1 + index)
        if self.random.random() < 0.5:
            call = self.program._const(I32, index % 6) + b"\x13" + leb(self.program.type_index(params, results)) + b"\0"
        return self.expr(I32, 1) + b"\x04" + VOID + args + call + END


class _Counter:
    """A local that counts a loop's rounds."""

    def __init__(self, local: int) -> None:
        self.late = leb(local)

    def get(self) -> bytes:
        return b"\x20" + self.late

    def tee(self) -> bytes:
        return b"\x22" + self.late
