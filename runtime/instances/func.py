"""Function instances (spec 4.2.6), and the protocol through which host code is entered.

`Unwind` leaves the Python stack when an execution suspends. It is a BaseException without public constructor, so that
`except Exception` in host code can't swallow it and nobody outside the engine can raise one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from .. import lean
from ..declarations import Code
from ..types import FuncType
from ..values import Value

if TYPE_CHECKING:
    from .instance import Instance


@lean.define(eq=False, repr=False)
class WasmFunc:
    """A function of a module, closed over its instance. It never changes; that nothing sees to it makes it in a third
    of the time, and a large module has thousands of them for each instance."""

    type: FuncType
    instance: Instance
    code: Code

    @property
    def name(self) -> str:
        """The name from the name section, or its index."""
        return self.instance.module.func_name(self.code.index)

    def __repr__(self) -> str:
        return f"<WasmFunc {self.name} {self.type!r}>"


class HostCode(Protocol):
    """What stands behind a host function.

    `enter` runs it: `frame` is None the first time, and the suspended frame when it is entered again. It gives the
    results as canonical values, or a `TailCall` to be made in its place. Leaving by `Unwind` means that the engine
    was told (by the border's methods) what the function waits for; any other exception is its own.
    """

    @property
    def module(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def accepts(self) -> tuple[int, ...]: ...

    def enter(self, border: Any, caller: Instance | None, args: tuple[Value, ...], frame: Any) -> Any:
        """Run, or go on. `border` is the engine's `ExecContext`; `frame` an `exec.frames.HostFrame` or None."""

    def drop(self, border: Any, frame: Any) -> None:
        """Clean up after a suspended call that will not go on."""


@lean.frozen(eq=False, repr=False)
class HostFunc:
    """A function of the host. It belongs to no instance."""

    type: FuncType
    code: HostCode
    instance: ClassVar[None] = None

    @property
    def name(self) -> str:
        return f"{self.code.module}.{self.code.name}"

    def __repr__(self) -> str:
        return f"<HostFunc {self.name} {self.type!r}>"


FuncInst: TypeAlias = "WasmFunc | HostFunc"


@lean.frozen
class FuncHandle:
    """What Python code outside of the engine holds of a function. Two are equal if they are of the same one."""

    inst: FuncInst


@lean.frozen
class TailCall:
    """A host function's result when another function is to be called in its place (same result types)."""

    func: FuncInst
    args: tuple[Value, ...]


class Unwind(BaseException):
    """Everything leaves the Python stack; what was going on is kept as frame records."""

    def __init_subclass__(cls) -> None:
        raise TypeError("Unwind belongs to the engine and can't be subclassed")

    def __new__(cls, *args: object) -> Unwind:
        raise TypeError("Unwind belongs to the engine; a host function suspends by block_until, call, ask or sleep")


def make_unwind() -> Unwind:
    """The engine's own way to an `Unwind`."""
    return BaseException.__new__(Unwind)
