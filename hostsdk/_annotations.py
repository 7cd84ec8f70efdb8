"""From an annotation to a codec. Judged at registration: what can't be understood is a SignatureError that says what
to write."""

from __future__ import annotations

import collections.abc
import enum
import sys
import types
import typing
from collections.abc import Callable, Mapping
from types import FrameType, MappingProxyType
from typing import Annotated, Any, NewType, TypeAlias, Union, get_args

from ._cells import ArrayCell, BuffersParam, EnumWord, OptionalParam, OptionalWord, TaggedCell, WordParam
from ._codecs import (
    BytesParam,
    CStrParam,
    Direct,
    FuncParam,
    FuncWord,
    GuestType,
    NumberParam,
    OutParam,
    Param,
    PtrParam,
    PtrWord,
    Result,
    StrParam,
)
from ._engine import (
    ANYREF,
    ARRAY,
    ARRAYREF,
    EQREF,
    EXN,
    EXNREF,
    EXTERNREF,
    FUNC,
    I31,
    I31REF,
    STRUCT,
    STRUCTREF,
    V128,
    Array,
    CString,
    Func,
    I31Int,
    Ref,
    Scalar,
    Span,
    Struct,
    WasmException,
    lean,
)
from ._errors import SignatureError
from ._layout import Cell, Forward, Record, Word, record
from ._messages import Text
from ._numbers import BY_SHAPE, NUMBERS, VECTOR, Number, Vector
from ._references import FuncRefWord, RefParam, RefWord
from ._types import (
    Buffers,
    ByPointer,
    Count,
    FuncRef,
    OutBuffer,
    Ptr,
    Size,
    Step,
    Tag,
    TypedFuncRef,
    i32,
    i64,
    u32,
    u64,
)

#: An annotation, evaluated.
Hint: TypeAlias = Any
#: Records that are being laid out, around the one at hand.
Within: TypeAlias = Mapping[type, Forward]

#: References by the names that authors write, and classes of what a reference that isn't null refers to.
_REFS = {
    ANYREF: "AnyRef", EQREF: "EqRef", I31REF: "I31Ref", STRUCTREF: "StructRef", ARRAYREF: "ArrayRef", EXNREF: "ExnRef",
    EXTERNREF: "ExternRef",
}  # fmt: skip
_HEAPS = {Struct: STRUCT, Array: ARRAY, I31Int: I31, WasmException: EXN, Func: FUNC}
_NAMELESS: tuple[tuple[type, Text], ...] = ((int, Text.INT), (float, Text.FLOAT), (str, Text.STR))


@lean.frozen
class Place:
    """Where an annotation stands, for messages, and the names that it may use besides its module's."""

    module: str
    function: str | None = None
    parameter: str | None = None
    field: str | None = None
    #: Whether the guest's addresses are to have 64 bits.
    wide: bool = lean.field(default=False, eq=False, repr=False)
    locals: Mapping[str, object] = lean.field(factory=dict, repr=False)

    def at(self, parameter: str) -> Place:
        """A parameter of the same function; "return" for its result."""
        return lean.evolve(self, parameter=parameter)

    def error(self, text: Text, /, **parts: object) -> SignatureError:
        """The error that says `text` about this place."""
        return SignatureError(f"{self}: {text(**parts)}", self.module, self.function, self.parameter)

    def __str__(self) -> str:
        name = self.module if self.function is None else f"{self.module}.{self.function}"
        if self.parameter is not None:
            name += ": result" if self.parameter == "return" else f": parameter '{self.parameter}'"
        return name if self.field is None else f"{name}: {self.field}"


def resolve(fn: Callable[..., object], place: Place, annotation: object) -> Hint:
    """Evaluate one annotation of `fn`, with its module's names and `place.locals`. Raises SignatureError."""

    # Most are one name, of a class or of a number.
    if isinstance(annotation, str):
        found = place.locals.get(annotation) or getattr(fn, "__globals__", {}).get(annotation)
        if _evaluated(found):
            return found

    def probe() -> None: ...

    # One at a time, so that the message can name the parameter.
    probe.__annotations__ = {"hint": annotation}
    text = annotation if isinstance(annotation, str) else show(annotation)
    names = getattr(fn, "__globals__", {})
    try:
        return typing.get_type_hints(probe, names, dict(place.locals), include_extras=True)["hint"]
    except NameError as error:
        raise place.error(Text.UNKNOWN_NAME, name=error.name, text=text) from None
    except Exception as error:  # an annotation is any expression
        raise place.error(Text.UNREADABLE, text=text, why=error) from error


