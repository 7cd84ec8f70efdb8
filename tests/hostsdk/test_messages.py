"""The table of messages: each text is provoked once, and read in full where its words are what an author acts on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from hostsdk import _messages
from hostsdk._annotations import Place, cell_of, param_of
from hostsdk._codecs import encoder
from hostsdk._engine import STRUCTREF, StateError, Trap
from hostsdk._errors import BufferTooSmall, ConversionError, Errors, SignatureError
from hostsdk._frozen import thaw
from hostsdk._memory import GuestMemory
from hostsdk._messages import Text
from hostsdk._module import HostModule
from hostsdk._numbers import NUMBERS
from hostsdk._references import RefWord
from hostsdk._types import FuncRef, Op, OutBuffer, Ptr, i32, u8, u32
from tests.support.access import FakeAccess
from tests.support.author import run


@attrs.frozen
class Empty:
    """A record without fields."""


@attrs.frozen
class Loop:
    """A record that contains itself."""

    next: Loop


@attrs.frozen
class Sized:
    """A record with a field that has no size."""

    count: int


def registering(source: str) -> Callable[[], object]:
    """What an author's file does, written as text since a type checker would refuse it."""
    if "@" not in source and "kv." not in source:
        source = "@kv.function\n" + source

    return lambda: run(source, kv=HostModule("kv"), Empty=Empty, Loop=Loop, Sized=Sized)


