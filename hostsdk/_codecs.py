"""From WebAssembly values to what a host function sees, in two steps, and back.

`decode` turns the values that the guest passed into plain data and makes every check that can fail; it runs once a
call, before the function, and what it gives is kept in the call's record. `bind` turns plain data into the objects
that the function sees, each time that it is entered; it never fails.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias

from ._access import NARROW, WIDE, Access, Where, check
from ._engine import (
    I32,
    I64,
    CString,
    FuncIndex,
    FuncType,
    OutSpan,
    ParamShape,
    Pointer,
    Span,
    Trap,
    TrapCode,
    ValType,
    Value,
    flat,
    lean,
)
from ._errors import ConversionError, InvalidText, ResultError
from ._layout import Cell, Word, pointer_size
from ._messages import Text
from ._numbers import NUMBERS, Number
from ._references import RefWord
from ._types import Callee, FuncRef, OutBuffer, Ptr

#: Plain data: None, bool, int, float, str, bytes and tuples of them.
Plain: TypeAlias = object
#: A canonical value whose type the signature has settled: nothing is asked a second time.
Settled: TypeAlias = Any

#: What an address is passed as, by whether it is wide.
ADDRESS = {False: NUMBERS["u32"], True: NUMBERS["u64"]}
#: Bytes read at a time in search of a string's end, at first.
_CHUNK = 64


# ---- words: what lies in memory and is passed as one value ----------------------------------------------------------


@lean.frozen
class PtrWord:
    """An address of a `target`."""

    target: Cell
    wide: bool = False

    @property
    def size(self) -> int:
        """An address's."""
        return pointer_size(self.wide)

    @property
    def align(self) -> int:
        """An address's."""
        return pointer_size(self.wide)

    @property
    def text(self) -> str:
        """As an author writes it."""
        return f"Ptr[{self.target.text}]"

    @property
    def shape(self) -> Pointer:
        """For the engine."""
        return Pointer(self.target.size, self.target.align, address_type(self.wide))

    def lift(self, value: Value, access: Access) -> object:
        """The pointer. Whether something lies there is seen when it is used."""
        addr: Settled = value
        return Ptr[Any](addr, self.target, access, WIDE if self.wide else NARROW)

    def lower(self, value: object, what: str) -> Value:
        """The address."""
        if not isinstance(value, Ptr):
            raise _kind(self, value, what)
        return ADDRESS[self.wide].lower(value.addr, what)

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """The pointer that lies at `at`."""
        return self.lift(ADDRESS[self.wide].unpack(data, at, access), access)

    def pack(self, value: object, what: str) -> bytes:
        """The address, as bytes."""
        return ADDRESS[self.wide].pack(self.lower(value, what), what)


@lean.frozen
class FuncWord:
    """An index into the function table."""

    callee: Callee
    wide: bool = False

    @property
    def size(self) -> int:
        """An address's."""
        return pointer_size(self.wide)

    @property
    def align(self) -> int:
        """An address's."""
        return pointer_size(self.wide)

    @property
    def text(self) -> str:
        """As an author writes it."""
        return self.callee.text

    @property
    def shape(self) -> FuncIndex:
        """For the engine."""
        return FuncIndex(self.callee.type, address_type(self.wide))

    def lift(self, value: Value, access: Access) -> object:
        """The reference. Looked up when it is called."""
        index: Settled = value
        return FuncRef[Any, Any](index, None, self.callee)

    def lower(self, value: object, what: str) -> Value:
        """The index."""
        if not isinstance(value, FuncRef):
            raise _kind(self, value, what)
        if value.index is None:
            raise ConversionError(Text.NO_INDEX(what=what, value=repr(value)))
        return ADDRESS[self.wide].lower(value.index, what)

    def unpack(self, data: bytes, at: int, access: Access) -> object:
        """The reference that lies at `at`."""
        return self.lift(ADDRESS[self.wide].unpack(data, at, access), access)

    def pack(self, value: object, what: str) -> bytes:
        """The index, as bytes."""
        return ADDRESS[self.wide].pack(self.lower(value, what), what)


def address_type(wide: bool) -> ValType:
    """What an address is passed as."""
    return I64 if wide else I32


def _kind(word: Word, value: object, what: str) -> ConversionError:
    want = word.text.partition("[")[0]
    return ConversionError(Text.KIND(what=what, type=word.text, want=f"a {want}", value=reprlib.repr(value)))