def _evaluated(found: object) -> bool:
    """Whether nothing in it can be a text that has to be evaluated, too."""
    if typing.get_origin(found) is Annotated:
        return isinstance(get_args(found)[0], type)
    parts = get_args(found) or (found,)
    return all(isinstance(part, type) and not get_args(part) for part in parts)


def origin_of(hint: object) -> object:
    """What a subscripted annotation is a form of: Ptr of `Ptr[u8]`; None for anything else."""
    origin: object = typing.get_origin(hint)
    return origin


def show(hint: Hint) -> str:
    """An annotation as an author wrote it, as far as that can be told."""
    if origin_of(hint) is Annotated:
        shapes = [m for m in hint.__metadata__ if isinstance(m, Scalar)]
        inner = BY_SHAPE[shapes[0]].text if shapes and shapes[0] in BY_SHAPE else _alias(hint)
        return f"Stored[{inner}]" if any(isinstance(m, ByPointer) for m in hint.__metadata__) else inner
    if origin_of(hint) is collections.abc.Generator and Step in get_args(hint):
        return f"Steps[{show(get_args(hint)[-1])}]"
    if isinstance(hint, (list, tuple)):
        return f"[{', '.join(show(h) for h in hint)}]"
    if hint is type(None):
        return "None"
    if hint is ...:
        return "..."
    if origin_of(hint) in (Union, types.UnionType):
        return " | ".join(show(h) for h in get_args(hint))
    if get_args(hint) and isinstance(origin := origin_of(hint), type):
        return f"{origin.__name__}[{', '.join(show(h) for h in get_args(hint))}]"
    return hint.__name__ if isinstance(hint, type) else str(hint).removeprefix("typing.")


def _alias(hint: Hint) -> str:
    for mark in hint.__metadata__:
        match mark:
            case Span(text):
                return "Str" if text else "Bytes"
            case CString():
                return "CStr"
            case Ref(type_):
                return _REFS.get(type_, type_.name)
            case Size(signed):
                return "isize" if signed else "usize"
    return show(get_args(hint)[0])


def _plain(hint: Hint, place: Place) -> Hint:
    """Without the names that a NewType or a type alias gives it, and an int of the guest's own size by its width."""
    while True:
        if isinstance(hint, NewType):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":  # typing's, or that of typing_extensions, which is another class
            hint = hint.__value__
        else:
            break
    size = next((mark for mark in _marks(hint)[0] if isinstance(mark, Size)), None)
    if size is None:
        return hint
    return (i64 if size.signed else u64) if place.wide else (i32 if size.signed else u32)


def sized(hint: Hint) -> bool:
    """Whether an int of the guest's own size is in it."""
    return any(isinstance(mark, Size) for mark in _marks(hint)[0]) or any(map(sized, get_args(hint)))


def _marks(hint: Hint) -> tuple[tuple[object, ...], Hint]:
    """What Annotated says, and about what. An enum or the like may be annotated with one of our names."""
    if origin_of(hint) is not Annotated:
        return (), hint
    marks = tuple(inner for m in hint.__metadata__ for inner in (_marks(m)[0] or (m,)))
    return marks, get_args(hint)[0]


def _number(hint: Hint) -> Number | None:
    if hint is bool:
        return NUMBERS["bool"]
    if hint is V128:
        return VECTOR
    marks, _ = _marks(hint)
    return next((BY_SHAPE[m] for m in marks if isinstance(m, Scalar) and m in BY_SHAPE), None)


def refusal(hint: Hint, place: Place, otherwise: Text) -> SignatureError:
    """The error for a type that has no layout: what is meant, where that can be guessed."""
    marks, base = _marks(hint)
    if not any(isinstance(mark, (Span, CString, Ref, ByPointer)) for mark in marks):
        hint = base
    for cls, text in _NAMELESS:
        if hint is cls:
            return place.error(text)
    if hint in (bytes, bytearray, memoryview):
        return place.error(Text.BYTES, type=show(hint))
    if hint is Ptr:
        return place.error(Text.BARE_PTR)
    if hint is FuncRef:
        return place.error(Text.BARE_FUNCREF)
    if origin_of(hint) in (Union, types.UnionType):
        return place.error(Text.OPTIONAL, type=show(hint))
    return place.error(otherwise, type=show(hint))


