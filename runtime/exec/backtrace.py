"""Frames as readable lines, innermost first: of an execution that is suspended, or of an error on its way out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from ..instances.func import FuncInst, WasmFunc
from ..values import to_python
from .frames import Frame, HostFrame


@attrs.frozen
class TraceLine:
    """One frame. `offset` is the byte in the module for WebAssembly's, None for a host function's; `args` the
    arguments where they are still known."""

    kind: str
    module: str
    name: str
    offset: int | None = None
    args: tuple[object, ...] | None = None

    def __str__(self) -> str:
        args = "" if self.args is None else f"({', '.join(map(_short, self.args))})"
        if self.kind == "host":
            return f"host  {self.module}.{self.name}{args}"
        return f"wasm  {self.module + '.' if self.module else ''}{self.name}{args} at byte {self.offset}"


def line(func: FuncInst, offset: int | None, args: Sequence[object] | None = None) -> TraceLine:
    """The line of a frame of `func`."""
    if isinstance(func, WasmFunc):
        return TraceLine("wasm", func.instance.module.name or "", func.name, offset)
    shown = None
    if args is not None:
        shown = tuple(to_python(t, v) for t, v in zip(func.type.params, args, strict=True))
    return TraceLine("host", func.code.module, func.code.name, None, shown)


def of_frames(frames: Sequence[Frame]) -> list[TraceLine]:
    """The backtrace of a suspended execution, whose frames are given outermost first."""
    return [line(f.func, None, f.args) if isinstance(f, HostFrame) else line(f.func, f.pc) for f in reversed(frames)]


def render(lines: Iterable[object]) -> str:
    """One line a frame, numbered from the innermost."""
    return "\n".join(f"  {i:3} {text}" for i, text in enumerate(lines))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
