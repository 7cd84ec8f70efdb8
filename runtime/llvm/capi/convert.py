"""Between Python objects and WebAssembly's numbers, as IR: what every wrapper does with an argument or a result.

What is usual is done here (an int in range, a float); all else is left, undone, to the Python code that knows what to
do about it and what to say. Kinds are letters, those of the module `struct` where it has one: see `KINDS`.
"""

from __future__ import annotations

from typing import Final

from ... import lean
from ..builder import INVARIANT, RARELY, Builder
from . import api


@lean.frozen
class Kind:
    """How a number is seen from Python: its IR type, and for an int its width and the range that is taken."""

    type: str
    bits: int = 0
    signed: bool = False
    low: int = 0
    high: int = 0


def _int(bits: int, signed: bool) -> Kind:
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    return Kind("i64" if bits == 64 else "i32", bits, signed, low, high)


#: Numbers by letter. `x` and `X` are an export's i32 and i64: given in either reading, seen as signed. `t` is a bool.
KINDS: Final[dict[str, Kind]] = {
    "b": _int(8, True), "B": _int(8, False), "h": _int(16, True), "H": _int(16, False),
    "i": _int(32, True), "I": _int(32, False), "q": _int(64, True), "Q": _int(64, False),
    "x": Kind("i32", 32, True, -(1 << 31), (1 << 32) - 1), "X": _int(64, True),
    "f": Kind("float"), "d": Kind("double"), "t": Kind("i32", 1),
}  # fmt: skip


class Wrapper(Builder):
    """A function's text that calls CPython by way of the table."""

    def __init__(self, table: str) -> None:
        super().__init__()
        self.table = table

    def api(self, name: str) -> str:
        """The address of what `name` says."""
        return self.ours("ptr", self.table, api.place(name), INVARIANT)

    def call(self, returns: str, name: str, *args: str) -> str:
        """Call a function of CPython; the result."""
        return self.value(f"call {returns} {self.api(name)}({', '.join(args)})")

    def do(self, name: str, *args: str) -> None:
        """The same for one that gives nothing."""
        self.emit(f"call void {self.api(name)}({', '.join(args)})")

    def kept(self, obj: str) -> str:
        """The object, with one more reference to it."""
        self.do("Py_IncRef", f"ptr {obj}")
        return obj


def from_python(w: Wrapper, letter: str, obj: str, odd: str) -> str:
    """The number of an object; where that isn't the usual case, control goes to the block `odd` with no error set."""
    kind = KINDS[letter]
    if letter == "t":
        true = w.value(f"icmp eq ptr {obj}, {w.api('True')}")
        false = w.value(f"icmp eq ptr {obj}, {w.api('False')}")
        w.rarely(w.value(f"xor i1 {w.value(f'or i1 {true}, {false}')}, true"), odd)
        return w.value(f"zext i1 {true} to i32")
    class_ = w.ours("ptr", obj, 8)
    if kind.type in ("float", "double"):
        w.rarely(w.value(f"icmp ne ptr {class_}, {w.api('float')}"), odd)
        real = w.call("double", "PyFloat_AsDouble", f"ptr {obj}")
        if kind.type == "double":
            return real
        # Which NaN it becomes is a long story.
        w.rarely(w.value(f"fcmp uno double {real}, 0.0"), odd)
        return w.value(f"fptrunc double {real} to float")
    w.rarely(w.value(f"icmp ne ptr {class_}, {w.api('int')}"), odd)
    function = "PyLong_AsUnsignedLongLong" if letter == "Q" else "PyLong_AsLongLong"
    whole = w.call("i64", function, f"ptr {obj}")
    doubt, sure = w.name(), w.name()
    w.emit(f"br i1 {w.value(f'icmp eq i64 {whole}, -1')}, label %{doubt}, label %{sure}{RARELY}")
    with w.aside(doubt):
        wrong = w.name()
        error = w.call("ptr", "PyErr_Occurred")
        w.emit(f"br i1 {w.value(f'icmp ne ptr {error}, null')}, label %{wrong}, label %{sure}")
        w.start(wrong)
        w.do("PyErr_Clear")
        w.jump(odd)
    w.start(sure)
    if kind.bits == 64:
        return whole
    above = w.value(f"sub i64 {whole}, {kind.low}")
    w.rarely(w.value(f"icmp ugt i64 {above}, {kind.high - kind.low}"), odd)
    return w.value(f"trunc i64 {whole} to i32")


def to_python(w: Wrapper, letter: str, number: str) -> str:
    """A new object of a number; null, with an error set, where there is no memory for it."""
    kind = KINDS[letter]
    if letter == "t":
        set_ = w.value(f"icmp ne i32 {number}, 0")
        return w.kept(w.value(f"select i1 {set_}, ptr {w.api('True')}, ptr {w.api('False')}"))
    if kind.type == "float":
        number = w.value(f"fpext float {number} to double")
    if kind.type in ("float", "double"):
        return w.call("ptr", "PyFloat_FromDouble", f"double {number}")
    if kind.bits < 32:
        number = w.value(f"trunc i32 {number} to i{kind.bits}")
    if kind.bits < 64:
        number = w.value(f"{'sext' if kind.signed else 'zext'} i{kind.bits} {number} to i64")
    how = "PyLong_FromLongLong" if kind.signed else "PyLong_FromUnsignedLongLong"
    return w.call("ptr", how, f"i64 {number}")