def param_of(hint: Hint, place: Place) -> Param:
    """The codec of a parameter. Raises SignatureError."""
    hint = _plain(hint, place)
    if (reference := ref_of(hint, place)) is not None:
        return RefParam(reference)
    if isinstance(composed := composed_word(hint, place), EnumWord):
        return WordParam(composed)
    if (number := _number(hint)) is not None and ByPointer() not in _marks(hint)[0]:
        return WordParam(number) if isinstance(number, Vector) else NumberParam(number)
    where = str(place)
    if (inner := _optional(hint, place)) is not None:
        return OptionalParam(param_of(inner, place), place.wide)
    for mark in _marks(hint)[0]:
        match mark:
            case Buffers(out):
                return BuffersParam(out, where, place.wide)
            case ByPointer():
                raise place.error(Text.STORED_PARAM)
            case Span(text):
                return StrParam(where, place.wide) if text else BytesParam(where, place.wide)
            case CString():
                return CStrParam(where, place.wide)
    if hint is OutBuffer:
        return OutParam(where, place.wide)
    match word := word_of(hint, place):
        case PtrWord():
            return PtrParam(word, where)
        case FuncWord():
            return FuncParam(word)
    raise refusal(hint, place, Text.NOT_WASM)


def word_of(hint: Hint, place: Place, within: Within = MappingProxyType({})) -> Word | None:
    """A number, pointer or function reference; None for anything else. Raises SignatureError for what it points to."""
    hint = _plain(hint, place)
    if origin_of(hint) is Ptr:
        target = _plain(get_args(hint)[0], place)
        # The record around the pointer isn't laid out yet, and a pointer needs its layout only when it is used.
        around = within.get(target) if isinstance(target, type) else None
        return PtrWord(cell_of(target, place, within) if around is None else around, place.wide)
    if origin_of(hint) is FuncRef:
        return FuncWord(guest_type(hint, place, within), place.wide)
    return composed_word(hint, place, within) or _number(hint)


def composed_word(hint: Hint, place: Place, within: Within = MappingProxyType({})) -> Word | None:
    """An enum with the number that it is passed as, or a pointer that may be null; None for anything else."""
    base, number = _marks(hint)[1], _number(hint)
    if number is not None and isinstance(base, type) and issubclass(base, (enum.IntEnum, enum.IntFlag)):
        return EnumWord(base, number)
    inner = _optional(hint, place)
    word = None if inner is None else word_of(inner, place, within)
    return OptionalWord(word, place.wide) if isinstance(word, (PtrWord, FuncWord)) else None


def ref_of(hint: Hint, place: Place, within: Within = MappingProxyType({})) -> RefWord | None:
    """A reference of a reference type; None for anything else. Raises SignatureError for the type of a function."""
    for mark in _marks(hint)[0]:
        if isinstance(mark, Ref):
            return RefWord(mark.type, _alias(hint))
    inner = _or_none(hint)
    base = hint if inner is None else _plain(inner, place)
    if origin_of(base) is TypedFuncRef:
        return FuncRefWord.of(guest_type(base, place, within), inner is not None)
    heap = _HEAPS.get(base) if isinstance(base, type) else None
    return None if heap is None else RefWord(heap.ref(inner is not None), show(hint))


def _or_none(hint: Hint) -> Hint | None:
    """The T of `T | None`."""
    if origin_of(hint) not in (Union, types.UnionType):
        return None
    others = [part for part in get_args(hint) if part is not type(None)]
    return others[0] if len(others) == 1 and len(get_args(hint)) == 2 else None


def _optional(hint: Hint, place: Place) -> Hint | None:
    """The T of `T | None`, where T is something with an address."""
    found = _or_none(hint)
    if found is None:
        return None
    inner = _plain(found, place)
    has_address = origin_of(inner) in (Ptr, FuncRef) or any(isinstance(m, CString) for m in _marks(inner)[0])
    return inner if has_address else None


def guest_type(hint: Hint, place: Place, within: Within = MappingProxyType({})) -> GuestType:
    """The type of a guest function, from `FuncRef[[...], ...]`. Raises SignatureError."""
    if origin_of(hint) not in (FuncRef, TypedFuncRef):
        raise refusal(hint, place, Text.NOT_WASM)
    params, result = get_args(hint)
    if not isinstance(params, (list, tuple)):
        raise place.error(Text.OPEN_FUNCREF)
    words: list[Word | RefWord] = []
    for param in params:
        word = ref_of(_plain(param, place), place, within) or word_of(param, place, within)
        if word is None:
            raise refusal(param, place, Text.FUNCREF_PARAM)
        words.append(word)
    return GuestType(tuple(words), _guest_results(_plain(result, place), place))


