"""The host ABI: the shape of a host call, as plain data.

Whoever offers host functions describes each by a `Shape`. What a shape says (which WebAssembly values a parameter is
made of, what is checked before the function runs) can be interpreted or compiled; nothing here does either.

Addresses, lengths and table indexes are values of a shape's `address`, i32 or, for a guest with 64-bit addresses, i64;
read as unsigned.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from . import lean
from .types import I32, FuncType, ValType


@lean.frozen
class Scalar:
    """A number of `bits` bits in one value of `type`. Narrow integers take the low bits, as a conversion in C does;
    a single bit is a truth value, true for anything but 0."""

    type: ValType
    bits: int
    signed: bool = True


@lean.frozen
class Span:
    """Bytes that the guest hands in, copied before the function runs: address and length, two values.
    `text` asks for UTF-8, checked."""

    text: bool = False
    address: ValType = I32


@lean.frozen
class CString:
    """UTF-8 up to a zero byte: one value, the address. Copied and checked before the function runs."""

    address: ValType = I32


@lean.frozen
class Pointer:
    """The address of something `size` bytes long that lies at a multiple of `align`; both are checked before the
    function runs."""

    size: int
    align: int
    address: ValType = I32


@lean.frozen
class OutSpan:
    """Room that the function fills: address and capacity, two values; checked before the function runs."""

    address: ValType = I32


@lean.frozen
class FuncIndex:
    """An index into the guest's function table. It is looked up, and its type compared, when it is called."""

    type: FuncType
    address: ValType = I32


@lean.frozen
class Ref:
    """A reference, passed as it is."""

    type: ValType


ParamShape: TypeAlias = Scalar | Span | CString | Pointer | OutSpan | FuncIndex | Ref
ResultShape: TypeAlias = Scalar | Ref


@lean.frozen
class ErrnoMap:
    """How an exception becomes the function's result: by the first of the exception's classes that `classes` lists,
    else by the `errno` of an OSError, in the host's numbering, in `errnos`, else `unknown` for any OSError.
    With `negate`, minus the number."""

    classes: Mapping[type[BaseException], int]
    errnos: Mapping[int, int]
    negate: bool = False
    unknown: int | None = None


@lean.frozen
class Shape:
    """A host function's parameters and results. The last `stored` parameters are not the function's own: they are
    pointers through which results go."""

    params: tuple[ParamShape, ...] = ()
    results: tuple[ResultShape, ...] = ()
    stored: int = 0
    errno: ErrnoMap | None = None

    def functype(self) -> FuncType:
        """The WebAssembly type that a function of this shape has."""
        params = tuple(type_ for param in self.params for type_ in flat(param))
        return FuncType(params, tuple(result.type for result in self.results))


def flat(param: ParamShape) -> tuple[ValType, ...]:
    """The WebAssembly values that a parameter is made of."""
    match param:
        case Scalar() | Ref():
            return (param.type,)
        case Span() | OutSpan():
            return (param.address, param.address)
        case _:
            return (param.address,)
