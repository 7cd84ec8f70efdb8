"""A host function's signature: read from its annotations once, at registration, and judged there."""

from __future__ import annotations

import collections.abc
import enum
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FunctionType, MethodType
from typing import Any, Literal, TypeAlias, TypeVar

from ._annotations import Hint, Place, origin_of, param_of, resolve, results_of, show, sized
from ._codecs import (
    Bind,
    Decode,
    Encode,
    NumberParam,
    Param,
    Plain,
    PtrParam,
    PtrWord,
    Result,
    binder,
    decoder,
    encoder,
)
from ._engine import FuncType, Ref, ResultShape, Scalar, Shape, ValType, Value, flat, lean
from ._errors import Errors
from ._messages import Text
from ._numbers import Number
from ._parameters import (
    Parameter,
    annotations_of,
    is_async_generator,
    is_coroutine,
    is_generator,
    parameters_of,
    unwrapped,
)
from ._references import RefParam, RefWord
from ._types import Step

#: A host function as its author wrote it.
HostCallable: TypeAlias = Callable[..., Any]


class Style(enum.Enum):
    """How a host function is written, and so how it is entered again."""

    PLAIN = "plain"
    PURE = "pure"
    FUNCTION = "function"
    GENERATOR = "generator"
    COROUTINE = "coroutine"


@lean.frozen(eq=False)
class Signature:
    """What a host function takes and gives.

    `decode(raw, access)` makes plain arguments of canonical values and traps before any effect; `bind(plain, access)`
    makes of them what the function is called with behind the context; `encode(value, plain, access)` makes canonical
    results of what it returned, stores those that go through pointers, and raises ResultError before either.
    """

    names: tuple[str, ...]
    params: tuple[Param, ...]
    shape: Shape
    type: FuncType
    decode: Decode
    bind: Bind
    encode: Encode
    #: The mapping of exceptions, where the one direct result is an integer that can carry an error number.
    errors: Errors | None
    #: The result as it is annotated.
    returns: str = ""
    #: What it was made of: results, whether they are given as a tuple, the mapping asked for, and where it stands.
    results: tuple[Result, ...] = ()
    several: bool = False
    asked: Errors | None = None
    place: Place = lean.field(factory=lambda: Place(""), repr=False)
    #: Whether anything in it depends on how wide the guest's addresses are.
    addresses: bool = False

    @property
    def all_params(self) -> tuple[Param, ...]:
        """The function's own parameters, and the pointers for stored results."""
        return self.params + _stored(self.results, self.place)

    def retyped(self, params: tuple[Param, ...], results: tuple[Result, ...], type_: FuncType) -> Signature:
        """The same with codecs for a type that a guest has of it."""
        own = params[: len(self.params)]
        made = _assemble(self.names, own, results, self.several, self.place, self.asked)
        return lean.evolve(made, type=type_, returns=self.returns)

    @property
    def text(self) -> str:
        """The signature as the author wrote it, without the context: `(key: Str, out: OutBuffer) -> i32`."""
        params = ", ".join(f"{name}: {param.text}" for name, param in zip(self.names, self.params, strict=False))
        return f"({params}) -> {self.returns}"

    def errno(self, error: BaseException) -> tuple[Value, ...] | None:
        """The results that tell the guest of `error`; None where it is not mapped and goes to the embedder."""
        if self.errors is None:
            return None
        number = self.errors.number(error)
        if number is None:
            return None
        result = self.shape.results[0]
        if not self.errors.negate or not isinstance(result, Scalar):
            return (number,)
        bits = max(result.bits, 32) if result.signed else result.bits
        return (-number & (1 << bits) - 1,)

    def show(self, plain: tuple[Plain, ...]) -> str:
        """The arguments for a backtrace: `fd=4, out=<room for 64 bytes at 0x400>`."""
        parts = zip(self.names, self.params, plain, strict=False)
        return ", ".join(f"{name}={param.show(value)}" for name, param, value in parts)