#: Text -> (what an author wrote, what they are told).
SIGNATURES: dict[Text, tuple[str, str]] = {
    Text.INT: (
        "def f(ctx: Context, fd: int) -> None: ...",
        "kv.f: parameter 'fd': 'int' has no size in WebAssembly; write i32, u32, i64 or u64",
    ),
    Text.FLOAT: (
        "def f(ctx: Context) -> float: ...", "kv.f: result: 'float' has no size in WebAssembly; write f32 or f64"
    ),
    Text.STR: (
        "def f(ctx: Context, key: str) -> None: ...",
        "kv.f: parameter 'key': 'str' has no layout; write Str (address and length) or CStr (ends with a zero byte)",
    ),
    Text.BYTES: (
        "def f(ctx: Context, data: bytearray) -> None: ...",
        "kv.f: parameter 'data': 'bytearray' has no layout; write Bytes to read from the guest, OutBuffer to fill",
    ),
    Text.OPTIONAL: (
        "def f(ctx: Context, p: i32 | None) -> None: ...",
        "kv.f: parameter 'p': 'i32 | None' may be several things, and WebAssembly passes one; write one type",
    ),
    Text.NOT_WASM: (
        "def f(ctx: Context, rest: list[i32]) -> None: ...",
        "kv.f: parameter 'rest': 'list[i32]' is not a WebAssembly type; write a number (i32, u32, i64, u64, f32, f64, "
        "...), Str, CStr, Bytes, OutBuffer, Ptr[...], FuncRef[[...], ...] or a reference (Struct, AnyRef, "
        "ExternRef, ...)",
    ),
    Text.BARE_PTR: (
        "def f(ctx: Context, p: Ptr) -> None: ...",
        "kv.f: parameter 'p': 'Ptr' doesn't say to what; write Ptr[u8] for bytes, or Ptr[T] with the T that lies there",
    ),
    Text.BARE_FUNCREF: (
        "def f(ctx: Context, cmp: FuncRef) -> None: ...",
        "kv.f: parameter 'cmp': 'FuncRef' doesn't say its type; write FuncRef[[i32, i32], i32], say, with the guest's "
        "types",
    ),
    Text.OPEN_FUNCREF: (
        "def f(ctx: Context, cmp: FuncRef[..., i32]) -> None: ...",
        "kv.f: parameter 'cmp': 'FuncRef[..., ...]' doesn't say its parameters; write them in a list: FuncRef[[i32, "
        "i32], i32]",
    ),
    Text.FUNCREF_PARAM: (
        "def f(ctx: Context, cb: FuncRef[[Str], None]) -> None: ...",
        "kv.f: parameter 'cb': a guest function takes numbers, Ptr, FuncRef and references, not 'Str'; pass an address "
        "and a length",
    ),
    Text.FUNCREF_RESULT: (
        "def f(ctx: Context, cb: FuncRef[[], Ptr[u8]]) -> None: ...",
        "kv.f: parameter 'cb': a guest function gives numbers, references, a tuple of them or None, not 'Ptr[u8]'",
    ),
    Text.POINTED: (
        "def f(ctx: Context, p: Ptr[OutBuffer]) -> None: ...",
        "kv.f: parameter 'p': 'OutBuffer' can't lie behind a pointer; write Ptr[u8], a number, Ptr[...], FuncRef[...] "
        "or a class made by attrs with such fields",
    ),
    Text.RECURSIVE: (
        "def f(ctx: Context, p: Ptr[Loop]) -> None: ...",
        "kv.f: parameter 'p': Loop.next: Loop contains itself, which has no end; let it contain a Ptr[Loop]",
    ),
    Text.UNION: (
        "def f(ctx: Context, p: Ptr[Annotated[Empty | Loop, Tag(int, {0: Empty, 1: Loop})]]) -> None: ...",
        "kv.f: parameter 'p': 'Empty | Loop' is a union; say which tag stands for which class: "
        "Annotated[A | B, Tag(u8, {0: A, 1: B})]",
    ),
    Text.NO_FIELDS: (
        "def f(ctx: Context, p: Ptr[Empty]) -> None: ...",
        "kv.f: parameter 'p': Empty has no fields, so it has no size",
    ),
    Text.STORED_PARAM: (
        "def f(ctx: Context, out: Stored[u32]) -> None: ...",
        "kv.f: parameter 'out': Stored[...] is for results; a parameter that points to something is Ptr[...]",
    ),
    Text.RESULT: (
        "def f(ctx: Context) -> Str: ...",
        "kv.f: result: 'Str' can't be a result; give numbers, references, a tuple of them, Stored[...] or None, and "
        "fill an OutBuffer with bytes or text",
    ),
    Text.OPEN_TUPLE: (
        "def f(ctx: Context) -> tuple[i32, ...]: ...",
        "kv.f: result: 'tuple[i32, ...]' has no fixed length; write one type for each result, as in tuple[i32, i32]",
    ),
    Text.UNANNOTATED: (
        "def f(ctx: Context, fd) -> None: ...",
        "kv.f: parameter 'fd': has no annotation; write its WebAssembly type, as in 'fd: i32'",
    ),
    Text.UNANNOTATED_RESULT: (
        "def f(ctx: Context): ...",
        "kv.f: result: has no annotation; write '-> i32', say, or '-> None' if the function gives nothing",
    ),
    Text.DEFAULT: (
        "def f(ctx: Context, flags: u32 = 0) -> None: ...",
        "kv.f: parameter 'flags': has a default value, but a guest always passes every argument; leave the default out",
    ),
    Text.STAR: (
        "def f(ctx: Context, *args: i32) -> None: ...",
        "kv.f: parameter 'args': '*args' takes any number of arguments, but a WebAssembly function has a fixed number; "
        "write each one",
    ),
    Text.KEYWORD_ONLY: (
        "def f(ctx: Context, *, fd: i32) -> None: ...",
        "kv.f: parameter 'fd': is keyword-only, but a guest passes arguments by position; put it before the '*'",
    ),
    Text.UNKNOWN_NAME: (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from x import Fd\n"
        "@kv.function\ndef f(ctx: Context, fd: Fd) -> None: ...",
        "kv.f: parameter 'fd': the name 'Fd' is not known where the function is registered, so the annotation 'Fd' "
        "can't be read; if it is imported under 'if TYPE_CHECKING:', import it at run time too",
    ),
    Text.UNREADABLE: (
        "def f(ctx: Context, fd: u32[i32]) -> None: ...",
        "kv.f: parameter 'fd': the annotation 'u32[i32]' can't be read: *",
    ),
    Text.NO_CONTEXT: (
        "def f() -> None: ...",
        "kv.f: has no parameters, but the first one is the context; write 'def f(ctx: Context, ...)', or use @kv.pure "
        "for a function that needs none",
    ),
    Text.CONTEXT_UNANNOTATED: (
        "@kv.restartable\ndef f(ctx, fd: i32) -> None: ...",
        "kv.f: parameter 'ctx': is the context and has no annotation; write 'ctx: BlockingContext'",
    ),
    Text.CONTEXT_WRONG: (
        "def f(fd: i32) -> None: ...",
        "kv.f: parameter 'fd': comes first, so it is the context; write 'fd: Context', not 'i32'",
    ),
    Text.CONTEXT_LATE: (
        "def f(ctx: Context, other: Context) -> None: ...",
        "kv.f: parameter 'other': a context comes first, and only there",
    ),
    Text.PLAIN_WAITS: (
        "def f(ctx: BlockingContext) -> None: ...",
        "kv.f: parameter 'ctx': a plain function never waits and never calls back; write 'ctx: Context', or "
        "@restartable instead of @function",
    ),
    Text.GENERATOR_BLOCKS: (
        "@kv.restartable\ndef f(ctx: BlockingContext) -> Steps[i32]: yield",
        "kv.f: parameter 'ctx': a generator waits by 'yield from block_until(...)', not by ctx; write 'ctx: Context'",
    ),
    Text.PURE_CONTEXT: (
        "@kv.pure\ndef f(ctx: Context) -> None: ...",
        "kv.f: parameter 'ctx': a pure function has no context; leave it out, or use @function",
    ),
    Text.PURE_PARAM: (
        "@kv.pure\ndef f(p: Ptr[u8]) -> None: ...",
        "kv.f: parameter 'p': 'Ptr[u8]' reaches into the guest, which a pure function doesn't; use @function",
    ),
    Text.PLAIN_GENERATOR: (
        "def f(ctx: Context) -> Steps[i32]: yield",
        "kv.f: is a generator, and a plain function never waits and never calls back; use @restartable",
    ),
    Text.NOT_STEPS: (
        "@kv.restartable\ndef f(ctx: Context) -> i32: yield",
        "kv.f: result: is a generator, so its result stands in Steps[...], as in '-> Steps[i32]'; got '-> i32'",
    ),
    Text.STEPS_WITHOUT_YIELD: (
        "@kv.restartable\ndef f(ctx: BlockingContext) -> Steps[i32]: ...",
        "kv.f: result: is annotated Steps[...] but has no yield; write 'return (yield from ...)', or '-> i32'",
    ),
    Text.STEPS_BARE: (
        "@kv.restartable\ndef f(ctx: Context) -> Steps: yield",
        "kv.f: result: 'Steps' doesn't say what the function gives in the end; write Steps[i32], say, or Steps[None]",
    ),
    Text.PLAIN_COROUTINE: (
        "@kv.function\nasync def f(ctx: Context) -> i32: ...",
        "kv.f: is an 'async def', and a plain function never waits and never calls back; use @restartable",
    ),
    Text.COROUTINE_BLOCKS: (
        "@kv.restartable\nasync def f(ctx: BlockingContext) -> i32: ...",
        "kv.f: parameter 'ctx': a coroutine waits by 'await', not by ctx; write 'ctx: Context'",
    ),
    Text.ASYNC_GENERATOR: (
        "@kv.restartable\nasync def f(ctx: Context) -> i32: yield",
        "kv.f: an async generator can't be a host function; write a generator with '-> Steps[...]'",
    ),
    Text.NOT_A_FUNCTION: (
        "kv.function(len)",
        "kv.len: a host function is made of a 'def', not of 'builtin_function_or_method'; write a function that calls "
        "it",
    ),
    Text.MODULE_NAME: (
        "@kv.pure\ndef f() -> None: ...\nHostModule(f)",
        "HostModule: the name is the guest's import module, a str; got <function f*",
    ),
    Text.FUNCTION_NAME: (
        "@kv.function(name=7)\ndef f(ctx: Context) -> None: ...",
        "kv.7: the name is the guest's import name, a str; got 7",
    ),
    Text.DUPLICATE: (
        "@kv.function\ndef f(ctx: Context) -> None: ...\n@kv.function(name='f')\ndef g(ctx: Context) -> None: ...",
        "kv.f: is already there; give one of the two another name with @restartable(name=...) or @function(name=...)",
    ),
    Text.NOT_LATER: (
        "kv.later(['f'], list)\nkv.functions['f']",
        "HostModule 'kv': 'f' was named for later, and what was to register it did not",
    ),
    Text.VERSION: (
        "@kv.restartable(accepts='1')\ndef f(ctx: BlockingContext) -> None: ...",
        "kv.f: version= is an int and accepts= a sequence of ints; got '1'",
    ),
    Text.REPEAT: (
        "@kv.restartable(repeat=True)\ndef f(ctx: BlockingContext) -> None: ...",
        "kv.f: repeat= is about saving a pending coroutine, and this is none; leave it out",
    ),
    Text.CALLBACKS: (
        "@kv.restartable(callbacks='deep')\ndef f(ctx: BlockingContext) -> None: ...",
        "kv.f: callbacks= is \"nested\" or \"scheduled\"; got 'deep'",
    ),
    Text.GUEST_KIND: (
        "kv.guest('malloc', u32)",
        "kv: guest('malloc'): the second argument is the export's type, FuncRef[[u32], u32] say; got *",
    ),
    Text.TAG_PARAM: (
        "kv.tag('e', Str)", "kv.tag('e'): an exception carries numbers, V128 and references, not 'Str'"
    ),
    Text.HOOK_TWICE: (
        "@kv.save\ndef a(state): ...\n@kv.save\ndef b(state): ...",
        "HostModule 'kv': @kv.save is already there; a module has one",
    ),
    Text.RESOURCE: (
        "kv.resource(list, save=1, load=print)",
        "HostModule 'kv': write resource(Cursor, save=function, load=function); got save=1",
    ),
    Text.RESOURCE_TWICE: (
        "kv.resource(list, save=len, load=print)\nkv.resource(list, save=len, load=print)",
        "HostModule 'kv': resource(list) is already there; a module says once how a class is saved",
    ),
    Text.STATE: (
        "HostModule(kv.name, state={})",
        "HostModule 'kv': state= is a function that makes the state of one instance; got {}",
    ),
}


