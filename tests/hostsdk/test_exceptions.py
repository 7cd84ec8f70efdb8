"""WebAssembly's exceptions and host functions: thrown by tag, caught, let through with cleanup."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from hostsdk import (
    V128,
    Context,
    ExceptionTag,
    ExternRef,
    FuncRef,
    Global,
    HostModule,
    MissingExport,
    SignatureError,
    Steps,
    Trap,
    TrapCode,
    WasmException,
    call,
    f64,
    i32,
    i64,
    sleep,
    tail_call,
    u32,
)
from hostsdk.cli.main import main
from hostsdk.testing import explore
from tests.support.build import wat
from tests.support.inject import MEMORY, STYLES, everywhere, finish, guest, reload, restartable, run_to, scene, table

#: `run` calls `h.through`, which calls the guest back; what that throws is caught by `run` if its tag is the right one.
TEXT = f"""(import "h" "through" (func $through (param i32 i32) (result i32)))
    (tag $e (export "e") (param i32 f64)) (tag $other) {MEMORY} {table("$cb", "$safe")}
    (func $spin (local $n i32)
      (loop $l (br_if $l (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 2)))))
    (func $cb (param i32) (result i32)
      (i32.store (i32.const 8) (i32.add (i32.load (i32.const 8)) (i32.const 1)))
      (call $spin)
      (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $e (i32.const 40) (f64.const 2.5))))
      (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $other)))
      (if (i32.eq (local.get 0) (i32.const 3)) (then unreachable))
      (i32.const 5))
    (func $safe (param i32) (result i32) (call $through (i32.const 0) (local.get 0)))
    (func $run (export "run") (param i32 i32) (result i32) (local $keep i32)
      (local.set $keep (i32.add (local.get 1) (i32.const 100)))
      (block $h (result i32 f64)
        (try_table (catch $e $h) (return (call $through (local.get 0) (local.get 1))))
        unreachable)
      (call $spin)
      i32.trunc_f64_s i32.add (i32.add (local.get $keep)))"""


def _through(style: str, **options: object) -> HostModule[list[str]]:
    """A function that lets pass whatever its callee throws, and cleans up by waiting."""
    host = HostModule("h", state=list[str])
    host.save(list)
    host.load(list)

    @restartable(host, style, **options)
    def through(ctx: Context[list[str]], f: FuncRef[[i32], i32], n: i32) -> Steps[i32]:
        ctx.once(partial(ctx.state.append, "in"))
        try:
            yield from sleep(1)
            return (yield from call(f, n))
        except WasmException as error:
            ctx.once(partial(ctx.state.append, f"passes {error.payload}"))
            yield from sleep(1)
            raise
        finally:
            yield from sleep(1)
            ctx.once(partial(ctx.state.append, "out"))

    return host


@pytest.mark.parametrize("callbacks", ["nested", "scheduled"])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("target", [0, 1])
def test_an_exception_passes_through_waiting_host_functions(style: str, callbacks: str, target: int) -> None:
    """29: a callee throws, the host functions in between clean up, waiting as they do, and the guest further out
    catches; the same for a fault at each check point."""
    host = _through(style, callbacks=callbacks)
    explore(scene(TEXT, host, call="run", args=(target, 1), observe=lambda i: list(i.state(host)), catches=True))
    inst = guest(TEXT, host)
    assert inst.call("run", target, 1) == 101 + 42
    passes = "passes (40, 2.5)"
    assert inst.state(host) == ["in", *["in"] * target, *[passes, "out"] * target, passes, "out"]


@pytest.mark.parametrize("style", STYLES)
def test_in_flight_it_is_saved(style: str) -> None:
    """29 and 75: suspended in the cleanup, with the exception on its way, the execution is saved, loaded and caught."""
    host = _through(style)
    inst = everywhere(TEXT, host)
    execution = inst.start("run", 1, 1)
    for _ in range(2):
        run_to(execution, "in h.through, in wait sleep")
    while "passes (40, 2.5)" not in execution.instance.state(host):
        execution.run()
    moved = reload(execution, [host], TEXT)
    execution.drop()
    values = finish(moved).values
    assert values == (143,)


@pytest.mark.parametrize("style", STYLES)
def test_what_nobody_catches_arrives_with_tag_and_payload(style: str) -> None:
    """29: an exception of another tag passes the host function, too, and reaches the embedder as itself."""
    host = _through(style)
    inst = guest(TEXT, host)
    with pytest.raises(WasmException) as caught:
        inst.call("run", 0, 2)
    assert caught.value.payload == ()
    assert caught.value.tag is not inst.extern("e", ExceptionTag)
    assert "h.through" in caught.value.__notes__[0]
    assert inst.state(host) == ["in", "passes ()", "out"]


@pytest.mark.parametrize("style", STYLES)
def test_a_trap_is_none(style: str) -> None:
    """28: a trap runs the host function's `finally`, and no `catch` of the guest takes it."""
    host = _through(style)
    inst = guest(TEXT, host)
    with pytest.raises(Trap) as caught:
        inst.call("run", 0, 3)
    assert caught.value.code is TrapCode.UNREACHABLE
    assert inst.state(host) == ["in", "out"]


