"""The wrapper through which machine code calls a host function: one for each shape.

It takes Python's lock, makes objects of the arguments, calls, and makes a number of the result. Where anything is not
as it usually is before the call, the way out by `serve` does all of it instead (`BRIDGE`); what is unusual after it
(an exception, a result of another class) is for Python, which is told of it (`ODD`).

A shape's key says, in this order: whether the function takes a context, its parameters, its result; for kinds see
`convert.KINDS`. `s` and `y` are text and bytes, each an address and a length.
"""

from __future__ import annotations

from typing import Final

from ...hostabi import ParamShape, Scalar, Shape, Span
from ...types import F32, F64, I32
from .. import abi
from ..builder import INVARIANT, return_type
from ..emitter import leaving
from ..left import SHIFT
from . import desk
from .convert import KINDS, Wrapper, from_python, to_python

_OFFSET: Final = 1 << 63
#: Letters of integers by width and sign.
_INTS: Final = {(kind.bits, kind.signed): letter for letter, kind in KINDS.items() if letter in "bBhHiIqQ"}


def key_of(shape: Shape, context: bool) -> str | None:
    """The key of a shape; None for one that has no wrapper."""
    letters = [_letter(param) for param in shape.params]
    results = [_letter(result) if isinstance(result, Scalar) else None for result in shape.results]
    if shape.stored or len(results) > 1 or None in letters or None in results:
        return None
    return f"{'c' if context else 'n'}_{''.join(filter(None, letters))}_{''.join(filter(None, results))}"


def _letter(param: ParamShape) -> str | None:
    match param:
        case Scalar(type_, 32, _) if type_ is F32:
            return "f"
        case Scalar(type_, 64, _) if type_ is F64:
            return "d"
        case Scalar(_, 1, _):
            return "t"
        case Scalar(_, bits, signed):
            return _INTS.get((bits, signed))
        case Span(text, address) if address is I32:
            return "s" if text else "y"
        case _:
            return None


def wrapper(key: str) -> str:
    """The IR of `host_<key>`."""
    context, params, results = key.split("_")
    returned = return_type(tuple(KINDS[kind].type for kind in results))
    types = [type_ for kind in params for type_ in (["i32", "i32"] if kind in "sy" else [KINDS[kind].type])]
    given = [(type_, f"%p{i}") for i, type_ in enumerate(types)]
    w = Wrapper("%table")
    args = w.value(f"alloca [{len(params) + 2} x ptr]")
    d = w.ours("ptr", "%inst", abi.DESK)
    w.emit(f"%table = load ptr, ptr {w.field(d, desk.TABLE)}{INVARIANT}")
    index = w.value("ptrtoint ptr %which to i64")
    rows = w.ours("ptr", d, desk.ROWS)
    row = w.value(f"getelementptr [{desk.ROW_SIZE} x i8], ptr {rows}, i64 {index}")
    bounds = _ready(w, d, row, context == "c", params)
    locked = w.value(f"icmp ne i64 {w.ours('i64', d, desk.KEEP)}, 0")
    _lock(w, locked, "PyEval_RestoreThread", f"ptr {w.ours('ptr', d, desk.STATE)}")
    _arguments(w, row, args, params, bounds, context == "c")
    before = w.ours("i64", d, desk.INSIDE)
    w.keep("i64", "1", d, desk.INSIDE)
    w.keep("i64", "%left", "%inst", abi.LEFT)
    w.keep("i64", w.value(f"add i64 {w.ours('i64', d, desk.COUNT)}, 1"), d, desk.COUNT)
    turn = _turn(w, row) if context == "c" else None
    count = len(params) + (context == "c")
    first = w.field(args, 8 if context == "c" else 16)
    made = w.call(
        "ptr", "PyObject_Vectorcall", f"ptr {w.ours('ptr', row, desk.FN)}", f"ptr {first}", f"i64 {count - _OFFSET}",
        "ptr null",
    )  # fmt: skip
    if turn is not None:
        place, old = turn
        mine = w.ours("ptr", place, 0)
        w.keep("ptr", old, place, 0)
        w.do("Py_DecRef", f"ptr {mine}")
    _forget(w, args, len(params))
    settled = w.ours("i64", d, desk.INSIDE)
    w.keep("i64", before, d, desk.INSIDE)
    w.rarely(w.value(f"icmp eq ptr {made}, null"), "raised")
    w.rarely(w.value(f"icmp ne i64 {settled}, 1"), "odd")
    number = _result(w, results, made)
    w.do("Py_DecRef", f"ptr {made}")
    _lock(w, locked, "PyEval_SaveThread")
    _return(w, returned, results, [number] if results else [])
    _odd(w, d, row, made, settled, locked)
    w.start("done")
    room = w.ours("ptr", "%inst", abi.ARGS, INVARIANT)
    _return(w, returned, results, [w.ours(KINDS[kind].type, room, 0) for kind in results])
    w.start("leave")
    w.emit(leaving(tuple(KINDS[kind].type for kind in results)))
    w.start("bridge")
    passed = "".join([f", {type_} {text}" for type_, text in given])
    bridge = w.ours("ptr", row, desk.BRIDGE)
    w.emit(f"ret {returned} {w.value(f'tail call {returned} {bridge}(ptr nest %which, ptr %inst, i64 %left{passed})')}")
    names = "".join([f", {type_} {text}" for type_, text in given])
    head = f"define {returned} @host_{key}(ptr nest %which, ptr %inst, i64 %left{names}) #0 {{\nstart:"
    return "\n".join([head, *w.lines, *w.cold, "}\n"])