def _store(kind: type[Ptr[Any]], value: object) -> Callable[[], object]:
    return lambda: GuestMemory(FakeAccess()).pointer(kind, 0).store(value)


def _guest_text() -> object:
    access = FakeAccess()
    access.data[0] = 0xFF
    return GuestMemory(access).cstring(0)


class Wait(Op[int]):
    """An operation for tests."""


def _waiting() -> Op[int]:
    return Wait()


def _never_run() -> None:
    made: list[Op[int]] = [Wait()]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.clear()
    raise caught[0].message if isinstance(caught[0].message, Warning) else AssertionError


PLACE = Place("kv", "get", "p")
MEMORY = GuestMemory(FakeAccess())
OUT = OutBuffer(0, 4, FakeAccess())
SIZE = NUMBERS["u8"]
CALLEE: FuncRef[[u32], i32] = MEMORY.pointer(Ptr[FuncRef[[u32], i32]], 0).load()

#: Text -> (what happens while a function runs, the error, what it says).
VALUES: dict[Text, tuple[Callable[[], object], type[BaseException], str]] = {
    Text.ERRORS_TABLE: (
        lambda: Errors({OSError: 0}), ValueError,
        "Errors: <class 'OSError'>: 0 is not an exception class with an error number from 1 to 32767",
    ),
    Text.RANGE: (
        _store(Ptr[u8], 256), ConversionError, "Ptr[u8](0x0): u8 can't hold 256 (it goes from 0 to 255)"
    ),
    Text.REFERENCE: (
        lambda: RefWord(STRUCTREF, "StructRef").lower(5, "kv.f: result"), ConversionError,
        "kv.f: result: structref takes a Struct of that type or None, not int",
    ),
    Text.KIND: (_store(Ptr[u8], "x"), ConversionError, "Ptr[u8](0x0): u8 takes an int, not 'x'"),
    Text.ARITY: (
        lambda: encoder((), True, 0, "kv.get: result")((1,), (), FakeAccess()), ConversionError,
        "kv.get: result: 0 value(s) wanted, got 1",
    ),
    Text.NOTHING: (
        lambda: encoder((), False, 0, "kv.get: result")(3, (), FakeAccess()), ConversionError,
        "kv.get: result: the function gives nothing ('-> None') but returned 3",
    ),
    Text.FUNCREF_ARITY: (
        lambda: CALLEE.callee.lower(()), ConversionError, "FuncRef[[u32], i32]: takes 1 argument(s), got 0"
    ),
    Text.NO_INDEX: (
        _store(Ptr[FuncRef[[u32], i32]], FuncRef[[u32], i32](None, "malloc", CALLEE.callee)), ConversionError,
        "Ptr[FuncRef[[u32], i32]](0x0): FuncRef[[u32], i32]('malloc') is a guest's export and has no table index",
    ),
    Text.OUT_BUFFER: (lambda: OUT.fill(b"12345"), BufferTooSmall, "*5 bytes don't fit the guest's buffer of 4"),
    Text.SLICE: (
        lambda: OUT[::2], TypeError,
        "OutBuffer takes slices without a step, as in out[4:8]; got slice(None, None, 2)",
    ),
    Text.NEVER_RUN: (
        _never_run, RuntimeWarning, "Wait was made but never run; write 'yield from' in front of it"
    ),
    Text.AWAIT_OUTSIDE: (
        lambda: _waiting().__await__(), StateError,
        "await Wait, but not in a call of an 'async def' host function: nobody there can carry it out",
    ),
    Text.PERMUTATION: (
        lambda: MEMORY.rows(0, 2, 4).permute([0, 0]), ValueError, "permute: the order is not a permutation of 2 rows"
    ),
    Text.NO_ROW: (lambda: MEMORY.rows(0, 2, 4).addr(2), IndexError, "there is no row 2 (there are 2)"),
    Text.FROZEN: (lambda: thaw(5, FakeAccess()), ConversionError, "5 is not a frozen value"),
    Text.OUT_OF_BOUNDS: (
        lambda: param_of(Ptr[u32], PLACE).decode((65535,), 0, FakeAccess()), Trap,
        "out of bounds memory access: kv.get: parameter 'p': 4 byte(s) at 0xffff, and the memory has 0x10000",
    ),
    Text.OUT_OF_RANGE: (
        lambda: MEMORY.pointer(Ptr[u8], 0).offset(-1), Trap,
        "out of bounds memory access: address -1 of a pointer is not a 32-bit number",
    ),
    Text.UNALIGNED: (
        lambda: MEMORY.pointer(Ptr[u32], 2).load(), Trap, "unaligned access: Ptr[u32](0x2): 0x2 is not a multiple of 4"
    ),
    Text.UTF8: (_guest_text, Trap, "cstring: the guest's text is not UTF-8 (byte 0xff at offset 0)"),
    Text.ENDLESS: (
        lambda: GuestMemory(FakeAccess(bytearray(b"abc"))).cstring(1), Trap,
        "out of bounds memory access: cstring: no zero byte from 0x1 on, within 2 bytes",
    ),
    Text.EMPTY_ROWS: (lambda: MEMORY.rows(0, 3, 0), Trap, "rows: 3 rows of 0 bytes each"),
}


