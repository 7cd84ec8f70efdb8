"""The words that authors annotate with, and the objects that stand for a guest's things.

    def recv(ctx: BlockingContext, fd: i32, out: OutBuffer, timeout_ms: u32) -> i32: ...

To a type checker `i32` is an int and `Str` a str; `hostsdk` reads the rest at registration.
"""

from __future__ import annotations

import reprlib
import warnings
from collections.abc import Awaitable, Generator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Annotated, Any, Generic, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from ._access import NARROW, Access, unaligned
from ._engine import (
    ANYREF,
    ARRAYREF,
    EQREF,
    EXNREF,
    EXTERNREF,
    F32,
    F64,
    I31REF,
    I32,
    I64,
    STRUCTREF,
    V128,
    Array,
    CString,
    FuncHandle,
    FuncType,
    Ref,
    Scalar,
    Span,
    StateError,
    Struct,
    Trap,
    TrapCode,
    Value,
    WasmException,
    lean,
)
from ._errors import BufferTooSmall
from ._layout import Cell
from ._messages import Text

#: A WebAssembly function's results as Python has them.
Wasm: TypeAlias = (
    int | float | V128 | Struct | Array | WasmException | FuncHandle
    | tuple[int | float | V128 | Struct | Array | WasmException | FuncHandle | None, ...] | None
)  # fmt: skip

if TYPE_CHECKING:
    from attrs import AttrsInstance

#: What an export is called with, but for objects of the host's.
Argument: TypeAlias = int | float | V128 | Struct | Array | WasmException | FuncHandle | None

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
P = ParamSpec("P")
W = TypeVar("W", bound=Wasm)
#: What a host function gives: numbers, and records that are stored through pointers.
R = TypeVar(
    "R",
    bound="Wasm | TypedFuncRef[Any, Any] | AttrsInstance"
    " | tuple[int | float | V128 | Struct | Array | WasmException | FuncHandle | AttrsInstance | None, ...]",
)
#: The state of a host module, for one instance; None where it has none.
# A default is for type checkers: typing has none before 3.13, and typing_extensions takes longer to import than all
# the rest of this file's needs.
if TYPE_CHECKING:
    import typing_extensions

    S = typing_extensions.TypeVar("S", default=None)
else:
    S = TypeVar("S")


@lean.frozen
class ByPointer:
    """Marks a result that goes through a pointer, which the guest passes behind the other arguments."""


@lean.frozen
class Count:
    """Marks a tuple (or bytes) of fixed length in a record: `Annotated[tuple[u32, ...], Count(4)]`."""

    count: int


@lean.frozen
class Tag:
    """Marks a union in a record, which a number in front tells apart: `Annotated[A | B, Tag(u8, {0: A, 1: B})]`."""

    number: object
    cases: Mapping[int, type] = lean.field(eq=False)


@lean.frozen
class Buffers:
    """Marks a list of buffers that the guest passes as the address of (address, length) pairs, and their number."""

    out: bool = False


@lean.frozen
class Size:
    """Marks an int that is as wide as the guest's addresses."""

    signed: bool = False


