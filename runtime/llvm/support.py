"""Code that machine code leans on, the same for all modules: requests to Python, spilling, ways in and out.

A way in (`enter_…`) takes its arguments from the block's room and leaves its results there. A way out (`bridge_…`)
stands where a function has no code yet, or is not of this instance: it does the opposite, and asks Python.
"""

from __future__ import annotations

import ctypes
import struct
import threading
import weakref
from collections.abc import Sequence
from typing import Final, Protocol

from . import abi
from .builder import INVARIANT, PREAMBLE, Builder, return_type
from .capi import exports, hosts
from .driver import drive
from .emitter import leaving
from .loader import Code, LoadError, load, place
from .product import GOOD

#: Flag of a vectorcall: the slot before the arguments may be written to.
_OFFSET: Final = 1 << 63
#: Bytes of one thunk.
THUNK: Final = 20


def _api(b: Builder, table: str, name: str) -> str:
    return b.ours("ptr", table, 8 * abi.API.index(name), INVARIANT)


def _request() -> str:
    """Ask Python: 0 when it is done, 1 when it raised, 2 when it found code to be called."""
    b = Builder()
    table = b.ours("ptr", "%inst", abi.API_TABLE, INVARIANT)
    lock = b.value(f"call i32 {_api(b, table, 'PyGILState_Ensure')}()")
    args = b.value("alloca [2 x ptr]")
    number = b.value(f"call ptr {_api(b, table, 'PyLong_FromLongLong')}(i64 %what)")
    b.rarely(b.value(f"icmp eq ptr {number}, null"), "failed")
    first = b.field(args, 8)
    b.emit(f"store ptr {number}, ptr {first}")
    helper = b.ours("ptr", "%inst", abi.HELPER)
    call = _api(b, table, "PyObject_Vectorcall")
    result = b.value(f"call ptr {call}(ptr {helper}, ptr {first}, i64 {1 - _OFFSET}, ptr null)")
    release = _api(b, table, "Py_DecRef")
    b.emit(f"call void {release}(ptr {number})")
    b.rarely(b.value(f"icmp eq ptr {result}, null"), "failed")
    plain = b.value(f"icmp eq ptr {result}, {_api(b, table, 'None')}")
    status = b.value(f"select i1 {plain}, i32 0, i32 2")
    b.emit(f"call void {release}(ptr {result})")
    unlock = _api(b, table, "PyGILState_Release")
    b.emit(f"call void {unlock}(i32 {lock})")
    b.emit(f"ret i32 {status}")
    b.start("failed")
    places = [b.field("%inst", abi.ERROR + 8 * i) for i in range(3)]
    b.emit(f"call void {_api(b, table, 'PyErr_Fetch')}({', '.join([f'ptr {p}' for p in places])})")
    b.emit(f"call void {_api(b, table, 'PyGILState_Release')}(i32 {lock})")
    b.emit("ret i32 1")
    return _text("define i32 @request(ptr %inst, i64 %what)", b)


def _poll() -> str:
    """Have Python look for requests. It keeps all registers, so that a loop that polls loses nothing by it."""
    b = Builder()
    b.keep("i64", "%stack", b.ours("ptr", "%inst", abi.ARGS), 0)
    what = abi.ASKS["poll"]
    b.emit(f"ret i32 {b.value(f'call i32 @request(ptr %inst, i64 {what})')}")
    return _text("define preserve_allcc i32 @poll(ptr %inst, i64 %stack)", b)


