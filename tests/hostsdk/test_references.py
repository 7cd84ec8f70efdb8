"""Structs, arrays, i31s, exceptions and typed functions at the border: passed both ways, kept in records, saved."""

from __future__ import annotations

from typing import Any

import pytest

from hostsdk import (
    AnyRef,
    ArrayRef,
    BlockingContext,
    Context,
    EqRef,
    ExceptionTag,
    ExnRef,
    ExternRef,
    Func,
    HostModule,
    I31Int,
    I31Ref,
    ResultError,
    Returned,
    SignatureError,
    Steps,
    Struct,
    StructRef,
    Suspended,
    TypedFuncRef,
    UnlinkableError,
    WasmException,
    call,
    i32,
)
from hostsdk.testing import Every, explore
from tests.support.inject import finish, guest, reload, run_to, scene

TYPES = """
    (rec (type $point (struct (field $x (mut i32)) (field $f (mut funcref)))))
    (type $row (array (mut i32)))
    (type $unary (func (param i32) (result i32)))
    (tag $oops (export "oops") (param i32 structref))
    (func $twice (export "twice") (type $unary) (i32.mul (local.get 0) (i32.const 2)))
    (elem declare func $twice)
    (func (export "point") (param i32) (result (ref $point)) (struct.new $point (local.get 0) (ref.func $twice)))
    (func $x (export "x") (param (ref $point)) (result i32) (struct.get $point $x (local.get 0)))
"""
host = HostModule("h")


@host.function
def same(ctx: Context, one: StructRef, other: Struct | None) -> StructRef:
    return one if one is other else None


@host.function
def swap(ctx: Context, a: AnyRef, b: EqRef) -> tuple[EqRef, AnyRef]:
    return b, a


@host.function
def row(ctx: Context, a: ArrayRef, n: I31Int) -> tuple[ArrayRef, I31Ref]:
    assert a is not None
    a.set(0, a.get(0) + n)  # type: ignore[operator]  # an array of i32
    return a, len(a)


@host.restartable
def keep(ctx: BlockingContext, point: Struct, apply: TypedFuncRef[[i32], i32]) -> Struct:
    """Waits with a struct and a function in its record; what it reads of the struct it reads once."""
    before = ctx.once(lambda: point.get(0))
    ctx.sleep(1)
    point.set(0, ctx.call(apply, before))  # type: ignore[arg-type]  # a field of i32
    ctx.sleep(1)
    return point


@host.restartable
def chain(ctx: Context, make: TypedFuncRef[[i32], Struct], read: TypedFuncRef[[Struct], i32] | None) -> Steps[i32]:
    """Gets a struct from a callback and passes it to another."""
    assert read is not None
    point = yield from call(make, 20)
    first = yield from call(read, point)
    second = yield from call(read, point)
    return first + second + 2


@host.function
def thrown(ctx: Context, error: ExnRef) -> ExnRef:
    assert error is not None
    assert error.tag is ctx.tag("oops")
    number, point = error.payload
    assert isinstance(point, Struct)
    assert point.get(0) == number
    return error


@host.restartable
def whole(ctx: BlockingContext, f: Func) -> Func:
    """A function of any type: kept as plain data, called as Python's."""
    g = ctx.once(lambda: f)
    ctx.sleep(1)
    assert g == f
    assert g(21) == 42
    return g


def text(imports: str, body: str) -> str:
    """A guest with the types, these imports, and `run`."""
    head, tail = TYPES.split("    (tag", 1)
    return f'{head}{imports}(tag{tail}(func (export "run") (result i32) {body})'