@lean.frozen(eq=False)
class FunctionSpec:
    """A registered host function."""

    module: str
    name: str
    style: Style
    version: int
    #: Versions whose saved records may enter this one, besides its own.
    accepts: tuple[int, ...]
    fn: HostCallable
    signature: Signature
    #: Whether callbacks run on the Python stack while depth allows, or always on the run loop.
    callbacks: Literal["nested", "scheduled"]
    #: Whether a callee's trap is raised where the function called it, and may be caught there.
    catch_traps: bool
    #: Whether a pending coroutine may be saved, to be run again from its beginning.
    repeat: bool
    #: Reads the annotations again, for a guest with 64-bit addresses.
    widen: Callable[[], Signature] | None = None
    #: What all instances that import it have in common, once one has called it; see `_ending`.
    kept: list[Any] = lean.field(factory=list, init=False, repr=False)

    @property
    def wide(self) -> Signature | None:
        """The signature for a guest with 64-bit addresses; None where it is the same."""
        return None if self.widen is None else self.widen()

    def fitted(self, want: FuncType) -> FunctionSpec | None:
        """The function as a guest has it that imports it in another type; None where it can't be had in that."""
        for signature in (self.signature, self.wide):
            if signature is None:
                continue
            if signature.type == want:
                return self if signature is self.signature else lean.evolve(self, signature=signature)
            made = _fit(signature, want)
            if made is not None:
                return lean.evolve(self, signature=made)
        return None


@lean.frozen
class Contexts:
    """The classes that a function's first parameter may have."""

    plain: type
    blocking: type


def style_of(fn: object, kind: Style, place: Place) -> Style:
    """The style of `fn`, registered as PURE, PLAIN or (anything that may wait) FUNCTION. Raises SignatureError."""
    if not isinstance(fn, (FunctionType, MethodType)):
        raise place.error(Text.NOT_A_FUNCTION, type=f"'{type(fn).__name__}'")
    if is_async_generator(fn):
        raise place.error(Text.ASYNC_GENERATOR)
    if is_coroutine(fn):
        if kind is not Style.FUNCTION:
            raise place.error(Text.PLAIN_COROUTINE)
        return Style.COROUTINE
    if not is_generator(fn):
        return kind
    if kind is not Style.FUNCTION:
        raise place.error(Text.PLAIN_GENERATOR)
    return Style.GENERATOR


def read_signature(
    fn: HostCallable, style: Style, place: Place, contexts: Contexts, errors: Errors | None
) -> Signature:
    """The signature of `fn`. Raises SignatureError naming the place and what to write."""
    raw = annotations_of(fn)
    inner = unwrapped(fn)
    inner = getattr(inner, "__func__", inner)
    hints = {name: resolve(inner, place.at(name), text) for name, text in raw.items()}
    parameters = parameters_of(fn)
    if style is not Style.PURE:
        _check_context(parameters[0] if parameters else None, hints, style, place, contexts)
        del parameters[0]
    own = tuple(_parameter(p, hints, style, place, contexts) for p in parameters)
    results, several = _results(hints, style, place)
    made = _assemble(tuple(p.name for p in parameters), own, results, several, place, errors)
    pointing = any(not isinstance(shape, (Scalar, Ref)) for shape in made.shape.params)
    return lean.evolve(made, addresses=pointing or any(map(sized, hints.values())))


def _check_context(
    first: Parameter | None, hints: Mapping[str, Hint], style: Style, place: Place, contexts: Contexts
) -> None:
    want = contexts.blocking.__name__ if style is Style.FUNCTION else contexts.plain.__name__
    if first is None:
        raise place.error(Text.NO_CONTEXT, name=place.function, context=want, module=place.module)
    place = place.at(first.name)
    if first.many or first.keyword_only:
        raise place.error(Text.CONTEXT_UNANNOTATED, name="ctx", context=want)
    if first.name not in hints:
        raise place.error(Text.CONTEXT_UNANNOTATED, name=first.name, context=want)
    hint = hints[first.name]
    if not _is_context(hint, contexts.plain):
        raise place.error(Text.CONTEXT_WRONG, name=first.name, context=want, type=show(hint))
    if _is_context(hint, contexts.blocking) and style is not Style.FUNCTION:
        texts = {Style.GENERATOR: Text.GENERATOR_BLOCKS, Style.COROUTINE: Text.COROUTINE_BLOCKS}
        raise place.error(texts.get(style, Text.PLAIN_WAITS), name=first.name)


def _is_context(hint: Hint, cls: type) -> bool:
    origin = origin_of(hint) or hint
    return isinstance(origin, type) and issubclass(origin, cls)