def _spill(slots: int) -> str:
    """Write a record, and move the pointer on by the size that the header names. What is full is emptied first."""
    b = Builder()
    size = b.value("lshr i64 %header, 32")
    before = b.ours("ptr", "%inst", abi.SPILL)
    after = b.value(f"getelementptr i8, ptr {before}, i64 {size}")
    full = b.value(f"icmp ugt ptr {after}, {b.ours('ptr', '%inst', abi.SPILL_END)}")
    b.emit(f"br i1 {full}, label %full, label %room, !prof !0")
    b.start("full")
    b.value(f"call i32 @request(ptr %inst, i64 {abi.ASKS['flush']})")
    # Whatever became of that: here is room.
    begin = b.ours("ptr", "%inst", abi.SPILL_START)
    b.emit("br label %room")
    b.start("room")
    at = b.phi("ptr", [(before, "start"), (begin, "full")])
    pc = b.value("and i64 %header, 4294967295")
    b.keep("i64", b.value(f"or i64 {pc}, {1 << 32}"), at, 0)
    for i in range(slots):
        b.keep("i64", f"%s{i}", at, 8 + 8 * i)
    b.keep("ptr", b.value(f"getelementptr i8, ptr {at}, i64 {size}"), "%inst", abi.SPILL)
    b.emit("ret void")
    params = "".join([f", i64 %s{i}" for i in range(slots)])
    return _text(f"define void @spill{slots}(ptr %inst, i64 %header{params})", b)


def _enter(name: str) -> str:
    """The way in."""
    b = Builder()
    types, results = abi.signature_of(name)
    args = []
    offset = 0
    for t in types:
        args.append(f", {t} {b.ours(t, '%room', offset)}")
        offset += abi.size_of(t)
    returned = return_type(results)
    made = b.value(f"call {returned} %code(ptr %inst, i64 %left{''.join(args)})")
    offset = 0
    for place_, t in enumerate(results, 1):
        wide, value = b.widened(t, b.value(f"extractvalue {returned} {made}, {place_}"))
        b.keep(wide, value, "%room", offset)
        offset += abi.size_of(t)
    b.emit(f"ret i32 {b.value(f'extractvalue {returned} {made}, 0') if results else made}")
    return _text(f"define i32 @enter_{name}(ptr %inst, ptr %code, ptr %room, i64 %left)", b)


def _bridge(name: str) -> str:
    """The way out. `%which` is the function's index, put into its register by a thunk."""
    b = Builder()
    types, results = abi.signature_of(name)
    params = [(t, f"%p{i}") for i, t in enumerate(types)]
    room = b.ours("ptr", "%inst", abi.ARGS, INVARIANT)
    offset = 0
    for t, text in params:
        wide, value = b.widened(t, text)
        b.keep(wide, value, room, offset)
        offset += abi.size_of(t)
    b.keep("i64", "%left", "%inst", abi.LEFT)
    index = b.value("ptrtoint ptr %which to i64")
    what = b.value(f"or i64 {b.value(f'shl i64 {index}, 8')}, {abi.ASKS['call']}")
    code = b.ours("ptr", "%inst", abi.SUPPORT + 8 * abi.REQUEST, INVARIANT)
    status = b.value(f"call i32 {code}(ptr %inst, i64 {what})")
    b.emit(f"switch i32 {status}, label %leave [i32 0, label %done i32 2, label %found]")
    returned = return_type(results)
    b.start("done")
    if results:
        made = f"{{i32 0{''.join([f', {t} undef' for t in results])}}}"
        offset = 0
        for i, t in enumerate(results, 1):
            made = b.value(f"insertvalue {returned} {made}, {t} {b.ours(t, room, offset)}, {i}")
            offset += abi.size_of(t)
        b.emit(f"ret {returned} {made}")
    else:
        b.emit("ret i32 0")
    b.start("found")
    target = b.ours("ptr", "%inst", abi.INDIRECT)
    given = "".join([f", {t} {text}" for t, text in params])
    b.emit(f"ret {returned} {b.value(f'tail call {returned} {target}(ptr %inst, i64 %left{given})')}")
    b.start("leave")
    b.emit(leaving(results))
    names = "".join([f", {t} {text}" for t, text in params])
    return _text(f"define {returned} @bridge_{name}(ptr nest %which, ptr %inst, i64 %left{names})", b)


def _text(head: str, b: Builder) -> str:
    return "\n".join([head + " #0 {\nstart:", *b.lines, *b.cold, "}\n"])


#: Stands for what all modules need, among the keys of signatures.
COMMON: Final = "common"
#: Before a signature's key: how Python calls an export that has it.
EXPORT: Final = "export "
#: Before a shape's key: how code calls a host function of it.
HOST: Final = "host "