SAME = text(
    """(import "h" "same" (func $same (param (ref null $point) structref) (result (ref null $point))))""",
    """(local $p (ref null $point)) (local.set $p (struct.new $point (i32.const 1) (ref.null func)))
    (i32.add (ref.eq (call $same (local.get $p) (local.get $p)) (local.get $p))
      (ref.is_null (call $same (local.get $p) (ref.null $point))))""",
)
SWAP = text(
    """(import "h" "swap" (func $swap (param anyref eqref) (result eqref anyref)))""",
    """(local $a anyref) (local $p anyref) (local $n eqref)
    (local.set $a (array.new $row (i32.const 7) (i32.const 2)))
    (call $swap (local.get $a) (ref.i31 (i32.const -5)))
    (local.set $p) (local.set $n)
    (i32.add (i31.get_s (ref.cast (ref i31) (local.get $n)))
      (i32.mul (i32.const 12) (ref.eq (ref.cast eqref (local.get $a)) (ref.cast eqref (local.get $p)))))""",
)
ROW = text(
    """(import "h" "row" (func $row_ (param (ref null $row) (ref i31)) (result (ref null $row) i31ref)))""",
    """(local $n i31ref) (local $a (ref null $row))
    (call $row_ (array.new $row (i32.const 30) (i32.const 3)) (ref.i31 (i32.const 9)))
    (local.set $n) (local.set $a)
    (i32.add (array.get $row (local.get $a) (i32.const 0)) (i31.get_s (local.get $n)))""",
)
KEEP = text(
    """(import "h" "keep" (func $keep (param (ref $point) (ref $unary)) (result (ref $point))))""",
    """(local $p (ref null $point)) (local.set $p (struct.new $point (i32.const 21) (ref.func $twice)))
    (call $keep (ref.as_non_null (local.get $p)) (ref.func $twice))
    (if (result i32) (ref.eq (local.get $p)) (then (struct.get $point $x (local.get $p))) (else (i32.const -1)))""",
)
CHAIN = text(
    """(type $make (func (param i32) (result (ref $point)))) (type $read (func (param structref) (result i32)))
    (import "h" "chain" (func $chain (param (ref $make) (ref null $read)) (result i32)))
    (elem declare func $made $got)""",
    """(call $chain (ref.func $made) (ref.func $got)))
    (func $made (type $make) (struct.new $point (local.get 0) (ref.null func)))
    (func $got (type $read) (call $x (ref.cast (ref $point) (local.get 0)))""",
)
THROWN = text(
    """(import "h" "thrown" (func $thrown (param exnref) (result exnref)))""",
    """(block (result i32 structref)
      (try_table (catch $oops 0)
        (throw_ref (call $thrown (block (result exnref) (try_table (catch_all_ref 0)
          (throw $oops (i32.const 42) (struct.new $point (i32.const 42) (ref.null func)))) (unreachable)))))
      (unreachable))
    (drop)""",
)
WHOLE = text(
    """(import "h" "whole" (func $whole (param (ref func)) (result (ref func))))""",
    """(call_ref $unary (i32.const 21) (ref.cast (ref $unary) (call $whole (ref.func $twice))))""",
)
GUESTS = {
    "same": (SAME, 2), "swap": (SWAP, 7), "row": (ROW, 42), "keep": (KEEP, 42), "chain": (CHAIN, 42),
    "thrown": (THROWN, 42), "whole": (WHOLE, 42),
}  # fmt: skip


@pytest.mark.parametrize("name", GUESTS)
def test_references_pass_at_every_check_point(name: str) -> None:
    """BEHAVIOURS 16 and 75: whatever the guest passes comes back as the same object, undisturbed, and suspended,
    saved and loaded at each check point."""
    source, result = GUESTS[name]
    assert guest(source, host).call("run") == result
    explore(scene(source, host, call="run"))


def test_a_waiting_call_is_saved_with_its_objects() -> None:
    """BEHAVIOURS 75: the struct in the waiting function's record and the one in the guest's local are one object after
    it was loaded, too."""
    execution = guest(KEEP, host, injector=Every(1)).start("run")
    run_to(execution, "in wait sleep")
    loaded = reload(execution, [host], KEEP)
    assert finish(loaded) == Returned((42,))


