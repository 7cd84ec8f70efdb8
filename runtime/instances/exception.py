"""Tags and exceptions (spec 4.2.12, 4.2.13), and the form in which an exception passes through Python.

An exception on its way is a `WasmException`: tiers, host functions and embedders raise and catch it like any other.
What an `exnref` refers to is the `ExnInst` that it carries, so that throwing a reference again throws the same one.
"""

from __future__ import annotations

from typing import Any

from .. import lean
from ..errors import WasmError
from ..types import EXN, FUNC, FuncType, TagType, ValType
from ..values import Value, to_python, to_wasm
from .func import FuncHandle, WasmFunc


@lean.frozen(eq=False, repr=False)
class TagInst:
    """A kind of exception. Two tags are the same only if they are one object; `name` is for people, and with
    `module` what a tag of the host's is found by when it is loaded."""

    type: TagType
    name: str = ""
    module: str | None = None

    def __repr__(self) -> str:
        name = ".".join(filter(None, (self.module, self.name))) or "tag"
        return f"<{name} ({' '.join(t.name for t in self.type.params)})>"


@lean.define(eq=False)
class ExnInst:
    """An exception: its tag, and its values in canonical form. Never changes once it is made."""

    tag: TagInst
    values: tuple[Value, ...]


class WasmException(WasmError):
    """A WebAssembly exception. Raised in a host function, it is thrown into the guest, which may catch it by its tag;
    one that nobody catches reaches the embedder as this.

    `WasmException(tag, *payload)` makes one of Python values: integers signed or unsigned, references as they are.
    Raises TypeError or OverflowError where they don't fit the tag.
    """

    exn: ExnInst

    def __init__(self, tag: TagInst, *payload: object) -> None:
        params = tag.type.params
        if len(payload) != len(params):
            raise TypeError(f"{tag!r} carries {len(params)} values, not {len(payload)}")
        self._carry(ExnInst(tag, tuple([_canonical(t, v) for t, v in zip(params, payload, strict=True)])))

    @classmethod
    def of(cls, exn: ExnInst) -> WasmException:
        """The exception that an `exnref` refers to, to be raised."""
        made: WasmException = cls.__new__(cls)
        made._carry(exn)
        return made

    def _carry(self, exn: ExnInst) -> None:
        self.exn = exn

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, (self.tag, *self.payload)))})"

    @property
    def tag(self) -> TagInst:
        """Its kind: `error.tag is tag` tells whether it is of one."""
        return self.exn.tag

    @property
    def payload(self) -> tuple[object, ...]:
        """Its values as Python has them: integers signed, functions as something to call, other references as they
        are."""
        return tuple([_shown(t, v) for t, v in zip(self.tag.type.params, self.exn.values, strict=True)])

    def __str__(self) -> str:
        return f"uncaught exception {self.tag!r}{self.payload!r}"

    def __reduce__(self) -> Any:
        raise TypeError("a WebAssembly exception belongs to its guest and can't be pickled")


def _canonical(type_: ValType, value: object) -> Value:
    if not type_.is_ref:
        return to_wasm(type_, value)
    if type_.kind is EXN and isinstance(value, WasmException):
        return value.exn
    return value.inst if type_.kind is FUNC and isinstance(value, FuncHandle) else value


def _shown(type_: ValType, value: Value) -> object:
    if isinstance(value, ExnInst):
        return WasmException.of(value)
    return value.instance.shown(value) if isinstance(value, WasmFunc) else to_python(type_, value)


def exception_type(tag: TagInst) -> FuncType:
    """A tag's type as that of a function which takes what the exception carries."""
    return FuncType(tag.type.params)