def _parameter(
    parameter: Parameter, hints: Mapping[str, Hint], style: Style, place: Place, contexts: Contexts
) -> Param:
    place = place.at(parameter.name)
    if parameter.many:
        raise place.error(Text.STAR, name=parameter.many)
    if parameter.keyword_only:
        raise place.error(Text.KEYWORD_ONLY)
    if parameter.default:
        raise place.error(Text.DEFAULT)
    if parameter.name not in hints:
        raise place.error(Text.UNANNOTATED, name=parameter.name)
    hint = hints[parameter.name]
    if _is_context(hint, contexts.plain):
        raise place.error(Text.PURE_CONTEXT if style is Style.PURE else Text.CONTEXT_LATE)
    param = param_of(hint, place)
    if style is Style.PURE and not isinstance(param, NumberParam):
        raise place.error(Text.PURE_PARAM, type=param.text)
    return param


def _results(hints: Mapping[str, Hint], style: Style, place: Place) -> tuple[tuple[Result, ...], bool]:
    place = place.at("return")
    if "return" not in hints:
        raise place.error(Text.UNANNOTATED_RESULT)
    hint = hints["return"]
    final = _final(hint)
    if style is Style.GENERATOR:
        if final is None:
            raise place.error(Text.NOT_STEPS, type=show(hint))
        if isinstance(final[0], TypeVar):
            raise place.error(Text.STEPS_BARE)
        return results_of(final[0], place)
    if final is not None:
        raise place.error(Text.STEPS_WITHOUT_YIELD, type=show(final[0]))
    return results_of(hint, place)


def _final(hint: Hint) -> tuple[Hint] | None:
    """What a generator annotated `Steps[X]` gives in the end, (X,); None for another annotation."""
    args = typing.get_args(hint)
    if origin_of(hint) is collections.abc.Generator and len(args) == 3 and args[0] is Step:
        return (args[2],)
    return None


def _assemble(
    names: tuple[str, ...],
    own: tuple[Param, ...],
    results: tuple[Result, ...],
    several: bool,
    place: Place,
    errors: Errors | None,
) -> Signature:
    where = str(place.at("return"))
    stored = _stored(results, place)
    direct = [r.cell for r in results if not r.stored]
    shapes = tuple(cell.shape for cell in direct if isinstance(cell, (Number, RefWord)))
    asked, errors = errors, errors if _carries(shapes) else None
    params = own + stored
    shape = Shape(tuple(p.shape for p in params), shapes, len(stored), None if errors is None else errors.shape())
    return Signature(
        names,
        own,
        shape,
        shape.functype(),
        decoder(params),
        binder(own),
        encoder(results, several, len(own), where),
        errors,
        _returns(results, several),
        results,
        several,
        asked,
        lean.evolve(place, locals={}),
    )


def _stored(results: tuple[Result, ...], place: Place) -> tuple[PtrParam, ...]:
    """The parameters through which results go."""
    where = str(place.at("return"))
    return tuple(
        [PtrParam(PtrWord(r.cell, place.wide), where) for r in results if r.stored and not isinstance(r.cell, RefWord)]
    )


def _carries(shapes: Sequence[ResultShape]) -> bool:
    """Whether a result can be an error number: the only one, an integer, and no truth value, which has one bit."""
    if len(shapes) != 1 or not isinstance(shapes[0], Scalar):
        return False
    return shapes[0].bits > 1 and shapes[0].type.name in ("i32", "i64")


def _returns(results: tuple[Result, ...], several: bool) -> str:
    texts = [f"Stored[{r.cell.text}]" if r.stored else r.cell.text for r in results]
    return f"tuple[{', '.join(texts)}]" if several else texts[0] if texts else "None"


def _fit(signature: Signature, want: FuncType) -> Signature | None:
    have = signature.type
    if len(have.params) != len(want.params) or len(have.results) != len(want.results):
        return None
    if have.params == want.params and have.results == want.results:
        return signature.retyped(signature.all_params, signature.results, want)
    params: list[Param] = list(signature.all_params)
    at = 0
    for place, param in enumerate(params):
        width = len(flat(param.shape))
        if isinstance(param, RefParam):
            word = param.word.as_param(want.params[at])
            if word is None:
                return None
            params[place] = RefParam(word)
        elif have.params[at : at + width] != want.params[at : at + width]:
            return None
        at += width
    results = _fit_results(signature.results, iter(want.results))
    return None if results is None else signature.retyped(tuple(params), results, want)


def _fit_results(results: tuple[Result, ...], wanted: Iterator[ValType]) -> tuple[Result, ...] | None:
    made = []
    for result in results:
        if result.stored:
            made.append(result)
            continue
        want = next(wanted)
        word: Any = result.cell
        if isinstance(word, RefWord):
            word = word.as_result(want)
        elif word.shape.type is not want:
            return None
        if word is None:
            return None
        made.append(Result(word))
    return tuple(made)
