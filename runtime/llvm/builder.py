"""LLVM's IR, written as text: the small typed face that the emitter works with.

Text and not llvmlite's object model, for two reasons. Writing it takes a tenth of the time, and emission is what a
first result waits for. And it needs no llvmlite: only `backend` does, to make machine code of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

#: Marks a branch as all but never taken.
RARELY: Final = ", !prof !0"
#: Of a load whose value is the same for a function's whole run.
INVARIANT: Final = ", !invariant.load !1"
#: Accesses of the guest's memory, and of ours: neither aliases the other.
GUEST: Final = ", !tbaa !2"
OURS: Final = ", !tbaa !4"

_FLOATS = {"f32": "float", "f64": "double"}


def _declarations() -> str:
    lines = ["declare ptr @llvm.stacksave.p0()", "declare i64 @llvm.usub.sat.i64(i64, i64)"]
    lines.append("declare i64 @llvm.umin.i64(i64, i64)")
    lines.append("declare i64 @llvm.uadd.sat.i64(i64, i64)")
    for bits in (32, 64):
        whole = f"i{bits}"
        lines += [f"declare {whole} @llvm.{name}.{whole}({whole}, i1)" for name in ("ctlz", "cttz")]
        lines.append(f"declare {whole} @llvm.ctpop.{whole}({whole})")
        lines += [f"declare {whole} @llvm.{name}.{whole}({whole}, {whole}, {whole})" for name in ("fshl", "fshr")]
        short, real = f"f{bits}", _FLOATS[f"f{bits}"]
        for name in ("fabs", "ceil", "floor", "trunc", "roundeven", "sqrt"):
            lines.append(f"declare {real} @llvm.{name}.{short}({real})")
        for name in ("minimum", "maximum", "copysign"):
            lines.append(f"declare {real} @llvm.{name}.{short}({real}, {real})")
        for name in ("fptosi", "fptoui"):
            lines += [f"declare {whole} @llvm.{name}.sat.{whole}.{s}({t})" for s, t in _FLOATS.items()]
    return "\n".join(lines)


#: What every module of IR begins with.
PREAMBLE: Final = (
    _declarations()
    + """
attributes #0 = { nounwind "no-builtins" "probe-stack"="inline-asm" }
attributes #1 = { nounwind cold }
attributes #2 = { nounwind uwtable "no-builtins" "probe-stack"="inline-asm" }
!0 = !{!"branch_weights", i32 1, i32 1000000}
!1 = !{}
!2 = !{!3, !3, i64 0}
!3 = !{!"guest", !6, i64 0}
!4 = !{!5, !5, i64 0}
!5 = !{!"ours", !6, i64 0}
!6 = !{!"root"}
"""
)


def real(type_: str, bits: int) -> str:
    """A constant of type `float` or `double` by its bits."""
    if type_ == "double":
        return f"0x{bits:016X}"
    if bits & 0x7F80_0000 == 0x7F80_0000 and bits & 0x007F_FFFF and not bits & 0x0040_0000:
        return f"bitcast (i32 {bits} to float)"  # the wide form of a constant would be a quiet NaN
    if bits & 0x7F80_0000 == 0x7F80_0000:
        return f"0x{(bits >> 31) << 63 | 0x7FF0_0000_0000_0000 | (bits & 0x007F_FFFF) << 29:016X}"
    value = struct.unpack("<f", struct.pack("<I", bits))[0]
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def return_type(results: Sequence[str]) -> str:
    """What a function with these results returns: its status with them."""
    return "{" + ", ".join(["i32", *results]) + "}" if results else "i32"


def _aligned(type_: str) -> str:
    """What is ours lies at multiples of eight, vectors too."""
    return ", align 8" if type_[0] == "<" else ""


class Builder:
    """One function's text. `here` is the block being filled; None behind an unconditional branch."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        #: Blocks that are all but never reached: they stand at the end.
        self.cold: list[str] = []
        self.here: str | None = "start"
        self._count = 0
        self._measured = (0, 0, 0)

    def length(self) -> int:
        """Characters of the text up to now."""
        lines, cold, length = self._measured
        length += sum(map(len, self.lines[lines:])) + sum(map(len, self.cold[cold:]))
        self._measured = len(self.lines), len(self.cold), length
        return length

    def name(self) -> str:
        """A new name, for a value or a label."""
        self._count += 1
        return f"v{self._count}"

    def emit(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(text)

    def value(self, text: str) -> str:
        """An instruction with a result: the result's name."""
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"{name} = {text}")
        return name

    def start(self, label: str) -> None:
        """Begin a block."""
        self.lines.append(label + ":")
        self.here = label

    def jump(self, label: str) -> None:
        """Leave the block for good."""
        self.lines.append(f"br label %{label}")
        self.here = None

    def rarely(self, condition: str, label: str) -> None:
        """Go to `label` in the rare case that `condition` holds; on in a new block otherwise."""
        on = self.name()
        self.lines.append(f"br i1 {condition}, label %{label}, label %{on}{RARELY}")
        self.start(on)

    @contextmanager
    def aside(self, label: str) -> Iterator[None]:
        """Fill a block that stands at the end; the block at hand goes on afterwards."""
        lines, here = self.lines, self.here
        self.lines = []
        self.start(label)
        yield
        self.cold.extend(self.lines)
        self.lines, self.here = lines, here

    def phi(self, type_: str, edges: Iterable[tuple[str, str]]) -> str:
        """A value that depends on the block control came from: (value, block) pairs."""
        return self.value(f"phi {type_} " + ", ".join([f"[{value}, %{block}]" for value, block in edges]))

    def field(self, base: str, offset: int) -> str:
        """The address `offset` bytes behind `base`."""
        return self.value(f"getelementptr i8, ptr {base}, i64 {offset}") if offset else base

    def ours(self, type_: str, base: str, offset: int, how: str = OURS) -> str:
        """Load something of ours."""
        return self.value(f"load {type_}, ptr {self.field(base, offset)}{_aligned(type_)}{how}")

    def keep(self, type_: str, value: str, base: str, offset: int, how: str = "") -> None:
        """Store something of ours."""
        self.emit(f"store {how}{type_} {value}, ptr {self.field(base, offset)}{_aligned(type_)}{OURS}")

    def widened(self, type_: str, text: str) -> tuple[str, str]:
        """A value as a slot has it: eight bytes, an i32 or f32 in the lower half and zeros above; a vector as it is."""
        if type_ == "i32":
            return "i64", text if text[0] != "%" else self.value(f"zext i32 {text} to i64")
        if type_ == "float":
            bits = self.value(f"bitcast float {text} to i32")
            return "i64", self.value(f"zext i32 {bits} to i64")
        if type_ == "double":
            return "i64", self.value(f"bitcast double {text} to i64")
        return type_, text
