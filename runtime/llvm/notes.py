"""Which instruction of the guest a memory access in machine code belongs to, told as line numbers (DWARF).

Where guard pages stand for bounds checks, an access that traps is known by its address in the code alone. So each has
a line number: the byte offset of its instruction. LLVM may make one instruction of several, of a load and the addition
that uses it, say; so what uses a loaded value bears the load's number, and an access that can't trap unless an earlier
one has done so bears that one's. Whether all numbers have come out is looked up in the object file (`lines`).
"""

from __future__ import annotations

import re
from typing import Final

#: What a module of IR with notes has besides its functions.
PREAMBLE: Final = """
!llvm.module.flags = !{!7, !8}
!llvm.dbg.cu = !{!9}
!7 = !{i32 2, !"Dwarf Version", i32 4}
!8 = !{i32 2, !"Debug Info Version", i32 3}
!9 = distinct !DICompileUnit(language: DW_LANG_C99, file: !10, emissionKind: LineTablesOnly)
!10 = !DIFile(filename: "guest", directory: "")
!11 = !DISubroutineType(types: !12)
!12 = !{}
"""
_FIRST: Final = 16
_NAMES: Final = re.compile(r"%v\d+")
_PLACE: Final = re.compile(r"line: (\d+)")
#: Instructions that may become one with the load whose value they take, and then with what takes theirs.
_THROUGH: Final = (
    "zext", "sext", "trunc", "bitcast", "icmp", "fcmp", "and", "or", "xor", "lshr", "ashr", "shl", "add", "sub", "mul",
)  # fmt: skip
#: Instructions that don't: they have a number of their own, or none is needed.
_OTHERS: Final = ("phi", "load", "getelementptr")


def scope_of(index: int, point: int | None) -> int:
    """The number of the metadata of a function, or of the code of one of its check points."""
    return _FIRST + (2 * index if point is None else 2 * point + 1)


def scope(number: int) -> str:
    """That metadata."""
    kind = 'name: "", file: !10, unit: !9, type: !11, spFlags: DISPFlagDefinition'
    return f"!{number} = distinct !DISubprogram({kind})\n"


def note(scope_: int, pc: int) -> str:
    """What an instruction is marked with."""
    return f", !dbg !DILocation(line: {pc}, scope: !{scope_})"


def passed_on(lines: list[str], notes: dict[str, str]) -> list[str]:
    """The lines, with what takes a loaded value marked as the load is. `notes` are those of the loads, by the name of
    their value, and become those of all values."""
    out: list[str] = []
    for line in lines:
        name, equals, rest = line.partition(" = ")
        if not equals:
            if line.startswith(("br i1 ", "switch ")):
                found = notes.get(line.split(" ", 3)[2].rstrip(","))
                line += found or ""
        elif not rest.startswith(_OTHERS) and "\n" not in line:
            taken = [notes[each] for each in _NAMES.findall(rest) if each in notes]
            if taken:
                last = max(taken, key=_line)
                line += last
                if rest.startswith(_THROUGH):
                    notes[name] = last
        out.append(line)
    return out


def _line(text: str) -> int:
    found = _PLACE.search(text)
    return 0 if found is None else int(found[1])