def test_a_trampoline_is_transparent() -> None:
    """29: a host function that asks for another in its place is gone when that throws."""
    host = HostModule("h")

    @host.restartable
    def through(ctx: Context, f: FuncRef[[i32], i32], n: i32) -> Steps[i32]:
        yield from sleep(1)
        return tail_call(f, n)

    assert guest(TEXT, host).call("run", 0, 1) == 143
    explore(scene(TEXT, host, call="run", args=(0, 1), catches=True))


THROWER = """(import "h" "e" (tag $e (param i32 i64))) (import "h" "f" (func $f (param i32)))
    (func (export "run") (param i32) (result i32 i64)
      (block $h (result i32 i64) (try_table (catch $e $h) (call $f (local.get 0))) unreachable))"""


@pytest.mark.parametrize("style", ["plain", *STYLES])
def test_a_host_function_throws_by_tag(style: str) -> None:
    """30: what a host function throws, the guest catches; an exception of Python's own it doesn't."""
    host = HostModule("h")
    e = host.tag("e", u32, i64)

    def check(n: int) -> None:
        if n < 0:
            raise LookupError
        raise WasmException(e, 0xFFFF_FFFE, n)

    if style == "plain":

        @host.function
        def f(ctx: Context, n: i32) -> None:
            check(n)
    else:

        @restartable(host, style)
        def f(ctx: Context, n: i32) -> Steps[None]:
            yield from sleep(1)
            check(n)

    inst = guest(THROWER, host)
    assert inst.call("run", 7) == (-2, 7)
    with pytest.raises(LookupError):
        inst.call("run", -1)
    if style != "plain":
        explore(scene(THROWER, host, call="run", args=(7,), catches=True))


def test_a_host_function_catches_what_its_callee_throws() -> None:
    """30: by tag, the guest's own or one of the host's; what is left of the guest's stack is put right."""
    host = HostModule("h")
    mine = host.tag("mine", i32)

    @host.restartable
    def f(ctx: Context, cb: FuncRef[[i32], None], n: i32) -> Steps[i32]:
        try:
            yield from call(cb, n)
        except WasmException as error:
            yield from sleep(1)
            kinds = {mine: 1, ctx.tag("theirs"): 2}
            return kinds.get(error.tag, 3) * 100 + int(str(error.payload[0]))
        return 0

    text = f"""(import "h" "f" (func $f (param i32 i32) (result i32))) (import "h" "mine" (tag $mine (param i32)))
        (tag $theirs (export "theirs") (param i32)) (tag $third (param i32)) {MEMORY} {table("$cb")}
        (global $sp (export "__stack_pointer") (mut i32) (i32.const 1000))
        (func $cb (param i32)
          (global.set $sp (i32.sub (global.get $sp) (i32.const 16)))
          (if (i32.eq (local.get 0) (i32.const 1)) (then (throw $mine (i32.const 11))))
          (if (i32.eq (local.get 0) (i32.const 2)) (then (throw $theirs (i32.const 22))))
          (throw $third (i32.const 33)))
        (func (export "run") (param i32) (result i32)
          (global.set $sp (i32.sub (global.get $sp) (i32.const 100)))
          (i32.add (call $f (i32.const 0) (local.get 0)) (i32.mul (i32.const 1000) (global.get $sp)))
          (global.set $sp (i32.const 1000)))"""
    inst = guest(text, host)
    assert [inst.call("run", n) - 900_000 for n in (1, 2, 3)] == [111, 222, 333]
    explore(scene(text, host, call="run", args=(2,), catches=True))


