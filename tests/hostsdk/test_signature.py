"""Annotations become a signature, once, at registration."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Annotated, Any, NewType, NoReturn

import attrs
import pytest
from typing_extensions import TypeAliasType

from hostsdk._context import BlockingContext, Context
from hostsdk._engine import EXTERNREF, F64, I32, I64, FuncIndex, FuncType, OutSpan, Pointer, Scalar, Span, Trap
from hostsdk._errors import ERRNO_NEGATIVE, Errors
from hostsdk._module import HostModule
from hostsdk._signature import FunctionSpec, Style
from hostsdk._types import FuncRef, OutBuffer, Ptr, Steps, i32, u8, u32, u64
from tests.support.access import FakeAccess
from tests.support.author import define, run


def spec(kind: str, fn: Callable[..., Any], errors: Errors | None = None) -> FunctionSpec:
    """`fn` registered as @function, @restartable or @pure."""
    module: Any = HostModule("m", errors=errors)
    getattr(module, kind)(fn)
    found: FunctionSpec = module.functions[fn.__name__]
    return found


def functype(kind: str, fn: Callable[..., Any]) -> FuncType:
    """The WebAssembly type of `fn`."""
    return spec(kind, fn).signature.type


def test_the_type_follows_from_the_annotations() -> None:
    """Each annotation gives its WebAssembly values, in order; several results are a tuple."""
    f = define(
        "def f(ctx: Context, a: i64, key: Str, c: CStr, out: OutBuffer, p: Ptr[Ptr[u32]], cb: FuncRef[[i32], i64], "
        "d: bool, data: Bytes, x: ExternRef) -> tuple[i32, f64]: ..."
    )
    assert functype("function", f) == FuncType((I64, *(I32,) * 10, EXTERNREF), (I32, F64))
    shape = spec("function", f).signature.shape
    assert shape.params[1] == Span(text=True)
    assert shape.params[3:5] == (OutSpan(), Pointer(4, 4))
    assert shape.params[5] == FuncIndex(FuncType((I32,), (I64,)))
    assert shape.params[6] == Scalar(I32, 1, False)
    assert (shape.stored, shape.errno) == (0, None)


def test_stored_results_are_trailing_pointers() -> None:
    """`Stored[T]` adds a pointer behind the arguments, and is not passed to the function."""
    f = define("def f(ctx: Context, a: i32) -> tuple[i32, Stored[u64], Stored[u16]]: ...")
    signature = spec("function", f).signature
    assert signature.type == FuncType((I32, I32, I32), (I32,))
    assert signature.shape.params[1:] == (Pointer(8, 8), Pointer(2, 2))
    assert signature.shape.stored == 2
    access = FakeAccess()
    plain = signature.decode((5, 16, 30), access)
    assert plain == (5, 16, 30)
    assert signature.bind(plain, access) == (5,)
    assert signature.encode((-1, 7, 8), plain, access) == (2**32 - 1,)
    assert access.log == [(16, (7).to_bytes(8, "little")), (30, b"\x08\x00")]
    with pytest.raises(Trap, match=r"m\.f: result"):
        signature.decode((5, 65530, 30), access)


def test_nothing_and_never_have_no_result() -> None:
    """`-> None` and `-> NoReturn` give nothing; a generator's result is what stands in Steps[...]."""
    for kind, result, body in (
        ("function", "None", "..."), ("function", "NoReturn", "..."), ("restartable", "Steps[None]", "yield")
    ):
        f = define(f"def f(ctx: Context) -> {result}: {body}", NoReturn=NoReturn)
        assert functype(kind, f) == FuncType((), ())


@pytest.mark.parametrize(
    ("kind", "source", "style"),
    [
        ("function", "def f(ctx: Context) -> i32: ...", Style.PLAIN),
        ("pure", "def f(a: i32, b: f64) -> i32: ...", Style.PURE),
        ("restartable", "def f(ctx: BlockingContext) -> i32: ...", Style.FUNCTION),
        ("restartable", "def f(ctx: Context) -> i32: ...", Style.FUNCTION),
        ("restartable", "def f(ctx: Context) -> Steps[i32]: yield", Style.GENERATOR),
        ("restartable", "def f(ctx: Context[int]) -> Generator[Step, object, i32]: yield", Style.GENERATOR),
    ],
)
def test_styles(kind: str, source: str, style: Style) -> None:
    """The style follows from the decorator and from how the function is written."""
    assert spec(kind, define(source)).style is style


def test_annotations_may_be_local() -> None:
    """Names local to the place of the decorator are found: classes, aliases, in every form of the decorators."""

    @attrs.frozen
    class Event:
        kind: u8
        at: u64

    Op = FuncRef[[u32], i32]  # noqa: N806
    host = HostModule("m")

    @host.function
    def direct(ctx: Context, p: Ptr[Event]) -> None: ...
    @host.function(name="other")
    def named(ctx: Context, p: Ptr[Ptr[Op]]) -> None: ...
    @host.restartable
    def waits(ctx: BlockingContext, p: Ptr[Event]) -> None: ...
    @host.restartable(version=2)
    def versioned(ctx: Context, op: Op) -> Steps[None]:
        yield from ()

    assert host.functions["direct"].signature.shape.params == (Pointer(16, 8),)
    assert host.functions["other"].signature.params[0].text == "Ptr[Ptr[FuncRef[[u32], i32]]]"
    assert set(host.functions) == {"direct", "other", "waits", "versioned"}


