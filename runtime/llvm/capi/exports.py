"""The wrapper through which Python calls an exported function: a vectorcall, one for each signature.

It looks whether everything is as it usually is, turns the arguments into numbers, runs the code and turns the results
into objects. In any other case the Python way does the call instead (`SLOW`), or what is left of it (`FINISH`).
"""

from __future__ import annotations

from typing import Final

from .. import abi
from ..builder import INVARIANT, return_type
from . import desk
from .convert import KINDS, Wrapper, from_python, to_python

#: The slot before a vectorcall's arguments may be written to.
_OFFSET: Final = 1 << 63
#: Kinds of arguments and results by the letters of `abi.signature_key`.
_LETTERS: Final = {"i": "x", "l": "X", "f": "f", "d": "d"}


def served(key: str) -> bool:
    """Whether there is a wrapper for a signature."""
    return set(key) <= {*_LETTERS, "_"}


def wrapper(key: str) -> str:
    """The IR of `call_<key>`."""
    params, _, results = key.partition("_")
    kinds, given = [_LETTERS[c] for c in params], [_LETTERS[c] for c in results]
    w = Wrapper("%table")
    entry = w.ours("ptr", "%self", desk.ENTRY)
    d = w.ours("ptr", entry, desk.DESK)
    w.emit(f"%table = getelementptr i8, ptr {w.ours('ptr', d, desk.TABLE)}, i64 0")
    count = w.value(f"and i64 %nargsf, {_OFFSET - 1}")
    w.rarely(w.value(f"icmp ne i64 {count}, {len(kinds)}"), "slow")
    w.rarely(w.value("icmp ne ptr %names, null"), "slow")
    objects = [w.ours("ptr", "%args", 8 * i) for i in range(len(kinds))]
    numbers = [from_python(w, kind, obj, "slow") for kind, obj in zip(kinds, objects, strict=True)]
    state = _arrive(w, d)
    block = _begin(w, d, entry)
    parked = _take(w, d)
    keep = w.value(f"icmp ne i64 {w.ours('i64', d, desk.KEEP)}, 0")
    w.emit(f"br i1 {keep}, label %go, label %free")
    w.start("free")
    w.call("ptr", "PyEval_SaveThread")
    w.jump("go")
    w.start("go")
    code = w.ours("ptr", w.ours("ptr", entry, desk.CODE), 0)
    returned = return_type(tuple(KINDS[kind].type for kind in given))
    passed = "".join([f", {KINDS[kind].type} {number}" for kind, number in zip(kinds, numbers, strict=True)])
    made = w.value(f"call {returned} {code}(ptr {block}, i64 {w.ours('i64', d, desk.LEFT)}{passed})")
    w.emit(f"br i1 {keep}, label %back, label %lock")
    w.start("lock")
    w.do("PyEval_RestoreThread", f"ptr {state}")
    w.jump("back")
    w.start("back")
    values = [w.value(f"extractvalue {returned} {made}, {i}") for i in range(1, len(given) + 1)]
    status = w.value(f"extractvalue {returned} {made}, 0") if given else made
    w.rarely(w.value(f"icmp ne i32 {status}, 0"), "finish")
    w.rarely(w.value(f"icmp ne ptr {w.ours('ptr', d, desk.CALLED)}, {entry}"), "finish")
    w.keep("i64", "0", d, desk.CALLED)
    w.keep("i64", "0", w.ours("ptr", d, desk.RUNNING), 0)
    w.keep("i64", "0", w.ours("ptr", d, desk.GATE), 0)
    _put_back(w, d, parked)
    _give(w, given, values)
    _finish(w, (block, entry, parked), status, list(zip(given, values, strict=True)), objects)
    w.start("slow")
    slow = w.ours("ptr", entry, desk.SLOW)
    w.emit(f"ret ptr {w.call('ptr', 'PyObject_Vectorcall', f'ptr {slow}', 'ptr %args', 'i64 %nargsf', 'ptr %names')}")
    head = f"define ptr @call_{key}(ptr %self, ptr %args, i64 %nargsf, ptr %names) #0 {{\nstart:"
    return "\n".join([head, *w.lines, *w.cold, "}\n"])


def _arrive(w: Wrapper, d: str) -> str:
    """Look whether everything is as it usually is. The state of the thread."""
    state = w.call("ptr", "PyThreadState_Get")
    number = w.call("i64", "PyThreadState_GetID", f"ptr {state}")
    w.rarely(w.value(f"icmp ne i64 {number}, {w.ours('i64', d, desk.THREAD)}"), "slow")
    inside = w.ours("ptr", w.ours("ptr", d, desk.HERE), 0)
    w.rarely(w.value(f"icmp ne ptr {inside}, {w.api('None')}"), "slow")
    taken = w.ours("i64", w.ours("ptr", d, desk.GATE), 0)
    held = w.ours("i64", w.ours("ptr", d, desk.HOLD), 0)
    w.rarely(w.value(f"icmp ne i64 {w.value(f'or i64 {taken}, {held}')}, 0"), "slow")
    w.rarely(w.value(f"icmp eq i64 {w.ours('i64', w.ours('ptr', d, desk.BEATING), 0)}, 0"), "slow")
    return state


