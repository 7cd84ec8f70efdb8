"""Frames as readable lines, innermost first: of an execution that is suspended, or of an error on its way out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from .. import lean
from ..instances.func import FuncInst, WasmFunc
from ..values import Value, to_python
from .frames import Frame, HostFrame, WasmFrame


class _Gone:
    """Stands for an argument that nothing reads any more, and that was therefore not kept."""

    def __repr__(self) -> str:
        return "…"


#: In `TraceLine.args`: an argument that has not been kept.
GONE = _Gone()


@lean.frozen
class TraceLine:
    """One frame. `offset` is the byte in the module for WebAssembly's, None for a host function's; `args` the
    arguments where they are still known: of a function of WebAssembly, the parameters as they are now, and `GONE` for
    one that nothing reads any more."""

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


def line(func: FuncInst, offset: int | None, args: Sequence[Value | _Gone] | None = None) -> TraceLine:
    """The line of a frame of `func`, whose arguments are canonical."""
    shown = None
    if args is not None:
        shown = tuple([v if v is GONE else to_python(t, v) for t, v in zip(func.type.params, args, strict=True)])
    if isinstance(func, WasmFunc):
        return TraceLine("wasm", func.instance.module.name or "", func.name, offset, shown)
    return TraceLine("host", func.code.module, func.code.name, None, shown)


def of_frames(frames: Sequence[Frame]) -> list[TraceLine]:
    """The backtrace of a suspended execution, whose frames are given outermost first."""
    return [
        line(f.func, None, f.args) if isinstance(f, HostFrame) else line(f.func, f.pc, _parameters(f))
        for f in reversed(frames)
    ]


def _parameters(frame: WasmFrame) -> list[Value | _Gone]:
    """The parameters of a frame, by what is live at its check point."""
    live = dict(zip(frame.layout.live, frame.slots(), strict=False))
    return [live.get(index, GONE) for index in range(len(frame.func.type.params))]


def render(lines: Iterable[object]) -> str:
    """One line a frame, numbered from the innermost."""
    return "\n".join(f"  {i:3} {text}" for i, text in enumerate(lines))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."