i8: TypeAlias = Annotated[int, Scalar(I32, 8)]
u8: TypeAlias = Annotated[int, Scalar(I32, 8, False)]
i16: TypeAlias = Annotated[int, Scalar(I32, 16)]
u16: TypeAlias = Annotated[int, Scalar(I32, 16, False)]
i32: TypeAlias = Annotated[int, Scalar(I32, 32)]
u32: TypeAlias = Annotated[int, Scalar(I32, 32, False)]
i64: TypeAlias = Annotated[int, Scalar(I64, 64)]
u64: TypeAlias = Annotated[int, Scalar(I64, 64, False)]
f32: TypeAlias = Annotated[float, Scalar(F32, 32)]
f64: TypeAlias = Annotated[float, Scalar(F64, 64)]
#: C's size_t and ptrdiff_t: 32 bits, or 64 for a guest whose memory has 64-bit addresses.
usize: TypeAlias = Annotated[int, Size()]
isize: TypeAlias = Annotated[int, Size(signed=True)]
#: Text in UTF-8, by address and length.
Str: TypeAlias = Annotated[str, Span(text=True)]
#: Text in UTF-8 that ends with a zero byte, by address.
CStr: TypeAlias = Annotated[str, CString()]
#: Bytes by address and length.
Bytes: TypeAlias = Annotated[bytes, Span()]
#: An external reference, as it is.
ExternRef: TypeAlias = Annotated[Any, Ref(EXTERNREF)]
#: References to what the guest makes, null or not, by WebAssembly's names. Those that are never null are annotated with
#: the class alone: `Struct`, `Array`, `I31Int`, `WasmException`, and `Func` for functions of any type.
AnyRef: TypeAlias = Annotated[Any, Ref(ANYREF)]
EqRef: TypeAlias = Annotated[Any, Ref(EQREF)]
I31Ref: TypeAlias = Annotated[int | None, Ref(I31REF)]
StructRef: TypeAlias = Annotated[Struct | None, Ref(STRUCTREF)]
ArrayRef: TypeAlias = Annotated[Array | None, Ref(ARRAYREF)]
ExnRef: TypeAlias = Annotated[WasmException | None, Ref(EXNREF)]
#: A result that is written through a pointer, the guest's last argument.
Stored: TypeAlias = Annotated[T, ByPointer()]


