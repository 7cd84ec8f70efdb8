"""The parameters of a host function, read without `inspect`, whose import takes longer than reading a hundred of them.

What `inspect` is needed for is what a decorator may have attached, and callables that are no functions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from ._engine import lean

# Bits of a code object's flags, which `inspect` has as CO_...
_VARARGS = 0x04
_VARKEYWORDS = 0x08
_GENERATOR = 0x20
_COROUTINE = 0x80
_ASYNC_GENERATOR = 0x200


@lean.frozen
class Parameter:
    """One parameter, as its function has it."""

    name: str
    #: As it stands in a signature, where it takes any number of arguments: `*args`.
    many: str = ""
    keyword_only: bool = False
    default: bool = False


def parameters_of(fn: Callable[..., Any]) -> list[Parameter]:
    """What a function takes, in order. Raises what `inspect.signature` raises."""
    if not _plain(fn):
        return _inspected(fn)
    return list(_read(fn.__code__, len(fn.__defaults__ or ()), fn.__kwdefaults__ or {}))


def is_generator(fn: Callable[..., Any]) -> bool:
    """Whether it is a `def` with `yield`."""
    return _flagged(fn, _GENERATOR, "isgeneratorfunction")


def is_coroutine(fn: Callable[..., Any]) -> bool:
    """Whether it is an `async def` without `yield`."""
    return _flagged(fn, _COROUTINE, "iscoroutinefunction")


def is_async_generator(fn: Callable[..., Any]) -> bool:
    """Whether it is an `async def` with `yield`."""
    return _flagged(fn, _ASYNC_GENERATOR, "isasyncgenfunction")


def unwrapped(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The function inside of decorators that say what they wrap (`functools.wraps`)."""
    if not hasattr(fn, "__wrapped__"):
        return fn
    import inspect

    inner: Callable[..., Any] = inspect.unwrap(fn)
    return inner


def annotations_of(fn: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of a function or method, as they stand there."""
    return dict(fn.__annotations__)


def _plain(fn: object) -> bool:
    """Whether it is a function to which nothing is attached that says otherwise."""
    return isinstance(fn, FunctionType) and not fn.__dict__


def _flagged(fn: Callable[..., Any], flag: int, test: str) -> bool:
    if _plain(fn):
        return bool(fn.__code__.co_flags & flag)
    import inspect

    return bool(getattr(inspect, test)(fn))


def _read(code: CodeType, defaults: int, keyword_defaults: dict[str, Any]) -> Iterator[Parameter]:
    names, count, only = code.co_varnames, code.co_argcount, code.co_kwonlyargcount
    for at, name in enumerate(names[:count]):
        yield Parameter(name, default=at >= count - defaults)
    rest = list(names[count + only :])
    if code.co_flags & _VARARGS:
        name = rest.pop(0)
        yield Parameter(name, many="*" + name)
    for name in names[count : count + only]:
        yield Parameter(name, keyword_only=True, default=name in keyword_defaults)
    if code.co_flags & _VARKEYWORDS:
        yield Parameter(rest[0], many="**" + rest[0])


def _inspected(fn: Callable[..., Any]) -> list[Parameter]:
    import inspect

    return [
        Parameter(
            each.name,
            str(each).partition(":")[0] if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD) else "",
            each.kind is each.KEYWORD_ONLY,
            each.default is not each.empty,
        )
        for each in inspect.signature(fn).parameters.values()
    ]