def support_ir(keys: Sequence[str]) -> str:
    """The ways in and out for these signatures; with COMMON also requests, polling and spilling."""
    parts = [_part(key) for key in keys if key != COMMON]
    if COMMON in keys:
        parts += [_request(), _poll(), *map(_spill, abi.SPILL_SIZES), drive()]
    return PREAMBLE + "".join(parts)


def _part(key: str) -> str:
    if key.startswith(EXPORT):
        return exports.wrapper(key.removeprefix(EXPORT))
    if key.startswith(HOST):
        return hosts.wrapper(key.removeprefix(HOST))
    return _enter(key) + _bridge(key)


def _symbols(key: str) -> tuple[str, ...]:
    if key.startswith(EXPORT):
        return ("call_" + key.removeprefix(EXPORT),)
    if key.startswith(HOST):
        return ("host_" + key.removeprefix(HOST),)
    return "enter_" + key, "bridge_" + key


class User(Protocol):
    """Who has a copy of the addresses."""

    def support(self) -> None: ...


class Support:
    """What there is of it in this process. Never freed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._codes: list[Code] = []
        self._common: list[int] = []
        #: The level that this is made in, and who has taken it.
        self.level = -1
        self._users: weakref.WeakSet[User] = weakref.WeakSet()
        #: Goes on with records one behind the other; see `driver`.
        self.drive = 0
        self._ways: dict[str, tuple[int, ...]] = {}

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those that there is no code for yet."""
        return [key for key in dict.fromkeys(keys) if not (self._common if key == COMMON else key in self._ways)]

    def adopt(self, files: Sequence[bytes], keys: Sequence[str], level: int) -> None:
        """Take what is missing, or is made better, from object files that hold all of `keys`. Raises LoadError."""
        with self._lock:
            missing = self.missing(keys)
            better = COMMON in keys and level > self.level
            if not missing and not better:
                return
            codes = [load(data) for data in files]
            symbols = {name: address for code in codes for name, address in code.symbols.items()}
            try:
                if better:
                    self.level = level
                    names = ["request", "poll", *[f"spill{n}" for n in abi.SPILL_SIZES]]
                    self.drive = symbols["drive"]
                    self._common = [symbols[name] for name in names]
                for key in missing:
                    if key != COMMON:
                        self._ways[key] = tuple([symbols[name] for name in _symbols(key)])
            except KeyError as error:
                raise LoadError(f"no {error} in the support code") from None
            finally:
                self._codes += codes
        for user in list(self._users) if better else ():
            user.support()

    def use(self, user: User) -> None:
        """From now on `user.support()` is called when there is better code. It may be from any thread."""
        if self.level < GOOD:
            self._users.add(user)

    def common(self) -> list[int]:
        """Addresses for the head of a block, from SUPPORT on."""
        return self._common

    def ways(self, key: str) -> tuple[int, ...]:
        """The addresses of the ways in and out for a signature; of the wrapper for an export's."""
        return self._ways[key]


SUPPORT: Final = Support()


def thunks(targets: Sequence[tuple[int, int]]) -> Code:
    """For each (number, bridge) a piece of code, THUNK bytes apart, that goes to the bridge with the number in the
    register of its first parameter (r10 on x86-64)."""
    code = b"".join([
        b"\x41\xba" + struct.pack("<I", number) + b"\x49\xbb" + struct.pack("<Q", bridge) + b"\x41\xff\xe3\xcc"
        for number, bridge in targets
    ])  # fmt: skip
    return place(code, {})


def api_table() -> ctypes.Array[ctypes.c_void_p]:
    """Addresses of what `abi.API` names."""
    libc = ctypes.CDLL(None)
    found = []
    for name in abi.API[:-1]:
        function = getattr(libc if name.startswith("mem") else ctypes.pythonapi, name)
        found.append(ctypes.cast(function, ctypes.c_void_p).value)
    return (ctypes.c_void_p * len(abi.API))(*found, id(None))