#: What a function gives straight away, not through a pointer.
Direct: TypeAlias = Number | RefWord


@lean.frozen
class GuestType:
    """The type of a guest function: the `Callee` behind every FuncRef. `results` is one number or reference, a tuple of
    them, or None for nothing: as an author writes it."""

    params: tuple[Word | RefWord, ...]
    results: Direct | tuple[Direct, ...] | None
    #: The type that a guest with 64-bit addresses has of it.
    wide: GuestType | None = lean.field(default=None, eq=False, repr=False)
    text: str = lean.field(init=False)
    type: FuncType = lean.field(init=False, repr=False)

    def __post_init__(self) -> None:
        numbers: tuple[Direct, ...]
        match self.results:
            case None:
                numbers, result = (), "None"
            case Number() | RefWord():
                numbers, result = (self.results,), self.results.text
            case _:
                numbers, result = self.results, f"tuple[{', '.join(n.text for n in self.results) or '()'}]"
        text = f"FuncRef[[{', '.join(p.text for p in self.params)}], {result}]"
        object.__setattr__(self, "text", text)
        type_ = FuncType(tuple(_valtype(p) for p in self.params), tuple(n.shape.type for n in numbers))
        object.__setattr__(self, "type", type_)

    def on(self, access: Access) -> GuestType:
        """The same for a guest whose addresses are as wide as this one's."""
        return self.wide if self.wide is not None and access.wide else self

    def lower(self, args: tuple[object, ...]) -> tuple[Value, ...]:
        """Canonical values of the arguments. Raises ConversionError."""
        if len(args) != len(self.params):
            raise ConversionError(Text.FUNCREF_ARITY(what=self.text, want=len(self.params), value=len(args)))
        numbered = enumerate(zip(self.params, args, strict=True), 1)
        return tuple([word.lower(arg, f"argument {n} of {self.text}") for n, (word, arg) in numbered])

    def lift(self, values: tuple[Value, ...], access: Access) -> object:
        """What Python has of canonical results: None, a number, or a tuple."""
        match self.results:
            case None:
                return None
            case Number() | RefWord():
                return self.results.lift(values[0], access)
            case _:
                return tuple([n.lift(v, access) for n, v in zip(self.results, values, strict=True)])


def _valtype(word: Word | RefWord) -> ValType:
    # What a pointer points to may not be laid out yet.
    wide: bool | None = getattr(word, "wide", None)
    return flat(word.shape)[0] if wide is None else address_type(wide)


# ---- parameters -----------------------------------------------------------------------------------------------------


class Param(Protocol):
    """The codec of one parameter, which is made of one or two WebAssembly values."""

    @property
    def text(self) -> str: ...
    @property
    def shape(self) -> ParamShape: ...

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """Plain data of the values from `raw[at]` on, fully checked. Raises Trap; nothing else has happened then."""

    def bind(self, plain: Plain, access: Access) -> object:
        """What the function sees."""

    def show(self, plain: Plain) -> str:
        """The argument for a backtrace: short, whatever the guest passed."""


class Copied:
    """A parameter whose plain data is what the function sees."""

    __slots__ = ()

    def bind(self, plain: Plain, access: Access) -> object:
        """The same."""
        return plain


@lean.frozen
class NumberParam(Copied):
    """A number, which is its own plain data."""

    number: Number

    @property
    def text(self) -> str:
        """As an author writes it."""
        return self.number.text

    @property
    def shape(self) -> ParamShape:
        """For the engine."""
        return self.number.shape

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """The Python number."""
        return self.number.lift(raw[at], access)

    def show(self, plain: Plain) -> str:
        """The number."""
        return repr(plain)


class Worded:
    """A parameter that is one word of the guest's, which means something else to the function."""

    __slots__ = ()
    word: Word

    @property
    def text(self) -> str:
        """As an author writes it."""
        return self.word.text

    @property
    def shape(self) -> ParamShape:
        """For the engine."""
        return self.word.shape

    def bind(self, plain: Plain, access: Access) -> object:
        """What the word means."""
        return self.word.lift(plain, access)


@lean.frozen
class PtrParam(Worded):
    """A pointer: plain data is its address."""

    word: PtrWord
    where: Where

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """The address, checked for one element."""
        addr: Settled = raw[at]
        check(access, addr, self.word.target.size, self.word.target.align, self.where)
        return addr

    def show(self, plain: Plain) -> str:
        """The address in hexadecimal."""
        return _hex(plain)


