"""The protocol of a tier: one way to execute a module's functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from ..instances.exception import WasmException
from ..instances.func import WasmFunc
from ..values import Value
from .frames import WasmFrame

if TYPE_CHECKING:
    from ..instances.memory import Places
    from ..module import Module
    from .context import ExecContext


T = TypeVar("T")


class Tier(Protocol):
    """Both methods run until the function has returned. Leaving by `Unwind` means that the tier has put the frames
    it held on `ctx.spilled`, innermost first. Any other exception is the guest's end (`Trap`) or a host function's
    own, with `ctx.trace` told about each frame that it went through."""

    @property
    def name(self) -> str: ...

    def quick(self, kind: type[T]) -> type[T]:
        """A class like `kind`, that of an embedder's callable (`instances.door.Door`), to whose objects the tier can
        give a shorter way in; `kind` itself where it has none."""

    def expect(self, module: Module) -> None:
        """An instance of a module is about to be made. The tier may get ready for it, in the background."""

    def places(self, module: Module) -> Places | None:
        """Where the memories of a new instance are best from their beginning on; None where that is of no account."""

    def preparer(self, ctx: ExecContext) -> object:
        """What the interpreter finds its code by in an execution, so that it goes on with frames that stand in such
        code as they are; None where each frame is for the tier to look at."""

    def call(self, ctx: ExecContext, func: WasmFunc, args: tuple[Value, ...]) -> tuple[Value, ...]:
        """Call `func`. The caller has made sure that the arguments fit."""

    def resume(
        self,
        ctx: ExecContext,
        frame: WasmFrame,
        inbox: tuple[Value, ...] | None,
        thrown: WasmException | None = None,
    ) -> tuple[Value, ...]:
        """Go on in `frame`. `inbox` holds the callee's results where the frame waits in a call; `thrown` is the
        exception that the callee threw instead, which the frame catches. The interpreter may not refuse a frame,
        whoever made it."""