#: Files whose every text can be provoked without running a guest.
ENGINE_FREE = {
    "_access.py", "_annotations.py", "_codecs.py", "_decorators.py", "_errors.py", "_frozen.py", "_layout.py",
    "_memory.py", "_module.py", "_numbers.py", "_signature.py", "_sort.py", "_types.py",
}


def test_every_text_is_used_and_read() -> None:
    """No text stands in the table that nobody says; those of the files that need no engine are all provoked here."""
    sources = {path.name: path.read_text() for path in Path(_messages.__file__).parent.glob("_*.py")}
    users = {text: {name for name, source in sources.items() if f"Text.{text.name}" in source} for text in Text}
    assert [text.name for text, files in users.items() if not files] == []
    ours = [text for text, files in users.items() if files & ENGINE_FREE]
    assert [text.name for text in ours if text not in SIGNATURES and text not in VALUES] == []


def fits(said: str, wanted: str) -> bool:
    """Whether a message is the wanted one; `*` at either end stands for anything."""
    if wanted.startswith("*"):
        return said.endswith(wanted[1:])
    return said.startswith(wanted[:-1]) if wanted.endswith("*") else said == wanted


@pytest.mark.parametrize("text", SIGNATURES, ids=lambda text: text.name)
def test_a_bad_signature_is_told_what_to_write(text: Text) -> None:
    """Registration refuses, by a SignatureError (a TypeError) that names the place and says what to write."""
    source, wanted = SIGNATURES[text]
    with pytest.raises(SignatureError) as info:
        registering(source)()
    assert fits(str(info.value), wanted), str(info.value)
    assert isinstance(info.value, TypeError)