@lean.frozen
class FuncParam(Worded):
    """A function reference: plain data is its index."""

    word: FuncWord

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """The index, unchecked: a comparator that is never called may be null."""
        return raw[at]

    def show(self, plain: Plain) -> str:
        """The index."""
        return f"<function {plain}>"


@lean.frozen
class BytesParam(Copied):
    """Bytes by address and length, copied."""

    where: Where
    wide: bool = False
    text: ClassVar[str] = "Bytes"

    @property
    def shape(self) -> ParamShape:
        """For the engine."""
        return Span(address=address_type(self.wide))

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """The copy."""
        return _span(raw, at, access, self.where)

    def show(self, plain: Plain) -> str:
        """How many."""
        return f"<{len(plain)} bytes>" if isinstance(plain, bytes) else repr(plain)


@lean.frozen
class StrParam(Copied):
    """Text by address and length, copied and checked."""

    where: Where
    wide: bool = False
    text: ClassVar[str] = "Str"

    @property
    def shape(self) -> ParamShape:
        """For the engine."""
        return Span(text=True, address=address_type(self.wide))

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """The text."""
        return _utf8(_span(raw, at, access, self.where), self.where)

    def show(self, plain: Plain) -> str:
        """The text, shortened."""
        return reprlib.repr(plain)


@lean.frozen
class CStrParam(Copied):
    """Text up to a zero byte, copied and checked."""

    where: Where
    wide: bool = False
    text: ClassVar[str] = "CStr"

    @property
    def shape(self) -> ParamShape:
        """For the engine."""
        return CString(address_type(self.wide))

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """The text."""
        addr: Settled = raw[at]
        return cstring(access, addr, access.size(), self.where)

    def show(self, plain: Plain) -> str:
        """The text, shortened."""
        return reprlib.repr(plain)


@lean.frozen
class OutParam:
    """Room to fill: plain data is address and size."""

    where: Where
    wide: bool = False
    text: ClassVar[str] = "OutBuffer"

    @property
    def shape(self) -> ParamShape:
        """For the engine."""
        return OutSpan(address_type(self.wide))

    def decode(self, raw: Sequence[Value], at: int, access: Access) -> Plain:
        """Address and size, checked."""
        addr: Settled = raw[at]
        size: Settled = raw[at + 1]
        check(access, addr, size, 1, self.where)
        return (addr, size)

    def bind(self, plain: Plain, access: Access) -> object:
        """An `OutBuffer`."""
        settled: Settled = plain
        return OutBuffer(settled[0], settled[1], access)

    def show(self, plain: Plain) -> str:
        """Size and address."""
        settled: Settled = plain
        return f"<room for {settled[1]} bytes at {settled[0]:#x}>"


def _hex(plain: Plain) -> str:
    addr: Settled = plain
    return f"{addr:#x}"


def _span(raw: Sequence[Value], at: int, access: Access, where: Where) -> bytes:
    addr: Settled = raw[at]
    size: Settled = raw[at + 1]
    check(access, addr, size, 1, where)
    return access.read(addr, size)


def _utf8(data: bytes, where: Where) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        message = Text.UTF8(where=where, byte=data[error.start], offset=error.start)
    raise InvalidText(message)


def cstring(access: Access, addr: int, limit: int, where: Where) -> str:
    """The text from `addr` up to a zero byte, which must come within `limit` bytes. Raises Trap."""
    check(access, addr, 1, 1, where)
    end = min(addr + limit, access.size())
    found, at, chunk = bytearray(), addr, _CHUNK
    while at < end:
        data = access.read(at, min(chunk, end - at))
        stop = data.find(0)
        if stop >= 0:
            return _utf8(bytes(found) + data[:stop], where)
        found += data
        at += len(data)
        chunk *= 2
    raise Trap(TrapCode.OUT_OF_BOUNDS_MEMORY, Text.ENDLESS(where=where, addr=addr, limit=end - addr))


# ---- results --------------------------------------------------------------------------------------------------------


@lean.frozen
class Result:
    """One result: a number or reference that is returned, or anything with a layout that is stored through a
    pointer."""

    cell: Cell | RefWord
    stored: bool = False


#: (what the function returned, its plain arguments, the guest) -> canonical results.
Encode: TypeAlias = Callable[[object, "tuple[Plain, ...]", Access], "tuple[Value, ...]"]