def _ready(w: Wrapper, d: str, row: str, context: bool, params: str) -> list[tuple[str, str]]:
    """Look whether everything is as it usually is. Start and length of each piece of memory that is passed."""
    limit = w.ours("i64", "%inst", abi.LIMIT)
    w.rarely(w.value(f"icmp eq i64 {limit}, -1"), "bridge")
    running = w.ours("ptr", d, desk.RUNS)
    wanted = w.ours("ptr", row, desk.BORDER) if context else "null"
    w.rarely(w.value(f"icmp {'ne' if context else 'eq'} ptr {running}, {wanted}"), "bridge")
    if context:
        # It stays with whoever called last: between two calls nobody asks.
        caller = w.ours("ptr", w.ours("ptr", row, desk.CALLER), 0)
        w.rarely(w.value(f"icmp ne ptr {caller}, {w.ours('ptr', d, desk.INSTANCE)}"), "bridge")
    frames = w.value(f"and i64 %left, {(1 << SHIFT) - 1}")
    # None left: 0, or a number whose topmost bit is set.
    w.rarely(w.value(f"icmp uge i64 {w.value(f'sub i64 {frames}, 1')}, {(1 << SHIFT - 1) - 1}"), "bridge")
    if not set(params) & {"s", "y"}:
        return []
    cell = w.ours("ptr", row, desk.MEMORY)
    w.rarely(w.value(f"icmp eq ptr {cell}, null"), "bridge")
    base, size = w.ours("i64", cell, 0), w.ours("i64", cell, 8)
    found, at = [], 0
    for kind in params:
        if kind in "sy":
            start, length = (w.value(f"zext i32 %p{at + i} to i64") for i in range(2))
            end = w.value(f"add i64 {start}, {length}")
            w.rarely(w.value(f"icmp ugt i64 {end}, {size}"), "bridge")
            found.append((w.value(f"add i64 {base}, {start}"), length))
            at += 1
        at += 1
    return found


def _lock(w: Wrapper, locked: str, name: str, *args: str) -> None:
    """Take or give back Python's lock, unless it is kept all the time."""
    do, on = w.name(), w.name()
    w.emit(f"br i1 {locked}, label %{on}, label %{do}")
    w.start(do)
    if args:
        w.do(name, *args)
    else:
        w.call("ptr", name)
    w.jump(on)
    w.start(on)


