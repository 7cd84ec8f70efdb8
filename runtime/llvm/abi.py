"""What machine code and Python agree on: the block of an instance, status codes, the requests that code makes.

Machine code gets one pointer, to the block of its instance: a fixed head, then pointers and cells whose places depend
on the module alone. Nothing in it is baked into code, so the same code serves every instance and every process.

A function gets the block, what is left to it of the execution's limits, and its arguments. It returns a status with
its results: 0 for "done", 1 for "leave the stack". Whoever gets a 1 writes its frame's record to the spill area and
returns 1 in turn. Why, the head says: a trap, or an error that Python raised.

A function with tail calls has two ways in. The usual one, `f<index>`, keeps to this. Its body, `t<index>`, may also
return 2, "call another in my place": which one, and with what, stands in the head and the room. `f<index>` goes on
calling until that is over, and each body is gone from the stack before the next one is entered.
"""

from __future__ import annotations

from typing import Final

from .. import lean
from ..errors import TrapCode
from ..module import Module
from ..types import EXNREF, EXTERNREF, F32, F64, FUNCREF, I32, I64, V128, FuncType, ValType

# The head: byte offsets, eight bytes each.
#: Where the stack may not go below. All ones: look for requests. Polled by loops, compared by every entry.
LIMIT: Final = 0
#: The trap that code met, `offset << 8 | code`; 0 for none.
TRAP: Final = 8
#: Where the next record goes, and where the area ends: both 0 as long as no frame has left the stack, so that the
#: first one to do so has Python provide an area.
SPILL: Final = 16
SPILL_END: Final = 24
#: An error that Python raised, as PyErr_Fetch gives it: three pointers.
ERROR: Final = 32
#: Addresses of the functions of CPython that code calls; see `API`.
API_TABLE: Final = 56
#: The Python callable that serves requests.
HELPER: Final = 64
#: The stack's limit proper, while LIMIT may be all ones.
REAL: Final = 72
#: `table << 32 | entry` of the indirect call under way.
INDIRECT: Final = 80
#: Operands and results of a request.
ARGS: Final = 88
#: What is left of the limits to the call under way, or at the check point where Python looks for requests; see `left`.
LEFT: Final = 232
#: Support functions, by the constants below.
SUPPORT: Final = 96
#: Where the spill area begins.
SPILL_START: Final = 224
#: A tail call under way: the code to go to, and that which takes its arguments out of the room and goes there.
TAIL_CODE: Final = 240
TAIL_WAY: Final = 248
#: By function of the module: the code that a tail call goes to.
TAILS: Final = 256
#: The desk for calls straight between Python and code; see `capi.desk`.
DESK: Final = 264
HEAD: Final = 272

#: The status that means a tail call.
INSTEAD: Final = 2

#: All ones.
ASK: Final = 0xFFFF_FFFF_FFFF_FFFF
#: A null reference, in code as in records. Any other is the address of its object, which the image keeps alive.
NULL: Final = 0xFFFF_FFFF_FFFF_FFFF

#: Functions of CPython, by their place in the table. The last is a value: the address of None.
API: Final = (
    "PyGILState_Ensure",
    "PyGILState_Release",
    "PyLong_FromLongLong",
    "PyObject_Vectorcall",
    "Py_DecRef",
    "PyErr_Fetch",
    "memmove",
    "memset",
    "None",
)