@lean.frozen(repr=False)
class Ptr(Generic[T]):
    """A pointer into the guest's memory, to a T. Nothing here suspends.

    `load` and `store` trap, before any effect, where the address lies outside of the memory or is not aligned.
    """

    #: The address in bytes.
    addr: int
    # A record and the forward reference to it within itself are the same type.
    _cell: Cell
    _access: Access = lean.field(eq=False)
    #: Of an address in the guest's memory.
    _bits: int = lean.field(default=NARROW, eq=False)

    def load(self) -> T:
        """What lies there, copied. Raises Trap."""
        self._check()
        data = self._access.read(self.addr, self._cell.size)
        return cast("T", self._cell.unpack(data, 0, self._access))

    def store(self, value: T) -> None:
        """Write `value`. Raises Trap, and ConversionError where it doesn't fit."""
        self._check()
        self._access.write(self.addr, self._cell.pack(value, repr(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Ptr):
            return NotImplemented
        return self.addr == other.addr and self._cell.text == other._cell.text

    def __hash__(self) -> int:
        return hash((self.addr, self._cell.text))

    def offset(self, n: int) -> Ptr[T]:
        """The pointer `n` elements further on (before, if negative). Traps where that is no address of
        the guest's."""
        addr = self.addr + n * self._cell.size
        if not 0 <= addr < 1 << self._bits:
            raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY, Text.OUT_OF_RANGE(addr=addr, bits=self._bits))
        return lean.evolve(self, addr=addr)

    def _check(self) -> None:
        if self.addr & self._cell.align - 1:
            raise unaligned(self.addr, self._cell.align, repr(self))

    @property
    def text(self) -> str:
        """The type as an author writes it."""
        return f"Ptr[{self._cell.text}]"

    def __repr__(self) -> str:
        return f"{self.text}({self.addr:#x})"


@lean.frozen
class OutBuffer:
    """Room in the guest's memory that the function fills; checked to lie inside before the function began."""

    #: The address in bytes.
    addr: int
    _size: int
    _access: Access = lean.field(eq=False, repr=False)

    def __len__(self) -> int:
        """How many bytes it holds."""
        return self._size

    def __getitem__(self, part: slice) -> OutBuffer:
        """A part of the room, as with any sequence: `out[4:]`. Raises TypeError for an index or a step."""
        asked: object = part
        if not isinstance(asked, slice) or asked.step not in (None, 1):
            raise TypeError(Text.SLICE(value=reprlib.repr(asked)))
        start, stop, _ = asked.indices(self._size)
        return lean.evolve(self, addr=self.addr + start, _size=max(stop - start, 0))

    def fill(self, data: bytes | bytearray | memoryview) -> int:
        """Write `data` at the beginning; the number of bytes written. Raises BufferTooSmall, and writes nothing,
        where it holds less."""
        copy = bytes(data)
        if len(copy) > self._size:
            raise BufferTooSmall(len(copy), self._size)
        self._access.write(self.addr, copy)
        return len(copy)


#: The bytes of a list of buffers, as writev has it: two values of the guest's.
ByteList: TypeAlias = Annotated[list[bytes], Buffers()]
#: A list of rooms to fill, as readv has it.
OutBuffers: TypeAlias = Annotated[list[OutBuffer], Buffers(out=True)]


class Callee(Protocol):
    """The type of a guest function and the conversion of its arguments and results."""

    @property
    def text(self) -> str: ...
    @property
    def type(self) -> FuncType: ...

    def lower(self, args: tuple[object, ...]) -> tuple[Value, ...]:
        """Canonical values of the arguments. Raises ConversionError."""

    def lift(self, values: tuple[Value, ...], access: Access) -> object:
        """What Python has of canonical results: None, one, or a tuple."""

    def on(self, access: Access) -> Callee:
        """The same for a guest whose addresses are as wide as this one's."""


@lean.frozen(repr=False)
class FuncRef(Generic[P, W]):
    """A guest function: by its index in the function table, or an export by its name. Plain data, looked up when it is
    called: `yield from call(ref, …)` in a generator, `ctx.call(ref, …)` elsewhere."""

    index: int | None
    name: str | None
    callee: Callee

    def __repr__(self) -> str:
        return f"{self.callee.text}({self.index if self.name is None else repr(self.name)})"


@lean.frozen(repr=False)
class TypedFuncRef(FuncRef[P, W]):
    """A function that is passed as a reference, not as an index into a table: `(ref $type)`. It is called as any
    FuncRef, and may be called after the call that it was passed to, or kept in a record."""

    #: The function as the engine has it.
    inst: Any = None

    def __repr__(self) -> str:
        return f"Typed{self.callee.text}({getattr(self.inst, 'name', None)})"


@lean.frozen
class Step:
    """What a generator hands to the engine: an operation that may suspend. Made by `yield from op` alone."""

    op: Op[Any]


#: What a generator-style host function is annotated with: `-> Steps[i32]` ends in an i32.
Steps: TypeAlias = Generator[Step, Any, T]


class Desk(Protocol):
    """Who carries out the operations of a coroutine."""

    def order(self, op: Op[Any]) -> Awaitable[Any]:
        """Have `op` carried out in the guest's turn."""


#: Of the coroutine at hand, and of the tasks that it makes.
DESK: ContextVar[Desk | None] = ContextVar("hostsdk-desk", default=None)


class Op(Generic[T_co]):
    """An operation that may suspend: `yield from op` in a generator, `await op` in a coroutine. One that is made but
    never run is a RuntimeWarning, as a coroutine never awaited is."""

    _started = False

    @property
    def label(self) -> str:
        """The operation in words, for messages."""
        return type(self).__name__

    def __iter__(self) -> Steps[T_co]:
        self._started = True
        return self._steps()

    def __await__(self) -> Generator[Any, Any, T_co]:
        desk = DESK.get()
        self._started = True
        if desk is None:
            raise StateError(Text.AWAIT_OUTSIDE(op=self.label))
        return desk.order(self).__await__()

    def _steps(self) -> Steps[T_co]:
        return cast("T_co", (yield Step(self)))

    def __del__(self) -> None:
        if not self._started:
            warnings.warn(Text.NEVER_RUN(op=self.label), RuntimeWarning, stacklevel=1, source=self)