def _arguments(w: Wrapper, row: str, args: str, params: str, bounds: list[tuple[str, str]], context: bool) -> None:
    """The objects, from the third place of `args` on. Where one can't be made, as if nothing had been begun."""
    if context:
        w.keep("ptr", w.ours("ptr", row, desk.CONTEXT), args, 8)
    at, pieces = 0, iter(bounds)
    for i, kind in enumerate(params):
        if kind in "sy":
            start, length = next(pieces)
            name, more = ("PyUnicode_DecodeUTF8", ", ptr null") if kind == "s" else ("PyBytes_FromStringAndSize", "")
            obj = w.value(f"call ptr {w.api(name)}(i64 {start}, i64 {length}{more})")
            at += 1
        else:
            obj = to_python(w, kind, f"%p{at}")
        at += 1
        w.keep("ptr", obj, args, 16 + 8 * i)
        failed = w.name()
        w.rarely(w.value(f"icmp eq ptr {obj}, null"), failed)
        with w.aside(failed):
            _forget(w, args, i)
            w.do("PyErr_Clear")
            w.emit("br label %undone")


def _turn(w: Wrapper, row: str) -> tuple[str, str]:
    """The context serves this call from now on: where that stands, and what stood there before."""
    slot = w.ours("ptr", row, desk.CALL)
    before = w.ours("ptr", slot, 0)
    w.keep("ptr", w.kept(w.ours("ptr", row, desk.NOW)), slot, 0)
    return slot, before


def _forget(w: Wrapper, args: str, count: int) -> None:
    for i in range(count):
        w.do("Py_DecRef", f"ptr {w.ours('ptr', args, 16 + 8 * i)}")


def _result(w: Wrapper, results: str, made: str) -> str:
    if results:
        return from_python(w, results, made, "odd")
    w.rarely(w.value(f"icmp ne ptr {made}, {w.api('None')}"), "odd")
    return ""


def _return(w: Wrapper, returned: str, results: str, values: list[str]) -> None:
    if not results:
        w.emit("ret i32 0")
        return
    type_ = KINDS[results].type
    half = w.value(f"insertvalue {returned} undef, i32 0, 0")
    w.emit(f"ret {returned} {w.value(f'insertvalue {returned} {half}, {type_} {values[0]}, 1')}")


def _odd(w: Wrapper, d: str, row: str, made: str, settled: str, locked: str) -> None:
    """Tell Python of an exception, or of what the function gave. Then `done`, with the result in the room, or `leave`
    with what was raised in the head."""
    w.start("raised")
    _fetch(w)
    w.jump("odd")
    w.start("odd")
    room = w.value("alloca [4 x ptr]")
    number = w.call("ptr", "PyLong_FromLongLong", f"i64 {settled}")
    w.keep("ptr", number, room, 8)
    w.keep("ptr", made, room, 16)
    absent = w.value(f"icmp eq ptr {made}, null")
    count = w.value(f"select i1 {absent}, i64 {1 - _OFFSET}, i64 {2 - _OFFSET}")
    told = w.ours("ptr", row, desk.ODD)
    done = w.call("ptr", "PyObject_Vectorcall", f"ptr {told}", f"ptr {w.field(room, 8)}", f"i64 {count}", "ptr null")
    w.do("Py_DecRef", f"ptr {number}")
    # Neither of them need be there.
    for thing in (made, done):
        there, gone = w.name(), w.name()
        w.emit(f"br i1 {w.value(f'icmp eq ptr {thing}, null')}, label %{gone}, label %{there}")
        w.start(there)
        w.do("Py_DecRef", f"ptr {thing}")
        w.jump(gone)
        w.start(gone)
    wrong = w.value(f"icmp eq ptr {done}, null")
    fetch, free = w.name(), w.name()
    w.emit(f"br i1 {wrong}, label %{fetch}, label %{free}")
    w.start(fetch)
    _fetch(w)
    w.jump(free)
    w.start(free)
    _lock(w, locked, "PyEval_SaveThread")
    w.emit(f"br i1 {wrong}, label %leave, label %done")
    w.start("undone")
    _lock(w, locked, "PyEval_SaveThread")
    w.jump("bridge")


def _fetch(w: Wrapper) -> None:
    w.do("PyErr_Fetch", *[f"ptr {w.field('%inst', abi.ERROR + 8 * i)}" for i in range(3)])