def test_annotations_that_are_no_strings() -> None:
    """Annotations are read alike in a file without `from __future__ import annotations`."""
    f = define("def f(ctx: Context, p: Ptr['u32'], n: 'u8') -> i32: ...", strings=False)
    assert [p.text for p in spec("function", f).signature.params] == ["Ptr[u32]", "u8"]


@pytest.mark.parametrize("strings", [True, False])
def test_new_types_aliases_and_further_metadata(strings: bool) -> None:
    """A NewType, a type alias and Annotated with other notes are what they stand for."""
    names = {
        "Fd": NewType("Fd", i32), "Cursor": TypeAliasType("Cursor", Ptr[Ptr[u32]]), "Annotated": Annotated
    }  # fmt: skip
    source = "def f(ctx: Context, a: Fd, b: Annotated[u8, 'note'], c: Cursor) -> Annotated[i32, 'note']: ..."
    f = define(source, strings=strings, **names)
    assert [p.text for p in spec("function", f).signature.params] == ["i32", "u8", "Ptr[Ptr[u32]]"]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement came with 3.12")
def test_type_statements() -> None:
    """The language's own aliases are what they stand for, too."""
    f = define("type Cursor = Ptr[Ptr[Word]]\ntype Word = u32\ndef f(ctx: Context, c: Cursor) -> None: ...")
    assert [p.text for p in spec("function", f).signature.params] == ["Ptr[Ptr[u32]]"]


def test_wrapped_functions_and_methods() -> None:
    """A function that a decorator wrapped keeps its signature; a method is registered without its self."""
    f = define("def f(ctx: Context, a: i32) -> i32: ...")

    @functools.wraps(f)
    def wrapper(*args: object) -> object:
        return f(*args)

    host = run("class Host:\n    def f(self, ctx: Context, a: i32) -> i32: ...")["Host"]()
    assert functype("function", wrapper) == functype("function", f) == functype("function", host.f)


def test_functions_stay_ordinary() -> None:
    """A decorator gives the very function back, which a test can call."""
    host = HostModule("m")

    def gcd(a: i32, b: i32) -> i32:
        return a if b == 0 else gcd(b, a % b)

    assert host.pure(gcd) is gcd
    assert host.functions["gcd"].fn is gcd
    assert gcd(12, 18) == 6

    def size(ctx: Context) -> u32:
        return 3

    assert host.function(size) is size
    assert host.function(name="size2")(size) is size


@pytest.mark.parametrize(
    ("result", "errors", "results"),
    [
        ("i32", ERRNO_NEGATIVE, (2**32 - 73,)), ("i64", ERRNO_NEGATIVE, (2**64 - 73,)),
        ("u32", ERRNO_NEGATIVE, (2**32 - 73,)), ("u16", ERRNO_NEGATIVE, (2**16 - 73,)),
        ("i16", ERRNO_NEGATIVE, (2**32 - 73,)), ("tuple[i32, Stored[u32]]", ERRNO_NEGATIVE, (2**32 - 73,)),
        ("None", ERRNO_NEGATIVE, None), ("tuple[i32, i32]", ERRNO_NEGATIVE, None), ("f64", ERRNO_NEGATIVE, None),
        ("bool", ERRNO_NEGATIVE, None), ("Stored[u32]", ERRNO_NEGATIVE, None), ("i32", Errors(), (73,)),
        ("i32", None, None),
    ],
)
def test_errors_map_where_the_result_can_carry_them(result: str, errors: Errors | None, results: object) -> None:
    """An exception becomes the result of a function with one direct integer; of others it reaches the embedder."""
    signature = spec("function", define(f"def f(ctx: Context) -> {result}: ..."), errors).signature
    assert signature.errno(TimeoutError()) == results
    assert signature.errno(ValueError()) is None
    assert (signature.shape.errno is None) == (results is None)


def test_arguments_are_decoded_before_anything_is_bound() -> None:
    """Decoding gives plain data, which binding turns into objects, as often as the function is entered."""

    source = "def f(ctx: Context, a: i32, key: Str, p: Ptr[u32], out: OutBuffer, cb: FuncRef[[], None]) -> None: ..."
    signature = spec("function", define(source)).signature
    access = FakeAccess()
    access.data[100:103] = b"key"
    plain = signature.decode((2**32 - 1, 100, 3, 8, 200, 16, 2), access)
    assert plain == (-1, "key", 8, (200, 16), 2)
    for _ in range(2):
        a, key, p, out, cb = signature.bind(plain, access)
        assert (a, key) == (-1, "key")
        assert isinstance(p, Ptr)
        assert isinstance(out, OutBuffer)
        assert isinstance(cb, FuncRef)
        assert (p.addr, out.addr, len(out), cb.index) == (8, 200, 16, 2)
    assert signature.show(plain) == "a=-1, key='key', p=0x8, out=<room for 16 bytes at 0xc8>, cb=<function 2>"


def test_numbers_alone_are_passed_through() -> None:
    """A signature of unsigned numbers costs nothing: the guest's values are the arguments."""

    signature = spec("function", define("def f(ctx: Context, a: u32, b: u64, c: f64) -> None: ...")).signature
    raw = (1, 2, 3.0)
    assert signature.decode(raw, FakeAccess()) is raw
    assert signature.bind(raw, FakeAccess()) == raw
