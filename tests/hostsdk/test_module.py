"""HostModule: a value that holds host functions."""

from __future__ import annotations

from typing import Any

import pytest

from hostsdk._context import BlockingContext, Context
from hostsdk._engine import I32, FuncType
from hostsdk._errors import SignatureError
from hostsdk._module import HostModule
from hostsdk._types import FuncRef, Ptr, Steps, i32, u32


def test_options_are_kept_with_the_function() -> None:
    """What a decorator was told stands in the function's specification."""
    host = HostModule("my-host-func")

    @host.restartable(name="run", version=3, accepts=[1, 2], callbacks="scheduled", catch_traps=True)
    def run_it(ctx: BlockingContext, n: i32) -> i32:
        return n

    found = host.functions["run"]
    assert (found.module, found.name, found.version, found.accepts) == ("my-host-func", "run", 3, (1, 2))
    assert (found.callbacks, found.catch_traps, found.repeat) == ("scheduled", True, False)
    assert found.signature.type == FuncType((I32,), (I32,))


def test_a_refused_function_leaves_no_trace() -> None:
    """A SignatureError registers nothing, and a duplicate leaves the first one standing."""
    host = HostModule("m")

    @host.function
    def f(ctx: Context) -> i32:
        return 1

    def g(ctx: Context, n: int) -> i32:
        return n

    with pytest.raises(SignatureError):
        host.function(g)
    with pytest.raises(SignatureError, match=r"^m\.f: is already there"):
        host.function(name="f")(f)
    assert list(host.functions) == ["f"]
    assert host.functions["f"].fn is f


def test_a_module_is_a_value() -> None:
    """Two modules of one name don't know each other, and the list of functions can't be written to."""
    one, two = HostModule("m"), HostModule("m")

    @one.function
    def f(ctx: Context) -> None: ...

    assert list(one.functions) == ["f"]
    assert list(two.functions) == []
    with pytest.raises(TypeError):
        one.functions["g"] = one.functions["f"]  # type: ignore[index]
    assert repr(one) == "<HostModule 'm' with 1 functions>"


def test_state_is_made_and_closed_for_each_instance() -> None:
    """The factory makes a state for each instance; `close` gets it back; a module without one has None."""
    closed: list[list[int]] = []
    host = HostModule("m", state=lambda: [1], close=closed.append)
    first, second = host.make_state(), host.make_state()
    assert first == [1]
    assert first is not second
    host.close_state(first)
    assert closed == [[1]]
    plain = HostModule("m")
    assert plain.make_state() is None
    plain.close_state(None)


def test_with_state_leaves_the_module_as_it_was() -> None:
    """`with_state` is another module with the same functions, to which later ones don't come."""
    host = HostModule("m", state=lambda: 1)

    @host.function
    def f(ctx: Context[int]) -> i32:
        return ctx.state

    other = host.with_state(lambda: 2)

    @host.function
    def g(ctx: Context[int]) -> i32:
        return ctx.state

    assert (host.make_state(), other.make_state()) == (1, 2)
    assert (list(host.functions), list(other.functions)) == (["f", "g"], ["f"])


def test_guest_exports_are_typed_references() -> None:
    """`guest` names an export with its type; what is no function type is refused."""
    lib = HostModule("lib")
    malloc = lib.guest("malloc", FuncRef[[u32], u32])
    assert (malloc.name, malloc.index) == ("malloc", None)
    assert malloc.callee.type == FuncType((I32,), (I32,))
    assert repr(malloc) == "FuncRef[[u32], u32]('malloc')"
    wrong: Any = lib.guest
    for kind in (u32, Ptr[u32], FuncRef, int):
        with pytest.raises(SignatureError, match=r"^lib: guest\('x'\): "):
            wrong("x", kind)
    with pytest.raises(SignatureError, match=r"^lib\.guest\('x'\): 'int' has no size"):
        wrong("x", FuncRef[[int], u32])


def test_hooks_of_the_state() -> None:
    """`save` and `load` register one function each and give it back."""
    host = HostModule("m", state=dict[str, int])
    assert (host.save_hook, host.load_hook) == (None, None)

    @host.save
    def save(state: dict[str, int]) -> list[tuple[str, int]]:
        return list(state.items())

    @host.load
    def load(saved: list[tuple[str, int]]) -> dict[str, int]:
        return dict(saved)

    assert (host.save_hook, host.load_hook) == (save, load)
    assert load(save({"a": 1})) == {"a": 1}
    with pytest.raises(SignatureError, match=r"@m\.load is already there"):
        host.load(load)


def test_generators_keep_their_type() -> None:
    """A decorated generator is still called as the generator that it is."""
    host = HostModule("m")

    @host.restartable
    def steps(ctx: Context, n: i32) -> Steps[i32]:
        yield from ()
        return n

    with pytest.raises(StopIteration) as stop:
        next(steps(Context.__new__(Context), 5))
    assert stop.value.value == 5


def test_functions_may_be_registered_later() -> None:
    """Names are there at once; functions when one of them is asked for, in the module and in copies made before; a copy
    or another file can't register one of the same name."""
    host, loaded = HostModule("h"), []

    def load() -> None:
        loaded.append(1)

        @host.function
        def late(ctx: Context[None]) -> i32:
            return 1

    host.later(["late"], load)
    copy = host.with_state(lambda: None)
    assert (list(host.functions), list(copy.functions), len(copy.functions)) == (["late"], ["late"], 1)
    assert {"late", "other"} & copy.functions.keys() == {"late"}
    assert not loaded
    with pytest.raises(SignatureError, match=r"h\.late: is already there"):

        @copy.function
        def late(ctx: Context[None]) -> i32:
            return 2

    with pytest.raises(SignatureError, match=r"h\.late: is already there"):
        host.later(["late"], load)
    assert copy.functions["late"] is host.functions["late"]
    assert (copy.functions.get("other"), loaded) == (None, [1])