def _begin(w: Wrapper, d: str, entry: str) -> str:
    """Say who is inside, before anybody else may look. The block."""
    block = w.ours("ptr", d, desk.BLOCK)
    floor = w.ours("i64", d, desk.FLOOR)
    w.keep("i64", floor, block, abi.REAL)
    w.keep("i64", floor, block, abi.LIMIT)
    w.keep("i64", "2", w.ours("ptr", d, desk.GATE), 0)
    w.keep("ptr", block, w.ours("ptr", d, desk.RUNNING), 0)
    w.keep("i64", w.ours("i64", w.ours("ptr", d, desk.POINTER), 0), d, desk.POINTER_BEFORE)
    w.keep("ptr", entry, d, desk.CALLED)
    return block


def _take(w: Wrapper, d: str) -> str:
    """Have the execution that stands ready be the thread's, in the place of None. That execution, or null."""
    parked = w.ours("ptr", d, desk.PARKED)
    take, on = w.name(), w.name()
    w.emit(f"br i1 {w.value(f'icmp eq ptr {parked}, null')}, label %{on}, label %{take}")
    w.start(take)
    w.keep("ptr", parked, d, desk.RUNS)
    w.keep("ptr", w.kept(parked), w.ours("ptr", d, desk.HERE), 0)
    w.jump(on)
    w.start(on)
    return parked


def _put_back(w: Wrapper, d: str, parked: str) -> None:
    """The call is over, and nobody has asked for its execution."""
    back, on = w.name(), w.name()
    w.emit(f"br i1 {w.value(f'icmp eq ptr {parked}, null')}, label %{on}, label %{back}")
    w.start(back)
    w.keep("i64", "0", d, desk.RUNS)
    w.keep("ptr", w.api("None"), w.ours("ptr", d, desk.HERE), 0)
    w.do("Py_DecRef", f"ptr {parked}")
    w.jump(on)
    w.start(on)


def _give(w: Wrapper, kinds: list[str], values: list[str]) -> None:
    """Return the results: None, an object, or a tuple."""
    if not kinds:
        w.emit(f"ret ptr {w.kept(w.api('None'))}")
        return
    if len(kinds) == 1:
        w.emit(f"ret ptr {to_python(w, kinds[0], values[0])}")
        return
    made = w.call("ptr", "PyTuple_New", f"i64 {len(kinds)}")
    w.rarely(w.value(f"icmp eq ptr {made}, null"), "none")
    for i, (kind, value) in enumerate(zip(kinds, values, strict=True)):
        item = to_python(w, kind, value)
        w.rarely(w.value(f"icmp eq ptr {item}, null"), "lost")
        w.call("i32", "PyTuple_SetItem", f"ptr {made}", f"i64 {i}", f"ptr {item}")
    w.emit(f"ret ptr {made}")
    with w.aside("lost"):
        w.do("Py_DecRef", f"ptr {made}")
        w.emit("ret ptr null")
    with w.aside("none"):
        w.emit("ret ptr null")


def _finish(
    w: Wrapper, call: tuple[str, str, str], status: str, results: list[tuple[str, str]], objects: list[str]
) -> None:
    """Have Python do what is left: it gets the status and the arguments, and finds the results in the room."""
    block, entry, parked = call
    w.start("finish")
    none, on = w.name(), w.name()
    w.emit(f"br i1 {w.value(f'icmp eq ptr {parked}, null')}, label %{on}, label %{none}")
    w.start(none)
    # Python puts None back where it was, and counts it once more.
    w.do("Py_DecRef", f"ptr {w.api('None')}")
    w.jump(on)
    w.start(on)
    room = w.ours("ptr", block, abi.ARGS, INVARIANT)
    for i, (kind, value) in enumerate(results):
        wide, text = w.widened(KINDS[kind].type, value)
        w.keep(wide, text, room, 8 * i)
    args = w.value(f"alloca [{len(objects) + 2} x ptr]")
    number = w.call("ptr", "PyLong_FromLongLong", f"i64 {w.value(f'zext i32 {status} to i64')}")
    # Small ints are never lacking; and without this step nothing could be put right.
    first = w.field(args, 8)
    for i, obj in enumerate([number, *objects]):
        w.keep("ptr", obj, first, 8 * i)
    finish = w.ours("ptr", entry, desk.FINISH)
    count = f"i64 {len(objects) + 1 - _OFFSET}"
    d = w.ours("ptr", entry, desk.DESK)
    ask, again, over = w.name(), w.name(), w.name()
    w.jump(ask)
    w.start(ask)
    w.keep("i64", "1", d, desk.LEAVING)
    made = w.call("ptr", "PyObject_Vectorcall", f"ptr {finish}", f"ptr {first}", count, "ptr null")
    # A signal's handler may have raised before the first line: nothing has been put right then.
    waiting = w.value(f"icmp ne i64 {w.ours('i64', d, desk.LEAVING)}, 0")
    lost = w.value(f"and i1 {waiting}, {w.value(f'icmp eq ptr {made}, null')}")
    w.emit(f"br i1 {lost}, label %{again}, label %{over}")
    w.start(again)
    w.do("PyErr_Fetch", *[f"ptr {w.field(d, desk.LATE + 8 * i)}" for i in range(3)])
    w.jump(ask)
    w.start(over)
    w.do("Py_DecRef", f"ptr {number}")
    w.emit(f"ret ptr {made}")