def test_functions_out_of_objects_are_called() -> None:
    """A field, an element, a global or a payload that is a function is what an export's function is: it can be called,
    given back, and compared."""
    with guest(text("", "(i32.const 0)"), host) as inst:
        point = inst.call("point", 5)
        assert isinstance(point, Struct)
        twice: Any = point.get(1)
        assert twice(21) == 42
        assert twice == inst.exports["twice"].func
        point.set(1, None)
        assert point.get(1) is None
        point.set(1, inst.exports["twice"].func)
        assert point.get(1) == twice
        error = WasmException(inst.extern("oops", ExceptionTag), 5, point)
        assert error.payload == (5, point)


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("(func (param structref) (result i32))", "struct"),  # the host's takes no null
        ("(func (param (ref array)) (result i32))", "struct"),
        ("(func (param i32) (result i32))", "struct"),
        ("(func (param (ref struct)) (result i64))", "struct"),
        ("(func (param (ref struct)) (result i32))", "back"),
    ],
)
def test_what_the_guest_declares_must_fit(wanted: str, given: str) -> None:
    """A guest's type may say more than the annotation of what it passes, never less: told when it is linked."""
    made = HostModule("h")

    @made.function
    def struct(ctx: Context, point: Struct) -> i32:
        return 1

    @made.function
    def back(ctx: Context, point: Struct) -> Struct:
        return point

    with pytest.raises(UnlinkableError, match=r"incompatible import type: h\."):
        guest(f'(import "h" "{given}" {wanted})', made)


def test_a_result_of_another_type_is_told() -> None:
    """Where the guest asks for more than the annotation says, what is returned is looked at: a ResultError."""
    made = HostModule("h")

    @made.function
    def other(ctx: Context, point: Struct) -> StructRef:
        return point

    source = """(type $a (struct (field i32))) (type $b (struct (field i64)))
        (import "h" "other" (func $o (param (ref $a)) (result (ref null $b))))
        (func (export "run") (drop (call $o (struct.new_default $a))))"""
    with pytest.raises(ResultError, match=r"h\.other: result: .*takes a Struct of that type or None, not Struct"):
        guest(source, made).call("run")


def test_one_function_in_two_types() -> None:
    """A guest may import a function as often as it likes, each time for a type of its own."""
    made = HostModule("h")

    @made.function
    def size(ctx: Context, it: Struct | None) -> i32:
        return 0 if it is None else len(it)

    source = """(type $a (struct (field i32))) (type $b (struct (field i64) (field i64)))
        (import "h" "size" (func $a (param (ref $a)) (result i32)))
        (import "h" "size" (func $b (param (ref null $b)) (result i32)))
        (func (export "run") (result i32)
          (i32.add (call $a (struct.new_default $a)) (call $b (struct.new_default $b))))"""
    assert guest(source, made).call("run") == 3
    explore(scene(source, made, call="run"))


def test_external_references_come_back() -> None:
    """An object of the host's goes to the guest and back as itself."""
    made = HostModule("h")
    thing = object()

    @made.function
    def give(ctx: Context) -> ExternRef:
        return thing

    @made.function
    def take(ctx: Context, it: ExternRef) -> i32:
        return int(it is thing)

    source = """(import "h" "give" (func $give (result externref)))
        (import "h" "take" (func $take (param externref) (result i32)))
        (func (export "run") (result i32) (call $take (call $give)))"""
    assert guest(source, made).call("run") == 1


def test_a_reference_in_memory_is_refused() -> None:
    """References can't lie in memory: told at registration."""
    made = HostModule("h")
    with pytest.raises(SignatureError, match="can't lie behind a pointer"):
        exec(
            "from hostsdk import *\n@made.function\ndef f(ctx: Context, p: Ptr[Struct]) -> None: ...", {"made": made}
        )


def test_suspended_with_a_function() -> None:
    """A function of any type in a record is saved as what it is in its instance."""
    execution = guest(WHOLE, host, injector=Every(1)).start("run")
    assert isinstance(run_to(execution, "in wait sleep"), Suspended)
    assert finish(reload(execution, [host], WHOLE)) == Returned((42,))