def encoder(results: Sequence[Result], several: bool, params: int, where: Where) -> Encode:
    """The conversion of what a function returns: `several` for a tuple. Stored results go to the addresses that follow
    the first `params` arguments, once all are known to fit. Raises ResultError."""
    if not results and not several:
        return _nothing(where)
    if not several and not results[0].stored and isinstance(results[0].cell, Number):
        return _one(results[0].cell, where)

    def encode(value: object, plain: tuple[Plain, ...], access: Access) -> tuple[Value, ...]:
        values = _parts(value, len(results), where) if several else (value,)
        direct: list[Value] = []
        writes: list[bytes] = []
        for result, part in zip(results, values, strict=True):
            try:
                if isinstance(result.cell, RefWord):
                    direct.append(result.cell.lower(part, where))
                elif result.stored:
                    writes.append(result.cell.pack(part, where))
                elif isinstance(result.cell, Number):
                    direct.append(result.cell.lower(part, where))
            except ConversionError as error:
                raise ResultError(str(error)) from None
        addresses: Settled = plain[params:]
        for addr, data in zip(addresses, writes, strict=True):
            access.write(addr, data)
        return tuple(direct)

    return encode


def _nothing(where: Where) -> Encode:
    def encode(value: object, plain: tuple[Plain, ...], access: Access) -> tuple[Value, ...]:
        if value is None:
            return ()
        raise ResultError(Text.NOTHING(what=where, value=reprlib.repr(value)))

    return encode


def _one(number: Number, where: Where) -> Encode:
    low, high, mask = number.low, number.high, (1 << max(number.shape.bits, 32)) - 1
    plain_int = int if low != high and number.shape.bits > 1 else None

    def encode(value: Settled, plain: tuple[Plain, ...], access: Access) -> tuple[Value, ...]:
        if type(value) is plain_int and low <= value <= high:
            return (value & mask,)
        try:
            return (number.lower(value, where),)
        except ConversionError as error:
            raise ResultError(str(error)) from None

    return encode


def _parts(value: object, count: int, where: Where) -> tuple[object, ...]:
    if isinstance(value, tuple) and len(value) == count:
        return value
    got = len(value) if isinstance(value, tuple) else reprlib.repr(value)
    raise ResultError(Text.ARITY(what=where, want=count, value=got))


# ---- whole argument lists -------------------------------------------------------------------------------------------

#: (canonical arguments, the guest) -> plain arguments.
Decode: TypeAlias = Callable[["tuple[Value, ...]", Access], "tuple[Plain, ...]"]
#: (plain arguments, the guest) -> what the function is called with, behind the context.
Bind: TypeAlias = Callable[["tuple[Plain, ...]", Access], "tuple[object, ...]"]


def decoder(params: Sequence[Param]) -> Decode:
    """`decode` of a whole argument list. Numbers alone, the usual case, go a short way."""
    numbers = [param.number.convert for param in params if isinstance(param, NumberParam)]
    if len(numbers) == len(params):
        return _numbers(numbers)
    placed, at = [], 0
    for param in params:
        placed.append((param.decode, at))
        at += 2 if isinstance(param.shape, (Span, OutSpan)) else 1
    return lambda raw, access: tuple([decode(raw, at, access) for decode, at in placed])


def _numbers(converts: Sequence[Callable[[Settled], Settled] | None]) -> Decode:
    def same(value: Settled) -> Settled:
        return value

    if not any(converts):
        return lambda raw, access: raw
    steps = [convert or same for convert in converts]
    match steps:
        case [one]:
            return lambda raw, access: (one(raw[0]),)
        case [one, two]:
            return lambda raw, access: (one(raw[0]), two(raw[1]))
        case [one, two, three]:
            return lambda raw, access: (one(raw[0]), two(raw[1]), three(raw[2]))
        case _:
            return lambda raw, access: tuple([step(value) for step, value in zip(steps, raw, strict=True)])


def binder(params: Sequence[Param]) -> Bind:
    """`bind` of a whole argument list; what lies behind (pointers of stored results) is not the function's."""
    count = len(params)
    if all(isinstance(param, Copied) for param in params):
        return lambda plain, access: plain[:count]
    binds = [param.bind for param in params]
    return lambda plain, access: tuple([bind(value, access) for bind, value in zip(binds, plain, strict=False)])