def _guest_results(hint: Hint, place: Place) -> Direct | tuple[Direct, ...] | None:
    if hint in (None, type(None)):
        return None
    several = origin_of(hint) is tuple
    numbers: list[Direct] = []
    for part in items(hint, place) if several else (hint,):
        part = _plain(part, place)
        number = ref_of(part, place) or _number(part)
        if number is None:
            raise refusal(part, place, Text.FUNCREF_RESULT)
        numbers.append(number)
    return tuple(numbers) if several else numbers[0]


def items(hint: Hint, place: Place) -> tuple[Hint, ...]:
    """The types of a tuple, which must have a fixed length."""
    args = get_args(hint)
    if Ellipsis in args:
        raise place.error(Text.OPEN_TUPLE, type=show(hint))
    return args


def cell_of(hint: Hint, place: Place, within: Within = MappingProxyType({})) -> Cell:
    """What lies behind a pointer or in a record. `within` are the records around it. Raises SignatureError."""
    hint = _plain(hint, place)
    word = word_of(hint, place, within)
    if word is not None:
        return word
    marks, base = _marks(hint)
    for mark in marks:
        match mark:
            case Count(count) if base is bytes:
                return ArrayCell(NUMBERS["u8"], count, as_bytes=True)
            case Count(count) if origin_of(base) is tuple:
                return ArrayCell(cell_of(get_args(base)[0], place, within), count)
            case Tag(number, cases):
                return _tagged(number, cases, place, within)
    if isinstance(hint, type) and lean.is_record(hint) and hint not in (OutBuffer, Ptr, FuncRef):
        return _record(hint, place, within)
    raise refusal(hint, place, Text.POINTED)


def _record(cls: type, place: Place, within: Within) -> Record:
    if cls in within:
        raise place.error(Text.RECURSIVE, cls=cls.__name__)
    try:
        hints = typing.get_type_hints(cls, localns=dict(place.locals), include_extras=True)
    except NameError as error:
        raise place.error(Text.UNKNOWN_NAME, name=error.name, text=cls.__name__) from None
    except Exception as error:  # an annotation is any expression
        raise place.error(Text.UNREADABLE, text=cls.__name__, why=error) from error
    own = Forward(cls)
    within = {**within, cls: own}
    fields: list[tuple[str, str, Cell]] = []
    for field in cls.__attrs_attrs__:  # type: ignore[attr-defined]  # it is a record
        inner = lean.evolve(place, field=f"{cls.__name__}.{field.name}")
        fields.append((field.name, field.alias or field.name, cell_of(hints[field.name], inner, within)))
    if not fields:
        raise place.error(Text.NO_FIELDS, cls=cls.__name__)
    own.record = record(cls, fields)
    return own.record


def _tagged(number: Hint, cases: Mapping[int, type], place: Place, within: Within) -> Cell:
    tag = _number(number)
    if tag is None or not cases:
        raise place.error(Text.UNION, type=" | ".join(c.__name__ for c in cases.values()))
    cells = {value: cell_of(cls, place, within) for value, cls in cases.items()}
    text = " | ".join(cell.text for cell in cells.values())
    return TaggedCell(tag, cells, {cls: value for value, cls in cases.items()}, text)


def results_of(hint: Hint, place: Place) -> tuple[tuple[Result, ...], bool]:
    """The results of a host function, and whether it gives a tuple. Raises SignatureError."""
    hint = _plain(hint, place)
    if hint in (None, type(None), typing.NoReturn, typing.Never):
        return (), False
    if origin_of(hint) is tuple:
        return tuple(_result(part, place) for part in items(hint, place)), True
    return (_result(hint, place),), False


def _result(hint: Hint, place: Place) -> Result:
    hint = _plain(hint, place)
    if (reference := ref_of(hint, place)) is not None:
        return Result(reference)
    marks, base = _marks(hint)
    if ByPointer() in marks:
        number = _number(hint)
        return Result(number if number is not None else cell_of(base, place), stored=True)
    number = _number(hint)
    if number is None:
        if base in (int, float):
            raise refusal(base, place, Text.RESULT)
        raise place.error(Text.RESULT, type=show(hint))
    return Result(number)


def local_names(depth: int) -> Mapping[str, object]:
    """The local names of the code `depth` calls up, where the decorator stands."""
    frame: FrameType | None = sys._getframe() if hasattr(sys, "_getframe") else None
    for _ in range(depth + 1):
        frame = frame.f_back if frame is not None else None
    return {} if frame is None else dict(frame.f_locals)