def test_payloads_of_every_kind() -> None:
    """Numbers, vectors and references arrive as a function's arguments would, and go out the same way."""
    host = HostModule("h")
    e = host.tag("e", i64, f64, V128, ExternRef)
    seen: list[tuple[object, ...]] = []
    something = object()

    @host.restartable
    def f(ctx: Context, n: i32) -> Steps[None]:
        try:
            yield from call(host.guest("back", FuncRef[[i32], None]), n)
        except WasmException as error:
            seen.append(error.payload)
            raise

    text = """(import "h" "e" (tag $e (param i64 f64 v128 externref))) (import "h" "f" (func $f (param i32)))
        (global $x (export "x") (mut externref) (ref.null extern))
        (func (export "back") (param i32)
          (throw $e (i64.const -3) (f64.const -0.5) (i32x4.splat (local.get 0)) (global.get $x)))
        (func (export "run") (param i32) (call $f (local.get 0)))"""
    inst = guest(text, host)
    inst.extern("x", Global).set(something)
    with pytest.raises(WasmException) as caught:
        inst.call("run", 9)
    assert caught.value.tag is e
    assert seen == [(-3, -0.5, V128.from_lanes("i32x4", [9] * 4), something)] == [caught.value.payload]


def test_an_embedder_throws_into_a_waiting_function() -> None:
    """29: `throw` raises it at the pending operation; the guest's handler takes what the function lets pass."""
    host = _through("generator")
    inst = guest(TEXT, host)
    execution = inst.start("run", 0, 0)
    execution.run(timeout=0.5)
    execution.throw(WasmException(inst.extern("e", ExceptionTag), 1, 2.0))
    assert finish(execution).values == (103,)


def test_tags_are_judged_at_registration() -> None:
    """A name twice and what no exception carries are errors that name the place; a tag that isn't there is missing."""
    host = HostModule("h")
    host.tag("e", i32)
    with pytest.raises(SignatureError, match=r"h\.tag\('e'\): is already there"):
        host.tag("e")
    with pytest.raises(SignatureError, match=r"carries numbers"):
        host.tag("g", FuncRef[[i32], None])
    with pytest.raises(MissingExport):
        guest("", host).extern("e", ExceptionTag)

    @host.function
    def f(ctx: Context) -> None:
        ctx.tag("nothing")

    with pytest.raises(MissingExport, match="no tag 'nothing'"):
        guest('(import "h" "f" (func $f)) (func (export "run") (call $f))', host).call("run")


def test_the_command_says_that_nobody_caught_it(tmp_path: Path) -> None:
    """`hostsdk run` ends as for a trap, and shows tag, payload and frames."""
    path = tmp_path / "throws.wasm"
    path.write_bytes(
        wat("""(module (tag $oops (param i32)) (func $f (throw $oops (i32.const 5))) (memory (export "memory") 1)
        (func (export "_start") (call $f)))""")
    )
    result = CliRunner().invoke(main, ["run", str(path)])
    assert result.exit_code == 134
    assert "uncaught exception <oops (i32)>(5,)" in result.stderr
    assert "f at byte" in result.stderr