@pytest.mark.parametrize("text", VALUES, ids=lambda text: text.name)
def test_a_bad_value_is_told_what_is_wrong(text: Text) -> None:
    """While a function runs, an error names the value and what would fit."""
    act, cls, wanted = VALUES[text]
    with pytest.raises(cls) as info:
        act()
    assert fits(str(info.value), wanted), str(info.value)


def test_a_field_is_named() -> None:
    """A record's field that has no layout is named with its class, behind module, function and parameter."""
    with pytest.raises(SignatureError, match=r"^kv\.get: parameter 'p': Sized\.count: 'int' has no size") as info:
        cell_of(Sized, PLACE)
    assert (info.value.module, info.value.function, info.value.parameter) == ("kv", "get", "p")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def f(ctx: Context, *args) -> None: ...\n", "parameter 'args': '*args' takes any number"),
        ("def f(*args: Context) -> None: ...", "parameter 'args': is the context and has no annotation"),
        ("def f(ctx: Context) -> CStr: ...", "result: 'CStr' can't be a result"),
        ("def f(ctx: Context) -> Bytes: ...", "result: 'Bytes' can't be a result"),
        ("def f(ctx: Context) -> str: ...", "result: 'str' can't be a result"),
        ("def f(ctx: Context, p: Ptr[Str]) -> None: ...", "parameter 'p': 'Str' can't lie behind a pointer"),
        ("def f(ctx: Context, p: Ptr[bytes]) -> None: ...", "parameter 'p': 'bytes' has no layout"),
        ("def f(ctx: Context, p: Steps[i32]) -> None: ...", "parameter 'p': 'Steps[i32]' is not a WebAssembly type"),
        ("def f(ctx: Context, p: [i32, u8]) -> None: ...", "parameter 'p': "),
        ("def f(ctx: Context, p: Stored[Ptr[u8]]) -> None: ...", "parameter 'p': Stored[...] is for results"),
        ("def f(ctx: Context, p: None) -> None: ...", "parameter 'p': 'None' is not a WebAssembly type"),
        ("def f(ctx: Context, p: Context[int]) -> None: ...", "parameter 'p': a context comes first"),
        ("def f(ctx: Context) -> Stored[str]: ...", "result: 'str' has no layout"),
        (
            "import attrs\n@attrs.frozen\nclass R:\n    x: Missing\n"
            "@kv.function\ndef f(ctx: Context, p: Ptr[R]) -> None: ...",
            "parameter 'p': the name 'Missing' is not known",
        ),
        (
            "import attrs\n@attrs.frozen\nclass R:\n    x: u8[1]\n"
            "@kv.function\ndef f(ctx: Context, p: Ptr[R]) -> None: ...",
            "parameter 'p': the annotation 'R' can't be read",
        ),
    ],
)
def test_other_mistakes(source: str, said: str) -> None:
    """Whatever stands in an annotation, the answer is a SignatureError about that place."""
    with pytest.raises(SignatureError) as info:
        registering(source)()
    assert str(info.value).startswith(f"kv.f: {said}")


def test_a_pointer_kind_is_checked() -> None:
    """`ctx.memory.pointer` takes Ptr[...], and says so."""
    wrong: Any = MEMORY.pointer
    for kind in (u32, Ptr, int, FuncRef[[], None]):
        with pytest.raises(SignatureError, match=r"^pointer: "):
            wrong(kind, 0)