# Support functions, by their place at SUPPORT.
REQUEST: Final = 0
POLL: Final = 1
SPILLS: Final = 2
#: Numbers of slots for which there is a spilling function; a record with more is written in place.
SPILL_SIZES: Final = (0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
#: Slots of the largest record that a spilling function or code in place may write; more, and the function stays with
#: the interpreter. An area always has room for one of these.
MAX_SLOTS: Final = 2048
#: An access whose offset and width together are no more than this is first compared with the memory's size at the
#: function's start less as much. That is one comparison with a register; only what lies in the last bytes, or in what
#: the memory has grown by since, is looked at more closely.
SLACK: Final = 4096

#: Codes of traps, by their place; 0 is none. The last says that the error is in the head.
TRAPS: Final = (
    None,
    TrapCode.UNREACHABLE,
    TrapCode.INTEGER_DIVIDE_BY_ZERO,
    TrapCode.INTEGER_OVERFLOW,
    TrapCode.INVALID_CONVERSION,
    TrapCode.OUT_OF_BOUNDS_MEMORY,
    TrapCode.UNDEFINED_ELEMENT,
    TrapCode.UNINITIALIZED_ELEMENT,
    TrapCode.INDIRECT_CALL_TYPE,
    TrapCode.STACK_OVERFLOW,
    TrapCode.UNALIGNED_ATOMIC,
)
TRAP_CODES: Final[dict[TrapCode, int]] = {code: n for n, code in enumerate(TRAPS) if code is not None}
RAISED: Final = 255

#: What code asks of Python: the place of the request in this tuple, with an immediate above 8 bits.
REQUESTS: Final = (
    "poll",
    "flush",
    "call",
    "memory.grow",
    "memory.init",
    "data.drop",
    "table.get",
    "table.set",
    "table.size",
    "table.grow",
    "table.fill",
    "table.copy",
    "table.init",
    "elem.drop",
    "ref.func",
    "global.get",
    "global.set",
    "throw",
    "throw_ref",
    "catch",
    "atomic.wait",
    "atomic.notify",
)
ASKS: Final[dict[str, int]] = {name: n for n, name in enumerate(REQUESTS)}
#: Function index of a call that was found in a table.
FROM_TABLE: Final = 0xFFFF_FFFF

#: A vector, as two halves: 16 bytes wherever other values take 8.
VECTOR: Final = "<2 x i64>"
#: Values that machine code has a form for; references as their handles. Functions with others stay, whole, in the
#: interpreter.
IR_TYPES: Final[dict[ValType, str]] = {
    I32: "i32", I64: "i64", F32: "float", F64: "double", V128: VECTOR,
    FUNCREF: "i64", EXTERNREF: "i64", EXNREF: "i64",
}  # fmt: skip
_LETTERS: Final = {"i32": "i", "i64": "l", "float": "f", "double": "d", VECTOR: "v"}


class Unsupported(Exception):
    """Something that this tier leaves to the interpreter; the message says what."""


def ir_type(type_: ValType) -> str:
    """The IR type of a value; a reference is its handle. Raises Unsupported."""
    found = IR_TYPES.get(type_)
    if found is None:
        raise Unsupported(type_.name)
    return found


def size_of(type_: str) -> int:
    """Bytes that a value of an IR type takes in a room or a record."""
    return 16 if type_ == VECTOR else 8


def callable_from_code(type_: FuncType) -> bool:
    """Whether machine code has a form for all values of a function type."""
    return all(t in IR_TYPES for t in (*type_.params, *type_.results))


def signature_key(type_: FuncType) -> str:
    """Tells signatures apart as code sees them: `ii_l` for `(i32 i32) -> (i64)`, a reference being an `l`."""
    params, results = ("".join(_LETTERS[ir_type(t)] for t in types) for types in (type_.params, type_.results))
    return f"{params}_{results}"


def signature_of(key: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The IR types of parameters and results that a key stands for."""
    types = {letter: type_ for type_, letter in _LETTERS.items()}
    params, _, results = key.partition("_")
    return tuple([types[letter] for letter in params]), tuple([types[letter] for letter in results])


@lean.frozen(eq=False)
class BlockLayout:
    """Places in the block of an instance of one module."""

    module: Module
    #: Where each kind's entries begin; eight bytes an entry.
    memories: int = lean.field(init=False)
    tables: int = lean.field(init=False)
    #: An entry is the value itself for an immutable global, else the address of the value.
    globals: int = lean.field(init=False)
    #: Process-wide numbers of the module's function types.
    types: int = lean.field(init=False)
    #: By type: code that hands a call that was found in a table to Python.
    strangers: int = lean.field(init=False)
    #: By function: its code.
    funcs: int = lean.field(init=False)
    size: int = lean.field(init=False)

    def __post_init__(self) -> None:
        env = self.module.env
        at = HEAD
        for name, count in (
            ("memories", len(env.memories)),
            ("tables", len(env.tables)),
            ("globals", len(env.globals)),
            ("types", len(env.types)),
            ("strangers", len(env.types)),
            ("funcs", len(env.funcs)),
        ):
            object.__setattr__(self, name, at)
            at += 8 * count
        object.__setattr__(self, "size", at)

    def inline(self, index: int) -> bool:
        """Whether a global's value stands in the block itself: it never changes."""
        return not self.module.env.globals[index].mutable
