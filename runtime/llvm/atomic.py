"""The processor's atomic accesses for Python: what the interpreter uses on a memory that machine code may be using."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import Final, TypeAlias, cast

from .backend import compile_ir
from .builder import PREAMBLE
from .loader import Code, load

_WIDTHS: Final = (1, 2, 4, 8)
_UPDATES: Final = ("add", "sub", "and", "or", "xor", "xchg")
_Function: TypeAlias = Callable[..., int]


def _cut(name: str, width: int) -> str:
    """An operand as wide as the access."""
    how = f"trunc i64 %{name} to i{8 * width}" if width < 8 else f"add i64 %{name}, 0"
    return f"%{name}n = {how}\n"


def _ir(width: int) -> str:
    n, order = f"i{8 * width}", f"seq_cst, align {width}"
    give = "ret i64 %o\n}\n" if width == 8 else f"%r = zext {n} %o to i64\nret i64 %r\n}}\n"
    value = f"(ptr %p, i64 %v) {{\n{_cut('v', width)}"
    parts = [
        f"define i64 @load{width}(ptr %p) {{\n%o = load atomic {n}, ptr %p {order}\n{give}",
        f"define i64 @store{width}{value}store atomic {n} %vn, ptr %p {order}\nret i64 0\n}}\n",
        f"define i64 @cmpxchg{width}(ptr %p, i64 %e, i64 %v) {{\n{_cut('e', width)}{_cut('v', width)}"
        f"%b = cmpxchg ptr %p, {n} %en, {n} %vn seq_cst {order}\n%o = extractvalue {{{n}, i1}} %b, 0\n{give}",
    ]
    parts += [
        f"define i64 @{name}{width}{value}%o = atomicrmw {name} ptr %p, {n} %vn {order}\n{give}" for name in _UPDATES
    ]
    return "".join(parts)


class Processor:
    """See `instances.atomic.Machine`."""

    def __init__(self) -> None:
        self._code: Code = load(compile_ir(PREAMBLE + "".join(map(_ir, _WIDTHS)), 2))
        pointer, number = ctypes.c_void_p, ctypes.c_uint64
        one = ctypes.PYFUNCTYPE(number, pointer)
        two = ctypes.PYFUNCTYPE(number, pointer, number)
        three = ctypes.PYFUNCTYPE(number, pointer, number, number)
        kinds = {"load": one, "cmpxchg": three}
        self._functions: dict[tuple[str, int], _Function] = {
            (name, width): cast("_Function", kinds.get(name, two)(self._code.symbols[f"{name}{width}"]))
            for name in ("load", "store", "cmpxchg", *_UPDATES)
            for width in _WIDTHS
        }

    def load(self, width: int, address: int) -> int:
        return self._functions["load", width](address)

    def store(self, width: int, address: int, value: int) -> None:
        self._functions["store", width](address, value)

    def update(self, operation: str, width: int, address: int, value: int) -> int:
        return self._functions[operation, width](address, value)

    def cmpxchg(self, width: int, address: int, expected: int, value: int) -> int:
        return self._functions["cmpxchg", width](address, expected, value)


_lock = threading.Lock()
_made: list[Processor] = []


def processor() -> Processor:
    """The accesses, compiled when first needed."""
    with _lock:
        if not _made:
            _made.append(Processor())
        return _made[0]
